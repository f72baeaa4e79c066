"""Convolutional L2LFlows: showers layer by layer with normalizing flows (arXiv:2405.20407).

- `EnergiesStage`: the logits of what the energies of the layers are of the largest
  (`LayerEnergies`), by a masked autoregressive flow (section 3.2).
- `ConvolutionalStage`: the cells of a layer, given those of the former layers (eq. 2), by a
  convolutional flow (section 3.3).

Published are `FilledLayers`, five former layers and a flow for each layer; the recipe for one
processor takes `CellScores`, one flow that all layers share, and the energies of CaloFlow.
"""

__all__ = ["ConvolutionalStage", "EnergiesStage", "convolutional_flow"]

from dataclasses import dataclass
from functools import partial

from pydantic import PositiveFloat
from torch import nn

from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import ENERGY_ALONE, Beam
from caloforge.learn.networks import ConvolutionalFlow, UNetDesign, group_norm
from caloforge.learn.representations import LayerEnergies
from caloforge.models import STAGES, StageRecipe
from caloforge.models.group_flows import ConvolutionalGroups
from caloforge.models.layer_groups import GroupOrder, NumbersRecipe
from caloforge.models.masked_energies import MaskedEnergiesRecipe, MaskedEnergiesStage
from caloforge.models.recipes import Depth, Former, Width
from caloforge.models.stages import Schedule


@dataclass(frozen=True, kw_only=True)
class EnergiesRecipe(MaskedEnergiesRecipe):
    """Settings of an `EnergiesStage`, with those of `MaskedEnergiesRecipe`.

    Arguments:
        scale: The energy, in MeV, of which the energies of the layers are parts; None for the
            largest of the training showers.
        standardised: Whether the logits are brought to mean 0 and variance 1.
    """

    scale: PositiveFloat | None = None
    standardised: bool = True


@STAGES.register("masked-energies", EnergiesRecipe)
class EnergiesStage(MaskedEnergiesStage):
    """The logits of what the energies of the layers are of the largest."""

    def __init__(
        self, calorimeter: Calorimeter, recipe: EnergiesRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        scale, standardised = recipe.scale, recipe.standardised
        logits = LayerEnergies(calorimeter.n_layers, scale=scale, standardised=standardised)
        super().__init__(calorimeter, recipe, logits, beam)


@dataclass(frozen=True)
class ConvolutionalRecipe(StageRecipe):
    """Settings of a `ConvolutionalStage`.

    Arguments:
        former: Layers before it that a layer sees, k.
        shared: Whether all layers share one flow.
        numbers: What stands for the cells.
        squeeze: Positions of a tile in alpha and r.
        blocks: Blocks of a flow.
        hidden: Channels of the U-Nets.
        downsamples: Kernel and stride of the U-Nets' levels, in alpha and r.
        batch_norm: Whether the U-Nets normalise over the batch, as published, or over groups of
            channels of one image.
        embedding: Channels of the embedded condition.
        bins: Bins of a spline.
        bound: The splines are on [-bound, bound].
        schedule: The training of a flow.
        mapped: Whether the spectrum of the cells is mapped onto that of the training showers.
    """

    former: Former
    shared: bool
    numbers: NumbersRecipe
    squeeze: tuple[Width, Width]
    blocks: Depth
    hidden: Width
    downsamples: tuple[tuple[Width, Width], ...]
    batch_norm: bool
    embedding: Width
    bins: Width
    bound: PositiveFloat
    schedule: Schedule
    mapped: bool = False


@STAGES.register("convolutional", ConvolutionalRecipe)
class ConvolutionalStage(ConvolutionalGroups):
    """Layer after layer, by convolutional flows."""

    def __init__(
        self, calorimeter: Calorimeter, recipe: ConvolutionalRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        order = GroupOrder(1, recipe.former, recipe.shared)
        new = partial(convolutional_flow, calorimeter, recipe, beam)
        what = calorimeter, order, recipe.numbers, recipe.schedule, new, beam
        super().__init__(*what, mapped=recipe.mapped)


def convolutional_flow(
    calorimeter: Calorimeter, recipe: ConvolutionalRecipe, beam: Beam, cells: int, former: int
) -> ConvolutionalFlow:
    """A flow of the cells of a layer that sees so many former layers; without any, the condition is
    not embedded.
    """
    del cells
    _, rows, columns = calorimeter.image().shape
    norm = nn.BatchNorm2d if recipe.batch_norm else group_norm
    return ConvolutionalFlow(
        (rows, columns),
        condition=former + GroupOrder(1, recipe.former, recipe.shared).context(beam),
        design=UNetDesign(recipe.hidden, recipe.downsamples, calorimeter.polar, norm),
        squeeze=recipe.squeeze,
        blocks=recipe.blocks,
        embedding=recipe.embedding if former else None,
        bins=recipe.bins,
        bound=recipe.bound,
    )
