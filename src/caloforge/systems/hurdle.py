r"""A shape stage for sparse showers on small machines: a flow of codes of hit patterns.

Like laViT (CaloDREAM, arXiv:2405.09629, section 3.3) it learns a flow in the latent space of an
autoencoder, with three differences. The decoder gives the law of each cell, hit or not and how much
(`Hurdle`), and samples are drawn from it: what single particles do to single cells is left to
chance, and the code tells only what the cells of a shower have in common. The numbers of hits of
all layers are part of what the flow makes, and exactly so many cells are hit. And what hits share
is the energy above threshold (`HitPattern`): every layer keeps its energy. So the flow has a few
hundred dimensions instead of thousands, nearly all of them standard normal, and a shower is a
handful of tokens.
"""

__all__ = ["HurdleRecipe", "HurdleStage"]

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int64
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from caloforge import streams
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.networks import HitAutoencoder, VisionTransformer
from caloforge.learn.processes import Hurdle
from caloforge.learn.representations import HitPattern, Hits
from caloforge.learn.symmetry import Orbits
from caloforge.models import STAGES, StageRecipe
from caloforge.models.flow_stage import FlowRecipe, FlowStage, TransformerSizes
from caloforge.models.stages import Lessons, Schedule
from caloforge.showers import Showers

_FIT_SEED = 0

_SMALLEST = 1e-6
"""Uniform numbers lie at least so far from 0 and 1."""


@dataclass(frozen=True)
class HurdleRecipe(StageRecipe):
    """Settings of a `HurdleStage`.

    Arguments:
        slab: Layers that share a token; a divisor of their number.
        code: Numbers in the code of a slab.
        autoencoder: The sizes of the encoder, and of the decoder.
        beta: Weight of the divergence in its loss.
        network: The sizes of the transformer of the flow.
        autoencoder_schedule: The training of the autoencoder.
        flow: The flow.
    """

    slab: PositiveInt
    code: PositiveInt
    autoencoder: TransformerSizes
    beta: NonNegativeFloat
    network: TransformerSizes
    autoencoder_schedule: Schedule
    flow: FlowRecipe


@STAGES.register("hurdle", HurdleRecipe)
class HurdleStage(FlowStage):
    """Codes and numbers of hits by a flow, hits and their shares by a decoder."""

    def __init__(self, calorimeter: Calorimeter, recipe: HurdleRecipe) -> None:
        layers, alpha, r = calorimeter.image().shape
        autoencoder = HitAutoencoder(
            layers,
            alpha * r,
            slab=recipe.slab,
            code=recipe.code,
            **asdict(recipe.autoencoder),
            condition=2 * layers + 1,
        )
        network = VisionTransformer(
            (layers // recipe.slab, 1, 1),
            (1, 1, 1),
            channels=recipe.code + recipe.slab,
            **asdict(recipe.network),
            condition=layers + 1,
            exact_gelu=True,
        )
        super().__init__(calorimeter, recipe.flow, network)
        self.recipe, self.autoencoder, self.process_of_code = (
            recipe,
            autoencoder,
            Hurdle(recipe.beta),
        )
        orbit = Orbits(calorimeter.symmetries).orbit
        self.pattern = HitPattern(orbit[self.grid.flatten()].reshape(layers, alpha * r))

    @property
    def point_shape(self) -> tuple[int, ...]:
        """For each slab its code and the scores of its layers' numbers of hits."""
        return self.recipe.code + self.recipe.slab, len(self.grid) // self.recipe.slab, 1, 1

    def fit(self, showers: Showers) -> None:
        """Take moments, range, threshold and tables."""
        super().fit(showers)
        random = training.generator(_FIT_SEED, 0, 0, showers.deposits.device)
        self.pattern.fit(self._layers(showers), random)

    def _layers(self, showers: Showers) -> Float[Tensor, "showers layers cells"]:
        return self.field(showers.deposits)[:, 0].flatten(2)

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
        hits = self.pattern(self._layers(showers))
        condition = self._told(self.condition(showers.energies, hits.energies), hits.numbers)
        noise = torch.randn(
            len(showers), *self._code_shape, generator=random, device=condition.device
        )
        known = self.pattern.occupancy_logits(hits.energies)
        return self.process_of_code.loss(self.autoencoder, _seen(hits), known, condition, noise)

    @property
    def _code_shape(self) -> tuple[int, int]:
        return self.recipe.code, len(self.grid) // self.recipe.slab

    @staticmethod
    def _told(
        condition: Float[Tensor, "showers conditions"], numbers: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers told"]:
        """The condition of the autoencoder: that of the flow, and the numbers of hits."""
        return torch.cat([condition, numbers.log1p() / 2 - 1], dim=1)

    @torch.no_grad()
    def points(
        self, showers: Showers, condition: Tensor, random: torch.Generator
    ) -> Float[Tensor, "showers ..."]:
        """A code drawn from the encoder's law, and scores of the numbers of hits."""
        hits = self.pattern(self._layers(showers))
        mean, log_variance = self.autoencoder.encode(
            _seen(hits), self._told(condition, hits.numbers)
        )
        noise = torch.randn(mean.shape, generator=random, device=mean.device)
        u = torch.rand(hits.numbers.shape, generator=random, device=mean.device).clamp(
            _SMALLEST, 1 - _SMALLEST
        )
        scores = self.pattern.number_scores(hits, u).reshape(len(mean), -1, self.recipe.slab).mT
        return torch.cat([mean + (log_variance / 2).exp() * noise, scores], dim=1)[..., None, None]

    def deposits(
        self,
        points: Float[Tensor, "showers ..."],
        energies: Float[Tensor, "showers layers"],
        condition: Float[Tensor, "showers conditions"],
        key: Int64[Tensor, " showers"],
    ) -> Float[Tensor, "showers cells"]:
        """Hits and shares drawn from the decoder's laws."""
        code, scores = torch.split(points[..., 0, 0], [self.recipe.code, self.recipe.slab], dim=1)
        numbers = self.pattern.numbers_of(scores.mT.flatten(1), energies)
        logit, mean, log_width = self.autoencoder.decode(code, self._told(condition, numbers))
        u = streams.uniforms(key, self.calorimeter.n_cells).reshape(logit.shape)
        noise = (
            streams.normals(streams.offspring(key, 0), self.calorimeter.n_cells)
            .float()
            .reshape(logit.shape)
        )
        priority = self.process_of_code.priority(logit + self.pattern.occupancy_logits(energies), u)
        layers = self.pattern.inverse(priority, mean + log_width.exp() * noise, numbers, energies)
        return self.cells(layers.reshape(-1, 1, *self.grid.shape))


def _seen(hits: Hits) -> Float[Tensor, "showers 2 layers cells"]:
    """What the encoder sees."""
    return torch.stack([hits.hit.to(hits.scores), hits.scores], dim=1)
