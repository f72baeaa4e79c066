r"""From the score of a classifier to a probability, and what a sample of scores says.

The samples are :math:`x_i` with weights :math:`v_i` (full simulation, y = 1) and :math:`z_j` with
:math:`w_j` (candidate, y = 0). The area under the ROC curve is exact: the share of pairs in which
the full simulation's score is the higher,

.. math:: \mathrm{AUC} = \sum_{ij} v_i w_j \left( [x_i > z_j] + \tfrac12 [x_i = z_j] \right) /
          \sum_{ij} v_i w_j .

A score C is a probability if of all showers with that score a share C are of the full simulation.
Then :math:`w = C / (1 - C)` is the ratio of the two densities. A `Calibration` maps scores to such
probabilities, a `Curve` tests them.
"""

__all__ = [
    "LEAST_PROBABILITY",
    "Calibration",
    "Curve",
    "area",
    "area_error",
    "calibration",
    "curve",
    "logistic_calibration",
    "mid_ranks",
    "roc",
]

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, log_expit

from caloforge.metrics.resampling import effective_size

Values = Float[np.ndarray, " values"]
Map = Callable[[NDArray[np.float64]], NDArray[np.float64]]

LEAST_PROBABILITY = 1e-6
"""Probabilities are cut so far from 0 and 1, as in the CaloChallenge."""
_LEAST_SLOPE = 1e-3
_BINS = 10


class Calibration(Enum):
    r"""How scores are made probabilities.

    ``ISOTONIC`` is the rising function of the score with the least squares to the labels, between
    the scores a straight line, cut to :math:`[10^{-6}, 1 - 10^{-6}]`: the CaloChallenge's; it needs
    thousands of showers to be smooth. ``LOGISTIC`` is :math:`\sigma(a s + b)` of the logit s, with
    :math:`a > 0` and b of least cross-entropy against labels moved towards each other by one count
    in each sample (Platt, 1999): two numbers, fit for hundreds.
    """

    NONE = "none"
    LOGISTIC = "logistic"
    ISOTONIC = "isotonic"


@dataclass(frozen=True, eq=False)
class Curve:
    """How often a probability is right.

    Arguments:
        predicted: The mean probability in each bin that has showers, rising, with shape (B).
        observed: The share of the full simulation there, with shape (B).
        count: The number of showers there, with shape (B).
    """

    predicted: Float[np.ndarray, " bins"]
    observed: Float[np.ndarray, " bins"]
    count: NDArray[np.int64]


def area(
    full: Float[np.ndarray, " n"],
    candidate: Float[np.ndarray, " m"],
    full_weights: Float[np.ndarray, " n"] | None = None,
    candidate_weights: Float[np.ndarray, " m"] | None = None,
) -> float:
    """Area under the ROC curve of scores, exact.

    Arguments:
        full: Scores of showers of the full simulation, with shape (n).
        candidate: Scores of showers of the candidate, with shape (m).
        full_weights: The weights of the former, with shape (n); None for 1 each.
        candidate_weights: The weights of the latter, with shape (m); None for 1 each.
    """
    v = np.ones(len(full)) if full_weights is None else full_weights
    return float(np.average(_above(full, candidate, candidate_weights), weights=v))


def area_error(
    full: Float[np.ndarray, " n"],
    candidate: Float[np.ndarray, " m"],
    full_weights: Float[np.ndarray, " n"] | None = None,
    candidate_weights: Float[np.ndarray, " m"] | None = None,
) -> float:
    """The standard deviation of `area` over samples of these sizes, for given scores: from the
    spread of the inner sums over one sample each (DeLong, DeLong and Clarke-Pearson, Biometrics 44
    (1988) 837).
    """
    sides = (
        (full, candidate, full_weights, candidate_weights),
        (candidate, full, candidate_weights, full_weights),
    )
    return float(np.sqrt(sum(_variance_of_mean(_above(x, z, w), v) for x, z, v, w in sides)))


def _above(
    x: Values, z: Float[np.ndarray, " others"], w: Float[np.ndarray, " others"] | None
) -> Values:
    """For each x the share of the z below it, those equal to it counted half."""
    order = np.argsort(z, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(np.ones(len(z)) if w is None else w[order])])
    low, high = (sums[np.searchsorted(z[order], x, side)] for side in ("left", "right"))
    return np.asarray((low + high) / (2 * sums[-1]))


def mid_ranks(x: Values, weights: Values) -> Values:
    """For each value the share of all weight below it, its own and that of equal ones counted half,
    in ]0, 1[.
    """
    return _above(x, x, weights)


def _variance_of_mean(x: Values, v: Values | None) -> float:
    weights = np.ones(len(x)) if v is None else v
    deviation = x - np.average(x, weights=weights)
    return float(np.square(weights * deviation).sum() / weights.sum() ** 2)


def roc(
    full: Float[np.ndarray, " n"],
    candidate: Float[np.ndarray, " m"],
    full_weights: Float[np.ndarray, " n"],
    candidate_weights: Float[np.ndarray, " m"],
    false_positive: Float[np.ndarray, " grid"],
) -> Float[np.ndarray, " grid"]:
    """The share of the full simulation above the score that given shares of the candidate exceed;
    ties are straight lines.

    Arguments:
        full: Scores of showers of the full simulation, with shape (n).
        candidate: Scores of showers of the candidate, with shape (m).
        full_weights: The weights of the former, with shape (n).
        candidate_weights: The weights of the latter, with shape (m).
        false_positive: The shares of the candidate, in [0, 1], rising.
    """
    cuts = np.unique(np.concatenate([full, candidate]))[::-1]
    sides = ((candidate, candidate_weights), (full, full_weights))
    found = [np.concatenate([[0.0], _share_from(x, w, cuts)]) for x, w in sides]
    return np.asarray(np.interp(false_positive, found[0], found[1]))


def _share_from(
    x: Values, w: Values, cuts: Float[np.ndarray, " cuts"]
) -> Float[np.ndarray, " cuts"]:
    """The share of x at or above each cut."""
    order = np.argsort(x)
    sums = np.concatenate([[0.0], np.cumsum(w[order])])
    return np.asarray(1 - sums[np.searchsorted(x[order], cuts, "left")] / sums[-1])


def calibration(kind: Calibration, logits: Values, labels: Values, weights: Values) -> Map:
    """The map from logits to probabilities, fitted to some showers.

    Arguments:
        kind: How it is fitted.
        logits: The logits s, with shape (n).
        labels: The labels y, 1 or 0, with shape (n).
        weights: The weights, with shape (n).

    Returns:
        From logits to probabilities in [1e-6, 1 - 1e-6].
    """
    fits = {
        Calibration.NONE: _plain,
        Calibration.LOGISTIC: _logistic,
        Calibration.ISOTONIC: _isotonic,
    }
    used = weights > 0
    function = fits[kind](logits[used], labels[used], weights[used])
    return lambda s: np.clip(function(s), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)


def _plain(logits: Values, labels: Values, weights: Values) -> Map:
    return lambda s: np.asarray(expit(s))


def _isotonic(logits: Values, labels: Values, weights: Values) -> Map:
    scores, place = np.unique(expit(logits), return_inverse=True)
    total = np.bincount(place, weights)
    steps = isotonic_regression(np.bincount(place, weights * labels) / total, weights=total).x
    steps = np.clip(steps, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return lambda s: np.asarray(np.interp(expit(s), scores, steps))


def _logistic(logits: Values, labels: Values, weights: Values) -> Map:
    slope, shift = logistic_calibration(logits, labels, weights)
    return lambda s: np.asarray(expit(slope * s + shift))


def logistic_calibration(logits: Values, labels: Values, weights: Values) -> tuple[float, float]:
    """The slope a and the shift b of `Calibration.LOGISTIC`.

    Arguments:
        logits: The logits s, with shape (n).
        labels: The labels y, 1 or 0, with shape (n).
        weights: The weights, with shape (n).
    """
    scale = max(float(np.std(logits)), 1e-12)
    targets = _moved(labels, weights)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        t = parameters[0] * logits / scale + parameters[1]
        slope = weights * (expit(t) - targets) / weights.sum()
        value = (
            -(weights * (targets * log_expit(t) + (1 - targets) * log_expit(-t))).sum()
            / weights.sum()
        )
        return float(value), np.array([(slope * logits).sum() / scale, slope.sum()])

    found = minimize(
        loss,
        np.array([scale, 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(_LEAST_SLOPE, None), (None, None)],
    ).x
    return float(found[0] / scale), float(found[1])


def _moved(labels: Values, weights: Values) -> Values:
    """Platt's targets (n + 1) / (n + 2) and 1 / (m + 2), with the effective numbers of showers."""
    sizes = [effective_size(weights[labels == y]) for y in (0, 1)]
    return np.asarray(np.where(labels > 0, (sizes[1] + 1) / (sizes[1] + 2), 1 / (sizes[0] + 2)))


def curve(probabilities: Values, labels: Values, weights: Values) -> Curve:
    """The calibration curve, in ten equal bins of the probability; those without showers are left
    out.

    Arguments:
        probabilities: The probabilities C, with shape (n).
        labels: The labels y, 1 or 0, with shape (n).
        weights: The weights, with shape (n).
    """
    place = np.searchsorted(np.linspace(0, 1, _BINS + 1)[1:-1], probabilities)
    sums = [
        np.bincount(place, w, minlength=_BINS)
        for w in (weights, weights * probabilities, weights * labels)
    ]
    there = sums[0] > 0
    return Curve(
        sums[1][there] / sums[0][there],
        sums[2][there] / sums[0][there],
        np.bincount(place, minlength=_BINS)[there],
    )
