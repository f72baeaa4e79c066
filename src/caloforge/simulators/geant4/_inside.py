"""What runs inside a worker: Geant4 itself, one shower after another, on orders from a connection.

The file is run by its path, in a Python of its own that imports nothing of caloforge: a worker
starts in a fraction of a second, and has no more memory than Geant4 needs. It takes plain values
and gives plain values.

Matter is built as boxes, one behind the other, or as concentric tubes. A cell has the number
``(layer * middle + m) * fast + f``, where f counts the cells along x or r, m those along y or
alpha. Boxes are volumes (`Divided`). Rings are not (`Virtual`): a border between volumes ends a
step. Where the cells are small beside the steps, as sectors near the beam in plates of 0.3 mm
silicon, that changes the scattering, lowers the energy by 1.5 to 2 % and shares it among more
cells.
"""

__all__: list[str] = []

import math
import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import geant4_pybind as g4
import numpy as np

Description = Mapping[str, Any]
Places = tuple[np.ndarray, np.ndarray, np.ndarray]

_MARGIN = 10.0
"""How much of the surroundings is built behind and beside the detector, in mm."""

_LAYER, _MIDDLE, _FAST = 3, 0, 1
"""How many volumes above the innermost one those stand whose numbers make up that of a cell."""


_LIGHT, _HARD = 20, 0.3
"""In materials of no element beyond this number, photons of more MeV are not asked what they
deposit (see above).
"""

_CHARGED = "charged"
"""The name of the filter that lets charged particles pass."""

_GROUP = 12
"""So many tubes stand in one volume."""

_DECIMALS = 9
"""Depths are rounded to so many decimals of a mm."""


class Task(NamedTuple):
    """One shower: its number, the seeds of its random numbers, and the particle at the front face
    (PDG number, MeV, mm, radians).
    """

    number: int
    seeds: tuple[int, ...]
    pdg: int
    energy: float
    impact: tuple[float, float]
    theta: float
    phi: float


class Done(NamedTuple):
    """One finished shower: its number, the scorer's numbers of the cells hit, their energies in
    MeV, the time in ms.
    """

    number: int
    cells: np.ndarray
    energies: np.ndarray
    milliseconds: float


class UnknownMaterialError(Exception):
    """Raised when a material is not one that Geant4 knows."""


class UnknownParticleError(Exception):
    """Raised when the particle is not one that Geant4 knows."""


def _material(name: str, mixtures: Description) -> Any:
    nist = g4.G4NistManager.Instance()
    if name not in mixtures:
        material = nist.FindOrBuildMaterial(name)
        if material is None:
            known = [str(other) for other in nist.GetNistMaterialNames()]
            close = [other for other in known if name[3:5].lower() in other.lower()]
            like = ", ".join(close[:8] or known[:8])
            msg = (
                f"unknown material '{name}': Geant4's NIST tables have {len(known)} materials, "
                f"such as {like}"
            )
            raise UnknownMaterialError(msg)
        return material
    found = g4.G4Material.GetMaterial(name, False)
    return found if found is not None else _mixture(name, mixtures[name])


def _mixture(name: str, mixture: Description) -> Any:
    nist = g4.G4NistManager.Instance()
    parts = mixture.get("atoms") or mixture["mass_fractions"]
    material = g4.G4Material(name, mixture["density"] * g4.g / g4.cm3, len(parts))
    total = sum(parts.values())
    for symbol, share in parts.items():
        element = nist.FindOrBuildElement(symbol)
        if "atoms" in mixture:
            material.AddElementByNumberOfAtoms(element, share)
        else:
            material.AddElementByMassFraction(element, share / total)
    return material


def _volume(solid: Any, material: Any) -> Any:
    return g4.G4LogicalVolume(solid, material, solid.GetName())


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
        field = _volume(g4.G4Box("field", n_x * d_x / 2, n_y * d_y / 2, half), material)
        column = _volume(g4.G4Box("column", d_x / 2, n_y * d_y / 2, half), material)
        cell = _volume(g4.G4Box("cell", d_x / 2, d_y / 2, half), material)
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
    """Notes layer (twice z, where there is none), twice x and y, and energy of each step with a
    deposit, of those that a filter of Geant4 lets pass.

    No scorer of Geant4 goes by position, so this is called from Python within the step loop, for
    steps of charged particles in active slabs and for those of neutral ones. The cells are found
    after the event. In `par04-lowgran` it takes 0.12 to 0.17 s of 0.35 to 0.50 s for an electron of
    20 GeV, as long in all as with real sectors.
    """

    def __init__(
        self, layer: int | None, passing: Any, note: Callable[[tuple[float, ...]], None]
    ) -> None:
        super().__init__(passing.GetName(), 0)
        self.SetFilter(passing)
        self._layer, self._note, self._step = layer, note, None

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
            self._note((depth, twice.x, twice.y, deposit))
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


class Virtual:
    """Readout of rings: the deposit of a step belongs to the layer in which it is made, and to the
    ring and sector that hold its middle; a neutral particle's, all of which is left where the step
    ends, to those of its end.

    A world of rings without matter beside the real one changes the physics as real rings do, at
    twice the time.
    """

    def __init__(self, layers: Sequence[Description]) -> None:
        self._layers = layers
        self._slabs: list[tuple[int | None, Any]] = []
        self._notes = array("d")
        self._kept: list[Any] = []

    def add(self, slab: Any, layer: int | None, cells: Description) -> None:
        """Take an active slab as it is."""
        del cells
        self._slabs.append((layer, slab))

    def attach(self) -> None:
        """Hand the steps to recorders, some to each slab."""
        filters = _filters()
        for number, (layer, slab) in enumerate(self._slabs):
            passing = filters["heavy" if _is_heavy(slab.GetMaterial()) else "light"]
            recorders = [Recorder(layer, each, self._notes.extend) for each in passing]
            slab.SetSensitiveDetector(_read_by(f"readout{number}", recorders))
            self._kept += recorders

    def read(self, event: Any, task: Task) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the cells hit and their energies."""
        del event
        depth, twice_x, twice_y, deposits = np.array(self._notes).reshape(-1, 4).T
        del self._notes[:]
        cells = self._cells(*self._places(depth, twice_x / 2, twice_y / 2, task))
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

    def __init__(self, detector: Description) -> None:
        super().__init__(detector["layers"])
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
        (x_0, y_0), z = task.impact, depth / 2 - _front(self._detector, task.impact[0])
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


class Construction(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
    """The detector in its surroundings; cells that are volumes are part of the active slabs."""

    def __init__(self, detector: Description, readout: Divided | Virtual) -> None:
        super().__init__()
        self._detector, self._readout = detector, readout
        self._turn = g4.G4RotationMatrix()

    def Construct(self) -> Any:  # noqa: N802
        """Build all matter."""
        detector = self._detector
        world = _volume(
            g4.G4Box("world", *_half_sizes(detector)), self._material(detector["surroundings"])
        )
        if "inner_radius" in detector:
            self._place_tubes(world)
        else:
            self._place_boxes(world)
        return g4.G4PVPlacement(None, g4.G4ThreeVector(), world, "world", None, False, 0)

    def ConstructSDandField(self) -> None:  # noqa: N802
        """Attach the readout."""
        self._readout.attach()

    def _material(self, name: str) -> Any:
        return _material(name, self._detector["mixtures"])

    def _place_boxes(self, world: Any) -> None:
        for slab, depth, number in _slabs(self._detector):
            half = slab["thickness"] / 2
            solid = g4.G4Box("slab", *(width / 2 for width in self._detector["face"]), half)
            volume = self._built(slab, solid, number)
            g4.G4PVPlacement(
                None,
                g4.G4ThreeVector(0, 0, depth + half),
                volume,
                slab["material"],
                world,
                False,
                number,
            )

    def _place_tubes(self, world: Any) -> None:
        """Tubes stand in groups, in volumes of their own: Geant4 finds its way among them in less
        time.
        """
        inner, (arc, length) = self._detector["inner_radius"], self._detector["face"]
        angle = min(arc / inner, 2 * math.pi)
        self._turn.rotateX(math.pi / 2)

        def tube(name: str, r: float, thickness: float) -> Any:
            return g4.G4Tubs(name, r, r + thickness, length / 2, -(math.pi + angle) / 2, angle)

        slabs = list(_slabs(self._detector))
        for group in (slabs[first : first + _GROUP] for first in range(0, len(slabs), _GROUP)):
            front, thickness = group[0][1], group[-1][1] + group[-1][0]["thickness"] - group[0][1]
            mother = _volume(tube("group", inner + front, thickness), world.GetMaterial())
            g4.G4PVPlacement(
                self._turn, g4.G4ThreeVector(0, 0, -inner), mother, "group", world, False, 0
            )
            for slab, depth, number in group:
                volume = self._built(slab, tube("slab", inner + depth, slab["thickness"]), number)
                g4.G4PVPlacement(
                    None, g4.G4ThreeVector(), volume, slab["material"], mother, False, number
                )

    def _built(self, slab: Description, solid: Any, number: int) -> Any:
        volume = _volume(solid, self._material(slab["material"]))
        if slab["role"] == "active":
            self._readout.add(volume, number, slab["cells"])
        return volume


def _half_sizes(detector: Description) -> tuple[float, float, float]:
    """Half the sizes of the world, whose middle is that of the front face."""
    depth = sum(
        layers["number"] * slab["thickness"]
        for layers in detector["layers"]
        for slab in layers["slabs"]
    )
    (width, length), distance = detector["face"], detector["distance"] + _MARGIN
    if "inner_radius" in detector:
        outer = detector["inner_radius"] + depth
        return outer + _MARGIN, length / 2 + _MARGIN, detector["inner_radius"] + outer + _MARGIN
    return width / 2 + distance, length / 2 + distance, max(depth, detector["distance"]) + _MARGIN


def _slabs(detector: Description) -> Iterator[tuple[Description, float, int]]:
    """Each slab, with the cells of its layer, the depth of its front in mm, and the number of its
    layer.
    """
    front, number = 0.0, 0
    for layers in detector["layers"]:
        for _ in range(layers["number"]):
            for slab in layers["slabs"]:
                yield {**slab, "cells": layers["cells"]}, front, number
                front += slab["thickness"]
            number += 1


def _front(detector: Description, x: float) -> float:
    """The depth of the front face at x."""
    radius = detector.get("inner_radius")
    return 0.0 if radius is None else math.sqrt(radius**2 - x**2) - radius


def _particle(pdg: int) -> Any:
    particle = g4.G4ParticleTable.GetParticleTable().FindParticle(pdg)
    if particle is None:
        msg = f"Geant4 knows no particle with PDG number {pdg}"
        raise UnknownParticleError(msg)
    return particle


class Gun(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
    """One particle an event, its random numbers started anew for it."""

    def __init__(self, species: Sequence[int], detector: Description, state: "State") -> None:
        super().__init__()
        self._gun, self._detector, self._state = g4.G4ParticleGun(1), detector, state
        self._species = {pdg: _particle(pdg) for pdg in species}

    def GeneratePrimaries(self, event: Any) -> None:  # noqa: N802
        """Start the particle of the task at hand."""
        task = self._state.task
        g4.G4Random.setTheSeeds([*task.seeds, 0], len(task.seeds))
        sine, cosine = math.sin(task.theta), math.cos(task.theta)
        direction = sine * math.cos(task.phi), sine * math.sin(task.phi), cosine
        back = self._detector["distance"] / cosine
        met = *task.impact, _front(self._detector, task.impact[0])
        x, y, z = (place - back * d for place, d in zip(met, direction, strict=True))
        self._gun.SetParticleDefinition(self._species[task.pdg])
        self._gun.SetParticlePosition(g4.G4ThreeVector(x, y, z))
        self._gun.SetParticleMomentumDirection(g4.G4ThreeVector(*direction))
        self._gun.SetParticleEnergy(task.energy)
        self._gun.GeneratePrimaryVertex(event)
        self._state.start = time.thread_time()


class Reader(g4.G4UserEventAction):  # type: ignore[misc]
    """Takes the energies of the cells when an event is over."""

    def __init__(self, readout: Divided | Virtual, state: "State") -> None:
        super().__init__()
        self._readout, self._state = readout, state

    def EndOfEventAction(self, event: Any) -> None:  # noqa: N802
        """Keep the finished shower."""
        milliseconds = 1000 * (time.thread_time() - self._state.start)
        task = self._state.task
        self._state.done = Done(task.number, *self._readout.read(event, task), milliseconds)


class State:
    """What the actions share: the task at hand, when it began, and what came of it."""

    task: Task
    start: float
    done: Done


class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
    """Gives Geant4 the gun and the reader."""

    def __init__(self, job: Description, readout: Divided | Virtual, state: State) -> None:
        super().__init__()
        self._job, self._readout, self._state = job, readout, state

    def Build(self) -> None:  # noqa: N802
        """Hand over both; Geant4 owns them from now on."""
        self.SetUserAction(Gun(self._job["species"], self._job["detector"], self._state))
        self.SetUserAction(Reader(self._readout, self._state))


def _physics(constructors: Sequence[str]) -> Any:
    physics = g4.G4VModularPhysicsList()
    for name in constructors:
        physics.RegisterPhysics(getattr(g4, name)())
    return physics


def _readout(detector: Description) -> Divided | Virtual:
    layers = detector["layers"]
    if detector.get("along_particle"):
        return Moving(detector)
    return Divided(layers) if "number" in layers[0]["cells"] else Virtual(layers)


def _started(job: Description, state: State) -> Any:
    """Geant4, ready for the first event."""
    manager = g4.G4RunManager()
    readout = _readout(job["detector"])
    construction = Construction(job["detector"], readout)
    physics = _physics(job["constructors"])
    physics.SetVerboseLevel(0)
    manager.SetUserInitialization(construction)
    manager.SetUserInitialization(physics)
    del physics, construction
    manager.SetUserInitialization(Actions(job, readout, state))
    commands = g4.G4UImanager.GetUIpointer()
    quiet = (
        "/control/verbose 0",
        "/run/verbose 0",
        "/process/em/verbose 0",
        "/process/verbose 0",
        "/process/had/verbose 0",
    )
    for command in (*quiet, f"/run/setCut {job['cut']!r} mm"):
        commands.ApplyCommand(command)
    _try_out(job)
    manager.Initialize()
    return manager


def _try_out(job: Description) -> None:
    """Find unknown materials before Geant4 does: there no Python exception may pass."""
    detector = job["detector"]
    names = [
        detector["surroundings"],
        *(slab["material"] for layers in detector["layers"] for slab in layers["slabs"]),
    ]
    for name in dict.fromkeys(names):
        _material(name, detector["mixtures"])


def _showers(job: Description, tasks: Iterator[Task]) -> Iterator[Done]:
    state = State()
    manager = _started(job, state)
    for state.task in tasks:
        manager.BeamOn(1)
        yield state.done


def _serve(connection: Connection) -> None:
    """Work until the other side has no more to do or is gone."""
    try:
        job = connection.recv()
        for done in _showers(job, (Task(*words) for words in iter(connection.recv, None))):
            connection.send(("done", tuple(done)))
    except UnknownMaterialError as error:
        connection.send(("geometry", str(error)))
    except UnknownParticleError as error:
        connection.send(("particle", str(error)))
    except (EOFError, OSError):
        return


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
    sys.stdout.flush()
    os._exit(0)
