"""A surrogate is a learned simulator: it makes showers from particles, in two stages (see
`caloforge.models.stages`).
"""

__all__ = ["Surrogate", "SurrogateRecipe"]

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, cast

import torch
from pydantic import GetCoreSchemaHandler, NonNegativeInt
from pydantic_core import CoreSchema, core_schema
from torch import Tensor

from caloforge import streams
from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition
from caloforge.learn.noise import by_address
from caloforge.models.card import Card
from caloforge.models.model import Model, Plan
from caloforge.models.recipes import Recipe, recipe_of
from caloforge.models.registry import STAGES, SYSTEMS
from caloforge.models.stages import EnergyStage, ShapeStage, Stage, StageRecipe
from caloforge.models.training_data import FullShowers
from caloforge.particles import Particles
from caloforge.showers import Showers, spans
from caloforge.simulators.protocols import Progress, silent
from caloforge.streams import Stream

_FITTED = 100_000_000
"""Deposits from which representations are fitted, at most."""

_PADDING = 16
_AT_A_TIME = 256


@dataclass(frozen=True)
class _Registered:
    """Has pydantic check a recipe as that of the registered stage that it names.

    Arguments:
        kind: The kind of stage.
    """

    kind: type[Stage]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        del source
        stages = STAGES.of_kind(self.kind)
        choices = {name: handler.generate_schema(entry.recipe) for name, entry in stages.items()}
        return core_schema.tagged_union_schema(choices, discriminator="stage")


@dataclass(frozen=True)
class SurrogateRecipe(Recipe):
    """Settings of a `Surrogate`.

    Arguments:
        validation: Training showers held out to watch the loss.
        energy: The stage that makes the energies of the layers.
        shape: The stage that makes the shower in them.
        beam: In what the particles differ beside their energy.
    """

    validation: NonNegativeInt
    energy: Annotated[StageRecipe, _Registered(EnergyStage)]
    shape: Annotated[StageRecipe, _Registered(ShapeStage)]
    beam: Beam = ENERGY_ALONE


@SYSTEMS.register("surrogate", SurrogateRecipe)
class Surrogate(Model):
    """Makes showers of one calorimeter from particles of the kind that it was trained on.

    Arguments:
        card: What the model is.
    """

    learns_from = FullShowers

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        recipe = cast("SurrogateRecipe", recipe_of(card))
        stages = (
            part.build(self.calorimeter, recipe.beam) for part in (recipe.energy, recipe.shape)
        )
        self.energy, self.shape = cast("tuple[EnergyStage, ShapeStage]", tuple(stages))

    @classmethod
    def require_data(cls, recipe: SurrogateRecipe, data: FullShowers) -> None:
        """Check that the showers differ in what the recipe says, and in nothing else."""
        data.check(recipe.beam)

    @classmethod
    def plan(cls, recipe: SurrogateRecipe, card: Card, data: FullShowers) -> Plan:
        """Energies first, shape second."""
        model = cls.new(card, recipe.seed).to(data.full.energies.device)
        train, validation = data.split(recipe.validation, recipe.seed)
        objectives: list[training.Objective] = []
        some = train.full[: _FITTED // model.calorimeter.n_cells]
        for stage in (model.energy, model.shape):
            stage.prepare(some)
            objectives += stage.objectives(
                train.full, validation.full, recipe.seed, len(objectives)
            )
        networks = {"energy": model.energy, "shape": model.shape}
        finish = partial(model.shape.finish, train.full)
        return Plan(model, objectives, networks, checkpoint_every=200, finish=finish)

    def simulate(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
        strict: bool = False,
    ) -> Showers:
        """Make a shower of each particle; it depends on the particle, the seed and its index alone,
        whatever the batch.

        Arguments:
            particles: The particles, on the device of the model.
            seed: The seed of the run.
            first_index: The number of the first shower in the run.
            progress: Given the number of showers just finished.
            strict: Raise, instead of warn, for energies outside the model's range.

        Raises:
            EnergyRangeError: An energy is outside the range, and ``strict``.
            ModelError: A deposit is not finite.
            ShowerValueError: A particle is another than those of the training: of another species,
                at a larger angle, or farther off centre.
        """
        self.require(particles, first_index, strict=strict)
        parts = []
        for span in spans(len(particles), _AT_A_TIME):
            some = particles[span]
            parts.append(self._simulate_some(some, seed, first_index + span.start))
            progress(len(some))
        empty = particles.energies.new_zeros(0, self.calorimeter.n_cells, dtype=torch.float32)
        return Showers(torch.cat([empty, *parts]), particles, self.calorimeter)

    @torch.inference_mode()
    def _simulate_some(self, particles: Particles, seed: int, first_index: int) -> Tensor:
        """A few showers, padded: matrix kernels give the same bits a row for any multiple of 16
        rows.
        """
        rows = torch.arange(
            -(-len(particles) // _PADDING) * _PADDING, device=particles.energies.device
        )
        condition = Condition(particles[rows.clamp_max(len(particles) - 1)])
        index = rows + first_index
        noise = by_address(self.energy.noise(), streams.keys(seed, index, Stream.LAYER_ENERGIES))
        condition = condition.given(self.energy.sample(condition, noise))
        noise = by_address(self.shape.noise(), streams.keys(seed, index, Stream.SHAPE))
        deposits = self.shape.sample(condition, noise)[: len(particles)].clone()
        return self.finite(deposits, first_index)
