"""What kind of model a card describes."""

__all__ = ["makes_from_particles"]

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caloforge.models import Card


def makes_from_particles(card: "Card") -> bool:
    """Whether the model is a surrogate, and not a refiner."""
    from caloforge.models import SYSTEMS, Surrogate

    return card.system in SYSTEMS and issubclass(SYSTEMS[card.system].kind, Surrogate)
