r"""CaloDREAM: flow matching of the energies of the layers, then of the shower in them
(arXiv:2405.09629).

Three stages, each a choice of representation, process and network:

- `TransfusionStage`: ratios of the layer energies (`LayerRatios`), one after another
  (`AutoregressiveFlow`), by a transformer (section 3.1).
- `VisionStage`: the shares of all cells in their layers (`LayerShares`) at once (`FlowBridge`), by
  a vision transformer (section 3.2).
- `LatentStage`: the same in the latent space of a convolutional autoencoder, laViT (section 3.3).

A shape is conditioned on the ratios of the layer energies and on the incident energy (systems table
D18). Its stage may end with a `BespokeSolver` made for its flow (section 3.4); where there is one,
it is what samples.
"""

__all__ = [
    "LatentRecipe",
    "LatentStage",
    "TransfusionRecipe",
    "TransfusionStage",
    "VisionRecipe",
    "VisionStage",
]

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int64
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from caloforge import streams
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.networks import ConvolutionalAutoencoder, Transfusion, VisionTransformer
from caloforge.learn.processes import (
    PATHS,
    SOLVERS,
    AutoregressiveFlow,
    Variational,
)
from caloforge.learn.representations import LayerRatios, LayerShares, LogEnergy
from caloforge.models import STAGES, StageRecipe
from caloforge.models.flow_stage import FlowRecipe, FlowStage, PathName, Solver, TransformerSizes
from caloforge.models.stages import EnergyStage, Lessons, Schedule
from caloforge.observables import layer_energies
from caloforge.showers import Showers

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class TransfusionRecipe(StageRecipe):
    """Settings of a `TransfusionStage`.

    Arguments:
        scale: The scale f of the total energy: no shower deposits more than f times its incident
            energy.
        dim: Width of the transformer.
        heads: Its heads.
        blocks: Its blocks, in the encoder and in the decoder.
        feed_forward: Width of the blocks' dense part.
        head_width: Width of the dense flow network.
        head_layers: Its layers.
        time_scale: Standard deviation of the frequencies of its time features.
        path: The path of the flow.
        solver: The method that integrates the flow.
        solver_steps: Its steps.
        schedule: The training.
    """

    scale: PositiveFloat
    dim: PositiveInt
    heads: PositiveInt
    blocks: PositiveInt
    feed_forward: PositiveInt
    head_width: PositiveInt
    head_layers: PositiveInt
    time_scale: PositiveFloat
    path: PathName
    solver: Solver
    solver_steps: PositiveInt
    schedule: Schedule


@STAGES.register("transfusion", TransfusionRecipe)
class TransfusionStage(EnergyStage):
    """The energies of the layers, one after another; what is less than any layer of a training
    shower held counts as none.
    """

    least: Tensor

    def __init__(self, calorimeter: Calorimeter, recipe: TransfusionRecipe) -> None:
        super().__init__(calorimeter)
        self.recipe, self.process = recipe, AutoregressiveFlow(PATHS[recipe.path])
        self.ratios, self.log_energy = LayerRatios(calorimeter.n_layers, recipe.scale), LogEnergy()
        self.register_buffer("least", torch.zeros((), dtype=torch.float64))
        self.network = Transfusion(
            calorimeter.n_layers,
            dim=recipe.dim,
            heads=recipe.heads,
            encoder_blocks=recipe.blocks,
            decoder_blocks=recipe.blocks,
            feed_forward=recipe.feed_forward,
            head_width=recipe.head_width,
            head_layers=recipe.head_layers,
            time_scale=recipe.time_scale,
        )

    def fit(self, showers: Showers) -> None:
        """Take moments, range and the least energy of a layer."""
        energies = layer_energies(showers)
        self.least.copy_(energies[energies > 0].min())
        self.ratios.fit(energies, showers.energies)
        self.log_energy.fit(showers.energies)

    def phases(
        self, taught: Showers, held: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """One phase."""
        lessons, exam = Lessons(taught, seed, first), Lessons(held, seed, first)
        return [
            self.recipe.schedule.phase("layer energies", self.network, self.loss, lessons, exam)
        ]

    def loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The flow matching loss of all layers."""
        values = self.ratios(layer_energies(showers), showers.energies)
        time = torch.rand(values.shape, generator=random, device=values.device)
        noise = torch.randn(values.shape, generator=random, device=values.device)
        return self.process.loss(
            self.network, values, self.log_energy(showers.energies), time, noise
        )

    def sample(
        self, incident: Float[Tensor, " showers"], key: Int64[Tensor, " showers"]
    ) -> Float[Tensor, "showers layers"]:
        """Layer by layer."""
        noise = streams.normals(key, self.calorimeter.n_layers).float()
        solver, steps = SOLVERS[self.recipe.solver], self.recipe.solver_steps
        values = self.process.sample(self.network, noise, self.log_energy(incident), solver, steps)
        energies = self.ratios.inverse(values, incident)
        return torch.where(energies >= self.least, energies, 0.0)


@dataclass(frozen=True)
class VisionRecipe(StageRecipe):
    """Settings of a `VisionStage`.

    Arguments:
        cut: Shares of a layer below it are 0.
        patch: The shape of a patch: layers, bins in alpha, bins in r (or z, y, x).
        network: The sizes of the transformer of the flow.
        flow: The flow.
    """

    cut: NonNegativeFloat
    patch: Triple
    network: TransformerSizes
    flow: FlowRecipe


@STAGES.register("vision", VisionRecipe)
class VisionStage(FlowStage):
    """The shares of all cells, by a vision transformer."""

    def __init__(self, calorimeter: Calorimeter, recipe: VisionRecipe) -> None:
        network = VisionTransformer(
            _shape(calorimeter),
            recipe.patch,
            **asdict(recipe.network),
            condition=calorimeter.n_layers + 1,
        )
        super().__init__(calorimeter, recipe.flow, network)
        self.recipe, self.shares = recipe, LayerShares(calorimeter, recipe.cut)

    @property
    def point_shape(self) -> tuple[int, ...]:
        """One number a cell."""
        return (1, *self.grid.shape)

    def fit(self, showers: Showers) -> None:
        """Take moments, range and threshold."""
        super().fit(showers)
        self.shares.fit(showers)

    def phases(
        self, taught: Showers, held: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """Those of the flow."""
        return self.flow_phases(taught, held, seed, first)

    def points(
        self, showers: Showers, condition: Tensor, random: torch.Generator
    ) -> Float[Tensor, "showers ..."]:
        """Standardised logits of the shares."""
        del condition, random
        return self.field(self.shares(showers))

    def deposits(
        self,
        points: Float[Tensor, "showers ..."],
        energies: Float[Tensor, "showers layers"],
        condition: Float[Tensor, "showers conditions"],
        key: Int64[Tensor, " showers"],
    ) -> Float[Tensor, "showers cells"]:
        """The inverse of `points`."""
        del condition, key
        return self.shares.inverse(self.cells(points), energies)


@dataclass(frozen=True)
class LatentRecipe(StageRecipe):
    """Settings of a `LatentStage`.

    Arguments:
        cut: Shares of a layer below it are 0.
        channels: Channels of the autoencoder's levels, the latent field's last.
        kernels: Kernels of its levels.
        strides: Their strides.
        pads: Their paddings.
        beta: Weight of the divergence in its loss.
        patch: The shape of a patch of the latent field.
        network: The sizes of the transformer of the flow.
        autoencoder_schedule: The training of the autoencoder.
        flow: The flow.
    """

    cut: NonNegativeFloat
    channels: tuple[int, ...]
    kernels: tuple[Triple, ...]
    strides: tuple[Triple, ...]
    pads: tuple[Triple, ...]
    beta: NonNegativeFloat
    patch: Triple
    network: TransformerSizes
    autoencoder_schedule: Schedule
    flow: FlowRecipe


@STAGES.register("latent", LatentRecipe)
class LatentStage(FlowStage):
    """laViT: the latent code of the shares, by a vision transformer."""

    def __init__(self, calorimeter: Calorimeter, recipe: LatentRecipe) -> None:
        conditions = calorimeter.n_layers + 1
        autoencoder = ConvolutionalAutoencoder(
            _shape(calorimeter),
            condition=conditions,
            channels=recipe.channels,
            kernels=recipe.kernels,
            strides=recipe.strides,
            pads=recipe.pads,
        )
        channels, layers, alpha, r = autoencoder.latent_shape
        network = VisionTransformer(
            (layers, alpha, r),
            recipe.patch,
            channels=channels,
            **asdict(recipe.network),
            condition=conditions,
        )
        super().__init__(calorimeter, recipe.flow, network)
        self.recipe, self.autoencoder, self.process_of_code = (
            recipe,
            autoencoder,
            Variational(recipe.beta),
        )
        self.shares = LayerShares(calorimeter, recipe.cut)

    @property
    def point_shape(self) -> tuple[int, ...]:
        """The shape of the latent field."""
        return self.autoencoder.latent_shape

    def fit(self, showers: Showers) -> None:
        """Take moments, range and threshold."""
        super().fit(showers)
        self.shares.fit(showers)

    def phases(
        self, taught: Showers, held: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """The autoencoder's, then those of the flow."""
        lessons, exam = Lessons(taught, seed, first), Lessons(held, seed, first)
        autoencoder = self.recipe.autoencoder_schedule.phase(
            "autoencoder", self.autoencoder, self.code_loss, lessons, exam
        )
        return [autoencoder, *self.flow_phases(taught, held, seed, first + 1)]

    def code_loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The loss of the autoencoder."""
        condition = self.condition(showers.energies, layer_energies(showers))
        noise = torch.randn(
            len(showers), *self.point_shape, generator=random, device=condition.device
        )
        return self.process_of_code.loss(
            self.autoencoder, self.field(self.shares.shares(showers)).float(), condition, noise
        )

    @torch.no_grad()
    def points(
        self, showers: Showers, condition: Tensor, random: torch.Generator
    ) -> Float[Tensor, "showers ..."]:
        """A latent code, drawn from the encoder's law."""
        mean, log_variance = self.autoencoder.encode(
            self.field(self.shares.shares(showers)).float(), condition
        )
        noise = torch.randn(mean.shape, generator=random, device=mean.device)
        return self.process_of_code.sample(mean, log_variance, noise)

    def deposits(
        self,
        points: Float[Tensor, "showers ..."],
        energies: Float[Tensor, "showers layers"],
        condition: Float[Tensor, "showers conditions"],
        key: Int64[Tensor, " showers"],
    ) -> Float[Tensor, "showers cells"]:
        """The decoder's means, as shares."""
        del key
        shares = self.cells(self.autoencoder.decode(points, condition).sigmoid())
        return self.shares.deposits(shares.double(), energies)


def _shape(calorimeter: Calorimeter) -> Triple:
    """The shape of the field of all cells."""
    layers, alpha, r = calorimeter.image().shape
    return layers, alpha, r
