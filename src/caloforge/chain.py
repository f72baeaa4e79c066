r"""A chain: a simulator and the refiners behind it, itself a simulator.

Every member works on shower i with the number i. The simulator and the first refiner draw with the
seed of the chain, so that a chain of both gives what two commands with one seed give; each further
refiner draws with a seed of its own, a hash of the chain's and of its place.

A chain is described by plain values, fit for JSON: ``{"simulator": {...}, "refiners": [...]}``. A
GFlash or a Geant4 is described by its detector and its constants; a model by its name in the zoo or
its directory, and by the checksum of its weights, which is compared when it is loaded again; a
bridge by its steps and direction, too. Files say by which chain they were made.
"""

__all__ = [
    "Chain",
    "Crossing",
    "Described",
    "Judge",
    "Weighing",
    "describe",
    "from_description",
    "model_of",
    "title_of",
]

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

import torch
from typing_extensions import Protocol, runtime_checkable

from caloforge import streams, zoo
from caloforge.detector import Detector, Role
from caloforge.documents import checked
from caloforge.errors import ModelError, ShowerValueError
from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers, dense
from caloforge.io import open_showers
from caloforge.metrics import Dilution
from caloforge.models import Bridge, InDetector, LearnedRefiner, Model, Surrogate
from caloforge.models.card import InCard
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.simulators import Geant4, GFlash, Record, Refiner, Simulator, Validity
from caloforge.simulators.gflash.tuned import describe_gflash, gflash_from
from caloforge.simulators.protocols import Progress, silent
from caloforge.streams import Stream

Maker = Simulator | Refiner


@dataclass(frozen=True, eq=False)
class Crossing:
    """A bridge with its number of steps and its direction settled.

    Arguments:
        bridge: The model.
        steps: How many steps it takes; None for its own number.
        reverse: From full to fast simulation.
    """

    bridge: Bridge
    steps: int | None = None
    reverse: bool = False

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""
        return self.bridge.calorimeter

    @property
    def validity(self) -> Validity:
        """For which particles it is made."""
        return self.bridge.validity

    def refine(
        self,
        showers: Showers,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> Showers:
        """Refine showers as `caloforge.models.Bridge.refine` does.

        Arguments:
            showers: The showers.
            seed: The seed of the run.
            first_index: The number, in the run, of the first shower.
            progress: Given the number of showers just finished.
        """
        return self.bridge.refine(
            showers,
            seed=seed,
            first_index=first_index,
            progress=progress,
            steps=self.steps,
            reverse=self.reverse,
        )

    def describe(self) -> dict[str, Any]:
        """The description as plain values."""
        settled = {"steps": self.steps, "reverse": self.reverse or None}
        given = {name: value for name, value in settled.items() if value is not None}
        return {**_described_model(self.bridge), **given}


@dataclass(frozen=True, eq=False)
class Weighing:
    """A refiner with the least that its weights may leave settled.

    Arguments:
        refiner: The model.
        least: The least effective size as a share of the showers, and the least mean weight: the
            share of the full simulation that the fast one covers.
    """

    refiner: LearnedRefiner
    least: float = 0.01

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""
        return self.refiner.calorimeter

    @property
    def validity(self) -> Validity:
        """For which particles it is made."""
        return self.refiner.validity

    def refine(
        self,
        showers: Showers,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> Showers:
        """Refine showers as the model does.

        Arguments:
            showers: The showers.
            seed: The seed of the run.
            first_index: The number, in the run, of the first shower.
            progress: Given the number of showers just finished.
        """
        return self.refiner.refine(showers, seed=seed, first_index=first_index, progress=progress)

    def accept(self, path: Path) -> None:
        """See `Judge`.

        Raises:
            ShowerValueError: The weights leave less.
        """
        weights = open_showers(path).weights
        dilution = None if weights is None else Dilution.of(weights.numpy())
        if dilution is None or not dilution.showers:
            return
        if min(dilution.share, dilution.covered) < self.least:
            msg = (
                f"{dilution}: expected at least {self.least:.2%} in effective size and in mean "
                "weight, the share of the full simulation that the fast one covers: take one "
                "nearer to it, or --least-effective 0 --resume to have the weights all the same"
            )
            raise ShowerValueError(msg)

    def describe(self) -> dict[str, Any]:
        """The description of the model."""
        return _described_model(self.refiner)


@runtime_checkable
class Judge(Protocol):
    """What makes showers, and says whether a file of them is good enough."""

    def accept(self, path: Path) -> None:
        """Look at a finished file before it takes its name, and raise where it shall not.

        Arguments:
            path: The file.
        """


class Chain:
    """A simulator and the refiners behind it.

    Arguments:
        simulator: What makes the showers; if it is a chain, its members come first.
        refiners: What makes better ones of them, in order.

    Raises:
        GeometryMismatchError: A refiner is of another calorimeter.
        ShowerValueError: The members have no species in common.

    Example:
        >>> from caloforge.simulators import pbwo4_gflash
        >>> chain = Chain(pbwo4_gflash(), zoo.load("squirels-fast"))
        >>> len(chain.simulate(Particles(torch.full((3,), 5e4)), seed=1))
        3
    """

    def __init__(self, simulator: Simulator, *refiners: Refiner) -> None:
        before = simulator.refiners if isinstance(simulator, Chain) else ()
        self.simulator: Simulator = (
            simulator.simulator if isinstance(simulator, Chain) else simulator
        )
        self.refiners: tuple[Refiner, ...] = (*before, *refiners)
        for refiner in self.refiners:
            self.calorimeter.require(refiner.calorimeter, "the refiner of a chain")
        self.validity = reduce(and_, [member.validity for member in self.members])

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""
        return self.simulator.calorimeter

    @property
    def members(self) -> tuple[Maker, ...]:
        """The simulator and the refiners, in order."""
        return (self.simulator, *self.refiners)

    def simulate(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> AnyShowers:
        """Make one shower of each particle, dense or as hits; refiners are given dense ones.

        Arguments:
            particles: The particles.
            seed: The seed of the run.
            first_index: The number, in the run, of the first shower.
            progress: Given the number of showers just finished by the last member.
        """
        progresses = [silent] * len(self.refiners) + [progress]
        showers = self.simulator.simulate(
            particles, seed=seed, first_index=first_index, progress=progresses[0]
        )
        seeds = self.seeds(seed)[1:]
        for refiner, own, tell in zip(self.refiners, seeds, progresses[1:], strict=True):
            showers = refiner.refine(
                dense(showers), seed=own, first_index=first_index, progress=tell
            )
        return showers

    def seeds(self, seed: int) -> tuple[int, ...]:
        """The seed of each member, given that of the chain."""
        key = streams.keys(seed, torch.arange(1), Stream.CHAIN)
        more = range(1, len(self.refiners))
        return (seed, seed, *(int(streams.offspring(key, k)) for k in more))[: len(self.members)]

    def describe(self) -> dict[str, Any]:
        """The description as plain values, fit for JSON; `Chain.from_description` reads it again.

        Raises:
            ModelError: A member is described by no plain values.
        """
        return {
            "simulator": describe(self.simulator),
            "refiners": [describe(refiner) for refiner in self.refiners],
        }

    @staticmethod
    def from_description(description: Mapping[str, Any]) -> "Chain":
        """The chain of a description.

        Raises:
            ModelError: It is no description of a chain, or a model is missing or has other weights.
            GeometryError: A detector cannot be.
        """
        refiners = description.get("refiners", [])
        simulator, *behind = (
            from_description(part) for part in (description.get("simulator"), *refiners)
        )
        if not isinstance(simulator, Simulator) or not all(isinstance(r, Refiner) for r in behind):
            msg = (
                "a chain is a simulator and refiners behind it: "
                f"{', '.join(title_of(member) for member in (simulator, *behind))} is none"
            )
            raise ModelError(msg)
        return Chain(simulator, *(r for r in behind if isinstance(r, Refiner)))


@runtime_checkable
class Described(Protocol):
    """A simulator or refiner that says itself what it is."""

    def describe(self) -> dict[str, Any]:
        """The description as plain values, fit for JSON."""


def describe(maker: Maker) -> dict[str, Any]:
    """What a simulator or a refiner is, as plain values, fit for JSON.

    Raises:
        ModelError: No plain values make it again: a model that is not on disk, or a GFlash of a
            medium of one's own.
    """
    if isinstance(maker, GFlash):
        return {"kind": "gflash", **describe_gflash(maker)}
    if isinstance(maker, Geant4):
        physics, cut = maker.physics, maker.cut
        asked: dict[str, Any] = {} if maker.record is None else {"record": maker.record.value}
        if maker.region_cuts:
            asked["region_cuts"] = {role.value: own for role, own in maker.region_cuts.items()}
        return {
            "kind": "geant4",
            "detector": maker.detector.describe(),
            "physics": physics,
            "cut": cut,
            **asked,
        }
    if isinstance(maker, Model):
        return _described_model(maker)
    if isinstance(maker, InDetector):
        said = {"name": maker.name, **asdict(maker.known)}
        return {**_described_model(maker.surrogate), "detector": said}
    if isinstance(maker, Described):
        return maker.describe()
    msg = (
        f"{type(maker).__name__}: has no description; expected a GFlash, a Geant4, a model, a "
        "chain of them, or a method 'describe'"
    )
    raise ModelError(msg)


def from_description(description: Any) -> Maker:
    """The simulator or refiner of a description, as `describe` gives it.

    Raises:
        ModelError: It is no such description, or a model is missing or has other weights.
        GeometryError: A detector cannot be.
    """
    if isinstance(description, Mapping):
        if "simulator" in description:
            return Chain.from_description(description)
        make = _KINDS.get(str(description.get("kind")))
        if make is not None:
            return make(description)
    msg = (
        f"no description of a simulator or refiner: {str(description)[:60]}; expected a mapping "
        f"with 'kind' {', '.join(_KINDS)} or with 'simulator'"
    )
    raise ModelError(msg)


def title_of(maker: Maker) -> str:
    """What a simulator or refiner is called: GFlash, Geant4, a model's name, or these with +
    between.
    """
    if isinstance(maker, Chain):
        return " + ".join(title_of(member) for member in maker.members)
    model = model_of(maker)
    return type(maker).__name__ if model is None else model.card.name


def model_of(maker: Maker) -> Model | None:
    """The model that a simulator or refiner is, or with which it works; None without one."""
    match maker:
        case Crossing():
            return maker.bridge
        case InDetector():
            return maker.surrogate
        case Weighing():
            return maker.refiner
        case Model():
            return maker
        case _:
            return None


def _described_model(model: Model) -> dict[str, Any]:
    if model.directory is None:
        msg = (
            f"model '{model.card.name}': it is not on disk, so that nothing could load it again: "
            "save it, and load it from there"
        )
        raise ModelError(msg)
    return {
        "kind": "model",
        "model": zoo.name_of(model.directory),
        "sha256": model.card.sha256,
    }


def _model(description: Mapping[str, Any]) -> Maker:
    name = str(description.get("model"))
    model = zoo.load_model(name)
    if model.card.sha256 != description.get("sha256"):
        msg = (
            f"model '{name}': its weights have the checksum {model.card.sha256[:12]}..., expected "
            f"{str(description.get('sha256'))[:12]}...: it has been trained anew"
        )
        raise ModelError(msg)
    if isinstance(model, Surrogate) and "detector" in description:
        return _in_detector(model, dict(description["detector"]))
    steps, reverse = description.get("steps"), bool(description.get("reverse", False))
    if isinstance(model, Bridge) and (steps is not None or reverse):
        return Crossing(model, steps, reverse)
    if not isinstance(model, Simulator | Refiner):
        msg = f"model '{name}' makes no showers"
        raise ModelError(msg)
    return model


def _in_detector(surrogate: Surrogate, said: dict[str, Any]) -> InDetector:
    name, what = str(said.pop("name", "")), "the detector of a chain"
    return InDetector(surrogate, name, checked(InCard, said, what, ModelError))


def _geant4(description: Mapping[str, Any]) -> Geant4:
    detector = Detector.from_description(description["detector"], "the detector of a chain")
    physics, cut = str(description["physics"]), float(description["cut"])
    record = None if "record" not in description else Record(description["record"])
    own = {Role(role): float(mm) for role, mm in description.get("region_cuts", {}).items()}
    return Geant4(detector, physics, cut, record=record, region_cuts=own)


_KINDS: dict[str, Callable[[Mapping[str, Any]], Maker]] = {
    "gflash": gflash_from,
    "geant4": _geant4,
    "model": _model,
}
