"""Resampling: counts are those of whole showers, halves are disjoint, and only the seed decides."""

import math
import tracemalloc

import numpy as np
import pytest

from caloforge.errors import ShowerValueError
from caloforge.metrics import Score, resampling
from caloforge.metrics.resampling import Trials, effective_size


def test_replicas_draw_as_many_showers_and_halves_share_none() -> None:
    drawn = resampling(np.ones(101), np.ones(60), replicas=5, splits=7)
    assert drawn.replicas[0].shape == (5, 101)
    assert drawn.replicas[1].shape == (5, 60)
    assert (drawn.replicas[0].sum(axis=1) == 101).all()
    first, second = drawn.halves
    assert (first.sum(axis=1) == 50).all()
    assert (second.sum(axis=1) == 50).all()
    assert (first * second == 0).all()
    assert drawn.full_rows.shape == (1 + 5 + 14, 101)
    assert drawn.candidate_rows.shape == (1 + 5, 60)


def test_shared_energies_are_drawn_together_and_cut_in_pairs() -> None:
    energies = np.random.default_rng(0).permutation(np.repeat(np.arange(50.0), 2))
    drawn = resampling(np.ones(100), np.ones(100), energies=energies)
    assert (drawn.replicas[0] == drawn.replicas[1]).all()
    first, second = drawn.halves
    assert (np.sort(energies * first, axis=1)[:, 50:] == np.arange(50)).all()
    assert (np.sort(energies * second, axis=1)[:, 50:] == np.arange(50)).all()


def test_replicas_of_the_full_simulation_are_the_same_for_every_candidate() -> None:
    one, other = (resampling(np.ones(40), np.ones(m), seed=3) for m in (20, 70))
    assert (one.full_rows == other.full_rows).all()


@pytest.mark.parametrize(("n", "m"), [(100, 100), (100, 50), (101, 400)])
def test_the_scale_is_that_of_the_sizes(n: int, m: int) -> None:
    expected = (1 / n + 1 / m) / (2 / (n // 2))
    assert resampling(np.ones(n), np.ones(m)).scale == pytest.approx(expected)


def test_the_first_resamplings_are_the_first() -> None:
    drawn = resampling(np.ones(20), np.ones(30), replicas=5, splits=7)
    few = drawn.first(3)
    assert (few.full == drawn.full).all()
    assert (few.replicas[1] == drawn.replicas[1][:3]).all()
    assert (few.halves[0] == drawn.halves[0][:3]).all()
    assert (few.halves[1] == drawn.halves[1][:3]).all()
    assert few.scale == drawn.scale


def test_weights_are_in_every_resampling_and_in_the_effective_size() -> None:
    weights = np.random.default_rng(1).random(30)
    drawn = resampling(weights, np.ones(30), replicas=3, splits=3)
    assert (drawn.full[0] == weights).all()
    assert np.allclose(drawn.replicas[0] % weights, 0, atol=1e-9) or np.allclose(
        drawn.replicas[0] / weights, np.round(drawn.replicas[0] / weights)
    )
    assert effective_size(weights) < 30
    assert effective_size(np.full(30, 0.1)) == pytest.approx(30)


def test_the_seed_alone_decides_and_no_global_state_is_touched() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 (what must not be touched)
    a, b, c = (resampling(np.ones(20), np.ones(20), seed=seed) for seed in (-3, -3, 4))
    assert (a.full_rows == b.full_rows).all()
    assert (a.full_rows != c.full_rows).any()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_drawing_takes_little_more_memory_than_what_is_drawn() -> None:
    tracemalloc.start()
    drawn = resampling(np.ones(20_000), np.ones(20_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.2 * (drawn.full_rows.nbytes + drawn.candidate_rows.nbytes)


def test_the_mean_of_weights_has_the_error_of_a_mean() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=500)
    drawn = resampling(np.ones(500), np.ones(500), replicas=400, splits=400)

    def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ values) / a.sum(1) - (b @ values) / b.sum(1)

    score = drawn.score(difference, difference, order=0.5)
    assert score.error == pytest.approx(math.sqrt(2 / 500), rel=0.12)
    assert score.floor_error == pytest.approx(math.sqrt(2 / 500), rel=0.12)


def test_the_ratio_to_a_floor_of_nothing() -> None:
    assert Score(3.0, 0.1, 2.0, 0.1).ratio_to_floor == 1.5
    assert Score(3.0, 0.1, 0.0, 0.1).ratio_to_floor == math.inf
    assert Score(0.0, 0.1, 0.0, 0.1).ratio_to_floor == 1.0


def test_what_is_resolved_is_three_deviations_above_the_floor() -> None:
    assert not Score(2.2, 0.1, 2.0, 0.1).resolved
    assert Score(2.4, 0.1, 2.0, 0.1).resolved
    assert Score(2.4, 0.1, 2.0, 0.1).excess == pytest.approx(0.4)


def test_trials_average_row_by_row() -> None:
    a = Trials(1.0, np.array([1.0, 3.0]), np.array([0.0, 2.0]))
    b = Trials(3.0, np.array([3.0, 1.0]), np.array([2.0, 2.0]))
    mean = Trials.mean([a, b]).score
    assert (mean.value, mean.error, mean.floor) == (2.0, 0.0, 1.5)


@pytest.mark.parametrize(("n", "m"), [(3, 10), (10, 1)])
def test_too_few_showers_are_refused(n: int, m: int) -> None:
    with pytest.raises(ShowerValueError, match="at least"):
        resampling(np.ones(n), np.ones(m))


def test_energies_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(ShowerValueError, match="10 shared incident energies for 10 and 9 showers"):
        resampling(np.ones(10), np.ones(9), energies=np.ones(10))


def test_no_weight_is_refused() -> None:
    with pytest.raises(ShowerValueError, match=r"0 showers of the full simulation.*at least 4"):
        resampling(np.zeros(10), np.ones(9))
