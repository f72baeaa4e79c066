"""What the commands share in speaking to the user: tables on standard output; warnings and errors
on standard error.
"""

__all__ = [
    "fail",
    "say",
    "tell",
    "warnings_as_lines",
]

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from caloforge.errors import EnergyRangeWarning, RepresentationWarning, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

WARNINGS_OF_A_KIND = 3
"""After so many warnings of one kind, the others are counted only."""


def _line(kind: str, message: object) -> None:
    typer.echo(f"caloforge: {kind}: {printable(' '.join(str(message).split()))}", err=True)


def fail(message: object) -> NoReturn:
    """Say what went wrong, in one line, and end with exit code 2."""
    _line("error", message)
    raise SystemExit(2)


def tell(message: object) -> None:
    """Say something beside the results, in one line on standard error."""
    _line("note", message)


def say(thing: "RenderableType") -> None:
    """Print to standard output: words, a table, a drawing; lines are broken for a terminal only."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    flows = isinstance(thing, str | Text) and not console.is_terminal
    console.print(_Inert(thing), soft_wrap=flows)


class _Inert:
    """What is shown, without characters that steer a terminal, such as those of a file's name.

    Arguments:
        thing: What is shown.
    """

    def __init__(self, thing: "RenderableType") -> None:
        self._thing = thing

    def __rich_console__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "Iterator[Segment]":
        from rich.segment import Segment

        thing = console.render_str(self._thing) if isinstance(self._thing, str) else self._thing
        for text, style, control in console.render(thing, options):
            lines = (text if control else printable(line) for line in text.split("\n"))
            yield Segment("\n".join(lines), style, control)


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
