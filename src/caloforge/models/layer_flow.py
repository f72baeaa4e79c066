"""The energies of the layers, one after another, each by a flow given those before it."""

__all__ = ["LayerFlowRecipe", "LayerFlowStage"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import Beam, Condition, LogEnergy
from caloforge.learn.networks import Transfusion
from caloforge.learn.noise import Noise, Numbers
from caloforge.learn.processes import PATHS, SOLVERS, AutoregressiveFlow
from caloforge.learn.representations import LayerRatios
from caloforge.models.flowing import PathName, Solver
from caloforge.models.recipes import Evaluations
from caloforge.models.stages import Batches, EnergyStage, Schedule, StageRecipe
from caloforge.showers import Showers


@dataclass(frozen=True)
class LayerFlowRecipe(StageRecipe):
    """Settings of a `LayerFlowStage`.

    Arguments:
        scale: The scale f of the total energy: no shower deposits more than f times its incident
            energy.
        path: The path of the flow.
        solver: The method that integrates the flow.
        solver_steps: Its steps.
        schedule: The training.
    """

    scale: PositiveFloat
    path: PathName
    solver: Solver
    solver_steps: Evaluations
    schedule: Schedule


class LayerFlowStage(EnergyStage):
    """The ratios of the energies of the layers (`LayerRatios`), one after another
    (`AutoregressiveFlow`); less than any layer of a training shower held counts as none.

    Arguments:
        calorimeter: Where the cells are.
        recipe: The settings.
        network: The network, of as many numbers as layers.
        beam: In what the particles differ beside their energy.
    """

    least: Tensor

    def __init__(
        self, calorimeter: Calorimeter, recipe: LayerFlowRecipe, network: Transfusion, beam: Beam
    ) -> None:
        super().__init__(calorimeter)
        self.schedule, self.process = (
            recipe.schedule,
            AutoregressiveFlow(PATHS[recipe.path], SOLVERS[recipe.solver], recipe.solver_steps),
        )
        self.ratios = LayerRatios(calorimeter.n_layers, recipe.scale)
        self.log_energy = LogEnergy(beam)
        self.register_buffer("least", torch.zeros((), dtype=torch.float64))
        self.network = network

    def prepare(self, showers: Showers) -> None:
        """Take moments, range and the least energy of a layer."""
        condition = Condition.of(showers)
        energies = condition.layer_energies
        self.least.copy_(energies[energies > 0].min())
        self.ratios.fit(energies, condition)
        self.log_energy.adapt(condition)

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """One objective."""
        batches, held_out = Batches(train, seed, first), Batches(validation, seed, first)
        return [
            self.schedule.objective("layer energies", self.network, self.loss, batches, held_out)
        ]

    def loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The flow matching loss of all layers."""
        condition = Condition.of(showers)
        ratios = self.ratios.encode(condition.layer_energies, condition)
        return self.process.loss(self.network, ratios, self.log_energy(condition), random)

    def noise(self) -> Mapping[str, Noise]:
        """The starts of the flows."""
        return {"start": Noise("normal", (self.calorimeter.n_layers,))}

    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "showers layers"]:
        """Layer by layer."""
        ratios = self.process.sample(self.network, noise["start"], self.log_energy(condition))
        energies = self.ratios.decode(ratios, condition)
        return torch.where(energies >= self.least, energies, 0.0)
