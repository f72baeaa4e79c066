"""How far the work is, on standard error: a bar where a person watches; elsewhere, as in the log of
a batch system, a line a minute.
"""

__all__ = ["bar", "objectives", "steps"]

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from caloforge.cli._console import tell
from caloforge.errors import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from caloforge.learn.training import Report

EVERY = 60.0
"""Seconds between the lines of a log."""


class _Log:
    """Says at most so much that it can be read: a line, then another after `EVERY` seconds."""

    def __init__(self, *, quiet: bool = False, at_once: bool = False) -> None:
        self._quiet, self._due = quiet, time.monotonic() + (0.0 if at_once else EVERY)

    def say(self, words: Callable[[], str], *, now: bool = False) -> None:
        """Say a line, if it is time for one, or now."""
        if not self._quiet and (now or time.monotonic() >= self._due):
            tell(words())
            self._due = time.monotonic() + EVERY


def _watched() -> bool:
    """Whether a person watches."""
    return sys.stderr.isatty()


def _progress(*columns: str) -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    before, unit = map(TextColumn, columns)
    parts = (before, BarColumn(), MofNCompleteColumn(), unit, TimeRemainingColumn())
    return Progress(*parts, console=Console(stderr=True, highlight=False))


@contextmanager
def bar(title: str, total: int, unit: str = "showers") -> Iterator[Callable[[float], None]]:
    """How much of a known number is done; gives the function that advances it."""
    if not _watched():
        yield _logged(title, total, unit)
        return
    with _progress("{task.description}", unit) as progress:
        progress.live.transient = True
        yield partial(progress.advance, progress.add_task(title, total=total))


def _logged(title: str, total: int, unit: str) -> Callable[[float], None]:
    log, begun, done = _Log(), time.monotonic(), 0.0

    def advance(number: float) -> None:
        nonlocal done
        done += number
        rate = done / max(time.monotonic() - begun, 1e-9)
        log.say(lambda: f"{title}: {done:,.0f} of {total:,} {unit}{_left(total - done, rate)}")

    return advance


def _left(number: float, rate: float) -> str:
    """How long the rest takes at that rate."""
    seconds = number / max(rate, 1e-9)
    for unit, size in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= 2 * size or unit == "s":
            return f", {rate:.3g}/s, {seconds / size:.0f} {unit} left"
    return ""


@contextmanager
def objectives(*, quiet: bool = False) -> "Iterator[Callable[[Report], None]]":
    """How far a training is: a bar an objective, or lines; or nothing."""
    if quiet or not _watched():
        yield _lines_of_training(quiet=quiet)
        return
    with _progress("{task.description}", "steps") as progress:
        tasks: dict[str, TaskID] = {}

        def see(report: "Report") -> None:
            name = report.objective
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=report.steps)
            now = f"{name}, {_losses(report)}, {report.rate:.3g} steps/s"
            progress.update(tasks[name], completed=report.step, description=now)

        yield see


def _lines_of_training(*, quiet: bool) -> "Callable[[Report], None]":
    logs: dict[str, _Log] = {}

    def see(report: "Report") -> None:
        name, rest = report.objective, report.steps - report.step
        log = logs.setdefault(name, _Log(quiet=quiet, at_once=True))
        line = f"{name}: {report.step:,} of {report.steps:,} steps, {_losses(report)}"
        log.say(lambda: line + _left(rest, report.rate), now=rest == 0)

    return see


def _losses(report: "Report") -> str:
    losses = (f"{player} {value:.4g}".strip() for player, value in report.losses.items())
    return f"loss {', '.join(losses)}"


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """What is being done, in words; gives the function to which they are said."""
    if not _watched():
        log = _Log()
        yield lambda words: log.say(lambda: words)
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True, highlight=False).status("starting") as status:
        yield lambda words: status.update(Text(printable(words)))
