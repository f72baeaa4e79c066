"""Precision and its kin against the definitions in double precision, and what is expected against
many samples of one law.
"""

from importlib import import_module

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.metrics import resampling
from caloforge.metrics.neighbours import Neighbours, Share, log_voxels, neighbours
from tests.metrics.samples import drawn

module = import_module("caloforge.metrics.neighbours")
NAMES = ("precision", "recall", "density", "coverage")


def shares(n: Neighbours) -> list[Share]:
    return [n.precision, n.recall, n.density, n.coverage]


def values(n: Neighbours) -> list[float]:
    return [share.value for share in shares(n)]


def of(full: Tensor, candidate: Tensor, k: int = 5, **options: int) -> Neighbours:
    return neighbours(
        full, candidate, drawn(full.numpy(), candidate.numpy(), replicas=2, **options), k
    )


def normal(seed: int, n: int, features: int = 8) -> Tensor:
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed))


def slow(
    full: Tensor,
    candidate: Tensor,
    k: int,
    w: np.ndarray | None = None,
    v: np.ndarray | None = None,
) -> list[float]:
    """The definitions as they are written."""
    x, y = full.double().numpy(), candidate.double().numpy()
    balls = [np.sort(cdist(z, z), axis=1)[:, k] for z in (x, y)]
    apart = cdist(x, y)
    w = np.ones(len(x)) if w is None else w
    v = np.ones(len(y)) if v is None else v
    w, v = w / w.sum(), v / v.sum()
    in_full, in_candidate = apart < balls[0][:, None], apart < balls[1]
    return [
        v @ in_full.any(axis=0),
        w @ in_candidate.any(axis=1),
        len(x) / k * (w @ in_full @ v),
        w @ in_full.any(axis=1),
    ]


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m"), [(150, 150), (200, 120), (90, 210)])
def test_it_is_the_definition(n: int, m: int, k: int) -> None:
    full, candidate = normal(1, n), 1.2 * normal(2, m)
    assert values(of(full, candidate, k)) == pytest.approx(slow(full, candidate, k), rel=1e-12)


def test_rounding_decides_nothing() -> None:
    """Vectors whose differences are lost in the rounding of their scalar products."""
    full, candidate = normal(3, 200, 50), normal(4, 200, 50)
    full[:, 0] *= 1e4
    candidate[:, 0] *= 1e4
    full[::2, 0] = full[0, 0]
    candidate[::2, 0] = full[0, 0]
    assert values(of(full, candidate)) == pytest.approx(slow(full, candidate, 5), rel=1e-12)


def test_ties_are_outside_the_ball() -> None:
    grid = torch.cartesian_prod(*[torch.arange(6.0)] * 2)
    assert values(of(grid, grid + 0.0, 2)) == pytest.approx(slow(grid, grid, 2), rel=1e-12)


def test_blocks_and_order_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    full, candidate = normal(5, 130), normal(6, 170)
    expected = values(of(full, candidate))
    monkeypatch.setattr(module, "BLOCK", 4 * 170 * 11)
    monkeypatch.setattr(module, "PAIRS", 7)
    assert values(of(full, candidate)) == pytest.approx(expected, rel=1e-12)
    assert values(of(full.flip(0), candidate.flip(0))) == pytest.approx(expected, rel=1e-12)


def test_weights_are_in_the_means() -> None:
    full, candidate = normal(7, 150), 1.1 * normal(8, 120)
    rng = np.random.default_rng(9)
    w, v = rng.random(150), rng.random(120)
    weighted = neighbours(full, candidate, resampling(w, v, replicas=2, splits=5), 4)
    assert values(weighted) == pytest.approx(slow(full, candidate, 4, w, v), rel=1e-9)


def test_showers_without_weight_are_not_there() -> None:
    full, candidate = normal(10, 150), normal(11, 120)
    w, v = np.where(np.arange(150) < 90, 2.0, 0), np.where(np.arange(120) < 80, 1.0, 0)
    weighted = neighbours(full, candidate, resampling(w, v, replicas=2, splits=5))
    assert values(weighted) == pytest.approx(slow(full[:90], candidate[:80], 5), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(150, 150), (200, 80), (90, 200)])
def test_what_is_expected_is_what_second_samples_give(n: int, m: int) -> None:
    runs = [of(normal(1000 + i, n), normal(5000 + i, m), splits=10) for i in range(40)]
    for number, name in enumerate(NAMES):
        if name == "recall" and m > n:
            continue
        found = [shares(run)[number] for run in runs]
        misses = np.array([share.difference for share in found])
        assert abs(misses.mean()) < 4 * misses.std() / np.sqrt(len(runs)), name
        assert 2 / 3 < np.mean([share.expected_error for share in found]) / misses.std() < 3 / 2, (
            name
        )
        assert sum(share.resolved for share in found) <= 4, name


@pytest.mark.parametrize("spread", [1500, 160])
def test_the_error_is_the_scatter_of_new_samples(
    spread: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPREAD", spread)
    runs = [of(normal(2000 + i, 160), 1.3 * normal(7000 + i, 200), splits=10) for i in range(40)]
    for number, name in enumerate(NAMES):
        found = [shares(run)[number] for run in runs]
        assert (
            0.6
            < np.mean([share.error for share in found]) / np.std([share.value for share in found])
            < 1.8
        ), name


def test_other_laws_are_resolved_on_either_side() -> None:
    wide, narrow = (
        of(normal(12, 500), 1.3 * normal(13, 500)),
        of(normal(12, 500), 0.7 * normal(13, 500)),
    )
    assert wide.precision.resolved
    assert wide.precision.difference < 0
    assert narrow.precision.resolved
    assert narrow.precision.difference > 0
    assert narrow.recall.resolved
    assert narrow.recall.difference < 0


def test_identical_samples() -> None:
    full = normal(14, 100)
    found = of(full, full)
    assert values(found) == pytest.approx([1, 1, 1, 1])
    assert found.k == 5


@pytest.mark.parametrize("empty", [500, 30, 3])
def test_copies_of_one_shower_have_empty_balls(empty: int) -> None:
    full, candidate = normal(15, 500, 20), normal(16, 500, 20)
    full[:empty] = 0
    candidate[:empty] = 0
    found = of(full, candidate)
    assert values(found) == pytest.approx(slow(full, candidate, 5), rel=1e-12)
    numbers = [x for s in shares(found) for x in (s.value, s.error, s.expected, s.expected_error)]
    assert np.isfinite(numbers).all()
    assert found.coverage.expected <= 1 - (empty if empty > 5 else 0) / 500
    assert not found.precision.resolved
    assert not found.recall.resolved


def test_nothing_is_in_empty_balls() -> None:
    ones = torch.ones(60, 4)
    found = of(ones, ones)
    assert [x for s in shares(found) for x in (s.value, s.error, s.expected, s.expected_error)] == [
        0
    ] * 16


def test_logarithms_of_voxels() -> None:
    deposits = torch.tensor([[0.0, 1.0, 100.0], [0.01, 0.0, 10.0]])
    assert log_voxels(deposits).tolist() == [[-1, 0, 2], [-2, -1, 1]]


def test_mistakes_are_named() -> None:
    full = normal(17, 40)
    with pytest.raises(ShowerValueError, match="39 and 40 vectors for 40 and 40 showers"):
        neighbours(full[1:], full, drawn(full.numpy(), full.numpy()))
    with pytest.raises(ShowerValueError, match="5 neighbours need at least 14"):
        of(full[:13], full)
    broken = full.clone()
    broken[7, 3] = torch.nan
    with pytest.raises(ShowerValueError, match="shower 7 is not finite"):
        of(full, broken)
