r"""Reweighting: fast showers are given the weights that make them showers of the full simulation
(white paper of Snowmass 2021, arXiv:2203.08806, eq. 4; DCTRGAN, arXiv:2009.03796).

A classifier trained on as many full (y = 1) as fast (y = 0) showers has the logit s; calibrated on
showers that it was not fitted to, :math:`\sigma(a s + b)` is the probability C of the full
simulation, and

.. math:: w = \frac{C}{1 - C} = e^{a s + b} \approx \frac{p_\mathrm{full}}{p_\mathrm{fast}} .

Weights are never cut in silence: where the recipe says a largest one, those above are counted. What
the weights are worth is measured on the held-out showers, and stands in the card.
"""

__all__ = ["Reweighting", "ReweightingRecipe"]

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor, nn

from caloforge.classifiers import (
    EveryCell,
    HighLevel,
    Inputs,
    VoxelImage,
    WithSpectrum,
    area,
)
from caloforge.classifiers.architectures import (
    Architecture,
    Convolutional,
    Dense,
    ResNet3d,
    RingConvolutional,
)
from caloforge.classifiers.calibration import logistic_calibration
from caloforge.errors import RepresentationWarning
from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam, BeamFeatures, Condition
from caloforge.learn.transforms import Standardisation
from caloforge.metrics.dilution import Dilution, overlap
from caloforge.models import SYSTEMS, Card, LearnedRefiner, Plan, Recipe, TrainingShowers, recipe_of
from caloforge.models.recipes import Batch, Count, Depth, Epochs, Width
from caloforge.models.stages import Batches
from caloforge.particles import ELECTRON, Particles
from caloforge.showers import Showers
from caloforge.simulators.protocols import Progress, silent
from caloforge.units import GeV

_LEAST_OVERLAP = 0.05
"""Samples of a smaller overlap have next to nothing in common."""

_HELD = 2**27
"""The most numbers that are held of features without order: half a gigabyte."""

_INPUTS: MappingProxyType[str, Callable[[float], Inputs]] = MappingProxyType(
    {
        "high-level": HighLevel,
        "spectrum": WithSpectrum,
        "cells": EveryCell,
        "image": VoxelImage,
    }
)


@dataclass(frozen=True)
class DenseRecipe:
    """A multilayer perceptron.

    Arguments:
        kind: ``dense``.
        widths: The widths of its hidden layers.
        dropout: The probability that a hidden unit is left out in training.
    """

    kind: Literal["dense"]
    widths: tuple[Width, ...]
    dropout: Annotated[float, Field(ge=0, lt=1)]

    def architecture(self, *, polar: bool) -> Architecture:
        """The network."""
        del polar
        return Dense(self.widths, self.dropout, nn.SiLU)


@dataclass(frozen=True)
class PooledRecipe:
    """Convolutions in three dimensions with max-pooling, for inputs that are images.

    Arguments:
        kind: ``convolutional``.
        channels: The number of channels.
        widths: The widths of the three hidden linear layers behind them.
    """

    kind: Literal["convolutional"]
    channels: Width
    widths: tuple[Width, Width, Width]

    def architecture(self, *, polar: bool) -> Architecture:
        """The network, closed in alpha where cells are rings."""
        kind = RingConvolutional if polar else Convolutional
        return kind(self.channels, self.widths, rectified=False)


@dataclass(frozen=True)
class ResNetRecipe:
    """A residual network in three dimensions, for inputs that are images; made for a GPU.

    Arguments:
        kind: ``resnet``.
        planes: The channels of its four stages.
        blocks: The blocks of each stage.
    """

    kind: Literal["resnet"]
    planes: tuple[Width, Width, Width, Width]
    blocks: tuple[Depth, Depth, Depth, Depth]

    def architecture(self, *, polar: bool) -> Architecture:
        """The network."""
        del polar
        return ResNet3d(self.planes, self.blocks)


NetworkRecipe = Annotated[DenseRecipe | PooledRecipe | ResNetRecipe, Field(discriminator="kind")]


@dataclass(frozen=True)
class ReweightingRecipe(Recipe):
    """Settings of a `Reweighting`.

    Arguments:
        validation: Training showers of each side held out to choose the epoch and to calibrate.
        inputs: What the classifier sees: ``high-level`` features; these and the ``spectrum`` of the
            cells; all ``cells``; or an ``image`` of them for convolutions. The latter two are
            turned at random by the symmetries.
        threshold: Deposits below it count as 0, in MeV.
        network: The classifier's network.
        batch_size: Showers a step, half of them full.
        epochs: The most epochs.
        patience: Epochs without a lower validation loss that end the training.
        learning_rate: Its learning rate.
        weight_decay: Its decoupled weight decay.
        clip: Inputs are standardised and clipped at so many standard deviations.
        largest_weight: Larger weights are set to it, and counted; null for no limit.
        beam: In what the particles differ beside their energy.
    """

    validation: NonNegativeInt
    inputs: Literal["high-level", "spectrum", "cells", "image"]
    threshold: NonNegativeFloat
    network: NetworkRecipe
    batch_size: Batch
    epochs: Epochs
    patience: Count
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    clip: PositiveFloat
    largest_weight: PositiveFloat | None
    beam: Beam = field(default=ENERGY_ALONE, kw_only=True)


@SYSTEMS.register("reweighting", ReweightingRecipe)
class Reweighting(LearnedRefiner):
    """Gives showers weights, and leaves their deposits.

    Arguments:
        card: What the model is.
    """

    calibration: Tensor

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        recipe = cast("ReweightingRecipe", recipe_of(card))
        self.inputs = _INPUTS[recipe.inputs](recipe.threshold)
        self.known = BeamFeatures(recipe.beam)
        self.clip, self.largest = recipe.clip, recipe.largest_weight
        width = recipe.beam.width - 1 + self._own_inputs()
        self.scale = Standardisation(width)
        architecture = recipe.network.architecture(polar=self.calorimeter.polar)
        self.network = architecture.build(width, self.inputs.image(self.calorimeter))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0], dtype=torch.float64))

    def _own_inputs(self) -> int:
        deposits = torch.ones(1, self.calorimeter.n_cells)
        one = Showers(deposits, Particles(torch.tensor([10 * GeV]), ELECTRON), self.calorimeter)
        return self.inputs(one).shape[1]

    @classmethod
    def require_data(cls, recipe: ReweightingRecipe, data: TrainingShowers) -> None:
        """Check that the showers differ in what the recipe says, and are of alike particles."""
        data.check(recipe.beam, one_energy=True)
        data.require_alike()

    @classmethod
    def plan(cls, recipe: ReweightingRecipe, card: Card, data: TrainingShowers) -> Plan:
        """One objective; then the calibration."""
        model = cls.new(card, recipe.seed).to(data.full.energies.device)
        train, held_out = data.split(recipe.validation, recipe.seed)
        model.known.adapt(Condition(train.full.particles))
        sides = [model._examples(side, recipe.seed, k) for k, side in enumerate(_sides(train))]
        model.scale.adapt_parts(part for side in sides for part in side.parts())
        length = max(1, sum(map(len, sides)) // recipe.batch_size)
        adam = training.Adam(recipe.learning_rate, recipe.weight_decay)
        player = training.Player(
            model.network, lambda step: model._loss(sides, step, recipe.batch_size // 2), adam
        )
        objective = training.Objective(
            "classifier",
            (player,),
            steps=max(1, round(recipe.epochs * length)),
            validation=lambda: model._validation(held_out),
            validate_every=length,
            selection=training.Selection(patience=recipe.patience),
        )
        networks = {"classifier": model.network}
        return Plan(model, [objective], networks, finish=lambda _: model._calibrate(held_out))

    def _examples(self, showers: Showers, seed: int, number: int) -> "_Examples":
        """The showers of a side as the classifier sees them, held where they are few numbers."""
        batches = Batches(showers, seed, number)
        many = isinstance(self.inputs, EveryCell | VoxelImage)
        if many or len(showers) * len(self.scale.mean) > _HELD:
            return _Examples(batches, self.seen)
        held = torch.cat([self.seen(some) for some in showers.batches(_Examples.AT_A_TIME)])
        return _Examples(batches, self.seen, held)

    def seen(self, showers: Showers) -> Float[Tensor, "showers inputs"]:
        """What the classifier is told of showers."""
        known = self.known(Condition(showers.particles))
        return torch.cat([known, self.inputs(showers).float()], dim=1)

    def _logits(self, seen: Float[Tensor, "showers inputs"]) -> Float[Tensor, " showers"]:
        logits: Tensor = self.network(self.scale(seen).clamp(-self.clip, self.clip))
        return logits

    def _loss(self, sides: "list[_Examples]", step: int, size: int) -> Float[Tensor, ""]:
        parts = [side.draw(step, max(1, size)) for side in sides]
        labels = torch.cat([torch.full((len(x),), 1.0 - k) for k, x in enumerate(parts)])
        logits = self._logits(torch.cat(parts))
        return nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.device))

    @torch.no_grad()
    def _validation(self, held_out: TrainingShowers) -> float:
        full, fast = self._all_logits(held_out)
        softplus = nn.functional.softplus
        return float(softplus(-full).mean() + softplus(fast).mean()) / 2

    @torch.inference_mode()
    def _all_logits(self, data: TrainingShowers) -> list[Float[Tensor, " showers"]]:
        return [
            torch.cat([self._some_logits(part.showers)[: part.number] for part in self.parts(s, 0)])
            for s in _sides(data)
        ]

    def _some_logits(self, showers: Showers) -> Float[Tensor, " showers"]:
        return self._logits(self.seen(showers)).double()

    def _calibrate(self, held_out: TrainingShowers) -> None:
        """Fit the calibration on held-out showers, and note in the card what the weights are worth
        there.
        """
        self.network.eval()
        full, fast = (logits.cpu().numpy() for logits in self._all_logits(held_out))
        labels = np.repeat([1.0, 0.0], [len(full), len(fast)])
        weights = np.repeat([0.5 / len(full), 0.5 / len(fast)], [len(full), len(fast)])
        weights *= len(labels)
        slope, shift = logistic_calibration(np.concatenate([full, fast]), labels, weights)
        self.calibration.copy_(torch.tensor([slope, shift]))
        logs = [slope * logits + shift for logits in (full, fast)]
        dilution = Dilution.of(np.exp(logs[1]))
        found = {
            "auc": area(full, fast),
            "overlap": overlap(*logs),
            "effective_share": dilution.share,
            "mean_weight": dilution.mean,
            "largest_weight": dilution.largest,
        }
        self.card = replace(self.card, metrics={"held-out showers": found})

    @property
    def remark(self) -> str:
        """What the weights are worth."""
        found = self.card.metrics["held-out showers"]
        said = (
            f"on held-out showers: AUC {found['auc']:.3f}, overlap {found['overlap']:.1%}, "
            f"effective size {found['effective_share']:.1%}, mean weight {found['mean_weight']:.3g}"
        )
        if found["overlap"] > _LEAST_OVERLAP:
            return said
        return f"{said}: the two hardly overlap, no weights make one of the other"

    @torch.inference_mode()
    def log_weights(self, showers: Showers) -> Float[Tensor, " showers"]:
        """The logarithms of the ratio of densities, unclipped, in double precision."""
        parts = [self._some_logits(part.showers)[: part.number] for part in self.parts(showers, 0)]
        logits = torch.cat([showers.energies.new_zeros(0, dtype=torch.float64), *parts])
        return self.calibration[0] * logits + self.calibration[1]

    def refine(
        self,
        showers: Showers,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
        strict: bool = False,
    ) -> Showers:
        """See `LearnedRefiner.refine`; nothing is drawn. Weights that the showers have are
        multiplied.
        """
        del seed
        self.calorimeter.require(showers.calorimeter, "a sample to refine")
        self.require(showers.particles, first_index, strict=strict)
        weights = self._kept(self.log_weights(showers).exp())
        given = 1.0 if showers.weights is None else showers.weights
        self.finite(weights[:, None], first_index)
        progress(len(showers))
        return replace(showers, weights=(weights * given).float())

    def _kept(self, weights: Float[Tensor, " showers"]) -> Float[Tensor, " showers"]:
        """Weights up to the largest that the recipe allows."""
        if self.largest is None:
            return weights
        above = weights > self.largest
        if above.any():
            msg = (
                f"{int(above.sum())} of {len(weights)} weights are above {self.largest:g} and were "
                f"set to it; the largest is {float(weights.max()):.3g}"
            )
            warnings.warn(msg, RepresentationWarning, stacklevel=3)
        return weights.clamp(max=self.largest)


def _sides(data: TrainingShowers) -> tuple[Showers, Showers]:
    return data.full, data.fast


@dataclass(frozen=True)
class _Examples:
    """Showers of one side as a classifier sees them.

    Arguments:
        batches: The showers.
        seen: What is seen of some.
        held: What is seen of all, where it is held.
    """

    batches: Batches[Showers]
    seen: Callable[[Showers], Tensor]
    held: Tensor | None = None
    AT_A_TIME = 256

    def __len__(self) -> int:
        return len(self.batches.showers)

    def draw(self, step: int, size: int) -> Float[Tensor, "showers inputs"]:
        """What is seen of showers drawn at random, a function of the step alone."""
        if self.held is None:
            return self.seen(self.batches.draw(step, size)[0])
        random = training.generator(self.batches.seed, self.batches.number, step, self.held.device)
        return self.held[_drawn(len(self), size, random)]

    def parts(self) -> Iterator[Tensor]:
        """What is seen of all, a part at a time."""
        if self.held is not None:
            return iter(torch.split(self.held, self.AT_A_TIME))
        return (self.seen(some) for some in self.batches.showers.batches(self.AT_A_TIME))


def _drawn(n: int, size: int, random: torch.Generator) -> Int64[Tensor, " rows"]:
    return torch.randint(n, (size,), generator=random, device=random.device)
