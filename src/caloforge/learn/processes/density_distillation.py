r"""Probability density distillation: a flow that samples in one pass learns from one that was
fitted in one pass.

A masked autoregressive flow (MAF) is fitted by maximum likelihood, and takes a step a feature to
sample. Its inverse (IAF) samples in one pass, but its likelihood takes a step a feature, so that it
is not fitted but taught (van den Oord et al., arXiv:1711.10433), here as in CaloFlow II (Krause and
Shih, arXiv:2110.11377) and its public code. Let the teacher's blocks carry data :math:`x = x^0` to
latent :math:`z = x^B` through :math:`x^b`, with numbers :math:`\theta^b` in block :math:`b`. The
student has the same blocks and orders of features, so that its :math:`\hat x^b` and
:math:`\hat\theta^b` mean the same. Two round trips ask that they agree everywhere on the way,

.. math:: x \xrightarrow{\text{teacher}} z \xrightarrow{\text{student}} \hat x \approx x
          \quad \text{(x-loss)}, \qquad
          z \xrightarrow{\text{student}} \hat x \xrightarrow{\text{teacher}} x^B \approx z \quad
          \text{(z-loss)},

the first from data, the second from standard normal numbers, each one pass of both. With :math:`D`
features,

.. math:: \mathcal L_x, \mathcal L_z &= \frac{1}{D}\, \mathbb E \Bigl[ \sum_{b=0}^{B} \| \hat x^b -
          x^b \|^2
          + \lambda \sum_{b=1}^{B} \| \hat\theta^b - \theta^b \|^2 \Bigr], \quad &(1) \\
          \mathcal L &= \beta\, \mathcal L_x + (1 - \beta)\, \mathcal L_z . &(2)

The first sum of (1) holds the published losses of the end points and of the coordinates between
blocks, the second that of the outputs of the masked networks. The published code counts each point
twice, on both sides of a permutation, or at the end on its own and as one of the points, and sums
over features: up to the factor :math:`2 D` that is :math:`\lambda = 1/2`, with :math:`\beta = 1/2`.
No term asks for a density. In :math:`\mathcal L_z` the gradient passes through the teacher to the
student.
"""

__all__ = ["DensityDistillation", "Stepwise"]

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Stepwise(Protocol):
    """What the process asks of a flow: the points between its blocks, and the numbers of each
    block's transformation.
    """

    def walk(self, x: Tensor, condition: Tensor, /) -> tuple[Tensor, Tensor]:
        """Points (batch, blocks + 1, ...), the data first and the latent last, and numbers (batch,
        blocks, ...), given data.
        """

    def walk_back(self, z: Tensor, condition: Tensor, /) -> tuple[Tensor, Tensor]:
        """The same, in the same order, given the latent."""


@dataclass(frozen=True)
class DensityDistillation:
    r"""The round trips of a teacher and a student.

    Arguments:
        balance: The weight :math:`\beta` of the round trip from data, in [0, 1]; the rest is that
            from latent.
        numbers: The weight :math:`\lambda` of the numbers relative to that of the points, at least
            0.
    """

    balance: float = 0.5
    numbers: float = 0.5

    def loss(
        self,
        teacher: Stepwise,
        student: Stepwise,
        x: Float[Tensor, "batch features"],
        z: Float[Tensor, "batch features"],
        condition: Float[Tensor, "batch ..."],
    ) -> Float[Tensor, ""]:
        """The weighted sum of both losses.

        Arguments:
            teacher: The fitted flow; its weights are left alone, and best need no gradient.
            student: The flow in training.
            x: Data.
            z: Standard normal numbers.
            condition: The condition that data and numbers share.
        """
        from_data = self.from_data(teacher, student, x, condition)
        return self.balance * from_data + (1 - self.balance) * self.from_latent(
            teacher, student, z, condition
        )

    def from_data(
        self,
        teacher: Stepwise,
        student: Stepwise,
        x: Float[Tensor, "batch features"],
        condition: Float[Tensor, "batch ..."],
    ) -> Float[Tensor, ""]:
        """The loss of the round trip from data, the x-loss.

        Arguments:
            teacher: The fitted flow.
            student: The flow in training.
            x: Data.
            condition: Their condition.
        """
        with torch.no_grad():
            target = teacher.walk(x, condition)
        return self._distance(student.walk_back(target[0][:, -1], condition), target)

    def from_latent(
        self,
        teacher: Stepwise,
        student: Stepwise,
        z: Float[Tensor, "batch features"],
        condition: Float[Tensor, "batch ..."],
    ) -> Float[Tensor, ""]:
        """The loss of the round trip from latent, the z-loss.

        Arguments:
            teacher: The fitted flow.
            student: The flow in training.
            z: Standard normal numbers.
            condition: Their condition.
        """
        walk = student.walk_back(z, condition)
        return self._distance(walk, teacher.walk(walk[0][:, 0], condition))

    def _distance(self, walk: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
        points, numbers = (
            (ours - its).square().flatten(1).sum(1).mean()
            for ours, its in zip(walk, target, strict=True)
        )
        return (points + self.numbers * numbers) / walk[0][0, 0].numel()
