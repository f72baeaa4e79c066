"""A surrogate is a learned simulator: it makes showers from particles, in two stages (see
`caloforge.models.stages`).
"""

__all__ = ["Surrogate", "SurrogateRecipe"]

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, cast

import torch
from pydantic import GetCoreSchemaHandler, NonNegativeInt
from pydantic_core import CoreSchema, core_schema

from caloforge import streams
from caloforge.errors import ModelError
from caloforge.hits import AnyShowers, Hits, joined, part_of
from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition
from caloforge.learn.noise import by_address
from caloforge.models.card import Card
from caloforge.models.model import Model, Plan
from caloforge.models.recipes import Recipe, recipe_of
from caloforge.models.registry import STAGES, SYSTEMS
from caloforge.models.stages import EnergyStage, Held, ShapeStage, Stage, StageRecipe
from caloforge.models.training_data import FullShowers
from caloforge.observables import layer_energies
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
        if self.shape.asks_for_energies and not self.energy.gives_energies:
            msg = (
                f"energy.stage: '{recipe.energy.stage}' gives no energies of the layers, and the "
                f"shape '{recipe.shape.stage}' asks for them: take another"
            )
            raise ModelError(msg)

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
        held: dict[type[AnyShowers], tuple[Any, Any]] = {}
        for stage in (model.energy, model.shape):
            kind = stage.learns_from
            if kind not in held:
                held[kind] = train.held_as(kind), validation.held_as(kind)
            stage.prepare(_some(held[kind][0]))
            objectives += stage.objectives(*held[kind], recipe.seed, len(objectives))
        networks = {"energy": model.energy, "shape": model.shape}
        finish = partial(model.shape.finish, held[model.shape.learns_from][0])
        return Plan(model, objectives, networks, checkpoint_every=200, finish=finish)

    @property
    def makes_hits(self) -> bool:
        """Whether showers are made as `Hits`, by a shape of points."""
        return self.shape.learns_from is Hits

    def simulate(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
        strict: bool = False,
    ) -> AnyShowers:
        """Make a shower of each particle; it depends on the particle, the seed and its index alone,
        whatever the batch. A shape of points gives `Hits`, any other dense showers.

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
        for span in spans(len(particles), _AT_A_TIME) or [slice(0, 0)]:
            some = particles[span]
            parts.append(self._simulate_some(some, seed, first_index + span.start))
            progress(len(some))
        return replace(joined(parts), particles=particles)

    @torch.inference_mode()
    def _simulate_some(self, particles: Particles, seed: int, first_index: int) -> AnyShowers:
        """A few showers, padded: matrix kernels give the same bits a row for any multiple of 16
        rows.
        """
        if not len(particles):
            return self._no_showers(particles)
        rows = torch.arange(
            -(-len(particles) // _PADDING) * _PADDING, device=particles.energies.device
        )
        condition = Condition(particles[rows.clamp_max(len(particles) - 1)])
        index = rows + first_index
        noise = by_address(self.energy.noise(), streams.keys(seed, index, Stream.LAYER_ENERGIES))
        condition = self.energy.given(condition, noise)
        keys = streams.keys(seed, index, Stream.SHAPE)
        if condition.layers is not None:
            self.finite(condition.layers, first_index)
        showers = self.shape.showers(condition, keys, len(particles))
        sparse = isinstance(showers, Hits)
        self.finite(layer_energies(showers) if sparse else showers.deposits, first_index)
        return showers

    def _no_showers(self, particles: Particles) -> AnyShowers:
        none = particles.energies.new_zeros(0, self.calorimeter.n_cells, dtype=torch.float32)
        showers = Showers(none, particles, self.calorimeter)
        return Hits.of(showers) if self.makes_hits else showers


def _some(showers: Held) -> Held:
    """As many showers as representations are fitted from."""
    held = showers.n_hits // max(1, len(showers)) if isinstance(showers, Hits) else None
    cells = showers.calorimeter.n_cells if held is None else max(1, held)
    return part_of(showers, slice(_FITTED // cells))
