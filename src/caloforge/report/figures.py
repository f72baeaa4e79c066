"""The figures of an evaluation, after figures 1 to 5 of arXiv:2308.12339.

The full simulation is a filled grey histogram, candidates are coloured lines. Below each histogram stands the ratio of each
candidate to the full simulation; bands are standard errors over showers, the grey one that of the full simulation. Everything
that is ink, not data, is drawn in the one colour `INK`, so that a page can give it the colour of its text.
"""

__all__ = ["INK", "STYLE", "Drawing", "drawings"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO, StringIO
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from caloforge.calorimeter import RegularGrid
from caloforge.metrics.distances import Distance
from caloforge.observables import ENERGY_SUM, MAX_FRACTION, RESPONSE, SPECTRUM, Entry, Observable, Scale
from caloforge.report.histograms import Binned, binned
from caloforge.report.records import Evaluation, Sample, shares_energies
from caloforge.report.tables import CLOSE, number
from caloforge.report.words import title
from caloforge.units import GeV, format_energy, keV

INK = "#1b1b1f"
FULL = "#8d8d93"
COLOURS = ("#d1495b", "#2e78c7", "#2a9d5c", "#d98a1f", "#8e5bb5", "#22a3a3", "#b3668f")
ENERGY_COLOURS, RATIO_COLOURS = "viridis", "RdBu_r"
STYLES = ("--", "-", "-.", ":")
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
    "svg.fonttype": "path",
    "svg.hashsalt": "caloforge",
    "text.color": INK,
    "xtick.color": INK,
    "xtick.direction": "in",
    "ytick.color": INK,
    "ytick.direction": "in",
}
"""Matplotlib's settings for every figure; nothing global is changed."""

_LEAST_FLOORS = 0.2
_MARGINS = {"left": 0.13, "right": 0.97, "bottom": 0.11, "top": 0.93, "hspace": 0.08}
_MOST_IMAGES = 4
_MOST_SCATTERS = 3
_WELL_KNOWN = 0.2
_SHOWN_ABOVE = 1 * keV


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure, with what goes with it.

    Arguments:
        name: A short key, for files.
        caption: What it shows, in one or two sentences.
        figure: The figure.
        wide: Whether it needs the whole width of a page.
    """

    name: str
    caption: str
    figure: Figure
    wide: bool = False

    @cached_property
    def png(self) -> bytes:
        """The figure as PNG, on white, 150 dots an inch."""
        buffer = BytesIO()
        with mpl.rc_context(STYLE):
            self.figure.savefig(buffer, format="png", dpi=150, facecolor="white")
        return buffer.getvalue()

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG element without a background."""
        buffer = StringIO()
        with mpl.rc_context(STYLE):
            self.figure.savefig(buffer, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
        return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def drawings(evaluation: Evaluation) -> list[Drawing]:
    """All figures that the evaluation allows."""
    with mpl.rc_context(STYLE):
        comparisons = [_comparison(evaluation, observable) for observable in _drawn(evaluation)]
        made = [_summary(evaluation), *comparisons, *_scatters(evaluation), *_images(evaluation)]
        for drawing in made:
            _settle(drawing.figure)
        return made


def _settle(figure: Figure) -> None:
    """Lay the figure out once, not again each time it is saved, and without minor ticks: the two are most of the time."""
    for ax in figure.axes:
        ax.minorticks_off()
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def _drawn(evaluation: Evaluation) -> list[Observable]:
    """The observables less those that would show the same histogram twice."""
    energies = evaluation.full.energies
    repeated = {SPECTRUM} | ({RESPONSE, MAX_FRACTION} if energies.min() == energies.max() else set())
    others = set(evaluation.observables) - repeated
    return [o for o in evaluation.observables if o not in repeated or not others]


def _label(name: str) -> str:
    """A name as matplotlib takes it literally: no mathematics, and not hidden from legends by a leading underscore."""
    return name.replace("$", r"\$").replace("_", " _", 1) if name.startswith("_") else name.replace("$", r"\$")


def _heading(evaluation: Evaluation) -> str:
    return _label(title(evaluation))


def _colour(k: int) -> str:
    return COLOURS[k % len(COLOURS)]


def _style(k: int) -> str:
    return STYLES[k % len(STYLES)]


def _distance(evaluation: Evaluation, candidate: Sample, observable: Observable) -> Distance:
    return evaluation.distances[candidate.name][observable.name]


def _summary(evaluation: Evaluation) -> Drawing:
    observables, candidates = evaluation.observables, evaluation.candidates
    figure = Figure(figsize=(7.2, 1.1 + 0.3 * len(observables)), layout="constrained")
    ax = figure.subplots()
    heights = np.arange(len(observables))
    for k, candidate in enumerate(candidates):
        distances = [_distance(evaluation, candidate, o) for o in observables]
        ratios, errors = _in_floors(distances)
        shift = 0.5 * ((k + 0.5) / len(candidates) - 0.5)
        ax.errorbar(ratios, heights + shift, xerr=errors, fmt="o", ms=5, color=_colour(k), label=_label(candidate.name))
    ax.axvspan(_LEAST_FLOORS, 1, color=FULL, alpha=0.25, lw=0)
    ax.axvline(CLOSE, color=INK, lw=0.8, ls=":")
    ax.set(xscale="log", xlabel=f"distance to {_label(evaluation.full.name)} / floor", yticks=heights)
    ax.set_xlim(_LEAST_FLOORS, max(2 * CLOSE, ax.get_xlim()[1]))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_yticklabels([o.title for o in observables])
    ax.set_ylim(len(observables) - 0.4, -0.6)
    figure.suptitle(_heading(evaluation), fontsize=STYLE["axes.titlesize"])
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    caption = (
        f"Each distance in units of the floor, which two samples of {evaluation.full.name} of these sizes would show (grey: "
        f"below it; dotted: {CLOSE:g} times it)."
    )
    return Drawing("summary", caption, figure, wide=True)


def _in_floors(distances: Sequence[Distance]) -> tuple[list[float], list[float]]:
    """Distances and their errors in units of the floor; a floor of 0 cannot be drawn."""
    drawable = [d.floor > 0 and d.value > 0 for d in distances]
    ratios = [max(d.value / d.floor, _LEAST_FLOORS) if ok else np.nan for d, ok in zip(distances, drawable, strict=True)]
    return ratios, [d.error / d.floor if ok else np.nan for d, ok in zip(distances, drawable, strict=True)]


def _comparison(evaluation: Evaluation, observable: Observable) -> Drawing:
    samples = [s.values[observable.name] for s in evaluation.samples]
    full, *candidates = binned(observable, evaluation.full.calorimeter, samples)
    figure = Figure(figsize=(5.2, 4.4))
    main, ratio = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1), gridspec_kw=_MARGINS)
    _draw_full(main, ratio, full, _label(evaluation.full.name))
    for k, (candidate, bins) in enumerate(zip(evaluation.candidates, candidates, strict=True)):
        floors = number(_distance(evaluation, candidate, observable).ratio_to_floor)
        _draw_candidate((main, ratio), full, bins, k, f"{_label(candidate.name)} ({floors} x floor)")
    _dress(main, ratio, observable, [full, *candidates])
    main.set_title(_heading(evaluation), loc="left")
    ratio.set_ylim(*_ratio_limits(full, candidates))
    return Drawing(observable.name, _caption(evaluation, observable, [full, *candidates]), figure)


def _draw_full(main: Axes, ratio: Axes, full: Binned, label: str) -> None:
    mplhep.histplot(full.histogram, ax=main, histtype="fill", color=FULL, alpha=0.5, label=label, flow="none")
    _band(ratio, full, np.ones_like(full.mean), _over(full.error, full.mean), FULL)
    ratio.axhline(1, color=INK, lw=0.8)


def _draw_candidate(axes: tuple[Axes, Axes], full: Binned, bins: Binned, k: int, label: str) -> None:
    main, ratio = axes
    mplhep.histplot(bins.histogram, ax=main, color=_colour(k), ls=_style(k), yerr=False, label=label, flow="none")
    _band(main, bins, bins.mean, bins.error, _colour(k))
    share = _over(bins.mean, full.mean)
    ratio.stairs(share, bins.edges, baseline=None, color=_colour(k), ls=_style(k))
    _band(ratio, bins, share, _over(bins.error, full.mean), _colour(k))


def _over(a: Float[np.ndarray, "*bins"], b: Float[np.ndarray, "*bins"]) -> Float[np.ndarray, "*bins"]:
    return np.where(b > 0, a, np.nan) / np.where(b > 0, b, 1)


def _band(ax: Axes, bins: Binned, middle: Float[np.ndarray, " bins"], half: Float[np.ndarray, " bins"], colour: str) -> None:
    ax.stairs(middle + half, bins.edges, baseline=middle - half, fill=True, color=colour, alpha=0.3, lw=0)


def _ratio_limits(full: Binned, candidates: Sequence[Binned]) -> tuple[float, float]:
    """As wide as the ratios where they are known well, between 10 % and 100 % about 1."""
    error = _over(full.error, full.mean)
    known = error < _WELL_KNOWN
    shown = [2 * error[known], *(np.abs(_over(c.mean, full.mean)[known] - 1) for c in candidates)]
    half = float(np.clip(1.2 * np.max(np.concatenate(shown), initial=0.0), 0.1, 1.0))
    return 1 - half, 1 + half


def _dress(main: Axes, ratio: Axes, observable: Observable, bins: Sequence[Binned]) -> None:
    spectrum, edges = observable.scale is Scale.LOG, bins[0].edges
    main.set(xlabel="", xscale="log" if spectrum else "linear", xlim=(edges[0], edges[-1]), ylabel=_CONTENT[observable.entry])
    _set_heights(main, observable, [b.mean for b in bins])
    main.legend(loc="best")
    ratio.set(ylabel="ratio", xlabel=f"${observable.symbol}$" + _axis_unit((ratio.xaxis,), observable, edges[-1]))


def _axis_unit(axes: Sequence[Axis], observable: Observable, high: float) -> str:
    """The unit in brackets; large energies on linear axes are labelled in GeV."""
    if observable.unit == "MeV" and observable.scale is Scale.LINEAR and high > 2 * GeV:
        for axis in axes:
            axis.set_major_formatter(lambda x, _: f"{x / GeV:g}")
        return " [GeV]"
    return f" [{observable.unit}]" if observable.unit else ""


def _set_heights(main: Axes, observable: Observable, means: Sequence[Float[np.ndarray, " bins"]]) -> None:
    """Room for the legend; a logarithmic axis, where there are orders of magnitude, begins below the least content."""
    means_shown = np.concatenate(means)
    top = float(means_shown.max())
    if observable.entry is Entry.SHOWER:
        main.set_ylim(0, 1.35 * top)
    else:
        least = float(means_shown.min(where=means_shown > 0, initial=top))
        main.set(yscale="log", ylim=(0.5 * least, top * (top / least) ** 0.35))


_CONTENT = {Entry.SHOWER: "share of showers", Entry.CELL: "cells a shower", Entry.POSITION: "mean energy [MeV]"}


def _caption(evaluation: Evaluation, observable: Observable, bins: Sequence[Binned]) -> str:
    beyond = [f"{s.name} {100 * b.outside:.2g} %" for s, b in zip(evaluation.samples, bins, strict=True) if b.outside > 0]
    tail = f" Beyond the axis: {', '.join(beyond)} of the showers." if beyond else ""
    return f"{observable.title}: {_CONTENT[observable.entry]}, and its ratio to {evaluation.full.name}.{tail}"


def _scatters(evaluation: Evaluation) -> Iterator[Drawing]:
    first, *others = evaluation.candidates
    partners = [c for c in others if shares_energies(first, c)]
    drawn = [o for o in (ENERGY_SUM, RESPONSE) if o in _drawn(evaluation)]
    panels = [(o, c) for c in partners for o in drawn][:_MOST_SCATTERS]
    if panels:
        drawing = _scatter(first, panels)
        drawing.figure.suptitle(_heading(evaluation), fontsize=STYLE["axes.titlesize"])
        yield drawing


def _scatter(first: Sample, panels: Sequence[tuple[Observable, Sample]]) -> Drawing:
    figure = Figure(figsize=(3.8 * len(panels), 4.0), layout="constrained")
    for ax, (observable, partner) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        x, y = first.values[observable.name], partner.values[observable.name]
        low, high = np.quantile(np.concatenate([x, y]), [0.002, 0.998])
        margin = 0.1 * (high - low) or 1.0
        ax.plot(x, y, ".", ms=3, alpha=0.35, color=_colour(1), rasterized=True)
        ax.plot([low, high], [low, high], color=INK, lw=0.8)
        ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
        ax.set_title(f"correlation {_correlation(x, y):.2f}")
        unit = _axis_unit((ax.xaxis, ax.yaxis), observable, high)
        ax.set(xlabel=_of(observable, unit, first), ylabel=_of(observable, unit, partner))
    names = ", ".join(dict.fromkeys(partner.name for _, partner in panels))
    caption = f"Shower by shower, {names} against {first.name}: on the line nothing changed."
    return Drawing("scatter", caption, figure, wide=True)


def _of(observable: Observable, unit: str, sample: Sample) -> str:
    return f"${observable.symbol}${unit}, {_label(sample.name)}"


def _correlation(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    varies = x.std() > 0 and y.std() > 0
    return float(np.corrcoef(x, y)[0, 1]) if varies else float("nan")


def _images(evaluation: Evaluation) -> Iterator[Drawing]:
    grid = evaluation.full.calorimeter
    if isinstance(grid, RegularGrid):
        yield _image_rows(evaluation, grid)


def _image_rows(evaluation: Evaluation, grid: RegularGrid) -> Drawing:
    """Above one shower of each sample; below the mean shower of the full simulation and each candidate's ratio to it."""
    samples = evaluation.samples[:_MOST_IMAGES]
    figure = Figure(figsize=(1.0 + 2.3 * len(samples), 4.9), layout="constrained")
    axes = figure.subplots(2, len(samples), sharex=True, sharey=True)
    top = max(float(s.example.max()) for s in samples)
    norm, ratio = LogNorm(_SHOWN_ABOVE, max(top, 2 * _SHOWN_ABOVE)), LogNorm(0.5, 2)
    mean = _image(grid, evaluation.full.mean)
    for column, sample in zip(axes.T, samples, strict=True):
        column[0].set_title(_label(sample.name))
        _draw_image(column[0], grid, _above(_image(grid, sample.example)), norm, ENERGY_COLOURS)
        if sample is evaluation.full:
            _draw_image(column[1], grid, _above(mean), norm, ENERGY_COLOURS)
        else:
            _draw_image(column[1], grid, _over(_image(grid, sample.mean), mean), ratio, RATIO_COLOURS)
    figure.suptitle(_heading(evaluation), fontsize=STYLE["axes.titlesize"])
    axes[0, 0].set_ylabel("one shower\n$y$ [mm]")
    axes[1, 0].set_ylabel("mean; ratio to it\n$y$ [mm]")
    for ax in axes[1]:
        ax.set_xlabel("$x$ [mm]")
    figure.colorbar(ScalarMappable(norm, ENERGY_COLOURS), ax=axes[0, :], label=r"$E_\mathrm{cell}$ [MeV]")
    bar = figure.colorbar(ScalarMappable(ratio, RATIO_COLOURS), ax=axes[1, :], label="ratio", ticks=[0.5, 1, 2])
    bar.ax.set_yticklabels(["0.5", "1", "2"])
    return Drawing("shower", _image_caption(evaluation), figure, wide=True)


def _image_caption(evaluation: Evaluation) -> str:
    full = evaluation.full
    energies = {format_energy(float(f"{s.energies[s.example_row]:.3g}")) for s in evaluation.samples[:_MOST_IMAGES]}
    return (
        f"Above: shower {full.example_row} of each sample that has the incident energies of {full.name}, or else the one nearest "
        f"in energy ({', '.join(sorted(energies))}); cells below 1 keV are left blank. Below: the mean shower of {full.name}, "
        "and the ratio of each candidate's mean shower to it."
    )


def _image(grid: RegularGrid, cells: Float[np.ndarray, " cells"]) -> Float[np.ndarray, "columns rows"]:
    """Energies summed over the depth, with shape (n_x, n_y)."""
    image = np.zeros(grid.shape[:2])
    ix, iy, _ = grid.indices.numpy().T
    np.add.at(image, (ix, iy), cells)
    return image


def _above(image: Float[np.ndarray, "columns rows"]) -> Float[np.ndarray, "columns rows"]:
    return np.where(image > _SHOWN_ABOVE, image, np.nan)


def _draw_image(ax: Axes, grid: RegularGrid, image: Float[np.ndarray, "columns rows"], norm: LogNorm, colours: str) -> None:
    x, y = ((np.arange(n + 1) - n / 2) * size for n, size in zip(grid.shape[:2], grid.cell_size[:2], strict=True))
    ax.pcolormesh(x, y, np.ma.masked_invalid(image.T), norm=norm, cmap=colours, rasterized=True)
    ax.set_aspect("equal")
