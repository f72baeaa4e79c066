r"""A variational autoencoder of numbers most of which are exactly zero: a *hurdle* model.

A cell is hit or not, a Bernoulli variable; a hit has a number :math:`y` from a normal distribution.
Given a code :math:`z`, which carries what the cells have in common, the cells are independent,

.. math:: p(h, y \mid z) = \prod_c p_c(z)^{h_c} (1 - p_c(z))^{1 - h_c} \; N\bigl(y_c;\, m_c(z),
          s_c(z)^2\bigr)^{h_c} ,

with logit :math:`\ell_c(z) + \ell^0_c`, where :math:`\ell^0_c` is known beforehand. Encoder and
decoder minimise the bound of the negative log likelihood (Kingma and Welling, arXiv:1312.6114,
eq. 3), with sums over cells and over the numbers of the code,

.. math:: \mathcal L = \mathbb E \Bigl[ -\log p(h, y \mid z) + \beta \, \mathrm{KL}\bigl(N(\mu,
          \sigma^2) \,\|\, N(0, 1)\bigr) \Bigr], \qquad z \sim N(\mu, \sigma^2) .
"""

__all__ = ["CellDensities", "Hurdle", "HurdleAutoencoder", "HurdleNoise"]

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


class CellDensities(NamedTuple):
    """The densities of the cells: the logit of being hit, mean and log width of the number of a
    hit.
    """

    logit: Tensor
    mean: Tensor
    log_width: Tensor


class HurdleNoise(NamedTuple):
    """What showers are drawn from: a code, the logits known beforehand, and a uniform and a normal
    number a cell.
    """

    code: Tensor
    known: Tensor
    uniforms: Tensor
    normals: Tensor


@runtime_checkable
class HurdleAutoencoder(Protocol):
    """An encoder to a normal distribution and a decoder to the densities of the cells."""

    def encode(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the code."""

    def decode(self, z: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logit, mean and log width of each cell."""


@dataclass(frozen=True)
class Hurdle:
    r"""The variational autoencoder.

    With :math:`\beta = 1` its loss is the bound itself: numbers of the code that carry no
    information stay standard normal. Sampling draws code, hits and numbers; a decoder's mean alone
    would make showers that are too smooth.

    Arguments:
        beta: The weight :math:`\beta \ge 0` of the divergence.
    """

    beta: float = 1.0

    def loss(
        self,
        network: HurdleAutoencoder,
        z: tuple[Float[Tensor, "batch 2 layers cells"], Float[Tensor, "batch layers cells"]],
        condition: Float[Tensor, "batch condition"],
        random: torch.Generator,
    ) -> Float[Tensor, ""]:
        """The bound, a mean over showers and cells.

        Arguments:
            network: Encoder and decoder.
            z: Which cells are hit, as 0 and 1, with the numbers of the hits; and the logits known
                beforehand.
            condition: The condition that encoder and decoder share.
            random: Where the code comes from.
        """
        x, known = z
        mean, log_variance = network.encode(x, condition)
        noise = torch.randn(mean.shape, generator=random, device=mean.device)
        densities = CellDensities(
            *network.decode(mean + (log_variance / 2).exp() * noise, condition)
        )
        hit, numbers = x.unbind(dim=1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        bound = (
            self.surprise(densities._replace(logit=densities.logit + known), hit, numbers).sum()
            + self.beta * divergence.sum()
        )
        return bound / hit.numel()

    def sample(
        self,
        network: HurdleAutoencoder,
        noise: HurdleNoise,
        condition: Float[Tensor, "batch condition"],
    ) -> tuple[Float[Tensor, "batch layers cells"], Float[Tensor, "batch layers cells"]]:
        """Priorities of the cells to be hit, and the number of each if it is.

        Arguments:
            network: Encoder and decoder.
            noise: The code and what is left to chance.
            condition: The condition that encoder and decoder share.
        """
        densities = CellDensities(*network.decode(noise.code, condition))
        priority = self.priority(densities.logit + noise.known, noise.uniforms)
        return priority, densities.mean + densities.log_width.exp() * noise.normals

    @staticmethod
    def surprise(
        densities: CellDensities,
        hit: Float[Tensor, "batch layers cells"],
        numbers: Float[Tensor, "batch layers cells"],
    ) -> Float[Tensor, "batch layers cells"]:
        """The negative log likelihood of each cell, up to a constant for each hit."""
        missed = functional.binary_cross_entropy_with_logits(densities.logit, hit, reduction="none")
        pull = (numbers - densities.mean) * (-densities.log_width).exp()
        return missed + hit * (0.5 * pull.square() + densities.log_width)

    @staticmethod
    def priority(
        logit: Float[Tensor, "batch layers cells"], u: Float[Tensor, "batch layers cells"]
    ) -> Float[Tensor, "batch layers cells"]:
        """Numbers by whose falling order cells are hit, if it is known how many are; above 0 for
        those that would be anyway.

        Arguments:
            logit: The logits of being hit.
            u: Uniform numbers in ]0, 1[.
        """
        return logit + torch.logit(u).to(logit)
