"""The commands of the command line, in the order in which one uses them. Each is imported when it
is called.
"""

__all__ = ["app", "run"]

import re
from collections import UserDict
from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import getdoc
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from caloforge.cli._console import fail, warnings_as_lines
from caloforge.errors import CaloforgeError

_CUDA = "CUDA out of memory"
_LESS = "take smaller batches or networks, fewer showers, or a larger machine"
_COMMANDS = (
    *("demo", "simulate", "tune", "generate", "refine", "produce", "evaluate", "compare"),
    *("bench", "train", "show", "convert", "unweight", "reconstruct", "design", "export"),
    *("models", "data"),
)


class _Imported(UserDict[str, Any]):
    """The commands by name, in order; the module of one is imported when one asks for it."""

    def __getitem__(self, name: str) -> Any:
        if name in self.data and self.data[name] is None:
            self.data[name] = _command(name)
        return super().__getitem__(name)


def _command(name: str) -> Any:
    found = getattr(import_module(f"caloforge.cli.{name}"), name)
    parent = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)
    parent.callback()(about)
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name)
    else:
        parent.command(name)(found)
    _flow(parent)
    return get_group(parent).commands[name]


class _Lazy(TyperGroup):
    """The commands, none of which is imported before it is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Imported(dict.fromkeys(_COMMANDS))

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(_COMMANDS)


app = typer.Typer(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


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
        from caloforge import __version__

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
        except CaloforgeError as error:
            fail(error)
        except OSError as error:
            fail(f"{error.filename}: {error.strerror}" if error.filename else error)
        except (MemoryError, RuntimeError) as error:
            if not _lacks_memory(error):
                raise
            fail(f"not enough memory{_wanted(error)}: {_LESS}")


def _lacks_memory(error: Exception) -> bool:
    words = str(error)
    return isinstance(error, MemoryError) or "DefaultCPUAllocator" in words or _CUDA in words


def _wanted(error: Exception) -> str:
    """How much was asked for, where the error says it."""
    found = re.search(r"allocate ([\d.]+) ?(bytes|[KMGTPE]iB)", str(error))
    if found is None:
        return ""
    size = float(found[1]) * 1024 ** (" KMGTPE".index(found[2][0]) if "i" in found[2] else 0)
    return f" for {size / 1e9:.3g} GB at once"
