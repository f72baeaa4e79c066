"""Laws of every calorimeter, over the catalogue."""

import json
import math
import subprocess
import sys
from typing import Any

import pytest
import torch

from caloforge.errors import GeometryError, GeometryMismatchError
from caloforge.geometry import (
    Calorimeter,
    CylinderGrid,
    CylinderLayer,
    RegularGrid,
    named_calorimeters,
    pbwo4_crystals,
)
from tests.catalogue import CALORIMETERS, CYLINDERS, GRIDS, name_of

every_calorimeter = pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=name_of)
every_cylinder = pytest.mark.parametrize("cylinder", CYLINDERS, ids=name_of)


@every_calorimeter
def test_every_property_has_one_entry_a_cell(calorimeter: Calorimeter) -> None:
    n = calorimeter.n_cells
    assert calorimeter.transverse.shape == (n, 2)
    assert calorimeter.areas.shape == calorimeter.layer_of_cell.shape == (n,)
    assert calorimeter.symmetries.shape[1] == n
    assert calorimeter.layer_of_cell.unique().tolist() == list(range(calorimeter.n_layers))


@every_calorimeter
def test_symmetries_are_distinct_permutations_with_the_identity_first(
    calorimeter: Calorimeter,
) -> None:
    cells = torch.arange(calorimeter.n_cells)
    symmetries = calorimeter.symmetries
    assert torch.equal(symmetries[0], cells)
    assert torch.equal(symmetries.sort(dim=1).values, cells.expand_as(symmetries))
    assert len(_as_set(symmetries)) == len(symmetries)


@every_calorimeter
def test_symmetries_form_a_group(calorimeter: Calorimeter) -> None:
    symmetries = calorimeter.symmetries
    group = _as_set(symmetries)
    assert all(_as_set(symmetries[:, g]) == group for g in symmetries)
    assert _as_set(symmetries.argsort(dim=1)) == group


@every_calorimeter
def test_symmetries_keep_layer_and_volume(calorimeter: Calorimeter) -> None:
    for g in calorimeter.symmetries:
        assert torch.equal(calorimeter.layer_of_cell[g], calorimeter.layer_of_cell)
        assert torch.equal(calorimeter.areas[g], calorimeter.areas)


@every_calorimeter
def test_symmetries_are_rotations_or_reflections_about_the_beam(calorimeter: Calorimeter) -> None:
    turning = ~_in_full_ring(calorimeter)
    xy = calorimeter.transverse
    for g, matrix in zip(calorimeter.symmetries, calorimeter.symmetry_matrices, strict=True):
        torch.testing.assert_close(xy[g].norm(dim=1), xy.norm(dim=1))
        image = xy[turning] @ matrix.T
        torch.testing.assert_close(xy[g][turning], image, atol=1e-9, rtol=0)


@every_calorimeter
def test_symmetry_matrices_are_orthogonal_with_the_identity_first(calorimeter: Calorimeter) -> None:
    matrices = calorimeter.symmetry_matrices
    identity = torch.eye(2, dtype=torch.float64)
    assert matrices.shape == (len(calorimeter.symmetries), 2, 2)
    assert torch.equal(matrices[0], identity)
    torch.testing.assert_close(matrices @ matrices.mT, identity.expand_as(matrices))


@every_calorimeter
def test_symmetry_matrices_multiply_as_the_permutations_do(calorimeter: Calorimeter) -> None:
    """The image of the image: c to g(h(c)) is h, then g."""
    symmetries, matrices = calorimeter.symmetries, calorimeter.symmetry_matrices
    number = {g.numpy().tobytes(): k for k, g in enumerate(symmetries)}
    for g, matrix in zip(symmetries, matrices, strict=True):
        for h, other in zip(symmetries, matrices, strict=True):
            product = matrices[number[g[h].numpy().tobytes()]]
            torch.testing.assert_close(matrix @ other, product, atol=1e-12, rtol=0)


@every_calorimeter
def test_an_image_holds_each_cell_once_layer_by_layer(calorimeter: Calorimeter) -> None:
    if len({division.number for division in calorimeter.divisions}) != 1:
        with pytest.raises(GeometryError, match=f"'{calorimeter.name}' is no image"):
            calorimeter.image()
        return
    image = calorimeter.image()
    assert image.flatten().sort().values.equal(torch.arange(calorimeter.n_cells))
    layers = torch.arange(calorimeter.n_layers)[:, None, None]
    assert (calorimeter.layer_of_cell[image] == layers).all()


@every_grid
def test_an_image_of_boxes_shows_z_y_x(grid: RegularGrid) -> None:
    place = grid.indices[grid.image()]
    assert torch.equal(
        place,
        torch.cartesian_prod(*(torch.arange(n) for n in grid.shape[::-1]))
        .reshape(*grid.shape[::-1], 3)
        .flip(-1),
    )


@pytest.mark.parametrize(
    ("name", "order"),
    [
        *(
            ("pbwo4-10x10", 8),
            ("30-cubed", 8),
            ("oblong", 4),
            ("square-face-oblong-cells", 4),
            ("tower", 1),
        ),
        *(
            ("calochallenge-1-photons", 20),
            ("calochallenge-2", 32),
            ("uneven", 4),
            ("rings", 1),
            ("halves", 2),
        ),
    ],
)
def test_the_group_has_the_known_order(name: str, order: int) -> None:
    (calorimeter,) = [c for c in CALORIMETERS if c.name == name]
    assert len(calorimeter.symmetries) == order


@every_calorimeter
def test_the_description_survives_json(calorimeter: Calorimeter) -> None:
    again = Calorimeter.from_description(json.loads(json.dumps(calorimeter.describe())))
    assert again == calorimeter
    assert hash(again) == hash(calorimeter)
    assert again.describe() == calorimeter.describe()
    assert again.name == calorimeter.name


@every_grid
def test_boxes_fill_the_block(grid: RegularGrid) -> None:
    lengths = torch.tensor(
        [n * d for n, d in zip(grid.shape, grid.cell_size, strict=True)], dtype=torch.float64
    )
    assert float(grid.volumes.sum()) == pytest.approx(float(lengths.prod()))
    torch.testing.assert_close(
        grid.centres.mean(0),
        torch.tensor([0.0, 0.0, lengths[2] / 2], dtype=torch.float64),
        atol=1e-9,
        rtol=0,
    )
    half_cell = torch.tensor(grid.cell_size, dtype=torch.float64) / 2
    torch.testing.assert_close(grid.centres.amax(0) - grid.centres.amin(0), lengths - 2 * half_cell)
    torch.testing.assert_close(grid.centres[:, 2].min(), half_cell[2])


@every_grid
def test_flat_index_and_position_are_inverse(grid: RegularGrid) -> None:
    assert torch.equal(grid.flat(*grid.indices.unbind(-1)), torch.arange(grid.n_cells))
    image = torch.arange(grid.n_cells).reshape(grid.image_shape)
    position = dict(zip(grid.order, (n - 1 for n in grid.image_shape), strict=True))
    last = torch.tensor([[position[axis] for axis in "xyz"]])
    assert grid.flat(*last.unbind(-1)).item() == image[-1, -1, -1]


@every_cylinder
def test_rings_fill_the_cylinder(cylinder: CylinderGrid) -> None:
    layers = cylinder.cylinder_layers
    expected = sum(
        math.pi * (layer.r_edges[-1] ** 2 - layer.r_edges[0] ** 2) * (layer.thickness or 0)
        for layer in layers
    )
    if cylinder.has_depth:
        assert float(cylinder.volumes.sum()) == pytest.approx(expected)
    assert cylinder.n_cells == sum(layer.n_r * layer.n_alpha for layer in layers)


@every_cylinder
def test_r_runs_fastest_then_alpha_then_layer(cylinder: CylinderGrid) -> None:
    cell, depth = 0, 0.0
    for k, layer in enumerate(cylinder.cylinder_layers):
        for j in range(layer.n_alpha):
            for i in range(layer.n_r):
                r, alpha = (
                    (layer.r_edges[i] + layer.r_edges[i + 1]) / 2,
                    (j + 0.5) * 2 * math.pi / layer.n_alpha - math.pi,
                )
                assert int(cylinder.layer_of_cell[cell]) == k
                assert cylinder.r_alpha[cell].tolist() == pytest.approx([r, alpha])
                centre = [r * math.cos(alpha), r * math.sin(alpha)]
                assert cylinder.transverse[cell].tolist() == pytest.approx(centre)
                cell += 1
        if cylinder.has_depth:
            assert cylinder.depths[k].item() == pytest.approx(depth + layer.thickness / 2)
            depth += layer.thickness


def test_an_unknown_thickness_leaves_what_is_transverse() -> None:
    photons = named_calorimeters()["calochallenge-1-photons"]
    assert not photons.has_depth
    for answer in ("centres", "volumes", "depths", "known_thicknesses"):
        with pytest.raises(GeometryError, match=r"'calochallenge-1-photons': the thickness of la"):
            getattr(photons, answer)
    assert float(photons.areas.sum()) == pytest.approx(
        math.pi * sum(layer.r_edges[-1] ** 2 for layer in photons.cylinder_layers)
    )


@pytest.mark.parametrize("name", ["calochallenge-1-photons", "calochallenge-1-pions"])
def test_the_invented_thickness_of_old_descriptions_is_read_as_unknown(name: str) -> None:
    published = named_calorimeters()[name]
    old = published.describe()
    for layer in old["cylinder_layers"]:
        layer["thickness"] = 1.0
    assert Calorimeter.from_description(old) == published
    old["cylinder_layers"][0]["thickness"] = 2.0
    assert Calorimeter.from_description(old) != published


def test_crystal_is_found_at_its_published_place() -> None:
    crystals = pbwo4_crystals()
    ix, iy = torch.tensor([0, 3, 9]), torch.tensor([9, 4, 0])
    assert crystals.flat(ix, iy, torch.zeros(3, dtype=torch.int64)).tolist() == [9, 34, 90]
    expected = torch.stack(
        [30.0 * ix - 135, 30.0 * iy - 135, torch.full((3,), 120.0)], dim=-1
    ).double()
    assert torch.equal(crystals.centres[[9, 34, 90]], expected)


@pytest.mark.parametrize(
    ("name", "n_cells", "layer_ids"),
    [
        ("pbwo4-10x10", 100, (0,)),
        ("calochallenge-1-photons", 368, (0, 1, 2, 3, 12)),
        ("calochallenge-1-pions", 533, (0, 1, 2, 3, 12, 13, 14)),
        ("calochallenge-2", 6480, tuple(range(45))),
        ("calochallenge-3", 40500, tuple(range(45))),
        ("ild-ecal-30", 27000, tuple(range(30))),
    ],
)
def test_public_data_sets_have_their_published_sizes(
    name: str, n_cells: int, layer_ids: tuple[int, ...]
) -> None:
    calorimeter = named_calorimeters()[name]
    assert calorimeter.n_cells == n_cells
    assert calorimeter.layer_ids == layer_ids


def test_a_number_of_cells_singles_out_a_named_calorimeter() -> None:
    sizes = [calorimeter.n_cells for calorimeter in named_calorimeters().values()]
    assert len(set(sizes)) == len(sizes)


def test_layers_with_equal_ids_are_told_apart_by_position() -> None:
    assert CylinderGrid(
        "anonymous", (CylinderLayer((0, 1), 1), CylinderLayer((0, 1), 1))
    ).layer_ids == (0, 1)


def test_the_two_granularities_of_the_par04_detector_fill_the_same_space() -> None:
    coarse, fine = named_calorimeters()["calochallenge-2"], named_calorimeters()["calochallenge-3"]
    assert float(coarse.volumes.sum()) == pytest.approx(float(fine.volumes.sum()))
    torch.testing.assert_close(coarse.centres[:, 2].unique(), fine.centres[:, 2].unique())


def test_named_calorimeters_go_by_their_own_names() -> None:
    assert named_calorimeters()["pbwo4-10x10"] == pbwo4_crystals()
    assert all(name == calorimeter.name for name, calorimeter in named_calorimeters().items())


@pytest.mark.parametrize(
    ("a", "b"), [(a, b) for a in CALORIMETERS for b in CALORIMETERS], ids=lambda c: c.name
)
def test_different_calorimeters_differ_and_each_is_itself(a: Calorimeter, b: Calorimeter) -> None:
    assert (a == b) == (a is b)


def test_equality_is_of_geometry_not_of_name() -> None:
    a, b = RegularGrid("a", (2, 2, 2), (1, 1, 1)), RegularGrid("b", (2, 2, 2), (1, 1, 1))
    assert a == b
    a.require(b, "a sample")


def test_a_mismatch_names_both_and_says_what_to_do() -> None:
    with pytest.raises(
        GeometryMismatchError,
        match=r"a sample is of calorimeter 'tower' \(5 cells\).*'pbwo4-10x10' \(100 cells\)",
    ):
        pbwo4_crystals().require(RegularGrid("tower", (1, 1, 5), (1, 1, 4)), "a sample")
    with pytest.raises(GeometryMismatchError, match="the names agree, the geometries do not"):
        RegularGrid("a", (2, 2, 2), (1, 1, 1)).require(
            RegularGrid("a", (2, 2, 2), (1, 1, 2)), "a sample"
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": (10, 0, 1)}, "expected three whole numbers of cells, each at least 1"),
        ({"cell_size": (1.0, -1.0, 1.0)}, "expected three positive lengths in mm"),
        ({"cell_size": (1.0, math.inf, 1.0)}, "expected three positive lengths in mm"),
        ({"cell_size": (1.0, math.nan, 1.0)}, "expected three positive lengths in mm"),
        ({"order": "xyx"}, "expected a permutation of 'xyz'"),
        ({"order": "xy"}, "expected a permutation of 'xyz'"),
    ],
)
def test_impossible_grids_are_refused(fields: dict[str, Any], message: str) -> None:
    possible: dict[str, Any] = {"name": "odd", "shape": (2, 2, 2), "cell_size": (1.0, 1.0, 1.0)}
    with pytest.raises(GeometryError, match=message) as raised:
        RegularGrid(**(possible | fields))
    assert "regular grid 'odd'" in str(raised.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"r_edges": (1.0,)},
        {"r_edges": (0.0, 2.0, 2.0)},
        {"r_edges": (-1.0, 2.0)},
        {"r_edges": (0.0, math.inf)},
        {"r_edges": (0.0, math.nan)},
        {"n_alpha": 0},
        {"thickness": 0.0},
        {"thickness": math.inf},
    ],
)
def test_impossible_layers_are_refused_by_number(fields: dict[str, Any]) -> None:
    possible: dict[str, Any] = {"r_edges": (0.0, 1.0), "n_alpha": 4, "thickness": 1.0, "id": 7}
    with pytest.raises(GeometryError, match="layer 7: "):
        CylinderLayer(**(possible | fields))


def test_a_cylinder_needs_a_layer() -> None:
    with pytest.raises(GeometryError, match="cylinder grid 'void': expected at least one layer"):
        CylinderGrid("void", ())


BAD_DESCRIPTIONS: list[dict[str, Any]] = [
    {},
    {"kind": "sphere"},
    {"kind": ["regular-grid"]},
    {"kind": "regular-grid", "name": "a"},
    {
        "kind": "regular-grid",
        "name": "a",
        "shape": [2, 2, 2],
        "cell_size": [1.0, 1.0, 1.0],
        "colour": "red",
    },
    {"kind": "regular-grid", "name": "a", "shape": [2, 2], "cell_size": [1.0, 1.0, 1.0]},
    {"kind": "regular-grid", "name": "a", "shape": [2.5, 2, 2], "cell_size": [1.0, 1.0, 1.0]},
    {"kind": "regular-grid", "name": "a", "shape": "many", "cell_size": [1.0, 1.0, 1.0]},
    {"kind": "regular-grid", "name": "a", "shape": [1, 1, 10**12], "cell_size": [1.0, 1.0, 1.0]},
    {"kind": "regular-grid", "name": "a" * 100, "shape": [2, 2, 2], "cell_size": [1.0, 1.0, 1.0]},
    {"kind": "regular-grid", "name": "\x1b[2J", "shape": [2, 2, 2], "cell_size": [1.0, 1.0, 1.0]},
    {"kind": "regular-grid", "name": 5, "shape": [2, 2, 2], "cell_size": [1.0, 1.0, 1.0]},
    {
        "kind": "layered-grid",
        "name": "a",
        "grid_layers": [{"number": [2.5, 2], "size": [1.0, 1.0], "thickness": 1.0}],
    },
    {"kind": "cell-table", "name": "a"},
    {"kind": "cylinder-grid", "name": "a"},
    {
        "kind": "cylinder-grid",
        "name": "a",
        "cylinder_layers": [{"r_edges": [0.0, 1.0], "n_alpha": 10**15}],
    },
    {
        "kind": "cylinder-grid",
        "name": "a",
        "cylinder_layers": [{"r_edges": [0.0, 1.0], "n_alpha": 2.5}],
    },
    {"kind": "cylinder-grid", "name": "a", "cylinder_layers": ["first"]},
    {"kind": "cylinder-grid", "name": "a", "cylinder_layers": [{"r_edges": [0, 1]}]},
]


@pytest.mark.parametrize("description", BAD_DESCRIPTIONS, ids=str)
def test_a_bad_description_is_a_geometry_error(description: dict[str, Any]) -> None:
    before = json.dumps(description)
    with pytest.raises(
        GeometryError, match=r"calorimeter description|cylinder grid|grid layer|layer 0"
    ):
        Calorimeter.from_description(description)
    assert json.dumps(description) == before


def test_a_bad_description_is_a_geometry_error_where_no_types_are_checked() -> None:
    code = f"""
from caloforge.geometry import Calorimeter
from caloforge.errors import GeometryError
for description in {BAD_DESCRIPTIONS!r}:
    try:
        Calorimeter.from_description(description)
    except GeometryError as error:
        print(str(error))
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert len(printed.splitlines()) == len(BAD_DESCRIPTIONS)
    assert "shape is (2.5, 2, 2), expected three whole numbers" in printed


def _as_set(permutations: torch.Tensor) -> set[bytes]:
    return {permutation.numpy().tobytes() for permutation in permutations}


def _in_full_ring(calorimeter: Calorimeter) -> torch.Tensor:
    """The cells that go all the way round: their nominal centre stays where it is when
    they turn.
    """
    if not isinstance(calorimeter, CylinderGrid):
        return torch.zeros(calorimeter.n_cells, dtype=torch.bool)
    return torch.tensor([layer.n_alpha == 1 for layer in calorimeter.cylinder_layers])[
        calorimeter.layer_of_cell
    ]
