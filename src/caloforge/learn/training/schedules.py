r"""Learning rates over a training, by torch's own schedulers.

With :math:`\eta` the peak rate, :math:`t` the number of the step from 0 on, :math:`T` the number of
steps and :math:`w` the share of the warm-up, `WarmCosine` has

.. math:: \eta_t = \eta \min\left(1, \frac{t + 1}{w T}\right) \frac{1 + \cos(\pi t / T)}{2} .

`Plateau` lowers the rate where the validation loss no longer falls.
"""

__all__ = ["CONSTANT", "Constant", "Plateau", "Schedule", "WarmCosine"]

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau


@dataclass(frozen=True)
class Schedule(ABC):
    """How the learning rate changes."""

    validates: ClassVar[bool] = False
    """Whether it follows the validation loss, not the steps."""

    @abstractmethod
    def scheduler(self, optimiser: Optimizer, steps: int) -> LRScheduler | None:
        """Torch's scheduler of an optimiser, for a number of steps; None for no change."""


@dataclass(frozen=True)
class Constant(Schedule):
    """The peak rate throughout."""

    def scheduler(self, optimiser: Optimizer, steps: int) -> None:
        """None."""
        del optimiser, steps


CONSTANT = Constant()


@dataclass(frozen=True)
class WarmCosine(Schedule):
    """A linear warm-up, times a cosine that falls to zero.

    Arguments:
        warm_up: The share of the steps over which the rate rises, in [0, 1].
    """

    warm_up: float = 0.02

    def factor(self, step: int, steps: int) -> float:
        """The rate of a step, relative to the peak rate."""
        warm = min(1.0, (step + 1) / max(1.0, self.warm_up * steps))
        return warm * 0.5 * (1 + math.cos(math.pi * step / steps))

    def scheduler(self, optimiser: Optimizer, steps: int) -> LRScheduler:
        """See `Schedule.scheduler`."""
        return LambdaLR(optimiser, lambda step: self.factor(step, steps))


@dataclass(frozen=True)
class Plateau(Schedule):
    """The rate falls where the validation loss does not.

    Arguments:
        factor: What it is multiplied with, in ]0, 1[.
        patience: The number of validations without a lower loss before it falls.
    """

    factor: float
    patience: int
    validates: ClassVar[bool] = True

    def scheduler(self, optimiser: Optimizer, steps: int) -> LRScheduler:
        """See `Schedule.scheduler`."""
        del steps
        return ReduceLROnPlateau(optimiser, factor=self.factor, patience=self.patience)
