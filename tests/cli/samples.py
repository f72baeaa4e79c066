"""Showers and files for the tests of the command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from caloforge.geometry import CylinderGrid, CylinderLayer, pbwo4_crystals
from caloforge.io import CaloChallengeWriter
from caloforge.particles import Particles
from caloforge.showers import Showers


@dataclass(frozen=True)
class Outcome:
    """How a run of the command line ended, and what it said."""

    code: int
    out: str
    err: str


Caloforge = Callable[..., Outcome]


def random_showers(n: int, seed: int = 1) -> Showers:
    """Showers of 20 to 80 GeV with exponential deposits, half the cells empty, in the PbWO4
    crystals.
    """
    calorimeter = pbwo4_crystals()
    random = torch.Generator().manual_seed(seed)
    energies = 20_000 + 60_000 * torch.rand(n, generator=random)
    deposits = (
        -torch.rand(n, calorimeter.n_cells, generator=random).log()
        * energies[:, None]
        / calorimeter.n_cells
    )
    return Showers(
        deposits * (torch.rand(deposits.shape, generator=random) < 0.5),
        Particles(energies),
        calorimeter,
    )


def small_cylinder() -> CylinderGrid:
    """Three layers of four sectors of two rings."""
    return CylinderGrid(
        "small-cylinder", tuple(CylinderLayer((0, 5, 10), 4, 3.4, number) for number in range(3))
    )


def random_cylinder_showers(n: int, seed: int = 1) -> Showers:
    """Showers of 1 to 100 GeV, log-uniform, with exponential deposits, a third of the cells empty,
    in the small cylinder.
    """
    calorimeter = small_cylinder()
    random = torch.Generator().manual_seed(seed)
    energies = 1000 * 100 ** torch.rand(n, generator=random)
    deposits = (
        -torch.rand(n, calorimeter.n_cells, generator=random).log()
        * energies[:, None]
        / calorimeter.n_cells
    )
    return Showers(
        deposits * (torch.rand(deposits.shape, generator=random) < 0.67),
        Particles(energies),
        calorimeter,
    )


TINY_SURROGATE = {
    "validation": 40,
    **{"energy.dim": 12, "energy.heads": 2, "energy.blocks": 1, "energy.feed_forward": 16},
    **{
        "energy.head_width": 16,
        "energy.head_layers": 2,
        "energy.solver": "euler",
        "energy.solver_steps": 2,
    },
    **{"energy.schedule.epochs": 1, "energy.schedule.batch_size": 64},
    **{
        "shape.patch": "[1,2,1]",
        "shape.network.dim": 12,
        "shape.network.heads": 2,
        "shape.network.hidden": 16,
        "shape.network.blocks": 1,
    },
    **{"shape.flow.solver": "euler", "shape.flow.solver_steps": 2, "shape.flow.bespoke": "null"},
    **{"shape.flow.schedule.epochs": 1, "shape.flow.schedule.batch_size": 64},
}
"""Settings with which the recipe calodream-ds2 trains in no time, on the small cylinder."""


def settings(values: Mapping[str, object]) -> list[str]:
    """The words that change these settings of a recipe."""
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def write(path: Path, showers: Showers) -> Path:
    """Write showers as a CaloChallenge file."""
    with CaloChallengeWriter(path, showers.calorimeter) as writer:
        writer.append(showers)
    return path
