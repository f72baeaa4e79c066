r"""The fit of a classifier's network, by the one trainer.

Label y is 1 for the full simulation, 0 for the candidate. A network gives the logit s of a shower,
a loss the binary cross-entropy

.. math:: -\sum_i \omega_i \left[ y_i \ln \sigma(s_i) + (1 - y_i) \ln(1 - \sigma(s_i)) \right] /
          \textstyle\sum_i 1 ,
   \qquad \sigma(s) = 1 / (1 + e^{-s}) ,

with :math:`\omega_i` the weight of shower i, scaled so that both samples weigh alike and the mean
is 1: without weights, and for samples of one size, every :math:`\omega_i` is 1.

Weights, orders of showers and dropout draw, in turn, from one random state that the seed and the
number of the training give. The global random state is left as it was; on one machine the same seed
gives the same numbers.
"""

__all__ = ["Examples", "fitted"]

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from caloforge.classifiers.architectures import Architecture, Image
from caloforge.classifiers.protocol import Keep, Training, random_numbers
from caloforge.learn import training

_BATCH = 1000
"""Showers at a time where nothing is learnt: to fill, to scale, to score."""
_SEPARATED = 0.01
"""A loss that leaves nothing to learn: a training that may stop early stops."""


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


def fitted(
    name: str,
    architecture: Architecture,
    settings: Training,
    examples: Examples,
    rows: tuple[Tensor, Tensor],
    *,
    seed: int,
    turn: int,
) -> Logits:
    """Train a network.

    Arguments:
        name: The classifier's name, for messages.
        architecture: The network.
        settings: How it is trained.
        examples: The showers.
        rows: The numbers of the showers that fit and of those that select, with shapes (F) and (S).
        seed: The seed.
        turn: The number of the training.

    Returns:
        From the numbers of showers to their logits, in double precision.

    Raises:
        TrainingError: A loss is not finite.
    """
    device = examples.labels.device
    with training.isolated(device, int(random_numbers(seed, turn).integers(2**63))):
        module = architecture.build(examples.n_features, examples.image)
        network = module.to(device, settings.dtype)
        fit = _Fit(network, settings, examples, _scaler(examples, rows[0], settings))
        training.run([fit.objective(name, *rows)], {}, None)
    return fit.logits


class _Fit:
    """One training of a network."""

    def __init__(
        self,
        network: nn.Module,
        settings: Training,
        examples: Examples,
        scale: Callable[[Tensor], Tensor],
    ) -> None:
        self.network, self.settings, self.examples = network, settings, examples
        self.scale, self.accuracy = scale, 0.0

    def objective(self, name: str, fit: Tensor, select: Tensor) -> training.Objective:
        """What the trainer is to do."""
        epochs = _Epochs(fit, self.settings.batch_size)

        def loss(batch: int) -> Tensor:
            rows = epochs.rows(batch)
            return self._loss(self._seen(rows), rows)

        adam, schedule = self.settings.adam, self.settings.schedule
        selects = self.settings.split.selects
        return training.Objective(
            name,
            (training.Player(self.network, loss, adam, schedule),),
            steps=self.settings.epochs * epochs.length,
            validation=(lambda: self._validation(select)) if selects else None,
            validate_every=epochs.length,
            selection=self._selection() if selects else None,
        )

    def _selection(self) -> training.Selection:
        settings = self.settings
        if settings.keep is Keep.BEST_ACCURACY:
            return training.Selection(lambda: 1 - self.accuracy, enough=0.0)
        enough = -torch.inf if settings.patience is None else _SEPARATED
        keep = settings.keep is Keep.LEAST_LOSS
        return training.Selection(patience=settings.patience, enough=enough, keep=keep)

    def _validation(self, select: Tensor) -> float:
        """The loss on the selecting part; keeps the accuracy there."""
        logits, weights = self._logits(select), self.examples.weights[select].double()
        right = (logits > 0) == (self.examples.labels[select] > 0)
        self.accuracy = float((weights * right).sum() / weights.sum())
        return float(self._loss(logits, select))

    def _seen(self, rows: Tensor) -> Tensor:
        logits: Tensor = self.network(self.scale(self.examples.take(rows)).to(self.settings.dtype))
        return logits

    def _loss(self, logits: Tensor, rows: Tensor) -> Tensor:
        labels = self.examples.labels[rows].to(logits.dtype)
        weights = self.examples.weights[rows].to(logits.dtype)
        return nn.functional.binary_cross_entropy_with_logits(logits, labels, weights)

    def _logits(self, rows: Tensor) -> Tensor:
        return torch.cat([self._seen(part).double() for part in torch.split(rows, _BATCH)])

    @torch.no_grad()
    def logits(self, rows: Tensor) -> Tensor:
        """The logits of showers, in double precision."""
        self.network.eval()
        return self._logits(rows)


class _Epochs:
    """Batches of showers, each epoch in a new random order.

    Arguments:
        fit: The numbers of the showers.
        size: The size of a batch; a last one of a single shower, which has no deviation to
            normalise by, joins the one before.
    """

    def __init__(self, fit: Tensor, size: int) -> None:
        self.fit, self.batches = fit, list[Tensor]()
        self.sizes = [len(part) for part in torch.split(fit, size)]
        if len(self.sizes) > 1 and self.sizes[-1] == 1 < size:
            self.sizes[-2:] = [size + 1]

    @property
    def length(self) -> int:
        """The number of batches of an epoch."""
        return len(self.sizes)

    def rows(self, batch: int) -> Tensor:
        """The showers of a batch; batches are asked for in their order."""
        number = batch % self.length
        if number == 0:
            order = torch.randperm(len(self.fit)).to(self.fit.device)
            self.batches = list(torch.split(self.fit[order], self.sizes))
        return self.batches[number]


def _scaler(examples: Examples, fit: Tensor, settings: Training) -> Callable[[Tensor], Tensor]:
    if settings.scaling is None:
        return lambda x: x
    clip = settings.scaling.clip
    mean = _mean(examples, fit, lambda x: x)
    deviation = _mean(examples, fit, lambda x: (x - mean).square()).sqrt()
    varies = deviation > 1e-6 * mean.abs()
    shift = mean.to(settings.dtype)
    factor = torch.where(varies, 1 / deviation, 0.0).to(settings.dtype)
    return lambda x: ((x.to(settings.dtype) - shift) * factor).clamp(-clip, clip)


def _mean(examples: Examples, rows: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean over showers of a function of their inputs, in double precision."""
    sums = [function(examples.take(part).double()).sum(dim=0) for part in torch.split(rows, _BATCH)]
    return torch.stack(sums).sum(dim=0) / len(rows)
