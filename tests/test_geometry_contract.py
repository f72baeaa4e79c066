"""Laws of the answers of every calorimeter; and that nobody asks for its class."""

import ast
from itertools import pairwise

import pytest
import torch

from caloforge.errors import GeometryError
from caloforge.geometry import (
    Boxes,
    Calorimeter,
    CellTable,
    CylinderGrid,
    CylinderLayer,
    GridLayer,
    LayeredGrid,
    RegularGrid,
    Rings,
    pbwo4_crystals,
)
from tests import house
from tests.catalogue import CALORIMETERS, name_of

every_calorimeter = pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
SMALL = [c for c in CALORIMETERS if c.n_cells < 700]
every_small = pytest.mark.parametrize("calorimeter", SMALL, ids=name_of)


def test_nothing_outside_geometry_asks_for_the_class_of_a_calorimeter() -> None:
    assert house.geometry_checks() == []


@pytest.mark.parametrize(
    ("code", "asks"),
    [
        ("isinstance(grid, RegularGrid)", True),
        ("isinstance(grid, (int, CylinderGrid))", True),
        ("match grid:\n  case LayeredGrid(): pass", True),
        ("isinstance(division, Boxes)", False),
        ("RegularGrid(name)", False),
    ],
)
def test_asking_for_a_class_is_found(code: str, asks: bool) -> None:
    assert any(house.asks_for_geometry(node) for node in ast.walk(ast.parse(code))) == asks


@every_calorimeter
def test_the_centre_of_a_cell_lies_in_it(calorimeter: Calorimeter) -> None:
    x, y = calorimeter.transverse.unbind(-1)
    found = calorimeter.cell_at(calorimeter.layer_of_cell, x, y)
    assert torch.equal(found, torch.arange(calorimeter.n_cells))


@every_calorimeter
def test_beside_all_cells_there_is_none(calorimeter: Calorimeter) -> None:
    far = torch.full((calorimeter.n_layers,), 1e6, dtype=torch.float64)
    layers = torch.arange(calorimeter.n_layers)
    assert (calorimeter.cell_at(layers, far, -far) == -1).all()


@every_calorimeter
def test_the_order_by_layer_has_each_cell_once_and_turns_back(calorimeter: Calorimeter) -> None:
    layers = calorimeter.by_layer(calorimeter.layer_of_cell)
    assert torch.equal(layers, layers.sort().values)
    values = torch.rand(2, calorimeter.n_cells)
    assert torch.equal(calorimeter.to_flat(calorimeter.by_layer(values)), values)


@every_calorimeter
def test_neighbours_are_mutual_in_the_same_layer_and_no_cell_its_own(
    calorimeter: Calorimeter,
) -> None:
    pairs = _pairs(calorimeter)
    cell, other = pairs.unbind(-1)
    assert (cell != other).all()
    assert torch.equal(calorimeter.layer_of_cell[cell], calorimeter.layer_of_cell[other])
    assert len(pairs.unique(dim=0)) == len(pairs)
    assert torch.equal(pairs.unique(dim=0), pairs.flip(-1).unique(dim=0))


@every_small
def test_symmetries_keep_neighbours(calorimeter: Calorimeter) -> None:
    pairs = _pairs(calorimeter).unique(dim=0)
    for image in calorimeter.symmetries:
        assert torch.equal(image[pairs].unique(dim=0), pairs)


def test_the_neighbours_of_a_crystal_are_those_beside_it() -> None:
    crystals = pbwo4_crystals()
    assert set(crystals.neighbours[34].tolist()) == {24, 44, 33, 35}
    assert set(crystals.neighbours[0].tolist()) == {-1, 1, 10}


def test_rings_close_in_alpha() -> None:
    ring = CylinderGrid("ring", (CylinderLayer((0, 1, 2), 3),))
    assert [set(row) for row in ring.neighbours.tolist()[:2]] == [{-1, 1, 2, 4}, {-1, 0, 3, 5}]


def _pairs(calorimeter: Calorimeter) -> torch.Tensor:
    table = calorimeter.neighbours
    cells = torch.arange(calorimeter.n_cells)[:, None].expand_as(table)
    return torch.stack([cells, table], dim=-1)[table >= 0]


@every_calorimeter
def test_a_calorimeter_is_mapped_to_itself_by_the_identity(calorimeter: Calorimeter) -> None:
    shares = calorimeter.mapping(calorimeter)
    cells = torch.arange(calorimeter.n_cells)
    assert torch.equal(shares.indices(), torch.stack([cells, cells]))
    torch.testing.assert_close(shares.values(), torch.ones(len(cells), dtype=torch.float64))


COARSE, FINE = (
    RegularGrid("coarse", (4, 6, 2), (6.0, 3.0, 7.0), order="xyz"),
    RegularGrid("fine", (12, 9, 2), (2.0, 2.0, 7.0)),
)
RINGS = CylinderGrid("rings", (CylinderLayer((0, 3, 9), 4, 7.0), CylinderLayer((0, 2, 9), 6, 7.0)))
WIDE_RINGS = CylinderGrid("wide", (CylinderLayer((0, 4, 5, 30), 5, 7.0),) * 2)
SPLIT = LayeredGrid("split", (GridLayer((8, 9), (3.0, 2.0), 3.5),) * 4)
WALL = CellTable.of(
    "wall",
    torch.tensor([0, 1, 0, 1]),
    torch.tensor([[-6.0, 0.0], [0.0, 5.0], [6.0, 0.0], [0.0, -5.0]]),
    torch.tensor([[12.0, 20.0], [26.0, 10.0], [12.0, 20.0], [26.0, 10.0]]),
    (7.0, 7.0),
)
COVERED = [(COARSE, FINE), (FINE, COARSE), (COARSE, SPLIT), (SPLIT, FINE), (RINGS, WIDE_RINGS)]
COVERED += [(RINGS, COARSE), (COARSE, WIDE_RINGS), (COARSE, WALL), (RINGS, WALL)]


@pytest.mark.parametrize(("source", "target"), COVERED, ids=name_of)
def test_a_mapping_conserves_energy_where_cells_are_covered(
    source: Calorimeter, target: Calorimeter
) -> None:
    shares = source.mapping(target)
    assert shares.shape == (target.n_cells, source.n_cells)
    assert (shares.values() > 0).all()
    columns = shares.sum(dim=0).to_dense()
    torch.testing.assert_close(columns, torch.ones_like(columns))


def test_what_falls_beside_is_lost_in_proportion_to_its_area() -> None:
    small = RegularGrid("small", (1, 1, 2), (9.0, 9.0, 7.0))
    lost = 1 - COARSE.mapping(small).sum(dim=0).to_dense()
    assert float(lost @ COARSE.areas) == pytest.approx(float(COARSE.areas.sum()) - 2 * 81)


def test_evenly_spread_energy_stays_so() -> None:
    spread = COARSE.mapping(FINE).to_dense() @ COARSE.areas
    torch.testing.assert_close(spread, FINE.areas)
    by_points = COARSE.mapping(WALL).to_dense() @ COARSE.areas
    torch.testing.assert_close(by_points.sum(), COARSE.areas.sum())


def test_layers_of_other_number_are_mapped_by_depth() -> None:
    layers = COARSE.mapping(SPLIT).coalesce()
    target, source = layers.indices()
    assert torch.equal(SPLIT.layer_of_cell[target] // 2, COARSE.layer_of_cell[source])
    unknown = CylinderGrid("flat", (CylinderLayer((0, 100), 1),))
    with pytest.raises(GeometryError, match="'flat': the thickness of layer 0 is unknown"):
        unknown.mapping(COARSE)


def test_irregular_cells_know_their_neighbours() -> None:
    brick = CellTable.of(
        "bricks",
        torch.zeros(4, dtype=torch.int64),
        torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [9.0, 9.0]]),
        torch.tensor([[2.0, 1.0]] * 4),
        (None,),
    )
    assert [set(row) - {-1} for row in brick.neighbours.tolist()] == [{1, 2}, {0, 2}, {0, 1}, set()]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"xy": ((0.0, 0.0),)}, "2 layers, 1 xy, 2 sizes, expected one of each for every cell"),
        ({"layers": (0, 2)}, r"lie in layers \[0, 2\], expected at least one in each of the 2"),
        ({"sizes": ((1.0, 0.0), (1.0, 1.0))}, "a size is not positive"),
        ({"layer_thicknesses": (0.0, None)}, "a thickness is not positive"),
        ({"xy": ((float("nan"), 0.0), (0.0, 0.0))}, "a centre is not finite"),
    ],
)
def test_impossible_tables_are_refused(fields: dict[str, object], message: str) -> None:
    possible: dict[str, object] = {
        "name": "odd",
        "layers": (0, 1),
        "xy": ((0.0, 0.0), (1.0, 1.0)),
        "sizes": ((1.0, 1.0), (2.0, 2.0)),
        "layer_thicknesses": (1.0, None),
    }
    with pytest.raises(GeometryError, match=f"cell table 'odd': .*{message}"):
        CellTable(**(possible | fields))  # type: ignore[arg-type]


@every_calorimeter
def test_slices_hold_cells_between_their_edges(calorimeter: Calorimeter) -> None:
    x, y = calorimeter.transverse.unbind(-1)
    asked = (calorimeter.columns(), x), (calorimeter.rows(), y), (calorimeter.rings(), x.hypot(y))
    for slices, at in asked:
        if slices is not None:
            low, high = slices.edges[slices.of_cell], slices.edges[slices.of_cell + 1]
            assert ((low * (1 - 1e-9) <= at + 1e-9) & (at <= high * (1 + 1e-9) + 1e-9)).all()
            assert all(a < b for a, b in pairwise(slices.edges.tolist()))


def test_parts_of_a_cell_fill_it() -> None:
    boxes, rings = Boxes((2, 3), (1.0, 2.0)), Rings((1, 2, 4), 3)
    for division in (boxes, rings):
        points = division.points(8)
        assert points.shape == (6, 64, 2)
        layer = torch.zeros(6 * 64, dtype=torch.int64)
        found = type(division).places([division], layer, *points.flatten(0, 1).unbind(-1))
        assert torch.equal(found, torch.arange(6).repeat_interleave(64))
