"""A bridge by flow matching between Gaussianised showers of two simulators.

Partners in training are showers whose incident energies are neighbours: the two simulations know
nothing else of each other. Where species, direction or place differ, they are showers of the same
particle.
"""

__all__ = ["EnergyPartners", "GaussianBridge", "GaussianBridgeRecipe", "Side"]

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, Literal, NamedTuple, cast

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor, nn

from caloforge import streams
from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition, IncidentFeatures
from caloforge.learn.noise import Noise, Numbers, by_address
from caloforge.learn.processes import SOLVERS, FlowBridge, Steps, Trigonometric
from caloforge.learn.representations import BySpecies, Gaussianised, Representation
from caloforge.models.bridge import Bridge
from caloforge.models.card import Card
from caloforge.models.model import Plan
from caloforge.models.recipes import Batch, Count, Decay, Evaluations, Recipe, recipe_of
from caloforge.models.training_data import TrainingShowers
from caloforge.showers import Showers
from caloforge.streams import Stream

_VALIDATION_BATCHES = 8

_TRAINING_STREAMS = Stream.FAST_EMPTY_CELLS, Stream.FULL_EMPTY_CELLS
"""The streams of what stands for empty cells in training, fast and full."""


@dataclass(frozen=True)
class GaussianBridgeRecipe(Recipe):
    """Settings of a `GaussianBridge`.

    Arguments:
        validation: Training showers held out to watch the loss.
        neighbours: Partners differ by at most so many ranks in incident energy.
        batch_size: Pairs a step.
        steps: Steps of the optimiser.
        learning_rate: Its peak learning rate.
        weight_decay: Its decoupled weight decay.
        average: Decay of the moving average of the weights.
        refresh: Steps between new random numbers for empty cells.
        solver: The method that integrates the flow.
        solver_steps: How many steps it takes, unless asked otherwise.
        beam: In what the particles differ beside their energy.
    """

    validation: NonNegativeInt
    neighbours: Count
    batch_size: Batch
    steps: Count
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    average: Decay
    refresh: Count
    solver: Literal["euler", "midpoint", "heun", "rk4"]
    solver_steps: Evaluations
    beam: Beam = field(default=ENERGY_ALONE, kw_only=True)


class GaussianBridge(Bridge):
    """Carries `Gaussianised` showers along the trigonometric path; a subclass makes the network.

    Arguments:
        card: What the model is.
    """

    network: nn.Module
    streams: ClassVar[Mapping[str, int]] = {"empty": Stream.EMPTY_CELLS}

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        recipe = cast("GaussianBridgeRecipe", recipe_of(card))
        self.default_steps, self.solver = recipe.solver_steps, SOLVERS[recipe.solver]
        self.process = FlowBridge(Trigonometric())
        self.fast, self.full = (self._represented(recipe.beam) for _ in range(2))
        self.known = None if recipe.beam == ENERGY_ALONE else IncidentFeatures(recipe.beam)

    def _represented(self, beam: Beam) -> Representation[Tensor]:
        new = partial(Gaussianised, self.calorimeter)
        return BySpecies(beam.species, new) if beam.n_species else new()

    def condition(self, condition: Condition) -> Float[Tensor, "showers ..."]:
        """What the network is told: the scaled log energy, and all else that differs."""
        if self.known is not None:
            known: Tensor = self.known(condition)
            return known
        return cast("Gaussianised", self.full).scaled_energy(condition)

    @classmethod
    def require_data(cls, recipe: GaussianBridgeRecipe, data: TrainingShowers) -> None:
        """Check that the showers differ in what the recipe says, and in nothing else."""
        data.check(recipe.beam)

    @classmethod
    def plan(cls, recipe: GaussianBridgeRecipe, card: Card, data: TrainingShowers) -> Plan:
        """One objective."""
        model = cls.new(card, recipe.seed).to(data.full.energies.device)
        train, held_out = data.split(recipe.validation, recipe.seed)
        model.fast.fit(train.fast.deposits, Condition(train.fast.particles))
        model.full.fit(train.full.deposits, Condition(train.full.particles))
        if model.known is not None:
            model.known.adapt(Condition(train.full.particles))
        batches, validation = (
            model._partners(recipe, side) for side in (train.by_energy(), held_out.by_energy())
        )
        objective = training.minimise(
            "bridge",
            model.network,
            batches,
            steps=recipe.steps,
            adam=training.Adam(recipe.learning_rate, recipe.weight_decay),
            schedule=training.WarmCosine(),
            average=recipe.average,
            validation=validation.mean,
        )
        return Plan(model, [objective], {"network": model.network})

    def _partners(self, recipe: GaussianBridgeRecipe, data: TrainingShowers) -> "EnergyPartners":
        sides = Side(self.fast, data.fast), Side(self.full, data.full)
        condition = self.condition(Condition(data.full.particles))
        return EnergyPartners(self.process, self.network, sides, condition, recipe)

    def noise(self) -> Mapping[str, Noise]:
        """What stands for empty cells."""
        return self.full.noise()

    def transport(
        self, showers: Showers, noise: Numbers, *, steps: int, reverse: bool
    ) -> Float[Tensor, "showers cells"]:
        """By the flow."""
        source, target = (self.full, self.fast) if reverse else (self.fast, self.full)
        condition = Condition(showers.particles)
        start = source.encode(showers.deposits, condition, noise)
        process = replace(self.process, sampler=Steps(self.solver, steps, reverse=reverse))
        end = process.sample(self.network, start, self.condition(condition))
        return target.decode(end, condition)


class Side(NamedTuple):
    """Showers of one simulator, in the order of their incident energy."""

    representation: Representation[Tensor]
    showers: Showers


class EnergyPartners:
    """The loss of a training step, a function of its number alone.

    Arguments:
        process: The flow.
        network: Its network.
        sides: Fast showers, and full ones.
        condition: What the network is told of the full ones.
        recipe: The settings.
    """

    def __init__(
        self,
        process: FlowBridge,
        network: nn.Module,
        sides: tuple[Side, Side],
        condition: Tensor,
        recipe: GaussianBridgeRecipe,
    ) -> None:
        self.process, self.network, self.sides, self.recipe = process, network, sides, recipe
        self.condition, self._block = condition, -1

    def _ends(self, step: int) -> tuple[Tensor, Tensor]:
        """All showers as the flow sees them, with random numbers that a few steps share."""
        block = step // self.recipe.refresh
        if block != self._block:
            self._block = block
            fast, full = (self._end(side, block) for side in range(2))
            self._cached = fast, full
        return self._cached

    def _end(self, number: int, block: int) -> Float[Tensor, "showers dim"]:
        representation, showers = self.sides[number]
        index = torch.arange(len(showers), device=showers.energies.device) + (block << 32)
        noise = by_address(
            representation.noise(), streams.keys(self.recipe.seed, index, _TRAINING_STREAMS[number])
        )
        return representation.encode(showers.deposits, Condition(showers.particles), noise)

    def _partners(self, chosen: Tensor, random: torch.Generator) -> Tensor:
        if self.recipe.beam != ENERGY_ALONE:
            return chosen
        reach, fast, full = self.recipe.neighbours, *(len(side.showers) for side in self.sides)
        rank = chosen * fast // full
        away = torch.randint(-reach, reach + 1, rank.shape, generator=random, device=rank.device)
        return (rank + away).clamp(0, fast - 1)

    def __call__(self, step: int) -> Float[Tensor, ""]:
        """The loss of a step."""
        fast, full = self._ends(step)
        random = training.generator(self.recipe.seed, 0, step, full.device)
        size = (self.recipe.batch_size,)
        chosen = torch.randint(len(full), size, generator=random, device=full.device)
        ends = (fast[self._partners(chosen, random)], full[chosen])
        return self.process.loss(self.network, ends, self.condition[chosen], random)

    @torch.no_grad()
    def mean(self) -> float:
        """The loss over a few fixed batches of these showers."""
        return sum(self(step).item() for step in range(_VALIDATION_BATCHES)) / _VALIDATION_BATCHES
