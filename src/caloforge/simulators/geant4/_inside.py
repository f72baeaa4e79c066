"""What runs inside a worker: Geant4 itself, one shower after another, on orders from a connection.

The file is run by its path, in a Python of its own that imports nothing of caloforge: a worker
starts in a fraction of a second, and has no more memory than Geant4 needs. It takes plain values
and gives plain values.

Matter is built as boxes, one behind the other, or as concentric tubes; `_inside_readout`, which
stands beside this file, reads it.
"""

__all__: list[str] = []

import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import geant4_pybind as g4
import numpy as np
from _inside_gate import Gate
from _inside_readout import Divided, Task, Virtual, filled, front_of, readout_of

Description = Mapping[str, Any]

_MARGIN = 10.0
"""How much of the surroundings is built behind and beside the detector, in mm."""

_GROUP = 12
"""So many tubes stand in one volume."""


class Done(NamedTuple):
    """One finished shower: its number, the scorer's numbers of the cells hit or the places of the
    steps, their energies in MeV, the time in ms, and the particles that the gate took.
    """

    number: int
    where: np.ndarray
    energies: np.ndarray
    milliseconds: float
    taken: np.ndarray


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


class Construction(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
    """The detector in its surroundings; cells that are volumes are part of the active slabs.
    The slabs of some roles are regions of Geant4, with production cuts of their own.
    """

    def __init__(
        self,
        detector: Description,
        readout: Divided | Virtual,
        roles: Sequence[str],
        gate: Gate | None,
    ) -> None:
        super().__init__()
        self._detector, self._readout, self._gate = detector, readout, gate
        self._before: list[Any] = []
        self._turn = g4.G4RotationMatrix()
        self._regions = {role: g4.G4Region(role) for role in roles}

    def Construct(self) -> Any:  # noqa: N802
        """Build all matter."""
        detector = self._detector
        world = filled(
            g4.G4Box("world", *_half_sizes(detector)), self._material(detector["surroundings"])
        )
        if "inner_radius" in detector:
            self._place_tubes(world)
        else:
            self._place_boxes(world)
        self._place_front(world)
        self._before.append(world)
        return g4.G4PVPlacement(None, g4.G4ThreeVector(), world, "world", None, False, 0)

    def ConstructSDandField(self) -> None:  # noqa: N802
        """Attach the readout, and the gate behind it: the first collection is the readout's."""
        self._readout.attach()
        if self._gate is not None:
            self._gate.attach(self._before)

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

    def _place_front(self, world: Any) -> None:
        """The slabs before the face, the last of which ends there."""
        front = self._detector.get("front", ())
        depth = -sum(slab["thickness"] for slab in front)
        for number, slab in enumerate(front):
            half = slab["thickness"] / 2
            solid = g4.G4Box("front", *(width / 2 for width in self._detector["face"]), half)
            volume = filled(solid, self._material(slab["material"]))
            place = g4.G4ThreeVector(0, 0, depth + half)
            g4.G4PVPlacement(None, place, volume, "front", world, False, number)
            self._before.append(volume)
            depth += slab["thickness"]

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
            mother = filled(tube("group", inner + front, thickness), world.GetMaterial())
            g4.G4PVPlacement(
                self._turn, g4.G4ThreeVector(0, 0, -inner), mother, "group", world, False, 0
            )
            for slab, depth, number in group:
                volume = self._built(slab, tube("slab", inner + depth, slab["thickness"]), number)
                g4.G4PVPlacement(
                    None, g4.G4ThreeVector(), volume, slab["material"], mother, False, number
                )

    def _built(self, slab: Description, solid: Any, number: int) -> Any:
        volume = filled(solid, self._material(slab["material"]))
        if slab["role"] == "active":
            self._readout.add(volume, number, slab["cells"])
        if slab["role"] in self._regions:
            self._regions[slab["role"]].AddRootLogicalVolume(volume)
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


def _particle(pdg: int) -> Any:
    particle = g4.G4ParticleTable.GetParticleTable().FindParticle(pdg)
    if particle is None:
        msg = f"Geant4 knows no particle with PDG number {pdg}"
        raise UnknownParticleError(msg)
    return particle


class Gun(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
    """The particles of an event, its random numbers started anew for it."""

    def __init__(self, species: Sequence[int], detector: Description, state: "State") -> None:
        super().__init__()
        self._gun, self._detector, self._state = g4.G4ParticleGun(1), detector, state
        self._species = {pdg: _particle(pdg) for pdg in species}

    def GeneratePrimaries(self, event: Any) -> None:  # noqa: N802
        """Start the particles of the task at hand."""
        task = self._state.task
        g4.G4Random.setTheSeeds([*task.seeds, 0], len(task.seeds))
        first = task.pdg, task.energy, task.impact, task.theta, task.phi
        for particle in (first, *task.others):
            self._start(event, *particle)
        self._state.start = time.thread_time()

    def _start(
        self,
        event: Any,
        pdg: int,
        energy: float,
        impact: tuple[float, float],
        theta: float,
        phi: float,
    ) -> None:
        sine, cosine = math.sin(theta), math.cos(theta)
        direction = sine * math.cos(phi), sine * math.sin(phi), cosine
        back = self._detector["distance"] / cosine
        met = *impact, front_of(self._detector, impact[0])
        x, y, z = (place - back * d for place, d in zip(met, direction, strict=True))
        self._gun.SetParticleDefinition(self._species[pdg])
        self._gun.SetParticlePosition(g4.G4ThreeVector(x, y, z))
        self._gun.SetParticleMomentumDirection(g4.G4ThreeVector(*direction))
        self._gun.SetParticleEnergy(energy)
        self._gun.GeneratePrimaryVertex(event)


class Reader(g4.G4UserEventAction):  # type: ignore[misc]
    """Takes the energies of the cells when an event is over."""

    def __init__(self, readout: Divided | Virtual, gate: Gate | None, state: "State") -> None:
        super().__init__()
        self._readout, self._gate, self._state = readout, gate, state

    def EndOfEventAction(self, event: Any) -> None:  # noqa: N802
        """Keep the finished shower."""
        milliseconds = 1000 * (time.thread_time() - self._state.start)
        task = self._state.task
        where, energies = self._readout.read(event, task)
        self._state.done = Done(task.number, where, energies, milliseconds, self._taken())

    def _taken(self) -> np.ndarray:
        taken = [] if self._gate is None else self._gate.taken
        rows = np.array(taken)
        taken.clear()
        return rows


class State:
    """What the actions share: the task at hand, when it began, and what came of it."""

    task: Task
    start: float
    done: Done


class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
    """Gives Geant4 the gun and the reader."""

    def __init__(
        self, job: Description, readout: Divided | Virtual, gate: Gate | None, state: State
    ) -> None:
        super().__init__()
        self._job, self._readout, self._gate, self._state = job, readout, gate, state

    def Build(self) -> None:  # noqa: N802
        """Hand over both; Geant4 owns them from now on."""
        self.SetUserAction(Gun(self._job["species"], self._job["detector"], self._state))
        self.SetUserAction(Reader(self._readout, self._gate, self._state))


def _physics(constructors: Sequence[str]) -> Any:
    physics = g4.G4VModularPhysicsList()
    for name in constructors:
        physics.RegisterPhysics(getattr(g4, name)())
    return physics


def _started(job: Description, state: State) -> Any:
    """Geant4, ready for the first event."""
    manager = g4.G4RunManager()
    readout = readout_of(job["detector"], steps=job["steps"])
    gate = None if job["gate"] is None else Gate(job["gate"], job["detector"]["face"])
    construction = Construction(job["detector"], readout, list(job["region_cuts"]), gate)
    physics = _physics(job["constructors"])
    physics.SetVerboseLevel(0)
    manager.SetUserInitialization(construction)
    manager.SetUserInitialization(physics)
    del physics, construction
    manager.SetUserInitialization(Actions(job, readout, gate, state))
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
    for role, cut in job["region_cuts"].items():
        commands.ApplyCommand(f"/run/setCutForRegion {role} {cut!r} mm")
    return manager


def _try_out(job: Description) -> None:
    """Find unknown materials before Geant4 does: there no Python exception may pass."""
    detector = job["detector"]
    names = [
        detector["surroundings"],
        *(slab["material"] for slab in detector.get("front", ())),
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
