"""The numbers as a table: one row an observable and candidate, ready to be printed or set in HTML.

A distance is at one of three *levels*: it cannot be told from the floor (within three standard
deviations of it), it is close (at most three times the floor), or it is apart.
"""

__all__ = [
    "CLOSE",
    "COLUMNS",
    "Level",
    "Row",
    "auc_level",
    "level",
    "number",
    "overall",
    "rows",
    "table",
    "with_error",
]

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from caloforge.classifiers import Separation
from caloforge.metrics.distances import Comparison
from caloforge.metrics.neighbours import Share
from caloforge.metrics.scores import SIGMAS, Score
from caloforge.observables import Entry, Observable
from caloforge.report.records import Evaluation, Features, Sample

COLUMNS = (
    "observable",
    "candidate",
    "distance",
    "floor",
    "x floor",
    "gain",
    "separation",
    "its floor",
)
CLOSE = 3.0
"""A distance of at most so many floors is close."""

PER_MILLE = 1000.0
"""Separation powers, Frechet and kernel distances are shown times so much, as the CaloChallenge
does.
"""

_CLOSE_AUC = 0.6
_EXACT = 1e-12
"""A relative error of at most this is one of rounding, and shown as none."""


class Level(Enum):
    """How a distance stands to its floor."""

    FLOOR = "at the floor"
    CLOSE = "close"
    APART = "apart"


@dataclass(frozen=True)
class Row:
    """One line of the table, as text.

    Arguments:
        observable: The observable in words, with its unit.
        candidate: The name of the candidate.
        distance: Value and error.
        floor: The floor and its scatter.
        ratio: The distance in floors.
        gain: How many times smaller the distance is than that of the first candidate.
        separation: The separation power times 1000.
        separation_floor: Its floor times 1000.
        level: How good it is.
        parts: For an observable with a distribution at each of several labels, the rows of these.
    """

    observable: str
    candidate: str
    distance: str
    floor: str
    ratio: str
    gain: str
    separation: str
    separation_floor: str
    level: Level
    parts: "tuple[Row, ...]" = ()

    @property
    def cells(self) -> tuple[str, ...]:
        """The text in the order of `COLUMNS`."""
        numbers = (
            self.distance,
            self.floor,
            self.ratio,
            self.gain,
            self.separation,
            self.separation_floor,
        )
        return (self.observable, self.candidate, *numbers)


def level(score: Score) -> Level:
    """How a distance stands to its floor."""
    if not score.resolved:
        return Level.FLOOR
    return Level.CLOSE if score.ratio_to_floor <= CLOSE else Level.APART


def auc_level(judgement: Separation) -> Level:
    """How an AUC stands to chance: within three standard errors (at least those of chance alone),
    at most 0.6, or above.
    """
    auc = judgement.auc
    if abs(auc.value - auc.floor) <= SIGMAS * max(auc.floor_error, auc.error):
        return Level.FLOOR
    return Level.CLOSE if auc.value <= _CLOSE_AUC else Level.APART


def overall(evaluation: Evaluation, candidate: Sample) -> Level:
    """The level of a candidate's worst distance or AUC."""
    levels = [level(c.distance) for c in evaluation.comparisons[candidate.name].values()]
    levels += [auc_level(j) for j in evaluation.judgements[candidate.name].values()]
    return max(levels, key=list(Level).index, default=Level.APART)


def table(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """The whole table as text, one tuple a row in the order of `COLUMNS`."""
    return [row.cells for row in rows(evaluation)]


def rows(evaluation: Evaluation) -> list[Row]:
    """The rows of the table: each observable with all candidates, then feature vectors, then the
    classifiers.
    """
    made = [_row(evaluation, o, c) for o in evaluation.observables for c in evaluation.candidates]
    return [*made, *_feature_rows(evaluation), *_classifier_rows(evaluation)]


def _row(evaluation: Evaluation, observable: Observable, candidate: Sample) -> Row:
    name = _title(evaluation, observable)
    comparison = evaluation.comparisons[candidate.name].get(observable.name)
    if comparison is None:
        return Row(name, candidate.name, "not known", "", "", "", "", "", Level.APART)
    gain = None if candidate is evaluation.candidates[0] else evaluation.gain(candidate, observable)
    parts = tuple(
        _comparison_row(label, candidate.name, part) for label, part in comparison.parts.items()
    )
    return _comparison_row(name, candidate.name, comparison, gain, parts)


def _title(evaluation: Evaluation, observable: Observable) -> str:
    unit = f" [{observable.distance_unit}]" if observable.distance_unit else ""
    if observable.entry is not Entry.SERIES:
        return observable.title + unit
    number = len(observable.labels_of(evaluation.full.calorimeter))
    return f"{observable.title}, mean of {number}{unit}"


def _comparison_row(
    name: str,
    candidate: str,
    comparison: Comparison,
    gain: float | None = None,
    parts: tuple[Row, ...] = (),
) -> Row:
    distance, separation = comparison.distance, comparison.separation
    return Row(
        observable=name,
        candidate=candidate,
        distance=with_error(distance.value, distance.error),
        floor=with_error(distance.floor, distance.floor_error),
        ratio=number(distance.ratio_to_floor),
        gain="" if gain is None else number(gain),
        separation=with_error(PER_MILLE * separation.value, PER_MILLE * separation.error),
        separation_floor=with_error(
            PER_MILLE * separation.floor, PER_MILLE * separation.floor_error
        ),
        level=level(distance),
        parts=parts,
    )


def _feature_rows(evaluation: Evaluation) -> Iterator[Row]:
    found = [
        (c.name, evaluation.features[c.name])
        for c in evaluation.candidates
        if c.name in evaluation.features
    ]
    for name, features in found:
        yield _score_row(
            "Frechet distance of features (FPD) [10^-3]", name, features.frechet, PER_MILLE
        )
    for name, features in found:
        yield _score_row(
            "Kernel distance of features (KPD) [10^-3]", name, features.kernel, PER_MILLE
        )
    for name, features in found:
        if features.correlation is not None:
            yield _score_row("Layer correlations, mean difference", name, features.correlation)
    for quantity in ("precision", "recall", "density", "coverage"):
        yield from (_share_row(quantity, name, features) for name, features in found)


def _score_row(title: str, candidate: str, score: Score, scale: float = 1.0) -> Row:
    distance = with_error(scale * score.value, scale * score.error)
    floor = with_error(scale * score.floor, scale * score.floor_error)
    return Row(
        title, candidate, distance, floor, number(score.ratio_to_floor), "", "", "", level(score)
    )


def _share_row(quantity: str, candidate: str, features: Features) -> Row:
    share: Share = getattr(features.neighbours, quantity)
    found, expected = (
        with_error(share.value, share.error),
        with_error(share.expected, share.expected_error),
    )
    title = f"{quantity.capitalize()} of voxels, {features.neighbours.k} neighbours"
    return Row(
        title,
        candidate,
        found,
        expected,
        "",
        "",
        "",
        "",
        Level.APART if share.resolved else Level.FLOOR,
    )


def _classifier_rows(evaluation: Evaluation) -> Iterator[Row]:
    for one in evaluation.settings.judges:
        for candidate in evaluation.candidates:
            judgement = evaluation.judgements[candidate.name].get(one.name)
            if judgement is not None:
                auc = judgement.auc
                found, chance = (
                    with_error(auc.value, auc.error),
                    with_error(auc.floor, auc.floor_error),
                )
                yield Row(
                    f"AUC, {one.title}",
                    candidate.name,
                    found,
                    chance,
                    "",
                    "",
                    "",
                    "",
                    auc_level(judgement),
                )


def number(value: float) -> str:
    """A ratio, short: two or three digits.

    Example:
        >>> number(0.1234), number(12.34), number(1234.5)
        ('0.12', '12', '1234')
    """
    if not math.isfinite(value):
        return "inf"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"


def with_error(value: float, error: float) -> str:
    """A value and its error, both to the error's first digit, or second if the first is 1.

    Example:
        >>> with_error(76.816, 3.42), with_error(0.0019057, 0.000056), with_error(12.3, 0.14)
        ('77 ± 3', '0.00191 ± 0.00006', '12.30 ± 0.14')
    """
    if error <= _EXACT * abs(value):
        error = 0.0
    if not 0 < error < math.inf:
        return f"{value:.4g} ± {error:.2g}"
    places = -math.floor(math.log10(error))
    places += f"{error:.0e}"[0] == "1"
    value, error = round(value, places), round(error, places)
    shown = max(places, 0)
    return f"{value:.{shown}f} ± {error:.{shown}f}"
