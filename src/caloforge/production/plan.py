"""A plan of production: which showers, by which chain, in which shards, under which guards.

Shower i depends on the chain, the seed and i alone: the same plan makes the same bytes with any
number of workers, on any machines, after any interruption. Shards are cut by number.
"""

__all__ = ["Action", "Guards", "Plan", "Shard"]

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import PositiveFloat, PositiveInt

from caloforge import zoo
from caloforge.chain import Chain, describe
from caloforge.detector import load_detector
from caloforge.documents import checked, read_yaml
from caloforge.errors import RecipeError, near
from caloforge.gun import Gun, read_species, read_spectrum
from caloforge.simulators import Geant4, Simulator, gflash_of

_CLASSICAL = ("gflash", "geant4")


class Action(Enum):
    """What is done with a shower that a guard does not pass."""

    KEEP = "keep"
    REFUSE = "refuse"
    REPLACE = "replace"


@dataclass(frozen=True)
class Guards:
    """What showers have to be.

    Arguments:
        most: The largest energy sum, over the incident energy.
        action: What is done with a shower beyond it, or with a deposit that is negative or no
            number: kept, refused, or replaced by that of the classical simulator before the
            refiners. All are counted in the manifest.
    """

    most: PositiveFloat = 2.0
    action: Action = Action.KEEP


@dataclass(frozen=True)
class Shard:
    """Showers from number ``start`` to before ``stop``, in a file of their own."""

    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The name of the file."""
        return f"shard-{self.number:06}.h5"


@dataclass(frozen=True)
class Plan:
    """What is produced.

    Arguments:
        simulator: ``gflash``, ``geant4``, or a model that makes showers from particles.
        number: How many showers.
        energy: Their incident energies, as in ``10GeV:100GeV:log``.
        seed: The seed of the run.
        detector: The detector, for gflash and geant4.
        refiners: The models behind the simulator, in order.
        particle: The species, by name.
        shard_size: Showers of a shard.
        batch_size: Showers made at a time; it changes no shower.
        guards: What showers have to be.
    """

    simulator: str
    number: PositiveInt
    energy: str
    seed: int
    detector: str | None = None
    refiners: tuple[str, ...] = ()
    particle: str = "e-"
    shard_size: PositiveInt = 10_000
    batch_size: PositiveInt = 1000
    guards: Guards = field(default_factory=Guards)

    @staticmethod
    def read(path: Path | str) -> "Plan":
        """Read a plan from YAML.

        Raises:
            RecipeError: It is no plan: a key is unknown or missing, or a value is not of its type.
        """
        what = f"plan {path}"
        plan = checked(Plan, read_yaml(Path(path), what, RecipeError), what, RecipeError)
        plan._check(what)
        return plan

    def _check(self, what: str) -> None:
        classical = self.simulator in _CLASSICAL
        known = (*_CLASSICAL, *zoo.names())
        if self.simulator not in known and not Path(self.simulator).is_dir():
            msg = (
                f"{what}: no simulator '{self.simulator}': give {', '.join(known)}, or the folder "
                f"of a trained model{near(self.simulator, known)}"
            )
            raise RecipeError(msg)
        if classical != (self.detector is not None):
            word = "needs" if classical else "takes no"
            msg = f"{what}: simulator {self.simulator} {word} detector: {self._mend(classical)}"
            raise RecipeError(msg)
        if self.guards.action is Action.REPLACE and not (classical and self.refiners):
            msg = (
                f"{what}: guards.action replace takes the showers of a classical simulator before "
                "its refiners, and there are none: set it to keep or refuse"
            )
            raise RecipeError(msg)
        len(self.gun)  # energy and particle are read

    @staticmethod
    def _mend(classical: bool) -> str:
        return "add one, such as detector: pbwo4-10x10" if classical else "leave it out"

    @cached_property
    def gun(self) -> Gun:
        """The particles."""
        species = read_species(self.particle)
        return Gun(self.number, read_spectrum(self.energy), self.seed, species)

    def chain(self) -> Chain:
        """What makes the showers.

        Raises:
            CaloforgeError: A model or a detector is missing, or they do not fit each other.
        """
        return Chain(self._simulator(), *(zoo.load(name) for name in self.refiners))

    def _simulator(self) -> Simulator:
        if self.detector is None:
            return zoo.load_surrogate(self.simulator)
        detector = load_detector(self.detector)
        return gflash_of(detector) if self.simulator == "gflash" else Geant4(detector)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The shards, in order."""
        starts = range(0, self.number, self.shard_size)
        return tuple(
            Shard(k, start, min(start + self.shard_size, self.number))
            for k, start in enumerate(starts)
        )

    def job(self, chain: Chain) -> dict[str, Any]:
        """All on which a byte of the output depends, as plain values; and a hash of it."""
        asked = {**asdict(self), "guards": {"most": self.guards.most}}
        asked["guards"]["action"] = self.guards.action.value
        del asked["batch_size"]
        said: Mapping[str, Any] = {
            "plan": json.loads(json.dumps(asked)),
            "chain": describe(chain),
            "caloforge": version("caloforge"),
            "torch": version("torch"),
        }
        text = json.dumps(said, sort_keys=True)
        return {**said, "job": hashlib.sha256(text.encode()).hexdigest()}
