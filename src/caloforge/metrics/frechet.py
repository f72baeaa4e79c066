r"""The Fréchet physics distance (FPD) of two samples, from means and covariances of their features.

Features are divided by their largest absolute value in the full simulation (by 1 where that is 0).
With weighted means :math:`\mu` and covariances C (Kansal et al., arXiv:2211.10295, eq. 2),

.. math:: d^2 = |\mu - \mu'|^2 + \mathrm{tr}\,C + \mathrm{tr}\,C' - 2\,\mathrm{tr}\,(C^{1/2} C'
          C^{1/2})^{1/2} .

With :math:`C = L L^T`, :math:`C' = L' L'^T` the last trace is the sum of the singular values of
:math:`L^T L'`: no inverse and no root of a product. `extrapolated_frechet_distance` is the
published protocol (jetnet 0.2.5), `frechet_distance` its limit, without the noise of batches. A
single shower far off moves covariances, thus d^2: `trimmed` takes the farthest out. Order
1; replicas carry the noise of the samples twice, so only their spread is used.
"""

__all__ = ["extrapolated_frechet_distance", "frechet_distance", "normalised", "trimmed"]

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import curve_fit

from caloforge.errors import ShowerValueError
from caloforge.metrics.resampling import Resampling
from caloforge.metrics.scores import Score

TIMES = 10
"""Replicas and splits are used up to this number: each costs two covariances and their roots."""

BLOCK = 8192
"""Showers in a block of the sum of a covariance."""

TRIMMED = 0.01
"""The share of the farthest showers that is taken out of both samples."""

Features = Float[np.ndarray, "showers features"]
Others = Float[np.ndarray, "others features"]
Weights = Float[np.ndarray, " showers"]


def frechet_distance(
    full: Float[np.ndarray, "n features"],
    candidate: Float[np.ndarray, "m features"],
    resampling: Resampling,
) -> Score:
    """The Fréchet physics distance, squared as is the custom, of order 1.

    Arguments:
        full: The features of the full simulation, finite, with shape (N, F).
        candidate: The features of the candidate, finite, with shape (M, F).
        resampling: The weights of both samples; the first 10 replicas and splits are used.

    Returns:
        The distance d^2 of the module's head, without unit.

    Raises:
        ShowerValueError: A feature is not finite, or a sample has not as many rows as the
            resampling has showers.
    """
    require_rows(full, candidate, resampling)
    x, y = normalised(full, candidate)
    few = resampling.first(TIMES)
    return few.score(
        lambda a, b: _distances(x, a, y, b), lambda a, b: _distances(x, a, x, b), order=1
    )


def extrapolated_frechet_distance(
    full: Float[np.ndarray, "n features"],
    candidate: Float[np.ndarray, "m features"],
    *,
    least: int = 10_000,
    most: int = 50_000,
    points: int = 10,
    batches: int = 20,
    seed: int = 42,
) -> tuple[float, float]:
    """The published protocol to the letter: growing batches, extrapolated; the same seed draws the
    batches of jetnet 0.2.5.

    It serves to compare with published numbers; `frechet_distance` is its limit, without the noise
    of the batches.

    Arguments:
        full: The features of the full simulation, finite, with shape (N, F).
        candidate: The features of the candidate, finite, with shape (M, F).
        least: The smallest batch, at least 2; 10,000 in the CaloChallenge.
        most: The largest batch; sizes are evenly spaced in 1/m.
        points: Number of sizes, at least 2.
        batches: Number of batches of each size.
        seed: The seed of the batches.

    Returns:
        The distance d^2 and the error of the extrapolation.

    Raises:
        ShowerValueError: A feature is not finite.
    """
    x, y = normalised(full, candidate)
    rng = np.random.default_rng(seed)
    sizes = (1 / np.linspace(1 / least, 1 / most, points)).astype(np.int32)
    means = [
        np.mean([_batch_distance(rng, x, y, size) for _ in range(batches)])
        for size in sizes.tolist()
    ]
    (limit, _), covariance = curve_fit(
        lambda x, a, b: a + b * x, 1 / sizes, means, bounds=([0, 0], [np.inf, np.inf])
    )
    return float(limit), float(np.sqrt(covariance[0, 0]))


def normalised(
    full: Float[np.ndarray, "n features"], candidate: Float[np.ndarray, "m features"]
) -> tuple[Float[np.ndarray, "n features"], Float[np.ndarray, "m features"]]:
    """Both samples divided by the largest absolute value of each feature in the full simulation, by
    1 where that is 0.

    Raises:
        ShowerValueError: A feature is not finite.
    """
    for name, sample in (("full simulation", full), ("candidate", candidate)):
        bad = ~np.isfinite(sample).all(axis=0)
        if bad.any():
            msg = (
                f"feature {int(np.argmax(bad))} of the {name} is not finite in some shower: "
                "expected finite numbers"
            )
            raise ShowerValueError(msg)
    largest = np.abs(full).max(axis=0)
    scale = np.where(largest > 0, largest, 1.0)
    return full / scale, candidate / scale


def trimmed(
    full: Float[np.ndarray, "n features"],
    candidate: Float[np.ndarray, "m features"],
    share: float = TRIMMED,
) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " m"]]:
    """Which showers of each sample stay when the farthest are taken out: at least one, and the same
    share of both.

    A shower is as far as its farthest feature: from the median of the full simulation, in units of
    the width of its central 98 %, of its largest deviation where that is 0.

    Arguments:
        full: The features of the full simulation, finite, with shape (N, F).
        candidate: The features of the candidate, finite, with shape (M, F).
        share: The share of the showers that is taken out, in (0, 1).
    """
    low, middle, high = np.quantile(full, [0.01, 0.5, 0.99], axis=0)
    largest = np.abs(full - middle).max(axis=0)
    scale = np.where(high > low, high - low, np.where(largest > 0, largest, 1.0))
    full_far, candidate_far = (np.abs((x - middle) / scale).max(axis=1) for x in (full, candidate))
    return _nearest(full_far, share), _nearest(candidate_far, share)


def _nearest(far: Float[np.ndarray, " showers"], share: float) -> Bool[np.ndarray, " showers"]:
    kept = np.zeros(len(far), dtype=bool)
    kept[np.argsort(far, kind="stable")[: len(far) - max(1, round(share * len(far)))]] = True
    return kept


def require_rows(
    full: Float[np.ndarray, "n features"],
    candidate: Float[np.ndarray, "m features"],
    resampling: Resampling,
) -> None:
    """Require one row for each shower of a resampling.

    Raises:
        ShowerValueError: There are more or fewer rows.
    """
    expected = (resampling.full.shape[1], resampling.candidate.shape[1])
    if (len(full), len(candidate)) != expected:
        msg = (
            f"{len(full)} and {len(candidate)} rows of features for {expected[0]} and "
            f"{expected[1]} showers: expected as many"
        )
        raise ShowerValueError(msg)


@dataclass(frozen=True, eq=False)
class _Moments:
    """Mean, with shape (F); a factor L of the covariance L L^T, with shape (F, F); and the
    covariance's trace.
    """

    mean: Float[np.ndarray, " features"]
    factor: Float[np.ndarray, "features features"]
    trace: float


def _distances(
    x: Features,
    x_weights: Float[np.ndarray, "times showers"],
    y: Others,
    y_weights: Float[np.ndarray, "times others"],
) -> Float[np.ndarray, " times"]:
    return np.array(
        [
            _distance(_moments(x, a), _moments(y, b))
            for a, b in zip(x_weights, y_weights, strict=True)
        ]
    )


def _batch_distance(rng: np.random.Generator, x: Features, y: Others, size: int) -> float:
    """The distance between two batches, with covariances of divisor size - 1."""
    counts = [
        np.bincount(rng.choice(len(z), size=size), minlength=len(z)).astype(float) for z in (x, y)
    ]
    return _distance(
        *(_moments(z, c, size / (size - 1)) for z, c in zip((x, y), counts, strict=True))
    )


def _distance(a: _Moments, b: _Moments) -> float:
    overlap = np.linalg.svd(a.factor.T @ b.factor, compute_uv=False).sum()
    shift = a.mean - b.mean
    return max(float(shift @ shift + a.trace + b.trace - 2 * overlap), 0.0)


def _moments(x: Features, weights: Weights, correction: float = 1.0) -> _Moments:
    share = weights / weights.sum()
    mean = share @ x
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for rows in _blocks(share):
        scaled = (x[rows] - mean) * np.sqrt(correction * share[rows, None])
        covariance += scaled.T @ scaled
    values, vectors = np.linalg.eigh(covariance)
    return _Moments(mean, vectors * np.sqrt(values.clip(min=0)), float(np.trace(covariance)))


def _blocks(share: Weights) -> Iterator[np.ndarray]:
    """The showers that count, in blocks: half of them do not in a split."""
    rows = np.flatnonzero(share)
    return iter(np.split(rows, range(BLOCK, len(rows), BLOCK)))
