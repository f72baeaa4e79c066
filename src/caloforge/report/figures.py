"""All figures of an evaluation, in the order of the page."""

__all__ = ["drawings", "plot_distances"]

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from caloforge.evaluation.findings import Evaluation, Score
from caloforge.evaluation.significance import CLOSE
from caloforge.observables import Observable
from caloforge.report.amplification_figures import amplification_drawings
from caloforge.report.bin_figures import bin_drawings
from caloforge.report.classifier_figures import classifier_drawings
from caloforge.report.drawing import (
    LEAST_FLOORS,
    STYLE,
    Drawing,
    Group,
    colour,
    floors_axis,
    lighten,
    literal,
    settle,
)
from caloforge.report.energy_figures import slice_drawings
from caloforge.report.observable_figures import drawn, observable_drawing
from caloforge.report.shower_figures import correlations, images, scatters
from caloforge.report.words import title

_LIGHT = (Group.OBSERVABLES, Group.SERIES, Group.CLASSIFIERS, Group.ENERGY, Group.AMPLIFICATION)


_Make = Callable[[], Iterable[Drawing]]


def drawings(evaluation: Evaluation) -> list[Drawing]:
    """All figures that the evaluation allows, group by group. Where one cannot be drawn its place
    says why.
    """
    with mpl.rc_context(STYLE):
        made = [
            drawing
            for k, (group, make) in enumerate(_makers(evaluation))
            for drawing in _drawn(make, group, k)
        ]
        return sorted(made, key=lambda drawing: list(Group).index(drawing.group))


def _makers(evaluation: Evaluation) -> Iterator[tuple[Group, _Make]]:
    """What makes the figures, with the group in which a failure is said."""
    yield Group.OVERVIEW, partial(_summary, evaluation)
    for observable in drawn(evaluation):
        yield Group.OBSERVABLES, partial(_of_observable, evaluation, observable)
    yield Group.SHOWERS, partial(scatters, evaluation)
    yield Group.SHOWERS, partial(images, evaluation)
    yield Group.CORRELATIONS, partial(correlations, evaluation)
    yield Group.CLASSIFIERS, partial(classifier_drawings, evaluation)
    yield Group.ENERGY, partial(slice_drawings, evaluation)
    yield Group.ENERGY, partial(bin_drawings, evaluation)
    yield Group.AMPLIFICATION, partial(amplification_drawings, evaluation)


def _of_observable(evaluation: Evaluation, observable: Observable) -> list[Drawing]:
    return [observable_drawing(evaluation, observable)]


def _drawn(make: _Make, group: Group, k: int) -> list[Drawing]:
    """Figures, finished, or one in their place that says why there are none."""
    try:
        return [_finished(drawing) for drawing in make()]
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        caption = f"This figure could not be drawn: {type(error).__name__}, {error}"
        return [_finished(Drawing(f"not-drawn-{k}", caption, Figure((7.2, 0.3)), group))]


def _finished(drawing: Drawing) -> Drawing:
    """The figure laid out and drawn, so that it cannot fail any more."""
    settle(drawing.figure)
    if drawing.group in _LIGHT:
        lighten(drawing.figure)
    _ = drawing.svg
    return drawing


def plot_distances(evaluation: Evaluation, ax: Axes | None = None) -> Axes:
    """Draw every distance of an evaluation, in units of its floor, in the style that is set.

    Arguments:
        evaluation: The evaluation.
        ax: Where to draw; None for a new figure of pyplot.

    Returns:
        The axes.
    """
    known = _compared(evaluation)
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=(7.2, 1.1 + 0.27 * len(known)), layout="constrained")
    heights = np.arange(len(known))
    for k, candidate in enumerate(evaluation.candidates):
        of = evaluation.comparisons[candidate.name]
        ratios, errors = _in_floors([of[o.name].distance if o.name in of else None for o in known])
        shift = 0.5 * ((k + 0.5) / len(evaluation.candidates) - 0.5)
        label = literal(candidate.name)
        ax.errorbar(
            ratios, heights + shift, xerr=errors, fmt="o", ms=5, color=colour(k), label=label
        )
    ax.set(xlabel=f"distance to {literal(evaluation.full.name)} / floor", yticks=heights)
    floors_axis(ax, ax.xaxis, ax.get_xlim()[1] / 1.5)
    ax.set_yticklabels([o.title for o in known])
    ax.set_ylim(len(known) - 0.4, -0.6)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    return ax


def _compared(evaluation: Evaluation) -> list[Observable]:
    """The observables in which some candidate could be compared."""
    every = evaluation.comparisons.values()
    return [o for o in evaluation.observables if any(o.name in of for of in every)]


def _summary(evaluation: Evaluation) -> list[Drawing]:
    """Every distance in floors on one axis."""
    known = _compared(evaluation)
    if not known:
        return []
    figure = Figure(figsize=(7.2, 1.1 + 0.27 * len(known)), layout="constrained")
    plot_distances(evaluation, figure.subplots())
    figure.suptitle(literal(title(evaluation)), fontsize=STYLE["axes.titlesize"])
    caption = (
        f"Each distance in units of the floor, which two samples of {evaluation.full.name} of "
        "these sizes would show (grey: "
        f"below it; dotted: {CLOSE:g} times it)."
    )
    return [Drawing("summary", caption, figure, Group.OVERVIEW, wide=True)]


def _in_floors(distances: Sequence[Score | None]) -> tuple[list[float], list[float]]:
    """Distances and their errors in units of the floor; a floor of 0 cannot be drawn."""
    drawable = [d if d is not None and d.floor > 0 and d.value > 0 else None for d in distances]
    ratios = [np.nan if d is None else max(d.ratio_to_floor, LEAST_FLOORS) for d in drawable]
    return ratios, [np.nan if d is None else d.error / d.floor for d in drawable]
