"""The figure of the bins of energy, polar angle and species: the largest distance in each."""

__all__ = ["bin_drawings"]

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from caloforge.evaluation.findings import Bin, Evaluation
from caloforge.evaluation.significance import CLOSE, Significance, significance_of_bin, worst_of_bin
from caloforge.report.bin_tables import bin_name
from caloforge.report.drawing import LEAST_FLOORS, Drawing, Group, colour, floors_axis, literal

_CONDITIONS = ("energy", "angle", "species")
_MOST_FLOORS = 1e5


def bin_drawings(evaluation: Evaluation) -> Iterator[Drawing]:
    """One figure, if some candidate has bins."""
    every = {_place(one): bin_name(one) for of in evaluation.bins.values() for one in of}
    if not every:
        return
    places = sorted(every)
    figure = Figure(figsize=(5.2, 1.1 + 0.22 * len(places)), layout="constrained")
    ax = figure.subplots()
    highest = 1.0
    for k, candidate in enumerate(evaluation.candidates):
        for one in evaluation.bins.get(candidate.name, ()):
            ratio = min(worst_of_bin(one)[1].ratio_to_floor, _MOST_FLOORS)
            at_floor = significance_of_bin(one) is Significance.FLOOR
            ax.plot(
                max(ratio, LEAST_FLOORS),
                places.index(_place(one)),
                marker="o",
                ms=5,
                ls="",
                color=colour(k),
                mfc="none" if at_floor else colour(k),
            )
            highest = max(highest, ratio)
        ax.plot([], [], marker="o", ls="", color=colour(k), label=literal(candidate.name))
    ax.set(xlabel="largest distance / floor", yticks=np.arange(len(places)))
    floors_axis(ax, ax.xaxis, highest)
    ax.set_yticklabels([every[place] for place in places])
    ax.set_ylim(len(places) - 0.4, -0.6)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    yield Drawing("bins", _CAPTION, figure, Group.ENERGY)


_CAPTION = (
    "The largest distance of a whole-shower observable in each bin, in units of its floor (grey: "
    f"below it; dotted: {CLOSE:g} times it). Open: no distance in the bin is significant, all bins "
    "considered."
)


def _place(one: Bin) -> tuple[int, float, float]:
    return _CONDITIONS.index(one.of), one.low, one.high
