r"""Probability density distillation: a flow that samples in one pass learns from one that does not.

The teacher, a masked autoregressive flow (MAF), carries data :math:`x = x^0` to latent
:math:`z = x^B` through :math:`x^b`, with numbers :math:`\theta^b` in block :math:`b`. The student,
an inverse one (IAF) with the same blocks and orders of features, has :math:`\hat x^b` and
:math:`\hat\theta^b` there (van den Oord et al., arXiv:1711.10433; CaloFlow II, arXiv:2110.11377).
Two round trips, each one pass of both, ask that they agree everywhere on the way:
:math:`x \to z \to \hat x \approx x` from data (x-loss) and :math:`z \to \hat x \to x^B \approx z`
from standard normal numbers (z-loss). With :math:`D` features,

.. math:: \mathcal L_x, \mathcal L_z &= \frac{1}{D}\, \mathbb E \Bigl[ \sum_{b=0}^{B} \| \hat x^b -
          x^b \|^2
          + \lambda \sum_{b=1}^{B} \| \hat\theta^b - \theta^b \|^2 \Bigr], \quad &(1) \\
          \mathcal L &= \beta\, \mathcal L_x + (1 - \beta)\, \mathcal L_z . &(2)
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

    The first sum of eq. 1 holds the published losses of the end points and of the points between
    blocks, the second that of the outputs of the masked networks. The public code of CaloFlow II
    counts each point twice, on both sides of a permutation, or at the end on its own and as one of
    the points, and sums over features: up to the factor :math:`2 D` that is
    :math:`\lambda = \beta = 1/2`. In the z-loss the gradient passes through the teacher to the
    student.

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
