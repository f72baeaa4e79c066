"""The energies of the layers by a masked autoregressive flow.

Two ways to see them, each a stage: as logits of what they are of the largest (`EnergiesStage`:
L2LFlows, arXiv:2405.20407, section 3.2), or as softened ratios of what is left of the shower
(`RatiosStage`: flow 1 of CaloFlow, arXiv:2106.05285, in a representation near CaloDREAM's, see
`SoftRatios`). Both fill layers without energy at random, below what a layer with energy has. The
condition is the incident energy. A shower that deposits more of its energy than any of the training
is drawn again (the *veto* of L2LFlows), with a warning, and if that does not help scaled down to
what was seen.
"""

__all__ = [
    "EnergiesRecipe",
    "EnergiesStage",
    "MaskedSizes",
    "MaskedStage",
    "RatiosRecipe",
    "RatiosStage",
]

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from caloforge import streams
from caloforge.errors import RepresentationWarning
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.networks import MaskedFlow
from caloforge.learn.processes import NormalizingFlow
from caloforge.learn.representations import LayerEnergies, LogEnergy, SoftRatios
from caloforge.models import STAGES, StageRecipe
from caloforge.models.stages import EnergyStage, Lessons, Schedule
from caloforge.observables import layer_energies
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

    blocks: PositiveInt
    hidden: tuple[PositiveInt, ...]
    bins: PositiveInt | None = 8
    bound: PositiveFloat = 5.0
    slope: PositiveFloat = 1e-3


@dataclass(frozen=True)
class EnergiesRecipe(StageRecipe):
    """Settings of an `EnergiesStage`.

    Arguments:
        network: The sizes of the flow.
        schedule: The training.
        veto: The largest part of its energy that a shower may deposit; None for that of the
            training showers.
        scale: The energy, in MeV, of which the energies of the layers are parts; None for the
            largest of the training showers.
        standardised: Whether the logits are brought to mean 0 and variance 1.
    """

    network: MaskedSizes
    schedule: Schedule
    veto: PositiveFloat | None = None
    scale: PositiveFloat | None = None
    standardised: bool = True


@dataclass(frozen=True)
class RatiosRecipe(StageRecipe):
    """Settings of a `RatiosStage`.

    Arguments:
        scale: The scale f of the total energy: no shower deposits more than f times its incident
            energy.
        network: The sizes of the flow.
        schedule: The training.
        veto: The largest part of its energy that a shower may deposit; None for that of the
            training showers.
        softening: The energy of a faint layer, in MeV; None to take it from the training showers.
    """

    scale: PositiveFloat
    network: MaskedSizes
    schedule: Schedule
    veto: PositiveFloat | None = None
    softening: PositiveFloat | None = None


class MaskedStage(EnergyStage):
    """What both stages share."""

    most: Tensor
    least: Tensor

    def __init__(self, calorimeter: Calorimeter, recipe: EnergiesRecipe | RatiosRecipe) -> None:
        super().__init__(calorimeter)
        self.schedule, self.veto, sizes = recipe.schedule, recipe.veto, recipe.network
        self.process, self.log_energy = NormalizingFlow(), LogEnergy()
        for name in ("most", "least"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))
        self.network = MaskedFlow(
            calorimeter.n_layers,
            1,
            blocks=sizes.blocks,
            hidden=sizes.hidden,
            bins=sizes.bins,
            bound=sizes.bound,
            slope=sizes.slope,
        )

    @abstractmethod
    def values(
        self,
        energies: Float[Tensor, "showers layers"],
        incident: Float[Tensor, " showers"],
        random: torch.Generator,
    ) -> Float[Tensor, "showers layers"]:
        """The energies of the layers as the flow sees them."""

    @abstractmethod
    def energies(
        self, values: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"]
    ) -> Float[Tensor, "showers layers"]:
        """What such values stand for, in MeV."""

    def fit(self, showers: Showers) -> None:
        """Take moments, range, and the least energy of a layer."""
        energies = layer_energies(showers)
        self.least.copy_(energies[energies > 0].min())
        seen = (energies.double().sum(dim=1) / showers.energies.double()).max()
        self.most.copy_(seen if self.veto is None else torch.tensor(self.veto))
        self.log_energy.fit(showers.energies)

    def phases(
        self, taught: Showers, held: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """One phase."""
        lessons, exam = Lessons(taught, seed, first), Lessons(held, seed, first)
        return [self.schedule.phase("layer energies", self.network, self.loss, lessons, exam)]

    def loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The negative log likelihood per layer."""
        values = self.values(layer_energies(showers), showers.energies, random)
        return self.process.loss(self.network, values, self.log_energy(showers.energies))

    def log_likelihood(
        self, showers: Showers, random: torch.Generator
    ) -> Float[Tensor, " showers"]:
        """The log density of what the flow sees of showers, in nats."""
        values = self.values(layer_energies(showers), showers.energies, random)
        return self.process.log_likelihood(self.network, values, self.log_energy(showers.energies))

    def sample(
        self, incident: Float[Tensor, " showers"], key: Int64[Tensor, " showers"]
    ) -> Float[Tensor, "showers layers"]:
        """By the flow, again where the shower deposits too much."""
        energies = self._draw(incident, key)
        for attempt in range(_ATTEMPTS):
            rows = self._beyond(energies, incident).nonzero()[:, 0]
            if not len(rows):
                return energies
            _tell(len(rows), len(incident))
            padded = torch.cat([rows, rows[-1:].expand(-len(rows) % _PADDING)])
            again = self._draw(incident[padded], streams.offspring(key[padded], attempt))
            energies = energies.index_copy(0, rows, again[: len(rows)])
        energies = (
            energies
            * (self.most * incident / energies.sum(dim=1).clamp_min(self.least)).clamp_max(1)[
                :, None
            ]
        )
        return torch.where(energies >= self.least, energies, 0.0)

    def _draw(
        self, incident: Float[Tensor, " showers"], key: Int64[Tensor, " showers"]
    ) -> Float[Tensor, "showers layers"]:
        start = streams.normals(key, self.calorimeter.n_layers).float()
        values = self.process.transport(self.network, start, self.log_energy(incident))
        energies = self.energies(values, incident)
        return torch.where(energies >= self.least, energies, 0.0)

    def _beyond(
        self, energies: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"]
    ) -> Bool[Tensor, " showers"]:
        return energies.sum(dim=1) > self.most * incident


def _tell(again: int, showers: int) -> None:
    msg = (
        f"{again} of {showers} showers deposit a larger part of their energy than those of the "
        "training did, and are drawn again"
    )
    warnings.warn(msg, RepresentationWarning, stacklevel=4)


@STAGES.register("masked-energies", EnergiesRecipe)
class EnergiesStage(MaskedStage):
    """The logits of what the energies of the layers are of the largest."""

    def __init__(self, calorimeter: Calorimeter, recipe: EnergiesRecipe) -> None:
        super().__init__(calorimeter, recipe)
        self.representation = LayerEnergies(
            calorimeter.n_layers, scale=recipe.scale, standardised=recipe.standardised
        )

    def fit(self, showers: Showers) -> None:
        """Take moments, range, the largest energy and the least."""
        super().fit(showers)
        energies = layer_energies(showers)
        self.representation.fit(
            energies, _normals(energies, training.generator(0, 0, 0, energies.device))
        )

    def values(
        self,
        energies: Float[Tensor, "showers layers"],
        incident: Float[Tensor, " showers"],
        random: torch.Generator,
    ) -> Float[Tensor, "showers layers"]:
        """Logits, with noise."""
        del incident
        values: Tensor = self.representation(energies, _normals(energies, random))
        return values

    def energies(
        self, values: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"]
    ) -> Float[Tensor, "showers layers"]:
        """The inverse of `values`, without the noise."""
        del incident
        return self.representation.inverse(values)


@STAGES.register("masked-ratios", RatiosRecipe)
class RatiosStage(MaskedStage):
    """The standardised logits of the softened ratios of the layers' energies."""

    def __init__(self, calorimeter: Calorimeter, recipe: RatiosRecipe) -> None:
        super().__init__(calorimeter, recipe)
        self.representation = SoftRatios(calorimeter.n_layers, recipe.scale, recipe.softening)

    def fit(self, showers: Showers) -> None:
        """Take moments, range, the softening and the least energy of a layer."""
        super().fit(showers)
        energies = layer_energies(showers)
        self.representation.fit(
            energies,
            showers.energies,
            _normals(energies, training.generator(0, 0, 0, energies.device)),
        )

    def values(
        self,
        energies: Float[Tensor, "showers layers"],
        incident: Float[Tensor, " showers"],
        random: torch.Generator,
    ) -> Float[Tensor, "showers layers"]:
        """Logits, empty layers filled."""
        values: Tensor = self.representation(energies, incident, _normals(energies, random))
        return values

    def energies(
        self, values: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"]
    ) -> Float[Tensor, "showers layers"]:
        """The inverse of `values`."""
        return self.representation.inverse(values, incident)


def _normals(
    energies: Float[Tensor, "showers layers"], random: torch.Generator
) -> Float[Tensor, "showers layers"]:
    return torch.randn(energies.shape, generator=random, device=energies.device)
