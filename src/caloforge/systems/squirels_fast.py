"""SQuIRELS-fast: a simulation-free bridge between fast and full simulation, in a few steps.

The parts: `Gaussianised` numbers on each side with statistics of its own, a `FlowBridge` along the
trigonometric path, and a `DihedralNetwork` conditioned on the incident energy. What the network
carries is then only the difference between two distributions that are both nearly standard normal,
so that three Heun steps are enough, and the refined shower stays close to the fast one that it came
from.
"""

__all__ = ["SquirelsFast", "SquirelsFastRecipe"]

from dataclasses import dataclass
from typing import cast

from caloforge.errors import GeometryError
from caloforge.geometry import Calorimeter
from caloforge.learn.networks import DihedralNetwork
from caloforge.models import SYSTEMS, Card, recipe_of
from caloforge.models.gaussian_bridge import GaussianBridge, GaussianBridgeRecipe
from caloforge.models.recipes import Depth, Width


@dataclass(frozen=True)
class SquirelsFastRecipe(GaussianBridgeRecipe):
    """Settings of a `SquirelsFast`, with those of `GaussianBridgeRecipe`.

    Arguments:
        channels: Channels of the network's fields.
        blocks: Its residual blocks.
        condition: Width of its embedding of time and energy.
    """

    channels: Width
    blocks: Depth
    condition: Width


@SYSTEMS.register("squirels-fast", SquirelsFastRecipe)
class SquirelsFast(GaussianBridge):
    """The bridge with its network."""

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        self.network = _network(self.calorimeter, cast("SquirelsFastRecipe", recipe_of(card)))


def _network(calorimeter: Calorimeter, recipe: SquirelsFastRecipe) -> DihedralNetwork:
    symmetries = calorimeter.symmetries
    if len(symmetries) != 8:
        msg = (
            f"calorimeter '{calorimeter.name}' has {len(symmetries)} symmetries, expected the 8 "
            "of a square grid of square cells"
        )
        raise GeometryError(msg)
    return DihedralNetwork(
        symmetries,
        calorimeter.symmetry_matrices,
        scalars=2,
        channels=recipe.channels,
        blocks=recipe.blocks,
        condition=recipe.condition,
        invariants=recipe.beam.width - 1 - 2 * recipe.beam.vectors,
        vectors=recipe.beam.vectors,
    )
