"""SQuIRELS: two diffusion Schroedinger bridges from fast to full simulation (Diefenbacher, Mikuni,
Nachman, arXiv:2308.12339).

SQuIRELS-E carries the response, SQuIRELS the shares of the cells, both standardised
(`caloforge.models.two_bridges`). The two are trained independently by iterative proportional
fitting (`caloforge.models.half_bridges`), and run one after the other.

Where the published code departs from the paper or from itself, this keeps to the method: the same
step numbers in training and in sampling, resolved by the sinusoids; averaged networks teach; the
same standardised conditions in training and in sampling; statistics of training showers alone;
chains drawn anew at each step of the optimiser instead of cached.
"""

__all__ = ["Squirels", "SquirelsRecipe"]

from dataclasses import dataclass

from caloforge.learn.networks import SquirelsEnergyNetwork, SquirelsShapeNetwork
from caloforge.models import SYSTEMS, Card
from caloforge.models.half_bridges import BothWays, one_layer_image
from caloforge.models.two_bridges import TwoBridges, TwoBridgesRecipe


@dataclass(frozen=True)
class SquirelsRecipe(TwoBridgesRecipe):
    """Settings of a `Squirels`; the networks have the published sizes."""


@SYSTEMS.register("squirels", SquirelsRecipe)
class Squirels(TwoBridges):
    """The bridges with their networks."""

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        image = one_layer_image(self.calorimeter)
        self.energy = BothWays(SquirelsEnergyNetwork())
        self.shape = BothWays(SquirelsShapeNetwork(image))
