"""Statistics against closed forms and scipy; errors and floors against samples drawn from known
laws.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from caloforge.errors import ShowerValueError
from caloforge.metrics import (
    Bins,
    Comparison,
    Resampling,
    Trio,
    batched_wasserstein,
    chi2_probability,
    compare_lines,
    compare_points,
    ks_probability,
    resampling,
    separation_power,
    wasserstein,
)
from caloforge.metrics.bins import each_position, equal_bins
from caloforge.metrics.measures import of_profiles, ranked

NUMBERS = st.lists(st.floats(min_value=-1e3, max_value=1e3, width=32), min_size=1, max_size=20)
COUNTS = st.lists(st.integers(min_value=0, max_value=50), min_size=1, max_size=12)


def drawn(n: int, m: int, **options: object) -> Resampling:
    return resampling(np.ones(n), np.ones(m), **options)  # type: ignore[arg-type]


def compared(full: np.ndarray, candidate: np.ndarray, **options: object) -> Comparison:
    return compare_points(
        full, candidate, drawn(len(full), len(candidate), **options), equal_bins(full)
    ).comparison


@given(NUMBERS, NUMBERS)
def test_it_is_scipys(a: list[float], b: list[float]) -> None:
    assert wasserstein(np.array(a), np.array(b)) == pytest.approx(
        stats.wasserstein_distance(a, b), abs=1e-9, rel=1e-9
    )


@given(NUMBERS, st.floats(min_value=-100, max_value=100))
def test_a_shift_is_its_own_distance(a: list[float], shift: float) -> None:
    assert wasserstein(np.array(a), np.array(a) + shift) == pytest.approx(abs(shift), abs=1e-6)


def test_two_gaussians_are_as_far_apart_as_their_means() -> None:
    rng = np.random.default_rng(1)
    result = compared(rng.normal(size=20_000), 0.5 + rng.normal(size=20_000))
    assert result.distance.value == pytest.approx(0.5, abs=0.03)
    assert result.standardised.value == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("lumped", [False, True])
def test_lumping_positions_changes_errors_and_floors_little_and_the_value_not_at_all(
    lumped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    full, candidate = rng.normal(size=900), 0.1 + rng.normal(size=700)
    exact = compared(full, candidate)
    if lumped:
        monkeypatch.setattr("caloforge.metrics.measures.MOST_POSITIONS", 250)
    result = compared(full, candidate)
    assert result.distance.value == pytest.approx(
        stats.wasserstein_distance(full, candidate), rel=1e-12
    )
    assert result.distance.floor == pytest.approx(exact.distance.floor, rel=0.02)
    assert result.distance.error == pytest.approx(exact.distance.error, rel=0.05)


def test_a_profile_is_scipys_with_the_energies_as_weights() -> None:
    rng = np.random.default_rng(3)
    a, b, x = rng.random((50, 10)), rng.random((40, 10)) ** 2, np.arange(10) * 30.0
    pair = drawn(50, 40, replicas=2, splits=2)
    line = of_profiles(x, a, b, pair.full_rows, pair.candidate_rows)
    result = compare_lines(line, pair, each_position(x)).comparison
    assert result.distance.value == pytest.approx(
        stats.wasserstein_distance(x, x, a.mean(0), b.mean(0)), rel=1e-12
    )
    assert result.separation.value == pytest.approx(
        float(separation_power(a.mean(0), b.mean(0))), rel=1e-12
    )
    assert (result.ks, result.chi2) == (None, None)


@given(COUNTS, st.integers(min_value=1, max_value=9))
def test_the_separation_power_is_none_for_one_shape_and_knows_no_scale(
    counts: list[int], factor: int
) -> None:
    contents = np.array(counts, dtype=float)
    assert separation_power(contents, factor * contents) == pytest.approx(0, abs=1e-12)


@given(COUNTS)
def test_the_separation_power_of_disjoint_samples_is_one(counts: list[int]) -> None:
    contents = np.array([*counts, 1], dtype=float)
    nothing = np.zeros(len(contents))
    assert separation_power(
        np.append(contents, nothing), np.append(nothing, contents)
    ) == pytest.approx(1)
    assert separation_power(contents, nothing) == 1
    assert separation_power(nothing, nothing) == 0


def test_the_separation_power_by_hand() -> None:
    assert separation_power(np.array([1.0, 3.0]), np.array([2.0, 2.0])) == pytest.approx(
        0.5 * (1 / 16 / 0.75 + 1 / 16 / 1.25)
    )


@pytest.mark.parametrize(("n", "m"), [(4000, 4000), (6000, 2000)])
def test_the_floor_of_the_separation_power_is_a_quarter_of_the_bins_over_the_sample_size(
    n: int, m: int
) -> None:
    rng = np.random.default_rng(4)
    full, bins = rng.random(n), Bins(np.linspace(0, 1, 41), flow=False)
    score = compare_points(full, rng.random(m), drawn(n, m), bins).separation.score
    expected = 39 / 4 * (1 / n + 1 / m)
    assert score.floor == pytest.approx(expected, rel=0.1)
    assert score.excess == pytest.approx(0, abs=4 * score.floor_error)


def test_the_tests_are_scipys() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=300), 0.1 + rng.normal(size=200)
    exact = stats.ks_2samp(a, b, method="asymp").pvalue
    assert ks_probability(a, b, np.ones(300), np.ones(200)) == pytest.approx(exact, abs=0.003)
    bins = Bins(np.linspace(-1, 1, 5))
    i, j = bins.index(a), bins.index(b)
    table = np.stack([np.bincount(k, minlength=6) for k in (i, j)])
    assert chi2_probability(i, j, np.ones(300), np.ones(200)) == pytest.approx(
        stats.chi2_contingency(table)[1], rel=0.1
    )


@pytest.mark.parametrize("test", ["ks", "chi2"])
def test_probabilities_of_equal_laws_are_uniform(test: str) -> None:
    rng = np.random.default_rng(6)
    found = [
        getattr(compared(rng.normal(size=400), rng.normal(size=300), replicas=2, splits=2), test)
        for _ in range(200)
    ]
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_weights_count_as_repeated_showers() -> None:
    rng = np.random.default_rng(7)
    full, candidate, weights = (
        rng.normal(size=200),
        rng.normal(size=150),
        rng.integers(0, 4, size=150).astype(float),
    )
    repeated = np.repeat(candidate, weights.astype(int))
    bins = equal_bins(full)
    one = compare_points(full, candidate, resampling(np.ones(200), weights), bins).comparison
    other = compare_points(full, repeated, drawn(200, len(repeated)), bins).comparison
    assert one.distance.value == pytest.approx(other.distance.value, rel=1e-9)
    assert one.separation.value == pytest.approx(other.separation.value, rel=1e-9)
    assert one.distance.floor > other.distance.floor


def test_reweighting_undoes_a_bias() -> None:
    rng = np.random.default_rng(8)
    full, candidate = rng.normal(size=20_000), 0.3 + rng.normal(size=20_000)
    ratio = np.exp(-0.3 * candidate + 0.3**2 / 2)
    bins = equal_bins(full)
    plain, weighted = (
        compare_points(full, candidate, resampling(np.ones(20_000), w), bins)
        for w in (np.ones(20_000), ratio)
    )
    assert plain.comparison.separation.resolved
    assert not weighted.comparison.separation.resolved
    assert not weighted.comparison.distance.resolved
    assert weighted.ks is not None
    assert weighted.ks > 0.001


def mean_floor(samples: list[np.ndarray], m: int) -> float:
    return float(np.mean([compared(s, s[:m], replicas=2).distance.floor for s in samples]))


@pytest.mark.parametrize(("n", "m"), [(200, 200), (1001, 1001), (400, 100), (400, 399)])
def test_the_floor_is_the_distance_of_two_independent_samples(n: int, m: int) -> None:
    rng = np.random.default_rng(4)
    floors = mean_floor([rng.random(n) for _ in range(40)], m)
    independent = np.mean([wasserstein(rng.random(n), rng.random(m)) for _ in range(400)])
    closed_form = math.pi / 8 * math.sqrt(2 / math.pi) * math.sqrt(1 / n + 1 / m)
    assert floors == pytest.approx(independent, rel=0.06)
    assert floors == pytest.approx(closed_form, rel=0.06)


def test_the_floor_scatters_as_the_distance_of_two_independent_samples() -> None:
    rng = np.random.default_rng(5)
    sample = rng.normal(size=500)
    independent = np.std(
        [wasserstein(rng.normal(size=500), rng.normal(size=500)) for _ in range(300)]
    )
    assert compared(sample, sample, replicas=2, splits=200).distance.floor_error == pytest.approx(
        independent, rel=0.25
    )


def test_the_error_of_a_clear_shift_is_that_of_the_difference_of_means() -> None:
    rng = np.random.default_rng(7)
    result = compared(
        rng.normal(size=800), 100 + 2 * rng.normal(size=400), replicas=400, splits=2
    ).distance
    assert result.value == pytest.approx(100, abs=0.5)
    assert result.error == pytest.approx(math.sqrt(1 / 800 + 4 / 400), rel=0.15)


def test_shared_energies_take_their_own_scatter_out_of_the_error() -> None:
    energies = np.random.default_rng(8).uniform(10, 100, size=500)
    assert compared(energies, energies + 5, energies=energies).distance.error == pytest.approx(
        0, abs=1e-12
    )
    assert compared(energies, energies + 5).distance.error > 0.5


@pytest.mark.parametrize(("n", "resolution"), [(2000, 0.4), (200, 1.0)])
def test_the_floor_of_shared_energies_is_the_distance_of_two_samples_that_share_them(
    n: int, resolution: float
) -> None:
    rng = np.random.default_rng(9)
    energies = rng.uniform(10, 100, size=n)

    def sample() -> np.ndarray:
        return energies + resolution * rng.normal(size=n)

    samples = [sample() for _ in range(20)]
    shared = np.mean(
        [compared(s, s, energies=energies, replicas=2).distance.floor for s in samples]
    )
    independent = np.mean([wasserstein(sample(), sample()) for _ in range(200)])
    assert shared == pytest.approx(independent, rel=0.05)
    assert compared(samples[0], samples[0], replicas=2).distance.floor > 3 * shared


def test_the_mean_over_several_distributions_knows_their_correlation() -> None:
    rng = np.random.default_rng(10)
    pair = drawn(400, 400, replicas=200)
    full, candidate = rng.normal(size=400), 5 + rng.normal(size=400)
    one = compare_points(full, candidate, pair, equal_bins(full))
    twice = Trio.mean([one, one]).comparison
    assert twice.distance == one.comparison.distance
    other = compare_points(
        *(rng.normal(size=400) + shift for shift in (0, 5)), pair, equal_bins(full)
    )
    mixed = Trio.mean([one, other]).comparison
    assert mixed.distance.error == pytest.approx(
        one.comparison.distance.error / math.sqrt(2), rel=0.2
    )
    assert mixed.ks == min(1.0, 2 * min(one.ks or 0, other.ks or 0))


def test_a_constant_is_compared_without_a_scale() -> None:
    result = compared(np.ones(50), np.ones(60))
    assert (result.distance.value, result.distance.floor, result.separation.value) == (0, 0, 0)
    assert (result.distance.ratio_to_floor, result.ks, result.chi2) == (1.0, 1.0, 1.0)
    shifted = compared(np.ones(50), np.full(60, 3.0))
    assert shifted.standardised.value == shifted.distance.value == pytest.approx(2)
    assert shifted.separation.value == 1


def test_batches_are_disjoint_and_standardised() -> None:
    rng = np.random.default_rng(11)
    full, candidate = 5 + 2 * rng.normal(size=1000), 6 + 2 * rng.normal(size=1003)
    result = batched_wasserstein(full, candidate, np.ones(1000), np.ones(1003), batches=4)
    parts = [
        stats.wasserstein_distance(*(x[k * 250 : (k + 1) * 250] for x in (full, candidate)))
        / full.std()
        for k in range(4)
    ]
    assert (result.batches, result.size) == (4, 250)
    assert result.mean == pytest.approx(np.mean(parts), rel=1e-12)
    assert result.spread == pytest.approx(np.std(parts, ddof=1), rel=1e-12)


def test_values_are_ranked_on_common_positions() -> None:
    line = ranked(np.array([3, 5, 3, 9]), np.array([4, 5, 5]))
    assert line.values.tolist() == [3, 4, 5, 9]
    assert line.full.tolist() == [0, 2, 0, 3]
    assert line.candidate.tolist() == [1, 2, 2]


def test_no_weight_is_refused() -> None:
    with pytest.raises(ShowerValueError, match="weights of a sample sum to 0"):
        wasserstein(np.ones(2), np.ones(2), np.zeros(2))


def test_the_value_alone_depends_on_no_seed() -> None:
    rng = np.random.default_rng(12)
    full, candidate = rng.normal(size=100), rng.normal(size=100)
    one, two = (compared(full, candidate, seed=seed) for seed in (1, 2))
    assert replace(one.distance, error=0, floor=0, floor_error=0) == replace(
        two.distance, error=0, floor=0, floor_error=0
    )
    assert one.distance.error != two.distance.error
