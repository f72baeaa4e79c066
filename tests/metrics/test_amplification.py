"""Amplification has closed forms: a perfect generator is worth what it makes, a biased one what its
own error allows.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from caloforge.errors import ShowerValueError
from caloforge.metrics.amplification import Amplification, amplification

TRUTH, TRAINING, GENERATED = 100_000, 1000, 20_000
BINS = 20
SHIFT = 0.1


def normal(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, n)


def of_shift(shift: float, seed: int) -> Amplification:
    """The generator of a normal law, off by a shift."""
    samples = (
        normal(TRUTH, 3 * seed),
        normal(TRAINING, 3 * seed + 1),
        normal(GENERATED, 3 * seed + 2, shift),
    )
    return amplification(*samples, quantiles=BINS, seed=seed)


def own_error(shift: float) -> float:
    """The distance of the shifted law itself, from its distribution function."""
    edges = np.concatenate([[-math.inf], norm.ppf(np.arange(1, BINS) / BINS), [math.inf]])
    return float(BINS * np.square(np.diff(norm.cdf(edges - shift)) - 1 / BINS).sum())


@pytest.fixture(scope="module")
def perfect() -> list[Amplification]:
    return [of_shift(0.0, seed) for seed in range(40)]


@pytest.fixture(scope="module")
def shifted() -> list[Amplification]:
    return [of_shift(SHIFT, seed) for seed in range(40)]


def mean(values: list[float]) -> tuple[float, float]:
    """The mean, and its standard deviation."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))


def test_showers_of_a_perfect_generator_are_worth_as_many_real_ones(
    perfect: list[Amplification],
) -> None:
    for place, n in enumerate(perfect[0].sizes):
        distance, error = mean([a.distance[place] for a in perfect])
        assert distance == pytest.approx((BINS - 1) / n, abs=4 * error)
    small = [a.equivalent[0] / a.sizes[0] for a in perfect]
    assert np.mean(small) == pytest.approx(1, abs=0.02)


def test_a_perfect_generator_has_no_plateau(perfect: list[Amplification]) -> None:
    assert sum(a.plateau is None for a in perfect) >= 36


def test_real_samples_are_worth_themselves(perfect: list[Amplification]) -> None:
    """And one of them scatters by sqrt(2 / (q - 1)), which is the error told, or a little less."""
    distance, error = mean([a.training_distance for a in perfect])
    expected = (BINS - 1) / TRAINING
    assert distance == pytest.approx(expected, abs=4 * error)
    told = np.mean([a.training_distance_error for a in perfect])
    assert told / expected == pytest.approx(math.sqrt(2 / (BINS - 1)), rel=0.2)


def test_a_biased_generator_saturates_where_its_own_error_says(
    shifted: list[Amplification],
) -> None:
    limit = (BINS - 1) / own_error(SHIFT) / TRAINING
    for a in shifted:
        assert a.plateau is not None
        assert a.plateau_error is not None
    plateau, error = mean([a.plateau for a in shifted if a.plateau is not None])
    assert plateau == pytest.approx(limit, abs=4 * error + 0.01 * limit)
    expected = (BINS - 1) / (own_error(SHIFT) + (BINS - 1) / GENERATED) / TRAINING
    factor, error = mean([a.factor for a in shifted])
    assert factor == pytest.approx(expected, abs=4 * error + 0.01 * expected)


def test_errors_are_the_scatter_from_sample_to_sample(
    shifted: list[Amplification], perfect: list[Amplification]
) -> None:
    """Of 40 samples the scatter is known to 11 %."""
    for found in (shifted, perfect):
        scatter = np.std([a.distance[-1] for a in found], ddof=1)
        assert np.mean([a.distance_error[-1] for a in found]) == pytest.approx(scatter, rel=0.4)
    scatter = np.std([a.factor for a in shifted], ddof=1)
    assert np.mean([a.factor_error for a in shifted]) == pytest.approx(scatter, rel=0.4)


def test_the_distance_at_n_is_the_mean_over_subsamples() -> None:
    """The closed form beside subsamples that are drawn."""
    truth, made = normal(2000, 1), normal(60, 2, 0.5)
    found = amplification(truth, normal(50, 3), made, quantiles=4, sizes=[15])
    edges = np.sort(truth)[[499, 999, 1499]]
    rng, drawn = np.random.default_rng(4), []
    for _ in range(20_000):
        contents = np.bincount(np.searchsorted(edges, rng.permutation(made)[:15]), minlength=4) / 15
        drawn.append(4 * np.square(contents - 0.25).sum() - 3 / 2000)
    assert found.sizes.tolist() == [15, 60]
    assert found.distance[0] == pytest.approx(
        np.mean(drawn), abs=4 * np.std(drawn) / math.sqrt(len(drawn))
    )


def test_the_distance_of_all_is_that_of_the_paper() -> None:
    """q times the sum of squares of contents less 1/q, by hand: eight of ten values in the lower
    half.
    """
    truth = np.arange(100.0)
    made = np.array([1.0] * 8 + [99.0] * 2)
    found = amplification(truth, truth, made, quantiles=2)
    assert found.distance[-1] == pytest.approx(2 * (0.3**2 + 0.3**2) - 1 / 100)
    least = found.distance_error[-1] if found.bounded[-1] else 0.0
    assert found.equivalent[-1] == pytest.approx(1 / (0.35 + least))
    assert found.training_distance == pytest.approx(-1 / 100)


def test_a_sample_that_the_truth_cannot_tell_from_it_has_a_bound_only() -> None:
    samples = (
        (normal(500, 3 * seed), normal(400, 3 * seed + 1), normal(100_000, 3 * seed + 2))
        for seed in range(20)
    )
    bounded = [
        found
        for found in (amplification(*some, quantiles=10) for some in samples)
        if found.bounded[-1]
    ]
    assert len(bounded) > 10
    for found in bounded:
        assert 0 < found.factor < math.inf
        assert found.factor_error == 0
        assert found.plateau is None


@given(
    seed=st.integers(0, 1000),
    n=st.tuples(st.integers(2, 40), st.integers(2, 40), st.integers(2, 40)),
    whole_numbers=st.booleans(),
)
@settings(deadline=None)
def test_every_number_is_finite(seed: int, n: tuple[int, int, int], whole_numbers: bool) -> None:
    rng = np.random.default_rng(seed)
    truth, training, made = (
        np.round(rng.normal(size=k) * 2) if whole_numbers else rng.normal(size=k) for k in n
    )
    if len(set(truth)) == 1:
        return
    found = amplification(truth, training, made, quantiles=2, seed=seed)
    for values in (
        found.distance,
        found.distance_error,
        found.equivalent,
        found.equivalent_error,
        found.factors,
    ):
        assert np.isfinite(values).all()
    assert (found.equivalent > 0).all()


def test_order_and_scale_do_not_matter_and_seeds_only_to_errors() -> None:
    truth, known, made = normal(3000, 1), normal(100, 2), normal(500, 3, 0.3)
    plain = amplification(truth, known, made, seed=1)
    other = amplification(np.exp(truth[::-1]), np.exp(known[::-1]), np.exp(made[::-1]), seed=1)
    np.testing.assert_allclose(plain.distance, other.distance)
    np.testing.assert_allclose(plain.equivalent_error, other.equivalent_error)
    again = amplification(truth, known, made, seed=2)
    np.testing.assert_array_equal(plain.distance, again.distance)
    assert not np.array_equal(plain.distance_error, again.distance_error)


def test_weights_of_2_and_0_are_values_twice_and_never() -> None:
    """Contents, and so D(M) less the noise, are those of the repeated values; the effective size is
    that of the showers.
    """
    truth, known, made = normal(1000, 1), normal(100, 2), normal(300, 3, 0.4)
    twice = np.where(np.arange(300) % 3 == 0, 0.0, np.where(np.arange(300) % 3 == 1, 2.0, 1.0))
    weighted = amplification(truth, known, made, weights=(None, None, twice))
    repeated = amplification(truth, known, np.repeat(made, twice.astype(int)))
    assert weighted.distance[-1] == pytest.approx(repeated.distance[-1])
    assert weighted.distance_error[-1] > 0
    ones = amplification(
        truth, known, made, weights=(np.ones(1000), np.full(100, 0.3), np.full(300, 7.0))
    )
    plain = amplification(truth, known, made)
    np.testing.assert_allclose(ones.distance, plain.distance)
    assert ones.training_size == pytest.approx(100)
    halved = amplification(
        truth, known, made, weights=(None, np.where(np.arange(100) < 50, 1.0, 0.0), None)
    )
    assert halved.training_size == pytest.approx(50)
    assert halved.factor == pytest.approx(2 * plain.factor)


def test_a_weighted_truth_is_cut_into_equal_parts_of_weight() -> None:
    values = np.arange(100.0)
    weights = np.where(values < 80, 0.25, 4.0)
    made = np.concatenate([np.full(20, 5.0), np.full(80, 85.0)])
    found = amplification(values, values, made, weights=(weights, None, None), quantiles=5)
    assert found.quantiles == 5
    expected = np.square(np.array([1.0, -1.0, -1.0, -1.0, -1.0]) * [0.0, 0.2, 0.6, 0.2, 0.2])
    noise = 4 / (weights.sum() ** 2 / np.square(weights).sum())
    assert found.distance[-1] == pytest.approx(expected.sum() / 0.2 - noise)


def test_repeated_values_share_a_bin() -> None:
    truth = np.repeat([1.0, 2.0, 3.0], [70, 20, 10])
    found = amplification(truth, truth, truth)
    assert found.quantiles == 3
    assert found.distance[-1] == pytest.approx(-2 / 100)


GOOD = normal(30, 1)
BAD: dict[str, tuple[tuple[np.ndarray, np.ndarray, np.ndarray], dict[str, object], str]] = {
    "one value": ((GOOD, GOOD[:1], GOOD), {}, "1 values of the training sample"),
    "NaN": (
        (GOOD, GOOD, np.append(GOOD, np.nan)),
        {},
        "31 values of the generated sample, 1 not finite",
    ),
    "constant truth": (
        (np.ones(30), GOOD, GOOD),
        {},
        "all 30 values of the truth fall into one bin",
    ),
    "small truth": ((GOOD[:10], GOOD, GOOD), {}, "20 quantiles and 50 replicas for 10 showers"),
    "one bin": ((GOOD, GOOD, GOOD), {"quantiles": 1}, "1 quantiles"),
    "one replica": ((GOOD, GOOD, GOOD), {"replicas": 1}, "1 replicas"),
    "too many": (
        (GOOD, GOOD, GOOD),
        {"sizes": [31]},
        "sizes from 31 to 31, expected from 1 to the 30",
    ),
    "none": ((GOOD, GOOD, GOOD), {"sizes": [0, 3]}, "sizes from 0 to 3"),
    "short weights": (
        (GOOD, GOOD, GOOD),
        {"weights": (None, np.ones(29), None)},
        "weights of the training sample",
    ),
    "no weight": (
        (GOOD, GOOD, GOOD),
        {"weights": (np.zeros(30), None, None)},
        "weights of the truth sample",
    ),
    "negative weight": (
        (GOOD, GOOD, GOOD),
        {"weights": (None, None, -np.ones(30))},
        "weights of the generated sample",
    ),
}


@pytest.mark.parametrize(("samples", "options", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_is_said(
    samples: tuple[np.ndarray, np.ndarray, np.ndarray], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ShowerValueError, match=message):
        amplification(*samples, **options)  # type: ignore[arg-type]
