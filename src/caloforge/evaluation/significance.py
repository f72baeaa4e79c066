"""How a number compares with its floor.

A distance is *at the floor* where it exceeds it by at most three standard deviations of one such
statistic, *close* where it is significant and at most three times the floor, else *far*.
"""

__all__ = ["CLOSE", "Significance", "overall", "significance", "significance_of_auc"]

from enum import Enum

from caloforge.evaluation.findings import Evaluation, Sample, Score, Separation
from caloforge.metrics.scores import SIGMAS

CLOSE = 3.0
"""A distance of at most so many floors is close."""
_CLOSE_AUC = 0.6


class Significance(Enum):
    """How a distance compares with its floor."""

    FLOOR = "at the floor"
    CLOSE = "close"
    FAR = "far"


def significance(score: Score) -> Significance:
    """How a distance compares with its floor."""
    if not score.resolved:
        return Significance.FLOOR
    return Significance.CLOSE if score.ratio_to_floor <= CLOSE else Significance.FAR


def significance_of_auc(separation: Separation) -> Significance:
    """How an AUC compares with chance: within three standard errors (at least those of chance
    alone), at most 0.6, or above.
    """
    auc = separation.auc
    if abs(auc.value - auc.floor) <= SIGMAS * max(auc.floor_error, auc.error):
        return Significance.FLOOR
    return Significance.CLOSE if auc.value <= _CLOSE_AUC else Significance.FAR


def overall(evaluation: Evaluation, candidate: Sample) -> Significance:
    """The significance of a candidate's worst distance or AUC."""
    found = [significance(c.distance) for c in evaluation.comparisons[candidate.name].values()]
    found += [significance_of_auc(j) for j in evaluation.classifiers[candidate.name].values()]
    return max(found, key=list(Significance).index, default=Significance.FAR)
