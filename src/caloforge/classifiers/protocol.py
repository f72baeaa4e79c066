r"""How a classifier is trained: what is fitted, what selects the epoch, what is scored.

A sample is divided at random in three parts: to fit the network; to select the epoch, stop, lower
the learning rate and calibrate; to score. `RandomSplit` draws a new partition for each training, as
the papers do. `CrossValidation` has k equal folds, which take turns: after k trainings every shower
has been scored once, by a network that never saw it. Where the samples have one size, rows of equal
number go into the same part, so that showers of one incident energy are never on both sides.
"""

__all__ = [
    "CrossValidation",
    "Keep",
    "RandomSplit",
    "Rows",
    "Scaling",
    "Split",
    "Training",
    "random_numbers",
]

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int

from caloforge.classifiers.calibration import Calibration
from caloforge.errors import TrainingError
from caloforge.learn.training import CONSTANT, Adam, Schedule


class Keep(Enum):
    """The epoch whose weights are kept."""

    BEST_ACCURACY = "the best accuracy on the selecting part"
    LEAST_LOSS = "the least loss on the selecting part"
    LAST = "the last"


@dataclass(frozen=True)
class Scaling:
    """Inputs less their mean over the part to fit, over their deviation there; one that does not
    vary there is left out.

    Arguments:
        clip: Scaled inputs are clipped at so many deviations.
    """

    clip: float = math.inf


class Rows(NamedTuple):
    """The numbers of the showers of one sample that fit, select, and are scored."""

    fit: Int[np.ndarray, " f"]
    select: Int[np.ndarray, " s"]
    score: Int[np.ndarray, " t"]


class Split(ABC):
    """How a sample is cut in the three parts."""

    @abstractmethod
    def rows(self, n: int, seed: int, turn: int) -> Rows:
        """The parts of a sample of n showers in one training; a function of these three numbers
        alone.
        """

    @property
    @abstractmethod
    def selects(self) -> bool:
        """Whether there is a part to select the epoch."""


@dataclass(frozen=True)
class RandomSplit(Split):
    """A new random cut for each training.

    Arguments:
        fit: The share of the showers that fit, rounded down.
        select: The share that selects, rounded down; the rest is scored.
    """

    fit: float
    select: float

    def rows(self, n: int, seed: int, turn: int) -> Rows:
        """See `Split.rows`."""
        order = random_numbers(seed, turn).permutation(n)
        first, second = (int(n * share + 1e-9) for share in (self.fit, self.select))
        return Rows(order[:first], order[first : first + second], order[first + second :])

    @property
    def selects(self) -> bool:
        """Whether the share is not 0."""
        return self.select > 0


@dataclass(frozen=True)
class CrossValidation(Split):
    """Equal parts that take turns: one is scored, the next one selects, the others fit.

    Arguments:
        parts: The number of parts, at least 3.
    """

    parts: int

    def rows(self, n: int, seed: int, turn: int) -> Rows:
        """See `Split.rows`."""
        part = random_numbers(seed, turn // self.parts).permutation(n) % self.parts
        score, select = turn % self.parts, (turn + 1) % self.parts
        fit = (part != score) & (part != select)
        return Rows(*(np.flatnonzero(chosen) for chosen in (fit, part == select, part == score)))

    @property
    def selects(self) -> bool:
        """Always."""
        return True


_ADAM = Adam(2e-4)


@dataclass(frozen=True)
class Training:
    """Everything about a training but the network.

    Arguments:
        split: What fits, what selects, what is scored.
        adam: The optimiser.
        batch_size: Number of showers a step, at least 1; fewer where there are not so many.
        epochs: The most epochs, at least 1.
        keep: The epoch whose weights are kept.
        calibration: How scores are made probabilities, on the selecting part.
        scaling: How inputs are scaled; None for as they are.
        schedule: How the learning rate changes.
        patience: The number of epochs without a lower loss that end a training; None for none.
        dtype: The type of numbers of inputs and network.

    Raises:
        TrainingError: Something is selected or calibrated, and there is no part for it.
    """

    split: Split
    adam: Adam = _ADAM
    batch_size: int = 1000
    epochs: int = 50
    keep: Keep = Keep.LEAST_LOSS
    calibration: Calibration = Calibration.ISOTONIC
    scaling: Scaling | None = None
    schedule: Schedule = CONSTANT
    patience: int | None = None
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        idle = self.keep is Keep.LAST and not self.schedule.validates and self.patience is None
        if not self.split.selects and not (idle and self.calibration is Calibration.NONE):
            msg = (
                f"{self.split} leaves no showers to select an epoch, stop, lower the learning "
                "rate or calibrate: "
                "give them a share, or keep the last epoch without calibration"
            )
            raise TrainingError(msg)


def random_numbers(seed: int, stream: int) -> np.random.Generator:
    """The random numbers of a seed, any integer, for one purpose."""
    return np.random.default_rng([seed % 2**64, stream])
