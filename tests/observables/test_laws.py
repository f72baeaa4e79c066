"""Laws of centres, widths, rings and shares over the catalogue, beside plain loops and cases
computed by hand.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry import (
    Calorimeter,
    CylinderGrid,
    CylinderLayer,
    RegularGrid,
    calochallenge_1_photons,
    calochallenge_1_pions,
    calochallenge_2,
)
from caloforge.observables import (
    DEPTH_R,
    LAYER_CENTRE_X,
    PROFILE_R,
    Entry,
    Observable,
    brightest_fractions,
    catalogue,
    centre_x,
    centre_y,
    centre_z,
    depth_alpha,
    depth_r,
    layer_centre_r,
    layer_centre_x,
    layer_centre_y,
    layer_energies,
    layer_fractions,
    layer_width_r,
    layer_width_x,
    layer_width_y,
    max_fraction,
    profile_r,
    radius_mean,
    radius_rms,
    response,
    total_energy,
    u_ratios,
    width_x,
    width_y,
    width_z,
)
from caloforge.observables.catalogue import SQUIRELS
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.catalogue import CALORIMETERS, CYLINDERS, name_of
from tests.observables.samples import ONE_OF_A_KIND, SMALL, like, name, pairs, random_showers

every_calorimeter = pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
every_small = pytest.mark.parametrize("calorimeter", SMALL, ids=name_of)
every_pair = pytest.mark.parametrize(("calorimeter", "observable"), pairs(SMALL), ids=name)

GROW = {
    "energy_sum",
    "max_energy",
    "layer_energies",
    "layer_energy",
    "profile_x",
    "profile_y",
    "profile_r",
    "cell_energy",
}
GROW |= {"response", "max_fraction", "cell_energy_log"}
COUNT = {"n_hits", "occupancy", "sparsity", "u_ratios"}
TURN = {
    "profile_x",
    "profile_y",
    "centre_x",
    "centre_y",
    "width_x",
    "width_y",
    "cell_energy",
    "cell_energy_log",
    "depth_alpha",
}
TURN |= {"layer_centre_x", "layer_centre_y", "layer_width_x", "layer_width_y"}


def close(a: torch.Tensor, b: torch.Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(a.double(), b.double(), rtol=1e-9, atol=atol)


@every_pair
def test_twice_the_deposits_double_energies_and_leave_shares_and_shapes(
    calorimeter: Calorimeter, observable: Observable
) -> None:
    showers = random_showers(calorimeter)
    doubled = like(showers, 2 * showers.deposits)
    if observable.name not in COUNT:
        factor = 2 if observable.name in GROW else 1
        atol = 1e-4 if "width" in observable.name else 1e-9
        close(observable.function(doubled), factor * observable.function(showers), atol)


@every_pair
def test_each_shower_is_measured_by_itself(
    calorimeter: Calorimeter, observable: Observable
) -> None:
    showers = random_showers(calorimeter)
    order = torch.randperm(len(showers))
    close(observable.function(showers[order]), observable.function(showers)[order])
    close(observable.function(showers[2:3]), observable.function(showers)[2:3])


@every_pair
def test_what_is_no_length_along_x_or_y_does_not_see_the_symmetries(
    calorimeter: Calorimeter, observable: Observable
) -> None:
    showers = random_showers(calorimeter, n=2)
    if observable.name not in TURN:
        for image in calorimeter.symmetries:
            close(
                observable.function(like(showers, showers.deposits[:, image])),
                observable.function(showers),
            )


@every_small
def test_centres_turn_with_the_shower_and_widths_keep_their_sum_of_squares(
    calorimeter: Calorimeter,
) -> None:
    showers = random_showers(calorimeter, n=2)
    tells = _tells_azimuth(calorimeter)
    xy = calorimeter.transverse[tells]
    for image in calorimeter.symmetries if tells.any() else ():
        motion = torch.linalg.pinv(calorimeter.transverse[image][tells]) @ xy
        turned = like(showers, showers.deposits[:, image])
        for x, y in ((centre_x, centre_y), (layer_centre_x, layer_centre_y)):
            close(
                torch.stack([x(turned), y(turned)], -1),
                torch.stack([x(showers), y(showers)], -1) @ motion,
                1e-6,
            )
        for x, y in ((width_x, width_y), (layer_width_x, layer_width_y)):
            close(x(turned) ** 2 + y(turned) ** 2, x(showers) ** 2 + y(showers) ** 2, 1e-6)


@every_calorimeter
def test_a_shower_without_energy_has_finite_values(calorimeter: Calorimeter) -> None:
    nothing = Showers(torch.zeros(2, calorimeter.n_cells), Particles(torch.ones(2)), calorimeter)
    for observable in catalogue(calorimeter):
        values = observable.function(nothing)
        expected = 1 if observable.name == "sparsity" else 0
        assert torch.equal(
            values.double(), torch.full_like(values, expected, dtype=torch.float64)
        ), observable.name


@pytest.mark.parametrize("calorimeter", ONE_OF_A_KIND, ids=name_of)
def test_a_single_cell_is_the_centre_and_has_no_width(calorimeter: Calorimeter) -> None:
    cells = torch.randperm(calorimeter.n_cells)[:20]
    deposits = torch.zeros(len(cells), calorimeter.n_cells)
    deposits[torch.arange(len(cells)), cells] = 7.5
    one = Showers(deposits, Particles(torch.full((len(cells),), 10.0)), calorimeter)
    x, y = calorimeter.transverse[cells].unbind(-1)
    tells, row = _tells_azimuth(calorimeter)[cells], torch.arange(len(cells))
    close(centre_x(one), torch.where(tells, x, 0))
    close(centre_y(one), torch.where(tells, y, 0))
    if calorimeter.has_depth:
        close(centre_z(one), calorimeter.centres[cells, 2])
        close(width_z(one), torch.zeros(len(cells)), atol=1e-4)
    close(radius_mean(one), torch.hypot(x, y))
    close(radius_rms(one), torch.hypot(x, y))
    close(layer_centre_r(one)[row, calorimeter.layer_of_cell[cells]], torch.hypot(x, y))
    for width in (width_x, width_y, layer_width_x, layer_width_y, layer_width_r):
        close(width(one), torch.zeros_like(width(one)), atol=1e-4)
    close(brightest_fractions(one), torch.ones_like(brightest_fractions(one)))
    close(depth_r(one).sum(1), calorimeter.layer_of_cell[cells])


@every_calorimeter
def test_layers_are_those_of_a_plain_loop(calorimeter: Calorimeter) -> None:
    showers = random_showers(calorimeter, n=2)
    tells = _tells_azimuth(calorimeter)
    for layer, label in enumerate(_layer_labels(calorimeter)):
        cells = calorimeter.layer_of_cell == layer
        e = showers.deposits[:, cells].double()
        x, y = calorimeter.transverse[cells].unbind(-1)
        _compare(
            e,
            torch.hypot(x, y),
            layer_centre_r(showers)[:, layer],
            layer_width_r(showers)[:, layer],
        )
        if tells[cells].all():
            column = LAYER_CENTRE_X.labels_of(calorimeter).index(label)
            _compare(e, x, layer_centre_x(showers)[:, column], layer_width_x(showers)[:, column])
            _compare(e, y, layer_centre_y(showers)[:, column], layer_width_y(showers)[:, column])


@every_calorimeter
def test_the_whole_shower_is_that_of_a_plain_sum(calorimeter: Calorimeter) -> None:
    showers = random_showers(calorimeter, n=2)
    tells = _tells_azimuth(calorimeter)
    e, (x, y) = showers.deposits.double(), calorimeter.transverse.unbind(-1)
    if calorimeter.has_depth:
        _compare(e, calorimeter.centres[:, 2], centre_z(showers), width_z(showers))
    _compare(e[:, tells], x[tells], centre_x(showers), width_x(showers))
    _compare(e[:, tells], y[tells], centre_y(showers), width_y(showers))
    close(radius_mean(showers), (e @ torch.hypot(x, y)) / e.sum(1))
    close(radius_rms(showers), ((e @ (x * x + y * y)) / e.sum(1)).sqrt())


def _compare(e: torch.Tensor, q: torch.Tensor, centre: torch.Tensor, width: torch.Tensor) -> None:
    """Mean and standard deviation by their definitions; 0 where there is nothing to average."""
    if len(q) == 0:
        close(centre, torch.zeros_like(centre))
        close(width, torch.zeros_like(width))
        return
    total = e.sum(1).clamp(min=1e-30)
    mean = (e * q).sum(1) / total
    close(centre, mean, atol=1e-9 * float(q.abs().max()))
    variance = (e * (q - mean[:, None]) ** 2).sum(1) / total
    close(width**2, variance, atol=1e-9 * float(q.square().max()))


def _tells_azimuth(calorimeter: Calorimeter) -> torch.Tensor:
    if not isinstance(calorimeter, CylinderGrid):
        return torch.ones(calorimeter.n_cells, dtype=torch.bool)
    return torch.tensor([layer.n_alpha > 1 for layer in calorimeter.cylinder_layers])[
        calorimeter.layer_of_cell
    ]


def _layer_labels(calorimeter: Calorimeter) -> list[str]:
    return [f"layer {number}" for number in calorimeter.layer_ids]


@every_calorimeter
def test_rings_share_out_the_energy_and_the_depth(calorimeter: Calorimeter) -> None:
    showers = random_showers(calorimeter, n=2)
    layers = torch.arange(calorimeter.n_layers, dtype=torch.float64)
    close(profile_r(showers).sum(1), total_energy(showers))
    close((profile_r(showers) * depth_r(showers)).sum(1), layer_energies(showers) @ layers)


@pytest.mark.parametrize("calorimeter", [*SMALL, CYLINDERS[0]], ids=name_of)
def test_the_cells_of_a_ring_lie_in_it(calorimeter: Calorimeter) -> None:
    one_each = Showers(
        torch.eye(calorimeter.n_cells), Particles(torch.ones(calorimeter.n_cells)), calorimeter
    )
    ring = profile_r(one_each).argmax(1)
    edges = [_edges(label) for label in DEPTH_R.labels_of(calorimeter)]
    assert PROFILE_R.positions_of(calorimeter).tolist() == pytest.approx(
        [(low + high) / 2 for low, high in edges], rel=1e-4
    )
    assert all(a[1] == b[0] for a, b in pairwise(edges))
    low, high = torch.tensor(edges, dtype=torch.float64)[ring].unbind(-1)
    r = calorimeter.transverse.norm(dim=1)
    assert (r >= low * (1 - 1e-4)).all()
    assert (r < high * (1 + 1e-4)).all()


def _edges(label: str) -> tuple[float, float]:
    _, low, _, high, _ = label.split()
    return float(low), float(high)


@pytest.mark.parametrize(
    ("cylinder", "edges"),
    [
        (calochallenge_1_photons(), [0, 200, 400, 1000, 2000]),
        (calochallenge_1_pions(), [0, 50, 200, 400, 1000, 2000]),
        (calochallenge_2(), [4.65 * i for i in range(10)]),
    ],
    ids=["photons", "pions", "alike"],
)
def test_rings_are_the_finest_that_no_voxel_straddles(
    cylinder: CylinderGrid, edges: list[float]
) -> None:
    found = [_edges(label) for label in DEPTH_R.labels_of(cylinder)]
    assert [low for low, _ in found] + [found[-1][1]] == pytest.approx(edges)


@every_calorimeter
def test_energies_of_layers_are_had_back_from_their_ratios(calorimeter: Calorimeter) -> None:
    showers = random_showers(calorimeter, n=3)
    u = u_ratios(showers)
    remaining, energies = u[:, 0] * showers.energies.double(), []
    for i in range(1, calorimeter.n_layers):
        energies.append(u[:, i] * remaining)
        remaining = remaining - energies[-1]
    close(torch.stack([*energies, remaining], dim=1), layer_energies(showers))
    close(u[:, 0], response(showers))
    close(layer_fractions(showers).sum(1), torch.ones(3))


@every_calorimeter
def test_the_brightest_cells_are_found(calorimeter: Calorimeter) -> None:
    showers = random_showers(calorimeter, n=4)
    falling = (
        showers.deposits.double().sort(dim=1, descending=True).values.cumsum(1)
        / total_energy(showers)[:, None]
    )
    numbers = [n for n in (1, 2, 5, 10, 20, 50) if n <= calorimeter.n_cells]
    close(brightest_fractions(showers), falling[:, [n - 1 for n in numbers]])
    close(brightest_fractions(showers)[:, 0] * response(showers), max_fraction(showers))


def test_sectors_are_the_bins_in_alpha() -> None:
    cylinder = calochallenge_2()
    showers = random_showers(cylinder, n=2)
    e = showers.deposits.double().reshape(2, 45, 16, 9).sum(3)
    close(depth_alpha(showers), (e * torch.arange(45)[:, None]).sum(1) / e.sum(1))


def test_sectors_are_those_that_all_layers_with_bins_share() -> None:
    (uneven,) = [c for c in CYLINDERS if c.name == "uneven"]
    showers = random_showers(uneven, n=2)
    e = showers.deposits.double()
    first, second = e[:, 5:35].reshape(2, 10, 3), e[:, 35:53].reshape(2, 6, 3)
    halves = [
        (first[:, 5 * k : 5 * k + 5].sum((1, 2)), second[:, 3 * k : 3 * k + 3].sum((1, 2)))
        for k in range(2)
    ]
    close(depth_alpha(showers), torch.stack([(a + 2 * b) / (a + b) for a, b in halves], dim=1))


@pytest.mark.parametrize(
    "calorimeter",
    [RegularGrid("box", (2, 2, 2), (1, 1, 1)), next(c for c in CYLINDERS if c.name == "rings")],
    ids=name_of,
)
def test_no_sectors_is_a_named_error(calorimeter: Calorimeter) -> None:
    with pytest.raises(GeometryError, match=f"'{calorimeter.name}'.*has no sectors"):
        depth_alpha(random_showers(calorimeter))


def test_a_cell_centred_on_the_edge_of_two_rings_belongs_to_the_outer() -> None:
    row = RegularGrid("row", (5, 1, 1), (0.1, 0.1, 1.0))
    each = Showers(torch.eye(5), Particles(torch.ones(5)), row)
    assert profile_r(each).argmax(1).tolist() == [2, 1, 0, 1, 2]
    assert PROFILE_R.positions_of(row).tolist() == pytest.approx([0.05, 0.15, 0.25])


def test_two_cells_by_hand() -> None:
    grid = RegularGrid("pair", (2, 1, 2), (10.0, 10.0, 4.0), order="zyx")
    showers = Showers(torch.tensor([[3.0, 1.0, 0.0, 4.0]]), Particles(torch.tensor([16.0])), grid)
    assert layer_energies(showers).tolist() == [[4.0, 4.0]]
    assert u_ratios(showers).tolist() == [[0.5, 0.5]]
    assert layer_centre_x(showers).tolist() == [[-2.5, 5.0]]
    assert layer_width_x(showers).tolist() == [[pytest.approx(math.sqrt(25 - 6.25)), 0.0]]
    assert centre_x(showers).tolist() == [1.25]
    assert centre_z(showers).tolist() == [4.0]
    assert width_z(showers).tolist() == [2.0]
    assert width_x(showers).tolist() == [pytest.approx(math.sqrt(25 - 1.25**2))]
    assert radius_mean(showers).tolist() == [5.0]
    assert profile_r(showers).tolist() == [[8.0]]
    assert depth_r(showers).tolist() == [[0.5]]
    assert brightest_fractions(showers).tolist() == [[0.5, 0.875]]


def test_one_ring_of_four_by_hand() -> None:
    ring = CylinderGrid(
        "ring", (CylinderLayer((0, 2, 4), 4, 1.0, 5), CylinderLayer((0, 2, 4), 1, 1.0, 8))
    )
    deposits = torch.zeros(1, 10)
    deposits[0, [1, 3, 9]] = torch.tensor([1.0, 1.0, 6.0])
    showers = Showers(deposits, Particles(torch.ones(1)), ring)
    assert LAYER_CENTRE_X.labels_of(ring) == ("layer 5",)
    close(layer_centre_x(showers), torch.zeros(1, 1))
    close(layer_centre_y(showers), torch.tensor([[-3 / math.sqrt(2)]], dtype=torch.float64))
    close(layer_width_x(showers), torch.tensor([[3 / math.sqrt(2)]], dtype=torch.float64))
    close(layer_width_y(showers), torch.zeros(1, 1), atol=1e-6)
    close(centre_y(showers), torch.tensor([-3 / math.sqrt(2)], dtype=torch.float64))
    close(layer_centre_r(showers), torch.tensor([[3.0, 3.0]]))
    close(depth_r(showers), torch.tensor([[0.0, 0.75]]))


@every_calorimeter
def test_the_catalogue_leaves_out_what_the_calorimeter_cannot_tell(
    calorimeter: Calorimeter,
) -> None:
    names = {o.name for o in catalogue(calorimeter)}
    assert {o.name for o in SQUIRELS} - {"profile_x", "profile_y"} <= names
    assert ("layer_energy" in names) == (calorimeter.n_layers > 1)
    assert ("centre_z" in names) == (calorimeter.n_layers > 1 and calorimeter.has_depth)
    assert ("profile_x" in names) == (calorimeter.columns() is not None)
    assert ("profile_y" in names) == (calorimeter.rows() is not None)
    assert ("layer_centre_x" in names) <= ("centre_x" in names)
    assert all(o.labels_of(calorimeter) for o in catalogue(calorimeter) if o.entry is Entry.SERIES)


@pytest.mark.parametrize("function", [centre_z, width_z])
def test_no_depth_in_mm_where_a_thickness_is_unknown(function: Callable[[Showers], Tensor]) -> None:
    showers = random_showers(calochallenge_1_photons())
    with pytest.raises(GeometryError, match=r"thickness of layer 0 is unknown, .* or count layers"):
        function(showers)


def test_a_tower_tells_depth_alone() -> None:
    (tower,) = [c for c in CALORIMETERS if c.name == "tower"]
    names = {o.name for o in catalogue(tower)}
    assert (
        not {"centre_x", "radius_mean", "profile_r", "layer_centre_r", "depth_r", "depth_alpha"}
        & names
    )
    assert {"centre_z", "width_z", "u_ratios", "sparsity"} <= names
