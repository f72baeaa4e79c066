"""One observable of two samples: which line or which values are compared, in which bins."""

__all__ = ["compare"]

from dataclasses import replace

import numpy as np
from jaxtyping import Real

from caloforge.errors import ShowerValueError
from caloforge.evaluation.collection import Collected
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
from caloforge.metrics.resampling import Resampling
from caloforge.observables import Entry, Observable, Scale
from caloforge.published import Preset

_BATCHES = 10
_LEAST_BATCH = 20

Values = Real[np.ndarray, " _"]


def compare(
    observable: Observable,
    full: Collected,
    candidate: Collected,
    mode: int,
    resampling: Resampling,
    preset: Preset | None,
) -> Comparison:
    """Compare a candidate with the full simulation in one observable.

    Arguments:
        observable: The observable.
        full: The full simulation.
        candidate: The candidate.
        mode: Which of the full simulation's sets of weights is that of the resampling.
        resampling: The resamplings of the two samples.
        preset: The benchmark whose bins are taken where it has some; None for the standard ones.

    Raises:
        ShowerValueError: One of the samples has nothing on the line of the observable; the message
            says which.
    """
    if observable.entry is Entry.SERIES:
        return _series(observable, full, candidate, resampling, preset)
    if observable.entry is Entry.SHOWER and observable.scale is Scale.LINEAR:
        f, g = (c.sample.values[observable.name] for c in (full, candidate))
        comparison = _points(f, g, resampling, preset, observable.name).comparison
        return replace(comparison, batched=_batched(f, g, resampling))
    line = _on_scale(observable, _line(observable, full, candidate, mode, resampling))
    _require_entries(observable, line, full, candidate)
    trio = compare_lines(line, resampling, _line_bins(observable, line))
    if observable.entry is Entry.CELL and observable.scale is Scale.LOG and full.binned:
        masses = full.binned[mode][:, 1:], candidate.binned[0][:, 1:]
        trio = replace(trio, separation=resampling.trials(separation_power, *masses, order=1))
    return trio.comparison


def _series(
    observable: Observable,
    full: Collected,
    candidate: Collected,
    resampling: Resampling,
    preset: Preset | None,
) -> Comparison:
    labels = observable.labels_of(full.sample.calorimeter)
    columns = full.sample.values[observable.name].T, candidate.sample.values[observable.name].T

    trios = [
        _points(f, g, resampling, preset, observable.name, label)
        for label, f, g in zip(labels, *columns, strict=True)
    ]
    parts = {label: trio.comparison for label, trio in zip(labels, trios, strict=True)}
    return replace(Trio.mean(trios).comparison, parts=parts)


def _points(
    f: Values, g: Values, resampling: Resampling, preset: Preset | None, name: str, label: str = ""
) -> Trio:
    rule = None if preset is None else preset.rule(name, label)
    return compare_points(f, g, resampling, (rule or equal_bins)(f))


def _batched(f: Values, g: Values, resampling: Resampling) -> Batched | None:
    if min(len(f), len(g)) < _BATCHES * _LEAST_BATCH:
        return None
    return batched_wasserstein(f, g, resampling.full[0], resampling.candidate[0], batches=_BATCHES)


def _line(
    observable: Observable, full: Collected, candidate: Collected, mode: int, resampling: Resampling
) -> Line:
    if observable.entry is Entry.CELL:
        return of_cells(full.cells[mode], candidate.cells[0])
    f, g = (c.sample.values[observable.name] for c in (full, candidate))
    rows = resampling.full_rows, resampling.candidate_rows
    if observable.entry is Entry.SHOWER:
        return _of_points(f, g, resampling)
    return of_profiles(observable.positions_of(full.sample.calorimeter), f, g, *rows)


def _of_points(f: Values, g: Values, resampling: Resampling) -> Line:
    line = ranked(f, g).lumped()
    n = len(line.values)
    [full] = histograms(resampling.full_rows, (line.full, n))
    [candidate] = histograms(resampling.candidate_rows, (line.candidate, n))
    return Line(line.values, full, candidate)


def _on_scale(observable: Observable, line: Line) -> Line:
    return (
        line if observable.scale is Scale.LINEAR else line.above(observable.threshold).in_decades()
    )


def _require_entries(
    observable: Observable, line: Line, full: Collected, candidate: Collected
) -> None:
    if line.empty:
        empty = [
            c.sample.name
            for c, masses in ((full, line.full), (candidate, line.candidate))
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
