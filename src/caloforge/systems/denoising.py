r"""Regression: each fast shower becomes the full one that a network expects of its particle
(S. Banerjee et al., arXiv:2202.05320, and its public code).

The shower is an image with one channel a layer of x, :math:`\sqrt{e / E}` or :math:`e / E` over its
root mean square; the network is a stack of nine convolutions. Row i of both samples is of the same
particle. The loss of a shower is that of the worst of the patches P that cut the image,

.. math:: L = \max_P \langle |\hat x - x_\mathrm{full}|^n \rangle_P , \qquad n = 1, 2 .

Nothing is drawn: of two independent showers of one particle the network learns what they share, and
returns the median (n = 1) or the mean (n = 2) of the rest. The median of a cell that is empty more
often than not is 0; the mean of none is. Hits, spectrum and fluctuations are wrong either way.
"""

__all__ = ["Denoising", "DenoisingRecipe"]

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, cast

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from caloforge.learn import training
from caloforge.learn.conditions import ENERGY_ALONE, Beam
from caloforge.learn.networks import DenoisingNetwork
from caloforge.learn.representations import shower_sums
from caloforge.models import SYSTEMS, Card, LearnedRefiner, Plan, Recipe, TrainingShowers, recipe_of
from caloforge.models.recipes import Batch, Count, Depth, Epochs, Width
from caloforge.models.stages import Batches
from caloforge.showers import Showers, readout_threshold
from caloforge.simulators.protocols import Progress, silent

_AT_A_TIME = 64


@dataclass(frozen=True)
class DenoisingRecipe(Recipe):
    """Settings of a `Denoising`.

    Arguments:
        validation: Pairs held out to lower the learning rate, and to keep the best weights.
        convolutions: The number of convolutions.
        features: The channels between them.
        patches: The image is cut in so many patches along each axis.
        power: The power n of the loss, 1 as published.
        transform: ``sqrt`` of the shares of the energy as published, or ``none``.
        batch_size: Pairs a step, each turned at random by a symmetry.
        epochs: How often each pair is seen.
        learning_rate: The learning rate at first.
        factor: What it is multiplied with where the validation loss no longer falls.
        patience: The number of epochs without a lower loss before it is.
        beam: In what the particles may differ beside their energy; the network is not told.
    """

    validation: NonNegativeInt
    convolutions: Annotated[Depth, Field(ge=2)]
    features: Width
    patches: Width
    power: Annotated[int, Field(ge=1, le=2)]
    transform: Literal["sqrt", "none"]
    batch_size: Batch
    epochs: Epochs
    learning_rate: PositiveFloat
    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: Count
    beam: Beam = field(default=ENERGY_ALONE, kw_only=True)


@SYSTEMS.register("denoising", DenoisingRecipe)
class Denoising(LearnedRefiner):
    """Gives each shower other deposits, a function of its own.

    Arguments:
        card: What the model is.
    """

    unit: Tensor
    threshold: Tensor

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        recipe = cast("DenoisingRecipe", recipe_of(card))
        self.image, self.patches = self.calorimeter.image().shape, recipe.patches
        self.power, self.root = recipe.power, recipe.transform == "sqrt"
        layers, polar = self.calorimeter.n_layers, self.calorimeter.polar
        self.network = DenoisingNetwork(layers, recipe.features, recipe.convolutions, ring=polar)
        self.register_buffer("unit", torch.ones((), dtype=torch.float64))
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))

    @classmethod
    def require_data(cls, recipe: DenoisingRecipe, data: TrainingShowers) -> None:
        """Check that the samples are pairs."""
        data.check(recipe.beam, one_energy=True)
        data.require_pairs()

    @classmethod
    def plan(cls, recipe: DenoisingRecipe, card: Card, data: TrainingShowers) -> Plan:
        """One objective."""
        model = cls.new(card, recipe.seed).to(data.full.energies.device)
        train, held_out = data.split(recipe.validation, recipe.seed)
        squares = [model._shares(some).square().mean() for some in train.fast.batches(_AT_A_TIME)]
        model.unit.copy_(torch.stack(squares).double().mean().sqrt())
        model.threshold.fill_(readout_threshold(train.full))
        sides = [Batches(side, recipe.seed, 0) for side in (train.fast, train.full)]
        epoch = max(1, len(train.full) // recipe.batch_size)
        player = training.Player(
            model.network,
            lambda step: model._loss(*(b.draw(step, recipe.batch_size)[0] for b in sides)).mean(),
            training.Adam(recipe.learning_rate),
            training.Plateau(recipe.factor, recipe.patience),
        )
        objective = training.Objective(
            "denoising",
            (player,),
            steps=max(1, round(recipe.epochs * epoch)),
            validation=lambda: model._validation(held_out),
            validate_every=epoch,
            selection=training.Selection(),
        )
        return Plan(model, [objective], {"network": model.network})

    def _shares(self, showers: Showers) -> Float[Tensor, "showers cells"]:
        """Deposits in units of the incident energy, or their roots."""
        shares = showers.deposits / showers.energies[:, None]
        return shares.sqrt() if self.root else shares

    def _images(self, showers: Showers) -> Float[Tensor, "showers layers a r"]:
        x = (self._shares(showers) / self.unit).float()
        return self.calorimeter.by_layer(x).reshape(len(x), *self.image)

    def _loss(self, fast: Showers, full: Showers) -> Float[Tensor, " showers"]:
        """The loss of each pair."""
        off = (self.network(self._images(fast)) - self._images(full)).abs() ** self.power
        means = torch.nn.functional.adaptive_avg_pool2d(off.mean(dim=1), self.patches)
        return means.flatten(1).amax(dim=1)

    @torch.no_grad()
    def _validation(self, held_out: TrainingShowers) -> float:
        sides = (side.batches(_AT_A_TIME) for side in (held_out.fast, held_out.full))
        return float(torch.cat([self._loss(*pair) for pair in zip(*sides, strict=True)]).mean())

    def refine(
        self,
        showers: Showers,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
        strict: bool = False,
    ) -> Showers:
        """See `LearnedRefiner.refine`; nothing is drawn. Deposits below the least of the full
        training showers are 0.
        """
        del seed
        self.calorimeter.require(showers.calorimeter, "a sample to refine")
        self.require(showers.particles, first_index, strict=strict)
        parts = [showers.deposits[:0]]
        for part in self.parts(showers, first_index, _AT_A_TIME):
            shower_sums(part.showers.deposits[: part.number], part.first)
            made = self._expected(part.showers)[: part.number]
            parts.append(self.finite(made, part.first))
            progress(part.number)
        return replace(showers, deposits=torch.cat(parts), threshold=None)

    @torch.inference_mode()
    def _expected(self, showers: Showers) -> Float[Tensor, "showers cells"]:
        x = self.network(self._images(showers)).clamp_min(0).flatten(1).double() * self.unit
        shares = x.square() if self.root else x
        deposits = self.calorimeter.to_flat(shares) * showers.energies.double()[:, None]
        return torch.where(deposits < self.threshold, 0.0, deposits).float()
