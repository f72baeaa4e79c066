"""Correlations of layers against numpy's, and their distance between samples of known laws."""

import numpy as np
import pytest

from caloforge.errors import ShowerValueError
from caloforge.metrics.correlations import correlation_distance, layer_correlation
from tests.metrics.samples import drawn, with_moments


def test_it_is_numpys() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + 1e3
    assert layer_correlation(values, np.ones(200)) == pytest.approx(
        np.corrcoef(values, rowvar=False), abs=1e-12
    )


def test_weights_are_rows_so_many_times() -> None:
    rng = np.random.default_rng(2)
    values, counts = rng.normal(size=(100, 4)), rng.integers(0, 4, size=100)
    repeated = np.corrcoef(np.repeat(values, counts, axis=0), rowvar=False)
    assert layer_correlation(values, counts.astype(float)) == pytest.approx(repeated, abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_a_layer_that_does_not_vary_has_no_correlation(constant: float) -> None:
    values = np.random.default_rng(3).normal(size=(101, 3))
    values[:, 1] = constant
    matrix = layer_correlation(values, np.ones(101))
    assert matrix[1].tolist() == matrix[:, 1].tolist() == [0, 1, 0]
    assert matrix[0, 2] == pytest.approx(np.corrcoef(values[:, 0], values[:, 2])[0, 1])


def test_the_distance_of_known_correlations() -> None:
    rng = np.random.default_rng(4)
    a, b = np.eye(3), np.array([[1, 0.5, 0], [0.5, 1, -0.2], [0, -0.2, 1]])
    full, candidate = with_moments(rng, 300, np.zeros(3), a), with_moments(rng, 200, np.ones(3), b)
    score = correlation_distance(full, 7 * candidate, drawn(full, candidate))
    assert score.value == pytest.approx((0.5 + 0 + 0.2) / 3, rel=1e-9)
    assert score.resolved


def test_the_floor_is_the_distance_of_two_full_simulations() -> None:
    rng = np.random.default_rng(5)
    samples = [rng.normal(size=(n, 6)) for n in (600, 300) * 20]
    pairs = list(zip(samples[::2], samples[1::2], strict=True))
    scores = [correlation_distance(a, b, drawn(a, b, replicas=2)) for a, b in pairs]
    values = np.array([s.value for s in scores])
    assert np.mean([s.floor for s in scores]) == pytest.approx(
        values.mean(), abs=4 * values.std() / np.sqrt(len(values))
    )
    assert sum(s.resolved for s in scores) <= 1


def test_identical_and_empty_layers_are_no_distance_apart() -> None:
    zeros = np.zeros((20, 3))
    values = np.random.default_rng(6).normal(size=(20, 3))
    assert correlation_distance(values, values, drawn(values, values)).value == 0
    score = correlation_distance(zeros, zeros, drawn(zeros, zeros))
    assert (score.value, score.error, score.floor, score.floor_error) == (0, 0, 0, 0)


def test_a_single_layer_and_values_that_are_not_finite_are_errors() -> None:
    values = np.random.default_rng(7).normal(size=(20, 2))
    with pytest.raises(ShowerValueError, match="single layer"):
        correlation_distance(values[:, :1], values[:, :1], drawn(values, values))
    broken = np.where(np.arange(20)[:, None] == 3, np.nan, values)
    with pytest.raises(ShowerValueError, match="not finite"):
        correlation_distance(values, broken, drawn(values, values))
