"""The numbers as a table: one row an observable and candidate, ready to be printed or set in HTML.

A distance is at one of three *levels*: it cannot be told from the floor (within three standard deviations of it), it is close (at
most three times the floor), or it is apart.
"""

__all__ = ["CLOSE", "COLUMNS", "Level", "Row", "auc_level", "level", "number", "overall", "rows", "table", "with_error"]

import math
from dataclasses import dataclass
from enum import Enum

from caloforge.metrics.classifier import Auc
from caloforge.metrics.distances import Distance
from caloforge.observables import Observable
from caloforge.report.records import Evaluation, Sample

COLUMNS = ("observable", "candidate", "distance", "floor", "x floor", "gain")
CLOSE = 3.0
"""A distance of at most so many floors is close."""

_SIGMAS = 3.0


class Level(Enum):
    """How a distance stands to its floor."""

    FLOOR = "at the floor"
    CLOSE = "close"
    APART = "apart"


@dataclass(frozen=True)
class Row:
    """One line of the table, as text; ``level`` says how good it is."""

    observable: str
    candidate: str
    distance: str
    floor: str
    ratio: str
    gain: str
    level: Level

    @property
    def cells(self) -> tuple[str, ...]:
        """The text in the order of `COLUMNS`."""
        return (self.observable, self.candidate, self.distance, self.floor, self.ratio, self.gain)


def level(distance: Distance) -> Level:
    """How a distance stands to its floor."""
    if distance.value <= distance.floor + _SIGMAS * distance.floor_error:
        return Level.FLOOR
    return Level.CLOSE if distance.ratio_to_floor <= CLOSE else Level.APART


def auc_level(auc: Auc) -> Level:
    """How an AUC stands to chance: within three standard errors (at least those of chance alone), at most 0.6, or above."""
    chance = math.sqrt(1 / (6 * min(auc.n_full, auc.n_candidate)))
    if abs(auc.value - 0.5) <= _SIGMAS * max(chance, auc.error):
        return Level.FLOOR
    return Level.CLOSE if auc.value <= 0.6 else Level.APART


def overall(evaluation: Evaluation, candidate: Sample) -> Level:
    """The level of a candidate's worst number."""
    levels = [level(d) for d in evaluation.distances[candidate.name].values()]
    if candidate.name in evaluation.aucs:
        levels.append(auc_level(evaluation.aucs[candidate.name]))
    return max(levels, key=list(Level).index)


def table(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """The whole table as text, one tuple a row in the order of `COLUMNS`."""
    return [row.cells for row in rows(evaluation)]


def rows(evaluation: Evaluation) -> list[Row]:
    """The rows of the table: each observable with all candidates, then the classifier."""
    distances = [_distance_row(evaluation, o, c) for o in evaluation.observables for c in evaluation.candidates]
    trained = [c.name for c in evaluation.candidates if c.name in evaluation.aucs]
    return distances + [_auc_row(name, evaluation.aucs[name]) for name in trained]


def _distance_row(evaluation: Evaluation, observable: Observable, candidate: Sample) -> Row:
    distance = evaluation.distances[candidate.name][observable.name]
    unit = f" [{observable.distance_unit}]" if observable.distance_unit else ""
    first = candidate is evaluation.candidates[0]
    return Row(
        observable=observable.title + unit,
        candidate=candidate.name,
        distance=with_error(distance.value, distance.error),
        floor=with_error(distance.floor, distance.floor_error),
        ratio=number(distance.ratio_to_floor),
        gain="" if first else number(evaluation.gain(candidate, observable)),
        level=level(distance),
    )


def _auc_row(name: str, auc: Auc) -> Row:
    return Row("Classifier AUC", name, f"{auc.value:.3f} ± {auc.error:.3f}", "0.5", "", "", auc_level(auc))


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
    if not 0 < error < math.inf:
        return f"{value:.4g} ± {error:.2g}"
    places = -math.floor(math.log10(error))
    places += f"{error:.0e}"[0] == "1"
    value, error = round(value, places), round(error, places)
    shown = max(places, 0)
    return f"{value:.{shown}f} ± {error:.{shown}f}"
