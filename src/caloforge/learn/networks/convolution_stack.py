"""A plain stack of convolutions from images to images of the same size (arXiv:2202.05320 and its
public code): 3 x 3, without bias or normalisation; the first is followed by a leaky ReLU of slope
0.2, those between by ReLU, the last by nothing. Where the image is cut in alpha, that axis is a
circle.
"""

__all__ = ["DenoisingNetwork"]

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from caloforge.learn.networks.circular import wrapped

_SLOPE = 0.2


class DenoisingNetwork(nn.Module):
    """The convolutions.

    Arguments:
        channels: The channels of the images: layers.
        features: The channels between.
        convolutions: How many convolutions there are, at least 2.
        ring: Whether the first axis of the images is a circle.
    """

    def __init__(self, channels: int, features: int, convolutions: int, *, ring: bool) -> None:
        super().__init__()
        widths = [channels, *[features] * (convolutions - 1), channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, bias=False) for a, b in pairwise(widths)
        )
        self.ring = ring

    def _padded(self, x: Tensor) -> Tensor:
        around = wrapped(x, -1, x.shape[2] + 1, 2) if self.ring else pad(x, (0, 0, 1, 1))
        return pad(around, (1, 1))

    def forward(self, x: Float[Tensor, "n layers a r"]) -> Float[Tensor, "n layers a r"]:
        """The images."""
        first, *between = self.convolutions[:-1]
        x = nn.functional.leaky_relu(first(self._padded(x)), _SLOPE)
        for convolution in between:
            x = torch.relu(convolution(self._padded(x)))
        last: Tensor = self.convolutions[-1](self._padded(x))
        return last
