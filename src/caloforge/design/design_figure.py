"""The figure of a design with one free thickness: width against thickness, energy by energy."""

__all__ = ["draw_design"]

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from caloforge.design.designing import Designed
from caloforge.design.problem import Problem
from caloforge.design.responses import Polynomial, Response
from caloforge.design.space import Space
from caloforge.design.ways import Grid, Way
from caloforge.errors import DesignError
from caloforge.io import NewFile
from caloforge.report.drawing import FULL, INK, STYLE
from caloforge.units import GeV, format_energy

_LOOKS = {Way.GFLASH: ("#d1495b", "-"), Way.LOCAL: ("#2e78c7", "--"), Way.NETWORK: ("#2a9d5c", ":")}
_LINES = 120


def draw_design(designed: Designed, path: Path, *, overwrite: bool = False) -> None:
    r"""Draw :math:`\sigma / \mu \sqrt{E}` against the thickness: the grid of full showers with
    error bars, each way's curve and its optimum.

    Arguments:
        designed: What came out; its designs have one parameter.
        path: The PNG to write.
        overwrite: Whether it may take the place of a file.

    Raises:
        DesignError: There are more parameters than one.
    """
    if len(designed.best.space.parameters) != 1:
        msg = "figure of a design: it has several parameters, expected one"
        raise DesignError(msg)
    with mpl.rc_context({**STYLE, "figure.facecolor": "white"}):
        energies = designed.problem.energies
        figure = Figure(figsize=(3.6 * (len(energies) + 1), 3.4), layout="constrained")
        axes = figure.subplots(1, len(energies) + 1, squeeze=False)[0]
        for k, ax in enumerate(axes):
            _panel(ax, designed, k if k < len(energies) else None)
        axes[0].set_ylabel(r"$\sigma / \mu \cdot \sqrt{E / \mathrm{GeV}}$")
        axes[0].legend()
        with NewFile(path, overwrite=overwrite) as partial:
            figure.savefig(partial, format="png", dpi=150)


def _panel(ax: Axes, designed: Designed, energy: int | None) -> None:
    """One energy, or the objective."""
    problem, space = designed.problem, designed.best.space
    for grid in designed.grids:
        _points(ax, problem, grid, energy)
    for one in designed.optima:
        x = np.linspace(*_known(one.response, _range(designed)), _LINES)
        y = [_height(problem, one.space, one.response, each, energy) for each in x]
        colour, dash = _LOOKS[one.way]
        ax.plot(x, y, color=colour, linestyle=dash, label=one.way.value)
        if energy is None:
            at, error = float(one.values), float(one.errors)
            height = _height(problem, one.space, one.response, at, energy)
            ax.errorbar(at, height, xerr=error, color=colour, fmt="o", capsize=3)
    ax.set_xlabel(f"{next(iter(space.parameters))}, mm")
    title = "objective" if energy is None else format_energy(problem.energies[energy])
    ax.set_title(title)


def _points(ax: Axes, problem: Problem, grid: Grid, energy: int | None) -> None:
    x = [float(point) for point in grid.spent.points]
    if energy is None:
        best, error = float(grid.values), float(grid.errors)
        ax.axvspan(best - error, best + error, color=FULL, alpha=0.35, linewidth=0)
        heights = [_measured(problem, one.spread, one.error) for one in grid.spent.measured]
    else:
        root = (problem.energies[energy] / GeV) ** 0.5
        heights = [
            (one.spread[energy] * root, one.spread[energy] * one.error[energy] * root)
            for one in grid.spent.measured
        ]
    y, errors = zip(*heights, strict=True)
    ax.errorbar(x, y, yerr=errors, color=INK, fmt="s", markersize=3, label="full simulation")


def _measured(problem: Problem, spread: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """The mean width at a point of the grid, and its error."""
    each = spread * np.sqrt(np.array(problem.energies) / GeV)
    return float(each.mean()), float(np.sqrt(((each * error) ** 2).sum()) / len(each))


def _height(
    problem: Problem, space: Space, response: Response, value: float, energy: int | None
) -> float:
    values = torch.tensor([value], dtype=torch.float64)
    if energy is None:
        return float(problem.objective(space, response, values))
    root = (problem.energies[energy] / GeV) ** 0.5
    return math.exp(float(response(values)[0, energy])) * float(root)


def _known(response: Response, ends: tuple[float, float]) -> tuple[float, float]:
    """Where a response is known: a polynomial in its box alone."""
    if not isinstance(response, Polynomial):
        return ends
    low, high = (float(response.centre + side * response.scale) for side in (-1, 1))
    return max(low, ends[0]), min(high, ends[1])


def _range(designed: Designed) -> tuple[float, float]:
    """Where curves are drawn: over the grid, or over the whole range."""
    points = [float(point) for grid in designed.grids for point in grid.spent.points]
    space = designed.best.space
    return (min(points), max(points)) if points else (float(space.low), float(space.high))
