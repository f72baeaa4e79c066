r"""Our own shape for sparse showers on small machines: a flow of codes of hit patterns.

Like laViT (CaloDREAM, arXiv:2405.09629, section 3.3) it learns a flow in the latent space of an
autoencoder, with three differences. The decoder gives the distribution of each cell, hit or not and
how much (`Hurdle`), and samples are drawn from it: the code holds only what the cells of a shower
have in common. The numbers of hits of all layers are part of what the flow makes, and exactly so
many cells are hit. Hits share the energy above threshold (`HitPattern`): every layer keeps its
energy. So the flow has a few hundred dimensions instead of thousands, nearly all standard normal.
"""

__all__ = ["HitAutoencoderRecipe", "HitAutoencoderStage"]

from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import AliasChoices, Field, NonNegativeFloat

from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import ENERGY_ALONE, Beam
from caloforge.learn.networks import HitAutoencoder, VisionTransformer
from caloforge.models import STAGES, StageRecipe
from caloforge.models.flow_stage import FlowRecipe, TransformerSizes
from caloforge.models.hit_flow import HitFlowStage
from caloforge.models.recipes import Width
from caloforge.models.stages import Schedule


@dataclass(frozen=True)
class HitAutoencoderRecipe(StageRecipe):
    """Settings of a `HitAutoencoderStage`.

    Arguments:
        layer_group: Layers that share a token; a divisor of their number.
        code: Numbers in the code of a group.
        autoencoder: The sizes of the encoder, and of the decoder.
        beta: Weight of the divergence in its loss.
        network: The sizes of the transformer of the flow.
        autoencoder_schedule: The training of the autoencoder.
        flow: The flow.
    """

    layer_group: Annotated[Width, Field(validation_alias=AliasChoices("layer_group", "slab"))]
    code: Width
    autoencoder: TransformerSizes
    beta: NonNegativeFloat
    network: TransformerSizes
    autoencoder_schedule: Schedule
    flow: FlowRecipe


@STAGES.register("hit-autoencoder", HitAutoencoderRecipe, aliases=("hurdle",))
class HitAutoencoderStage(HitFlowStage):
    """Codes and numbers of hits by a flow, hits and their shares by a decoder."""

    def __init__(
        self, calorimeter: Calorimeter, recipe: HitAutoencoderRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        layers, alpha, r = calorimeter.image().shape
        group = recipe.layer_group
        autoencoder = HitAutoencoder(
            layers,
            alpha * r,
            layer_group=group,
            code=recipe.code,
            **asdict(recipe.autoencoder),
            condition=2 * layers + beam.width,
        )
        network = VisionTransformer(
            (layers // group, 1, 1),
            (1, 1, 1),
            channels=recipe.code + group,
            **asdict(recipe.network),
            condition=layers + beam.width,
            exact_gelu=True,
        )
        schedule = recipe.autoencoder_schedule
        coder = autoencoder, recipe.beta, schedule
        super().__init__(calorimeter, recipe.flow, network, *coder, beam)
