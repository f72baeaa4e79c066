r"""How a number compares with its floor.

A distance is *at the floor* where it exceeds it by at most three standard deviations of one such
statistic, *close* where it is significant and at most three times the floor, else *far*. An
observable with a distribution at each of n labels is as significant as its worst label, each at the
level :math:`p_3 / n` with :math:`p_3` that of three standard deviations: a mean hides a label.

In bins of the condition distances are many, and are significant where a Kolmogorov-Smirnov test is
at the level :math:`p_3 / n`: of candidates without a fault at most one in :math:`1 / p_3 = 740` has
such a distance in any of its n. What few showers carry, such as a broken cell, that test does not
see: a distance of more than 30 floors needs none.
"""

__all__ = [
    "CLOSE",
    "Significance",
    "overall",
    "significance",
    "significance_of",
    "significance_of_auc",
    "significance_of_bin",
    "worst",
    "worst_first",
    "worst_of_bin",
]

from collections.abc import Iterable
from enum import Enum

from scipy.special import ndtr, ndtri

from caloforge.evaluation.doubts import withheld
from caloforge.evaluation.findings import Bin, Comparison, Evaluation, Sample, Score, Separation
from caloforge.metrics.scores import SIGMAS

CLOSE = 3.0
"""A distance of at most so many floors is close."""
_CLOSE_AUC = 0.6
_NEVER_BY_CHANCE = 30.0
"""More floors than that no two samples of one distribution are apart."""


class Significance(Enum):
    """How a distance compares with its floor."""

    FLOOR = "at the floor"
    CLOSE = "close"
    FAR = "far"


def significance(score: Score, among: int = 1) -> Significance:
    """How a distance, one of so many, compares with its floor."""
    sigmas = _sigmas(among)
    if not score.value > score.floor + sigmas * score.floor_error:
        return Significance.FLOOR
    return Significance.CLOSE if score.ratio_to_floor <= CLOSE else Significance.FAR


def _sigmas(among: int) -> float:
    """How many standard deviations of one of so many numbers are as rare as three of one."""
    return SIGMAS if among == 1 else -float(ndtri(ndtr(-SIGMAS) / among))


def significance_of(comparison: Comparison) -> Significance:
    """How an observable compares with its floor: as the worst of its labels and their mean."""
    labels = comparison.parts.values()
    found = [significance(part.distance, among=len(labels)) for part in labels]
    return _worst([significance(comparison.distance), *found])


def worst(comparison: Comparison) -> tuple[str, Score]:
    """The label of an observable whose distance is the most floors among those that are as
    significant as the observable, and that distance; the mean has the label ''.
    """
    level = significance_of(comparison)
    parts = {"": comparison, **comparison.parts}
    among = {
        label: part.distance
        for label, part in parts.items()
        if significance(part.distance, among=len(parts) - 1 if label else 1) is level
    }
    label = max(among, key=lambda one: among[one].ratio_to_floor)
    return label, among[label]


def _worst(found: list[Significance]) -> Significance:
    return max(found, key=list(Significance).index)


def significance_of_auc(separation: Separation) -> Significance:
    """How an AUC compares with chance: within three standard errors (at least those of chance
    alone), at most 0.6, or above.
    """
    return _of_auc(separation.auc, SIGMAS)


def significance_of_bin(one: Bin) -> Significance:
    """How a bin compares with its floors: as its worst distance, or AUC."""
    found = [_significance_in(one, name) for name in one.scores]
    return _worst([*found, *(_of_auc(auc, _sigmas(one.among)) for auc in one.aucs.values())])


def worst_of_bin(one: Bin) -> tuple[str, Score]:
    """The observable of a bin whose distance is the most floors among those that are as significant
    as the most significant one, and that distance.
    """
    levels = {name: _significance_in(one, name) for name in one.scores}
    among = [name for name, level in levels.items() if level is _worst(list(levels.values()))]
    name = max(among, key=lambda name: one.scores[name].ratio_to_floor)
    return name, one.scores[name]


def _significance_in(one: Bin, name: str) -> Significance:
    score = one.scores[name]
    if score.floor > 0 and score.ratio_to_floor > _NEVER_BY_CHANCE:
        return Significance.FAR
    if not one.ks[name] * one.among < ndtr(-SIGMAS):
        return Significance.FLOOR
    return Significance.CLOSE if score.ratio_to_floor <= CLOSE else Significance.FAR


def worst_first(bins: Iterable[Bin]) -> tuple[Bin, ...]:
    """Bins by their significance, then by the distance of their worst observable in floors."""
    return tuple(
        sorted(
            bins,
            key=lambda one: (
                list(Significance).index(significance_of_bin(one)),
                worst_of_bin(one)[1].ratio_to_floor,
            ),
            reverse=True,
        )
    )


def _of_auc(auc: Score, sigmas: float) -> Significance:
    if abs(auc.value - auc.floor) <= sigmas * max(auc.floor_error, auc.error):
        return Significance.FLOOR
    return Significance.CLOSE if auc.value <= _CLOSE_AUC else Significance.FAR


def overall(evaluation: Evaluation, candidate: Sample) -> Significance | None:
    """The significance of a candidate's worst distance or AUC; None where there is no verdict."""
    found = [significance_of(c) for c in evaluation.comparisons[candidate.name].values()]
    found += [significance_of_auc(j) for j in evaluation.classifiers[candidate.name].values()]
    if not found or withheld(evaluation, candidate):
        return None
    return _worst(found)
