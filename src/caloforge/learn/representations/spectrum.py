r"""The spectrum of the cells of generated showers, mapped onto that of training showers (L2LFlows,
arXiv:2405.20407, appendix C).

Of the deposits :math:`x` not below the threshold :math:`\tau` let :math:`P` be the distribution in
generated showers and :math:`Q` that in training showers. The one increasing map of the first onto
the second is

.. math:: f(x) = Q^{-1}(P(x)) \quad (\mathrm{C.3}).

In :math:`t = \ln x`, the generated ones sorted beside as many quantiles of the training ones, the
range of :math:`t` is cut into bins of the same width, and a monotone cubic spline drawn through the
mean of either side in each bin, beginning at :math:`f(\tau) = \tau`. Bins of few deposits are left
out. Beyond the last bin :math:`f(x) / x` stays what it is there. The layers are then given back the
energy that they had (`renormalised`).
"""

__all__ = ["NODES", "SpectrumMap"]

import math

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.interpolate import PchipInterpolator
from torch import Tensor, nn

from caloforge.errors import ShowerValueError
from caloforge.learn.representations.filled import renormalised

NODES = 128
"""Bins of the spectrum."""

_FEWEST = 10
_LEAST = 1e-12
_ROUNDING = 1e-4


class SpectrumMap(nn.Module):
    """The map f, the identity until it is matched, when its first place is infinite.

    Arguments:
        nodes: The number of bins.
    """

    threshold: Tensor
    places: Tensor
    coefficients: Tensor

    def __init__(self, nodes: int = NODES) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.tensor(_LEAST, dtype=torch.float64))
        self.register_buffer("places", torch.full((nodes + 1,), math.inf, dtype=torch.float64))
        self.register_buffer("coefficients", torch.zeros(4, nodes + 1, dtype=torch.float64))

    def match(
        self, generated: Float[Tensor, "..."], training: Float[Tensor, "..."]
    ) -> "SpectrumMap":
        """Take the map from showers generated at the conditions of training showers, and from
        these.

        Arguments:
            generated: The deposits of the generated showers, in MeV.
            training: Those of the training showers; the least of them is the threshold.

        Raises:
            ShowerValueError: There are fewer deposits than bins.
        """
        threshold = torch.where(training > 0, training, math.inf).amin().double() * (1 - _ROUNDING)
        x, y = (
            (values[values >= threshold] / threshold).log().sort().values
            for values in (generated.double(), training.double())
        )
        if min(len(x), len(y)) < len(self.places):
            msg = (
                f"{len(x)} generated and {len(y)} training deposits are too few for a map of "
                f"{len(self.places) - 1} "
                "nodes: give more showers, or make a map of fewer nodes"
            )
            raise ShowerValueError(msg)
        self.threshold.copy_(threshold)
        self._draw(*_means(x.numpy(force=True), y.numpy(force=True), len(self.places) - 1))
        return self

    def _draw(self, x: Float64[np.ndarray, " n"], y: Float64[np.ndarray, " n"]) -> None:
        """Put the spline through points into the buffers; the last piece is the line of slope 1
        that goes on from it.
        """
        pieces = len(x) - 1
        self.places.fill_(math.inf)[: len(x)] = torch.from_numpy(x)
        self.coefficients.zero_()[2:, pieces] = torch.tensor([1.0, y[-1]])
        if pieces:
            self.coefficients[:, :pieces] = torch.from_numpy(PchipInterpolator(x, y).c)

    def forward(self, deposits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The deposits f(x), in MeV, in the precision of the given ones; what is below the
        threshold stays as it is.
        """
        mapped = deposits.clone()
        hit = deposits >= self.threshold * self.places[0].exp()
        t = (deposits[hit].double() / self.threshold).log()
        piece = (torch.searchsorted(self.places, t, right=True) - 1).clamp_min(0)
        c, s = self.coefficients[:, piece], t - self.places[piece]
        y = ((c[0] * s + c[1]) * s + c[2]) * s + c[3]
        mapped[hit] = (self.threshold * y.exp()).to(deposits.dtype)
        return mapped

    def corrected(
        self, deposits: Float[Tensor, "showers layers cells"]
    ) -> Float[Tensor, "showers layers cells"]:
        """The deposits f(x), the layers renormalised to the energy that they had."""
        return renormalised(self(deposits), deposits.double().sum(dim=2), self.threshold)


def _means(
    x: Float64[np.ndarray, " n"], y: Float64[np.ndarray, " m"], bins: int
) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """The means of x and of the quantiles of y beside them in bins of x from 0 on, and (0, 0)."""
    y = np.interp((np.arange(len(x)) + 0.5) / len(x), (np.arange(len(y)) + 0.5) / len(y), y)
    number = np.minimum((x * (bins / max(x[-1], _LEAST))).astype(int), bins - 1)
    counts, x_sums, y_sums = (np.bincount(number, weights, bins) for weights in (None, x, y))
    full = (counts >= _FEWEST) & (x_sums > 0)
    x_means, y_means = (
        np.concatenate([[0.0], sums[full] / counts[full]]) for sums in (x_sums, y_sums)
    )
    return x_means, y_means
