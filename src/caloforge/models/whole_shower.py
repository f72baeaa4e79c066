r"""Whole showers by a generator that a critic has taught.

A generator makes all cells of a shower at once, from noise and what is known of the particle; the
energies of the layers follow from the cells, so that no stage makes them (`NoEnergiesStage`). What
generator and critic see of a deposit x of a particle of energy E is

.. math:: s = \ln\left(1 + \frac{x}{x_0}\right) \quad\text{or, without softening,}\quad
          s = \frac{x}{1\,\mathrm{MeV}},

of a *relative* deposit with :math:`x E_+ / E` for x, :math:`E_+` the largest energy of the
training. Deposits below the least of the training are none.
"""

__all__ = ["AdversarialStage", "DuelRecipe", "NoEnergiesRecipe", "NoEnergiesStage", "Sight"]

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from pydantic import PositiveFloat
from torch import Tensor, nn

from caloforge.errors import ModelError
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition, LogEnergy
from caloforge.learn.noise import Noise, Numbers, by_generator
from caloforge.learn.processes import Game
from caloforge.models.recipes import Batch, Count, Decay
from caloforge.models.stages import Batches, EnergyStage, ShapeStage, StageRecipe
from caloforge.showers import Showers

_VALIDATION_BATCHES = 4

_NEARLY = 0.999
"""Single precision may round the least deposit down."""


@dataclass(frozen=True)
class NoEnergiesRecipe(StageRecipe):
    """Settings of a `NoEnergiesStage`: none."""


class NoEnergiesStage(EnergyStage):
    """Leaves the energies of the layers to the shape.

    Arguments:
        calorimeter: Where the cells are.
        recipe: The settings.
        beam: In what the particles differ beside their energy.
    """

    gives_energies = False

    def __init__(
        self, calorimeter: Calorimeter, recipe: NoEnergiesRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        del recipe, beam
        super().__init__(calorimeter)

    def prepare(self, showers: Showers) -> None:
        """Nothing."""

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """None."""
        del train, validation, seed, first
        return []

    def noise(self) -> Mapping[str, Noise]:
        """None."""
        return {}

    def given(self, condition: Condition, noise: Numbers) -> Condition:
        """The condition as it is."""
        del noise
        return condition

    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "showers layers"]:
        """Nothing.

        Raises:
            ModelError: Always.
        """
        msg = "the stage 'none' has no energies of the layers: sum up the cells of the shape"
        raise ModelError(msg)


@dataclass(frozen=True)
class DuelRecipe:
    """How long and how fast generator and critic learn.

    Arguments:
        steps: Steps, each of some moves of the critic and one of the generator.
        batch_size: Showers a move.
        learning_rate: The learning rate of the generator.
        critic_learning_rate: That of the critic.
        critic_moves: Moves of the critic in a step.
        betas: Decays of Adam's two moments.
        average: Decay of the moving average of the generator's weights.
    """

    steps: Count
    batch_size: Batch
    learning_rate: PositiveFloat
    critic_learning_rate: PositiveFloat
    critic_moves: Count = 1
    betas: tuple[Decay, Decay] = (0.5, 0.9)
    average: Decay = 0.999


class Sight(nn.Module):
    """What the networks see of deposits.

    Arguments:
        softening: The deposit :math:`x_0`, in MeV; None to see deposits as they are.
        relative: Whether deposits are seen in proportion to the incident energy.
    """

    most: Tensor
    least: Tensor

    def __init__(self, softening: float | None, *, relative: bool) -> None:
        super().__init__()
        self.softening, self.relative = softening, relative
        self.register_buffer("most", torch.ones((), dtype=torch.float64))
        self.register_buffer("least", torch.zeros(()))

    def take(self, showers: Showers) -> None:
        """Take the largest energy and the least deposit."""
        self.most.copy_(showers.energies.max())
        self.least.copy_(_NEARLY * showers.deposits[showers.deposits > 0].min())

    def encode(
        self, deposits: Float[Tensor, "showers cells"], condition: Condition
    ) -> Float[Tensor, "showers cells"]:
        """What is seen of deposits in MeV."""
        scaled = deposits * self._factor(condition)
        return scaled if self.softening is None else (scaled / self.softening).log1p()

    def decode(
        self, seen: Float[Tensor, "showers cells"], condition: Condition
    ) -> Float[Tensor, "showers cells"]:
        """The deposits, in MeV."""
        scaled = seen if self.softening is None else seen.expm1() * self.softening
        deposits = scaled / self._factor(condition)
        return torch.where(deposits >= self.least, deposits, 0.0)

    def _factor(self, condition: Condition) -> Float[Tensor, "showers 1"]:
        energies = condition.incident_energies[:, None]
        factor = self.most / energies if self.relative else torch.ones_like(energies)
        return factor.float()


class AdversarialStage(ShapeStage):
    """A whole shower, by a generator against a critic.

    Arguments:
        calorimeter: Where the cells are.
        generator: Makes what is seen of the cells, in the order of ``order``, from the noise and
            the numbers of the condition.
        critic: A number for what is seen, under the numbers of the condition.
        game: What the two play.
        duel: How they learn.
        sight: What they see.
        beam: In what the particles differ beside their energy.
    """

    asks_for_energies = False
    order: Tensor

    def __init__(
        self,
        calorimeter: Calorimeter,
        generator: nn.Module,
        critic: nn.Module,
        game: Game,
        duel: DuelRecipe,
        sight: Sight,
        beam: Beam,
    ) -> None:
        super().__init__(calorimeter)
        self.generator, self.critic, self.game, self.duel = generator, critic, game, duel
        self.sight, self.log_energy = sight, LogEnergy(beam)
        self.register_buffer("order", calorimeter.layer_order, persistent=False)

    @abstractmethod
    def noise(self) -> Mapping[str, Noise]:
        """The noise of the generator, under the name ``latent``."""

    def features(self, condition: Condition) -> Float[Tensor, "showers features"]:
        """The condition of generator and critic."""
        features: Tensor = self.log_energy(condition)
        return features

    @cached_property
    def _places(self) -> Int64[Tensor, " cells"]:
        return self.order.argsort()

    def prepare(self, showers: Showers) -> None:
        """Take range and least deposit."""
        self.log_energy.adapt(Condition.of(showers))
        self.sight.take(showers)

    def seen(self, showers: Showers) -> Float[Tensor, "showers cells"]:
        """What is seen of showers, layer by layer."""
        return self.sight.encode(showers.deposits, Condition(showers.particles))[:, self.order]

    def made(self, condition: Condition, noise: Numbers) -> Float[Tensor, "showers cells"]:
        """What the generator makes, layer by layer."""
        made: Tensor = self.generator(noise["latent"].float(), self.features(condition))
        return made.flatten(1)

    def extra_loss(
        self,
        made: Float[Tensor, "showers cells"],
        true: Float[Tensor, "showers cells"],
        condition: Condition,
    ) -> Tensor | float:
        """What the generator minimises beside its loss against the critic: nothing, as a rule."""
        del made, true, condition
        return 0.0

    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "showers cells"]:
        """The deposits, in MeV."""
        made = self.made(condition, noise)[:, self._places]
        return self.sight.decode(made, condition)

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """The duel."""
        return [self.duel_objective(train, validation, seed, first)]

    def duel_objective(
        self, train: Showers, validation: Showers, seed: int, number: int
    ) -> training.Objective:
        """Critic against generator; the validation is the distance that the critic finds."""
        duel, batches = self.duel, Batches(train, seed, number)

        def loss(of: Callable[..., Tensor]) -> training.Loss:
            return lambda batch: of(*batches.draw(batch, duel.batch_size))

        adams = (
            training.Adam(rate, betas=duel.betas)
            for rate in (duel.critic_learning_rate, duel.learning_rate)
        )
        critic = training.Player(
            self.critic, loss(self.critic_loss), next(adams), moves=duel.critic_moves
        )
        generator = training.Player(
            self.generator, loss(self.generator_loss), next(adams), average=duel.average
        )
        held_out = Batches(validation, seed, number)
        watch = None if not len(validation) else lambda: self._distance(held_out)
        return training.duel("showers", critic, generator, steps=duel.steps, validation=watch)

    def critic_loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The critic's loss; the generator stands still."""
        true, made, condition = self._both(showers, random)
        features = self.features(condition)
        return self.game.critic_loss(self.critic, true, made.detach(), features, random)

    def generator_loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The generator's loss; the critic stands still."""
        true, made, condition = self._both(showers, random)
        against = self.game.generator_loss(self.critic, made, self.features(condition))
        loss: Tensor = against + self.extra_loss(made, true, condition)
        return loss

    def _both(self, showers: Showers, random: torch.Generator) -> tuple[Tensor, Tensor, Condition]:
        """True showers and those made of the same particles."""
        condition = Condition(showers.particles)
        noise = by_generator(self.noise(), len(showers), random)
        return self.seen(showers), self.made(condition, noise), condition

    @torch.no_grad()
    def _distance(self, held_out: Batches) -> float:
        """The mean over a few fixed batches."""
        found = []
        for batch in range(_VALIDATION_BATCHES):
            true, made, known = self._both(*held_out.draw(batch, self.duel.batch_size))
            found.append(self.game.distance(self.critic, true, made, self.features(known)))
        return float(torch.stack(found).mean())
