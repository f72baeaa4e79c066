"""The commands of the command line, in the order in which one uses them."""

__all__ = ["app", "run"]

from collections.abc import Callable, Sequence
from inspect import getdoc
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from caloforge import __version__
from caloforge.cli._console import fail, warnings_as_lines
from caloforge.cli.bench import bench
from caloforge.cli.convert import convert
from caloforge.cli.data import data
from caloforge.cli.demo import demo
from caloforge.cli.evaluate import evaluate
from caloforge.cli.generate import generate
from caloforge.cli.models import models
from caloforge.cli.refine import refine
from caloforge.cli.show import show
from caloforge.cli.simulate import simulate
from caloforge.cli.train import train
from caloforge.cli.tune import tune
from caloforge.errors import CaloforgeError


class _Ordered(TyperGroup):
    """The commands in the order in which one uses them."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return [
            "demo",
            "simulate",
            "tune",
            "generate",
            "refine",
            "evaluate",
            "bench",
            "train",
            "show",
            "convert",
            "models",
            "data",
        ]


app = typer.Typer(
    cls=_Ordered,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(simulate, name="simulate")
app.add_typer(tune, name="tune")
app.add_typer(data, name="data")
for command in (train, generate, refine, evaluate, bench, show, convert, models, demo):
    app.command()(command)


def _flow(group: typer.Typer) -> None:
    """Let the paragraphs of help texts flow: the terminal breaks their lines, not the source."""
    for command in group.registered_commands:
        command.help = _flowing(command.callback)
    for member in group.registered_groups:
        if member.typer_instance is not None:
            _flow(member.typer_instance)
    if group.registered_callback is not None:
        group.registered_callback.help = _flowing(group.registered_callback.callback)


def _flowing(command: Callable[..., Any] | None) -> str:
    """The text of a docstring, each paragraph in one line but for those that begin with a \\b."""
    paragraphs = (getdoc(command) or "").split("\n\n")
    return "\n\n".join(p if "\b" in p else " ".join(p.split()) for p in paragraphs)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"caloforge {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Fast calorimeter showers: simulate or generate them, refine them, and prove them right.

    Begin with [bold]caloforge demo[/bold]; each command explains itself with examples:
    [bold]caloforge refine --help[/bold].
    """
    del version


_flow(app)


def run(arguments: Sequence[str] | None) -> None:
    """Run a command; what was given wrong is one line.

    Arguments:
        arguments: The words after ``caloforge``; those of the process if None.

    Raises:
        SystemExit: Always, with the exit code.
    """
    with warnings_as_lines():
        try:
            app(arguments, prog_name="caloforge")
        except (CaloforgeError, OSError) as error:
            fail(error)
