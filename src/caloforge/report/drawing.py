"""How figures look: one ink, one grey for the full simulation, a colour and a dash for each
candidate.

Everything that is ink, not data, is drawn in the one colour `INK`, so that a page can give it the
colour of its text. Lines and bands go into the axes without a word to them about limits: every
figure sets its own, and asking would be most of the time.
"""

__all__ = [
    "ENERGY_COLOURS",
    "FULL",
    "INK",
    "LEAST_FLOORS",
    "RATIO_COLOURS",
    "STYLE",
    "Drawing",
    "Format",
    "Group",
    "band",
    "colour",
    "dash",
    "errors",
    "floors_axis",
    "legend",
    "lighten",
    "literal",
    "over",
    "panels",
    "panels_legend",
    "settle",
    "steps",
    "symmetric_about_one",
]

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from io import BytesIO
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Real
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import AutoLocator, FixedLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, Transform

from caloforge.evaluation.significance import CLOSE

INK = "#1b1b1f"
FULL = "#8d8d93"
ENERGY_COLOURS, RATIO_COLOURS = "viridis", "RdBu_r"
STYLE: Any = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "font.size": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "caloforge",
    "text.color": INK,
    "xtick.color": INK,
    "xtick.direction": "in",
    "ytick.color": INK,
    "ytick.direction": "in",
}
"""Matplotlib's settings for every figure; nothing global is changed."""

_COLOURS = ("#d1495b", "#2e78c7", "#2a9d5c", "#d98a1f", "#8e5bb5", "#22a3a3", "#b3668f")
_DASHES = ("--", "-", "-.", ":")
LEAST_FLOORS = 0.2
"""Distances of fewer floors than this are drawn here."""

_COLUMNS = 4
_DPI = 200
_FIRST_LINE, _LINE, _THICK = 0.94, 0.075, 7
_INWARD: tuple[Literal[2], Literal[1]] = (2, 1)
"""Matplotlib's markers for ticks that point up, and to the right."""
_TICK, _LETTER = 3.5, 6.0
_MANY_FLOORS = 200
_MOST_TICKS = 6
_MOST_OFF = 1.0
_LEAST_OFF = 0.1
_WELL_KNOWN = 0.2

Values = Float[np.ndarray, "*shape"]


class Group(Enum):
    """What a figure is about; figures of a group stand together, in this order."""

    OVERVIEW = "At a glance"
    OBSERVABLES = "Observables"
    SERIES = "Layers and slices"
    SHOWERS = "Showers"
    CORRELATIONS = "Correlations of layer energies"
    CLASSIFIERS = "Classifiers"
    ENERGY = "Dependence on the particle"
    AMPLIFICATION = "Amplification"


class Format(Enum):
    """In what formats a figure lies beside the page."""

    PDF = "pdf"
    SVG = "svg"
    PNG = "png"


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure, with what goes with it.

    Arguments:
        name: A short key, for files.
        caption: What it shows, in one or two sentences.
        figure: The figure.
        group: What it is about.
        wide: Whether it needs the whole width of a page.
    """

    name: str
    caption: str
    figure: Figure
    group: Group
    wide: bool = False

    @cached_property
    def png(self) -> bytes:
        """The figure as PNG, on white, 200 dots an inch."""
        return self._saved("png", facecolor="white", pil_kwargs={"compress_level": 1})

    @cached_property
    def pdf(self) -> bytes:
        """The figure as PDF, its text as text."""
        return self._saved("pdf", metadata={"CreationDate": None})

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG element without a background, its text as text."""
        text = self._saved("svg", metadata={"Date": None, "Creator": None}).decode()
        return text[text.index("<svg") :]

    def file(self, kind: Format) -> bytes:
        """The figure as a file of its own; the SVG is on white, too."""
        if kind is Format.SVG:
            return self.svg.replace("<svg ", '<svg style="background: white" ', 1).encode()
        return self.png if kind is Format.PNG else self.pdf

    def _saved(self, kind: str, **more: Any) -> bytes:
        buffer = BytesIO()
        with mpl.rc_context(STYLE):
            self.figure.savefig(buffer, format=kind, dpi=_DPI, **more)
        return buffer.getvalue()


def settle(figure: Figure) -> None:
    """Lay the figure out once, not again each time it is saved, with few ticks and no minor ones:
    these are most of the time.
    """
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        axis.minorticks_off()
        if isinstance(axis.get_major_locator(), AutoLocator):
            axis.set_major_locator(MaxNLocator(_MOST_TICKS, steps=[1, 2, 2.5, 5, 10]))
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def lighten(figure: Figure) -> None:
    """Draw ticks and names of axes as a few lines and texts in place of matplotlib's own, which
    take most of a figure's time.
    """
    for ax in (ax for ax in figure.axes if ax.get_visible()):
        for axis in (ax.xaxis, ax.yaxis):
            if axis.get_visible():
                _lighten(ax, axis)
                axis.set_visible(False)


def _lighten(ax: Axes, axis: Axis) -> None:
    across = axis is ax.xaxis
    places, labels = _ticks(axis)
    data = ax.get_xaxis_transform() if across else ax.get_yaxis_transform()
    ends = (places, np.zeros(len(places))) if across else (np.zeros(len(places)), places)
    marker = _INWARD[0] if across else _INWARD[1]
    ax.add_artist(
        Line2D(
            *ends, transform=data, marker=marker, ls="", ms=_TICK, mew=0.8, color=INK, clip_on=False
        )
    )
    named = axis.get_major_ticks(1)[0].label1.get_visible()
    reach = _TICK + (
        _LETTER * (1.6 if across else max(map(_letters, labels), default=0)) if named else 0
    )
    for x, y, label in zip(*ends, labels if named else (), strict=False):
        _beside(ax, across, x, y, label, data, _TICK)
    offset = axis.get_major_formatter().get_offset()
    name = axis.get_label().get_text() + (f" [{offset}]" if offset else "")
    middle = (0.5, 0.0) if across else (0.0, 0.5)
    written = _beside(ax, across, *middle, name, ax.transAxes, reach + _TICK)
    written.set(fontsize=STYLE["axes.labelsize"], rotation=0 if across else 90)


def _ticks(axis: Axis) -> tuple[Float[np.ndarray, " ticks"], list[str]]:
    """The places of the ticks that are in view, and what they are called."""
    low, high = sorted(axis.get_view_interval())
    places = np.asarray(axis.get_majorticklocs(), dtype=np.float64)
    labels = axis.get_major_formatter().format_ticks(list(places))
    inside = (places >= low - 1e-9 * abs(low)) & (places <= high + 1e-9 * abs(high))
    return places[inside], [label for label, shown in zip(labels, inside, strict=True) if shown]


def _letters(label: str) -> int:
    """About how many letters wide a text is, which may be mathematics."""
    return len(re.sub(r"\\[a-z]+|[${}^]", "", label))


def _beside(
    ax: Axes, below: bool, x: float, y: float, label: str, data: Transform, points: float
) -> Text:
    """Write below a point, or to the left of it, so many points away."""
    shift = (0.0, -points / 72) if below else (-points / 72, 0.0)
    place = data + ScaledTranslation(*shift, ax.figure.dpi_scale_trans)
    across, up = ("center", "top") if below else ("right", "center")
    return ax.text(x, y, label, transform=place, ha=across, va=up)


def literal(name: str) -> str:
    """A name as matplotlib takes it literally: no mathematics, and not hidden from legends by a
    leading underscore.
    """
    return (
        name.replace("$", r"\$").replace("_", " _", 1)
        if name.startswith("_")
        else name.replace("$", r"\$")
    )


def colour(k: int) -> str:
    """The colour of the k-th candidate."""
    return _COLOURS[k % len(_COLOURS)]


def dash(k: int) -> str:
    """The dashes of the k-th candidate, so that colour is not all that tells lines apart."""
    return _DASHES[k % len(_DASHES)]


def over(a: Real[np.ndarray, "*shape"], b: Real[np.ndarray, "*shape"]) -> Values:
    """The ratio a / b, NaN (which is not drawn) where b is not positive."""
    return np.where(b > 0, a, np.nan) / np.where(b > 0, b, 1)


def steps(
    ax: Axes, edges: Float[np.ndarray, " edges"], heights: Float[np.ndarray, " bins"], **look: Any
) -> Line2D:
    """Draw the contents of bins as a line of steps; the limits of the axes stay as they are."""
    line = Line2D(np.repeat(edges, 2)[1:-1], np.repeat(heights, 2), **look)
    ax.add_artist(line)
    return line


def band(
    ax: Axes,
    edges: Float[np.ndarray, " edges"],
    low: Float[np.ndarray, " bins"],
    high: Float[np.ndarray, " bins"],
    *,
    shade: str,
    alpha: float = 0.3,
    label: str = "",
) -> None:
    """Fill the space between the contents of two sets of bins; a stretch of bins without a number
    is left out.
    """
    known = np.isfinite(low) & np.isfinite(high)
    starts = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(int)))
    outlines = [_outline(edges[a : b + 1], low[a:b], high[a:b]) for a, b in starts.reshape(-1, 2)]
    ax.add_collection(
        PolyCollection(outlines, facecolor=shade, alpha=alpha, linewidth=0, label=label),
        autolim=False,
    )


def _outline(
    edges: Float[np.ndarray, " edges"],
    low: Float[np.ndarray, " bins"],
    high: Float[np.ndarray, " bins"],
) -> Float[np.ndarray, "points 2"]:
    x = np.repeat(edges, 2)[1:-1]
    return np.column_stack(
        [
            np.concatenate([x, x[::-1]]),
            np.concatenate([np.repeat(low, 2), np.repeat(high, 2)[::-1]]),
        ]
    )


def floors_axis(ax: Axes, axis: Axis, highest: float) -> None:
    """Dress a logarithmic axis for distances in floors: grey below the floor, dotted where a
    distance is no longer close.

    Arguments:
        ax: The axes.
        axis: Which of their two axes.
        highest: The largest number to show.
    """
    across = axis is ax.yaxis
    span, line, scale, limit = (
        (ax.axhspan, ax.axhline, ax.set_yscale, ax.set_ylim)
        if across
        else (ax.axvspan, ax.axvline, ax.set_xscale, ax.set_xlim)
    )
    scale("log")
    span(LEAST_FLOORS, 1, color=FULL, alpha=0.25, lw=0)
    line(CLOSE, color=INK, lw=0.8, ls=":")
    top = max(2 * CLOSE, 1.5 * highest)
    ticks = [m * 10**k for k in range(6) for m in (1, 3)]
    axis.set_major_locator(FixedLocator(ticks if top < _MANY_FLOORS else ticks[::2]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())
    limit(LEAST_FLOORS, top)


def panels(n: int, heading: str, across: str, up: str) -> tuple[Figure, list[Axes]]:
    """A figure of n small panels with common axes, four in a row.

    Arguments:
        n: The number of panels, at least 1.
        heading: What stands above them.
        across: What the abscissa is.
        up: What the ordinate is.
    """
    rows, columns = -(-n // _COLUMNS), min(_COLUMNS, n)
    width, height = max(5.2, 2.6 * columns), 1.1 + 1.9 * rows
    figure = Figure(figsize=(width, height))
    axes = (
        figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        .ravel()[: rows * columns]
        .tolist()
    )
    figure.subplots_adjust(
        0.7 / width, 0.55 / height, 1 - 0.15 / width, 1 - 0.8 / height, wspace=0.06, hspace=0.2
    )
    for k, ax in enumerate(axes):
        ax.set_visible(k < n)
        ax.tick_params(labelbottom=k + columns >= n)
    figure.text(
        0.5, 0.12 / height, across, ha="center", va="bottom", fontsize=STYLE["axes.labelsize"]
    )
    figure.text(
        0.1 / width, 0.5, up, ha="left", va="center", rotation=90, fontsize=STYLE["axes.labelsize"]
    )
    figure.text(
        0.7 / width,
        1 - 0.12 / height,
        heading,
        ha="left",
        va="top",
        fontsize=STYLE["axes.titlesize"],
    )
    return figure, axes[:n]


def panels_legend(figure: Figure, names: Sequence[str]) -> None:
    """Name the candidates in a row below the heading of `panels`."""
    handles = [
        Line2D([], [], color=colour(k), ls=dash(k), label=literal(name))
        for k, name in enumerate(names)
    ]
    width, height = figure.get_size_inches()
    place = (0.62 / width, 1 - 0.25 / height)
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=place, ncols=_COLUMNS, borderaxespad=0.2
    )


def errors(
    ax: Axes,
    x: Float[np.ndarray, " points"],
    low: Float[np.ndarray, " points"],
    high: Float[np.ndarray, " points"],
    *,
    upright: bool,
    shade: str,
) -> None:
    """Draw bars from low to high at each point, upright or level."""
    ends = np.stack([np.column_stack([x, low]), np.column_stack([x, high])], axis=1)
    ax.add_collection(
        LineCollection(list(ends if upright else ends[..., ::-1]), colors=shade, lw=1.2),
        autolim=False,
    )


def legend(ax: Axes) -> None:
    """Name the bands and steps that have labels, above the data, where figures leave room;
    matplotlib's own takes far longer.
    """
    named = [artist for artist in (*ax.collections, *ax.lines) if artist.get_label()]
    for k, artist in enumerate(
        handle for handle in named if not str(handle.get_label()).startswith("_")
    ):
        height = _FIRST_LINE - k * _LINE
        sample = Line2D(
            [0.91, 0.97], [height, height], transform=ax.transAxes, solid_capstyle="butt"
        )
        if isinstance(artist, Line2D):
            sample.set(color=artist.get_color(), linestyle=artist.get_linestyle())
        elif isinstance(artist, PolyCollection):
            sample.set(color=artist.get_facecolor()[0], linewidth=_THICK)
        ax.add_artist(sample)
        ax.text(
            0.89, height, str(artist.get_label()), transform=ax.transAxes, ha="right", va="center"
        )


def symmetric_about_one(full_error: Values, ratios: Iterable[Values]) -> tuple[float, float]:
    """Limits for ratios to the full simulation: as wide as they are where known well, between 10 %
    and 100 % about 1.

    Arguments:
        full_error: The relative error of the full simulation in each bin; NaN where it has nothing.
        ratios: The ratios of each candidate in these bins.
    """
    known = full_error < _WELL_KNOWN
    shown = [2 * full_error[known], *(np.abs(ratio[known] - 1) for ratio in ratios)]
    half = float(np.clip(1.2 * np.max(np.concatenate(shown), initial=0.0), _LEAST_OFF, _MOST_OFF))
    return 1 - half, 1 + half
