r"""Geant4, the full simulation: every particle of a shower, step by step.

`Geant4` takes a `Detector` and particles and gives their showers, with the processor time that each
took: dense, as `hits` with times, or as `points`, see `recording`. Shower i has random numbers of
its own, from a seed that is a hash of the seed of the run and of i (`streams`), so it is the same
in whatever batches, and by however many workers, it and the others are simulated.
"""

__all__ = ["Finished", "Geant4", "TimedHits", "TimedShowers"]

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from caloforge.detector import Detector, Role
from caloforge.errors import EnergyRangeError, Geant4Error, ShowerValueError
from caloforge.geometry import Calorimeter
from caloforge.hits import Hits
from caloforge.particles import Particles
from caloforge.points import Points
from caloforge.showers import Showers, spans
from caloforge.simulators.geant4.datasets import find_data
from caloforge.simulators.geant4.events import Event, FinishedEvent, Gate, taken_particles
from caloforge.simulators.geant4.physics import physics_of
from caloforge.simulators.geant4.recording import (
    Record,
    Recorded,
    Steps,
    hits_in,
    joined_hits,
    joined_points,
    points_in,
)
from caloforge.simulators.geant4.workers import Done, Job, Task, simulate
from caloforge.simulators.protocols import Progress, Validity, silent
from caloforge.streams import Stream
from caloforge.units import TeV, format_energy, keV, mm

_LEAST_ENERGY, _LARGEST_ENERGY = 1 * keV, 100 * TeV
"""The range of Geant4's tables."""

_LEAST_MERGE = 1e-3 * mm
"""Squares are counted in whole numbers, of which there are so many."""

_MODULE = "geant4_pybind"
_AT_A_TIME = 1000


class TimedShowers(NamedTuple):
    """Showers, and the processor time that each took Geant4, in ms, float32, with shape (N)."""

    showers: Showers
    cpu_time_ms: Tensor


class TimedHits(NamedTuple):
    """Showers as hits, and the processor time that each took Geant4, in ms, float32, with shape
    (N).
    """

    showers: Hits
    cpu_time_ms: Tensor


class Finished(NamedTuple):
    """One shower: its number, what is recorded of it, and the processor time in ms."""

    number: int
    recorded: Recorded
    milliseconds: float


@dataclass(frozen=True)
class Geant4:
    """Simulator of showers in a detector by Geant4.

    Arguments:
        detector: The detector.
        physics: The name of the list of physics, see `caloforge.simulators.geant4.physics`.
        cut: The production cut, in mm: secondaries with a shorter range are not made.
        region_cuts: The cuts of the slabs of some roles, in mm, where they are others.
        workers: How many processes work.
        data: The folder of Geant4's data sets; None to look in the usual places, see `find_data`.
        record: What is recorded of each shower; None for cells, and for hits where these are
            irregular.
        merge: Steps in one cell and one square of this size, in mm, make one point.

    Raises:
        Geant4Error: There is no such physics, or the cut, the number of workers or the size of
            squares is not positive.
    """

    detector: Detector
    physics: str = "FTFP_BERT"
    cut: float = 0.7 * mm
    workers: int = 1
    data: Path | None = None
    record: Record | None = None
    merge: float = 1.0 * mm
    region_cuts: Mapping[Role, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        physics_of(self.physics)
        cuts = [self.cut, *self.region_cuts.values()]
        if not all(0 < cut < math.inf for cut in cuts) or self.workers < 1:
            said = ", ".join(f"{cut:g}" for cut in cuts)
            msg = (
                f"Geant4: cut {said} mm and {self.workers} workers, expected a positive cut "
                "and at least 1 worker"
            )
            raise Geant4Error(msg)
        if not _LEAST_MERGE <= self.merge < math.inf:
            msg = (
                f"Geant4: steps merge in squares of {self.merge} mm, expected a length of at least "
                f"{_LEAST_MERGE} mm"
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
        hits = self.hits(particles, seed=seed, first_index=first_index, progress=progress)
        return hits.to_showers()

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
        batches = self._of_cells._batches(particles, seed, first_index, size, progress)
        for made, some in batches:
            yield TimedShowers(self._hits(made, some).to_showers(), _times_of(made))

    def stream_hits(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        size: int = _AT_A_TIME,
        progress: Progress = silent,
    ) -> Iterator[TimedHits]:
        """As `stream`, but the showers as hits, in the memory of their hits."""
        batches = self._of_cells._batches(particles, seed, first_index, size, progress)
        for made, some in batches:
            yield TimedHits(self._hits(made, some), _times_of(made))

    def hits(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> Hits:
        """As `simulate`, but the showers as hits, in flat order; with their times, unless `record`
        says cells.
        """
        made = self._of_cells._all(particles, seed, first_index, progress)
        return self._hits(made, particles)

    def points(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> Points:
        """As `simulate`, but the steps that are left after those close together are merged, before
        any cell reads them, with their times; see `recording`. The threshold is one of cells: it
        leaves no point out.
        """
        finer = replace(self, record=Record.POINTS)
        made = finer._all(particles, seed, first_index, progress)
        return joined_points([one.recorded for one in made], particles)

    def _all(
        self, particles: Particles, seed: int, first_index: int, progress: Progress
    ) -> list[Finished]:
        size = max(1, len(particles))
        batches = self._batches(particles, seed, first_index, size, progress)
        return [one for made, _ in batches for one in made]

    def _batches(
        self, particles: Particles, seed: int, first_index: int, size: int, progress: Progress
    ) -> Iterator[tuple[list[Finished], Particles]]:
        """Finished showers with their particles, ``size`` at a time; if a worker dies, those that
        are finished come before the error.
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
                    yield made, particles[span.start : span.start + len(made)]
                raise
            yield made, particles[span]

    def each(self, particles: Particles, *, seed: int, first_index: int = 0) -> Iterator[Finished]:
        """Simulate as `simulate` does, and give each shower as soon as it and those before it are
        finished.
        """
        self._require(particles)
        place = _places(particles)
        self._require_place(particles, place)
        job = self._job(particles.species, None)
        tasks = _tasks(particles, place, seed, first_index)
        return (
            self._finished(done)
            for done in simulate(job, tasks, first_index, len(particles), self.workers)
        )

    def events(
        self, events: Sequence[Event], *, seed: int, gate: Gate | None = None
    ) -> Iterator[FinishedEvent]:
        """Simulate events of several particles each, that set out together, and give each as soon
        as it and those before it are finished. One of a single particle has the random numbers of
        its shower.

        Arguments:
            events: The events, each of one particle or more.
            seed: The seed of the run.
            gate: Which particles are taken out where they enter the front face; None for none.

        Raises:
            CaloforgeError: As for `simulate`.
        """
        for event in events:
            self._require(event.particles)
            self._require_place(event.particles, _places(event.particles))
        species = sorted({pdg for event in events for pdg in event.particles.species})
        tasks = (_task_of(k, event, seed) for k, event in enumerate(events))
        job = self._job(species, gate)
        fraction = self.detector.sampling_fraction
        for done in simulate(job, tasks, 0, len(events), self.workers):
            recorded = self._recorded(done).read(fraction, 0.0)
            yield FinishedEvent(recorded, taken_particles(done.taken))

    @property
    def _of_cells(self) -> "Geant4":
        """The same, where points would be recorded with hits instead."""
        points = self.recorded is Record.POINTS
        return replace(self, record=Record.HITS) if points else self

    def _hits(self, finished: list[Finished], particles: Particles) -> Hits:
        threshold = self.detector.threshold or None
        recorded = [one.recorded for one in finished]
        return joined_hits(recorded, particles, self.calorimeter, threshold)

    @property
    def provenance(self) -> dict[str, str]:
        """What a file of these showers says of its origin."""
        generator = f"Geant4 by geant4-pybind {_installed_version()}"
        return {
            "generator": generator,
            "detector": self.detector.name,
            "physics": self.physics,
            "cut_mm": f"{self.cut:g}",
            **{f"cut_{role.value}_mm": f"{cut:g}" for role, cut in self.region_cuts.items()},
        }

    @cached_property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""
        return self.detector.calorimeter

    @cached_property
    def _flat(self) -> np.ndarray:
        """The flat index of each of the scorer's cells; -1 where there is none."""
        divisions = self.calorimeter.divisions
        each = [division.number for division in divisions]
        fast, middle = (max(numbers) for numbers in zip(*each, strict=True))
        flat = torch.full((len(each), middle, fast), -1)
        start = 0
        for layer, (n_fast, n_middle) in enumerate(each):
            m, f = torch.meshgrid(torch.arange(n_middle), torch.arange(n_fast), indexing="ij")
            places = start + m * n_fast + f
            flat[layer, :n_middle, :n_fast] = self.calorimeter.layer_order[places]
            start += n_fast * n_middle
        return flat.flatten().numpy()

    @property
    def recorded(self) -> Record:
        """What is recorded of each shower."""
        irregular = not self.calorimeter.divisions
        return self.record or (Record.HITS if irregular else Record.CELLS)

    def _finished(self, done: Done) -> Finished:
        threshold = 0.0 if self.recorded is Record.POINTS else self.detector.threshold
        recorded = self._recorded(done).read(self.detector.sampling_fraction, threshold)
        return Finished(done.number, recorded, done.milliseconds)

    def _recorded(self, done: Done) -> Recorded:
        if self.recorded is Record.CELLS:
            return Recorded(self._flat[done.where], done.energies)
        steps = Steps.of(done.where, done.energies, self.calorimeter)
        if self.recorded is Record.POINTS:
            return points_in(self.calorimeter, steps, self.merge)
        return hits_in(self.calorimeter, steps)

    def _job(self, species: Sequence[int], gate: Gate | None) -> Job:
        _require_installed()
        physics, found = physics_of(self.physics), find_data(self.data)
        found.require(physics)
        description = {
            "detector": self.detector.describe(),
            "cut": self.cut,
            "region_cuts": {role.value: cut for role, cut in self.region_cuts.items()},
            "species": list(species),
            "constructors": physics.constructors,
            "steps": self.recorded is not Record.CELLS,
            "gate": None if gate is None else gate.describe(),
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


def _times_of(finished: Sequence[Finished]) -> Tensor:
    return torch.tensor([one.milliseconds for one in finished], dtype=torch.float32)


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


def _places(particles: Particles) -> Float[Tensor, "showers 2"]:
    return torch.zeros(len(particles), 2) if particles.place is None else particles.place


def _task_of(number: int, event: Event, seed: int) -> Task:
    """An event, of the random numbers of its number in the run, as the task of another number."""
    particles = event.particles
    each = _tasks(particles, _places(particles), seed, event.number)
    first, *others = [(t.pdg, t.energy, t.impact, t.theta, t.phi) for t in each]
    (seeds,) = _seeds(seed, torch.tensor([event.number]))
    return Task(number, seeds, *first, tuple(others))


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
