"""Toy showers with a known law, and quick evaluations of them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from caloforge.classifiers import DEFAULT_CLASSIFIERS
from caloforge.evaluation import Evaluation, Settings, evaluate
from caloforge.geometry import Calorimeter, CylinderGrid, CylinderLayer, pbwo4_crystals
from caloforge.observables import Observable
from caloforge.particles import Particles
from caloforge.showers import Showers, ShowerSource
from caloforge.units import GeV

QUICK = Settings(replicas=5, splits=10, classifiers=(), neighbour_showers=0)


def energies(n: int, low: float = 10 * GeV, high: float = 100 * GeV, seed: int = 0) -> torch.Tensor:
    return low + (high - low) * torch.rand(n, generator=torch.Generator().manual_seed(seed))


def toy(
    energy: torch.Tensor,
    *,
    width: float = 25.0,
    scale: float = 0.99,
    seed: int = 1,
    calorimeter: Calorimeter | None = None,
) -> Showers:
    """Energies shared out to the cells by a Gaussian profile of that width, in mm, each cell
    fluctuating on its own.
    """
    calorimeter = calorimeter or pbwo4_crystals()
    generator = torch.Generator().manual_seed(seed)
    radius = calorimeter.transverse.norm(dim=1).float()
    share = torch.exp(-0.5 * (radius / width) ** 2) + 1e-7
    noise = torch.exp(0.05 * torch.randn(len(energy), calorimeter.n_cells, generator=generator))
    noise = noise * (torch.rand(len(energy), calorimeter.n_cells, generator=generator) < 0.9)
    deposits = scale * energy[:, None] * noise * share / share.sum()
    return Showers(deposits.float(), Particles(energy), calorimeter)


def compared(
    n: int = 600,
    *,
    low: float = 50 * GeV,
    high: float = 50 * GeV,
    observables: tuple[Observable, ...] | None = None,
) -> Evaluation:
    """A wide and a perfect candidate against the full simulation."""
    energy = energies(n, low, high)
    candidates = {"wide": toy(energy, width=30.0, seed=2), "perfect": toy(energy, seed=3)}
    return evaluate(
        toy(energy), candidates, full_name="Full", observables=observables, settings=QUICK
    )


class Watched:
    """Showers that note how many were asked of them at once at most, and how many in all."""

    def __init__(self, showers: Showers) -> None:
        self.showers = showers
        self.most = self.read = 0

    @property
    def calorimeter(self) -> Calorimeter:
        return self.showers.calorimeter

    @property
    def particles(self) -> Particles:
        return self.showers.particles

    @property
    def energies(self) -> Tensor:
        return self.showers.energies

    @property
    def weights(self) -> Tensor | None:
        return self.showers.weights

    def __len__(self) -> int:
        return len(self.showers)

    def __getitem__(self, index: slice) -> Showers:
        return self._noted(self.showers[index])

    def batches(self, size: int) -> Iterator[Showers]:
        return map(self._noted, self.showers.batches(size))

    def _noted(self, part: Showers) -> Showers:
        self.most, self.read = max(self.most, len(part)), self.read + len(part)
        return part

    @property
    def passes(self) -> float:
        """How often the deposits of all showers were read."""
        return self.read / len(self)


def watched(showers: Showers) -> tuple[ShowerSource, Watched]:
    source = Watched(showers)
    return source, source


def complete(observables: tuple[Observable, ...] | None = None) -> Evaluation:
    """An evaluation with all that it can have, of a calorimeter of three layers: classifiers,
    times, amplification.
    """
    energy = energies(120)
    calorimeter = CylinderGrid(
        "toy-3", tuple(CylinderLayer((0, 10, 20, 40), 4, id=k) for k in (0, 1, 12))
    )
    candidates = {
        "fast": toy(energy, width=30.0, seed=2, calorimeter=calorimeter),
        "refined": toy(energy, seed=3, calorimeter=calorimeter),
    }
    return evaluate(
        toy(energy, calorimeter=calorimeter),
        candidates,
        full_name="Full",
        observables=observables,
        training=toy(energies(60, seed=5), seed=6, calorimeter=calorimeter),
        times={"Full": 180.0, "fast": 0.25},
        settings=Settings(replicas=4, splits=4, trainings=2, classifiers=DEFAULT_CLASSIFIERS[:1]),
    )
