"""Figures of what depends on the energy: distances in slices of the incident energy, a panel each observable."""

__all__ = ["slice_drawings"]

import math
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from caloforge.observables import Observable
from caloforge.report.drawing import LEAST_FLOORS, STYLE, Drawing, Group, colour, dash, floors_axis, literal
from caloforge.report.records import Evaluation, Slice
from caloforge.report.tables import CLOSE
from caloforge.report.words import title
from caloforge.units import GeV

_COLUMNS = 4
_MOST_PANELS = 12
_MOST_FLOORS = 1e5
_LEFT_OUT = "#d98a1f"


def slice_drawings(evaluation: Evaluation) -> Iterator[Drawing]:
    """One figure, if some candidate was sliced."""
    sliced = [s for of in evaluation.slices.values() for s in of]
    names = [o for o in evaluation.observables if any(o.name in s.scores for s in sliced)]
    if names:
        yield _slices(evaluation, sorted(names, key=lambda o: -_worst(evaluation, o))[:_MOST_PANELS], len(names))


def _worst(evaluation: Evaluation, observable: Observable) -> float:
    return max(
        s.scores[observable.name].ratio_to_floor for of in evaluation.slices.values() for s in of if observable.name in s.scores
    )


def _slices(evaluation: Evaluation, observables: list[Observable], n_known: int) -> Drawing:
    rows = math.ceil(len(observables) / _COLUMNS)
    columns = min(_COLUMNS, len(observables))
    figure = Figure(figsize=(max(5.2, 2.6 * columns), 1.1 + 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax, observable in zip(axes.flat, observables, strict=False):
        _panel(ax, evaluation, observable, _worst(evaluation, observables[0]))
    for ax in axes.flat[len(observables) :]:
        ax.set_visible(False)
    for k, ax in enumerate(axes.flat[: len(observables)]):
        ax.tick_params(labelbottom=k + columns >= len(observables))
    figure.supxlabel("incident energy [GeV]", fontsize=STYLE["axes.labelsize"])
    figure.supylabel("distance / floor", fontsize=STYLE["axes.labelsize"])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, title=literal(title(evaluation)), alignment="left")
    return Drawing("slices", _caption(evaluation, observables, n_known), figure, Group.ENERGY, wide=True)


def _caption(evaluation: Evaluation, observables: list[Observable], n_known: int) -> str:
    chosen = f"The {len(observables)} of {n_known} observables with the largest distances. " if len(observables) < n_known else ""
    left_out = any(s.left_out for of in evaluation.slices.values() for s in of)
    marked = " Orange: the energies that were left out of the training." if left_out else ""
    return (
        "Distances, in units of their floors, among showers of similar incident energy; bars span the slice, and show the "
        f"standard error. {chosen}Grey: below the floor; dotted: {CLOSE:g} times it.{marked}"
    )


def _panel(ax: Axes, evaluation: Evaluation, observable: Observable, highest: float) -> None:
    for k, candidate in enumerate(evaluation.candidates):
        _points(ax, evaluation.slices.get(candidate.name, ()), observable, k, literal(candidate.name))
    floors_axis(ax, ax.yaxis, min(highest, _MOST_FLOORS))
    ax.set_title(observable.title)
    _energy_axis(ax, evaluation)


def _energy_axis(ax: Axes, evaluation: Evaluation) -> None:
    low, high = (float(f(evaluation.full.energies)) / GeV for f in (np.min, np.max))
    wide = high > 8 * low
    ax.set_xscale("log" if wide else "linear")
    margin = (high / low) ** 0.05 if wide else 0.05 * (high - low)
    ax.set_xlim((low / margin, high * margin) if wide else (low - margin, high + margin))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _points(ax: Axes, slices: tuple[Slice, ...], observable: Observable, k: int, label: str) -> None:
    known = [s for s in slices if observable.name in s.scores and math.isfinite(s.scores[observable.name].ratio_to_floor)]
    middle = np.array([math.sqrt(s.low * s.high) for s in known]) / GeV
    reach = [middle - np.array([s.low for s in known]) / GeV, np.array([s.high for s in known]) / GeV - middle]
    scores = [s.scores[observable.name] for s in known]
    ratios = np.array([max(score.ratio_to_floor, LEAST_FLOORS) for score in scores])
    errors = np.array([score.error / score.floor if score.floor > 0 else 0.0 for score in scores])
    ax.errorbar(middle, ratios, xerr=np.maximum(reach, 0), yerr=errors, fmt="o", ms=4, lw=1.2, color=colour(k), label=label)
    ax.plot(middle, ratios, ls=dash(k), lw=1, color=colour(k))
    for s in known:
        if s.left_out:
            ax.axvspan(s.low / GeV * 0.97, s.high / GeV * 1.03, color=_LEFT_OUT, alpha=0.2, lw=0)
