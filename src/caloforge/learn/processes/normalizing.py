r"""Normalizing flows: an exact density by an invertible map (Rezende and Mohamed,
arXiv:1505.05770).

A *bijection* carries data :math:`x` with condition :math:`c` to :math:`z = f(x, c)` of the same
shape, whose distribution is standard normal. With the determinant of its Jacobian, the density of
the data is

.. math:: \log p(x | c) = \log N(f(x, c)) + \log \Bigl| \det \frac{\partial f}{\partial x} \Bigr|

(Convolutional L2LFlows, arXiv:2405.20407, section 3; CaloFlow, arXiv:2106.05285, section III), and
the mean of its negative is what training minimises. Samples are :math:`f^{-1}(z, c)` of standard
normal :math:`z`.
"""

__all__ = ["Bijection", "NormalizingFlow"]

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.gradients import differentiable
from caloforge.learn.processes.flow import standard_normal


@runtime_checkable
class Bijection(Protocol):
    """What the process asks of a network, a module with `forward` and `inverse`; batch rows must
    not mix.
    """

    def __call__(self, x: Tensor, condition: Tensor, /) -> tuple[Tensor, Tensor]:
        """The latent z (batch, ...) of data x of that shape, and the log of the Jacobian's absolute
        determinant (batch).
        """

    def inverse(self, z: Tensor, condition: Tensor, /) -> Tensor:
        """The data x (batch, ...) of a latent z of that shape."""


@dataclass(frozen=True)
class NormalizingFlow:
    """Maximum likelihood of a bijection from the data to the standard normal distribution."""

    @differentiable
    def log_likelihood(
        self,
        bijection: Bijection,
        x: Float[Tensor, "batch ..."],
        condition: Float[Tensor, "batch ..."],
    ) -> Float[Tensor, " batch"]:
        """The logarithm of the density of points, in nats; differentiable in all that the bijection
        is.

        Arguments:
            bijection: The map from data to latent.
            x: The points.
            condition: The condition of each point.
        """
        z, log_det = bijection(x, condition)
        return standard_normal(z) + log_det

    def loss(
        self,
        network: Bijection,
        z: Float[Tensor, "batch ..."],
        condition: Float[Tensor, "batch ..."],
        random: torch.Generator,
    ) -> Float[Tensor, ""]:
        """The mean negative log likelihood, per dimension.

        Arguments:
            network: The map in training.
            z: The points.
            condition: The condition of each point.
            random: Not used: nothing is left to chance.
        """
        del random
        return -self.log_likelihood(network, z, condition).mean() / z[0].numel()

    def sample(
        self,
        network: Bijection,
        noise: Float[Tensor, "batch ..."],
        condition: Float[Tensor, "batch ..."],
    ) -> Float[Tensor, "batch ..."]:
        """Carry standard normal numbers to the data; a gradient is not kept.

        Arguments:
            network: The map from data to latent.
            noise: The standard normal numbers.
            condition: The condition of each point.
        """
        with torch.no_grad():
            return network.inverse(noise, condition)
