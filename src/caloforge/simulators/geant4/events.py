"""Events of several particles, some of which may be taken out of Geant4 where they enter."""

__all__ = ["Event", "FinishedEvent", "Gate", "taken_particles"]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from caloforge.particles import Particles, name_of
from caloforge.simulators.geant4.recording import Recorded

_STATE = 6
"""So many numbers say how a particle enters, see `_inside_gate.Gate`."""


class Event(NamedTuple):
    """An event to be simulated: its number in the run, and its particles."""

    number: int
    particles: Particles


class FinishedEvent(NamedTuple):
    """An event: what is recorded of it before the threshold, in what was hit; and the particles
    that were taken out at the front face, None where none was.
    """

    recorded: Recorded
    taken: Particles | None


@dataclass(frozen=True)
class Gate:
    """Which particles are taken out of Geant4 where they enter the front face.

    Arguments:
        species: Their PDG numbers.
        lowest: Their lowest energy, in MeV.
        highest: Their highest energy, in MeV.
        angle: Their largest angle to the axis, in radians.
        offset: Their largest distance from the centre, in mm.
    """

    species: tuple[int, ...]
    lowest: float = 0.0
    highest: float = math.inf
    angle: float = math.pi
    offset: float = math.inf

    def describe(self) -> Mapping[str, Any]:
        """The same as plain values, for a worker."""
        return {
            "names": [name_of(pdg) for pdg in self.species],
            "lowest": self.lowest,
            "highest": self.highest,
            "angle": self.angle,
            "offset": self.offset,
        }


def taken_particles(rows: np.ndarray) -> Particles | None:
    """The particles that a gate took, from what it noted of each."""
    if not len(rows):
        return None
    numbers = torch.from_numpy(rows).reshape(-1, _STATE)
    _, energy, x, y, theta, phi = numbers.float().unbind(1)
    return Particles(energy, numbers[:, 0].long(), theta, phi, torch.stack([x, y], dim=1))
