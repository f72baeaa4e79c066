"""Laws of irregular cells: hexagons, staggered boxes, tables of cells."""

import math

import pytest
import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry import (
    Boxes,
    Calorimeter,
    CellLayer,
    CellTable,
    Hexagons,
    LayeredCells,
    RegularGrid,
    Staggered,
)
from tests.catalogue import CALORIMETERS, PATTERNED, TABLES, name_of

IRREGULAR = [*TABLES, *PATTERNED]
every_calorimeter = pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
every_irregular = pytest.mark.parametrize("calorimeter", IRREGULAR, ids=name_of)


def uniform(n: int, *, seed: int = 1) -> Tensor:
    return torch.rand(2, n, generator=torch.Generator().manual_seed(seed)).clamp(1e-9, 1 - 1e-7)


@every_calorimeter
def test_a_point_placed_in_a_cell_lies_in_it_also_in_single_precision(
    calorimeter: Calorimeter,
) -> None:
    cells = torch.randint(calorimeter.n_cells, (2000,))
    edges = torch.tensor([1e-12, 0.5, 1 - 1e-12], dtype=torch.float64)
    u, v = torch.cartesian_prod(edges, edges).repeat(223, 1)[:2000].unbind(-1)
    for points in (
        calorimeter.points_in(cells, *uniform(2000)),
        calorimeter.points_in(cells, u, v),
    ):
        x, y = points.float().unbind(-1)
        found = calorimeter.cell_at(calorimeter.layer_of_cell[cells], x, y)
        assert torch.equal(found, cells)


@every_calorimeter
def test_points_are_spread_evenly_over_a_cell(calorimeter: Calorimeter) -> None:
    """As many come to lie in either half as the areas say, cut where other points were placed."""
    cell = int(calorimeter.areas.argmin())
    cells = torch.full((40_000,), cell)
    x, _ = calorimeter.points_in(cells, *uniform(40_000)).unbind(-1)
    y, low, high = _box(calorimeter, cell)
    middle = (low[0] + high[0]) / 2
    expected = float((y[:, 0] < middle).double().mean())
    assert float((x < middle).double().mean()) == pytest.approx(expected, abs=0.015)


@every_irregular
def test_areas_are_those_where_points_find_the_cell(calorimeter: Calorimeter) -> None:
    for cell in range(0, calorimeter.n_cells, max(1, calorimeter.n_cells // 7)):
        found, low, high = _box(calorimeter, cell)
        area = float((high - low).prod()) * len(found) / _TRIED
        assert area == pytest.approx(float(calorimeter.areas[cell]), rel=0.02)


_TRIED = 100_000


def _box(calorimeter: Calorimeter, cell: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random points of a box around a cell that find it, and the box."""
    spread = calorimeter.points_in(torch.full((500,), cell), *uniform(500))
    low, high = spread.amin(dim=0), spread.amax(dim=0)
    low, high = low - (high - low) / 5, high + (high - low) / 5
    points = low + (high - low) * uniform(_TRIED, seed=2).T.double()
    layer = calorimeter.layer_of_cell[cell].expand(_TRIED)
    found = calorimeter.cell_at(layer, *points.unbind(-1)) == cell
    return points[found], low, high


@every_irregular
def test_a_point_is_in_one_cell_alone(calorimeter: Calorimeter) -> None:
    """The parts of all cells of a layer and of nothing make up the plane."""
    layer = torch.zeros(_TRIED, dtype=torch.int64)
    low, high = calorimeter.transverse.amin(dim=0) - 5, calorimeter.transverse.amax(dim=0) + 5
    points = low + (high - low) * uniform(_TRIED).T.double()
    found = calorimeter.cell_at(layer, *points.unbind(-1))
    cells = (calorimeter.layer_of_cell == 0).nonzero()[:, 0]
    share = torch.isin(found, cells).double().mean()
    expected = float(calorimeter.areas[cells].sum() / (high - low).prod())
    assert torch.isin(found[found >= 0], cells).all()
    assert float(share) == pytest.approx(expected, abs=0.008)


@pytest.mark.parametrize(("rings", "n_cells"), [(0, 1), (1, 7), (2, 19), (10, 331)])
def test_rings_of_hexagons_have_six_neighbours_inside(rings: int, n_cells: int) -> None:
    layer = LayeredCells("hexagons", (CellLayer(Hexagons(5.0, rings)),) * 2)
    assert layer.n_cells == 2 * n_cells
    number = (layer.neighbours >= 0).sum(dim=1)
    inner = 1 + 3 * (rings - 1) * rings if rings else 0
    assert int((number == 6).sum()) == 2 * inner
    beside = layer.neighbours[number.argmax()]
    away = (layer.transverse[beside[beside >= 0]] - layer.transverse[number.argmax()]).norm(dim=1)
    torch.testing.assert_close(away, torch.full_like(away, 5.0))


def test_coarse_hexagons_stand_around_a_fine_core() -> None:
    cells = Hexagons(12.0, 6, core_pitch=8.0, core_rings=3)
    layer = LayeredCells("two-sizes", (CellLayer(cells, 1.0),))
    fine = layer.areas.isclose(torch.tensor(math.sqrt(3) / 2 * 64, dtype=torch.float64))
    assert int(fine.sum()) == 37
    assert layer.areas[~fine].allclose(torch.tensor(math.sqrt(3) / 2 * 144, dtype=torch.float64))
    assert layer.transverse[fine].norm(dim=1).max() < layer.transverse[~fine].norm(dim=1).min()
    whole = LayeredCells("coarse", (CellLayer(Hexagons(12.0, 6), 1.0),))
    lost = 1 - float(layer.areas.sum() / whole.areas.sum())
    assert 0 < lost < 0.15
    with pytest.raises(GeometryError, match="leaves no room in 1 rings of 12"):
        Hexagons(12.0, 1, core_pitch=8.0, core_rings=3)


def test_gaps_between_modules_are_insensitive_and_shifts_move_cells() -> None:
    cells = Staggered((4, 2), (5.0, 5.0), (2.5, 0.0), module=(2, 2), gap=1.0)
    layer = LayeredCells("modules", (CellLayer(cells, 3.0),))
    assert layer.transverse[:4, 0].tolist() == [-5.5, -0.5, 5.5, 10.5]
    x = torch.tensor([1.999, 2.5, 3.001, -8.001, 13.001])
    found = layer.cell_at(torch.zeros(5, dtype=torch.int64), x, torch.full((5,), -1.0))
    assert found.tolist() == [1, -1, 2, -1, -1]
    assert layer.neighbours[[1, 2]].tolist() == [[0, 5], [3, 6]]


def test_layers_divided_alike_share_one_index() -> None:
    alike = LayeredCells("alike", (CellLayer(Hexagons(5.0, 20), 1.0),) * 50)
    assert alike.n_cells == 50 * 1261
    assert len(alike._index.xy) == 1261


@pytest.mark.parametrize("sides", [4, 6])
@pytest.mark.parametrize(
    ("apart", "refused"), [(1.9, True), (1.999, True), (2.0, False), (3, False)]
)
def test_overlapping_cells_are_refused(sides: int, apart: float, refused: bool) -> None:
    def table() -> CellTable:
        return CellTable(
            "pair",
            (0, 0, 1),
            ((0, 0), (apart, 0), (0, 0)),
            ((2.0, 2.3),) * 3,
            (None, None),
            (sides,) * 3,
        )

    if refused:
        with pytest.raises(GeometryError, match="'pair': cells 0 and 1 of layer 0 overlap, with"):
            table()
    else:
        assert table().n_cells == 3


def test_the_corners_of_hexagons_leave_room_for_those_beside() -> None:
    """Boxes of these would overlap, the hexagons do not."""
    height = 2 / math.sqrt(3)
    places, sizes = ((0.0, 0.0), (0.5, 0.75 * height)), ((1.0, height),) * 2
    good = CellTable("row", (0, 0), places, sizes, (None,), (6, 6))
    assert good.neighbours.tolist() == [[1], [0]]
    with pytest.raises(GeometryError, match="overlap"):
        CellTable("row", (0, 0), places, sizes, (None,))


def test_a_table_of_arrays_or_of_lists_is_the_same() -> None:
    one = CellTable("t", (0, 0), ((0, 0), (2, 0)), ((1, 1), (1, 1)), (1.0,), (6, 4))
    other = Calorimeter.from_description(one.describe())
    assert one == other
    assert hash(one) == hash(other)
    assert one != CellTable("t", (0, 0), ((0, 0), (2, 0)), ((1, 1), (1, 1)), (1.0,))
    assert "sides" not in CellTable("t", (0,), ((0, 0),), ((1, 1),), (1.0,)).describe()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hexagons(0.0, 1), "hexagons: pitches"),
        (lambda: Hexagons(1.0, -1), "hexagons: pitches"),
        (lambda: Staggered((1, 1), (1, 1), (math.nan, 0)), "staggered boxes: shift"),
        (lambda: Staggered((1, 1), (1, 1), (0, 0), (0, 1)), "staggered boxes: shift"),
        (lambda: Staggered((1, 1), (1, 1), (0, 0), gap=-1.0), "staggered boxes: shift"),
        (lambda: CellLayer(Boxes((1, 1), (1, 1)), 0.0), "cell layer: thickness is 0.0"),
        (lambda: LayeredCells("none", ()), "expected at least one layer"),
        (lambda: CellTable("t", (0,), ((0, 0),), ((1, 1),), (1.0,), (5,)), "neither 4 nor 6"),
        (lambda: CellTable("t", (0,), ((0, 0),), ((1, 1),), (1.0,), (4, 4)), "2 sides, expected 1"),
    ],
)
def test_impossible_cells_are_refused(make: object, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        make()  # type: ignore[operator]


def test_a_grid_is_mapped_to_hexagons_and_loses_only_what_lies_beside_them() -> None:
    grid = RegularGrid("grid", (8, 8, 1), (4.0, 4.0, 2.0))
    hexagons = LayeredCells("hexagons", (CellLayer(Hexagons(5.0, 6), 2.0),))
    columns = grid.mapping(hexagons).sum(dim=0).to_dense()
    torch.testing.assert_close(columns, torch.ones_like(columns))
