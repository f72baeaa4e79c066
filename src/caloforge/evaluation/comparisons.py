"""One observable of two samples: which line or which values are compared, in which bins."""

__all__ = ["compare", "comparisons"]

from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Real

from caloforge.classifiers.separation import Progress
from caloforge.errors import ShowerValueError
from caloforge.evaluation.gaps import Gaps
from caloforge.evaluation.pair import Pair
from caloforge.metrics.bins import BINS, Bins, each_position, equal_bins
from caloforge.metrics.distances import (
    Batched,
    Comparison,
    Trio,
    batched_wasserstein,
    compare_lines,
    compare_points,
    separation_power,
)
from caloforge.metrics.measures import Line, histograms, of_cells, of_profiles, ranked
from caloforge.observables import Entry, Observable, Scale

_BATCHES = 10
_LEAST_BATCH = 20

Values = Real[np.ndarray, " _"]


def comparisons(pair: Pair, gaps: Gaps, progress: Progress) -> dict[str, Comparison]:
    """Every observable of two samples that can be compared."""
    found = {}
    for observable in pair.plan.observables:
        progress(f"comparing {observable.title}")
        one = gaps.found(observable.name, partial(compare, observable, pair))
        if one is not None:
            found[observable.name] = one
    return found


def compare(observable: Observable, pair: Pair) -> Comparison:
    """Compare a candidate with the full simulation in one observable.

    Arguments:
        observable: The observable.
        pair: The two samples.

    Raises:
        ShowerValueError: One of the samples has nothing on the line of the observable; the message
            says which.
    """
    if observable.entry is Entry.SERIES:
        return _series(observable, pair)
    if observable.entry is Entry.SHOWER and observable.scale is Scale.LINEAR:
        f, g = pair.values(observable)
        comparison = _points(f, g, pair, observable.name).comparison
        return replace(comparison, batched=_batched(f, g, pair))
    line = _on_scale(observable, _line(observable, pair))
    _require_entries(observable, line, pair)
    trio = compare_lines(line, pair.resampling, _line_bins(observable, line))
    if observable.entry is Entry.CELL and observable.scale is Scale.LOG:
        trio = _in_bins(trio, pair)
    return trio.comparison


def _series(observable: Observable, pair: Pair) -> Comparison:
    labels = observable.labels_of(pair.full.sample.calorimeter)
    full, candidate = pair.values(observable)
    trios = [
        _points(f, g, pair, observable.name, label)
        for label, f, g in zip(labels, full.T, candidate.T, strict=True)
    ]
    parts = {label: trio.comparison for label, trio in zip(labels, trios, strict=True)}
    return replace(Trio.mean(trios).comparison, parts=parts)


def _points(f: Values, g: Values, pair: Pair, name: str, label: str = "") -> Trio:
    preset = pair.plan.preset
    rule = None if preset is None else preset.rule(name, label)
    return compare_points(f, g, pair.resampling, (rule or equal_bins)(f))


def _batched(f: Values, g: Values, pair: Pair) -> Batched | None:
    """The distance in batches; None where some batch is too small, or has no weight."""
    size = min(len(f), len(g)) // _BATCHES
    weights = pair.resampling.full[0], pair.resampling.candidate[0]
    held = [w[: _BATCHES * size].reshape(_BATCHES, size).sum(axis=1) for w in weights]
    if size < _LEAST_BATCH or not min(part.min() for part in held) > 0:
        return None
    return batched_wasserstein(f, g, *weights, batches=_BATCHES)


def _in_bins(trio: Trio, pair: Pair) -> Trio:
    """The separation power in the benchmark's own bins of cell energies, where it has some."""
    full, candidate = pair.full.binned, pair.candidate.binned
    if full is None or candidate is None:
        return trio
    masses = full[:, 1:], candidate[:, 1:]
    return replace(trio, separation=pair.resampling.trials(separation_power, *masses, order=1))


def _line(observable: Observable, pair: Pair) -> Line:
    if observable.entry is Entry.CELL:
        return of_cells(pair.full.cells, pair.candidate.cells)
    if observable.entry is Entry.SHOWER:
        return _of_points(observable, pair)
    rows = pair.resampling.full_rows, pair.resampling.candidate_rows
    positions = observable.positions_of(pair.full.sample.calorimeter)
    return of_profiles(positions, *pair.values(observable), *rows)


def _of_points(observable: Observable, pair: Pair) -> Line:
    line = ranked(*pair.values(observable)).lumped()
    n = len(line.values)
    [full] = histograms(pair.resampling.full_rows, (line.full, n))
    [candidate] = histograms(pair.resampling.candidate_rows, (line.candidate, n))
    return Line(line.values, full, candidate)


def _on_scale(observable: Observable, line: Line) -> Line:
    return (
        line if observable.scale is Scale.LINEAR else line.above(observable.threshold).in_decades()
    )


def _require_entries(observable: Observable, line: Line, pair: Pair) -> None:
    if line.empty:
        empty = [
            c.sample.name
            for c, masses in ((pair.full, line.full), (pair.candidate, line.candidate))
            if not masses[0].sum() > 0
        ]
        above = (
            f" above {observable.threshold:g} {observable.unit}"
            if observable.scale is Scale.LOG
            else ""
        )
        msg = f"{' and '.join(empty)}: nothing{above}, so nothing to compare"
        raise ShowerValueError(msg)


def _line_bins(observable: Observable, line: Line) -> Bins:
    """One bin a position; for cell energies equal bins up to the largest of the full simulation."""
    if observable.entry is Entry.POSITION:
        return each_position(line.positions)
    last = line.positions[np.flatnonzero(line.full[0])[-1]]
    first = line.positions[0]
    return Bins(np.linspace(first, last if last > first else first + 1, BINS + 1))
