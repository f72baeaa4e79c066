"""`caloforge models`: the models that come with the package."""

__all__ = ["models"]

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caloforge.bundled import MODELS
from caloforge.cli._console import say
from caloforge.cli._models import makes_from_particles
from caloforge.cli._options import given

if TYPE_CHECKING:
    from rich.table import Table

    from caloforge.models import Card


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Show the card of this model.", callback=given(MODELS.find)
        ),
    ] = None,
) -> None:
    """List the models that come with the package, or show the card of one.

    \b
    Examples:
      caloforge models
      caloforge models squirels-fast
    """
    from caloforge import zoo

    if name is None:
        say(_listing([zoo.card(known) for known in zoo.names()]))
        return
    card = zoo.card(name)
    say(_details(card))
    for label, values in (("recipe", card.recipe), ("metrics", card.metrics)):
        say("\n".join([f" {label}", *_lines(values, "   ")]))


def _listing(cards: "list[Card]") -> "Table":
    from rich.table import Table

    table = Table("model", "use it by", "calorimeter", "energies", "what it does", box=None)
    for card in cards:
        table.add_row(card.name, _command(card), _calorimeter(card), _range(card), card.summary)
    return table


def _details(card: "Card") -> "Table":
    from rich.table import Table

    table = Table(show_header=False, box=None)
    fields = (
        ("model", card.name),
        ("system", card.system),
        ("what it does", card.summary),
        ("energies", _range(card)),
    )
    origin = (
        ("trained on", card.data),
        *((("keeps", card.kept),) if card.kept else ()),
        ("licence", card.licence),
        ("made by", f"caloforge {card.version}"),
        ("sha256", card.sha256),
    )
    use = (("use it by", f"caloforge {_command(card)}"), ("calorimeter", _calorimeter(card)))
    for label, text in (*fields, *use, *origin):
        table.add_row(label, text)
    return table


def _calorimeter(card: "Card") -> str:
    return str(card.calorimeter.get("name", "(without a name)"))


def _command(card: "Card") -> str:
    return "generate" if makes_from_particles(card) else "refine"


def _lines(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Nested values as lines; the innermost group on one line."""
    for key, value in values.items():
        if not isinstance(value, Mapping):
            yield f"{indent}{key}: {_short(value)}"
        elif any(isinstance(part, Mapping) for part in value.values()):
            yield f"{indent}{key}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{key}: " + ", ".join(
                f"{name} {_short(part)}" for name, part in value.items() if part != ""
            )


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _range(card: "Card") -> str:
    from caloforge.units import format_energy

    return " to ".join(format_energy(energy) for energy in card.energy_range)
