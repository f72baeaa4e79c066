"""The WGAN of Getting High (E. Buhmann et al., arXiv:2005.05334, sections 4.2 and 4.3).

- `WganStage`: a generator by transposed convolutions in three dimensions, against a critic with
  gradient penalty (`Wasserstein`); an *energy constrainer*, a regression of the incident energy
  that was trained on full showers alone, tells the generator what the critic overlooks.
- `NoEnergies`: the stage ``none`` of the energies of the layers, which the generator makes itself.

With a(x) the constrainer's energy of a shower x, of the full simulation or made (`x'`), the
generator minimises beside the critic's loss the mean of `| (a(x') - E)^2 - (a(x) - E)^2 |`, in GeV
squared, times a weight. The sizes are those of the public code, whose sums are the published
numbers. Condition is the scaled logarithm of the energy, not the energy in GeV.
"""

__all__ = ["ConvolutionSizes", "NoEnergies", "WganRecipe", "WganStage"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition
from caloforge.learn.networks import FieldScore, ScoreSizes, TransposedGenerator
from caloforge.learn.noise import Noise
from caloforge.learn.processes import Wasserstein
from caloforge.models import STAGES, StageRecipe
from caloforge.models.recipes import Width
from caloforge.models.share_flow import Triple, image_shape
from caloforge.models.stages import Batches, Schedule
from caloforge.models.whole_shower import (
    AdversarialStage,
    DuelRecipe,
    NoEnergiesRecipe,
    NoEnergiesStage,
    Sight,
)
from caloforge.showers import Showers
from caloforge.units import GeV


@STAGES.register("none", NoEnergiesRecipe)
class NoEnergies(NoEnergiesStage):
    """No energies of the layers."""


@dataclass(frozen=True)
class ConvolutionSizes:
    """Convolutions, then linear layers, to one number.

    Arguments:
        channels: The channels behind each convolution.
        kernels: The kernels, along layers, y (alpha) and x (r).
        strides: The strides.
        pads: The padding on either side.
        widths: The widths of the hidden linear layers.
    """

    channels: tuple[Width, ...]
    kernels: tuple[Triple, ...]
    strides: tuple[Triple, ...]
    pads: tuple[Triple, ...]
    widths: tuple[Width, ...]

    def network(self, shape: Triple, condition: int) -> FieldScore:
        """The network of fields of a shape."""
        sizes = ScoreSizes(self.channels, self.kernels, self.strides, self.pads, self.widths)
        return FieldScore(shape, condition, sizes)


@dataclass(frozen=True)
class WganRecipe(StageRecipe):
    """Settings of a `WganStage`.

    Arguments:
        latent: Numbers of the generator's noise, uniform in [-1, 1].
        channels: Channels of the generator before its last convolution.
        critic: The sizes of the critic.
        constrainer: Those of the energy constrainer.
        penalty: The weight of the gradient penalty.
        constraint: The weight of the energy constrainer.
        constrainer_schedule: The training of the energy constrainer.
        duel: The training of generator and critic.
        softening: The deposit, in MeV, above which networks see logarithms; None for deposits as
            they are.
        relative: Whether they see deposits in proportion to the incident energy.
    """

    latent: Width
    channels: Width
    critic: ConvolutionSizes
    constrainer: ConvolutionSizes
    penalty: NonNegativeFloat
    constraint: NonNegativeFloat
    constrainer_schedule: Schedule
    duel: DuelRecipe
    softening: PositiveFloat | None = None
    relative: bool = False


class _Flat(nn.Module):
    """A network of images, of flat cells.

    Arguments:
        network: The network.
        shape: The shape of the image.
    """

    def __init__(self, network: nn.Module, shape: Triple) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    def forward(
        self, cells: Float[Tensor, "showers cells"], condition: Float[Tensor, "showers known"]
    ) -> Float[Tensor, " showers"]:
        """A number a shower."""
        scored: Tensor = self.network(cells.reshape(-1, 1, *self.shape), condition)
        return scored


@STAGES.register("wgan", WganRecipe)
class WganStage(AdversarialStage):
    """Whole showers, by a WGAN with an energy constrainer.

    Arguments:
        calorimeter: Where the cells are: an image.
        recipe: The settings.
        beam: In what the particles differ beside their energy.
    """

    def __init__(
        self, calorimeter: Calorimeter, recipe: WganRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        shape = image_shape(calorimeter)
        generator = TransposedGenerator(shape, recipe.latent, beam.width, recipe.channels)
        critic = _Flat(recipe.critic.network(shape, beam.width), shape)
        game, sight = Wasserstein(recipe.penalty), Sight(recipe.softening, relative=recipe.relative)
        super().__init__(calorimeter, generator, critic, game, recipe.duel, sight, beam)
        self.constrainer = _Flat(recipe.constrainer.network(shape, 0), shape)
        self.constraint, self.schedule = recipe.constraint, recipe.constrainer_schedule
        self.latent = recipe.latent

    def noise(self) -> Mapping[str, Noise]:
        """Uniform numbers."""
        return {"latent": Noise("uniform", (self.latent,))}

    def made(
        self, condition: Condition, noise: Mapping[str, Tensor]
    ) -> Float[Tensor, "showers cells"]:
        """What the generator makes of uniform numbers in [-1, 1]."""
        return super().made(condition, {"latent": 2 * noise["latent"] - 1})

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """The energy constrainer, then the duel."""
        batches, held_out = Batches(train, seed, first), Batches(validation, seed, first)
        constrainer = self.schedule.objective(
            "energy constrainer", self.constrainer, self.constrainer_loss, batches, held_out
        )
        return [constrainer, self.duel_objective(train, validation, seed, first + 1)]

    def constrainer_loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The mean error of the energy, in GeV."""
        del random
        return (
            (self._energy(self.seen(showers)) - _in_gev(Condition(showers.particles))).abs().mean()
        )

    def extra_loss(
        self,
        made: Float[Tensor, "showers cells"],
        true: Float[Tensor, "showers cells"],
        condition: Condition,
    ) -> Float[Tensor, ""]:
        """The energy constraint."""
        energies = _in_gev(condition)
        of_made, of_true = ((self._energy(x) - energies).square() for x in (made, true))
        return self.constraint * (of_made - of_true).abs().mean()

    def _energy(self, seen: Float[Tensor, "showers cells"]) -> Float[Tensor, " showers"]:
        """The constrainer's energy, in GeV."""
        largest = (self.sight.most / GeV).float()
        energy: Tensor = self.constrainer(seen, seen[:, :0]) * largest
        return energy


def _in_gev(condition: Condition) -> Float[Tensor, " showers"]:
    return (condition.incident_energies / GeV).float()
