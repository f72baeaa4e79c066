"""Laws of observables: conservation, agreement with plain loops, invariance under batching and
symmetry.
"""

from itertools import combinations

import pytest
import torch

from caloforge.errors import GeometryError
from caloforge.geometry import Calorimeter, RegularGrid, named_calorimeters, pbwo4_crystals
from caloforge.observables import (
    LAYERS,
    PROFILE_X,
    PROFILE_Y,
    SQUIRELS,
    Entry,
    Observable,
    Scale,
    catalogue,
    cell_energies,
    cell_spectrum,
    layer_energies,
    max_energy,
    max_fraction,
    n_hits,
    profile_x,
    profile_y,
    response,
    total_energy,
)
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.catalogue import CALORIMETERS, CYLINDERS, GRIDS, name_of
from tests.observables.samples import random_showers

OBSERVABLES = (*SQUIRELS, LAYERS)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_layers_share_out_the_total_energy(calorimeter: Calorimeter) -> None:
    showers = random_showers(calorimeter)
    assert close(layer_energies(showers).sum(1), total_energy(showers))


@pytest.mark.parametrize("grid", GRIDS, ids=name_of)
@pytest.mark.parametrize("profile", [profile_x, profile_y])
def test_profiles_share_out_the_total_energy(grid: RegularGrid, profile) -> None:  # noqa: ANN001 (a function of showers)
    showers = random_showers(grid)
    assert close(profile(showers).sum(1), total_energy(showers))


@pytest.mark.parametrize("grid", GRIDS, ids=name_of)
@pytest.mark.parametrize("observable", [PROFILE_X, PROFILE_Y], ids=lambda o: o.name)
def test_the_mean_position_of_a_profile_is_that_of_the_cells(
    grid: RegularGrid, observable: Observable
) -> None:
    showers = random_showers(grid)
    assert observable.positions is not None
    weighted = observable.function(showers) @ observable.positions(grid)
    axis = (PROFILE_X, PROFILE_Y).index(observable)
    torch.testing.assert_close(
        weighted, showers.deposits.double() @ grid.centres[:, axis], rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_values_are_those_of_a_plain_loop(calorimeter: Calorimeter) -> None:
    showers = random_showers(calorimeter, n=3)
    for i, (cells, energy) in enumerate(
        zip(showers.deposits.tolist(), showers.energies.tolist(), strict=True)
    ):
        assert total_energy(showers)[i] == pytest.approx(sum(cells))
        assert response(showers)[i] == pytest.approx(sum(cells) / energy)
        assert max_energy(showers)[i] == max(cells)
        assert max_fraction(showers)[i] == pytest.approx(max(cells) / energy)
        assert n_hits(showers)[i] == sum(e > 1 for e in cells)
        assert n_hits(showers, threshold=30.0)[i] == sum(e > 30 for e in cells)


def test_a_hit_exceeds_its_threshold() -> None:
    deposits = torch.zeros(1, 100)
    deposits[0, :3] = torch.tensor([1.0, 1.0001, 0.9999])
    showers = Showers(deposits, Particles(torch.ones(1)), pbwo4_crystals())
    assert n_hits(showers).tolist() == [1]
    assert len(cell_spectrum(showers, 1.0)) == 1


def test_the_spectrum_is_the_list_of_all_cells_above_the_threshold() -> None:
    showers = random_showers(pbwo4_crystals())
    assert cell_energies(showers) is showers.deposits
    assert len(cell_spectrum(showers)) == int((showers.deposits > 0).sum())
    assert cell_spectrum(showers, 5.0).sum() == pytest.approx(
        sum(e for e in showers.deposits.flatten().tolist() if e > 5), rel=1e-5
    )


def test_totals_are_summed_in_double_precision() -> None:
    deposits = torch.full((1, 100), 1e-3)
    deposits[0, 0] = 1e5
    showers = Showers(deposits, Particles(torch.full((1,), 1e5)), pbwo4_crystals())
    assert total_energy(showers).item() == pytest.approx(1e5 + 0.099, abs=1e-6)


@pytest.mark.parametrize("observable", OBSERVABLES, ids=lambda o: o.name)
def test_batches_make_no_difference(observable: Observable) -> None:
    showers = random_showers(pbwo4_crystals(), n=10)
    parts = torch.cat([observable.function(batch) for batch in showers.batches(3)])
    torch.testing.assert_close(parts, observable.function(showers), rtol=1e-12, atol=0)


@pytest.mark.parametrize("observable", OBSERVABLES, ids=lambda o: o.name)
def test_the_input_is_left_as_it_was(observable: Observable) -> None:
    showers = random_showers(pbwo4_crystals())
    before = showers.deposits.clone()
    observable.function(showers)
    assert torch.equal(showers.deposits, before)


@pytest.mark.parametrize("grid", [g for g in GRIDS if g.n_cells < 1000], ids=name_of)
def test_what_is_not_a_position_does_not_see_the_symmetries(grid: RegularGrid) -> None:
    showers = random_showers(grid)
    for image in grid.symmetries:
        turned = Showers(showers.deposits[:, image], showers.particles, grid)
        for function in (total_energy, response, n_hits, max_energy, layer_energies):
            assert close(function(turned), function(showers))


def test_exchanging_x_and_y_exchanges_the_profiles() -> None:
    grid = pbwo4_crystals()
    showers = random_showers(grid)
    transposed = Showers(
        showers.deposits.reshape(-1, 10, 10).transpose(1, 2).reshape(-1, 100),
        showers.particles,
        grid,
    )
    torch.testing.assert_close(profile_x(transposed), profile_y(showers), rtol=1e-12, atol=0)


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_every_catalogue_fits_its_calorimeter(calorimeter: Calorimeter) -> None:
    showers = random_showers(calorimeter, n=4)
    for observable in catalogue(calorimeter):
        values = observable.function(showers)
        n = {Entry.SHOWER: (), Entry.CELL: (calorimeter.n_cells,)}.get(observable.entry)
        if observable.positions is not None:
            positions = observable.positions(calorimeter)
            assert observable.entry is Entry.POSITION
            assert (positions.diff() > 0).all()
            n = (len(positions),)
        if observable.entry is Entry.SERIES:
            labels = observable.labels_of(calorimeter)
            assert len(set(labels)) == len(labels) > 0
            n = (len(labels),)
        assert tuple(values.shape) == (4, *(n or ()))
        assert torch.isfinite(values).all()


def test_a_cylinder_has_no_profile_in_x() -> None:
    assert PROFILE_X not in catalogue(CYLINDERS[0])
    assert LAYERS in catalogue(CYLINDERS[0])
    with pytest.raises(GeometryError, match="has no columns of equal x"):
        profile_x(random_showers(CYLINDERS[0]))


def test_the_crystals_have_the_observables_of_the_paper_first() -> None:
    assert catalogue(pbwo4_crystals())[: len(SQUIRELS)] == SQUIRELS
    assert {o.name for o in catalogue(pbwo4_crystals())[len(SQUIRELS) :]} == {
        *(
            "profile_r",
            "occupancy",
            "centre_x",
            "centre_y",
            "width_x",
            "width_y",
            "radius_mean",
            "radius_rms",
        ),
        "brightest_fractions",
    }


@pytest.mark.parametrize("calorimeter", named_calorimeters().values(), ids=name_of)
def test_observables_are_told_apart_by_name(calorimeter: Calorimeter) -> None:
    observables = catalogue(calorimeter)
    assert all(a.name != b.name and a.title != b.title for a, b in combinations(observables, 2))
    assert all(o.distance_unit == "decades" for o in observables if o.scale is Scale.LOG)


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_one_threshold_holds_for_all_observables_that_count_cells(calorimeter: Calorimeter) -> None:
    showers = random_showers(calorimeter)
    plain, raised = catalogue(calorimeter), catalogue(calorimeter, threshold=20.0)
    assert raised == catalogue(calorimeter, threshold=20.0)
    changed = {o.name: o for o, p in zip(raised, plain, strict=True) if o != p}
    assert set(changed) == {"cell_energy_log", "n_hits", "occupancy"} | (
        {"sparsity"} if calorimeter.n_layers > 1 else set()
    )
    assert all("20 MeV" in o.title for o in changed.values())
    assert changed["cell_energy_log"].threshold == 20.0
    lit = (showers.deposits > 20).double()
    assert torch.equal(changed["n_hits"].function(showers).double(), lit.sum(1))
    torch.testing.assert_close(changed["occupancy"].function(showers), lit.mean(1))
    if "sparsity" in changed:
        dark = [
            1 - lit[:, calorimeter.layer_of_cell == layer].mean(1)
            for layer in range(calorimeter.n_layers)
        ]
        torch.testing.assert_close(changed["sparsity"].function(showers), torch.stack(dark, dim=1))


def test_what_is_remembered_of_a_batch_is_forgotten_when_it_is_written_to() -> None:
    showers = random_showers(pbwo4_crystals())
    before = total_energy(showers), n_hits(showers)
    layer_energies(showers).zero_()
    assert torch.equal(total_energy(showers), before[0])
    showers.deposits.mul_(2)
    assert torch.equal(total_energy(showers), 2 * before[0])
    assert not torch.equal(n_hits(showers), before[1])


def test_a_sample_without_showers_has_no_values() -> None:
    none = random_showers(CYLINDERS[0], n=0)
    assert all(len(o.function(none)) == 0 for o in catalogue(none.calorimeter))
