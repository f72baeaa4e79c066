"""Figures of what depends on the energy: distances in slices of the incident energy, a panel each
observable.
"""

__all__ = ["slice_drawings"]

import math
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from caloforge.evaluation.findings import Evaluation, Slice
from caloforge.evaluation.significance import CLOSE
from caloforge.observables import Observable
from caloforge.report.drawing import (
    LEAST_FLOORS,
    Drawing,
    Group,
    colour,
    dash,
    errors,
    floors_axis,
    literal,
    panels,
    panels_legend,
)
from caloforge.report.words import title
from caloforge.units import GeV

_MOST_PANELS = 12
_MOST_FLOORS = 1e5
_LEFT_OUT, _BEFORE = "#d98a1f", 0.98


def slice_drawings(evaluation: Evaluation) -> Iterator[Drawing]:
    """One figure, if some candidate was sliced."""
    sliced = [s for of in evaluation.slices.values() for s in of]
    names = [o for o in evaluation.observables if any(o.name in s.scores for s in sliced)]
    if names:
        yield _slices(
            evaluation,
            sorted(names, key=lambda o: -_worst(evaluation, o))[:_MOST_PANELS],
            len(names),
        )


def _worst(evaluation: Evaluation, observable: Observable) -> float:
    return max(
        s.scores[observable.name].ratio_to_floor
        for of in evaluation.slices.values()
        for s in of
        if observable.name in s.scores
    )


def _slices(evaluation: Evaluation, observables: list[Observable], n_known: int) -> Drawing:
    figure, axes = panels(
        len(observables), literal(title(evaluation)), "incident energy [GeV]", "distance / floor"
    )
    for ax, observable in zip(axes, observables, strict=True):
        _panel(ax, evaluation, observable, _worst(evaluation, observables[0]))
    panels_legend(figure, [candidate.name for candidate in evaluation.candidates])
    return Drawing(
        "slices", _caption(evaluation, observables, n_known), figure, Group.ENERGY, wide=True
    )


def _caption(evaluation: Evaluation, observables: list[Observable], n_known: int) -> str:
    chosen = (
        f"The {len(observables)} of {n_known} observables with the largest distances. "
        if len(observables) < n_known
        else ""
    )
    left_out = any(s.left_out for of in evaluation.slices.values() for s in of)
    marked = " Orange: the energies that were left out of the training." if left_out else ""
    return (
        "Distances, in units of their floors, among showers of similar incident energy; bars span "
        "the slice, and show the "
        f"standard error. {chosen}Grey: below the floor; dotted: {CLOSE:g} times it.{marked}"
    )


def _panel(ax: Axes, evaluation: Evaluation, observable: Observable, highest: float) -> None:
    for k, candidate in enumerate(evaluation.candidates):
        _points(ax, evaluation.slices.get(candidate.name, ()), observable, k)
    for low, high in {
        (s.low, s.high) for of in evaluation.slices.values() for s in of if s.left_out
    }:
        ax.axvspan(_BEFORE * low / GeV, high / _BEFORE / GeV, color=_LEFT_OUT, alpha=0.25, lw=0)
    floors_axis(ax, ax.yaxis, min(highest, _MOST_FLOORS))
    ax.set_title(observable.title)
    _energy_axis(ax, evaluation)


def _energy_axis(ax: Axes, evaluation: Evaluation) -> None:
    low, high = (float(f(evaluation.full.energies)) / GeV for f in (np.min, np.max))
    wide = high > 8 * low
    ax.set_xscale("log" if wide else "linear")
    margin = (high / low) ** 0.05 if wide else 0.05 * (high - low) or 0.05 * high
    ax.set_xlim((low / margin, high * margin) if wide else (low - margin, high + margin))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _points(ax: Axes, slices: tuple[Slice, ...], observable: Observable, k: int) -> None:
    known = [
        s
        for s in slices
        if observable.name in s.scores and math.isfinite(s.scores[observable.name].ratio_to_floor)
    ]
    low, high = np.array([s.low for s in known]) / GeV, np.array([s.high for s in known]) / GeV
    scores = [s.scores[observable.name] for s in known]
    ratios = np.array([max(score.ratio_to_floor, LEAST_FLOORS) for score in scores])
    half = np.array([score.error / score.floor if score.floor > 0 else 0.0 for score in scores])
    ax.plot(np.sqrt(low * high), ratios, marker="o", ms=4, ls=dash(k), lw=1, color=colour(k))
    errors(
        ax,
        np.sqrt(low * high),
        np.maximum(ratios - half, LEAST_FLOORS),
        ratios + half,
        upright=True,
        shade=colour(k),
    )
    errors(ax, ratios, low, high, upright=False, shade=colour(k))
