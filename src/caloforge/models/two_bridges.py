"""Two Schroedinger bridges, run one after the other: the response, given the incident energy; then
the shares of the cells, given incident energy, fast response and refined response. The shares are
scaled to the energy that the first gave.
"""

__all__ = ["TwoBridges", "TwoBridgesRecipe"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Noise, Numbers
from caloforge.learn.processes import SchroedingerBridge
from caloforge.learn.representations import StandardisedShape, StandardisedSum, shower_sums
from caloforge.learn.training import Objective
from caloforge.models.bridge import Bridge
from caloforge.models.card import Card
from caloforge.models.half_bridges import BothWays, BridgeSchedule, Side, half_bridges
from caloforge.models.model import Plan
from caloforge.models.recipes import Decay, Evaluations, Recipe, recipe_of
from caloforge.models.training_data import TrainingShowers
from caloforge.showers import Showers
from caloforge.streams import Stream
from caloforge.units import GeV

_ENERGY_UNIT = 10 * GeV
"""The condition is the incident energy in this unit (SQuIRELS, systems table S5)."""


@dataclass(frozen=True)
class TwoBridgesRecipe(Recipe):
    """Settings of a `TwoBridges`.

    Arguments:
        gamma: Half the variance of a step.
        bridge_steps: Steps of the chains.
        energy: The schedule of the bridge of the response.
        shape: The schedule of the bridge of the shares.
        average: Decay of the moving averages of the weights.
    """

    gamma: PositiveFloat
    bridge_steps: Evaluations
    energy: BridgeSchedule
    shape: BridgeSchedule
    average: Decay


class TwoBridges(Bridge):
    """Both bridges, in both directions; a subclass makes the networks.

    Arguments:
        card: What the model is.
    """

    energy: BothWays
    shape: BothWays
    streams: ClassVar[Mapping[str, int]] = {
        "energy": Stream.SUM_BRIDGE,
        "shape": Stream.SHAPE_BRIDGE,
    }

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        recipe = cast("TwoBridgesRecipe", recipe_of(card))
        self.process = SchroedingerBridge(recipe.gamma, recipe.bridge_steps)
        self.default_steps, self.any_steps = self.process.steps, False
        self.fast_sum, self.full_sum = StandardisedSum(), StandardisedSum()
        n_cells = self.calorimeter.n_cells
        self.fast_shape, self.full_shape = StandardisedShape(n_cells), StandardisedShape(n_cells)

    @classmethod
    def plan(cls, recipe: TwoBridgesRecipe, card: Card, data: TrainingShowers) -> Plan:
        """One bridge after the other."""
        model, data = cls.new(card, recipe.seed).to(data.full.energies.device), data.by_energy()
        for showers, total, shape in (
            (data.fast, model.fast_sum, model.fast_shape),
            (data.full, model.full_sum, model.full_shape),
        ):
            condition = Condition(showers.particles)
            total.fit(shower_sums(showers.deposits), condition)
            shape.fit(showers.deposits, condition)
        energy_sides, shape_sides = model._sides(data)
        bridges = (
            ("energy", model.energy, energy_sides, recipe.energy),
            ("shape", model.shape, shape_sides, recipe.shape),
        )
        objectives: list[Objective] = []
        for name, networks, sides, schedule in bridges:
            seed = recipe.seed, len(objectives)
            objectives += half_bridges(
                name, networks, sides, model.process, schedule, recipe.average, seed
            )
        networks_of = {"energy": model.energy, "shape": model.shape}
        return Plan(model, objectives, networks_of, checkpoint_every=100)

    def _sides(self, data: TrainingShowers) -> tuple[tuple[Side, Side], tuple[Side, Side]]:
        """Fast and full of both bridges. Partners, for the conditions of the shape, are showers of
        the same rank in energy (systems table S6).
        """
        count = min(len(data.fast), len(data.full))
        fast, full = data.fast[:count], data.full[:count]
        sums = _sums(fast, self.fast_sum), _sums(full, self.full_sum)
        shapes = (
            self.fast_shape.encode(fast.deposits, Condition(fast.particles)),
            self.full_shape.encode(full.deposits, Condition(full.particles)),
        )
        incident = _incident(fast), _incident(full)
        energy = Side(sums[0][:, None], incident[0]), Side(sums[1][:, None], incident[1])
        conditions = [_shape_condition(one, *sums) for one in incident]
        return energy, (Side(shapes[0], conditions[0]), Side(shapes[1], conditions[1]))

    def noise(self) -> Mapping[str, Noise]:
        """The noise of the steps of both chains."""
        moves, cells = self.process.steps - 1, self.calorimeter.n_cells
        return {"energy": Noise("normal", (moves, 1)), "shape": Noise("normal", (moves, cells))}

    def transport(
        self, showers: Showers, noise: Numbers, *, steps: int, reverse: bool
    ) -> Float[Tensor, "showers cells"]:
        """Energy first, shape second."""
        del steps
        way, turn = ("coarsen", -1) if reverse else ("refine", 1)
        source_sum, target_sum = (self.fast_sum, self.full_sum)[::turn]
        source_shape, target_shape = (self.fast_shape, self.full_shape)[::turn]
        condition, incident = Condition(showers.particles), _incident(showers)
        start = _sums(showers, source_sum)
        moved = start[:, None], noise["energy"]
        end = self.process.sample(getattr(self.energy, way), moved, incident)[:, 0]
        shape_condition = _shape_condition(incident, *(start, end)[::turn])
        moved = source_shape.encode(showers.deposits, condition), noise["shape"]
        shape = self.process.sample(getattr(self.shape, way), moved, shape_condition)
        total = target_sum.decode(end, condition)
        return target_shape.decode(shape, condition.given(total[:, None]))


def _sums(showers: Showers, representation: StandardisedSum) -> Float[Tensor, " showers"]:
    total = shower_sums(showers.deposits)
    return representation.encode(total, Condition(showers.particles))


def _incident(showers: Showers) -> Float[Tensor, "showers 1"]:
    return (showers.energies / _ENERGY_UNIT)[:, None].float()


def _shape_condition(
    incident: Float[Tensor, "showers 1"],
    fast: Float[Tensor, " showers"],
    full: Float[Tensor, " showers"],
) -> Float[Tensor, "showers 3"]:
    """Incident energy, fast response, full response: one order in both directions."""
    return torch.cat([incident, fast[:, None], full[:, None]], dim=1)
