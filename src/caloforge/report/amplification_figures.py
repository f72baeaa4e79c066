"""Figures of amplification: what a number of generated showers is worth in real ones, a panel each observable."""

__all__ = ["amplification_drawings"]

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from caloforge.metrics.amplification import Amplification
from caloforge.observables import Observable
from caloforge.report.drawing import INK, STYLE, Drawing, Group, colour, dash, literal
from caloforge.report.records import Evaluation
from caloforge.report.words import title

_COLUMNS = 4
_MOST_PANELS = 12
_RANGE = 1000.0


def amplification_drawings(evaluation: Evaluation) -> Iterator[Drawing]:
    """One figure, if the training sample was given."""
    known = [o for o in evaluation.observables if any(o.name in of for of in evaluation.amplifications.values())]
    if known:
        yield _curves(evaluation, known[:_MOST_PANELS])


def _curves(evaluation: Evaluation, observables: Sequence[Observable]) -> Drawing:
    rows, columns = math.ceil(len(observables) / _COLUMNS), min(_COLUMNS, len(observables))
    figure = Figure(figsize=(max(5.2, 2.6 * columns), 1.1 + 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[len(observables) :]:
        ax.set_visible(False)
    for k, (ax, observable) in enumerate(zip(axes.flat, observables, strict=False)):
        _panel(ax, evaluation, observable)
        ax.tick_params(labelbottom=k + columns >= len(observables))
    figure.supxlabel("generated showers / training showers", fontsize=STYLE["axes.labelsize"])
    figure.supylabel("worth in real showers / training showers", fontsize=STYLE["axes.labelsize"])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, title=literal(title(evaluation)), alignment="left")
    caption = (
        "How many showers of the full simulation would know an observable as well as so many generated ones, both in units of "
        "the training sample. On the dotted line, generated showers are worth as much as real ones; above 1 the candidate knows "
        "more than it was trained on; a level stretch is its plateau. Triangles are lower bounds."
    )
    return Drawing("amplification", caption, figure, Group.AMPLIFICATION, wide=True)


def _panel(ax: Axes, evaluation: Evaluation, observable: Observable) -> None:
    found = [evaluation.amplifications.get(c.name, {}).get(observable.name) for c in evaluation.candidates]
    ax.set(xscale="log", yscale="log")
    for k, (candidate, one) in enumerate(zip(evaluation.candidates, found, strict=True)):
        if one is not None:
            _curve(ax, one, k, literal(candidate.name))
    known = [one for one in found if one is not None]
    sizes = np.concatenate([one.sizes / one.training_size for one in known])
    factors = np.concatenate([one.factors for one in known])
    factors = np.clip(factors[np.isfinite(factors) & (factors > 0)], 1 / _RANGE, _RANGE)
    low, high = float(min(sizes.min(), factors.min(initial=1))), float(max(sizes.max(), factors.max(initial=1)))
    ax.plot([low / 2, 2 * high], [low / 2, 2 * high], color=INK, lw=0.8, ls=":")
    ax.axhline(1, color=INK, lw=0.8)
    ax.set_title(observable.title)
    ax.set(xlim=(sizes.min() / 1.3, sizes.max() * 1.3), ylim=(low / 1.5, 1.5 * high))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def _curve(ax: Axes, one: Amplification, k: int, label: str) -> None:
    sizes, bounded = one.sizes / one.training_size, one.bounded
    errors = np.where(bounded, 0.0, np.minimum(one.factor_errors, 0.9 * one.factors))
    ax.errorbar(sizes, one.factors, yerr=errors, ls=dash(k), lw=1.2, color=colour(k), label=label)
    ax.plot(sizes[bounded], one.factors[bounded], "^", ms=4, color=colour(k))
