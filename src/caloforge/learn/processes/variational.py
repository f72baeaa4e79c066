r"""Variational autoencoding of fields with values in [0, 1] (CaloDREAM, arXiv:2405.09629, section
3.3, eqs. 12 and 22).

An encoder gives mean :math:`\mu` and variance :math:`\sigma^2` of a normal distribution of the
latent field, drawn as :math:`z = \mu + \sigma \epsilon` with :math:`\epsilon` standard normal; a
decoder gives the mean :math:`p(z) \in (0, 1)` of a Bernoulli distribution of each voxel :math:`x`.
They minimise

.. math:: \mathcal L = \bigl\langle -x \log p(z) - (1 - x) \log(1 - p(z)) \bigr\rangle
          + \beta \bigl\langle \tfrac12 (\mu^2 + \sigma^2 - 1 - \log \sigma^2) \bigr\rangle,

the second term the divergence of the latent distribution from the standard normal. The first term
is least at :math:`p = x`, where it is the entropy of :math:`x`, not zero. Both averages are
*means*: over showers and voxels, and over showers and latent numbers.
"""

__all__ = ["Autoencoder", "Variational"]

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from caloforge.errors import ModelError
from caloforge.gradients import differentiable


@runtime_checkable
class Autoencoder(Protocol):
    """An encoder to a normal distribution and a decoder to a Bernoulli distribution."""

    def encode(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent field."""

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """Logits of the field."""


@dataclass(frozen=True)
class Variational:
    r"""A variational autoencoder with a Bernoulli likelihood.

    The means are those of the published code. With sums in their place the same :math:`\beta` would
    weigh more by the ratio of latent numbers to voxels.

    Arguments:
        beta: The weight :math:`\beta \ge 0` of the divergence; the published code has
            :math:`10^{-5}`.

    Raises:
        ModelError: If beta is negative or not finite.
    """

    beta: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.beta) and self.beta >= 0):
            msg = (
                f"variational autoencoder: beta is {self.beta}, expected a finite number of at "
                "least 0"
            )
            raise ModelError(msg)

    @differentiable
    def latent(
        self,
        mean: Float[Tensor, "batch channels *latent"],
        log_variance: Float[Tensor, "batch channels *latent"],
        noise: Float[Tensor, "batch channels *latent"],
    ) -> Float[Tensor, "batch channels *latent"]:
        """A latent field, differentiable in mean and log variance; the noise is standard normal."""
        return mean + (0.5 * log_variance).exp() * noise

    def reconstruction(
        self,
        logits: Float[Tensor, "batch features *field"],
        x: Float[Tensor, "batch features *field"],
    ) -> Float[Tensor, ""]:
        """The cross entropy of the Bernoulli distributions with these logits, mean over showers and
        voxels (eq. 22).
        """
        return functional.binary_cross_entropy_with_logits(logits, x)

    def divergence(
        self,
        mean: Float[Tensor, "batch channels *latent"],
        log_variance: Float[Tensor, "batch channels *latent"],
    ) -> Float[Tensor, ""]:
        """The Kullback-Leibler divergence from the standard normal distribution, mean over showers
        and latent numbers.
        """
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()

    def loss(
        self,
        network: Autoencoder,
        z: Float[Tensor, "batch features *field"],
        condition: Float[Tensor, "batch ..."],
        random: torch.Generator,
    ) -> Float[Tensor, ""]:
        """The loss to minimise (eq. 12).

        Arguments:
            network: Encoder and decoder.
            z: The field, with values in [0, 1].
            condition: The condition that encoder and decoder share.
            random: Where the latent field comes from.
        """
        mean, log_variance = network.encode(z, condition)
        noise = torch.randn(mean.shape, generator=random, device=mean.device)
        logits = network.decode(self.latent(mean, log_variance, noise), condition)
        return self.reconstruction(logits, z) + self.beta * self.divergence(mean, log_variance)

    def sample(
        self,
        network: Autoencoder,
        noise: Float[Tensor, "batch channels *latent"],
        condition: Float[Tensor, "batch ..."],
    ) -> Float[Tensor, "batch features *field"]:
        """The means of the field, in [0, 1].

        Arguments:
            network: Encoder and decoder.
            noise: The latent field: standard normal numbers, or what a flow made.
            condition: The condition that encoder and decoder share.
        """
        return network.decode(noise, condition).sigmoid()
