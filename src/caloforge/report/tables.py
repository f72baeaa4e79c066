"""The numbers as a table: one row an observable and candidate, to be printed or set in HTML."""

__all__ = [
    "COLUMNS",
    "Row",
    "number",
    "rows",
    "table",
    "with_error",
]

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from caloforge.evaluation.findings import (
    Comparison,
    Evaluation,
    Features,
    Neighbours,
    Sample,
    Score,
    Share,
)
from caloforge.evaluation.significance import (
    Significance,
    significance,
    significance_of,
    significance_of_auc,
    worst,
)
from caloforge.observables import Entry, Observable

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
PER_MILLE = 1000.0
"""Separation powers, Frechet and kernel distances are shown times so much, as the CaloChallenge
does.
"""

_EXACT = 1e-12
"""A relative error of at most this is one of rounding, and shown as none."""


@dataclass(frozen=True)
class Row:
    """One line of the table, as text.

    Arguments:
        observable: The observable in words, with its unit.
        candidate: The name of the candidate.
        distance: Value and error.
        floor: The floor and its scatter.
        ratio: The distance in floors, and that of the worst label where it is more.
        gain: How many times smaller the distance is than that of the first candidate.
        separation: The separation power times 1000.
        separation_floor: Its floor times 1000.
        significance: How the distance compares with its floor.
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
    significance: Significance
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
        return Row(name, candidate.name, "not known", "", "", "", "", "", Significance.FAR)
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
        ratio=_floors(comparison),
        gain="" if gain is None else number(gain),
        separation=with_error(PER_MILLE * separation.value, PER_MILLE * separation.error),
        separation_floor=with_error(
            PER_MILLE * separation.floor, PER_MILLE * separation.floor_error
        ),
        significance=significance_of(comparison),
        parts=parts,
    )


def _floors(comparison: Comparison) -> str:
    """The distance in floors, and that of the worst label where it is more."""
    mean, largest = (s.ratio_to_floor for s in (comparison.distance, worst(comparison)[1]))
    return f"{number(mean)}, up to {number(largest)}" if largest > mean else number(mean)


def _feature_rows(evaluation: Evaluation) -> Iterator[Row]:
    found = [
        (c.name, evaluation.features[c.name])
        for c in evaluation.candidates
        if c.name in evaluation.features
    ]
    for title, scale, choose in _SCORES:
        for name, features in found:
            if (score := choose(features)) is not None:
                yield _score_row(title, name, score, scale)
    for quantity in ("precision", "recall", "density", "coverage"):
        for name, features in found:
            if features.neighbours is not None:
                yield _share_row(quantity, name, features.neighbours)


_SCORES: tuple[tuple[str, float, Callable[[Features], Score | None]], ...] = (
    ("Frechet distance of features (FPD) [10^-3]", PER_MILLE, lambda f: f.frechet),
    ("Trimmed Frechet distance of features [10^-3]", PER_MILLE, lambda f: f.trimmed),
    ("Kernel distance of features (KPD) [10^-3]", PER_MILLE, lambda f: f.kernel),
    ("Layer correlations, mean difference", 1.0, lambda f: f.correlation),
)
"""The scores on feature vectors: title, scale, and where they are."""


def _score_row(title: str, candidate: str, score: Score, scale: float) -> Row:
    distance = with_error(scale * score.value, scale * score.error)
    floor = with_error(scale * score.floor, scale * score.floor_error)
    return Row(
        title,
        candidate,
        distance,
        floor,
        number(score.ratio_to_floor),
        "",
        "",
        "",
        significance(score),
    )


def _share_row(quantity: str, candidate: str, neighbours: Neighbours) -> Row:
    share: Share = getattr(neighbours, quantity)
    found, expected = (
        with_error(share.value, share.error),
        with_error(share.expected, share.expected_error),
    )
    title = f"{quantity.capitalize()} of voxels, {neighbours.k} neighbours"
    return Row(
        title,
        candidate,
        found,
        expected,
        "",
        "",
        "",
        "",
        Significance.FAR if share.resolved else Significance.FLOOR,
    )


def _classifier_rows(evaluation: Evaluation) -> Iterator[Row]:
    for one in evaluation.settings.classifiers:
        for candidate in evaluation.candidates:
            separation = evaluation.classifiers[candidate.name].get(one.name)
            if separation is not None:
                auc = separation.auc
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
                    significance_of_auc(separation),
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
