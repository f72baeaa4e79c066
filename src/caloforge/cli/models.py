"""`caloforge models`: the models that come with the package."""

__all__ = ["models"]

from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import say

if TYPE_CHECKING:
    from rich.table import Table

    from caloforge.systems import Card


def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show the card of this model.")] = None,
) -> None:
    """List the models that come with the package, or show the card of one.

    \b
    Examples:
      caloforge models
      caloforge models squirels-fast
    """
    from caloforge import zoo

    say(_listing([zoo.card(known) for known in zoo.names()]) if name is None else _details(zoo.card(name)))


def _listing(cards: "list[Card]") -> "Table":
    from rich.table import Table

    table = Table("model", "calorimeter", "energies", "what it does", box=None)
    for card in cards:
        table.add_row(card.name, card.calorimeter["name"], _range(card), card.summary)
    return table


def _details(card: "Card") -> "Table":
    from rich.table import Table

    table = Table(show_header=False, box=None)
    fields = (("model", card.name), ("system", card.system), ("what it does", card.summary), ("energies", _range(card)))
    origin = (
        ("trained on", card.data),
        ("licence", card.licence),
        ("made by", f"caloforge {card.version}"),
        ("sha256", card.sha256),
    )
    for label, text in (*fields, ("calorimeter", card.calorimeter["name"]), *origin):
        table.add_row(label, text)
    for label, values in (("recipe", card.recipe), ("metrics", card.metrics)):
        table.add_row(label, "\n".join(f"{key}: {value}" for key, value in values.items()) or "none")
    return table


def _range(card: "Card") -> str:
    from caloforge.units import format_energy

    return " to ".join(format_energy(energy) for energy in card.energy_range)
