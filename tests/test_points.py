"""Laws of points: whatever cells read them, no energy is lost in silence."""

import pytest
import torch
from torch import Tensor

from caloforge.errors import PointsOutsideWarning, ShowerValueError
from caloforge.geometry import Boxes, Calorimeter, CellLayer, Hexagons, LayeredCells, RegularGrid
from caloforge.hits import Hits
from caloforge.particles import Index, Particles
from caloforge.points import Points
from tests.catalogue import CALORIMETERS, name_of
from tests.io.samples import TOWER, sample
from tests.test_hits import assert_same_hits, loose


def points_of(n: int = 1, **changed: Tensor) -> Points:
    """Points of one shower in the first layer."""
    given = {
        "offsets": torch.tensor([0, n]),
        "layers": torch.zeros(n, dtype=torch.int64),
        "places": torch.zeros(n, 2),
        "point_energies": torch.ones(n),
    }
    return Points(**given | changed, particles=Particles(torch.ones(1)))


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
@pytest.mark.parametrize("placed", [False, True], ids=["centres", "anywhere"])
def test_points_of_hits_are_read_as_the_same_hits(calorimeter: Calorimeter, placed: bool) -> None:
    hits = Hits.of(sample(3, calorimeter, weighted=True))
    within = torch.rand(hits.n_hits, 2).clamp(1e-6, 1 - 1e-6) if placed else None
    assert_same_hits(Points.of(hits, within).in_cells(calorimeter), hits)


def test_several_points_of_a_cell_make_one_hit() -> None:
    hits = loose()
    assert_same_hits(Points.of(hits).in_cells(TOWER), hits.merged())


def test_other_cells_read_the_same_energy() -> None:
    fine = RegularGrid("fine", (8, 8, 2), (5.0, 5.0, 3.0))
    hits = Hits.of(sample(20, fine))
    wide = LayeredCells("wide", (CellLayer(Boxes((7, 7), (9.0, 9.0))), CellLayer(Hexagons(4, 20))))
    within = torch.rand(hits.n_hits, 2).clamp(1e-6, 1 - 1e-6)
    read = Points.of(hits, within).in_cells(wide)
    given, found = (
        torch.stack(
            [h.to_showers().deposits[:, h.calorimeter.layer_of_cell == k].sum(1) for k in (0, 1)]
        )
        for h in (hits, read)
    )
    torch.testing.assert_close(found, given)


def test_what_lies_beside_all_cells_is_counted() -> None:
    far = points_of(
        4,
        places=torch.tensor([[0.0, 0], [1e4, 0], [0, 0], [0, -1e4]]),
        point_energies=torch.tensor([1.0, 2.0, 3.0, 4.0]),
    )
    with pytest.warns(PointsOutsideWarning, match=r"2 of 4 points .* with 60.00% of all energy"):
        hits = far.in_cells(TOWER)
    assert hits.hit_energies.tolist() == [4.0]


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ShowerValueError, match=r"1 of 1 points lie in layers .* in layer 99: "):
        points_of(layers=torch.tensor([99])).in_cells(TOWER)


@pytest.mark.parametrize(
    "changed",
    [
        {"offsets": torch.tensor([0, 2])},
        {"layers": torch.tensor([-1])},
        {"layers": torch.tensor([0, 0])},
        {"places": torch.tensor([[torch.nan, 0.0]])},
        {"places": torch.zeros(1, 3)},
        {"point_energies": torch.tensor([torch.inf])},
        {"times": torch.zeros(2)},
        {"weights": torch.tensor([-1.0])},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_impossible_points_are_refused(changed: dict[str, Tensor]) -> None:
    with pytest.raises(ShowerValueError):
        points_of(**changed)


@pytest.mark.parametrize("index", [slice(1, 4), slice(None, None, 2), [3, 0], 2])
def test_chosen_points_are_those_of_the_chosen_showers(index: Index) -> None:
    points = Points.of(loose())
    chosen = points.in_cells(TOWER).sparse(index)
    assert_same_hits(points[index].in_cells(TOWER), chosen)


def test_a_sample_is_its_parts_again() -> None:
    points = Points.of(loose())
    again = Points.cat([points[:2], points[2:]])
    assert torch.equal(again.offsets, points.offsets)
    assert torch.equal(again.places, points.places)
    assert again.times is not None
    assert Points.cat([points, Points.of(loose(times=False))]).times is None


def test_a_layer_is_found_by_its_depth() -> None:
    calorimeter = RegularGrid("deep", (1, 1, 3), (10.0, 10.0, 1.0))
    z = torch.tensor([-0.1, 0.0, 0.5, 1.5, 2.9, 3.0])
    assert calorimeter.layer_at(z).tolist() == [-1, 0, 0, 1, 2, -1]
