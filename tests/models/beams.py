"""Particles that differ in all that a beam says, and showers of them."""

import math
from dataclasses import replace

import torch

from caloforge.detector.matter import N_MATTER
from caloforge.learn.conditions import Beam
from caloforge.models.stages import StageRecipe
from caloforge.particles import ELECTRON, PHOTON, Particles
from caloforge.showers import Showers
from tests.models import stages

PION = 211
BEAM = Beam((ELECTRON, PHOTON), direction=True, place=True, detector=True)
BEAMS = [
    Beam(),
    Beam(species=(PHOTON,)),
    Beam(species=(ELECTRON, PHOTON)),
    Beam(direction=True),
    Beam(place=True),
    Beam(detector=True),
    BEAM,
]
STAGES: dict[str, StageRecipe] = {**stages.ENERGIES, **stages.SHAPES, **stages.CAUSAL}


def particles(n: int = 240, seed: int = 3) -> Particles:
    random = torch.Generator().manual_seed(seed)
    theta, phi = torch.rand(2, n, generator=random)
    return Particles(
        10 ** (3 + 2 * torch.rand(n, generator=random)),
        torch.where(torch.rand(n, generator=random) < 0.5, ELECTRON, PHOTON),
        0.7 * theta,
        2 * math.pi * phi - math.pi,
        8 * torch.rand(n, 2, generator=random) - 4,
        torch.rand(n, N_MATTER, generator=random) + 0.5,
    )


def showers_of(beam: Beam) -> Showers:
    """Showers whose particles differ in what the beam says."""
    showers, some = stages.showers_of(stages.CYLINDER), particles()
    known = Particles(
        showers.energies,
        some.pdg if beam.n_species else (*beam.species, ELECTRON)[0],
        some.theta if beam.direction else None,
        some.phi if beam.direction else None,
        some.place if beam.place else None,
        some.matter if beam.detector else None,
    )
    return replace(showers, particles=known)
