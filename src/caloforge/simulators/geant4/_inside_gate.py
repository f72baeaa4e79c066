"""A gate at the front face, inside a worker: particles that enter there may be taken out of Geant4.

The gate is no volume: it looks at the steps that end at the face, of those that a filter of Geant4
lets pass. So a run in which it takes nothing is, bit for bit, the run without it. What is left of a
taken particle is its state at the face; secondaries that it made before stay.
"""

__all__ = ["Gate"]

import math
from collections.abc import Mapping, Sequence
from typing import Any

import geant4_pybind as g4

_FACE = 1e-6
"""What ends within so many mm of the face ends at it."""

_ALONG = 1e-6
"""Angles, and offsets, that differ by less than this are the same."""


class Gate(g4.G4VPrimitiveScorer):  # type: ignore[misc]
    """Takes particles out, and notes of each the PDG number, the energy, the place (x, y), and the
    angles.

    Arguments:
        gate: What it takes: ``names``, ``lowest``, ``highest``, ``angle``, ``offset``.
        face: The lateral size of the front face, in mm.
    """

    def __init__(self, gate: Mapping[str, Any], face: Sequence[float]) -> None:
        super().__init__("gate", 0)
        self._gate, self._half = gate, [width / 2 for width in face]
        self.taken: list[tuple[float, ...]] = []

    def attach(self, volumes: Sequence[Any]) -> None:
        """Look at the steps in some volumes: all that particles cross before the face."""
        self._passing = g4.G4SDParticleWithEnergyFilter("gate", self._gate["lowest"], math.inf)
        for name in self._gate["names"]:
            self._passing.add(name)
        self.SetFilter(self._passing)
        self._detector = g4.G4MultiFunctionalDetector("gate")
        self._detector.RegisterPrimitive(self)
        g4.G4SDManager.GetSDMpointer().AddNewDetector(self._detector)
        for volume in volumes:
            volume.SetSensitiveDetector(self._detector)

    def ProcessHits(self, step: Any, history: Any) -> bool:  # noqa: N802
        """Take a particle that enters and is one of those asked for."""
        after = step.GetPostStepPoint()
        if after.GetStepStatus() != g4.fGeomBoundary or not self._enters(after):
            return False
        state = self._state(step.GetTrack(), after)
        _, energy, x, y, theta, _ = state
        gate = self._gate
        if (
            gate["lowest"] <= energy <= gate["highest"]
            and theta <= gate["angle"] + _ALONG
            and math.hypot(x, y) <= gate["offset"] + _ALONG
        ):
            self.taken.append(state)
            step.GetTrack().SetTrackStatus(g4.fStopAndKill)
        return True

    def _enters(self, point: Any) -> bool:
        place, (half_x, half_y) = point.GetPosition(), self._half
        inside = abs(place.x) <= half_x and abs(place.y) <= half_y
        forward = point.GetMomentumDirection().z > 0
        return bool(abs(place.z) < _FACE and inside and forward)

    def _state(self, track: Any, point: Any) -> tuple[float, ...]:
        place, along = point.GetPosition(), point.GetMomentumDirection()
        across = math.hypot(along.x, along.y)
        angles = math.atan2(across, along.z), math.atan2(along.y, along.x) if across else 0.0
        number = track.GetDefinition().GetPDGEncoding()
        return number, point.GetKineticEnergy(), place.x, place.y, *angles
