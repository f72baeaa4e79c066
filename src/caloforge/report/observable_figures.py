"""Figures of observables: a histogram with the ratio to the full simulation below it, after figures
1 to 5 of arXiv:2308.12339.

The full simulation is a filled grey histogram, candidates are coloured lines; bands are standard
errors over showers. Of an observable with one value at each of several labels (layers, rings) stand
the means over the showers at each label, their ratios, and each label's distance in units of its
floor; beside them the histogram at the label that is worst.
"""

__all__ = ["axis_unit", "drawn", "observable_drawing", "plot_observable"]

from collections.abc import Sequence
from itertools import takewhile

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FixedFormatter, FixedLocator

from caloforge.errors import ShowerValueError, quoted
from caloforge.evaluation.findings import Evaluation, Sample
from caloforge.evaluation.significance import CLOSE
from caloforge.observables import MAX_FRACTION, RESPONSE, SPECTRUM, Entry, Observable, Scale
from caloforge.report.drawing import (
    FULL,
    INK,
    LEAST_FLOORS,
    Drawing,
    Group,
    band,
    colour,
    dash,
    floors_axis,
    legend,
    literal,
    over,
    steps,
    symmetric_about_one,
)
from caloforge.report.histograms import Binned, binned, means
from caloforge.report.tables import number
from caloforge.report.words import title
from caloforge.units import GeV

_CONTENT = {
    Entry.SHOWER: "share of showers",
    Entry.SERIES: "share of showers",
    Entry.CELL: "cells a shower",
}
_CONTENT |= {Entry.POSITION: "mean energy [MeV]"}
_MARGINS = {"left": 0.13, "right": 0.97, "bottom": 0.11, "top": 0.93, "hspace": 0.08}
_MOST_TICKS = 10
_ROOM = 0.09
"""The share of the height that a line of the legend takes."""


def drawn(evaluation: Evaluation) -> list[Observable]:
    """The observables that can be drawn, less those that would show the same histogram twice."""
    energies = evaluation.full.energies
    repeated = {SPECTRUM.name} | (
        {RESPONSE.name, MAX_FRACTION.name} if energies.min() == energies.max() else set()
    )
    known = [
        o
        for o in evaluation.observables
        if any(o.name in of for of in evaluation.comparisons.values())
    ]
    return [o for o in known if o.name not in repeated] or known


def observable_drawing(evaluation: Evaluation, observable: Observable) -> Drawing:
    """The figure of one observable."""
    return (
        _series(evaluation, observable)
        if observable.entry is Entry.SERIES
        else _whole(evaluation, observable)
    )


def axis_unit(axes: Sequence[Axis], observable: Observable, high: float) -> str:
    """The unit in brackets; large energies on linear axes are labelled in GeV."""
    if observable.unit == "MeV" and observable.scale is Scale.LINEAR and high > 2 * GeV:
        for axis in axes:
            axis.set_major_formatter(lambda x, _: f"{x / GeV:g}")
        return " [GeV]"
    return f" [{observable.unit}]" if observable.unit else ""


def _whole(evaluation: Evaluation, observable: Observable) -> Drawing:
    figure = Figure(figsize=(5.2, 4.4))
    main, ratio = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1), gridspec_kw=_MARGINS)
    bins = _histogram(main, ratio, evaluation, observable, None)
    main.set_title(literal(title(evaluation)), loc="left")
    caption = (
        f"{observable.title}: {_CONTENT[observable.entry]}, and its ratio to "
        f"{evaluation.full.name}.{_tail(evaluation, bins)}"
    )
    return Drawing(observable.name, caption, figure, Group.OBSERVABLES)


def plot_observable(
    evaluation: Evaluation,
    observable: Observable | str,
    ax: Axes | None = None,
    ratio: Axes | None = None,
) -> Axes:
    """Draw an observable of all samples of an evaluation, in the style that is set (such as one of
    mplhep).

    Arguments:
        evaluation: The evaluation.
        observable: The observable, or its name; a series at the label that is worst.
        ax: Where to draw; None for a new figure of pyplot.
        ratio: Where to draw the ratios to the full simulation; None for nowhere, but below in a new
            figure.

    Returns:
        The axes of the histogram.

    Raises:
        ShowerValueError: The evaluation does not have this observable.
    """
    if ax is None:
        from matplotlib import pyplot

        _, (ax, ratio) = pyplot.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    found = _found(evaluation, observable)
    labels = found.labels_of(evaluation.full.calorimeter)
    column = _worst(evaluation, found, len(labels)) if labels else None
    _histogram(ax, ratio, evaluation, found, column)
    if column is not None:
        ax.set_title(labels[column], loc="left")
    return ax


def _found(evaluation: Evaluation, observable: Observable | str) -> Observable:
    name = observable if isinstance(observable, str) else observable.name
    for one in drawn(evaluation):
        if one.name == name:
            return one
    known = ", ".join(one.name for one in drawn(evaluation))
    msg = f"observable {quoted(name)}: not in this evaluation, expected one of {known}"
    raise ShowerValueError(msg)


def _histogram(
    main: Axes,
    ratio: Axes | None,
    evaluation: Evaluation,
    observable: Observable,
    column: int | None,
) -> list[Binned]:
    """Draw a histogram of all samples and, where there is room, the ratios to the full
    simulation.
    """
    bins = full, *candidates = binned(observable, evaluation.samples, column)
    band(
        main,
        full.edges,
        np.zeros_like(full.mean),
        full.mean,
        shade=FULL,
        alpha=0.5,
        label=literal(evaluation.full.name),
    )
    for k, (sample, content) in enumerate(zip(evaluation.candidates, candidates, strict=True)):
        label = literal(sample.name) + _in_words(_ratio(evaluation, sample, observable, column))
        low, high = content.mean - content.error, content.mean + content.error
        steps(main, content.edges, content.mean, color=colour(k), ls=dash(k), label=label)
        band(main, content.edges, low, high, shade=colour(k))
    _dress(main, observable, bins)
    lowest = main if ratio is None else ratio
    if ratio is not None:
        _draw_ratios(ratio, full, candidates)
    unit = axis_unit((lowest.xaxis,), observable, full.edges[-1])
    lowest.set_xlabel(f"${observable.symbol}${unit}")
    for ax in (main, lowest):
        ax.tick_params(top=False, right=False)
    return list(bins)


def _draw_ratios(ratio: Axes, full: Binned, candidates: Sequence[Binned]) -> None:
    relative = over(full.error, full.mean)
    band(ratio, full.edges, 1 - relative, 1 + relative, shade=FULL)
    ratio.axhline(1, color=INK, lw=0.8)
    shares = [over(bins.mean, full.mean) for bins in candidates]
    for k, (bins, share) in enumerate(zip(candidates, shares, strict=True)):
        error = over(bins.error, full.mean)
        steps(ratio, bins.edges, share, color=colour(k), ls=dash(k))
        band(ratio, bins.edges, share - error, share + error, shade=colour(k))
    ratio.set(ylabel="ratio", ylim=symmetric_about_one(relative, shares))


def _ratio(
    evaluation: Evaluation, candidate: Sample, observable: Observable, column: int | None
) -> float | None:
    """The distance in units of its floor; None if it is not known."""
    comparison = evaluation.comparisons[candidate.name].get(observable.name)
    if comparison is None:
        return None
    if column is not None:
        comparison = list(comparison.parts.values())[column]
    return comparison.distance.ratio_to_floor


def _in_words(floors: float | None) -> str:
    return "" if floors is None else f" ({number(floors)} x floor)"


def _dress(main: Axes, observable: Observable, bins: Sequence[Binned]) -> None:
    edges = bins[0].edges
    main.set(
        xlabel="",
        xscale="log" if observable.scale is Scale.LOG else "linear",
        xlim=(edges[0], edges[-1]),
    )
    main.set_ylabel(_CONTENT[observable.entry])
    _set_heights(main, observable, [b.mean for b in bins])
    legend(main)


def _set_heights(
    main: Axes, observable: Observable, contents: Sequence[Float[np.ndarray, " bins"]]
) -> None:
    """Room for the legend; a logarithmic axis, where there are orders of magnitude, begins below
    the least content.
    """
    shown = np.concatenate(contents)
    top = float(shown.max()) or 1.0
    room = _ROOM * (len(contents) + 1)
    if observable.entry in (Entry.SHOWER, Entry.SERIES):
        main.set_ylim(0, top / (1 - room))
    else:
        least = float(shown.min(where=shown > 0, initial=top / 2))
        main.set(yscale="log", ylim=(0.5 * least, top * (2 * top / least) ** (room / (1 - room))))


def _tail(evaluation: Evaluation, bins: Sequence[Binned]) -> str:
    beyond = [
        f"{s.name} {100 * b.outside:.2g} %"
        for s, b in zip(evaluation.samples, bins, strict=True)
        if b.outside > 1e-9
    ]
    return f" Beyond the axis: {', '.join(beyond)} of the showers." if beyond else ""


def _series(evaluation: Evaluation, observable: Observable) -> Drawing:
    labels = observable.labels_of(evaluation.full.calorimeter)
    worst = _worst(evaluation, observable, len(labels))
    figure = Figure(figsize=(10.4, 4.8))
    left = figure.add_gridspec(
        3, 1, height_ratios=(2, 1, 1.2), left=0.07, right=0.5, bottom=0.11, top=0.93, hspace=0.1
    )
    right = figure.add_gridspec(
        2, 1, height_ratios=(3, 1), left=0.58, right=0.985, bottom=0.11, top=0.93, hspace=0.08
    )
    main, ratio, floors = _stacked(figure, left, 3)
    _profile(main, ratio, evaluation, observable)
    _distances(floors, evaluation, observable, len(labels))
    main.set_title(literal(title(evaluation)), loc="left")
    _name_labels(floors, labels)
    top, bottom = _stacked(figure, right, 2)
    bins = _histogram(top, bottom, evaluation, observable, worst)
    top.set_title(f"{labels[worst]}, the worst of {len(labels)}", loc="left")
    caption = (
        f"{observable.title}. Left: mean over the showers, its ratio to {evaluation.full.name}, "
        "and the distance in units of its "
        f"floor (grey: below it; dotted: {CLOSE:g} times it), each at {len(labels)} labels. "
        "Right: showers at the label with the "
        f"largest distance in floors.{_tail(evaluation, bins)}"
    )
    return Drawing(observable.name, caption, figure, Group.SERIES, wide=True)


def _stacked(figure: Figure, grid: GridSpec, n: int) -> list[Axes]:
    """Axes one above the other with a common abscissa, named at the lowest alone."""
    lowest = figure.add_subplot(grid[n - 1])
    upper = [figure.add_subplot(grid[k], sharex=lowest) for k in range(n - 1)]
    for ax in upper:
        ax.tick_params(labelbottom=False)
    return [*upper, lowest]


def _worst(evaluation: Evaluation, observable: Observable, n: int) -> int:
    """The label with the largest distance, in floors, of any candidate."""
    floors = [
        [_ratio(evaluation, c, observable, k) for c in evaluation.candidates] for k in range(n)
    ]
    return int(np.argmax([max((r for r in row if r is not None), default=0.0) for row in floors]))


def _profile(main: Axes, ratio: Axes, evaluation: Evaluation, observable: Observable) -> None:
    found = [
        means(s.values[observable.name].astype(np.float64), s.weights) for s in evaluation.samples
    ]
    full, *candidates = found
    edges = np.arange(len(full.mean) + 1) - 0.5
    size = np.abs(full.mean)
    relative = over(full.error, size)
    band(
        main,
        edges,
        np.minimum(full.mean, 0),
        np.maximum(full.mean, 0),
        shade=FULL,
        alpha=0.5,
        label="_",
    )
    band(ratio, edges, 1 - relative, 1 + relative, shade=FULL)
    ratio.axhline(1, color=INK, lw=0.8)
    shares = [1 + over(c.mean - full.mean, size) for c in candidates]
    for k, (content, share) in enumerate(zip(candidates, shares, strict=True)):
        error = over(content.error, size)
        steps(main, edges, content.mean, color=colour(k), ls=dash(k))
        steps(ratio, edges, share, color=colour(k), ls=dash(k))
        band(ratio, edges, share - error, share + error, shade=colour(k))
    main.set(xlim=(edges[0], edges[-1]), ylim=_around([m.mean for m in found]))
    main.set_ylabel(
        f"mean ${observable.symbol}$" + axis_unit((main.yaxis,), observable, float(size.max()))
    )
    ratio.set(ylabel="ratio", ylim=symmetric_about_one(relative, shares))


def _around(contents: Sequence[Float[np.ndarray, " labels"]]) -> tuple[float, float]:
    low, high = (
        min(0.0, *(float(c.min()) for c in contents)),
        max(0.0, *(float(c.max()) for c in contents)),
    )
    margin = 0.08 * (high - low) or 1.0
    return low - margin * (low < 0), high + margin


def _distances(ax: Axes, evaluation: Evaluation, observable: Observable, n: int) -> None:
    """The distance at each label in units of its floor."""
    edges, highest = np.arange(n + 1) - 0.5, 0.0
    for k, candidate in enumerate(evaluation.candidates):
        ratios = np.array(
            [_ratio(evaluation, candidate, observable, i) or np.nan for i in range(n)]
        )
        ratios = np.where(np.isfinite(ratios), np.maximum(ratios, LEAST_FLOORS), np.nan)
        steps(ax, edges, ratios, color=colour(k), ls=dash(k))
        highest = max(highest, float(np.nanmax(ratios, initial=0.0)))
    floors_axis(ax, ax.yaxis, highest)
    ax.set_ylabel("x floor")


def _name_labels(ax: Axes, labels: Sequence[str]) -> None:
    """What the labels have in common names the axis; what tells them apart, at most ten of them,
    its ticks.
    """
    common, unit, short = _shortened(labels)
    every = -(-len(labels) // (_MOST_TICKS if max(map(len, short)) <= 3 else _MOST_TICKS // 2))
    ax.xaxis.set_major_locator(FixedLocator(list(range(0, len(labels), every))))
    ax.xaxis.set_major_formatter(FixedFormatter(short[::every]))
    ax.set_xlabel(f"{common} [{unit}]" if unit and common else common or unit)


def _shortened(labels: Sequence[str]) -> tuple[str, str, list[str]]:
    """The words in common at the start and at the end, and the labels without them."""
    words = [label.split() for label in labels]
    start = _alike(words)
    end = _alike([w[start:][::-1] for w in words])
    kept = [" ".join(w[start : len(w) - end]) for w in words]
    if not all(kept):
        return "", "", list(labels)
    return " ".join(words[0][:start]), " ".join(words[0][len(words[0]) - end :]), kept


def _alike(words: Sequence[Sequence[str]]) -> int:
    """How many words several labels begin with alike; none for a single label."""
    return (
        sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False)))
        if len(words) > 1
        else 0
    )
