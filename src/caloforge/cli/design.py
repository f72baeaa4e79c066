"""`caloforge design`: the best sampling calorimeter, by gradients."""

__all__ = ["design"]

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import say
from caloforge.cli._options import Overwrite, existing_argument
from caloforge.cli._progress import steps
from caloforge.paths import require_folder, require_writable

if TYPE_CHECKING:
    from rich.table import Table

    from caloforge.design import Designed, Optimum

_HEADINGS = ("way", "best design, mm", "objective", "above", "showers", "CPU", "own")


def design(
    plan: Annotated[Path, existing_argument("PLAN.yaml", "What is free, and what is to be least.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the results go.")],
    overwrite: Overwrite = False,
) -> None:
    """Find the best sampling calorimeter: thicknesses by gradients, materials and numbers of layers
    by choice.

    The gradient passes through GFlash, through polynomials fitted to full showers in a moving box,
    or through a network fitted to full showers all over the space. A grid of full showers checks
    the optimum. Showers are kept in FOLDER/showers: run the command again to go on after an
    interruption. Beside them appear design.json, the best detector as detector.yaml, and for one
    free thickness design.png.

    \b
    Examples:
      caloforge design plan.yaml best
      caloforge design plan.yaml best --overwrite
    """
    require_folder(folder)
    outputs = [folder / name for name in ("design.json", "detector.yaml", "design.png")]
    for output in outputs if folder.exists() else []:
        require_writable(output, overwrite=overwrite)
    from caloforge.design import DesignPlan
    from caloforge.design import design as carry_out
    from caloforge.design.design_figure import draw_design
    from caloforge.detector import write_detector
    from caloforge.io import NewFile

    read = DesignPlan.read(plan)
    with steps() as tell:
        designed = carry_out(read, folder, tell=tell)
    best = designed.best
    with NewFile(outputs[0], overwrite=overwrite) as partial:
        partial.write_text(json.dumps(designed.summary(), indent=1))
    detector = best.space.detector_at(best.values.tolist())
    write_detector(outputs[1], detector, overwrite=overwrite)
    if len(best.space.parameters) == 1:
        draw_design(designed, outputs[2], overwrite=overwrite)
    say(_table(designed))
    say(f"{outputs[1]}: the best of them, by {best.way.value}, {detector.depth:.1f} mm deep")


def _table(designed: "Designed") -> "Table":
    """A line a way, and one a grid."""
    from rich.table import Table

    table = Table(*_HEADINGS, box=None)
    table.columns[1].no_wrap = True
    for one in designed.optima:
        regret = designed.regret(one)
        table.add_row(
            one.way.value,
            _values(one),
            f"{one.objective:.4g}",
            "" if regret is None else f"{regret:.1%}",
            f"{one.spent.showers:,}",
            f"{one.spent.seconds:.0f} s",
            f"{one.seconds:.1f} s",
        )
    for grid in designed.grids:
        named = zip(grid.space.parameters, grid.values, grid.errors, strict=True)
        table.add_row(
            "grid",
            ", ".join(f"{name} {value:.2f} ± {error:.2f}" for name, value, error in named),
            f"{float(designed.problem.objective(grid.space, grid.response, grid.values)):.4g}",
            f"chi2 {grid.response.misfit:.0f}/{grid.response.freedom}",
            f"{grid.spent.showers:,}",
            f"{grid.spent.seconds:.0f} s",
        )
    return table


def _values(one: "Optimum") -> str:
    named = zip(one.space.parameters, one.values, one.errors, strict=True)
    words = [f"{name} {value:.2f} ± {error:.2f}" for name, value, error in named]
    return ", ".join([*(f"{name} {option}" for name, option in one.space.chosen.items()), *words])
