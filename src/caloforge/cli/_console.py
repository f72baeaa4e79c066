"""What the commands share in speaking to the user: tables on standard output; progress, warnings
and errors on standard error.
"""

__all__ = [
    "bar",
    "fail",
    "objectives",
    "say",
    "steps",
    "tell",
    "warnings_as_lines",
]

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from caloforge.errors import EnergyRangeWarning, RepresentationWarning

if TYPE_CHECKING:
    from caloforge.learn.training import Report

WARNINGS_OF_A_KIND = 3
"""After so many warnings of one kind, the others are counted only."""


def _line(kind: str, message: object) -> None:
    typer.echo(f"caloforge: {kind}: {' '.join(str(message).split())}", err=True)


def fail(message: object) -> NoReturn:
    """Say what went wrong, in one line, and end with exit code 2."""
    _line("error", message)
    raise SystemExit(2)


def tell(message: object) -> None:
    """Say something beside the results, in one line on standard error."""
    _line("note", message)


def say(thing: RenderableType) -> None:
    """Print to standard output: words, a table, a drawing; lines are broken for a terminal only."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(thing, soft_wrap=isinstance(thing, str | Text) and not console.is_terminal)


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Within, each warning is one line on standard error, and a flood of one kind is cut short and
    counted.
    """
    seen: Counter[str] = Counter()

    def show(
        message: Warning | str, category: type[Warning], *where: object, **how: object
    ) -> None:
        del where, how
        seen[category.__name__] += 1
        if seen[category.__name__] <= WARNINGS_OF_A_KIND:
            _line("warning", message)

    with warnings.catch_warnings():
        for category in (EnergyRangeWarning, RepresentationWarning):
            warnings.simplefilter("always", category)
        warnings.showwarning = show
        try:
            yield
        finally:
            for kind, count in seen.items():
                if count > WARNINGS_OF_A_KIND:
                    _line("warning", f"{count - WARNINGS_OF_A_KIND} more of this kind ({kind})")


@contextmanager
def bar(title: str, total: int, unit: str = "showers") -> Iterator[Callable[[float], None]]:
    """A progress bar on standard error, where a person watches; gives the function that advances
    it.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        yield partial(progress.advance, progress.add_task(title, total=total))


@contextmanager
def objectives(*, quiet: bool = False) -> "Iterator[Callable[[Report], None]]":
    """The progress of a training on standard error: a bar an objective where a person watches, else
    a line a report; or nothing.
    """
    console = Console(stderr=True, highlight=False, quiet=quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(report: "Report") -> None:
            name, losses = report.objective, [f"{k} {v:.4g}" for k, v in report.losses.items()]
            now = f"loss {', '.join(losses).strip()}, {report.rate:.3g} steps/s"
            if not console.is_terminal:
                console.print(f"{name}: {report.step} of {report.steps} steps, {now}")
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=report.steps)
            progress.update(tasks[name], completed=report.step, description=f"{name}, {now}")

        yield tell


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """What is being done, in words on standard error, where a person watches; gives the function
    that is said.
    """
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("starting") as status:
        yield status.update
