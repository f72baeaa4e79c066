"""Observables of hits are those of the same showers, dense."""

import pytest
import torch
from torch import Tensor

from caloforge.geometry import Calorimeter, calochallenge_3
from caloforge.hits import Hits
from caloforge.observables import (
    Observable,
    brightest_fractions,
    cell_spectrum,
    high_level_features,
    max_energy,
    n_hits,
    occupancy,
    shower_level_features,
    sparsity,
)
from caloforge.observables import _hit_sums as sparse
from caloforge.observables import _sums as dense
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.catalogue import CALORIMETERS, name_of
from tests.observables.samples import name, pairs

every_calorimeter = pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
LAST_BITS = 1e-12
THRESHOLDS = (-1.0, 0.0, 1.0, 50.0)


def showers_of(calorimeter: Calorimeter, n: int = 7) -> Showers:
    """Showers of which one has no energy and most cells none."""
    deposits = torch.rand(n, calorimeter.n_cells) * 100
    lit = torch.rand(n, calorimeter.n_cells) < 0.2
    lit[3] = False
    return Showers(torch.where(lit, deposits, 0), Particles(torch.rand(n) * 1e4 + 1), calorimeter)


def scattered(showers: Showers) -> Hits:
    """The same showers with each hit in two halves, in no order."""
    hits = Hits.of(showers)
    order = torch.randperm(2 * hits.n_hits)
    shower = hits.shower_of_hit.repeat(2)[order]
    order = order[shower.argsort(stable=True)]
    return Hits(
        2 * hits.offsets,
        hits.cells.repeat(2)[order],
        hits.hit_energies.repeat(2)[order] / 2,
        showers.particles,
        showers.calorimeter,
    )


def assert_close(found: Tensor, expected: Tensor, accuracy: float = LAST_BITS) -> None:
    scale = float(expected.double().abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(found, expected, rtol=accuracy, atol=accuracy * scale)


@every_calorimeter
def test_sums_over_hits_are_those_over_cells(calorimeter: Calorimeter) -> None:
    showers = showers_of(calorimeter)
    expected = dense.sums(showers)
    for hits in (Hits.of(showers), scattered(showers)):
        found = sparse.sums(hits)
        assert found.families == expected.families
        assert_close(found.slices, expected.slices)
        for moment in dense.MOMENTS:
            assert_close(found.moments[moment], expected.moments[moment])


@every_calorimeter
def test_what_counts_or_picks_cells_is_the_same_exactly(calorimeter: Calorimeter) -> None:
    showers = showers_of(calorimeter)
    for hits in (Hits.of(showers), scattered(showers)):
        assert torch.equal(max_energy(hits), max_energy(showers))
        assert torch.equal(brightest_fractions(hits)[3], brightest_fractions(showers)[3])
        assert_close(brightest_fractions(hits), brightest_fractions(showers))
        for threshold in THRESHOLDS:
            assert torch.equal(sparse.lit(hits, threshold), dense.hits(showers, threshold))
            for function in (n_hits, occupancy, sparsity):
                assert torch.equal(function(hits, threshold), function(showers, threshold))
            assert torch.equal(cell_spectrum(hits, threshold), cell_spectrum(showers, threshold))


@pytest.mark.parametrize(("calorimeter", "observable"), pairs(CALORIMETERS), ids=name)
def test_every_observable_takes_hits(calorimeter: Calorimeter, observable: Observable) -> None:
    """Widths are roots of differences, which lose half of the digits."""
    showers = showers_of(calorimeter)
    found, expected = observable.function(Hits.of(showers)), observable.function(showers)
    assert found.dtype == expected.dtype
    accuracy = 1e-6 if "width" in observable.name else LAST_BITS
    assert_close(found, expected, accuracy)


@every_calorimeter
def test_features_of_hits_are_those_of_the_showers(calorimeter: Calorimeter) -> None:
    showers = showers_of(calorimeter)
    hits = Hits.of(showers)
    depth = [shower_level_features] if calorimeter.has_depth else []
    for function in (high_level_features, *depth):
        assert_close(function(hits, 1.0), function(showers, 1.0), 1e-6)


def test_no_hits_have_observables() -> None:
    empty = Hits.of(showers_of(calochallenge_3(), 4)).sparse(torch.tensor([3, 3]))
    assert empty.n_hits == 0
    assert n_hits(empty).tolist() == [0, 0]
    assert max_energy(empty).tolist() == [0, 0]
    assert brightest_fractions(empty).shape == (2, 6)
    assert high_level_features(empty, 1.0).isfinite().all()
