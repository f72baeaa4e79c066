r"""What a classifier found, over several trainings.

Both samples weigh alike. On the scored showers of a training, with calibrated scores C,

.. math:: \mathrm{BCE} = -\tfrac12 \langle \ln C \rangle_\mathrm{full}
          - \tfrac12 \langle \ln(1 - C) \rangle_\mathrm{candidate} ,
          \qquad \mathrm{JSD} = (\ln 2 - \mathrm{BCE}) / \ln 2 .

The JSD is a lower bound for the Jensen-Shannon divergence of the two distributions in bits, 0 for
equal and 1 for disjoint ones; a classifier that learnt noise falls below 0. Value and error of AUC
and JSD are the mean over the trainings and its standard error, for one training the scatter of the
scored showers; the floors are 1/2 and 0. Weights :math:`w = C / (1 - C)` are the ratios of the
densities that the classifier found (CaloDREAM, arXiv:2405.09629, section 4.5, eq. 21).
"""

__all__ = [
    "FALSE_POSITIVE",
    "Repeated",
    "Roc",
    "Separation",
    "ShowerWeights",
    "Tails",
    "WeightsHistogram",
]

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from caloforge.classifiers.calibration import Curve
from caloforge.metrics.resampling import effective_size
from caloforge.metrics.scores import Score

FALSE_POSITIVE: NDArray[np.float64] = np.linspace(0, 1, 101)
"""The shares of the candidate at which a ROC curve is given."""
_NARROWEST = 0.1
"""A histogram of log10 w reaches at least so far."""


@dataclass(frozen=True)
class Repeated:
    """One number from each training."""

    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """The mean."""
        return float(np.mean(self.values))

    @property
    def spread(self) -> float:
        """The standard deviation of one training; 0 for a single one, which shows none."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0

    @property
    def error(self) -> float:
        """The standard deviation of the mean."""
        return self.spread / math.sqrt(len(self.values))


@dataclass(frozen=True, eq=False)
class Roc:
    """The share of the full simulation above a score, by the share of the candidate above it.

    Arguments:
        false_positive: The share of the candidate, 101 numbers from 0 to 1.
        true_positive: The share of the full simulation, mean over the trainings.
        spread: Its standard deviation over the trainings.
    """

    false_positive: Float[np.ndarray, " grid"]
    true_positive: Float[np.ndarray, " grid"]
    spread: Float[np.ndarray, " grid"]


@dataclass(frozen=True, eq=False)
class ShowerWeights:
    """The showers of one sample that were scored. One that several trainings scored has the mean of
    its log weights.

    Arguments:
        rows: Their numbers in the sample, from 0 on, rising, with shape (n).
        log_weights: Their :math:`\\log_{10} w`, in [-6, 6], with shape (n).
        counts: How often each counts: the sample's own weights, 1 if it has none, with shape (n).
    """

    rows: NDArray[np.int64]
    log_weights: Float[np.ndarray, " n"]
    counts: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def effective_size(self) -> float:
        r"""The effective number of showers, :math:`(\sum v)^2 / \sum v^2`."""
        return effective_size(self.counts)

    def chosen(self, order: NDArray[np.int64]) -> "ShowerWeights":
        """Some of the showers, in an order."""
        return ShowerWeights(self.rows[order], self.log_weights[order], self.counts[order])


@dataclass(frozen=True, eq=False)
class WeightsHistogram:
    """The distribution of log10 w; the shares of a sample sum to 1.

    Arguments:
        edges: The edges of the bins in log10 w, with shape (B + 1).
        full: The share of the full simulation in each bin, with shape (B).
        candidate: That of the candidate.
        full_error: The error of the former, from the number of showers in the bin.
        candidate_error: That of the latter.
    """

    edges: Float[np.ndarray, " edges"]
    full: Float[np.ndarray, " bins"]
    candidate: Float[np.ndarray, " bins"]
    full_error: Float[np.ndarray, " bins"]
    candidate_error: Float[np.ndarray, " bins"]


@dataclass(frozen=True, eq=False)
class Tails:
    """Where the candidate fails: in the tails of the weights.

    Arguments:
        missed: Showers of the full simulation, the largest weights first.
        spurious: Showers of the candidate, the least weights first.
    """

    missed: ShowerWeights
    spurious: ShowerWeights


@dataclass(frozen=True, eq=False)
class Separation:
    """What a classifier found; see the module's head for the definitions.

    Arguments:
        name: The classifier's name.
        title: Its title, for people.
        n_full: The number of showers of the full simulation.
        n_candidate: The number of showers of the candidate.
        areas: The AUC of each training.
        divergences: The JSD of each training.
        accuracies: The share of rightly classified showers in each training, at C = 1/2.
        cross_entropies: The BCE of each training.
        auc: The AUC, with error and floor.
        jsd: The JSD, with error and floor.
        roc: The ROC curve.
        before: The calibration curve of the scores before calibration, of all trainings together.
        after: That after calibration, which is on other showers.
        full: The weights w of the showers of the full simulation.
        candidate: Those of the candidate.
    """

    name: str
    title: str
    n_full: int
    n_candidate: int
    areas: Repeated
    divergences: Repeated
    accuracies: Repeated
    cross_entropies: Repeated
    auc: Score
    jsd: Score
    roc: Roc
    before: Curve
    after: Curve
    full: ShowerWeights
    candidate: ShowerWeights

    def weights_histogram(self, bins: int = 50) -> WeightsHistogram:
        """The distribution of log10 w over both samples, on bins symmetric about 0 that hold all
        showers.

        Arguments:
            bins: The number of bins, at least 1.
        """
        reach = max(
            _NARROWEST,
            *(float(np.abs(side.log_weights).max()) for side in (self.full, self.candidate)),
        )
        edges = np.linspace(-reach, reach, bins + 1)
        (full, full_error), (candidate, candidate_error) = (
            _shares(side, edges) for side in (self.full, self.candidate)
        )
        return WeightsHistogram(edges, full, candidate, full_error, candidate_error)

    def tails(self, n: int) -> Tails:
        """The n showers of each sample that fit the other one least; fewer where there are not so
        many.

        Arguments:
            n: The number of showers, at least 0.
        """
        missed = np.argsort(-self.full.log_weights, kind="stable")[:n]
        spurious = np.argsort(self.candidate.log_weights, kind="stable")[:n]
        return Tails(self.full.chosen(missed), self.candidate.chosen(spurious))

    def above(self, other: "Separation") -> "Separation":
        """The same with the floors that a separation between two samples of the full simulation
        found, and its errors.

        Arguments:
            other: That separation; its samples are smaller, which lowers its JSD where a classifier
                learns noise.
        """
        return replace(self, auc=_above(self.auc, other.auc), jsd=_above(self.jsd, other.jsd))


def _shares(
    side: ShowerWeights, edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    total = side.counts.sum()
    sums, squares = (
        np.histogram(side.log_weights, edges, weights=w)[0]
        for w in (side.counts, np.square(side.counts))
    )
    return sums / total, np.sqrt(squares) / total


def _above(score: Score, other: Score) -> Score:
    return replace(score, floor=other.value, floor_error=math.hypot(score.floor_error, other.error))
