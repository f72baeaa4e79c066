"""The energies of the layers by a masked autoregressive flow.

What the flow sees of them is a representation that fills layers without energy at random, below
what a layer with energy has. The condition is what is known of the particle. A shower that deposits
more of its energy than any of the training is drawn again (the *veto* of L2LFlows,
arXiv:2405.20407), with a warning, and if that does not help scaled down to what was seen.
"""

__all__ = ["MaskedEnergiesRecipe", "MaskedEnergiesStage", "MaskedSizes", "masked_flow"]

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat
from torch import Tensor

from caloforge.errors import RepresentationWarning
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import Beam, Condition, LogEnergy
from caloforge.learn.graph_loops import GraphLoop, graph_loop
from caloforge.learn.networks import MaskedFlow
from caloforge.learn.networks.folding import WhileSame
from caloforge.learn.noise import Noise, Numbers, by_generator
from caloforge.learn.processes import NormalizingFlow
from caloforge.learn.representations import EnergyRepresentation
from caloforge.models.recipes import Depth, Width
from caloforge.models.stages import Batches, EnergyStage, Schedule, StageRecipe
from caloforge.particles import Particles
from caloforge.showers import Showers

_ATTEMPTS = 10
_PADDING = 16


@dataclass(frozen=True)
class MaskedSizes:
    """The sizes of a masked autoregressive flow.

    Arguments:
        blocks: Blocks.
        hidden: Widths of the hidden layers of a block's network.
        bins: Bins of the splines, or None for affine maps.
        bound: The splines' interval is [-bound, bound].
        slope: The least slope of a spline.
    """

    blocks: Depth
    hidden: tuple[Width, ...]
    bins: Width | None = 8
    bound: PositiveFloat = 5.0
    slope: PositiveFloat = 1e-3


def masked_flow(features: int, condition: int, sizes: MaskedSizes) -> MaskedFlow:
    """A flow of such sizes.

    Arguments:
        features: Numbers that it makes.
        condition: Numbers in its condition.
        sizes: Its sizes.
    """
    return MaskedFlow(
        features,
        condition,
        blocks=sizes.blocks,
        hidden=sizes.hidden,
        bins=sizes.bins,
        bound=sizes.bound,
        slope=sizes.slope,
    )


@dataclass(frozen=True, kw_only=True)
class MaskedEnergiesRecipe(StageRecipe):
    """Settings of a `MaskedEnergiesStage`.

    Arguments:
        network: The sizes of the flow.
        schedule: The training.
        veto: The largest part of its energy that a shower may deposit; None for that of the
            training showers.
    """

    network: MaskedSizes
    schedule: Schedule
    veto: PositiveFloat | None = None


class MaskedEnergiesStage(EnergyStage):
    """The energies of the layers by a masked autoregressive flow.

    Arguments:
        calorimeter: Where the cells are.
        recipe: The settings.
        representation: What the flow sees of the energies.
        beam: In what the particles differ beside their energy.
    """

    most: Tensor
    least: Tensor

    def __init__(
        self,
        calorimeter: Calorimeter,
        recipe: MaskedEnergiesRecipe,
        representation: EnergyRepresentation,
        beam: Beam,
    ) -> None:
        super().__init__(calorimeter)
        self.schedule, self.veto = recipe.schedule, recipe.veto
        self.process, self.log_energy = NormalizingFlow(), LogEnergy(beam)
        for name in ("most", "least"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))
        self.network = masked_flow(calorimeter.n_layers, beam.width, recipe.network)
        self.representation = representation
        self._kept = WhileSame[MaskedFlow]()

    def prepare(self, showers: Showers) -> None:
        """Take moments, range, and the least energy of a layer."""
        condition = Condition.of(showers)
        energies = condition.layer_energies
        self.least.copy_(energies[energies > 0].min())
        seen = (energies.double().sum(dim=1) / condition.incident_energies).max()
        self.most.copy_(seen if self.veto is None else torch.tensor(self.veto))
        self.log_energy.adapt(condition)
        self.representation.fit(energies, condition)

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """One objective."""
        batches, held_out = Batches(train, seed, first), Batches(validation, seed, first)
        return [
            self.schedule.objective("layer energies", self.network, self.loss, batches, held_out)
        ]

    def loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The negative log likelihood per layer."""
        return self.process.loss(self.network, *self._seen(showers, random), random)

    def log_likelihood(
        self, showers: Showers, random: torch.Generator
    ) -> Float[Tensor, " showers"]:
        """The log density of what the flow sees of showers, in nats."""
        return self.process.log_likelihood(self.network, *self._seen(showers, random))

    @property
    def encoding_noise(self) -> Mapping[str, Noise]:
        """What `log_density` takes."""
        return self.representation.noise()

    def log_density(self, condition: Condition, noise: Numbers) -> Float[Tensor, " showers"]:
        r"""The log density :math:`\ln p(E_1, \dots, E_L)` of the energies of the layers, given the
        particles, up to what depends on these energies alone.

        Arguments:
            condition: The particles and the energies of the layers.
            noise: The random numbers that the representation asks for.
        """
        flow = self._kept(self.network, self.network.folded)
        density = self.process.log_likelihood(flow, *self._encoded(condition, noise))
        stretch = self.representation.log_stretch(condition.layer_energies, condition)
        return density.double() + stretch

    def _seen(
        self, showers: Showers, random: torch.Generator
    ) -> tuple[Float[Tensor, "showers layers"], Float[Tensor, "showers known"]]:
        noise = by_generator(self.representation.noise(), len(showers), random)
        return self._encoded(Condition.of(showers), noise)

    def _encoded(
        self, condition: Condition, noise: Numbers
    ) -> tuple[Float[Tensor, "showers layers"], Float[Tensor, "showers known"]]:
        """The energies of the layers as the flow sees them, and what it is told."""
        values = self.representation.encode(condition.layer_energies, condition, noise)
        return values, self.log_energy(condition)

    def noise(self) -> Mapping[str, Noise]:
        """The start of the flow, and those of further attempts."""
        layers = self.calorimeter.n_layers
        return {
            "start": Noise("normal", (layers,)),
            "again": Noise("normal", (_ATTEMPTS, layers), branches=True),
        }

    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "showers layers"]:
        """By the flow, again where the shower deposits too much."""
        energies, incident = self._made(condition, noise["start"]), condition.incident_energies
        loop = graph_loop()
        if loop is not None:
            return self._scaled(self._repeated(loop, energies, noise["again"], condition), incident)
        for attempt in range(_ATTEMPTS):
            rows = self._beyond(energies, incident).nonzero()[:, 0]
            if not len(rows):
                return energies
            _warn(len(rows), len(incident))
            padded = torch.cat([rows, rows[-1:].expand(-len(rows) % _PADDING)])
            again = self._made(condition[padded], noise["again"][padded, attempt])
            energies = energies.index_copy(0, rows, again[: len(rows)])
        return self._scaled(energies, incident)

    def _repeated(
        self,
        loop: GraphLoop,
        energies: Float[Tensor, "showers layers"],
        again: Float[Tensor, "showers attempts layers"],
        condition: Condition,
    ) -> Float[Tensor, "showers layers"]:
        """Again where a shower deposits too much, in a loop of a graph."""
        incident, known = condition.incident_energies, self.log_energy(condition)

        def body(
            beyond: Tensor, energies: Tensor, start: Tensor, known: Tensor, incident: Tensor
        ) -> tuple[Tensor, ...]:
            made = self._of_start(start, known, Condition(Particles(incident)))
            energies = torch.where(beyond[:, None], made, energies)
            return self._beyond(energies, incident), energies

        carried = self._beyond(energies, incident), energies
        _, energies = loop(body, carried, [again], [known, incident], conditional=True)
        return energies

    def _scaled(
        self, energies: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"]
    ) -> Float[Tensor, "showers layers"]:
        """Scaled down to what was seen."""
        scale = (self.most * incident / energies.sum(dim=1).clamp_min(self.least)).clamp_max(1)
        energies = energies * scale[:, None]
        return torch.where(energies >= self.least, energies, 0.0)

    def _made(
        self, condition: Condition, start: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers layers"]:
        return self._of_start(start, self.log_energy(condition), condition)

    def _of_start(
        self,
        start: Float[Tensor, "showers layers"],
        known: Float[Tensor, "showers known"],
        condition: Condition,
    ) -> Float[Tensor, "showers layers"]:
        flow = self._kept(self.network, self.network.folded)
        values = self.process.sample(flow, start, known)
        energies = self.representation.decode(values, condition)
        return torch.where(energies >= self.least, energies, 0.0)

    def _beyond(
        self, energies: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"]
    ) -> Bool[Tensor, " showers"]:
        return energies.sum(dim=1) > self.most * incident


def _warn(again: int, showers: int) -> None:
    msg = (
        f"{again} of {showers} showers deposit a larger part of their energy than those of the "
        "training did, and are drawn again"
    )
    warnings.warn(msg, RepresentationWarning, stacklevel=4)
