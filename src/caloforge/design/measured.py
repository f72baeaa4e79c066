r"""Designs measured by full showers: how wide the energy estimate is, and what leaks.

The layers of a design are read whole. With the energy :math:`e_{il}` that shower i leaves in the
active matter of layer l, the estimate is :math:`S_i = \sum_l e_{il} / v_l`, where :math:`v_l` is
the share of the energy loss of layer l that is active (`visible_shares`); any common factor drops
out of :math:`\sigma_S / \mu_S`. What leaks at the rear is caught by a thick block of active matter
behind the last layer, where it is asked for.

What a design gave is kept in a folder: the same design is not simulated again.
"""

__all__ = ["Geant4Reference", "Made", "Measurement", "Reference", "Workbench"]

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float
from typing_extensions import Protocol, runtime_checkable

from caloforge.detector import Boxes, Detector, Layers, Role, Slab
from caloforge.errors import DesignError, words_of
from caloforge.io import NewFile
from caloforge.particles import Particles
from caloforge.simulators import Geant4
from caloforge.simulators.gflash.media import visible_shares

_CATCHER = Slab("G4_PbWO4", 400.0, Role.ACTIVE)
"""45 radiation lengths behind the last layer."""

_FEWEST = 20


class Made(NamedTuple):
    """Showers of a design, and the processor time that they took."""

    layers: Float[np.ndarray, "showers layers"]
    """The energy in the active matter of each layer, in MeV."""
    seconds: float
    """The processor time of all of them."""


@runtime_checkable
class Reference(Protocol):
    """Makes the showers by which designs are judged."""

    def make(self, detector: Detector, particles: Particles, seed: int) -> Made:
        """One shower of each particle in a detector whose layers have one cell each."""

    @property
    def said(self) -> dict[str, str | float]:
        """All of it on which a shower depends, as plain values."""


@dataclass(frozen=True)
class Geant4Reference:
    """Geant4 as the reference.

    Arguments:
        physics: The list of physics.
        cut: The production cut, in mm.
        workers: Processes.
    """

    physics: str = "FTFP_BERT"
    cut: float = 0.7
    workers: int = 1

    def make(self, detector: Detector, particles: Particles, seed: int) -> Made:
        """By `Geant4.each`."""
        simulator = Geant4(detector, self.physics, self.cut, self.workers)
        layers, milliseconds = np.zeros((len(particles), detector.n_layers)), 0.0
        for row, one in enumerate(simulator.each(particles, seed=seed)):
            layers[row, one.recorded.cells] = one.recorded.energies
            milliseconds += one.milliseconds
        return Made(layers, milliseconds / 1000)

    @property
    def said(self) -> dict[str, str | float]:
        """Physics and cut."""
        return {"geant4": self.physics, "cut": self.cut}


class Measurement(NamedTuple):
    """What full showers say of a design; all but the last two with shape (energies)."""

    spread: Float[np.ndarray, " energies"]
    r"""The relative width :math:`\sigma / \mu`."""
    error: Float[np.ndarray, " energies"]
    """The statistical error of its logarithm, by the fourth moment."""
    leakage: Float[np.ndarray, " energies"]
    """The mean share of the energy that leaks at the rear; 0 where nothing catches it."""
    leakage_error: Float[np.ndarray, " energies"]
    """Its statistical error."""
    showers: int
    """How many showers."""
    seconds: float
    """The processor time that they took."""


@dataclass
class Workbench:
    """Measures designs, and remembers what they gave.

    Arguments:
        reference: What makes the showers.
        energies: The incident energies, in MeV.
        showers: How many showers of each, at least 20.
        pdg: The species.
        catches: Whether leakage is measured.
        seed: The seed of all showers.
        folder: Where measurements are kept; None to forget them.
        tell: Given a line before each measurement.
    """

    reference: Reference
    energies: tuple[float, ...]
    showers: tuple[int, ...]
    pdg: int
    catches: bool
    seed: int
    folder: Path | None = None
    tell: Callable[[str], None] = field(default=lambda line: None)

    def __post_init__(self) -> None:
        if len(self.showers) != len(self.energies) or min(self.showers, default=0) < _FEWEST:
            msg = (
                f"design: showers are {list(self.showers)}, expected a number of at least "
                f"{_FEWEST} for each of {len(self.energies)} energies"
            )
            raise DesignError(msg)

    def measure(self, detector: Detector, times: int = 1) -> Measurement:
        """Measure a design, with so many times the usual showers.

        Raises:
            DesignError: What is kept of it is damaged.
            CaloforgeError: The reference cannot simulate it.
        """
        counts = [times * number for number in self.showers]
        whole = read_whole(detector, catches=self.catches)
        made = self._made(whole, counts)
        shares = np.array(visible_shares(detector) or [1.0] * detector.n_layers)
        sums = made.layers[:, : detector.n_layers] @ (1 / shares)
        caught = made.layers[:, detector.n_layers :].sum(1)
        rows = np.split(np.arange(len(sums)), np.cumsum(counts)[:-1])
        spread, error = zip(*(_spread(sums[each]) for each in rows), strict=True)
        leaks = [caught[each] / energy for each, energy in zip(rows, self.energies, strict=True)]
        return Measurement(
            np.array(spread),
            np.array(error),
            np.array([each.mean() for each in leaks]),
            np.array([each.std(ddof=1) / len(each) ** 0.5 for each in leaks]),
            len(sums),
            made.seconds,
        )

    def _made(self, detector: Detector, counts: list[int]) -> Made:
        key = self._key(detector, counts)
        kept = None if self.folder is None else self.folder / f"{key}.npz"
        if kept is not None and kept.exists():
            return _read(kept)
        self.tell(f"{sum(counts):,} showers in {detector.depth:.1f} mm")
        energies = torch.tensor(self.energies).repeat_interleave(torch.tensor(counts))
        made = self.reference.make(detector, Particles(energies, self.pdg), int(key[:8], 16))
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with NewFile(kept, overwrite=True) as partial, partial.open("wb") as file:
                np.savez_compressed(file, layers=made.layers, seconds=made.seconds)
        return made

    def _key(self, detector: Detector, counts: list[int]) -> str:
        said = {
            "detector": detector.describe(),
            "energies": self.energies,
            "counts": counts,
            "pdg": self.pdg,
            "seed": self.seed,
            **self.reference.said,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _read(kept: Path) -> Made:
    try:
        with kept.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Made(arrays["layers"], float(arrays["seconds"]))
    except (BadZipFile, EOFError, KeyError, ValueError) as error:
        msg = f"{kept}: damaged ({words_of(error)}): delete it, and its showers are made again"
        raise DesignError(msg) from error


def read_whole(detector: Detector, *, catches: bool) -> Detector:
    """The same matter, each layer one cell as wide as the face, and perhaps a block behind that
    catches what leaks.
    """
    cells = Boxes((1, 1), detector.face)
    layers = [replace(each, cells=cells) for each in detector.layers]
    if catches:
        layers.append(Layers(1, (_CATCHER,), cells))
    return replace(
        detector, name="design", layers=tuple(layers), sampling_fraction=1.0, threshold=0.0
    )


def _spread(sums: Float[np.ndarray, " showers"]) -> tuple[float, float]:
    """The relative width of a sample, and the error of its logarithm."""
    departure = sums - sums.mean()
    variance = departure.var(ddof=1)
    kurtosis = (departure**4).mean() / departure.var() ** 2
    n = len(sums)
    return float(variance**0.5 / sums.mean()), float((max(kurtosis - 1, 1.0) / n) ** 0.5 / 2)
