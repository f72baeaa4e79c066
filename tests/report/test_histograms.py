"""Histograms: contents are numpy's, weights count, errors know that cells of one shower belong
together.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caloforge.evaluation.findings import Sample
from caloforge.geometry import pbwo4_crystals
from caloforge.metrics.measures import CellCounts, decode, encode
from caloforge.observables import (
    ENERGY_SUM,
    LAYER_ENERGY,
    LOG_SPECTRUM,
    N_HITS,
    PROFILE_X,
    SPECTRUM,
    Observable,
)
from caloforge.report.histograms import Binned, binned, means
from tests.evaluation.samples import energies, toy

CRYSTALS = pbwo4_crystals()
RNG = np.random.default_rng(0)


def sample(observable: Observable, values: np.ndarray, weights: np.ndarray | None = None) -> Sample:
    n = len(values)
    return Sample(
        name="a",
        calorimeter=CRYSTALS,
        species=(11,),
        energies=np.ones(n),
        weights=np.ones(n) if weights is None else weights,
        weighted=weights is not None,
        values={observable.name: values},
        cells=np.zeros((1, 1)),
        features=np.zeros((n, 0)),
        fingerprints=np.zeros(n, dtype=np.int64),
        correlation=np.ones((1, 1)),
        mean=np.zeros(100),
        examples=(),
    )


def of(observable: Observable, *values: np.ndarray) -> list[Binned]:
    return binned(observable, [sample(observable, v) for v in values])


def of_cells(observable: Observable, deposits: torch.Tensor, rows: np.ndarray) -> Binned:
    counts = CellCounts(rows)
    counts.add(deposits)
    [bins] = binned(
        observable, [replace(sample(observable, np.zeros(len(deposits))), cells=counts.masses)]
    )
    return bins


def test_values_are_shared_out_as_numpy_does() -> None:
    values = RNG.normal(100, 1, size=3000)
    [bins] = of(ENERGY_SUM, values)
    counts, _ = np.histogram(values, bins.edges)
    np.testing.assert_allclose(bins.mean, counts / 3000)
    np.testing.assert_allclose(bins.error, np.sqrt(bins.mean * (1 - bins.mean) / 3000))
    assert bins.outside == pytest.approx(1 - counts.sum() / 3000)


def test_all_samples_fit_on_the_axis_but_for_their_tails() -> None:
    bins = of(ENERGY_SUM, RNG.normal(100, 1, size=3000), RNG.normal(120, 3, size=3000))
    assert all(b.outside < 0.006 for b in bins)
    assert (bins[0].edges == bins[1].edges).all()


def test_an_axis_of_energies_does_not_begin_below_zero() -> None:
    [bins] = of(ENERGY_SUM, RNG.exponential(100, size=3000))
    assert bins.edges[0] == 0
    [bins] = of(ENERGY_SUM, RNG.normal(0, 1, size=3000))
    assert bins.edges[0] < -1


def test_weights_are_honoured_by_the_formula() -> None:
    values, weights = RNG.normal(100, 1, size=500), RNG.exponential(1, size=500)
    [bins] = binned(ENERGY_SUM, [sample(ENERGY_SUM, values, weights)])
    for k in range(len(bins.mean)):
        inside = (values >= bins.edges[k]) & (values < bins.edges[k + 1])
        mean = (weights * inside).sum() / weights.sum()
        assert bins.mean[k] == pytest.approx(mean, abs=1e-12)
        assert bins.error[k] == pytest.approx(
            math.sqrt((weights**2 * (inside - mean) ** 2).sum()) / weights.sum(), abs=1e-12
        )


@pytest.mark.parametrize(
    ("observable", "column"),
    [(ENERGY_SUM, None), (PROFILE_X, None), (LAYER_ENERGY, 1)],
    ids=("energy sum", "profile in x", "layer energy"),
)
def test_a_whole_weight_is_so_many_showers_and_a_weight_of_zero_is_none(
    observable: Observable, column: int | None
) -> None:
    values = RNG.normal(100, 1, size=(300, 10) if observable is not ENERGY_SUM else 300)
    weights = np.repeat([0.0, 1.0, 2.0], 100)
    both = [
        sample(observable, values, weights),
        sample(observable, np.repeat(values, weights.astype(int), axis=0)),
    ]
    weighted, repeated = binned(observable, both, column)
    np.testing.assert_allclose(weighted.mean, repeated.mean, atol=1e-12)


@given(st.floats(0.01, 100))
def test_the_scale_of_the_weights_does_not_matter(factor: float) -> None:
    values, weights = np.arange(40.0).reshape(20, 2), np.arange(1.0, 21.0)
    one, other = means(values, weights), means(values, factor * weights)
    np.testing.assert_allclose(one.mean, other.mean)
    np.testing.assert_allclose(one.error, other.error)


@pytest.mark.parametrize("observable", [SPECTRUM, LOG_SPECTRUM], ids=lambda o: o.name)
def test_cells_are_counted_as_numpy_does(observable: Observable) -> None:
    deposits = toy(energies(40)).deposits
    rounded = decode(encode(deposits))
    bins = of_cells(observable, deposits, np.ones((3, 40)))
    counts, _ = np.histogram(rounded, bins.edges)
    np.testing.assert_allclose(bins.mean, counts / 40)
    assert bins.mean.sum() == pytest.approx((rounded >= bins.edges[0]).sum() / 40)
    np.testing.assert_allclose(bins.error, 0, atol=1e-9)


def test_cells_a_shower_honour_weights() -> None:
    deposits = toy(energies(40)).deposits
    weights = np.repeat([0.0, 2.0], 20)
    weighted = of_cells(SPECTRUM, deposits, np.stack([weights] * 3))
    counts, _ = np.histogram(decode(encode(deposits[20:])), weighted.edges)
    np.testing.assert_allclose(weighted.mean, counts / 20)


def test_the_error_of_cells_knows_their_shower() -> None:
    together = torch.tensor(RNG.choice([1.0, 10.0], size=(500, 1))).float().expand(-1, 100)
    replicas = np.stack(
        [np.bincount(RNG.integers(500, size=500), minlength=500) for _ in range(400)]
    )
    bins = of_cells(SPECTRUM, together, np.concatenate([np.ones((1, 500)), replicas]))
    assert bins.error[bins.mean > 0][0] == pytest.approx(100 * 0.5 / math.sqrt(500), rel=0.15)


def test_whole_numbers_have_bins_of_their_own() -> None:
    [bins] = of(N_HITS, np.repeat([20, 21, 22, 25], 100))
    assert bins.mean[:6].tolist() == [0.25, 0.25, 0.25, 0, 0, 0.25]
    assert bins.edges[:2].tolist() == [19.5, 20.5]


def test_profiles_are_mean_energies_over_the_columns() -> None:
    values = RNG.random((50, 10))
    [bins] = of(PROFILE_X, values)
    assert bins.edges.tolist() == [30 * i - 150 for i in range(11)]
    np.testing.assert_allclose(bins.mean, values.mean(axis=0))
    np.testing.assert_allclose(bins.error, values.std(axis=0) / math.sqrt(50))


def test_a_label_of_a_series_is_a_histogram_of_showers() -> None:
    values = RNG.normal(100, 1, size=(3000, 2)) * [1, 10]
    [bins] = binned(LAYER_ENERGY, [sample(LAYER_ENERGY, values)], column=1)
    [alone] = of(ENERGY_SUM, values[:, 1])
    np.testing.assert_array_equal(bins.mean, alone.mean)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e5])
def test_one_value_alone_can_be_drawn(value: float) -> None:
    [bins] = of(ENERGY_SUM, np.full(20, value))
    assert bins.mean.sum() == 1
