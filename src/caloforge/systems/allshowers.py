"""AllShowers (arXiv:2601.11716): numbers of points in all layers by PointCountFM, then points that
attend to those nearby.

- `LayerNumbersStage`: energies and numbers of hits of the layers at once, by flow matching.
- `AttendingPointsStage`: place and energy of all points of a shower by a transformer that looks a
  few layers around (`caloforge.learn.networks.nearby`). Starts and points of a layer are paired by
  optimal transport. Published, points know how many there are in each layer; with ``levels``,
  the energies of their layer and of those beside it, too.

One point is made for each hit: points keep off each other as they see each other.
"""

__all__ = ["AttendingPointsStage", "LayerNumbersStage"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import Hits
from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition
from caloforge.learn.networks import NearbyTransformer, windows
from caloforge.learn.processes import coupled
from caloforge.models import STAGES, StageRecipe
from caloforge.models.flowing import FlowSettings, PathName, Solver
from caloforge.models.number_flow import LayerNumbersRecipe
from caloforge.models.number_flow import LayerNumbersStage as _Stage
from caloforge.models.point_stage import LayerContext, PointStage, padded
from caloforge.models.recipes import Depth, Evaluations, Width
from caloforge.models.stages import Batches, Schedule

_PLACE = 8


@STAGES.register("layer-numbers", LayerNumbersRecipe)
class LayerNumbersStage(_Stage):
    """Energies and numbers of hits, all at once."""


@dataclass(frozen=True)
class AttentionSizes:
    """Sizes of the transformer.

    Arguments:
        dim: Width of a point's vector.
        heads: Heads of the attention.
        hidden: Width inside the dense networks of the blocks.
        blocks: Blocks.
        counts: Width inside the network of the numbers of points.
        reach: How many layers before and behind its own a point sees.
    """

    dim: Width
    heads: Width
    hidden: Width
    blocks: Depth
    counts: Width
    reach: Depth


@dataclass(frozen=True)
class AttendingPointsRecipe(StageRecipe):
    """Settings of an `AttendingPointsStage`.

    Arguments:
        levels: Whether points know the energies of the layers.
        network: The sizes of the transformer.
        path: The path of the flow.
        solver: The method that integrates it.
        solver_steps: Its steps.
        schedule: The training.
    """

    levels: bool
    network: AttentionSizes
    path: PathName
    solver: Solver
    solver_steps: Evaluations
    schedule: Schedule


@STAGES.register("attending-points", AttendingPointsRecipe)
class AttendingPointsStage(PointStage):
    """Points by a transformer that sees all of them nearby."""

    def __init__(
        self,
        calorimeter: Calorimeter,
        recipe: AttendingPointsRecipe,
        beam: Beam = ENERGY_ALONE,
    ) -> None:
        context = LayerContext(calorimeter.n_layers, _PLACE) if recipe.levels else None
        sizes = recipe.network
        network = NearbyTransformer(
            3,
            beam.width + (0 if context is None else context.width),
            calorimeter.n_layers,
            dim=sizes.dim,
            heads=sizes.heads,
            hidden=sizes.hidden,
            blocks=sizes.blocks,
            counts=sizes.counts,
        )
        flow = FlowSettings(
            path=recipe.path,
            solver=recipe.solver,
            solver_steps=recipe.solver_steps,
            schedule=recipe.schedule,
        )
        super().__init__(calorimeter, flow, network, candidates=1, depth=False, beam=beam)
        self.context, self.reach = context, sizes.reach

    def prepare(self, showers: Hits) -> None:
        """Take threshold, range, tables and moments."""
        super().prepare(showers)
        if self.context is not None:
            self.context.adapt(Condition.counted(showers))

    def objectives(
        self, train: Hits, validation: Hits, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """That of the flow."""
        batches, held_out = Batches(train, seed, first), Batches(validation, seed, first)
        schedule = self.flow.schedule
        return [schedule.objective("points", self.network, self.loss, batches, held_out)]

    def loss(self, showers: Hits, random: torch.Generator) -> Float[Tensor, ""]:
        """The flow matching loss of all points of showers, with one time a shower."""
        points, rows = self.seen(showers, showers, random)
        condition = Condition.counted(showers)
        group = points.shower_of_point * self.calorimeter.n_layers + points.layers
        mixed = torch.rand(len(group), generator=random, device=group.device).argsort()
        order = mixed[group[mixed].argsort(stable=True)]
        end, group = self.points.encode(rows)[order], group[order]
        start = coupled(self._drawn(condition, random), end, group)
        device = end.device
        time = torch.rand(len(showers), generator=random, device=device)
        time = time[group.div(self.calorimeter.n_layers, rounding_mode="floor")]
        a, b, da, db = self.process.path.weights(time[:, None])
        velocity = self._velocity(condition)
        error = velocity(a * start + b * end, time) - (da * start + db * end)
        return error.square().mean()

    def _drawn(
        self, condition: Condition, random: torch.Generator
    ) -> Float[Tensor, "points numbers"]:
        """Starts, spread in the plane as those from which showers are made."""
        numbers = condition.hit_numbers
        u = torch.rand(*numbers.shape, 2, generator=random, device=random.device).double()
        rest = torch.randn(int(numbers.sum()), 1, generator=random, device=random.device)
        return torch.cat([self._starts(numbers, u), rest], dim=1)

    def _velocity(self, condition: Condition) -> Callable[[Tensor, Tensor], Tensor]:
        """The velocity of all points of showers, at a time each."""
        numbers = condition.hit_numbers
        rows = torch.arange(numbers.numel(), device=numbers.device)
        rows = padded(rows.repeat_interleave(numbers.flatten()))
        layers, shower = rows % numbers.shape[1], rows.div(numbers.shape[1], rounding_mode="floor")
        particle: Tensor = self.log_energy(condition)
        known = particle[shower]
        if self.context is not None:
            known = self.context(condition, particle).flatten(0, 1)[rows]
        network: NearbyTransformer = self.network  # type: ignore[assignment]
        context = network.context(known, layers, shower, numbers)
        among = windows(numbers, self.reach)

        def velocity(x: Tensor, time: Tensor) -> Tensor:
            moved: Tensor = network(padded(x), padded(time), context, among)
            return moved[: len(x)]

        return velocity

    def flowed(
        self, start: Float[Tensor, "points numbers"], condition: Condition
    ) -> Float[Tensor, "points numbers"]:
        """Where the flow ends, all points of a shower at once."""
        velocity = self._velocity(condition)
        return self.carried(start, start, lambda _: lambda x, t, _: velocity(x, t))
