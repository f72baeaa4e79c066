r"""Geant4, the full simulation: every particle of a shower, step by step.

`Geant4` takes a `Detector` and particles and gives their showers, with the processor time that each
took. Shower i has random numbers of its own, from a seed that is a hash of the seed of the run and
of i (`streams`), so it is the same in whatever batches, and by however many workers, it and the
others are simulated.
"""

__all__ = ["Finished", "Geant4", "TimedShowers"]

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from platform import machine
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from caloforge import streams
from caloforge.detector import Detector
from caloforge.errors import EnergyRangeError, Geant4Error, ShowerValueError
from caloforge.geometry import Calorimeter
from caloforge.particles import Particles
from caloforge.showers import Showers, spans
from caloforge.simulators.geant4.datasets import find_data
from caloforge.simulators.geant4.physics import physics_of
from caloforge.simulators.geant4.workers import Done, Job, Task, simulate
from caloforge.simulators.protocols import Progress, Validity, silent
from caloforge.streams import Stream
from caloforge.units import TeV, format_energy, keV, mm

_LEAST_ENERGY, _LARGEST_ENERGY = 1 * keV, 100 * TeV
"""The range of Geant4's tables."""

_MODULE = "geant4_pybind"
_AT_A_TIME = 1000


class TimedShowers(NamedTuple):
    """Showers, and the processor time that each took Geant4, in ms, float32, with shape (N)."""

    showers: Showers
    cpu_time_ms: Tensor


class Finished(NamedTuple):
    """One shower: its number, the flat indices of the cells hit, their deposits in MeV (float32),
    the processor time in ms.
    """

    number: int
    cells: np.ndarray
    deposits: np.ndarray
    milliseconds: float


@dataclass(frozen=True)
class Geant4:
    """Simulator of showers in a detector by Geant4.

    Arguments:
        detector: The detector.
        physics: The name of the list of physics, see `caloforge.simulators.geant4.physics`.
        cut: The production cut, in mm: secondaries with a shorter range are not made.
        workers: How many processes work.
        data: The folder of Geant4's data sets; None to look in the usual places, see `find_data`.

    Raises:
        Geant4Error: There is no such physics, or the cut or the number of workers is not positive.
    """

    detector: Detector
    physics: str = "FTFP_BERT"
    cut: float = 0.7 * mm
    workers: int = 1
    data: Path | None = None

    def __post_init__(self) -> None:
        physics_of(self.physics)
        if not 0 < self.cut < math.inf or self.workers < 1:
            msg = (
                f"Geant4: cut {self.cut} mm and {self.workers} workers, expected a positive cut "
                "and at least 1 worker"
            )
            raise Geant4Error(msg)

    @property
    def validity(self) -> Validity:
        """The range of Geant4's tables, the species of its physics, and what meets the front face
        from any place on it.
        """
        steepest = math.pi / 4 if self.detector.distance else math.pi / 2
        species = physics_of(self.physics).species
        return Validity(_LEAST_ENERGY, _LARGEST_ENERGY, tuple(species or ()), steepest)

    def simulate(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> Showers:
        """Simulate one shower a particle.

        Arguments:
            particles: The particles, at angles and off centre if they say so.
            seed: The seed of the run.
            first_index: The number, in the run, of the first shower.
            progress: Given 1 after each shower.

        Returns:
            The showers. Shower i has the same bits in whatever batches, and by however many
            workers, all are simulated.

        Raises:
            Geant4Error: Geant4 is not installed, lacks data, does not know the particle, or one of
                its processes has died.
            GeometryError: Geant4 does not know a material of the detector.
            EnergyRangeError: An energy is out of range.
            ShowerValueError: A particle does not meet the front face.
        """
        size = max(1, len(particles))
        parts = list(
            self.stream(
                particles,
                seed=seed,
                first_index=first_index,
                size=size,
                progress=progress,
            )
        )
        return (
            parts[0].showers
            if parts
            else Showers(torch.empty(0, self.calorimeter.n_cells), particles, self.calorimeter)
        )

    def stream(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        size: int = _AT_A_TIME,
        progress: Progress = silent,
    ) -> Iterator[TimedShowers]:
        """Simulate as `simulate` does, and give the showers ``size`` at a time, with the time that
        each took.

        If a worker dies, the showers that are finished are given before the error is raised.
        """
        finished = self.each(particles, seed=seed, first_index=first_index)
        for span in spans(len(particles), size):
            made: list[Finished] = []
            try:
                for one in islice(finished, span.stop - span.start):
                    made.append(one)
                    progress(1)
            except Geant4Error:
                if made:
                    yield self.gather(made, particles[span.start : span.start + len(made)])
                raise
            yield self.gather(made, particles[span])

    def each(self, particles: Particles, *, seed: int, first_index: int = 0) -> Iterator[Finished]:
        """Simulate as `simulate` does, and give each shower as soon as it and those before it are
        finished.
        """
        self._require(particles)
        place = torch.zeros(len(particles), 2) if particles.place is None else particles.place
        self._require_place(particles, place)
        job = self._job(particles.species)
        tasks = _tasks(particles, place, seed, first_index)
        return (
            self._finished(done)
            for done in simulate(job, tasks, first_index, len(particles), self.workers)
        )

    def gather(self, finished: list[Finished], particles: Particles) -> TimedShowers:
        """Join showers that have been given one by one, in order, with the particles that made
        them.
        """
        deposits = torch.zeros(len(finished), self.calorimeter.n_cells)
        for row, one in zip(deposits.numpy(), finished, strict=True):
            row[one.cells] = one.deposits
        times = torch.tensor([one.milliseconds for one in finished], dtype=torch.float32)
        threshold = self.detector.threshold or None
        return TimedShowers(
            Showers(deposits, particles, self.calorimeter, threshold=threshold), times
        )

    @property
    def provenance(self) -> dict[str, str]:
        """What a file of these showers says of its origin."""
        generator = f"Geant4 by geant4-pybind {_installed_version()}"
        return {
            "generator": generator,
            "detector": self.detector.name,
            "physics": self.physics,
            "cut_mm": f"{self.cut:g}",
        }

    @cached_property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""
        return self.detector.calorimeter

    @cached_property
    def _flat(self) -> np.ndarray:
        """The flat index of each of the scorer's cells; -1 where there is none."""
        each = [
            layers.cells.number for layers in self.detector.layers for _ in range(layers.number)
        ]
        fast, middle = (max(numbers) for numbers in zip(*each, strict=True))
        flat = torch.full((len(each), middle, fast), -1)
        start = 0
        for layer, (n_fast, n_middle) in enumerate(each):
            m, f = torch.meshgrid(torch.arange(n_middle), torch.arange(n_fast), indexing="ij")
            places = start + m * n_fast + f
            flat[layer, :n_middle, :n_fast] = self.calorimeter.layer_order[places]
            start += n_fast * n_middle
        return flat.flatten().numpy()

    def _finished(self, done: Done) -> Finished:
        deposits = done.energies / self.detector.sampling_fraction
        read = (deposits > 0) & (deposits >= self.detector.threshold)
        return Finished(
            done.number,
            self._flat[done.cells[read]],
            deposits[read].astype(np.float32),
            done.milliseconds,
        )

    def _job(self, species: Sequence[int]) -> Job:
        _require_installed()
        physics, found = physics_of(self.physics), find_data(self.data)
        found.require(physics)
        description = {
            "detector": self.detector.describe(),
            "cut": self.cut,
            "species": list(species),
            "constructors": physics.constructors,
        }
        return Job(description, found.environment())

    def _require(self, particles: Particles) -> None:
        if particles.pdg is None:
            msg = (
                f"Geant4: the species of the {len(particles)} particles is not known: say it by "
                "Particles(energies, pdg), or --particle"
            )
            raise Geant4Error(msg)
        known = physics_of(self.physics).species
        unknown = [] if known is None else [p for p in particles.species if p not in known]
        if known is not None and unknown:
            msg = (
                f"physics '{self.physics}' is electromagnetic alone: particles have PDG number "
                f"{unknown[0]}, expected one of "
                f"{', '.join(str(pdg) for pdg in known)}: choose a physics with hadrons, such "
                "as FTFP_BERT"
            )
            raise Geant4Error(msg)
        outside = self.validity.outside(particles.energies)
        if outside is not None:
            number, first = outside
            msg = (
                f"Geant4: {number} of {len(particles)} incident energies are out of "
                f"range, the first at index {first} "
                f"({format_energy(float(particles.energies[first]))}); expected "
                f"{format_energy(_LEAST_ENERGY)} "
                f"to {format_energy(_LARGEST_ENERGY)}"
            )
            raise EnergyRangeError(msg)

    def _require_place(self, particles: Particles, place: Tensor) -> None:
        n = len(particles)
        theta = torch.zeros(n) if particles.theta is None else particles.theta
        aside = self.detector.distance * theta.double().tan().abs()
        bad = (
            ~self._on_face(place)
            | ~(self._cosine(particles, place) > 0)
            | (aside > self.detector.distance)
        )
        if bad.any():
            first = int(bad.nonzero()[0, 0])
            x, y, t = float(place[first, 0]), float(place[first, 1]), float(theta[first])
            width, length = (2 * half for half in self._half)
            reach = "45 degrees" if self.detector.distance else "90 degrees"
            msg = (
                f"{int(bad.sum())} of {n} particles do not meet the front face, the first at "
                f"index {first} (x {x:g} mm, "
                f"y {y:g} mm, theta {t:g}); expected a place on {width:g} x {length:g} mm^2 and "
                f"less than {reach}"
            )
            raise ShowerValueError(msg)

    @property
    def _half(self) -> tuple[float, float]:
        """Half the size of the front face along x and y, as seen from the beam, in mm."""
        (arc, length), radius = self.detector.face, self.detector.inner_radius
        across = (
            arc / 2 if radius is None else radius * math.sin(min(arc / 2 / radius, math.pi / 2))
        )
        return across, length / 2

    def _on_face(self, place: Float[Tensor, "showers 2"]) -> Bool[Tensor, " showers"]:
        return (place.abs() <= torch.tensor(self._half)).all(1)

    def _cosine(
        self, particles: Particles, place: Float[Tensor, "showers 2"]
    ) -> Float[Tensor, " showers"]:
        """The cosine of the angle to the front face's normal."""
        n, radius = len(particles), self.detector.inner_radius
        theta, phi = (
            torch.zeros(n) if angle is None else angle.double()
            for angle in (particles.theta, particles.phi)
        )
        if radius is None:
            return theta.cos()
        sine = place[:, 0].double() / radius
        return theta.sin() * phi.cos() * sine + theta.cos() * (1 - sine**2).clamp(min=0).sqrt()


def _tasks(
    particles: Particles, place: Float[Tensor, "showers 2"], seed: int, first_index: int
) -> Iterator[Task]:
    for span in spans(len(particles), _AT_A_TIME):
        some, places = particles[span], place[span].double().tolist()
        energies = some.energies.double().tolist()
        theta, phi = (
            [0.0] * len(some) if a is None else a.double().tolist() for a in (some.theta, some.phi)
        )
        species = torch.as_tensor(some.pdg).expand(len(some)).tolist()
        index = first_index + torch.arange(span.start, span.stop)
        seeds = _seeds(seed, index)
        for row, (x, y) in enumerate(places):
            particle = species[row], energies[row], (x, y), theta[row], phi[row]
            yield Task(int(index[row]), seeds[row], *particle)


def _seeds(seed: int, index: Tensor) -> list[tuple[int, ...]]:
    """Four 32-bit numbers a shower; none is 0, at which Geant4's binding stops reading."""
    words = (
        streams.words(streams.keys(seed, index, Stream.GEANT4)[:, None], torch.arange(2))
        .numpy()
        .view(np.uint32)
    )
    return [tuple(int(word) or 1 for word in row) for row in words]


def _installed_version() -> str:
    return version("geant4-pybind")


def _require_installed() -> None:
    if find_spec(_MODULE) is None:
        msg = (
            "geant4-pybind is not installed: pip install 'caloforge[geant4]' (wheels: Linux on "
            "x86-64, macOS; "
            f"this is {sys.platform} on {machine()}, Python "
            f"{sys.version_info.major}.{sys.version_info.minor})"
        )
        raise Geant4Error(msg)
