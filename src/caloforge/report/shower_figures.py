"""Figures of showers themselves: images of one shower and of the mean one, shower-by-shower
scatter, correlations of layers.
"""

__all__ = ["correlations", "images", "scatters"]

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from caloforge.evaluation.findings import Evaluation, Sample, shares_energies
from caloforge.geometry import Slices
from caloforge.observables import ENERGY_SUM, RESPONSE, Observable
from caloforge.report.drawing import (
    ENERGY_COLOURS,
    INK,
    RATIO_COLOURS,
    STYLE,
    Drawing,
    Group,
    colour,
    literal,
    over,
)
from caloforge.report.observable_figures import axis_unit, drawn
from caloforge.report.words import title
from caloforge.units import format_energy, keV

_MOST_COLUMNS = 4
_MOST_SCATTERS = 3
_MOST_POINTS = 5000
_SHOWN_ABOVE = 1 * keV
_LEAST_DIFFERENCE = 0.02


_Plane = tuple[Slices, Slices]
"""Columns and rows."""


def scatters(evaluation: Evaluation) -> Iterator[Drawing]:
    """Shower by shower, the other candidates against the first, where they were made for the same
    particles.
    """
    first, *others = evaluation.candidates
    partners = [c for c in others if shares_energies(first, c)]
    wanted = [o for o in (ENERGY_SUM, RESPONSE) if o.name in [x.name for x in drawn(evaluation)]]
    panels = [(o, c) for c in partners for o in wanted][:_MOST_SCATTERS]
    if panels:
        drawing = _scatter(first, panels)
        drawing.figure.suptitle(literal(title(evaluation)), fontsize=STYLE["axes.titlesize"])
        yield drawing


def _scatter(first: Sample, panels: Sequence[tuple[Observable, Sample]]) -> Drawing:
    figure = Figure(figsize=(3.8 * len(panels), 4.0), layout="constrained")
    for ax, (observable, partner) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        x, y = first.values[observable.name], partner.values[observable.name]
        low, high = np.quantile(np.concatenate([x, y]), [0.002, 0.998])
        margin = 0.1 * (high - low) or 1.0
        ax.plot(
            x[:_MOST_POINTS],
            y[:_MOST_POINTS],
            ".",
            ms=3,
            alpha=0.35,
            color=colour(1),
            rasterized=True,
        )
        ax.plot([low, high], [low, high], color=INK, lw=0.8)
        ax.set(
            xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal"
        )
        ax.set_title(f"correlation {_correlation(x, y):.2f}")
        unit = axis_unit((ax.xaxis, ax.yaxis), observable, high)
        ax.set(xlabel=_of(observable, unit, first), ylabel=_of(observable, unit, partner))
    names = ", ".join(dict.fromkeys(partner.name for _, partner in panels))
    caption = f"Shower by shower, {names} against {first.name}: on the line nothing changed."
    return Drawing("scatter", caption, figure, Group.SHOWERS, wide=True)


def _of(observable: Observable, unit: str, sample: Sample) -> str:
    return f"${observable.symbol}${unit}, {literal(sample.name)}"


def _correlation(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    varies = x.std() > 0 and y.std() > 0
    return float(np.corrcoef(x, y)[0, 1]) if varies else float("nan")


def images(evaluation: Evaluation) -> Iterator[Drawing]:
    """One shower and the mean shower, seen along the beam, where cells are columns of boxes."""
    calorimeter = evaluation.full.calorimeter
    columns, rows = calorimeter.columns(), calorimeter.rows()
    if columns is not None and rows is not None:
        yield _image_rows(evaluation, (columns, rows))


def _image_rows(evaluation: Evaluation, grid: _Plane) -> Drawing:
    """Above one shower of each sample; below the mean shower of the full simulation and each
    candidate's ratio to it.
    """
    samples = evaluation.samples[:_MOST_COLUMNS]
    figure = Figure(figsize=(1.0 + 2.3 * len(samples), 4.9), layout="constrained")
    axes = figure.subplots(2, len(samples), sharex=True, sharey=True)
    shown = [_image(grid, s.example.dense(len(grid[0].of_cell))) for s in samples]
    top = max(float(image.max()) for image in shown)
    norm, ratio = LogNorm(_SHOWN_ABOVE, max(top, 2 * _SHOWN_ABOVE)), LogNorm(0.5, 2)
    mean = _image(grid, evaluation.full.mean)
    for column, sample, image in zip(axes.T, samples, shown, strict=True):
        column[0].set_title(literal(sample.name))
        _draw_image(column[0], grid, _above(image), norm, ENERGY_COLOURS)
        if sample is evaluation.full:
            _draw_image(column[1], grid, _above(mean), norm, ENERGY_COLOURS)
        else:
            _draw_image(
                column[1], grid, over(_image(grid, sample.mean), mean), ratio, RATIO_COLOURS
            )
    figure.suptitle(literal(title(evaluation)), fontsize=STYLE["axes.titlesize"])
    axes[0, 0].set_ylabel("one shower\ny [mm]")
    axes[1, 0].set_ylabel("mean; ratio to it\ny [mm]")
    for ax in axes[1]:
        ax.set_xlabel("x [mm]")
        ax.xaxis.set_major_locator(MaxNLocator(4))
    figure.colorbar(ScalarMappable(norm, ENERGY_COLOURS), ax=axes[0, :], label="cell energy [MeV]")
    bar = figure.colorbar(
        ScalarMappable(ratio, RATIO_COLOURS), ax=axes[1, :], label="ratio", ticks=[0.5, 1, 2]
    )
    bar.ax.set_yticklabels(["0.5", "1", "2"])
    return Drawing("shower", _image_caption(evaluation), figure, Group.SHOWERS, wide=True)


def _image_caption(evaluation: Evaluation) -> str:
    full, example = evaluation.full, evaluation.full.example
    energies = {
        format_energy(float(f"{s.example.energy:.3g}")) for s in evaluation.samples[:_MOST_COLUMNS]
    }
    return (
        f"Above: shower {example.row} of each sample that has the incident energies of "
        f"{full.name}, or else the one nearest "
        f"in energy ({', '.join(sorted(energies))}); cells below 1 keV are left blank. Below: the "
        f"mean shower of {full.name}, "
        "and the ratio of each candidate's mean shower to it."
    )


def _image(grid: _Plane, cells: Float[np.ndarray, " cells"]) -> Float[np.ndarray, "columns rows"]:
    """Energies summed over the depth, with shape (n_x, n_y)."""
    image = np.zeros([slices.number for slices in grid])
    np.add.at(image, tuple(slices.of_cell.numpy() for slices in grid), cells)
    return image


def _above(image: Float[np.ndarray, "columns rows"]) -> Float[np.ndarray, "columns rows"]:
    return np.where(image > _SHOWN_ABOVE, image, np.nan)


def _draw_image(
    ax: Axes,
    grid: _Plane,
    image: Float[np.ndarray, "columns rows"],
    norm: LogNorm,
    colours: str,
) -> None:
    x, y = (slices.edges.numpy() for slices in grid)
    ax.pcolormesh(x, y, np.ma.masked_invalid(image.T), norm=norm, cmap=colours, rasterized=True)
    ax.set_aspect("equal")


def correlations(evaluation: Evaluation) -> Iterator[Drawing]:
    """The correlation matrices of the layer energies: those of all samples above, their differences
    to the full one below.
    """
    if len(evaluation.full.correlation) > 1:
        yield _matrices(evaluation)


def _matrices(evaluation: Evaluation) -> Drawing:
    full, *candidates = evaluation.samples[:_MOST_COLUMNS]
    differences = [c.correlation - full.correlation for c in candidates]
    largest = max(_LEAST_DIFFERENCE, *(float(np.abs(d).max()) for d in differences))
    whole, part = Normalize(-1, 1), Normalize(-largest, largest)
    columns = 1 + len(candidates)
    figure = Figure(figsize=(1.2 + 2.6 * columns, 5.6), layout="constrained")
    axes = figure.subplots(2, columns, sharex=True, sharey=True)
    for ax, sample in zip(axes[0], (full, *candidates), strict=True):
        ax.set_title(literal(sample.name))
        _draw_matrix(ax, sample.correlation, whole)
    axes[1, 0].axis("off")
    for ax, difference in zip(axes[1, 1:], differences, strict=True):
        _draw_matrix(ax, difference, part)
        ax.set(xlabel="layer")
    axes[0, 0].set(ylabel="layer", xlabel="layer")
    axes[0, 0].tick_params(labelbottom=True)
    axes[1, 1].set(ylabel="layer")
    axes[1, 1].tick_params(labelleft=True)
    figure.colorbar(ScalarMappable(whole, RATIO_COLOURS), ax=axes[0, :], label="correlation")
    figure.colorbar(ScalarMappable(part, RATIO_COLOURS), ax=axes[1, :], label="difference")
    figure.suptitle(literal(title(evaluation)), fontsize=STYLE["axes.titlesize"])
    caption = (
        "Correlations of the energies of the layers, counted from the front; below, those of each "
        "candidate less those of "
        f"{full.name}."
    )
    return Drawing("correlations", caption, figure, Group.CORRELATIONS, wide=True)


def _draw_matrix(ax: Axes, matrix: Float[np.ndarray, "layers layers"], norm: Normalize) -> None:
    edges = np.arange(len(matrix) + 1) - 0.5
    ax.pcolormesh(edges, edges, matrix, norm=norm, cmap=RATIO_COLOURS, rasterized=True)
    ax.set_aspect("equal")
