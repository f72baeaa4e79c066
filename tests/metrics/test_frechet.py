"""The Fréchet distance against closed forms, scipy's root of a matrix and jetnet 0.2.5."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from caloforge.errors import ShowerValueError
from caloforge.metrics import frechet, resampling
from caloforge.metrics.frechet import (
    extrapolated_frechet_distance,
    frechet_distance,
    normalised,
    trimmed,
)
from tests.metrics.samples import drawn, odd_pair, with_moments


def slow(full: np.ndarray, candidate: np.ndarray) -> float:
    """The definition as it is written, with scipy's root."""
    scale = np.abs(full).max(axis=0)
    x, y = (z / np.where(scale > 0, scale, 1) for z in (full, candidate))
    a, b = np.cov(x, rowvar=False, ddof=0), np.cov(y, rowvar=False, ddof=0)
    shift = x.mean(axis=0) - y.mean(axis=0)
    return float(shift @ shift + np.trace(a + b) - 2 * np.trace(sqrtm(a @ b)).real)


def test_it_is_the_definition() -> None:
    rng = np.random.default_rng(1)
    full, candidate = rng.normal(size=(400, 7)), rng.normal(size=(300, 7)) @ rng.normal(size=(7, 7))
    assert frechet_distance(full, candidate, drawn(full, candidate)).value == pytest.approx(
        slow(full, candidate), rel=1e-9
    )


def test_gaussians_of_known_moments() -> None:
    rng = np.random.default_rng(2)
    mean, shift, spread, other = (
        np.zeros(3),
        np.array([1.0, 2.0, -2.0]),
        np.array([1.0, 4.0, 9.0]),
        np.array([4.0, 4.0, 1.0]),
    )
    full, candidate = (
        with_moments(rng, 400, mean, np.diag(spread)),
        with_moments(rng, 500, shift, np.diag(other)),
    )
    scale = np.abs(full).max(axis=0)
    exact = np.sum((shift**2 + (np.sqrt(spread) - np.sqrt(other)) ** 2) / scale**2)
    assert frechet_distance(full, candidate, drawn(full, candidate)).value == pytest.approx(
        exact, rel=1e-9
    )


def test_the_protocol_is_jetnets() -> None:
    full, candidate = odd_pair()
    value, error = extrapolated_frechet_distance(
        full, candidate, least=1000, most=5000, points=4, batches=5
    )
    assert value == pytest.approx(15.835225662433107, rel=1e-6)
    assert error == pytest.approx(0.6264191000153895, rel=1e-4)


def test_the_limit_is_what_jetnet_extrapolates_to() -> None:
    full, candidate = odd_pair()
    jetnet, error = 15.985339156071715, 0.038922073112494376
    assert abs(frechet_distance(full, candidate, drawn(full, candidate)).value - jetnet) < 2 * error


@pytest.mark.parametrize("n", [100, 500])
def test_equal_laws_are_at_the_floor_and_shifted_ones_are_not(n: int) -> None:
    rng = np.random.default_rng(3)
    full, same = rng.normal(size=(n, 20)), rng.normal(size=(n, 20))
    score = frechet_distance(full, same, drawn(full, same))
    assert not score.resolved
    assert abs(score.excess) < 4 * score.floor_error
    assert frechet_distance(full, same + 0.5, drawn(full, same)).resolved


def test_the_floor_is_the_distance_of_two_full_simulations() -> None:
    rng = np.random.default_rng(4)
    basis = rng.normal(size=(8, 8))
    samples = [rng.normal(size=(n, 8)) @ basis for n in (600, 300) * 30]
    scores = [
        frechet_distance(a, b, drawn(a, b, replicas=2))
        for a, b in zip(samples[::2], samples[1::2], strict=True)
    ]
    floors, values = np.mean([s.floor for s in scores]), [s.value for s in scores]
    assert floors == pytest.approx(np.mean(values), abs=4 * np.std(values) / np.sqrt(len(values)))


def test_identical_samples_are_no_distance_apart() -> None:
    full = odd_pair()[0]
    assert frechet_distance(full, full, drawn(full, full)).value == pytest.approx(0, abs=1e-12)


def test_rows_may_come_in_any_order_and_in_any_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    full, candidate = odd_pair()
    rng = np.random.default_rng(5)
    value = frechet_distance(full, candidate, drawn(full, candidate)).value
    monkeypatch.setattr(frechet, "BLOCK", 17)
    mixed = frechet_distance(
        rng.permutation(full), rng.permutation(candidate), drawn(full, candidate)
    ).value
    assert mixed == pytest.approx(value, rel=1e-12)


def test_weights_of_two_are_rows_twice() -> None:
    full, candidate = odd_pair()
    counts = np.random.default_rng(6).integers(0, 3, size=len(full))
    weighted = resampling(counts.astype(float), np.ones(len(candidate)), replicas=2, splits=2)
    full[np.abs(full).argmax(axis=0), np.arange(6)] = full[counts > 0][0]
    twice = np.repeat(full, counts, axis=0)
    full[counts == 0] = 0
    doubled = frechet_distance(twice, candidate, drawn(twice, candidate)).value
    assert frechet_distance(full, candidate, weighted).value == pytest.approx(doubled, rel=1e-9)


def test_no_feature_varies() -> None:
    ones, zeros = np.ones((50, 3)), np.zeros((50, 3))
    assert frechet_distance(ones, 3 * ones, drawn(ones, ones)).value == pytest.approx(12)
    score = frechet_distance(zeros, zeros, drawn(zeros, zeros))
    assert (score.value, score.error, score.floor, score.floor_error) == (0, 0, 0, 0)


def test_more_features_than_showers() -> None:
    rng = np.random.default_rng(7)
    full, candidate = rng.normal(size=(12, 40)), rng.normal(size=(9, 40))
    score = frechet_distance(full, candidate, drawn(full, candidate))
    assert np.isfinite([score.value, score.error, score.floor, score.floor_error]).all()
    assert score.value > 0


def test_features_are_scaled_by_the_full_simulation() -> None:
    x, y = normalised(np.array([[1.0, 0.0], [-4.0, 0.0]]), np.array([[8.0, 3.0]]))
    assert (x.tolist(), y.tolist()) == ([[0.25, 0], [-1, 0]], [[2, 3]])


def test_a_feature_that_is_not_finite_is_named() -> None:
    full, candidate = odd_pair()
    candidate[3, 2] = np.nan
    with pytest.raises(ShowerValueError, match="feature 2 of the candidate"):
        frechet_distance(full, candidate, drawn(full, candidate))


def test_rows_and_showers_must_agree() -> None:
    full, candidate = odd_pair()
    with pytest.raises(
        ShowerValueError, match="300 and 200 rows of features for 300 and 199 showers"
    ):
        frechet_distance(full, candidate, drawn(full, candidate[1:]))


def test_an_outlier_moves_the_distance_and_not_the_trimmed_one() -> None:
    rng = np.random.default_rng(9)
    full, candidate = rng.normal(size=(500, 5)), rng.normal(size=(400, 5))
    with_outlier = candidate.copy()
    with_outlier[7] = 1e3
    plain = [frechet_distance(full, x, drawn(full, x)).value for x in (candidate, with_outlier)]
    assert plain[1] > 100 * plain[0]
    kept = []
    for x in (candidate, with_outlier):
        a, b = (z[rows] for z, rows in zip((full, x), trimmed(full, x), strict=True))
        assert (len(a), len(b)) == (495, 396)
        kept.append(frechet_distance(a, b, drawn(a, b)).value)
    assert kept[1] == pytest.approx(kept[0], rel=0.1)


def test_constant_features_trim_nothing_apart_from_the_share() -> None:
    ones = np.ones((50, 2))
    odd = ones.copy()
    odd[3] = 2
    of_full, of_candidate = trimmed(ones, odd)
    assert (of_full.sum(), of_candidate.sum(), of_candidate[3]) == (49, 49, False)
