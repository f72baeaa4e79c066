"""CaloFlow: showers by masked autoregressive flows and their students.

- `RatiosStage`: flow 1 of CaloFlow (arXiv:2106.05285), the energies of the layers, in a
  representation near CaloDREAM's (`SoftRatios`).
- `MaskedShapeStage`: with one group of all layers flow 2 of CaloFlow; with a group a layer, one
  former group and a flow that all share, inductive CaloFlow (arXiv:2305.11934). A student, which
  samples in one pass, learns from the flow by probability density distillation (CaloFlow II,
  arXiv:2110.11377).
"""

__all__ = ["MaskedShapeRecipe", "MaskedShapeStage", "RatiosRecipe", "RatiosStage"]

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import AliasChoices, Field, PositiveFloat

from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import ENERGY_ALONE, Beam
from caloforge.learn.networks import MaskedFlow
from caloforge.learn.representations import SoftRatios
from caloforge.models import STAGES, StageRecipe
from caloforge.models.group_flows import MaskedGroups
from caloforge.models.layer_groups import GroupOrder, NumbersRecipe
from caloforge.models.masked_energies import (
    MaskedEnergiesRecipe,
    MaskedEnergiesStage,
    MaskedSizes,
    masked_flow,
)
from caloforge.models.recipes import Depth, Former
from caloforge.models.stages import Schedule


@dataclass(frozen=True, kw_only=True)
class RatiosRecipe(MaskedEnergiesRecipe):
    """Settings of a `RatiosStage`, with those of `MaskedEnergiesRecipe`.

    Arguments:
        scale: The scale f of the total energy: no shower deposits more than f times its incident
            energy.
        softening: The energy of a faint layer, in MeV; None to take it from the training showers.
    """

    scale: PositiveFloat
    softening: PositiveFloat | None = None


@STAGES.register("masked-ratios", RatiosRecipe)
class RatiosStage(MaskedEnergiesStage):
    """The standardised logits of the softened ratios of the layers' energies."""

    def __init__(
        self, calorimeter: Calorimeter, recipe: RatiosRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        ratios = SoftRatios(calorimeter.n_layers, recipe.scale, recipe.softening)
        super().__init__(calorimeter, recipe, ratios, beam)


@dataclass(frozen=True)
class MaskedShapeRecipe(StageRecipe):
    """Settings of a `MaskedShapeStage`.

    Arguments:
        layer_group: Layers in a group, a divisor of their number; None for all in one.
        former: Groups before it that a group sees, k.
        shared: Whether all groups share one flow.
        numbers: What stands for the cells.
        network: The sizes of a flow.
        schedule: The training of a flow.
        student: The training of its student, or None.
        mapped: Whether the spectrum of the cells is mapped onto that of the training showers.
    """

    layer_group: Annotated[
        Depth | None, Field(validation_alias=AliasChoices("layer_group", "slab"))
    ]
    former: Former
    shared: bool
    numbers: NumbersRecipe
    network: MaskedSizes
    schedule: Schedule
    student: Schedule | None = None
    mapped: bool = False

    def order(self, calorimeter: Calorimeter) -> GroupOrder:
        """How the groups of a calorimeter hang together."""
        return GroupOrder(self.layer_group or calorimeter.n_layers, self.former, self.shared)


@STAGES.register("masked", MaskedShapeRecipe)
class MaskedShapeStage(MaskedGroups):
    """Layer group after layer group, by masked autoregressive flows or by their students."""

    def __init__(
        self, calorimeter: Calorimeter, recipe: MaskedShapeRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        order = recipe.order(calorimeter)
        places = order.layer_group * calorimeter.layer_table.shape[1]
        context = order.context(beam)
        super().__init__(
            calorimeter,
            order,
            recipe.numbers,
            (recipe.schedule, recipe.student),
            partial(_flow, recipe.network, places, context),
            beam,
            mapped=recipe.mapped,
        )


def _flow(sizes: MaskedSizes, places: int, context: int, cells: int, former: int) -> MaskedFlow:
    """A flow of so many cells that sees so many former groups, each of so many places."""
    return masked_flow(cells, former * places + context, sizes)
