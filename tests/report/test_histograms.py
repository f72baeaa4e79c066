"""Histograms: contents are numpy's, errors know that cells of one shower belong together."""

import math

import numpy as np
import pytest
import torch

from caloforge.calorimeter import pbwo4_crystals
from caloforge.metrics import decode, encode
from caloforge.observables import ENERGY_SUM, LOG_SPECTRUM, N_HITS, PROFILE_X, SPECTRUM, Observable
from caloforge.report.histograms import Binned, binned
from tests.report.samples import energies, toy

CRYSTALS = pbwo4_crystals()


def of(observable: Observable, *samples: np.ndarray) -> list[Binned]:
    return binned(observable, CRYSTALS, samples)


def test_values_are_shared_out_as_numpy_does() -> None:
    values = np.random.default_rng(0).normal(100, 1, size=3000)
    [bins] = of(ENERGY_SUM, values)
    counts, _ = np.histogram(values, bins.edges)
    np.testing.assert_allclose(bins.mean, counts / 3000)
    np.testing.assert_allclose(bins.error, np.sqrt(bins.mean * (1 - bins.mean) / 3000))
    assert bins.outside == pytest.approx(1 - counts.sum() / 3000)


def test_all_samples_fit_on_the_axis_but_for_their_tails() -> None:
    rng = np.random.default_rng(1)
    bins = of(ENERGY_SUM, rng.normal(100, 1, size=3000), rng.normal(120, 3, size=3000))
    assert all(b.outside < 0.006 for b in bins)
    assert (bins[0].edges == bins[1].edges).all()


@pytest.mark.parametrize("observable", [SPECTRUM, LOG_SPECTRUM], ids=lambda o: o.name)
def test_cells_are_counted_as_numpy_does(observable: Observable) -> None:
    codes = encode(toy(energies(40)).deposits)
    [bins] = of(observable, codes)
    counts, _ = np.histogram(decode(codes), bins.edges)
    np.testing.assert_allclose(bins.mean, counts / 40)
    assert bins.mean.sum() == pytest.approx((decode(codes) >= bins.edges[0]).sum() / 40)


def test_the_error_of_cells_knows_their_shower() -> None:
    together = torch.tensor(np.random.default_rng(2).choice([1.0, 10.0], size=(500, 1))).float().expand(-1, 100)
    [bins] = of(SPECTRUM, encode(together))
    assert bins.error[bins.mean > 0][0] == pytest.approx(100 * 0.5 / math.sqrt(500), rel=0.05)


def test_whole_numbers_have_bins_of_their_own() -> None:
    [bins] = of(N_HITS, np.repeat([20, 21, 22, 25], 100))
    assert bins.mean[:6].tolist() == [0.25, 0.25, 0.25, 0, 0, 0.25]
    assert bins.edges[:2].tolist() == [19.5, 20.5]


def test_profiles_are_mean_energies_over_the_columns() -> None:
    values = np.random.default_rng(3).random((50, 10))
    [bins] = of(PROFILE_X, values)
    assert bins.edges.tolist() == [30 * i - 150 for i in range(11)]
    np.testing.assert_allclose(bins.mean, values.mean(axis=0))
    np.testing.assert_allclose(bins.error, values.std(axis=0) / math.sqrt(50))


@pytest.mark.parametrize("value", [0.0, -3.0, 1e5])
def test_one_value_alone_can_be_drawn(value: float) -> None:
    [bins] = of(ENERGY_SUM, np.full(20, value))
    assert bins.mean.sum() == 1
