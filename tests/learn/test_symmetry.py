"""Lifting and lowering."""

import pytest
import torch

from caloforge.geometry import RegularGrid, pbwo4_crystals
from caloforge.learn.symmetry import Orbits

GRIDS = [
    pbwo4_crystals(),
    RegularGrid("odd", (5, 5, 2), (1.0, 1.0, 2.0)),
    RegularGrid("flat", (4, 6, 1), (1.0, 1.0, 1.0)),
]


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: g.name)
def test_lower_undoes_lift(grid: RegularGrid) -> None:
    orbits, cells = Orbits(grid.symmetries), torch.randn(3, grid.n_cells)
    torch.testing.assert_close(orbits.lower(orbits.lift(cells)), cells)


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: g.name)
def test_orbits_are_what_symmetries_map_onto_each_other(grid: RegularGrid) -> None:
    orbit = Orbits(grid.symmetries).orbit
    assert all(torch.equal(orbit[image], orbit) for image in grid.symmetries)
    brute = {frozenset(grid.symmetries[:, cell].tolist()) for cell in range(grid.n_cells)}
    assert len(brute) == Orbits(grid.symmetries).n_orbits


def test_the_square_of_crystals_has_fifteen_orbits() -> None:
    assert Orbits(pbwo4_crystals().symmetries).n_orbits == 15


def test_a_symmetry_translates_the_lifted_field() -> None:
    grid = pbwo4_crystals()
    orbits, cells = Orbits(grid.symmetries), torch.randn(2, 100)
    field = orbits.lift(cells)
    for image in grid.symmetries:
        moved = orbits.lift(cells[:, image])
        product = image[grid.symmetries]
        translation = [
            next(k for k, s in enumerate(grid.symmetries) if torch.equal(s, p)) for p in product
        ]
        assert torch.equal(moved, field[translation])
