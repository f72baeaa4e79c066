"""The energies of the layers and the numbers of their hits, all at once by a flow."""

__all__ = ["LayerNumbersRecipe", "LayerNumbersStage"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import Hits
from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition, LogEnergy
from caloforge.learn.networks import SquashedNetwork
from caloforge.learn.noise import Noise, Numbers, by_generator
from caloforge.learn.representations import LayerNumbers
from caloforge.models.flowing import Flowing, FlowSettings
from caloforge.models.recipes import Width
from caloforge.models.stages import ConditionBatches, EnergyStage, StageRecipe


@dataclass(frozen=True)
class LayerNumbersRecipe(StageRecipe):
    """Settings of a `LayerNumbersStage`.

    Arguments:
        scale: The scale f of the total energy: no shower deposits more than f times its incident
            energy.
        widths: The widths of the hidden layers of the network.
        flow: The flow.
    """

    scale: PositiveFloat
    widths: tuple[Width, ...]
    flow: FlowSettings


class LayerNumbersStage(Flowing, EnergyStage[Hits]):
    """Energies and numbers of hits (`LayerNumbers`) by flow matching.

    Arguments:
        calorimeter: Where the cells are.
        recipe: The settings.
        beam: In what the particles differ beside their energy.
    """

    learns_from = Hits

    def __init__(
        self, calorimeter: Calorimeter, recipe: LayerNumbersRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        super().__init__(calorimeter)
        self.layers = LayerNumbers(calorimeter, recipe.scale)
        network = SquashedNetwork(self.layers.width, recipe.widths, beam.width)
        self.take_flow(recipe.flow, network)
        self.log_energy = LogEnergy(beam)

    @property
    def point_shape(self) -> tuple[int, ...]:
        """The sum of the energies, and two numbers a layer."""
        return (self.layers.width,)

    def prepare(self, showers: Hits) -> None:
        """Take threshold, moments and range."""
        condition = Condition.to_fit(showers)
        self.layers.fit(_rows(condition), condition)
        self.log_energy.adapt(condition)

    def objectives(
        self, train: Hits, validation: Hits, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """That of the flow, then those of solver and student."""
        batches, held_out = (
            ConditionBatches(Condition.counted(hits), self.calorimeter, seed, first)
            for hits in (train, validation)
        )
        name, schedule = "layers", self.flow.schedule
        flow = schedule.objective(name, self.network, self.loss, batches, held_out)
        return [flow, *self.faster(self.log_energy(Condition.of(train)), seed, first + 1)]

    def loss(self, condition: Condition, random: torch.Generator) -> Float[Tensor, ""]:
        """The flow matching loss of counted hits."""
        noise = by_generator(self.layers.noise(), len(condition), random)
        seen = self.layers.encode(_rows(condition), condition, noise)
        return self.process.loss(self.network, seen, self.log_energy(condition), random)

    def noise(self) -> Mapping[str, Noise]:
        """The start of the flow."""
        return {"start": Noise("normal", self.point_shape)}

    def given(self, condition: Condition, noise: Numbers) -> Condition:
        """The condition with the energies of the layers and their numbers of hits."""
        seen = self.carried(noise["start"], self.log_energy(condition))
        energies, numbers = self.layers.decode(seen, condition).unbind(dim=1)
        return condition.given(energies, numbers.long())

    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "showers layers"]:
        """The energies alone."""
        return self.given(condition, noise).layer_energies


def _rows(condition: Condition) -> Float[Tensor, "showers 2 layers"]:
    return torch.stack([condition.layer_energies, condition.hit_numbers.double()], dim=1)
