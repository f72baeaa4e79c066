"""What kind of model a card describes."""

__all__ = ["makes_from_particles"]

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caloforge.systems import Card


def makes_from_particles(card: "Card") -> bool:
    """Whether the model is a surrogate, and not a refiner."""
    from caloforge.systems import SYSTEMS, Surrogate

    system = SYSTEMS.get(card.system)
    return system is not None and issubclass(system.model, Surrogate)
