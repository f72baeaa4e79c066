import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from caloforge.geometry import (
    Calorimeter,
    CylinderGrid,
    CylinderLayer,
    GridLayer,
    LayeredGrid,
    RegularGrid,
)
from caloforge.simulators.gflash.longitudinal import Steps, Walk, walk
from caloforge.simulators.gflash.meanfield import expected_deposits
from caloforge.simulators.gflash.parametrisation import Radial
from caloforge.simulators.gflash.spots import QUANTUM, Address, scatter

CPU = torch.device("cpu")
SHOWERS = 2000

GRIDS = {
    "corner": RegularGrid("corner", (4, 4, 1), (30.0, 30.0, 50.0)),
    "edge": RegularGrid("edge", (3, 2, 1), (20.0, 35.0, 50.0), order="zxy"),
    "middle": RegularGrid("middle", (5, 3, 1), (12.0, 25.0, 50.0), order="xyz"),
    "single": RegularGrid("single", (1, 1, 1), (20.0, 20.0, 50.0)),
    "pads": RegularGrid("pads", (6, 6, 1), (5.0, 5.0, 50.0)),
    "fine": RegularGrid("fine", (8, 8, 1), (2.0, 2.0, 50.0)),
}
IMPACTS = {
    "on axis": (0.0, 0.0),
    "near": (0.04, -0.02),
    "nearby": (-0.1, 0.15),
    "far": (-0.3, 0.4),
    "other cell": (17.0, 4.0),
}


def constant(value: float, grid_walk: Walk) -> Tensor:
    return torch.full((SHOWERS, len(grid_walk.edges) - 1), float(value), dtype=torch.float64)


def scattered(
    grid: Calorimeter,
    grid_walk: Walk,
    spots: int,
    core: float,
    tail: float,
    weight: float,
    impact: tuple[float, float] = (0.0, 0.0),
    energy: float | None = None,
    seed: int = 5,
) -> tuple[Tensor, Steps, Radial]:
    steps = Steps(
        constant(spots if energy is None else energy, grid_walk), constant(spots, grid_walk)
    )
    radial = Radial(
        constant(core**2, grid_walk), constant(tail**2, grid_walk), constant(weight, grid_walk)
    )
    impacts = torch.tensor(impact, dtype=torch.float64).expand(SHOWERS, 2)
    return (
        scatter(grid, grid_walk, steps, radial, impacts, Address(seed, torch.arange(SHOWERS))),
        steps,
        radial,
    )


def corner_integral(x: float, y: float, r: float) -> float:
    h_x, h_y = math.hypot(x, r), math.hypot(y, r)
    return (x / h_x * math.atan(y / h_x) + y / h_y * math.atan(x / h_y)) / (2 * math.pi)


def probabilities(
    grid: RegularGrid, impact: tuple[float, float], core: float, tail: float, weight: float
) -> np.ndarray:
    """The probability of each cell of a grid of one layer, from the closed form about the impact
    point.
    """
    edges = [
        (np.arange(n + 1) - n / 2) * d - at
        for n, d, at in zip(grid.shape, grid.cell_size, impact, strict=False)
    ]
    table = np.array(
        [
            [
                weight * corner_integral(x, y, core) + (1 - weight) * corner_integral(x, y, tail)
                for y in edges[1]
            ]
            for x in edges[0]
        ]
    )
    cells = np.diff(np.diff(table, axis=0), axis=1)
    i_x, i_y, _ = grid.indices.numpy().T
    return cells[i_x, i_y]


@pytest.mark.parametrize("weight", [0.2, 0.7])
@pytest.mark.parametrize("impact", IMPACTS.values(), ids=IMPACTS)
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_counts_of_spots_are_multinomial_with_the_integrals_of_the_density(
    grid: RegularGrid, impact: tuple[float, float], weight: float
) -> None:
    spots, core, tail = 300, 1.5, 14.0
    found, _, _ = scattered(grid, walk((0.1,), 0.1, CPU), spots, core, tail, weight, impact)
    counts = found.numpy()
    np.testing.assert_allclose(counts, counts.round(), atol=1e-6)
    p = np.append(probabilities(grid, impact, core, tail, weight), 0)
    p[-1] = 1 - p.sum()
    counts = np.column_stack([counts.round(), spots - counts.round().sum(1)])
    assert stats.chisquare(counts.sum(0), p * spots * SHOWERS).pvalue > 1e-3
    covariance = np.cov(counts.T)
    expected = spots * (np.diag(p) - np.outer(p, p))
    uncertainty = np.sqrt(
        (np.outer(expected.diagonal(), expected.diagonal()) + expected**2 + np.diag(spots * p))
        / SHOWERS
    )
    assert (np.abs(covariance - expected) < 5 * uncertainty + 1e-3).all()


@pytest.mark.parametrize(
    "grid", [GRIDS["corner"], GRIDS["edge"], GRIDS["middle"]], ids=["corner", "edge", "middle"]
)
def test_expected_deposits_are_the_integrals_of_the_density(grid: RegularGrid) -> None:
    grid_walk = walk((0.1,), 0.1, CPU)
    _, steps, radial = scattered(grid, grid_walk, 90, 1.5, 14.0, 0.7)
    expected = expected_deposits(
        grid, grid_walk, steps.energies[:1], Radial(*(t[:1] for t in radial))
    )[0]
    np.testing.assert_allclose(
        expected.numpy(), 90 * probabilities(grid, (0, 0), 1.5, 14.0, 0.7), rtol=1e-12
    )


LAYERED = {
    "rings": CylinderGrid(
        "rings",
        (CylinderLayer((0, 2, 5, 30), 4), CylinderLayer((1, 4, 40), 3), CylinderLayer((0, 9), 1)),
    ),
    "boxes": LayeredGrid(
        "boxes",
        (
            GridLayer((4, 3), (4, 9), 1.0),
            GridLayer((1, 5), (30, 2), 1.0),
            GridLayer((2, 2), (7, 8), 1.0),
        ),
    ),
}


@pytest.mark.parametrize("cells", LAYERED.values(), ids=LAYERED)
def test_spots_fall_into_rings_and_boxes_by_the_integrals_of_the_density(
    cells: CylinderGrid | LayeredGrid,
) -> None:
    depths, spots = walk((0.1, 0.1, 0.1), 0.1, CPU), 300
    found, steps, radial = scattered(cells, depths, spots, 1.5, 14.0, 0.6)
    p = (
        expected_deposits(cells, depths, steps.energies[:1], Radial(*(t[:1] for t in radial)))[
            0
        ].numpy()
        / spots
    )
    counts = found.numpy()
    np.testing.assert_allclose(counts, counts.round(), atol=1e-6)
    for layer in range(3):
        held = cells.layer_of_cell.numpy() == layer
        observed, expected = counts[:, held].round().sum(0), p[held] * spots * SHOWERS
        beside = spots * SHOWERS - np.array([observed.sum(), expected.sum()])
        assert (
            stats.chisquare(np.append(observed, beside[0]), np.append(expected, beside[1])).pvalue
            > 1e-3
        )


def test_expected_deposits_in_rings_and_boxes_are_integrals_of_the_density() -> None:
    depths, core, tail = walk((0.1, 0.1, 0.1), 0.1, CPU), 1.5, 14.0
    one = torch.ones(1, 3, dtype=torch.float64)
    shape = Radial(core**2 * one, tail**2 * one, 0.6 * one)
    rings, boxes = (
        expected_deposits(cells, depths, one, shape)[0].numpy() for cells in LAYERED.values()
    )

    def density(r: float) -> float:
        return sum(
            weight * 2 * r * size**2 / (r**2 + size**2) ** 2
            for weight, size in ((0.6, core), (0.4, tail))
        )

    def within(r: float) -> float:
        return float(integrate.quad(density, 0, r)[0])

    np.testing.assert_allclose(
        rings[:3], np.diff([within(r) for r in (0, 2, 5, 30)]) / 4, rtol=1e-7
    )
    np.testing.assert_allclose(
        rings[12:14], np.diff([within(r) for r in (1, 4, 40)]) / 3, rtol=1e-7
    )
    second = probabilities(RegularGrid("second", (1, 5, 1), (30, 2, 1)), (0, 0), core, tail, 0.6)
    np.testing.assert_allclose(boxes[12:17], second, rtol=1e-9)


@pytest.mark.parametrize(("name", "lit"), [("rings", [4, 14, 18]), ("boxes", [6, 14, 18])])
def test_a_displaced_beam_lights_the_cells_where_it_enters(name: str, lit: list[int]) -> None:
    """At x = 3.5 mm, y = -0.5 mm: r = 3.54 mm, alpha = -0.14."""
    found, _, _ = scattered(
        LAYERED[name], walk((0.1, 0.1, 0.1), 0.1, CPU), 50, 1e-4, 1e-4, 1.0, (3.5, -0.5)
    )
    assert (found.mean(0) > 1).nonzero()[:, 0].tolist() == lit


def test_an_infinite_grid_keeps_every_spot() -> None:
    grid = RegularGrid("wide", (4, 4, 1), (1e7, 1e7, 50.0))
    found, _, _ = scattered(grid, walk((0.1,), 0.1, CPU), 77, 2.0, 20.0, 0.5, energy=3.0)
    np.testing.assert_allclose(found.sum(1).numpy(), 3.0, atol=77 * QUANTUM)


@pytest.mark.parametrize(("layers", "layer"), [(3, 0.1), (4, 0.07), (7, 0.013), (2, 0.35)])
@pytest.mark.parametrize("spots", [1, 2, 9])
def test_spots_of_a_step_are_equally_spaced_in_depth(layers: int, layer: float, spots: int) -> None:
    grid = RegularGrid("deep", (1, 1, layers), (1e9, 1e9, 1.0))
    grid_walk = walk((layer,) * layers, 0.1, CPU)
    found, _, _ = scattered(grid, grid_walk, spots, 2.0, 2.0, 1.0)
    edges = grid_walk.edges.numpy()
    depths = edges[:-1, None] + (np.arange(spots) + 0.5) / spots * np.diff(edges)[:, None]
    expected = np.histogram(depths, np.arange(layers + 1) * layer)[0]
    np.testing.assert_array_equal(found.numpy(), np.tile(expected, (SHOWERS, 1)))


def test_a_shower_does_not_depend_on_its_neighbours() -> None:
    grid, grid_walk = GRIDS["corner"], walk((0.3,), 0.1, CPU)
    found, steps, radial = scattered(grid, grid_walk, 40, 2.0, 20.0, 0.5, (0.04, 0.01))
    chosen = torch.tensor([1999, 17, 4])
    impact = torch.tensor([[0.04, 0.01]], dtype=torch.float64).expand(3, 2)
    part = Steps(*(t[chosen] for t in steps)), Radial(*(t[chosen] for t in radial))
    assert torch.equal(scatter(grid, grid_walk, *part, impact, Address(5, chosen)), found[chosen])
