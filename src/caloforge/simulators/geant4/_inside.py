"""What runs inside a worker: Geant4 itself, one shower after another, told by a connection what to do.

The file is run by its path, in a Python of its own that imports nothing of caloforge: a worker starts in a fraction of a
second, and has no more memory than Geant4 needs. It takes plain values and gives plain values.

Matter is built as boxes, one behind the other. An active slab holds a field, the area of the cells, cut by replicas of boxes,
or of sectors of rings; Geant4's own scorer in C++ sums the energy of each cell, so that no Python runs between two steps. The
scorer's number of a cell is ``(layer * middle + m) * fast + f``, where f counts the cells along x or r, m those along y or
alpha.

A border between cells ends a step. Where cells are small beside the steps, as sectors near the beam in plates of 0.3 mm
silicon, that lowers the energy by 1.5 to 2 % and shares it among more cells; a world of rings without matter beside the real
one does the same, at twice the time.
"""

__all__: list[str] = []

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import geant4_pybind as g4
import numpy as np

Description = Mapping[str, Any]

_MARGIN = 10.0
"""How much of the surroundings is built behind and beside the detector, in mm."""

_LAYER, _MIDDLE, _FAST = 3, 0, 1
"""How many volumes above the innermost one those stand whose numbers make up that of a cell."""


class Task(NamedTuple):
    """One shower: its number, the seeds of its random numbers, and the particle at the front face (mm, MeV, radians)."""

    number: int
    seeds: tuple[int, ...]
    energy: float
    impact: tuple[float, float]
    theta: float
    phi: float


class Done(NamedTuple):
    """One finished shower: its number, the scorer's numbers of the cells hit, their energies in MeV, the time in ms."""

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
            msg = f"unknown material '{name}': Geant4's NIST tables have {len(known)} materials, such as {like}"
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


def _field(cells: Description, thickness: float, material: Any) -> tuple[Any, list[Any]]:
    """The volume of all cells of a slab, and the innermost ones."""
    if "number" in cells:
        return _boxes(cells["number"], cells["size"], thickness / 2, material)
    edges = cells.get("r_edges") or [cells["width"] * i for i in range(cells["n_r"] + 1)]
    return _rings(edges, cells["n_alpha"], thickness / 2, material)


def _boxes(number: tuple[int, int], size: tuple[float, float], depth: float, material: Any) -> tuple[Any, list[Any]]:
    (n_x, n_y), (d_x, d_y) = number, size
    field = _volume(g4.G4Box("field", n_x * d_x / 2, n_y * d_y / 2, depth), material)
    column = _volume(g4.G4Box("column", d_x / 2, n_y * d_y / 2, depth), material)
    cell = _volume(g4.G4Box("cell", d_x / 2, d_y / 2, depth), material)
    g4.G4PVReplica("column", column, field, g4.kXAxis, n_x, d_x)
    g4.G4PVReplica("cell", cell, column, g4.kYAxis, n_y, d_y)
    return field, [cell]


def _rings(edges: list[float], n_alpha: int, depth: float, material: Any) -> tuple[Any, list[Any]]:
    """Sectors are placed one by one: Geant4 finds its way among them in less time than among replicas."""
    field = _volume(g4.G4Tubs("field", edges[0], edges[-1], depth, 0, 2 * math.pi), material)
    width, sectors = 2 * math.pi / n_alpha, []
    for number, (inner, outer) in enumerate(pairwise(edges)):
        ring = _volume(g4.G4Tubs("ring", inner, outer, depth, 0, 2 * math.pi), material)
        g4.G4PVPlacement(None, g4.G4ThreeVector(), ring, "ring", field, False, number)
        for k in range(n_alpha):
            sector = _volume(g4.G4Tubs("sector", inner, outer, depth, k * width - math.pi, width), material)
            g4.G4PVPlacement(None, g4.G4ThreeVector(), sector, "sector", ring, False, k)
            sectors.append(sector)
    return field, sectors


def _volume(solid: Any, material: Any) -> Any:
    return g4.G4LogicalVolume(solid, material, solid.GetName())


def fast_and_middle(cells: Description) -> tuple[int, int]:
    """How many cells there are along x or r, and along y or alpha."""
    if "number" in cells:
        return cells["number"][0], cells["number"][1]
    return (cells["n_r"] if "n_r" in cells else len(cells["r_edges"]) - 1), cells["n_alpha"]


class Readout:
    """The cells, and the scorer that sums their energies."""

    def __init__(self, detector: Description) -> None:
        self._layers = detector["layers"]
        self._cells: list[Any] = []

    def field(self, cells: Description, thickness: float, material: Any) -> Any:
        """The volume of all cells of an active slab."""
        field, innermost = _field(cells, thickness, material)
        self._cells += innermost
        return field

    def attach(self) -> None:
        """Let Geant4's scorer sum the energies of the cells."""
        cuts = [fast_and_middle(layers["cells"]) for layers in self._layers]
        fast, middle = (max(numbers) for numbers in zip(*cuts, strict=True))
        number = sum(layers["number"] for layers in self._layers)
        scorer = g4.G4PSEnergyDeposit3D("energy", number, middle, fast, _LAYER, _MIDDLE, _FAST)
        readout = g4.G4MultiFunctionalDetector("readout")
        readout.RegisterPrimitive(scorer)
        g4.G4SDManager.GetSDMpointer().AddNewDetector(readout)
        for cell in self._cells:
            cell.SetSensitiveDetector(readout)


class Construction(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
    """The detector in its surroundings; cells are part of the active slabs."""

    def __init__(self, detector: Description) -> None:
        super().__init__()
        self._detector, self._readout = detector, Readout(detector)

    def Construct(self) -> Any:  # noqa: N802
        """Build all matter."""
        detector = self._detector
        depth = sum(layers["number"] * slab["thickness"] for layers in detector["layers"] for slab in layers["slabs"])
        wide = [width / 2 + detector["distance"] + _MARGIN for width in detector["face"]]
        half = max(depth, detector["distance"]) + _MARGIN
        world = _volume(g4.G4Box("world", *wide, half), self._material(detector["surroundings"]))
        for slab, volume, middle, number in _placed(detector, self._slab):
            g4.G4PVPlacement(None, g4.G4ThreeVector(0, 0, middle), volume, slab["material"], world, False, number)
        return g4.G4PVPlacement(None, g4.G4ThreeVector(), world, "world", None, False, 0)

    def ConstructSDandField(self) -> None:  # noqa: N802
        """Attach the scorer."""
        self._readout.attach()

    def _material(self, name: str) -> Any:
        return _material(name, self._detector["mixtures"])

    def _slab(self, slab: Description, cells: Description) -> Any:
        material, half = self._material(slab["material"]), slab["thickness"] / 2
        volume = _volume(g4.G4Box("slab", *(width / 2 for width in self._detector["face"]), half), material)
        if slab["role"] == "active":
            field = self._readout.field(cells, slab["thickness"], material)
            g4.G4PVPlacement(None, g4.G4ThreeVector(), field, "field", volume, False, 0)
        return volume


def _placed(
    detector: Description, make: Callable[[Description, Description], Any]
) -> Iterator[tuple[Description, Any, float, int]]:
    """Each slab, its volume, the depth of its middle in mm, and the number of its layer; equal slabs of layers share a volume."""
    front, number = 0.0, 0
    for layers in detector["layers"]:
        volumes = [make(slab, layers["cells"]) for slab in layers["slabs"]]
        for _ in range(layers["number"]):
            for slab, volume in zip(layers["slabs"], volumes, strict=True):
                yield slab, volume, front + slab["thickness"] / 2, number
                front += slab["thickness"]
            number += 1


def _particle(pdg: int) -> Any:
    particle = g4.G4ParticleTable.GetParticleTable().FindParticle(pdg)
    if particle is None:
        msg = f"Geant4 knows no particle with PDG number {pdg}"
        raise UnknownParticleError(msg)
    return particle


class Gun(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
    """One particle an event, its random numbers started anew for it."""

    def __init__(self, pdg: int, distance: float, state: "State") -> None:
        super().__init__()
        self._gun, self._distance, self._state = g4.G4ParticleGun(1), distance, state
        self._gun.SetParticleDefinition(_particle(pdg))

    def GeneratePrimaries(self, event: Any) -> None:  # noqa: N802
        """Start the particle of the task at hand."""
        task = self._state.task
        g4.G4Random.setTheSeeds([*task.seeds, 0], len(task.seeds))
        sine, cosine = math.sin(task.theta), math.cos(task.theta)
        direction = sine * math.cos(task.phi), sine * math.sin(task.phi), cosine
        back = self._distance / cosine
        x, y, z = (place - back * d for place, d in zip((*task.impact, 0.0), direction, strict=True))
        self._gun.SetParticlePosition(g4.G4ThreeVector(x, y, z))
        self._gun.SetParticleMomentumDirection(g4.G4ThreeVector(*direction))
        self._gun.SetParticleEnergy(task.energy)
        self._gun.GeneratePrimaryVertex(event)
        self._state.start = time.thread_time()


class Reader(g4.G4UserEventAction):  # type: ignore[misc]
    """Takes the energies of the cells when an event is over."""

    def __init__(self, state: "State") -> None:
        super().__init__()
        self._state = state

    def EndOfEventAction(self, event: Any) -> None:  # noqa: N802
        """Keep the finished shower."""
        milliseconds = 1000 * (time.thread_time() - self._state.start)
        hits = np.array(list(event.GetHCofThisEvent().GetHC(0))).reshape(-1, 2)
        cells = hits[:, 0].astype(np.int32)
        self._state.done = Done(self._state.task.number, cells, hits[:, 1].copy(), milliseconds)


class State:
    """What the actions share: the task at hand, when it began, and what came of it."""

    task: Task
    start: float
    done: Done


class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
    """Gives Geant4 the gun and the reader."""

    def __init__(self, pdg: int, distance: float, state: State) -> None:
        super().__init__()
        self._given = pdg, distance, state

    def Build(self) -> None:  # noqa: N802
        """Hand over both; Geant4 owns them from now on."""
        self.SetUserAction(Gun(*self._given))
        self.SetUserAction(Reader(self._given[2]))


def _physics(constructors: Sequence[str]) -> Any:
    physics = g4.G4VModularPhysicsList()
    for name in constructors:
        physics.RegisterPhysics(getattr(g4, name)())
    return physics


def _started(job: Description, state: State) -> Any:
    """Geant4, ready for the first event."""
    manager = g4.G4RunManager()
    construction = Construction(job["detector"])
    physics = _physics(job["constructors"])
    physics.SetVerboseLevel(0)
    manager.SetUserInitialization(construction)
    manager.SetUserInitialization(physics)
    del physics, construction
    manager.SetUserInitialization(Actions(job["pdg"], job["detector"]["distance"], state))
    commands = g4.G4UImanager.GetUIpointer()
    quiet = ("/control/verbose 0", "/run/verbose 0", "/process/em/verbose 0", "/process/verbose 0", "/process/had/verbose 0")
    for command in (*quiet, f"/run/setCut {job['cut']!r} mm"):
        commands.ApplyCommand(command)
    _try_out(job)
    manager.Initialize()
    return manager


def _try_out(job: Description) -> None:
    """Find unknown materials before Geant4 does: there no Python exception may pass."""
    detector = job["detector"]
    names = [detector["surroundings"], *(slab["material"] for layers in detector["layers"] for slab in layers["slabs"])]
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
