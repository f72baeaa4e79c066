"""Showers as hits, by a flow of codes and numbers of hits and a decoder of both."""

__all__ = ["HitFlowStage"]

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import Beam, Condition
from caloforge.learn.networks import HitAutoencoder
from caloforge.learn.noise import Noise, Numbers
from caloforge.learn.processes import Hurdle, HurdleNoise
from caloforge.learn.representations import HitPattern, Hits
from caloforge.learn.symmetry import Orbits
from caloforge.models.flow_stage import FlowRecipe, FlowStage
from caloforge.models.stages import Batches, Schedule
from caloforge.showers import Showers

_SMALLEST = 1e-6
"""Uniform numbers lie at least so far from 0 and 1."""


class HitFlowStage(FlowStage):
    """Codes and numbers of hits by a flow, hits and their shares by a decoder.

    Arguments:
        calorimeter: Where the cells are.
        flow: The settings of the flow.
        network: The velocity.
        autoencoder: Encoder and decoder.
        beta: Weight of the divergence in its loss.
        schedule: Its training.
        beam: In what the particles differ beside their energy.
    """

    def __init__(
        self,
        calorimeter: Calorimeter,
        flow: FlowRecipe,
        network: nn.Module,
        autoencoder: HitAutoencoder,
        beta: float,
        schedule: Schedule,
        beam: Beam,
    ) -> None:
        super().__init__(calorimeter, flow, network, beam)
        self.autoencoder, self.code_process = autoencoder, Hurdle(beta)
        self.code_schedule = schedule
        orbit = Orbits(calorimeter.mesh_symmetries).orbit
        self.pattern = HitPattern(orbit[self.grid].flatten(1))

    @property
    def point_shape(self) -> tuple[int, ...]:
        """For each layer group its code and the scores of its layers' numbers of hits."""
        code, group = self._sizes
        return code + group, len(self.grid) // group, 1, 1

    @property
    def _sizes(self) -> tuple[int, int]:
        """Numbers in a code, and layers in a group."""
        return self.autoencoder.code, self.autoencoder.layer_group

    def prepare(self, showers: Showers) -> None:
        """Take moments, range, threshold and tables."""
        super().prepare(showers)
        self.pattern.fit(self._layers(showers), Condition.to_fit(showers))

    def _layers(self, showers: Showers) -> Float[Tensor, "showers layers cells"]:
        return self.field(showers.deposits)[:, 0].flatten(2)

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """The autoencoder's, then those of the flow."""
        batches, held_out = Batches(train, seed, first), Batches(validation, seed, first)
        code = self.code_schedule.objective(
            "autoencoder", self.autoencoder, self.code_loss, batches, held_out
        )
        return [code, *self.flow_objectives(train, validation, seed, first + 1)]

    def code_loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The loss of the autoencoder."""
        hits = self.pattern.hits(self._layers(showers))
        features = self.features(Condition(showers.particles, hits.energies))
        seen = _seen(hits), self.pattern.occupancy_logits(hits.energies)
        conditioned = self._with_numbers(features, hits.numbers)
        return self.code_process.loss(self.autoencoder, seen, conditioned, random)

    @staticmethod
    def _with_numbers(
        features: Float[Tensor, "showers features"], numbers: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers conditions"]:
        """The condition of the autoencoder: that of the flow, and the numbers of hits before what
        is known of the particle beside its energy.
        """
        energies = numbers.shape[1] + 1
        parts = [features[:, :energies], numbers.log1p() / 2 - 1, features[:, energies:]]
        return torch.cat(parts, dim=1)

    @torch.no_grad()
    def points(
        self, showers: Showers, features: Tensor, random: torch.Generator
    ) -> Float[Tensor, "showers ..."]:
        """A code drawn from the encoder's distribution, and scores of the numbers of hits."""
        hits = self.pattern.hits(self._layers(showers))
        conditioned = self._with_numbers(features, hits.numbers)
        mean, log_variance = self.autoencoder.encode(_seen(hits), conditioned)
        noise = torch.randn(mean.shape, generator=random, device=mean.device)
        u = torch.rand(hits.numbers.shape, generator=random, device=mean.device)
        scores = self.pattern.number_scores(hits, u.clamp(_SMALLEST, 1 - _SMALLEST))
        scores = scores.reshape(len(mean), -1, self._sizes[1]).mT
        return torch.cat([mean + (log_variance / 2).exp() * noise, scores], dim=1)[..., None, None]

    def noise(self) -> Mapping[str, Noise]:
        """The start of the flow, and what is left to chance in the cells."""
        cells = tuple(self.pattern.orbit.shape)
        chance = {"hits": Noise("uniform", cells, (0,)), "shares": Noise("normal", cells, (0, 0))}
        return {**super().noise(), **chance}

    def deposits(
        self,
        points: Float[Tensor, "showers ..."],
        condition: Condition,
        features: Float[Tensor, "showers features"],
        noise: Numbers,
    ) -> Float[Tensor, "showers cells"]:
        """Hits and shares drawn from the decoder's distributions."""
        energies = condition.layer_energies
        code, scores = torch.split(points[..., 0, 0], list(self._sizes), dim=1)
        numbers = self.pattern.numbers_of(scores.mT.flatten(1), energies)
        known = self.pattern.occupancy_logits(energies)
        drawn = HurdleNoise(code, known, noise["hits"], noise["shares"])
        conditioned = self._with_numbers(features, numbers)
        priority, shares = self.code_process.sample(self.autoencoder, drawn, conditioned)
        layers = self.pattern.placed(priority, shares, numbers, energies)
        return self.cells(layers.reshape(-1, 1, *self.grid.shape))


def _seen(hits: Hits) -> Float[Tensor, "showers 2 layers cells"]:
    """What the encoder sees."""
    return torch.stack([hits.hit.to(hits.scores), hits.scores], dim=1)
