r"""The diffusion Schroedinger bridge by iterative proportional fitting.

De Bortoli et al., arXiv:2106.01357, as used by SQuIRELS (arXiv:2308.12339, section II, eqs. 3-7).
Two samples, here A and B, are joined by chains :math:`x_0, \dots, x_N` with Gaussian kernels of
variance :math:`2\gamma` and means :math:`F_k(x_k)` forward (A to B) and :math:`B_{k+1}(x_{k+1})`
backward (B to A). Half-bridges alternate: chains drawn from one sample with its mean train the
other,

.. math:: B_{k+1} = \arg\min \mathbb E \| B(x_{k+1}) - x_{k+1} - F_k(x_k) + F_k(x_{k+1}) \|^2 \quad
          (4)

and the same with the roles exchanged (5). The first chains come from the Ornstein-Uhlenbeck process
towards a standard normal distribution, :math:`F_k(x) = (1 - \gamma) x`. A mean here is a
*displacement* network :math:`D` with :math:`F_k(x) = x + D(k, x)`.
"""

__all__ = ["Displacement", "SchroedingerBridge"]

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Displacement = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class SchroedingerBridge:
    r"""The chain of a Schroedinger bridge.

    Step numbers :math:`k` count along the chain's own direction of travel, from 0 to N - 1, in
    training and in sampling alike: the network that undoes the step from :math:`x_k` to
    :math:`x_{k+1}` is asked for step :math:`N - 1 - k`.

    Arguments:
        gamma: Half the variance of one step, :math:`\gamma > 0`.
        steps: The number of steps N.
        teacher: The displacement whose chains teach, of the direction opposite to that which
            learns; None for the reference process of the first half-bridge.
    """

    gamma: float
    steps: int
    teacher: Displacement | None = None

    def ornstein_uhlenbeck(
        self, x: Float[Tensor, "batch dim"], step: Tensor, condition: Tensor
    ) -> Float[Tensor, "batch dim"]:
        """The displacement of the reference process of the first half-bridge."""
        del step, condition
        return -self.gamma * x

    def chains(
        self,
        start: Float[Tensor, "batch dim"],
        condition: Tensor,
        noise: Float[Tensor, "steps batch dim"],
    ) -> tuple[Float[Tensor, "pairs dim"], Float[Tensor, " pairs"], Float[Tensor, "pairs dim"]]:
        """Chains of the teacher, from which the opposite direction learns (eqs. 4 and 5).

        Arguments:
            start: Points of the teacher's own sample.
            condition: The condition of each point, with shape (batch, ...).
            noise: Standard normal numbers for every step.

        Returns:
            Points, the pupil's step numbers, and the displacements that the pupil should give, for
            all steps of all chains.
        """
        teacher = self.ornstein_uhlenbeck if self.teacher is None else self.teacher
        points, numbers, targets = [], [], []
        x = start
        for k in range(self.steps):
            step = x.new_full((len(x),), float(k))
            mean = x + teacher(x, step, condition)
            x = mean + math.sqrt(2 * self.gamma) * noise[k]
            points.append(x)
            numbers.append(torch.full_like(step, self.steps - 1 - k))
            targets.append(mean - x - teacher(x, step, condition))
        return torch.cat(points), torch.cat(numbers), torch.cat(targets)

    def loss(
        self,
        network: Displacement,
        z: Float[Tensor, "batch dim"],
        condition: Tensor,
        random: torch.Generator,
    ) -> Float[Tensor, ""]:
        """The mean-matching loss of a half-bridge.

        Arguments:
            network: The displacement that learns.
            z: Points of the teacher's own sample.
            condition: The condition of each point, with shape (batch, ...).
            random: Where the noise of the teacher's chains comes from.
        """
        noise = torch.randn(self.steps, *z.shape, generator=random, device=z.device)
        with torch.no_grad():
            points, numbers, targets = self.chains(z, condition, noise)
        repeated = condition.repeat(self.steps, *[1] * (condition.ndim - 1))
        return (network(points, numbers, repeated) - targets).square().mean()

    def sample(
        self,
        network: Displacement,
        noise: tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch moves dim"]],
        condition: Tensor,
    ) -> Float[Tensor, "batch dim"]:
        """Carry points along the chain (eqs. 6 and 7); the last step adds no noise.

        Arguments:
            network: The displacement of the direction to travel.
            noise: The points to carry, and standard normal numbers for all steps but the last.
            condition: The condition of each point.
        """
        x, normals = noise
        for k in range(self.steps):
            x = x + network(x, x.new_full((x.shape[0],), float(k)), condition)
            if k < self.steps - 1:
                x = x + math.sqrt(2 * self.gamma) * normals[:, k]
        return x
