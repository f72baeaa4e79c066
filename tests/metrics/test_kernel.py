"""The kernel distance against naive loops, moments and jetnet 0.2.5."""

import numpy as np
import pytest

from caloforge.errors import ShowerValueError
from caloforge.metrics import kernel, resampling
from caloforge.metrics.kernel import kernel_distance
from tests.metrics.samples import drawn, odd_pair


def slow(full: np.ndarray, candidate: np.ndarray, size: int) -> np.ndarray:
    """The published protocol, batch by batch, its kernel matrices written out."""
    scale = np.abs(full).max(axis=0)
    x, y = (z / np.where(scale > 0, scale, 1) for z in (full, candidate))
    values = []
    for batch in range(10):
        rng = np.random.default_rng(42 + 1000 * batch)
        a, b = x[rng.choice(len(x), size=size)], y[rng.choice(len(y), size=size)]
        aa, bb, ab = ((p @ q.T / x.shape[1] + 1) ** 4 for p, q in ((a, a), (b, b), (a, b)))
        within = sum((k.sum() - np.trace(k)) / (size * (size - 1)) for k in (aa, bb))
        values.append(within - 2 * ab.mean())
    return np.array(values)


@pytest.mark.parametrize("size", [50, 700])
def test_it_is_the_protocol_written_out(size: int) -> None:
    full, candidate = odd_pair()
    batches = slow(full, candidate, size)
    score = kernel_distance(full, candidate, drawn(full, candidate), batch_size=size)
    low, high = np.percentile(batches, [16.275, 83.725])
    assert score.value == pytest.approx(np.median(batches), rel=1e-9)
    assert score.error == pytest.approx((high - low) / 2, rel=1e-9)


def test_it_is_jetnets() -> None:
    full, candidate = odd_pair()
    score = kernel_distance(full, candidate, drawn(full, candidate), batch_size=1000)
    assert score.value == pytest.approx(524.3591084570878, rel=1e-9)
    assert score.error == pytest.approx(135.04364329527965, rel=1e-9)


def test_two_points_on_a_line() -> None:
    """x = 1 or -1 with equal chance against y = c: E k(x, x') = (2^4 + 0) / 2, E k(y, y') = (c^2 +
    1)^4, and the mixed mean.
    """
    c = 0.5
    full, candidate = np.repeat([[1.0], [-1.0]], 200, axis=0), np.full((300, 1), c)
    exact = 8 + (c**2 + 1) ** 4 - ((1 + c) ** 4 + (1 - c) ** 4)
    score = kernel_distance(full, candidate, drawn(full, candidate))
    assert score.value == pytest.approx(exact, rel=0.02)
    assert score.resolved


@pytest.mark.parametrize("n", [200, 800])
def test_equal_laws_are_at_the_floor_and_shifted_ones_are_not(n: int) -> None:
    rng = np.random.default_rng(3)
    full, same = rng.normal(size=(n, 5)), rng.normal(size=(n, 5))
    score = kernel_distance(full, same, drawn(full, same))
    assert not score.resolved
    assert abs(score.excess) < 4 * score.floor_error
    assert kernel_distance(full, same + 0.5, drawn(full, same)).resolved


@pytest.mark.parametrize("thin", [5000, 150])
def test_the_floor_is_the_distance_of_two_full_simulations(
    thin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "THIN", thin)
    rng = np.random.default_rng(4)
    samples = [rng.uniform(-1, 1, size=(n, 4)) for n in (400, 200) * 30]
    pairs = list(zip(samples[::2], samples[1::2], strict=True))
    scores = [kernel_distance(a, b, drawn(a, b, replicas=2), batch_size=2000) for a, b in pairs]
    values, floors = np.array([s.value for s in scores]), np.array([s.floor for s in scores])
    error = np.hypot(np.std(values), np.std(floors)) / np.sqrt(len(values))
    assert abs(floors.mean() - values.mean()) < 4 * error
    assert np.sqrt(np.mean([s.floor_error**2 for s in scores])) == pytest.approx(
        np.std(values), rel=0.4
    )


def test_any_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    full, candidate = odd_pair()
    whole = kernel_distance(full, candidate, drawn(full, candidate), batch_size=100)
    monkeypatch.setattr(kernel, "BLOCK", 8 * 300 * 7)
    parts = kernel_distance(full, candidate, drawn(full, candidate), batch_size=100)
    expected = [whole.value, whole.error, whole.floor, whole.floor_error]
    assert [parts.value, parts.error, parts.floor, parts.floor_error] == pytest.approx(
        expected, rel=1e-9
    )


def test_weights_are_chances_to_be_drawn() -> None:
    full, candidate = odd_pair()
    weights = np.where(np.arange(len(full)) < 100, 3.0, 0.0)
    full[100:] = full[:100].max(axis=0)
    weighted = resampling(weights, np.ones(len(candidate)), replicas=2, splits=5)
    alone = slow(full[:100], candidate, 500)
    score = kernel_distance(full, candidate, weighted, batch_size=500)
    assert score.value == pytest.approx(
        np.median(alone), abs=4 * np.std(alone) / np.sqrt(10) * 1.25
    )


def test_no_feature_varies() -> None:
    zeros = np.zeros((50, 3))
    score = kernel_distance(zeros, zeros, drawn(zeros, zeros))
    assert [score.value, score.error, score.floor, score.floor_error] == pytest.approx(
        [0, 0, 0, 0], abs=1e-12
    )


def test_features_that_are_not_finite_and_missing_rows_are_errors() -> None:
    full, candidate = odd_pair()
    with pytest.raises(ShowerValueError, match="rows of features"):
        kernel_distance(full[1:], candidate, drawn(full, candidate))
    full[0, 0] = np.inf
    with pytest.raises(ShowerValueError, match="feature 0 of the full simulation"):
        kernel_distance(full, candidate, drawn(full, candidate))
