"""Areas, ROC curves and calibrations against their definitions and known laws."""

import math

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.special import expit
from scipy.stats import norm

from caloforge.classifiers import Calibration, area
from caloforge.classifiers.calibration import area_error, calibration, curve, roc

RNG = np.random.default_rng(7)


def with_ties(n: int) -> np.ndarray:
    return RNG.integers(9, size=n).astype(float)


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    full, candidate, v, w = with_ties(30), with_ties(20), RNG.random(30), RNG.random(20)
    right = np.array([[1.0 if x > z else 0.5 if x == z else 0.0 for z in candidate] for x in full])
    assert area(full, candidate) == pytest.approx(right.mean(), rel=1e-13)
    assert area(full, candidate, v, w) == pytest.approx(
        np.average(right, weights=np.outer(v, w)), rel=1e-13
    )


def test_the_area_sees_order_alone() -> None:
    full, candidate = RNG.normal(0.5, 1, 300), RNG.normal(0, 1, 200)
    found = area(full, candidate)
    assert area(expit(full), expit(candidate)) == found
    assert area(candidate, full) == pytest.approx(1 - found, rel=1e-13)
    assert area(RNG.permutation(full), RNG.permutation(candidate)) == pytest.approx(
        found, rel=1e-13
    )


def test_scores_in_perfect_order_have_area_one() -> None:
    assert area(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0


def test_a_weight_of_two_is_a_row_twice_for_the_area() -> None:
    full, candidate = with_ties(40), with_ties(50)
    twice = np.where(np.arange(40) % 3, 1, 2)
    doubled = area(np.repeat(full, twice), candidate)
    assert area(full, candidate, twice.astype(float)) == pytest.approx(doubled, rel=1e-13)


def test_the_error_of_the_area_is_its_scatter_over_samples() -> None:
    errors, found = [], []
    for _ in range(400):
        full, candidate = RNG.normal(1, 1, 200), RNG.normal(0, 1, 100)
        errors.append(area_error(full, candidate))
        found.append(area(full, candidate))
    assert np.mean(errors) == pytest.approx(np.std(found, ddof=1), rel=0.15)


def test_the_roc_curve_of_two_gaussians_is_known() -> None:
    full, candidate, grid = (
        RNG.normal(1, 1, 40_000),
        RNG.normal(0, 1, 40_000),
        np.linspace(0, 1, 101),
    )
    found = roc(full, candidate, np.ones(40_000), np.ones(40_000), grid)
    assert found == pytest.approx(norm.cdf(1 + norm.ppf(grid)), abs=0.015)
    assert trapezoid(found, grid) == pytest.approx(norm.cdf(1 / math.sqrt(2)), abs=0.005)


def test_the_area_under_the_roc_curve_is_the_area_also_with_ties() -> None:
    full, candidate, v, w = with_ties(300), with_ties(200), RNG.random(300), RNG.random(200)
    grid = np.linspace(0, 1, 20_001)
    assert trapezoid(roc(full, candidate, v, w, grid), grid) == pytest.approx(
        area(full, candidate, v, w), abs=1e-6
    )


def labelled(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits twice as sure as they should be, labels, weights."""
    labels = RNG.integers(2, size=n).astype(float)
    true = RNG.normal(labels, 1, n) - 0.5
    return 2 * true + 1, labels, np.ones(n)


@pytest.mark.parametrize("kind", [Calibration.ISOTONIC, Calibration.LOGISTIC])
def test_after_calibration_the_curve_is_the_diagonal(kind: Calibration) -> None:
    probability = calibration(kind, *labelled(20_000))
    logits, labels, weights = labelled(20_000)
    before, after = (
        curve(expit(logits), labels, weights),
        curve(probability(logits), labels, weights),
    )
    enough = after.count > 200
    assert np.abs(before.predicted - before.observed).max() > 0.1
    assert after.predicted[enough] == pytest.approx(after.observed[enough], abs=0.05)
    assert after.count.sum() == 20_000


def test_logistic_calibration_finds_the_two_numbers() -> None:
    probability = calibration(Calibration.LOGISTIC, *labelled(200_000))
    grid = np.linspace(-4, 4, 9)
    assert probability(grid) == pytest.approx(expit((grid - 1) / 2), abs=0.01)


def test_logistic_calibration_never_turns_the_order_round() -> None:
    logits, labels, weights = labelled(500)
    probability = calibration(Calibration.LOGISTIC, -logits, labels, weights)
    assert (np.diff(probability(np.linspace(-3, 3, 7))) > 0).all()


def test_logistic_calibration_of_separate_samples_stays_finite() -> None:
    labels = np.repeat([0.0, 1.0], 20)
    found = calibration(Calibration.LOGISTIC, 40 * labels - 20, labels, np.ones(40))(
        np.array([-20.0, 20.0])
    )
    assert found == pytest.approx([1 / 22, 21 / 22], abs=1e-3)


def slow_isotonic(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The max-min formula of isotonic regression, for distinct rising x."""
    n = len(x)
    means = [
        [np.average(y[i : j + 1], weights=w[i : j + 1]) if j >= i else math.nan for j in range(n)]
        for i in range(n)
    ]
    return np.array(
        [max(min(means[i][j] for j in range(k, n)) for i in range(k + 1)) for k in range(n)]
    )


def test_isotonic_calibration_agrees_with_its_formula() -> None:
    logits, labels, weights = (
        np.sort(RNG.normal(size=60)),
        RNG.integers(2, size=60).astype(float),
        RNG.random(60) + 0.1,
    )
    found = calibration(Calibration.ISOTONIC, logits, labels, weights)(logits)
    assert found == pytest.approx(
        np.clip(slow_isotonic(logits, labels, weights), 1e-6, 1 - 1e-6), rel=1e-12
    )


def test_isotonic_calibration_is_flat_outside_and_straight_between() -> None:
    labels = np.array([0.0, 1.0, 0.0, 1.0])
    probability = calibration(
        Calibration.ISOTONIC, np.array([-2.0, -1.0, 1.0, 2.0]), labels, np.ones(4)
    )
    middle = (expit(1.0) + expit(2.0)) / 2
    assert probability(
        np.array([-9.0, 0.0, math.log(middle / (1 - middle)), 9.0])
    ) == pytest.approx([1e-6, 0.5, 0.75, 1 - 1e-6])


@pytest.mark.parametrize("kind", [Calibration.ISOTONIC, Calibration.NONE])
def test_a_weight_of_two_is_a_row_twice_for_calibration(kind: Calibration) -> None:
    logits, labels, _ = labelled(60)
    logits, twice = np.round(logits, 1), np.where(np.arange(60) % 3, 1, 2)
    doubled = calibration(kind, *(np.repeat(x, twice) for x in (logits, labels, np.ones(60))))
    assert calibration(kind, logits, labels, twice.astype(float))(logits) == pytest.approx(
        doubled(logits), rel=1e-12
    )


def test_a_weight_of_zero_is_no_row() -> None:
    logits, labels, weights = labelled(100)
    weights[::2] = 0
    for kind in Calibration:
        without = calibration(kind, logits[1::2], labels[1::2], weights[1::2])
        assert (calibration(kind, logits, labels, weights)(logits) == without(logits)).all()


def test_bins_without_showers_are_left_out_of_the_curve() -> None:
    found = curve(
        np.array([0.02, 0.04, 0.95]), np.array([0.0, 1.0, 1.0]), np.array([1.0, 3.0, 1.0])
    )
    assert found.predicted == pytest.approx([0.035, 0.95])
    assert found.observed == pytest.approx([0.75, 1.0])
    assert found.count.tolist() == [2, 1]
