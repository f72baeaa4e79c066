"""The calorimeters over which the laws are tested: one line each."""

import torch

from caloforge.geometry import (
    Boxes,
    Calorimeter,
    CellLayer,
    CellTable,
    CylinderGrid,
    CylinderLayer,
    GridLayer,
    Hexagons,
    LayeredCells,
    LayeredGrid,
    RegularGrid,
    Staggered,
    calochallenge_1_photons,
    calochallenge_1_pions,
    calochallenge_2,
    pbwo4_crystals,
)

CYLINDERS: list[CylinderGrid] = [
    calochallenge_2(),
    calochallenge_1_photons(),
    calochallenge_1_pions(),
    CylinderGrid(
        "uneven",
        (
            CylinderLayer((0, 5, 10, 30, 50, 100), 1, 12.5, 0),
            CylinderLayer((0, 2, 4, 8), 10, 96.0, 1),
            CylinderLayer((2.5, 5, 10, 15), 6, 210.0, 2),
            CylinderLayer((0, 100, 2000), 1, 500.0, 12),
        ),
    ),
    CylinderGrid("rings", (CylinderLayer((0, 1, 3), 1, 2.0, 0), CylinderLayer((1, 4), 1, 2.0, 1))),
    CylinderGrid("halves", (CylinderLayer((0, 1, 3), 2, 2.0, 0),)),
    CylinderGrid("along", (CylinderLayer((0, 1, 3), 8, 2.0, 0),), along_particle=True),
    CylinderGrid("odd", (CylinderLayer((0, 1, 3), 5, 2.0, 0),), along_particle=True),
]

GRIDS: list[RegularGrid] = [
    pbwo4_crystals(),
    RegularGrid("crystals-by-y", (10, 10, 1), (30.0, 30.0, 240.0), order="zyx"),
    RegularGrid("30-cubed", (30, 30, 30), (5.0, 5.0, 5.35)),
    RegularGrid("oblong", (4, 6, 3), (2.0, 3.0, 7.0), order="xyz"),
    RegularGrid("square-cells-oblong-face", (2, 3, 1), (1.0, 1.0, 1.0), order="yxz"),
    RegularGrid("square-face-oblong-cells", (3, 3, 2), (1.0, 2.0, 1.0)),
    RegularGrid("tower", (1, 1, 5), (1.0, 1.0, 4.0)),
]

LAYERED: list[LayeredGrid] = [
    LayeredGrid(
        "strips-and-pads",
        (
            GridLayer((96, 3), (5.0, 160.0), 90.0),
            GridLayer((12, 12), (40.0, 40.0), 347.0),
            GridLayer((6, 12), (80.0, 40.0), 43.0),
        ),
    ),
    LayeredGrid(
        "square-layers", (GridLayer((4, 4), (1.0, 1.0), 2.0), GridLayer((2, 2), (2.0, 2.0), 3.0))
    ),
    LayeredGrid(
        "thin-and-thick", (GridLayer((3, 2), (1.0, 2.0), 2.0), GridLayer((3, 2), (1.0, 2.0), 5.0))
    ),
]

TABLES: list[CellTable] = [
    CellTable.of(
        "scattered",
        torch.tensor([1, 0, 0, 1, 0, 2]),
        torch.tensor([[0.0, 0.0], [-3.0, 0.0], [1.0, 1.0], [4.0, 0.5], [1.0, -1.0], [-2.5, 7.0]]),
        torch.tensor([[4.0, 4.0], [2.0, 2.0], [2.0, 2.0], [4.0, 1.0], [2.0, 2.0], [5.0, 5.0]]),
        (2.0, 3.0, 5.0),
    ),
    CellTable.of(
        "staggered",
        torch.arange(2).repeat_interleave(12),
        torch.tensor([[2.0 * (k % 4) + k // 4 % 2 - 4, 1.5 * (k // 4) - 2] for k in range(24)])
        - torch.tensor([[0.0, 4.5]]) * torch.arange(2).repeat_interleave(12)[:, None],
        torch.tensor([[2.0, 1.5]]).expand(24, 2),
        (None, 3.0),
    ),
]

_TILES = torch.tensor([[3.0, 0.5], [3.0, 2.5], [5.5, 1.5], [-4.0, 0.0]])

TABLES += [
    CellTable.of(
        "hexagons-and-tiles",
        torch.tensor([0, 0, 0, 0, 0, 1]),
        torch.cat([torch.tensor([[0.0, 0.0]]), _TILES, torch.tensor([[9.0, -9.0]])]),
        torch.tensor([[4.0, 4.6], [2.0, 2.0], [2.0, 2.0], [3.0, 4.0], [4.0, 3.0], [1.0, 3.0]]),
        (1.0, 2.0),
        torch.tensor([6, 4, 4, 4, 6, 4]),
    )
]

PATTERNED: list[LayeredCells] = [
    LayeredCells(
        "silicon-and-tiles",
        (
            CellLayer(Hexagons(5.0, 4), 2.0),
            CellLayer(Hexagons(9.0, 4, core_pitch=6.0, core_rings=2), 2.5),
            CellLayer(Hexagons(5.0, 4), 2.0),
            CellLayer(Boxes((3, 4), (8.0, 8.0)), 6.0),
        ),
    ),
    LayeredCells(
        "shifted",
        tuple(
            CellLayer(Staggered((8, 6), (5.0, 5.0), (shift, 0.5), module=(4, 3), gap=1.0), None)
            for shift in (-1.25, 1.25)
        ),
    ),
]

CALORIMETERS: list[Calorimeter] = [*GRIDS, *CYLINDERS, *LAYERED, *TABLES, *PATTERNED]


def name_of(calorimeter: Calorimeter) -> str:
    """The name, for the ids of parametrised tests."""
    return calorimeter.name
