"""How steps become showers inside a worker: by volumes, by places, or not at all; see `_inside`.

A cell has the number ``(layer * middle + m) * fast + f``, where f counts the cells along x or r, m
those along y or alpha. Boxes are volumes (`Divided`). Rings are not (`Virtual`): a border between
volumes ends a step. Where the cells are small beside the steps, as sectors near the beam in plates
of 0.3 mm silicon, that changes the scattering, lowers the energy by 1.5 to 2 % and shares it among
more cells. Where the cells have other shapes, or points or times are asked for, the steps leave the
worker one by one, and the calorimeter finds their cells.
"""

__all__ = ["Divided", "Task", "Virtual", "filled", "front_of", "readout_of"]

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import geant4_pybind as g4
import numpy as np

Description = Mapping[str, Any]
Places = tuple[np.ndarray, np.ndarray, np.ndarray]

_LAYER, _MIDDLE, _FAST = 3, 0, 1
"""How many volumes above the innermost one those stand whose numbers make up that of a cell."""


_LIGHT, _HARD = 20, 0.3
"""In materials of no element beyond this number, photons of more MeV are not asked what they
deposit, see `_filters`.
"""

_CHARGED = "charged"
"""The name of the filter that lets charged particles pass."""

_NUMBERS = 4
"""So many numbers are noted of a step: layer, x, y and energy."""

_DECIMALS = 9
"""Depths are rounded to so many decimals of a mm."""


class Task(NamedTuple):
    """One shower: its number, the seeds of its random numbers, the particle at the front face
    (PDG number, MeV, mm, radians), and the other particles of its event, alike.
    """

    number: int
    seeds: tuple[int, ...]
    pdg: int
    energy: float
    impact: tuple[float, float]
    theta: float
    phi: float
    others: tuple[tuple[Any, ...], ...] = ()


def filled(solid: Any, material: Any) -> Any:
    """A solid filled with a material, of the solid's name."""
    return g4.G4LogicalVolume(solid, material, solid.GetName())


def front_of(detector: Description, x: float) -> float:
    """The depth of the front face at x."""
    radius = detector.get("inner_radius")
    return 0.0 if radius is None else math.sqrt(radius**2 - x**2) - radius


def _shape(layers: Sequence[Description]) -> tuple[int, int, int]:
    """How many layers there are, and at most how many cells along y or alpha, and along x or r."""
    fast, middle = (
        max(numbers)
        for numbers in zip(*(_fast_and_middle(some["cells"]) for some in layers), strict=True)
    )
    return sum(some["number"] for some in layers), middle, fast


def _fast_and_middle(cells: Description) -> tuple[int, int]:
    return (
        tuple(cells["number"]) if "number" in cells else (len(_edges(cells)) - 1, cells["n_alpha"])
    )


def _edges(cells: Description) -> list[float]:
    return cells.get("r_edges") or [cells["width"] * i for i in range(cells["n_r"] + 1)]


def _read_by(name: str, scorers: Sequence[Any]) -> Any:
    """A detector of Geant4 that hands the steps in its volumes to scorers."""
    readout = g4.G4MultiFunctionalDetector(name)
    for scorer in scorers:
        readout.RegisterPrimitive(scorer)
    g4.G4SDManager.GetSDMpointer().AddNewDetector(readout)
    return readout


class Divided:
    """Readout of boxes: they are replicas that cut the active slabs, in which Geant4's own scorer
    in C++ sums the energies.
    """

    def __init__(self, layers: Sequence[Description]) -> None:
        self._layers = layers
        self._innermost: list[Any] = []

    def add(self, slab: Any, layer: int, cells: Description) -> None:
        """Divide an active slab into columns along x, and those into cells along y."""
        del layer
        (n_x, n_y), (d_x, d_y) = cells["number"], cells["size"]
        half, material = slab.GetSolid().GetZHalfLength(), slab.GetMaterial()
        field = filled(g4.G4Box("field", n_x * d_x / 2, n_y * d_y / 2, half), material)
        column = filled(g4.G4Box("column", d_x / 2, n_y * d_y / 2, half), material)
        cell = filled(g4.G4Box("cell", d_x / 2, d_y / 2, half), material)
        g4.G4PVPlacement(None, g4.G4ThreeVector(), field, "field", slab, False, 0)
        g4.G4PVReplica("column", column, field, g4.kXAxis, n_x, d_x)
        g4.G4PVReplica("cell", cell, column, g4.kYAxis, n_y, d_y)
        self._innermost.append(cell)

    def attach(self) -> None:
        """Hand the steps to the scorer."""
        scorer = g4.G4PSEnergyDeposit3D("energy", *_shape(self._layers), _LAYER, _MIDDLE, _FAST)
        readout = _read_by("readout", [scorer])
        for cell in self._innermost:
            cell.SetSensitiveDetector(readout)

    def read(self, event: Any, task: Task) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the cells hit and their energies."""
        del task
        hits = np.array(list(event.GetHCofThisEvent().GetHC(0))).reshape(-1, 2)
        return hits[:, 0].astype(np.int32), hits[:, 1].copy()


class Recorder(g4.G4VPrimitiveScorer):  # type: ignore[misc]
    """Notes layer (twice z, where there is none), twice x and y, energy, and where it is asked for
    the time, in ns, of each step with a deposit, of those that a filter of Geant4 lets pass.

    No scorer of Geant4 goes by position, so this is called from Python within the step loop, for
    steps of charged particles in active slabs and for those of neutral ones. The cells are found
    after the event. In `par04-lowgran` it takes 0.12 to 0.17 s of 0.35 to 0.50 s for an electron of
    20 GeV, as long in all as with real sectors.
    """

    def __init__(
        self,
        layer: int | None,
        passing: Any,
        note: Callable[[tuple[float, ...]], None],
        *,
        timed: bool,
    ) -> None:
        super().__init__(passing.GetName(), 0)
        self.SetFilter(passing)
        self._layer, self._note, self._timed, self._step = layer, note, timed, None

    def ProcessHits(self, step: Any, history: Any) -> bool:  # noqa: N802
        """Note one step. Geant4 has but one object for all steps: its methods are looked
        up once.
        """
        if self._step is None:
            self._look_up(step)
        deposit = self._deposit()
        if deposit:
            twice = self._one_place() + self._other_place()
            depth = twice.z if self._layer is None else self._layer
            row = depth, twice.x, twice.y, deposit
            self._note((*row, self._time()) if self._timed else row)
        return True

    def _look_up(self, step: Any) -> None:
        self._step, self._deposit, self._other_place = (
            step,
            step.GetTotalEnergyDeposit,
            step.GetPostStepPoint().GetPosition,
        )
        self._one_place = (
            step.GetPreStepPoint().GetPosition if self.GetName() == _CHARGED else self._other_place
        )
        self._time = step.GetPostStepPoint().GetGlobalTime


class Virtual:
    """Readout of rings: the deposit of a step belongs to the layer in which it is made, and to the
    ring and sector that hold its middle; a neutral particle's, all of which is left where the step
    ends, to those of its end.

    A world of rings without matter beside the real one changes the physics as real rings do, at
    twice the time.

    Arguments:
        layers: The layers of the detector.
        steps: Whether the steps themselves are read, with their times, whatever the cells.
    """

    def __init__(self, layers: Sequence[Description], *, steps: bool = False) -> None:
        self._layers, self._steps = layers, steps
        self._slabs: list[tuple[int | None, Any]] = []
        self._notes = array("d")
        self._kept: list[Any] = []

    def add(self, slab: Any, layer: int | None, cells: Description) -> None:
        """Take an active slab as it is."""
        del cells
        self._slabs.append((layer, slab))

    def attach(self) -> None:
        """Hand the steps to recorders, some to each slab."""
        filters, note = _filters(), self._notes.extend
        for number, (layer, slab) in enumerate(self._slabs):
            passing = filters["heavy" if _is_heavy(slab.GetMaterial()) else "light"]
            recorders = [Recorder(layer, each, note, timed=self._steps) for each in passing]
            slab.SetSensitiveDetector(_read_by(f"readout{number}", recorders))
            self._kept += recorders

    def read(self, event: Any, task: Task) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the cells hit and their energies; or layer, x, y and time of each step,
        with shape (steps, 4), and their energies.
        """
        del event
        rows = np.array(self._notes).reshape(-1, _NUMBERS + self._steps)
        del self._notes[:]
        depth, twice_x, twice_y, deposits, *time = rows.T
        places = self._places(depth, twice_x / 2, twice_y / 2, task)
        if time:
            return np.stack([*places, *time], axis=1), deposits.copy()
        cells = self._cells(*places)
        energies = np.bincount(cells[cells >= 0], deposits[cells >= 0])
        hit = np.flatnonzero(energies)
        return hit.astype(np.int32), energies[hit]

    def _places(self, depth: np.ndarray, x: np.ndarray, y: np.ndarray, task: Task) -> Places:
        """The layer of each deposit, and where it lies among its cells."""
        del task
        return depth.astype(int), x, y

    def _cells(self, layer: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The numbers of the cells that hold some places; -1 where there is none."""
        _, middle, fast = _shape(self._layers)
        r, turn = np.hypot(x, y), np.arctan2(y, x) / (2 * math.pi) + 0.5
        numbers, first = np.full(len(layer), -1), 0
        for layers in self._layers:
            edges, n_alpha = _edges(layers["cells"]), layers["cells"]["n_alpha"]
            inside = (
                (layer >= first)
                & (layer < first + layers["number"])
                & (r >= edges[0])
                & (r < edges[-1])
            )
            ring = np.searchsorted(edges, r[inside], side="right") - 1
            sector = (turn[inside] * n_alpha).astype(int) % n_alpha
            numbers[inside] = (layer[inside] * middle + sector) * fast + ring
            first += layers["number"]
        return numbers


class Moving(Virtual):
    """Readout of rings along the particle: depth is counted along its direction, from its place on
    the front face; see `caloforge.geometry.CylinderGrid`.
    """

    def __init__(self, detector: Description, *, steps: bool = False) -> None:
        super().__init__(detector["layers"], steps=steps)
        self._detector = detector
        each = [
            sum(slab["thickness"] for slab in layers["slabs"])
            for layers in detector["layers"]
            for _ in range(layers["number"])
        ]
        self._edges = np.round(np.cumsum([0.0, *each]), _DECIMALS)

    def add(self, slab: Any, layer: int | None, cells: Description) -> None:
        """Take an active slab as it is: it belongs to no layer."""
        del layer
        super().add(slab, None, cells)

    def _places(self, depth: np.ndarray, x: np.ndarray, y: np.ndarray, task: Task) -> Places:
        (x_0, y_0), z = task.impact, depth / 2 - front_of(self._detector, task.impact[0])
        sine, cosine = math.sin(task.phi), math.cos(task.phi)
        along = (x - x_0) * cosine + (y - y_0) * sine
        aside = (y - y_0) * cosine - (x - x_0) * sine
        tilted = along * math.cos(task.theta) - z * math.sin(task.theta)
        way = along * math.sin(task.theta) + z * math.cos(task.theta)
        layer = np.searchsorted(self._edges, way, side="right") - 1
        return layer, tilted * cosine - aside * sine, tilted * sine + aside * cosine


def _is_heavy(material: Any) -> bool:
    return any(element.GetZ() > _LIGHT for element in material.GetElementVector())


def _filters() -> dict[str, list[Any]]:
    """Filters in C++ that between them let all steps pass once; in light materials but those of
    photons above 0.3 MeV.

    Such photons cross silicon nearly always without a deposit: what is lost is the binding energy
    that the few absorbed ones leave, less than 1e-6 of the energy in 0.3 mm silicon.
    """
    table = g4.G4ParticleTable.GetParticleTable()
    particles = (table.GetParticle(index) for index in range(table.entries()))
    neutral = [particle.GetParticleName() for particle in particles if particle.GetPDGCharge() == 0]
    photon = g4.G4SDParticleWithEnergyFilter("photon", 0.0, _HARD)
    photon.add("gamma")
    other = g4.G4SDParticleFilter("other")
    for name in set(neutral) - {"gamma"}:
        other.add(name)
    charged = g4.G4SDChargedFilter(_CHARGED)
    return {"light": [charged, photon, other], "heavy": [charged, g4.G4SDNeutralFilter("neutral")]}


def readout_of(detector: Description, *, steps: bool) -> Divided | Virtual:
    """What reads a detector: its cells, or the steps themselves."""
    layers = detector["layers"]
    if detector.get("along_particle"):
        return Moving(detector, steps=steps)
    boxes = all("number" in some["cells"] for some in layers)
    return Divided(layers) if boxes and not steps else Virtual(layers, steps=steps)
