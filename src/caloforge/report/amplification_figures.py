"""Figures of amplification: what a number of generated showers is worth in real ones, a panel each
observable.
"""

__all__ = ["amplification_drawings"]

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from caloforge.evaluation.findings import Amplification, Evaluation
from caloforge.observables import Observable
from caloforge.report.drawing import (
    INK,
    Drawing,
    Group,
    colour,
    dash,
    errors,
    literal,
    panels,
    panels_legend,
)
from caloforge.report.words import title

_MOST_PANELS = 12
_RANGE = 1000.0


def amplification_drawings(evaluation: Evaluation) -> Iterator[Drawing]:
    """One figure, if the training sample was given."""
    known = [
        o
        for o in evaluation.observables
        if any(o.name in of for of in evaluation.amplifications.values())
    ]
    if known:
        yield _curves(evaluation, known[:_MOST_PANELS])


def _curves(evaluation: Evaluation, observables: Sequence[Observable]) -> Drawing:
    across, up = "generated showers / training showers", "worth in real showers / training showers"
    figure, axes = panels(len(observables), literal(title(evaluation)), across, up)
    limits = _limits(
        [
            of[o.name]
            for of in evaluation.amplifications.values()
            for o in observables
            if o.name in of
        ]
    )
    for ax, observable in zip(axes, observables, strict=True):
        _panel(ax, evaluation, observable, *limits)
    panels_legend(figure, [candidate.name for candidate in evaluation.candidates])
    caption = (
        "How many showers of the full simulation would know an observable as well as so many "
        "generated ones, both in units of "
        "the training sample. On the dotted line, generated showers are worth as much as real "
        "ones; above 1 the candidate knows "
        "more than it was trained on; a level stretch is its plateau. Triangles are lower bounds."
    )
    return Drawing("amplification", caption, figure, Group.AMPLIFICATION, wide=True)


def _limits(found: Sequence[Amplification]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ends of both axes, the same in all panels."""
    sizes = np.concatenate([one.sizes / one.training_size for one in found])
    factors = np.concatenate([one.factors for one in found])
    factors = np.clip(factors[np.isfinite(factors) & (factors > 0)], 1 / _RANGE, _RANGE)
    low, high = factors.min(initial=1.0), factors.max(initial=1.0)
    return (float(sizes.min()) / 1.3, float(sizes.max()) * 1.3), (
        float(low) / 1.5,
        1.5 * float(high),
    )


def _panel(
    ax: Axes,
    evaluation: Evaluation,
    observable: Observable,
    across: tuple[float, float],
    up: tuple[float, float],
) -> None:
    ax.set(xscale="log", yscale="log")
    for k, candidate in enumerate(evaluation.candidates):
        one = evaluation.amplifications.get(candidate.name, {}).get(observable.name)
        if one is not None:
            _curve(ax, one, k)
    ax.plot(across, across, color=INK, lw=0.8, ls=":")
    ax.axhline(1, color=INK, lw=0.8)
    ax.set_title(observable.title)
    ax.set(xlim=across, ylim=up)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def _curve(ax: Axes, one: Amplification, k: int) -> None:
    sizes, bounded = one.sizes / one.training_size, one.bounded
    half = np.where(bounded, 0.0, np.minimum(one.factor_errors, 0.9 * one.factors))
    ax.plot(sizes, one.factors, ls=dash(k), lw=1.2, color=colour(k))
    errors(ax, sizes, one.factors - half, one.factors + half, upright=True, shade=colour(k))
    ax.plot(sizes[bounded], one.factors[bounded], "^", ms=4, color=colour(k))
