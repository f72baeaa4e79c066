"""Where a candidate stands among the published results of a benchmark, and why the comparison may
not hold.

Each published quantity has an *aim*, by which results are ranked: the least value (AUC, times); the
least value above the floor (separation powers, FPD); the least distance from zero (KPD, which has
no floor and scatters about 0); the least distance from the floor (precision, recall, density,
coverage, which have a value of their own between two samples of the full simulation). The floor of
the published results is their row GEANT4, that of ours the expectation between two samples of the
full simulation of our size. The rank is that which the value would have if it joined the table.

A published floor is that of some 100,000 showers. Separation powers and FPD of equal distributions
fall as :math:`1/N`: only what exceeds the floor can be compared. Neighbours and classifiers depend
on the number of showers, too: from few showers a classifier learns little, and its AUC comes out
too good. KPD has the same expectation at any size.
"""

__all__ = ["Ranking", "RankingRow", "published_rows", "ranking"]

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from caloforge.evaluation.caveats import other_showers, similar
from caloforge.evaluation.findings import Evaluation
from caloforge.evaluation.quantities import QUANTITIES, Depends, Own, Quantity
from caloforge.published import Preset


@dataclass(frozen=True)
class RankingRow:
    """A candidate among the published results in one quantity.

    Arguments:
        quantity: The quantity; all numbers are as it is shown.
        own: What the candidate scored; None where this is not known.
        geant4: What Geant4 scored against itself, the published floor; None where this was not
            published.
        geant4_error: Its error; None where this was not published.
        best: The best published value.
        best_name: The submission that scored it.
        rank: The rank that our value would have, 1 for the best; None where our value is not known.
        submissions: How many submissions have this quantity.
        comparable: Whether our value can be compared with the published ones as it is.
    """

    quantity: Quantity
    own: Own | None
    geant4: float | None
    geant4_error: float | None
    best: float
    best_name: str
    rank: int | None
    submissions: int
    comparable: bool

    @property
    def title(self) -> str:
        """What the quantity is called."""
        return self.quantity.title


@dataclass(frozen=True)
class Ranking:
    """A candidate among the published results.

    Arguments:
        candidate: Its name.
        rows: One for each published quantity; none without a preset.
    """

    candidate: str
    rows: tuple[RankingRow, ...]


def ranking(evaluation: Evaluation, candidate: str) -> Ranking:
    """Put a candidate among the published results of the evaluation's preset.

    Arguments:
        evaluation: The evaluation.
        candidate: The candidate's name.
    """
    preset = evaluation.preset
    if preset is None:
        return Ranking(candidate, ())
    same = not other_showers(evaluation, preset)
    owns = {quantity: quantity.own(evaluation, candidate) for quantity in _quantities(preset)}
    return Ranking(
        candidate, tuple(_row(quantity, own, preset, same=same) for quantity, own in owns.items())
    )


def _quantities(preset: Preset) -> list[Quantity]:
    """The quantities that some submission has."""
    return [
        q
        for q in QUANTITIES
        if any(q.published(submission) is not None for submission in preset.published[1:])
    ]


def _row(quantity: Quantity, own: Own | None, preset: Preset, *, same: bool) -> RankingRow:
    geant4, *submissions = preset.published
    floor = quantity.published(geant4)
    values = {s.name: number for s in submissions if (number := quantity.published(s)) is not None}
    gaps = {name: quantity.aim.gap(value, floor or 0.0) for name, value in values.items()}
    best = min(gaps, key=gaps.__getitem__)
    return RankingRow(
        quantity=quantity,
        own=own,
        geant4=floor,
        geant4_error=quantity.published_error(geant4),
        best=values[best],
        best_name=best,
        rank=None
        if own is None
        else _rank(quantity.aim.gap(own.value, own.floor or 0.0), gaps.values()),
        submissions=len(values),
        comparable=own is not None and same and _comparable(quantity, own, preset),
    )


def _rank(gap: float, others: Iterable[float]) -> int:
    """One more than how many are smaller, not only by rounding."""
    return 1 + sum(other < gap and not math.isclose(other, gap) for other in others)


def _comparable(quantity: Quantity, own: Own, preset: Preset) -> bool:
    """Whether a value from the benchmark's showers can be compared: found as it asks, from as many
    showers as it takes.
    """
    if quantity.depends is Depends.MACHINE or not own.benchmark:
        return False
    return quantity.depends is Depends.NOTHING or similar(own.showers, preset.showers)


def published_rows(preset: Preset) -> Mapping[str, Mapping[str, float]]:
    """The published table as shown: for each submission, Geant4 first, and each quantity's title
    its number, where it has one.
    """
    return {
        submission.name: {
            q.title: number
            for q in _quantities(preset)
            if (number := q.published(submission)) is not None
        }
        for submission in preset.published
    }
