r"""SQuIRELS-fast: a simulation-free bridge between fast and full simulation, in a few steps.

The parts: `Gaussianised` numbers on each side with statistics of its own, a `FlowBridge` along the
trigonometric path, and a `DihedralNetwork` conditioned on the incident energy. Partners in training
are showers whose incident energies are neighbours: the two simulations know nothing else of each
other. What the network carries is then only the difference between two laws that are both nearly
standard normal, so that three Heun steps are enough, and the refined shower stays close to the fast
one that it came from.
"""

__all__ = ["SquirelsFast", "SquirelsFastRecipe"]

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from caloforge import streams
from caloforge.errors import GeometryError
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.networks import DihedralNetwork
from caloforge.learn.processes import SOLVERS, FlowBridge, Steps, Trigonometric
from caloforge.learn.representations import Gaussianised
from caloforge.models import SYSTEMS, Bridge, Card, Plan, Recipe, TrainingShowers, recipe_of
from caloforge.showers import Showers
from caloforge.streams import Stream


@dataclass(frozen=True)
class SquirelsFastRecipe(Recipe):
    """Settings of a `SquirelsFast`.

    Arguments:
        validation: Training showers held out to watch the loss.
        channels: Channels of the network's fields.
        blocks: Its residual blocks.
        condition: Width of its embedding of time and energy.
        neighbours: Partners differ by at most so many ranks in incident energy.
        batch_size: Pairs a step.
        steps: Steps of the optimiser.
        learning_rate: Its peak learning rate.
        weight_decay: Its decoupled weight decay.
        average: Decay of the moving average of the weights.
        refresh: Steps between new random numbers for empty cells.
        solver: The method that integrates the flow.
        solver_steps: How many steps it takes, unless asked otherwise.
    """

    validation: int
    channels: PositiveInt
    blocks: PositiveInt
    condition: PositiveInt
    neighbours: PositiveInt
    batch_size: PositiveInt
    steps: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    average: float
    refresh: PositiveInt
    solver: Literal["euler", "midpoint", "heun", "rk4"]
    solver_steps: PositiveInt


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
    )


@SYSTEMS.register("squirels-fast", SquirelsFastRecipe)
class SquirelsFast(Bridge):
    """The refiner of this system."""

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        recipe = cast("SquirelsFastRecipe", recipe_of(card))
        self.default_steps, self.solver = recipe.solver_steps, SOLVERS[recipe.solver]
        self.process = FlowBridge(Trigonometric())
        self.fast, self.full = Gaussianised(self.calorimeter), Gaussianised(self.calorimeter)
        self.network = _network(self.calorimeter, recipe)

    @classmethod
    def plan(cls, recipe: SquirelsFastRecipe, card: Card, data: TrainingShowers) -> Plan:
        """One phase."""
        with training.isolated(seed=recipe.seed):
            model = cls(card).to(data.full.energies.device)
        taught, held = data.split(recipe.validation, recipe.seed)
        model.fast.fit(taught.fast)
        model.full.fit(taught.full)
        lessons, exam = (
            _Lessons(model, recipe, d.full, d.fast) for d in (taught.by_energy(), held.by_energy())
        )
        phase = training.minimise(
            "bridge",
            model.network,
            lessons,
            steps=recipe.steps,
            adam=training.Adam(recipe.learning_rate, recipe.weight_decay),
            schedule=training.WarmCosine(),
            average=recipe.average,
            validation=exam.mean,
        )
        return Plan(model, [phase], {"network": model.network})

    def _transport(
        self, showers: Showers, *, seed: int, index: Tensor, steps: int, reverse: bool
    ) -> Tensor:
        source, target = (self.full, self.fast) if reverse else (self.fast, self.full)
        start = source(showers, streams.keys(seed, index, Stream.EMPTY_CELLS))
        condition = self.full.scaled_energy(showers.energies)
        end = self.process.transport(
            self.network, start, condition, Steps(self.solver, steps, reverse=reverse)
        )
        return target.inverse(end, showers.energies)


class _Lessons:
    """The loss of a training step, a function of its number alone.

    Arguments:
        model: The model in training.
        recipe: Its settings.
        full: Full-simulation showers in the order of their incident energy.
        fast: Fast-simulation showers in the order of theirs.
    """

    def __init__(
        self, model: SquirelsFast, recipe: SquirelsFastRecipe, full: Showers, fast: Showers
    ) -> None:
        self.model, self.recipe, self.full, self.fast = model, recipe, full, fast
        self.condition = model.full.scaled_energy(full.energies)
        self._block = -1

    def _ends(self, step: int) -> tuple[Tensor, Tensor]:
        block = step // self.recipe.refresh
        if block != self._block:
            self._block = block
            sides = ((self.model.fast, self.fast), (self.model.full, self.full))
            purposes = (Stream.FAST_EMPTY_CELLS, Stream.FULL_EMPTY_CELLS)
            keys = (
                streams.keys(
                    self.recipe.seed,
                    torch.arange(len(s), device=s.energies.device) + (block << 32),
                    stream,
                )
                for stream, (_, s) in zip(purposes, sides, strict=True)
            )
            self._cached = tuple(r(s, k) for (r, s), k in zip(sides, keys, strict=True))
        return self._cached[0], self._cached[1]

    def _partners(self, chosen: Tensor, random: torch.Generator) -> Tensor:
        reach = self.recipe.neighbours
        rank = chosen * len(self.fast) // len(self.full)
        return (
            rank
            + torch.randint(-reach, reach + 1, rank.shape, generator=random, device=rank.device)
        ).clamp(0, len(self.fast) - 1)

    def __call__(self, step: int) -> Float[Tensor, ""]:
        fast, full = self._ends(step)
        random = training.generator(self.recipe.seed, 0, step, full.device)
        chosen = torch.randint(
            len(full), (self.recipe.batch_size,), generator=random, device=full.device
        )
        ends = (fast[self._partners(chosen, random)], full[chosen])
        time = torch.rand(len(chosen), generator=random, device=full.device)
        return self.model.process.loss(self.model.network, ends, self.condition[chosen], time)

    @torch.no_grad()
    def mean(self) -> float:
        """The loss over a few fixed batches of these showers."""
        return sum(self(step).item() for step in range(8)) / 8
