"""Laws of points: whatever cells read them, no energy is lost in silence."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from caloforge.errors import PointsOutsideWarning, ShowerValueError
from caloforge.geometry import Boxes, Calorimeter, CellLayer, Hexagons, LayeredCells, RegularGrid
from caloforge.hits import Hits
from caloforge.io import convert
from caloforge.particles import Index, Particles
from caloforge.points import Points
from tests.catalogue import CALORIMETERS, name_of
from tests.io.samples import TOWER, sample
from tests.test_hits import assert_same_hits, loose

SMALL = [c for c in CALORIMETERS if not c.along_particle and c.n_cells < 6000]


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


@pytest.mark.parametrize("calorimeter", SMALL, ids=name_of)
def test_there_and_back_no_energy_is_lost(calorimeter: Calorimeter) -> None:
    """By shares and by points, in cells whose way onto wider ones and back is covered."""
    reach = float(calorimeter.transverse.norm(dim=1).max() + calorimeter.areas.max().sqrt())
    boxes = Boxes((16, 16), (1.2137 * reach / 8, 1.1713 * reach / 8))
    wide = LayeredCells("wide", (CellLayer(boxes, 1.0),) * calorimeter.n_layers)
    there, back = calorimeter.mapping(wide), wide.mapping(calorimeter)
    torch.testing.assert_close(there.sum(0).to_dense(), torch.ones(there.shape[1]).double())
    covered = there.mT @ back.sum(0).to_dense() > 1 - 1e-9
    showers = sample(3, calorimeter)
    showers = replace(showers, deposits=torch.where(covered, showers.deposits, 0.0))
    given = showers.deposits.double()
    torch.testing.assert_close((back @ (there @ given.T)).sum(0), given.sum(1), rtol=1e-6, atol=0)
    moved = Points.of(Hits.of(showers), torch.rand(int(given.count_nonzero()), 2)).in_cells(wide)
    lattice = (torch.randint(16, (moved.n_hits, 2)) + 0.5) / 16
    read = Points.of(moved, lattice).in_cells(calorimeter)
    found = read.to_showers().deposits.double().sum(1)
    torch.testing.assert_close(found, given.sum(1), rtol=1e-6, atol=0)


def test_what_lies_beside_all_cells_is_counted() -> None:
    far = points_of(
        4,
        places=torch.tensor([[0.0, 0], [1e4, 0], [0, 0], [0, -1e4]]),
        point_energies=torch.tensor([1.0, 2.0, 3.0, 4.0]),
    )
    with pytest.warns(PointsOutsideWarning, match=r"2 of 4 points .* with 60.00% of all energy"):
        hits = far.in_cells(TOWER)
    assert hits.hit_energies.tolist() == [4.0]


def test_without_energy_in_all_no_share_of_it_is_said() -> None:
    """Noise below 0 may outweigh what is above."""
    energies = torch.tensor([1.0, -1.5])
    far = points_of(2, places=torch.tensor([[0.0, 0.0], [1e4, 0.0]]), point_energies=energies)
    with pytest.warns(PointsOutsideWarning, match=r"1 of 2 points .* with -1.5 MeV: they"):
        assert far.in_cells(TOWER).hit_energies.tolist() == [1.0]


def test_a_million_points_of_a_shower_lose_nothing() -> None:
    """In single precision a running sum would be 1 % off."""
    n = 1_000_000
    energies = torch.full((n,), 0.1)
    hits = points_of(n, point_energies=energies).in_cells(TOWER)
    assert hits.n_hits == 1
    for made in (hits.hit_energies, hits.to_showers().deposits.sum(1)):
        assert float(made[0]) == pytest.approx(float(energies.double().sum()), rel=1e-6)
    loose = Hits(
        torch.tensor([0, n]),
        torch.zeros(n, dtype=torch.int32),
        energies,
        Particles(torch.ones(1)),
        TOWER,
    )
    assert torch.equal(loose.to_showers().deposits, hits.to_showers().deposits)


def test_showers_without_points_stay() -> None:
    empty = replace(Points.of(loose())[:0], weights=None)
    for offsets, n in (([0], 0), ([0, 0, 0], 2)):
        points = replace(empty, offsets=torch.tensor(offsets), particles=Particles(torch.ones(n)))
        hits = points.in_cells(TOWER)
        assert (len(hits), hits.n_hits) == (n, 0)
        assert hits.to_showers().deposits.sum() == 0


def test_noise_below_zero_adds_up_and_is_written_nowhere(tmp_path: Path) -> None:
    points = points_of(3, point_energies=torch.tensor([2.0, -0.5, -3.0]))
    hits = points.in_cells(TOWER)
    assert hits.hit_energies.tolist() == [-1.5]
    with pytest.raises(ShowerValueError, match=r"-1\.5"):
        convert(hits, tmp_path / "noise.h5")
    assert not (tmp_path / "noise.h5").exists()


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
