r"""A surrogate factorises the distribution of a shower into two stages (CaloDREAM,
arXiv:2405.09629, eq. 4).

With :math:`E` the incident energy, :math:`E_l` the energy in layer :math:`l` and :math:`x` the
deposits,

.. math:: E_1, \dots, E_L \sim p_\phi(E_1, \dots, E_L \mid E), \qquad
          x \sim p_\theta(x \mid E_1, \dots, E_L, E).

An `EnergyStage` samples the first factor, a `ShapeStage` the second; any of one kind goes with any
of the other. A stage owns its representations, which `prepare` fits to training showers, and its
networks, which the objectives that it names train. Its random numbers are drawn outside of it
(`caloforge.learn.noise`), so that it makes the same shower wherever it runs. Most stages work on
dense `Showers`; a ``Stage[Hits]`` learns from hits, and never holds all cells of a shower.
"""

__all__ = [
    "Batches",
    "ConditionBatches",
    "EnergyStage",
    "Held",
    "Schedule",
    "ShapeStage",
    "Stage",
    "StageRecipe",
]

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Protocol

import torch
from jaxtyping import Float, Int64
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from typing_extensions import TypeVar

from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers, Hits, part_of
from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition
from caloforge.learn.noise import Noise, Numbers, by_address
from caloforge.models.recipes import Batch, Decay, Epochs
from caloforge.models.registry import STAGES
from caloforge.showers import Showers

_VALIDATION_BATCHES = 4

Held = TypeVar("Held", Showers, Hits, default=Showers)
"""How the showers are held that a stage learns from."""


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

    epochs: Epochs
    batch_size: Batch
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat = 0.0
    average: Decay = 0.999
    clip: PositiveFloat = 1.0

    def objective(
        self,
        name: str,
        network: nn.Module,
        loss: "Loss",
        batches: "Drawn",
        held_out: "Drawn",
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
            steps=max(1, round(self.epochs * len(batches) / self.batch_size)),
            adam=training.Adam(self.learning_rate, self.weight_decay),
            schedule=training.WarmCosine(),
            average=self.average,
            clip=self.clip,
            validation=validate,
        )


Loss = Callable[[Any, torch.Generator], Float[Tensor, ""]]
"""The loss on a batch of showers, with the random numbers of the step."""


class Drawn(Protocol):
    """What batches are drawn from."""

    def __len__(self) -> int: ...

    def draw(self, step: int, size: int) -> tuple[Any, torch.Generator]:
        """The batch of a step, and the random numbers for the rest of it."""


@dataclass(frozen=True)
class Batches(Generic[Held]):
    """Batches of showers, each turned at random by a symmetry of the calorimeter: a function of the
    step alone.

    Arguments:
        showers: The showers to draw from, with replacement.
        seed: The seed of the training.
        number: The number of the objective.
    """

    showers: Held
    seed: int
    number: int

    def __len__(self) -> int:
        return len(self.showers)

    def draw(self, step: int, size: int) -> tuple[Held, torch.Generator]:
        """The showers of a step, and the random numbers for the rest of it."""
        device = self.showers.energies.device
        random = training.generator(self.seed, self.number, step, device)
        rows = torch.randint(len(self.showers), (size,), generator=random, device=device)
        return turned(part_of(self.showers, rows), random), random


@dataclass(frozen=True)
class ConditionBatches:
    """Batches of what is known of showers, whose particles a random symmetry turns: for what learns
    the layers alone, no cell need be looked at again.

    Arguments:
        condition: What is known, of all showers.
        calorimeter: Where the cells are.
        seed: The seed of the training.
        number: The number of the objective.
    """

    condition: Condition
    calorimeter: Calorimeter
    seed: int
    number: int

    def __len__(self) -> int:
        return len(self.condition)

    def draw(self, step: int, size: int) -> tuple[Condition, torch.Generator]:
        """What is known of the showers of a step, and the random numbers for the rest of it."""
        device = self.condition.particles.energies.device
        random = training.generator(self.seed, self.number, step, device)
        rows = torch.randint(len(self), (size,), generator=random, device=device)
        matrices = self.calorimeter.symmetry_matrices.mT.to(device)
        choice = torch.randint(len(matrices), (size,), generator=random, device=device)
        some = self.condition[rows]
        return replace(some, particles=some.particles.rotated(matrices[choice])), random


def turned(showers: Held, random: torch.Generator) -> Held:
    """Each shower turned or mirrored by a random symmetry of the calorimeter."""
    n, device = len(showers.calorimeter.symmetries), showers.energies.device
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


class Stage(nn.Module, ABC, Generic[Held]):
    """One factor of the distribution of a shower.

    Arguments:
        calorimeter: Where the cells are.
    """

    learns_from: ClassVar[type[Showers] | type[Hits]] = Showers
    """How it holds the showers that it learns from."""

    def __init__(self, calorimeter: Calorimeter) -> None:
        super().__init__()
        self.calorimeter = calorimeter

    @abstractmethod
    def prepare(self, showers: Held) -> None:
        """Fit encoders and representations to training showers."""

    @abstractmethod
    def objectives(
        self, train: Held, validation: Held, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """The objectives that train the networks of this stage, in order.

        Arguments:
            train: Training showers.
            validation: Training showers held out to watch the loss.
            seed: The seed of the training.
            first: The number of the first objective, for its random numbers.
        """

    def finish(self, showers: Held, pause: training.Pause) -> None:
        """Take from training showers what needs the trained networks: nothing, as a rule.

        Arguments:
            showers: The training showers.
            pause: To be called now and then.
        """
        del showers, pause

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


class EnergyStage(Stage[Held]):
    """The energies of the layers, given the particles: `sample` gives them in MeV, with shape
    (showers, layers), in double precision.
    """

    gives_energies: ClassVar[bool] = True
    """Whether it does so, or leaves them to the shape."""

    def given(self, condition: Condition, noise: Numbers) -> Condition:
        """The condition with what this stage samples: the energies of the layers, in some stages
        their numbers of hits, too.
        """
        return condition.given(self.sample(condition, noise))


class ShapeStage(Stage[Held]):
    """The deposits, given the particles and the energies of the layers: `sample` gives them in MeV,
    with shape (showers, cells), in single precision.
    """

    asks_for_energies: ClassVar[bool] = True
    """Whether it needs the energies of the layers."""

    def showers(self, condition: Condition, key: Int64[Tensor, " rows"], n: int) -> AnyShowers:
        """The first n showers of a condition.

        Matrix kernels give the same bits a row for any multiple of 16 rows: what lies behind n
        fills up.

        Arguments:
            condition: What is known of the showers.
            key: The key of each, from which its random numbers come.
            n: How many to give.
        """
        deposits = self.sample(condition, by_address(self.noise(), key))[:n].clone()
        return Showers(deposits, condition.particles[:n], self.calorimeter)
