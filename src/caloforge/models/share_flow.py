"""The shares of the cells in their layers by a flow, or a latent code of them."""

__all__ = [
    *("ImageFlowRecipe", "LatentShares", "ShareFlowRecipe", "ShareFlowStage"),
    *("Triple", "image_shape"),
]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import AliasChoices, Field, NonNegativeFloat
from torch import Tensor, nn

from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import Beam, Condition
from caloforge.learn.networks import ConvolutionalAutoencoder
from caloforge.learn.noise import Numbers
from caloforge.learn.processes import Variational
from caloforge.learn.representations import LayerShares
from caloforge.models.flow_stage import FlowRecipe, FlowStage, TransformerSizes
from caloforge.models.stages import Batches, Schedule, StageRecipe
from caloforge.showers import Showers

Triple = tuple[int, int, int]


def image_shape(calorimeter: Calorimeter) -> Triple:
    """The shape of the image of all cells: layers, alpha, r (or z, y, x)."""
    layers, rows, columns = calorimeter.image().shape
    return layers, rows, columns


@dataclass(frozen=True)
class ShareFlowRecipe(StageRecipe):
    """Settings of a `ShareFlowStage`.

    Arguments:
        min_share: Smaller shares of a layer are 0.
        network: The sizes of the transformer of the flow.
        flow: The flow.
    """

    min_share: Annotated[NonNegativeFloat, Field(validation_alias=AliasChoices("min_share", "cut"))]
    network: TransformerSizes
    flow: FlowRecipe


@dataclass(frozen=True)
class ImageFlowRecipe(ShareFlowRecipe):
    """Settings of a `ShareFlowStage` that sees images, with those of `ShareFlowRecipe`.

    Arguments:
        patch: The shape of a patch: layers, bins in alpha, bins in r (or z, y, x).
    """

    patch: Triple


class ShareFlowStage(FlowStage):
    """The standardised logits of the shares of all cells (`LayerShares`).

    Arguments:
        calorimeter: Where the cells are.
        recipe: The settings.
        network: The velocity, of one number a cell.
        beam: In what the particles differ beside their energy.
        grid: As of `FlowStage`.
    """

    def __init__(
        self,
        calorimeter: Calorimeter,
        recipe: ShareFlowRecipe,
        network: nn.Module,
        beam: Beam,
        grid: Tensor | None = None,
    ) -> None:
        super().__init__(calorimeter, recipe.flow, network, beam, grid)
        self.shares = LayerShares(calorimeter, recipe.min_share)

    @property
    def point_shape(self) -> tuple[int, ...]:
        """One number a cell."""
        return (1, *self.grid.shape)

    def prepare(self, showers: Showers) -> None:
        """Take moments, range and threshold."""
        super().prepare(showers)
        self.shares.fit(showers.deposits, Condition.to_fit(showers))

    def points(
        self, showers: Showers, features: Tensor, random: torch.Generator
    ) -> Float[Tensor, "showers ..."]:
        """Standardised logits of the shares."""
        del features, random
        return self.field(self.shares.encode(showers.deposits, Condition(showers.particles)))

    def deposits(
        self,
        points: Float[Tensor, "showers ..."],
        condition: Condition,
        features: Float[Tensor, "showers features"],
        noise: Numbers,
    ) -> Float[Tensor, "showers cells"]:
        """The inverse of `points`."""
        del features, noise
        return self.shares.decode(self.cells(points), condition)


class LatentShares(ShareFlowStage):
    """The latent code of the shares, by a variational autoencoder.

    Arguments:
        calorimeter: Where the cells are.
        recipe: The settings.
        network: The velocity, of fields of the shape of the latent one.
        autoencoder: Encoder and decoder.
        beta: Weight of the divergence in its loss.
        schedule: Its training.
        beam: In what the particles differ beside their energy.
    """

    def __init__(
        self,
        calorimeter: Calorimeter,
        recipe: ShareFlowRecipe,
        network: nn.Module,
        autoencoder: ConvolutionalAutoencoder,
        beta: float,
        schedule: Schedule,
        beam: Beam,
    ) -> None:
        super().__init__(calorimeter, recipe, network, beam)
        self.autoencoder, self.code_process = autoencoder, Variational(beta)
        self.code_schedule = schedule

    @property
    def point_shape(self) -> tuple[int, ...]:
        """The shape of the latent field."""
        return self.autoencoder.latent_shape

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """The autoencoder's, then those of the flow."""
        batches, held_out = Batches(train, seed, first), Batches(validation, seed, first)
        code = self.code_schedule.objective(
            "autoencoder", self.autoencoder, self.code_loss, batches, held_out
        )
        return [code, *self.flow_objectives(train, validation, seed, first + 1)]

    def _shares(self, showers: Showers) -> Float[Tensor, "showers 1 layers alpha r"]:
        return self.field(self.shares.shares(showers.deposits)).float()

    def code_loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The loss of the autoencoder."""
        features = self.features(Condition.of(showers))
        return self.code_process.loss(self.autoencoder, self._shares(showers), features, random)

    @torch.no_grad()
    def points(
        self, showers: Showers, features: Tensor, random: torch.Generator
    ) -> Float[Tensor, "showers ..."]:
        """A latent code, drawn from the encoder's distribution."""
        mean, log_variance = self.autoencoder.encode(self._shares(showers), features)
        noise = torch.randn(mean.shape, generator=random, device=mean.device)
        return self.code_process.latent(mean, log_variance, noise)

    def deposits(
        self,
        points: Float[Tensor, "showers ..."],
        condition: Condition,
        features: Float[Tensor, "showers features"],
        noise: Numbers,
    ) -> Float[Tensor, "showers cells"]:
        """The decoder's means, as shares."""
        del noise
        shares = self.cells(self.code_process.sample(self.autoencoder, points, features))
        return self.shares.deposits(shares.double(), condition.layer_energies)
