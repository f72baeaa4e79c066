r"""How a classifier is trained: what is fitted, what selects the epoch, what is scored.

Label y is 1 for the full simulation, 0 for the candidate. A network gives the logit s of a shower,
a loss the binary cross-entropy

.. math:: -\sum_i \omega_i \left[ y_i \ln \sigma(s_i) + (1 - y_i) \ln(1 - \sigma(s_i)) \right] /
          \textstyle\sum_i 1 ,
   \qquad \sigma(s) = 1 / (1 + e^{-s}) ,

with :math:`\omega_i` the weight of shower i, scaled so that both samples weigh alike and the mean
is 1: without weights, and for samples of one size, every :math:`\omega_i` is 1.

*Rows.* A sample is divided at random in three parts: to fit the network; to select the epoch, stop,
lower the learning rate and calibrate; to score. `RandomSplit` draws a new partition for each
training, as the papers do. `CrossValidation` has k equal folds, which take turns: after k trainings
every shower has been scored once, by a network that never saw it. Where the samples have
one size, rows of equal number go into the same part, so that showers of one incident energy are
never on both sides.

The global random state is left as it was; on one machine the same seed gives the same numbers.
"""

__all__ = [
    "CrossValidation",
    "Examples",
    "Keep",
    "Optimiser",
    "Plateau",
    "RandomSplit",
    "Rows",
    "Scaling",
    "Split",
    "Training",
    "trained",
]

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from caloforge.classifiers.architectures import Architecture, Image
from caloforge.classifiers.calibration import Calibration
from caloforge.errors import TrainingError

_BATCH = 1000
"""Showers at a time where nothing is learnt: to fill, to scale, to score."""
_TOLD_APART = 0.01
"""A loss that leaves nothing to learn: a training that may stop early stops."""


class Optimiser(Enum):
    """The rule by which the weights are changed."""

    ADAM = "Adam"
    ADAMW = "AdamW"


class Keep(Enum):
    """The epoch whose weights are kept."""

    BEST_ACCURACY = "the best accuracy on the selecting part"
    LEAST_LOSS = "the least loss on the selecting part"
    LAST = "the last"


@dataclass(frozen=True)
class Plateau:
    """The learning rate falls when the loss on the selecting part does not.

    Arguments:
        factor: What it is multiplied with, in ]0, 1[.
        patience: The number of epochs without a lower loss that are waited for.
    """

    factor: float
    patience: int


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


@dataclass(frozen=True)
class Training:
    """Everything about a training but the network.

    Arguments:
        split: What fits, what selects, what is scored.
        optimiser: The rule by which the weights are changed.
        learning_rate: Its step, positive.
        weight_decay: Its weight decay, at least 0.
        batch_size: Number of showers a step, at least 1; fewer where there are not so many.
        epochs: The most epochs, at least 1.
        keep: The epoch whose weights are kept.
        calibration: How scores are made probabilities, on the selecting part.
        scaling: How inputs are scaled; None for as they are.
        plateau: How the learning rate falls; None for not.
        patience: The number of epochs without a lower loss that end a training; None for none.
        dtype: The type of numbers of inputs and network.

    Raises:
        TrainingError: Something is selected or calibrated, and there is no part for it.
    """

    split: Split
    optimiser: Optimiser = Optimiser.ADAM
    learning_rate: float = 2e-4
    weight_decay: float = 0.0
    batch_size: int = 1000
    epochs: int = 50
    keep: Keep = Keep.LEAST_LOSS
    calibration: Calibration = Calibration.ISOTONIC
    scaling: Scaling | None = None
    plateau: Plateau | None = None
    patience: int | None = None
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        idle = self.keep is Keep.LAST and self.plateau is None and self.patience is None
        if not self.split.selects and not (idle and self.calibration is Calibration.NONE):
            msg = (
                f"{self.split} leaves no showers to select an epoch, stop, lower the learning "
                "rate or calibrate: "
                "give them a share, or keep the last epoch without calibration"
            )
            raise TrainingError(msg)


@dataclass(frozen=True, eq=False)
class Examples:
    """Showers of both samples with their labels, the full simulation's first.

    Arguments:
        take: The inputs of the showers with some row numbers, with shape (rows, features).
        labels: 1 for the full simulation, 0 for the candidate, with shape (N).
        weights: The weights of the module's head, with shape (N).
        n_features: The number of inputs.
        image: The shape of the image that follows the first input; None for features without order.
    """

    take: Callable[[Int[Tensor, " rows"]], Float[Tensor, "rows features"]]
    labels: Float[Tensor, " n"]
    weights: Float[Tensor, " n"]
    n_features: int
    image: Image | None = None


Logits = Callable[[Int[Tensor, " rows"]], Float[Tensor, " rows"]]


def random_numbers(seed: int, stream: int) -> np.random.Generator:
    """The random numbers of a seed, any integer, for one purpose."""
    return np.random.default_rng([seed % 2**64, stream])


def trained(
    architecture: Architecture,
    training: Training,
    examples: Examples,
    fit: Tensor,
    select: Tensor,
    *,
    seed: int,
    turn: int,
) -> Logits:
    """Train a network.

    Arguments:
        architecture: The network.
        training: How it is trained.
        examples: The showers.
        fit: The numbers of the showers that fit, with shape (F).
        select: The numbers of those that select, with shape (S).
        seed: The seed.
        turn: The number of the training.

    Returns:
        From the numbers of showers to their logits, in double precision.
    """
    device = examples.labels.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(random_numbers(seed, turn).integers(2**63)))
        module = architecture.build(examples.n_features, examples.image).to(device, training.dtype)
        course = _Course(module, training, examples, _scaler(examples, fit, training))
        course.run(fit, select)
    return course.logits


class _Course:
    """One training, epoch by epoch."""

    def __init__(
        self,
        module: nn.Module,
        training: Training,
        examples: Examples,
        scale: Callable[[Tensor], Tensor],
    ) -> None:
        self.module, self.training, self.examples, self.scale = module, training, examples, scale
        kind = {Optimiser.ADAM: torch.optim.Adam, Optimiser.ADAMW: torch.optim.AdamW}[
            training.optimiser
        ]
        parameters = module.parameters()
        self.optimiser = kind(
            parameters, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )

    def run(self, fit: Tensor, select: Tensor) -> None:
        """Train, and take the weights of the epoch to keep."""
        best, state, waited = math.inf, _copy(self.module), 0
        schedule = self._schedule()
        for _ in range(self.training.epochs):
            self._epoch(fit)
            if self.training.split.selects:
                loss, accuracy = self._merits(select)
                schedule(loss)
                demerit = 1 - accuracy if self.training.keep is Keep.BEST_ACCURACY else loss
                best, state, waited = (
                    (demerit, _copy(self.module), 0)
                    if demerit < best
                    else (best, state, waited + 1)
                )
                if self._done(best, waited):
                    break
        if self.training.keep is not Keep.LAST:
            self.module.load_state_dict(state)

    def _done(self, best: float, waited: int) -> bool:
        if self.training.keep is Keep.BEST_ACCURACY:
            return best <= 0
        return self.training.patience is not None and (
            waited >= self.training.patience or best < _TOLD_APART
        )

    def _schedule(self) -> Callable[[float], None]:
        plateau = self.training.plateau
        if plateau is None:
            return lambda loss: None
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimiser, factor=plateau.factor, patience=plateau.patience
        ).step

    def _epoch(self, fit: Tensor) -> None:
        self.module.train()
        for rows in _batches(
            fit[torch.randperm(len(fit)).to(fit.device)], self.training.batch_size
        ):
            loss = self._loss(self._seen(rows), rows)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()

    def _seen(self, rows: Tensor) -> Tensor:
        logits: Tensor = self.module(self.scale(self.examples.take(rows)).to(self.training.dtype))
        return logits

    def _loss(self, logits: Tensor, rows: Tensor) -> Tensor:
        labels, weights = (
            x[rows].to(logits.dtype) for x in (self.examples.labels, self.examples.weights)
        )
        return nn.functional.binary_cross_entropy_with_logits(logits, labels, weights)

    def _merits(self, select: Tensor) -> tuple[float, float]:
        """Loss and accuracy."""
        logits, weights = self.logits(select), self.examples.weights[select].double()
        right = (logits > 0) == (self.examples.labels[select] > 0)
        return float(self._loss(logits, select)), float((weights * right).sum() / weights.sum())

    def logits(self, rows: Tensor) -> Tensor:
        """The logits of showers, in double precision."""
        self.module.eval()
        with torch.no_grad():
            return torch.cat([self._seen(part).double() for part in torch.split(rows, _BATCH)])


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def _batches(rows: Tensor, size: int) -> list[Tensor]:
    """Batches of a size; a last one of a single shower, which has no deviation to normalise by,
    joins the one before.
    """
    parts = list(torch.split(rows, size))
    if len(parts) > 1 and len(parts[-1]) == 1 < size:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _scaler(examples: Examples, fit: Tensor, training: Training) -> Callable[[Tensor], Tensor]:
    if training.scaling is None:
        return lambda x: x
    clip = training.scaling.clip
    mean = _mean(examples, fit, lambda x: x)
    deviation = _mean(examples, fit, lambda x: (x - mean).square()).sqrt()
    varies = deviation > 1e-6 * mean.abs()
    shift, factor = (
        mean.to(training.dtype),
        torch.where(varies, 1 / deviation, 0.0).to(training.dtype),
    )
    return lambda x: ((x.to(training.dtype) - shift) * factor).clamp(-clip, clip)


def _mean(examples: Examples, rows: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean over showers of a function of their inputs, in double precision."""
    sums = [function(examples.take(part).double()).sum(dim=0) for part in torch.split(rows, _BATCH)]
    return torch.stack(sums).sum(dim=0) / len(rows)
