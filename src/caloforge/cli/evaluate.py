"""`caloforge evaluate`: how far samples of showers are apart."""

__all__ = ["evaluate", "full_times", "tell"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from caloforge.cli._console import say, steps
from caloforge.cli._options import (
    BatchSize,
    CalorimeterOption,
    OptionError,
    Overwrite,
    Threads,
    grouped,
    read_calorimeter,
    use_threads,
)

if TYPE_CHECKING:
    from caloforge.report import Evaluation, Settings
    from caloforge.showers import ShowerSource

STYLES = {"FLOOR": "green", "CLOSE": "yellow", "APART": "red"}
"""The colour of a row by the level of its distance, see `caloforge.report.tables.Level`."""


@dataclass(frozen=True)
class Care:
    """How carefully to judge."""

    seed: Annotated[int, typer.Option("--seed", metavar="S", help="The same seed gives the same numbers.")] = 0
    classifier: Annotated[bool, typer.Option("--classifier/--no-classifier", help="Train a classifier on each candidate.")] = True
    batch_size: BatchSize = 1000

    def settings(self) -> "Settings":
        """The same for the report."""
        from caloforge.report import Settings

        chosen = Settings(seed=self.seed, batch_size=self.batch_size)
        return chosen if self.classifier else Settings(seed=self.seed, batch_size=self.batch_size, trainings=0)


@grouped
def evaluate(
    full: Annotated[Path, typer.Argument(metavar="FULL.h5", help="Showers of the full simulation.")],
    candidates: Annotated[list[Path], typer.Argument(metavar="CANDIDATE.h5...", help="Showers to judge, the baseline first.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the page, the figures and the numbers.")],
    care: Care,
    labels: Annotated[str | None, typer.Option(metavar="A,B,...", help="A name for each file, not the file's own.")] = None,
    calorimeter: CalorimeterOption = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Say how far samples are from the full simulation, with uncertainties and with the floor, the full simulation's own.

    Prints the table, and writes a page with table, figures, times, machine and versions, and the numbers in metrics.json.

    \b
    Examples:
      caloforge evaluate geant4.h5 fast.h5 refined.h5 --out report
      caloforge evaluate g4.h5 fast.h5 sq.h5 --out report --labels Geant4,GFlash,SQ
      caloforge evaluate geant4.h5 fast.h5 --out quick --no-classifier
    """
    from caloforge import io, report

    use_threads(threads)
    report.require_free(out, overwrite=overwrite)
    paths = [full, *candidates]
    names = _names(paths, labels)
    where = read_calorimeter(calorimeter)
    files = {name: io.open_showers(path, where) for name, path in zip(names, paths, strict=True)}
    reference = files.pop(names[0])
    known = full_times(names[0], reference)
    with steps() as progress:
        evaluation = report.evaluate(
            reference, files, full_name=names[0], times=known, settings=care.settings(), progress=progress
        )
        page = report.write(evaluation, out, overwrite=overwrite)
    tell(evaluation)
    say(f"\n{page}: the whole report, with figures")


def tell(evaluation: "Evaluation") -> None:
    """Print the table, what it says, and what must be known before believing it."""
    from caloforge.report import remarks, title, verdict

    say(Text(f"{title(evaluation)}: distances to {evaluation.full.name}", style="bold"))
    for line in _table(evaluation):
        say(line)
    for candidate in evaluation.candidates:
        say(Text(f"\n{candidate.name}: {verdict(evaluation, candidate)}"))
    for remark in remarks(evaluation):
        say(Text(f"\nNote: {remark}"))


def _table(evaluation: "Evaluation") -> Iterator[Text]:
    """The rows of each observable under its name, in columns, coloured by how they stand to the floor."""
    from caloforge.report import COLUMNS
    from caloforge.report.tables import rows

    table = rows(evaluation)
    widths = [max(map(len, column)) + 2 for column in zip(COLUMNS, *(row.cells for row in table), strict=True)][1:]
    yield Text(_columns(COLUMNS[1:], widths), style="dim")
    for observable, group in groupby(table, key=lambda row: row.observable):
        yield Text(observable)
        yield from (Text(_columns(row.cells[1:], widths), style=STYLES[row.level.name]) for row in group)


def _columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = cells
    return f"  {first:<{widths[0]}}" + "".join(f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))


def _names(paths: list[Path], labels: str | None) -> list[str]:
    names = [path.stem for path in paths] if labels is None else [label.strip() for label in labels.split(",")]
    if len(names) != len(paths):
        msg = f"--labels '{labels}': {len(names)} names for {len(paths)} files, expected one for each, the full simulation first"
        raise OptionError(msg)
    if len(set(names)) < len(names) or not all(names):
        msg = f"the samples' names are {', '.join(names)}, expected different ones: give them with --labels A,B,..."
        raise OptionError(msg)
    return names


def full_times(name: str, file: "ShowerSource") -> dict[str, float]:
    """The mean time of a shower, in ms, under that name, if the file knows."""
    from caloforge.io import CaloChallengeFile

    if not isinstance(file, CaloChallengeFile) or "cpu_time_ms" not in file.columns:
        return {}
    return {name: float(file.column("cpu_time_ms").double().mean())}
