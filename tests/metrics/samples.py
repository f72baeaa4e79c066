"""Samples of feature vectors for the tests of the metrics that compare them."""

import numpy as np

from caloforge.metrics import Resampling, resampling


def drawn(full: np.ndarray, candidate: np.ndarray, **options: int) -> Resampling:
    return resampling(
        np.ones(len(full)), np.ones(len(candidate)), **{"replicas": 10, "splits": 20, **options}
    )


def odd_pair() -> tuple[np.ndarray, np.ndarray]:
    """300 and 200 vectors of 6 features, of different laws, one feature all zero in the first,
    another constant in the second.
    """
    rng = np.random.default_rng(2022)
    full = np.round(rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6)), 3)
    candidate = np.round(rng.exponential(size=(200, 6)) @ rng.normal(size=(6, 6)), 3)
    full[:, 5], candidate[:, 4] = 0, 2
    return full, candidate


def with_moments(
    rng: np.random.Generator, n: int, mean: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """Vectors whose own mean and covariance (divisor n) are exactly these."""
    x = rng.normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    white = np.linalg.solve(np.linalg.cholesky(x.T @ x / n), x.T).T
    return white @ np.linalg.cholesky(covariance).T + mean
