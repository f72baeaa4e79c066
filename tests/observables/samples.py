"""Showers for the tests of observables."""

import torch

from caloforge.geometry import Calorimeter, RegularGrid, ild_ecal
from caloforge.observables import Observable, catalogue
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.catalogue import CALORIMETERS

SMALL = [calorimeter for calorimeter in CALORIMETERS if calorimeter.n_cells < 1000]


def random_showers(calorimeter: Calorimeter, n: int = 7) -> Showers:
    """Showers with a third of the cells empty, of 500 to 1500 MeV."""
    cells = calorimeter.n_cells
    deposits = 100 * torch.rand(n, cells) ** 4 * (torch.rand(n, cells) < 0.7)
    return Showers(deposits, Particles(1000 * torch.rand(n) + 500), calorimeter)


def like(showers: Showers, deposits: torch.Tensor) -> Showers:
    """Other deposits of the same particles."""
    return Showers(deposits, showers.particles, showers.calorimeter)


def pairs(calorimeters: list[Calorimeter]) -> list[tuple[Calorimeter, Observable]]:
    """Each calorimeter with each observable that it allows."""
    return [
        (calorimeter, observable)
        for calorimeter in calorimeters
        for observable in catalogue(calorimeter)
    ]


def name(thing: Calorimeter | Observable) -> str:
    """The name, for the ids of parametrised tests."""
    return thing.name


ONE_OF_A_KIND: list[Calorimeter] = [
    *SMALL,
    RegularGrid("odd", (3, 5, 2), (2.0, 2.0, 1.0)),
    ild_ecal(),
]
