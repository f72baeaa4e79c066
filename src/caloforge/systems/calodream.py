"""CaloDREAM: flow matching of the energies of the layers, then of the shower in them
(arXiv:2405.09629).

- `TransfusionStage`: ratios of the layer energies (`LayerRatios`), one after another, by a
  transformer (section 3.1).
- `VisionStage`: the shares of all cells in their layers (`LayerShares`) at once, by a vision
  transformer (section 3.2).
- `CellVisionStage`: the same where layers are divided unlike, or irregular; patches are compact
  groups of cells.
- `LatentStage`: the same in the latent space of a convolutional autoencoder, laViT (section 3.3).

A shape may end with a bespoke solver (section 3.4, `caloforge.models.fast_samplers`).
"""

__all__ = ["CellVisionStage", "LatentStage", "TransfusionStage", "VisionStage"]

from dataclasses import asdict, dataclass

import torch
from pydantic import NonNegativeFloat, PositiveFloat

from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import ENERGY_ALONE, Beam
from caloforge.learn.networks import (
    CellTransformer,
    ConvolutionalAutoencoder,
    HeadSizes,
    Transfusion,
    VisionTransformer,
)
from caloforge.models import STAGES
from caloforge.models.layer_flow import LayerFlowRecipe, LayerFlowStage
from caloforge.models.recipes import Depth, Width
from caloforge.models.share_flow import (
    ImageFlowRecipe,
    LatentShares,
    ShareFlowRecipe,
    ShareFlowStage,
    Triple,
    image_shape,
)
from caloforge.models.stages import Schedule


@dataclass(frozen=True)
class TransfusionRecipe(LayerFlowRecipe):
    """Settings of a `TransfusionStage`, with those of `LayerFlowRecipe`.

    Arguments:
        dim: Width of the transformer.
        heads: Its heads.
        blocks: Its blocks, in the encoder and in the decoder.
        feed_forward: Width of the blocks' dense part.
        head_width: Width of the dense flow network.
        head_layers: Its layers.
        time_scale: Standard deviation of the frequencies of its time features.
    """

    dim: Width
    heads: Width
    blocks: Depth
    feed_forward: Width
    head_width: Width
    head_layers: Depth
    time_scale: PositiveFloat


@STAGES.register("transfusion", TransfusionRecipe)
class TransfusionStage(LayerFlowStage):
    """The energies of the layers, one after another."""

    def __init__(
        self, calorimeter: Calorimeter, recipe: TransfusionRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        head = HeadSizes(recipe.head_width, recipe.head_layers, time_scale=recipe.time_scale)
        blocks = (recipe.blocks, recipe.blocks)
        sizes = {name: getattr(recipe, name) for name in ("dim", "heads", "feed_forward")}
        sizes["condition"] = beam.width
        network = Transfusion(calorimeter.n_layers, **sizes, blocks=blocks, head=head)
        super().__init__(calorimeter, recipe, network, beam)


@STAGES.register("vision", ImageFlowRecipe)
class VisionStage(ShareFlowStage):
    """The shares of all cells, by a vision transformer."""

    def __init__(
        self, calorimeter: Calorimeter, recipe: ImageFlowRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        shape, condition = image_shape(calorimeter), calorimeter.n_layers + beam.width
        sizes = asdict(recipe.network)
        network = VisionTransformer(shape, recipe.patch, **sizes, condition=condition)
        super().__init__(calorimeter, recipe, network, beam)


@dataclass(frozen=True)
class CellVisionRecipe(ShareFlowRecipe):
    """Settings of a `CellVisionStage`, with those of `ShareFlowRecipe`.

    Arguments:
        patch: The most cells of a patch.
    """

    patch: Width


@STAGES.register("cell-vision", CellVisionRecipe)
class CellVisionStage(ShareFlowStage):
    """The shares of all cells of any calorimeter, by a transformer of patches of its layers."""

    def __init__(
        self, calorimeter: Calorimeter, recipe: CellVisionRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        layer, places = calorimeter.layer_of_cell, calorimeter.transverse
        network = CellTransformer(
            layer,
            places,
            recipe.patch,
            **asdict(recipe.network),
            condition=calorimeter.n_layers + beam.width,
        )
        super().__init__(calorimeter, recipe, network, beam, torch.arange(calorimeter.n_cells))


@dataclass(frozen=True)
class LatentRecipe(ImageFlowRecipe):
    """Settings of a `LatentStage`, with those of `ImageFlowRecipe` (a patch of the latent field).

    Arguments:
        channels: Channels of the autoencoder's levels, the latent field's last.
        kernels: Kernels of its levels.
        strides: Their strides.
        pads: Their paddings.
        beta: Weight of the divergence in its loss.
        autoencoder_schedule: The training of the autoencoder.
    """

    channels: tuple[Width, ...]
    kernels: tuple[Triple, ...]
    strides: tuple[Triple, ...]
    pads: tuple[Triple, ...]
    beta: NonNegativeFloat
    autoencoder_schedule: Schedule


@STAGES.register("latent", LatentRecipe)
class LatentStage(LatentShares):
    """laViT: the latent code of the shares, by a vision transformer."""

    def __init__(
        self, calorimeter: Calorimeter, recipe: LatentRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        shape, condition = image_shape(calorimeter), calorimeter.n_layers + beam.width
        names = ("channels", "kernels", "strides", "pads")
        levels = {name: getattr(recipe, name) for name in names}
        autoencoder = ConvolutionalAutoencoder(shape, condition=condition, **levels)
        channels, layers, alpha, r = autoencoder.latent_shape
        sizes = {"channels": channels, **asdict(recipe.network), "condition": condition}
        network = VisionTransformer((layers, alpha, r), recipe.patch, **sizes)
        schedule = recipe.autoencoder_schedule
        super().__init__(calorimeter, recipe, network, autoencoder, recipe.beta, schedule, beam)
