r"""A hybrid run: Geant4's events, in which a surrogate makes the showers of some particles.

An event is several particles that set out together. Some are taken out of Geant4 where they enter
the front face, and so are secondaries from matter before it. A surrogate makes their showers, and
the energies of cell :math:`c` add up before the threshold :math:`t` of the readout is asked:

.. math:: E_c = e_c \, \theta(e_c - t), \qquad
          e_c = E^\mathrm{Geant4}_c + \sum_r E^\mathrm{surrogate}_{rc}.

The surrogate's cells are the readout's, in place. So a particle is taken only if the surrogate was
made for its energy, angle and place, or departs from these by no more than is allowed.

The :math:`r`-th particle taken from event :math:`i` has the number :math:`i + 2^{32} r`: its shower
depends on neither workers nor batches, and that of an event of one is the surrogate's own.
"""

__all__ = ["EventSource", "Events", "Hybrid"]

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.chain import describe
from caloforge.errors import ShowerValueError
from caloforge.geometry import Calorimeter
from caloforge.gun import ParticleSource
from caloforge.hits import AnyShowers, Hits, dense
from caloforge.particles import Index, Particles, name_of, rows_of
from caloforge.showers import Showers, spans
from caloforge.simulators import Geant4, Simulator, Validity
from caloforge.simulators.geant4.events import Event, Gate
from caloforge.simulators.protocols import Progress, silent
from caloforge.units import format_energy

_RANK = 1 << 32
"""The numbers of the particles of one rank lie so far from those of the next."""

_GAP = 8
"""So many showers too many are rather made than a batch cut in two."""

_NUMBERS = 1 << 25
"""So many energies of cells are held at a time."""


class Events(Particles):
    """Events of so many particles each. As `Particles`, they are the sums: the energies of all, and
    the species that all have. One of a single particle is that particle.

    Arguments:
        members: The particles, those of the first event first.
        each: How many an event has.

    Raises:
        ShowerValueError: Their number is no multiple of it.
    """

    members: Particles
    each: int

    def __init__(self, members: Particles, each: int) -> None:
        if each < 1 or len(members) % each:
            msg = (
                f"{len(members)} particles are no events of {each} each, expected a multiple of it"
            )
            raise ShowerValueError(msg)
        object.__setattr__(self, "members", members)
        object.__setattr__(self, "each", each)
        if each == 1:
            further = (members.theta, members.phi, members.place, members.matter)
            super().__init__(members.energies, members.pdg, *further)
            return
        species = members.species
        sums = members.energies.double().view(-1, each).sum(dim=1).float()
        super().__init__(sums, species[0] if len(species) == 1 else None)

    def __getitem__(self, index: Index) -> "Events":
        rows = rows_of(index, len(self))
        members = torch.arange(len(self.members)).view(-1, self.each)[rows].flatten()
        return Events(self.members[members], self.each)


@dataclass(frozen=True)
class EventSource:
    """Events of a source of particles, had by slices.

    Arguments:
        particles: The particles, a multiple of ``each``.
        each: How many an event has.
    """

    particles: ParticleSource
    each: int

    def __len__(self) -> int:
        return len(self.particles) // self.each

    def __getitem__(self, index: slice) -> Events:
        start, stop, _ = index.indices(len(self))
        return Events(self.particles[start * self.each : stop * self.each], self.each)


class _Taken(NamedTuple):
    """A particle taken out: the row of its event, its rank there, and the particle."""

    row: int
    rank: int
    particle: Particles


@dataclass(frozen=True)
class Hybrid:
    """Simulator of events by Geant4 and a surrogate.

    Arguments:
        geant4: The full simulation.
        surrogate: What makes the showers of the particles that are taken; None to take none.
        species: Their PDG numbers; empty for all that the surrogate is made for.
        above: Their least energy, in MeV.
        angle: By so much, in radians, may the angle exceed the surrogate's largest; it is then set
            to that.
        offset: The same of the distance from the centre, in mm.
        counts: How many particles were taken, counted while the hybrid works.

    Raises:
        GeometryMismatchError: The surrogate's cells are others than the detector's.
        ShowerValueError: The surrogate is not made for a species, or only for smaller energies.
    """

    geant4: Geant4
    surrogate: Simulator | None = None
    species: tuple[int, ...] = ()
    above: float = 0.0
    angle: float = 0.0
    offset: float = 0.0
    counts: Counter[str] = field(default_factory=Counter, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.surrogate is None:
            return
        self.calorimeter.require(self.surrogate.calorimeter, "the surrogate of a hybrid run")
        made = self.surrogate.validity
        others = [name_of(pdg) for pdg in self.species if made.species and pdg not in made.species]
        if others:
            known = ", ".join(map(name_of, made.species))
            msg = f"the surrogate is not made for {', '.join(others)}: expected some of {known}"
            raise ShowerValueError(msg)
        if self.above > made.highest:
            msg = (
                f"particles above {format_energy(self.above)} are to be replaced, and the "
                f"surrogate is made for at most {format_energy(made.highest)}"
            )
            raise ShowerValueError(msg)

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""
        return self.geant4.calorimeter

    @property
    def validity(self) -> Validity:
        """That of Geant4: it simulates what the surrogate is not made for."""
        return self.geant4.validity

    @property
    def gate(self) -> Gate | None:
        """Which particles are taken; None for none."""
        if self.surrogate is None:
            return None
        made = self.surrogate.validity
        species = self.species or made.species
        lowest = max(self.above, made.lowest)
        angle, offset = made.largest_angle + self.angle, made.largest_offset + self.offset
        return Gate(species, lowest, made.highest, angle, offset)

    def simulate(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> AnyShowers:
        """Simulate events.

        Arguments:
            particles: `Events`, or particles, each of which is an event of its own.
            seed: The seed of the run.
            first_index: The number, in the run, of the first event.
            progress: Given the number of events just finished.

        Returns:
            A shower an event, with all energy of the event; dense, or hits in irregular cells.

        Raises:
            ShowerValueError: Events of several particles are to be read by cells that lie along
                each of them.
            CaloforgeError: What Geant4 or the surrogate raise.
        """
        events = particles if isinstance(particles, Events) else Events(particles, 1)
        if self.calorimeter.along_particle and events.each > 1:
            msg = (
                f"the cells of detector '{self.geant4.detector.name}' lie along each particle: an "
                "event of several has no cells in common, choose a detector whose cells stay"
            )
            raise ShowerValueError(msg)
        size = max(1, _NUMBERS // self.calorimeter.n_cells)
        parts = [
            self._simulate(events[span], seed, first_index + span.start, progress)
            for span in spans(len(events), size) or [slice(0, 0)]
        ]
        deposits = torch.cat(parts)
        threshold = self.geant4.detector.threshold or None
        showers = Showers(deposits, particles, self.calorimeter, threshold=threshold)
        return showers if self.calorimeter.divisions else Hits.of(showers)

    def describe(self) -> dict[str, Any]:
        """The description as plain values, fit for JSON."""
        gate = None if self.gate is None else self.gate.describe()
        surrogate = None if self.surrogate is None else describe(self.surrogate)
        said: Mapping[str, Any] = {"full": describe(self.geant4), "surrogate": surrogate}
        return {"kind": "hybrid", **said, "replaced": _finite(gate)}

    def _simulate(
        self, events: Events, seed: int, first: int, progress: Progress
    ) -> Float[Tensor, "events cells"]:
        deposits = torch.zeros(len(events), self.calorimeter.n_cells, dtype=torch.float64)
        left, taken = self._parted(events, first)
        done = len(events) - len(left)
        progress(done)
        for row, found, entered in self._full(left, seed, first):
            deposits[row].index_add_(0, *found)
            taken += [_Taken(row, rank, one) for rank, one in enumerate(entered)]
            progress(1)
        self.counts["events"] += len(events)
        self.counts["replaced"] += len(taken)
        if taken:
            self._add_showers(deposits, taken, seed, first)
        lit = (deposits > 0) & (deposits >= self.geant4.detector.threshold)
        return torch.where(lit, deposits, 0.0).float()

    def _parted(self, events: Events, first: int) -> tuple[list[Event], list[_Taken]]:
        """What Geant4 simulates; and, where particles start at the face, those that are taken
        there.
        """
        gate, left, taken = self.gate, [], list[_Taken]()
        here = gate is not None and not self.geant4.detector.distance
        for row in range(len(events)):
            members = events.members[row * events.each : (row + 1) * events.each]
            if here and gate is not None:
                passes = _passes(gate, members)
                chosen = passes.nonzero()[:, 0].tolist()
                taken += [_Taken(row, rank, members[k]) for rank, k in enumerate(chosen)]
                members = members[~passes]
            if len(members):
                left.append(Event(first + row, members))
        return left, taken

    def _full(
        self, left: Sequence[Event], seed: int, first: int
    ) -> Iterator[tuple[int, tuple[Tensor, Tensor], Sequence[Particles]]]:
        """The row of each event that Geant4 simulates, the cells hit and their energies, and what
        was taken where it entered.
        """
        if not left:
            return
        gate = self.gate if self.geant4.detector.distance else None
        finished = self.geant4.events(left, seed=seed, gate=gate)
        for event, (recorded, entered) in zip(left, finished, strict=True):
            found = torch.from_numpy(recorded.cells).long(), torch.from_numpy(recorded.energies)
            yield event.number - first, found, () if entered is None else tuple(entered)

    def _add_showers(
        self, deposits: Tensor, taken: Sequence[_Taken], seed: int, first: int
    ) -> None:
        """Add the surrogate's showers, rank by rank and run by run."""
        for rank in range(1 + max(one.rank for one in taken)):
            some = sorted((one for one in taken if one.rank == rank), key=lambda one: one.row)
            for run in _runs(some):
                self._add_run(deposits, run, seed, first + rank * _RANK)

    def _add_run(self, deposits: Tensor, run: Sequence[_Taken], seed: int, first: int) -> None:
        """Add showers of consecutive numbers; the few events between that have none are made, and
        left out.
        """
        if self.surrogate is None:
            return
        rows = torch.tensor([one.row for one in run])
        start = run[0].row
        every = torch.arange(start, int(rows[-1]) + 1)
        particles = self._as_known(Particles.cat([one.particle for one in run]))
        filled = particles[torch.searchsorted(rows, every, right=True) - 1]
        made = self.surrogate.simulate(filled, seed=seed, first_index=first + start)
        deposits.index_add_(0, rows, dense(made).deposits[rows - start].double())

    def _as_known(self, particles: Particles) -> Particles:
        """The particles, with angles and places such as the surrogate is made for."""
        if self.surrogate is None:
            return particles
        made = self.surrogate.validity
        theta, phi, place = particles.theta, particles.phi, particles.place
        if theta is not None:
            theta = theta.clamp(max=made.largest_angle) if made.largest_angle else None
        if place is not None:
            far = place.norm(dim=1, keepdim=True) / max(made.largest_offset, 1e-9)
            place = place / far.clamp(min=1) if made.largest_offset else None
        species = particles.species
        pdg = species[0] if len(species) == 1 else particles.pdg
        return Particles(particles.energies, pdg, theta, None if theta is None else phi, place)


def _passes(gate: Gate, particles: Particles) -> Tensor:
    """Which particles a gate takes, of some that start at the face."""
    n = len(particles)
    species = torch.as_tensor(-1 if particles.pdg is None else particles.pdg).expand(n)
    theta = torch.zeros(n) if particles.theta is None else particles.theta.abs()
    offset = torch.zeros(n) if particles.place is None else particles.place.norm(dim=1)
    energies = particles.energies
    return (
        torch.isin(species, torch.tensor(gate.species))
        & (energies >= gate.lowest)
        & (energies <= gate.highest)
        & (theta <= gate.angle)
        & (offset <= gate.offset)
    )


def _runs(taken: Sequence[_Taken]) -> Iterator[Sequence[_Taken]]:
    """Runs of events with few gaps."""
    start = 0
    for k in range(1, len(taken) + 1):
        if k == len(taken) or taken[k].row - taken[k - 1].row > _GAP:
            yield taken[start:k]
            start = k


def _finite(gate: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """JSON knows no infinity: what has no bound is left out."""
    if gate is None:
        return None
    return {k: v for k, v in gate.items() if not isinstance(v, float) or math.isfinite(v)}
