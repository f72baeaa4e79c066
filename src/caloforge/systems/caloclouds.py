"""CaloClouds3: points that are independent of each other given the shower, in one step
(arXiv:2511.01460).

- `IndependentPointsStage`: place and energy of each point by a small network that a flow, or its
  student in one step, follows. Published, points make their layers, too, from the particle alone;
  with ``layered`` each knows its layer, the energy and the number of hits there.

The paper diffuses (EDM) and distils a consistency model; here the flow is matched, and its student
learns its trajectories (`caloforge.learn.processes.Distillation`).
"""

__all__ = ["IndependentPointsStage"]

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import methodcaller
from typing import Annotated

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import Hits
from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition
from caloforge.learn.networks import SquashedNetwork
from caloforge.models import STAGES, StageRecipe
from caloforge.models.flowing import FlowSettings
from caloforge.models.point_stage import LayerContext, PointStage, padded
from caloforge.models.recipes import Batch, Width
from caloforge.models.stages import Batches
from caloforge.ragged import offsets_of

_PLACE = 8
_CONTEXTS = 50_000
"""Conditions that a student learns from, at most."""

_POINTS_AT_A_TIME = 8192


@dataclass(frozen=True)
class IndependentPointsRecipe(StageRecipe):
    """Settings of an `IndependentPointsStage`.

    Arguments:
        widths: The widths of the hidden layers of the network.
        layered: Whether each point knows its layer, or makes it.
        candidates: Points made for each hit; with more than one the brightest cells are hit for
            sure.
        points: Points of a shower that a step of the training sees.
        flow: The flow.
    """

    widths: tuple[Width, ...]
    layered: bool
    candidates: Annotated[int, Field(gt=0, le=100)]
    points: Batch
    flow: FlowSettings


@STAGES.register("independent-points", IndependentPointsRecipe)
class IndependentPointsStage(PointStage):
    """Points by a network that sees one at a time."""

    def __init__(
        self, calorimeter: Calorimeter, recipe: IndependentPointsRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        context = LayerContext(calorimeter.n_layers, _PLACE) if recipe.layered else None
        width = beam.width + (0 if context is None else context.width)
        network = SquashedNetwork(3 if recipe.layered else 4, recipe.widths, width)
        super().__init__(
            calorimeter,
            recipe.flow,
            network,
            candidates=recipe.candidates,
            depth=not recipe.layered,
            beam=beam,
        )
        self.context, self.taught = context, recipe.points

    def prepare(self, showers: Hits) -> None:
        """Take threshold, range, scales and moments."""
        super().prepare(showers)
        if self.context is not None:
            self.context.adapt(Condition.counted(showers))

    def contexts(self, condition: Condition) -> Float[Tensor, "rows context"]:
        """What points know: a row a shower, or a row a layer."""
        particle: Tensor = self.log_energy(condition)
        if self.context is None:
            return particle
        return self.context(condition, particle).flatten(0, 1)  # type: ignore[no-any-return]

    def objectives(
        self, train: Hits, validation: Hits, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """That of the flow, then that of the student."""
        batches, held_out = Batches(train, seed, first), Batches(validation, seed, first)
        schedule = self.flow.schedule
        flow = schedule.objective("points", self.network, self.loss, batches, held_out)
        return [flow, *self.faster(self._conditions(train), seed, first + 1)]

    def _conditions(self, train: Hits) -> Float[Tensor, "points context"]:
        """The contexts of points of training showers, as often as points have them."""
        rows = torch.linspace(0, train.n_hits - 1, min(_CONTEXTS, train.n_hits)).long()
        condition, hits = Condition.counted(train), rows.to(train.cells.device)
        layer = self.calorimeter.layer_of_cell.to(hits.device)[train.cells[hits].long()]
        return self.contexts(condition)[self._row(train.shower_of_hit[hits], layer)]

    def _row(
        self, shower: Int64[Tensor, " points"], layer: Int64[Tensor, " points"]
    ) -> Int64[Tensor, " points"]:
        return shower if self.context is None else shower * self.calorimeter.n_layers + layer

    def loss(self, showers: Hits, random: torch.Generator) -> Float[Tensor, ""]:
        """The flow matching loss of as many points of each shower, drawn with replacement."""
        some = drawn(showers, self.taught, random)
        points, rows = self.seen(some, showers, random)
        contexts = self.contexts(Condition.counted(showers))
        known = contexts[self._row(points.shower_of_point, points.layers)]
        return self.process.loss(self.network, self.points.encode(rows), known, random)

    def flowed(
        self, start: Float[Tensor, "points numbers"], condition: Condition
    ) -> Float[Tensor, "points numbers"]:
        """Where the flow ends, so many points at a time as stay in the cache."""
        contexts = padded(self.contexts(condition))
        numbers = condition.hit_numbers
        numbers = numbers.sum(dim=1) if self.context is None else numbers.flatten()
        each = torch.arange(len(numbers), device=start.device)
        rows = padded(torch.repeat_interleave(each, numbers * self.candidates))
        parts = zip(
            torch.split(padded(start), _POINTS_AT_A_TIME),
            torch.split(rows, _POINTS_AT_A_TIME),
            strict=True,
        )
        view = methodcaller("sharing", contexts)
        ends = [self.carried(some, own, view) for some, own in parts]
        return torch.cat([start[:0], *ends])[: len(start)]


def drawn(hits: Hits, number: int, random: torch.Generator) -> Hits:
    """As many hits of each shower, drawn with replacement; none of a shower without hits."""
    have = hits.offsets.diff()
    u = torch.rand(len(hits), number, generator=random, device=random.device)
    rows = hits.offsets[:-1, None] + (u * have[:, None]).long().clamp_max(have[:, None] - 1)
    rows = rows[have > 0].flatten()
    each = (have > 0).long() * number
    return replace(
        hits,
        offsets=offsets_of(each),
        cells=hits.cells[rows],
        hit_energies=hits.hit_energies[rows],
        times=None,
    )
