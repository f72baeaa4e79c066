r"""A surrogate factorises the distribution of a shower into two stages (CaloDREAM,
arXiv:2405.09629, eq. 4).

With :math:`E` the incident energy, :math:`E_l` the energy in layer :math:`l` and :math:`x` the
deposits,

.. math:: E_1, \dots, E_L \sim p_\phi(E_1, \dots, E_L \mid E), \qquad
          x \sim p_\theta(x \mid E_1, \dots, E_L, E).

An `EnergyStage` samples the first factor, a `ShapeStage` the second; any of one kind goes with any
of the other. A stage owns its representations, which `prepare` fits to training showers, and its
networks, which the objectives that it names train. Its random numbers are drawn outside of it
(`caloforge.learn.noise`), so that it makes the same shower wherever it runs.
"""

__all__ = ["Batches", "EnergyStage", "Schedule", "ShapeStage", "Stage", "StageRecipe"]

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition
from caloforge.learn.noise import Noise, Numbers
from caloforge.models.recipes import Batch
from caloforge.models.registry import STAGES
from caloforge.showers import Showers

_VALIDATION_BATCHES = 4


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network learns.

    Arguments:
        epochs: How often each training shower is seen, on average; need not be whole.
        batch_size: Showers a step.
        learning_rate: The peak learning rate.
        weight_decay: Decoupled weight decay.
        average: Decay of the moving average of the weights, in [0, 1).
        clip: The largest norm of a gradient.
    """

    epochs: Annotated[float, Field(gt=0, le=1_000_000)]
    batch_size: Batch
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat = 0.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.999
    clip: PositiveFloat = 1.0

    def objective(
        self, name: str, network: nn.Module, loss: "Loss", batches: "Batches", held_out: "Batches"
    ) -> training.Objective:
        """The objective of so many epochs of the batches; its validation is the loss on a few fixed
        batches of the held-out validation set.
        """

        @torch.no_grad()
        def validate() -> float:
            return (
                sum(
                    loss(*held_out.draw(step, self.batch_size)).item()
                    for step in range(_VALIDATION_BATCHES)
                )
                / _VALIDATION_BATCHES
            )

        return training.minimise(
            name,
            network,
            lambda step: loss(*batches.draw(step, self.batch_size)),
            steps=max(1, round(self.epochs * len(batches.showers) / self.batch_size)),
            adam=training.Adam(self.learning_rate, self.weight_decay),
            schedule=training.WarmCosine(),
            average=self.average,
            clip=self.clip,
            validation=validate,
        )


Loss = Callable[[Showers, torch.Generator], Float[Tensor, ""]]
"""The loss on a batch of showers, with the random numbers of the step."""


@dataclass(frozen=True)
class Batches:
    """Batches of showers, each turned at random by a symmetry of the calorimeter: a function of the
    step alone.

    Arguments:
        showers: The showers to draw from, with replacement.
        seed: The seed of the training.
        number: The number of the objective.
    """

    showers: Showers
    seed: int
    number: int

    def draw(self, step: int, size: int) -> tuple[Showers, torch.Generator]:
        """The showers of a step, and the random numbers for the rest of it."""
        device = self.showers.deposits.device
        random = training.generator(self.seed, self.number, step, device)
        rows = torch.randint(len(self.showers), (size,), generator=random, device=device)
        return turned(self.showers[rows], random), random


def turned(showers: Showers, random: torch.Generator) -> Showers:
    """Each shower turned or mirrored by a random symmetry of the calorimeter."""
    n, device = len(showers.calorimeter.symmetries), showers.deposits.device
    return showers.turned(torch.randint(n, (len(showers),), generator=random, device=device))


@dataclass(frozen=True)
class StageRecipe:
    """What the recipes of all stages have.

    Arguments:
        stage: The name of the stage.
    """

    stage: str

    def build(self, calorimeter: Calorimeter, beam: Beam = ENERGY_ALONE) -> "Stage":
        """The stage, new, for the particles of a beam."""
        kind: Callable[..., Stage] = STAGES[self.stage].kind
        return kind(calorimeter, self, beam)


class Stage(nn.Module, ABC):
    """One factor of the distribution of a shower.

    Arguments:
        calorimeter: Where the cells are.
    """

    def __init__(self, calorimeter: Calorimeter) -> None:
        super().__init__()
        self.calorimeter = calorimeter

    @abstractmethod
    def prepare(self, showers: Showers) -> None:
        """Fit encoders and representations to training showers."""

    @abstractmethod
    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """The objectives that train the networks of this stage, in order.

        Arguments:
            train: Training showers.
            validation: Training showers held out to watch the loss.
            seed: The seed of the training.
            first: The number of the first objective, for its random numbers.
        """

    def finish(self, showers: Showers) -> None:
        """Take from training showers what needs the trained networks: nothing, as a rule."""
        del showers

    @abstractmethod
    def noise(self) -> Mapping[str, Noise]:
        """The random numbers that it takes to sample a shower."""

    @abstractmethod
    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "showers ..."]:
        """Sample: a function of the arguments alone.

        Arguments:
            condition: What is known of the showers.
            noise: The random numbers that `noise` asks for.
        """


class EnergyStage(Stage):
    """The energies of the layers, given the particles: `sample` gives them in MeV, with shape
    (showers, layers), in double precision.
    """


class ShapeStage(Stage):
    """The deposits, given the particles and the energies of the layers: `sample` gives them in MeV,
    with shape (showers, cells), in single precision.
    """
