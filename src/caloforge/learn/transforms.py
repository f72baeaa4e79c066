r"""Invertible maps of numbers: CaloDREAM's preprocessing (arXiv:2405.09629, section 2).

.. math:: \mathrm{logit}_\alpha(x) = \ln\frac{y}{1 - y}, \quad y = \alpha + (1 - 2 \alpha)\, x \in
          [\alpha, 1 - \alpha]
          \quad (3)

for :math:`x \in [0, 1]`; `Standardisation` is :math:`(x - \mu) / \sigma`, number by number, with
the moments of the training sample.
"""

__all__ = ["Standardisation", "inverse_logit", "logit"]

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

_NARROWEST = 1e-6


def logit(x: Float[Tensor, "*shape"], alpha: float) -> Float[Tensor, "*shape"]:
    """The regularised logit of numbers in [0, 1] (eq. 3); finite, in double precision.

    Arguments:
        x: The numbers.
        alpha: How far the ends are drawn in, in ]0, 1/2[.
    """
    return torch.logit(alpha + (1 - 2 * alpha) * x.double())


def inverse_logit(y: Float[Tensor, "*shape"], alpha: float) -> Float[Tensor, "*shape"]:
    """The numbers in [0, 1] whose regularised logit is y; what lies beyond the ends is brought back
    to them.
    """
    return ((y.double().sigmoid() - alpha) / (1 - 2 * alpha)).clamp(0, 1)


class Standardisation(nn.Module):
    """Zero mean and unit variance, number by number.

    Arguments:
        n: How many numbers.
    """

    mean: Tensor
    width: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n, dtype=torch.float64))
        self.register_buffer("width", torch.ones(n, dtype=torch.float64))

    def adapt(
        self, x: Float[Tensor, "sample n"], images: Int64[Tensor, "group n"] | None = None
    ) -> "Standardisation":
        """Take the moments of a sample; a number that never changes keeps the width 1.

        Arguments:
            x: The sample.
            images: A group of permutations of the numbers; the moments are then those of all images
                of the sample, the same for numbers that a permutation carries into each other. None
                for the sample alone.
        """
        return self.adapt_parts([x], images)

    def adapt_parts(
        self, parts: Iterable[Float[Tensor, "_ n"]], images: Int64[Tensor, "group n"] | None = None
    ) -> "Standardisation":
        """Take the moments of a sample that comes in parts, as `adapt` does: in double precision
        only a part at a time.
        """
        mean, variance = _moments(parts)
        if images is not None:
            images, own = images.to(mean.device), mean
            mean = own[images].mean(dim=0)
            variance = (variance + (own - mean).square())[images].mean(dim=0)
        self.mean.copy_(mean)
        self.width.copy_(torch.where(variance > _NARROWEST**2, variance, 1.0).sqrt())
        return self

    def forward(self, x: Float[Tensor, "sample n"]) -> Float[Tensor, "sample n"]:
        """Standardise, to single precision."""
        return ((x.double() - self.mean) / self.width).float()

    def inverse(self, y: Float[Tensor, "sample n"]) -> Float[Tensor, "sample n"]:
        """The numbers, in double precision."""
        return y.double() * self.width + self.mean


def _moments(
    parts: Iterable[Float[Tensor, "_ n"]],
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Mean and variance, part by part."""
    seen, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for part in parts:
        x = part.double()
        own, total = x.mean(dim=0), seen + len(x)
        step = own - mean.to(own)
        squares = (
            squares.to(own)
            + (x - own).square().sum(dim=0)
            + step.square() * (seen * len(x) / total)
        )
        mean, seen = mean.to(own) + step * (len(x) / total), total
    return mean, squares / (seen - 1)
