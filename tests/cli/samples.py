"""Showers and files for the tests of the command line."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from caloforge.calorimeter import pbwo4_crystals
from caloforge.io import CaloChallengeWriter
from caloforge.showers import Particles, Showers


@dataclass(frozen=True)
class Outcome:
    """How a run of the command line ended, and what it said."""

    code: int
    out: str
    err: str


Caloforge = Callable[..., Outcome]


def random_showers(n: int, seed: int = 1) -> Showers:
    """Showers of 20 to 80 GeV with exponential deposits, half the cells empty, in the PbWO4 crystals."""
    calorimeter = pbwo4_crystals()
    random = torch.Generator().manual_seed(seed)
    energies = 20_000 + 60_000 * torch.rand(n, generator=random)
    deposits = -torch.rand(n, calorimeter.n_cells, generator=random).log() * energies[:, None] / calorimeter.n_cells
    return Showers(deposits * (torch.rand(deposits.shape, generator=random) < 0.5), Particles(energies), calorimeter)


def write(path: Path, showers: Showers) -> Path:
    """Write showers as a CaloChallenge file."""
    with CaloChallengeWriter(path, showers.calorimeter) as writer:
        writer.append(showers)
    return path
