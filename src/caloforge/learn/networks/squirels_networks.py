r"""The two networks of SQuIRELS (arXiv:2308.12339, section IV), with the published numbers of
parameters.

Both see a point :math:`x`, the number of the step :math:`k` and conditions, and give the
displacement of the next point's mean, :math:`F(k, x) - x`. The published code has the network give
the mean itself; the displacement asks the same network to learn a small number instead of a copy of
its input.
"""

__all__ = ["SquirelsEnergyNetwork", "SquirelsShapeNetwork"]

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.learn.networks.dense import dense
from caloforge.learn.networks.embedding import sinusoids

_TIME = 128


def _convolutions(*channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [
            nn.Conv2d(before, after, kernel_size=3, padding="same", bias=False),
            nn.LeakyReLU(),
        ]
    return nn.Sequential(*layers[:-1])


class SquirelsEnergyNetwork(nn.Module):
    """SQuIRELS-E: three encoders for the response, the step and the incident energy, and a decoder;
    691,969 parameters.

    The encoders end in 256 nodes, as in the published code; the paper says 128.
    """

    def __init__(self) -> None:
        super().__init__()
        self.point = dense((1, 256, 256, 256))
        self.step = dense((_TIME, 256, 256, 256))
        self.energy = dense((1, 256, 256, 256))
        self.decoder = dense((3 * 256 + 1, 256, 256, 1))

    @property
    def output(self) -> nn.Module:
        """The layer that ends it."""
        return self.decoder[-1]

    def forward(
        self,
        x: Float[Tensor, "batch 1"],
        step: Float[Tensor, " batch"],
        condition: Float[Tensor, "batch 1"],
    ) -> Float[Tensor, "batch 1"]:
        """The displacement at x.

        Arguments:
            x: The standardised response.
            step: The number of the step.
            condition: The incident energy, scaled to order 1.
        """
        parts = [self.point(x), self.step(sinusoids(step, _TIME)), self.energy(condition), x]
        return self.decoder(torch.cat(parts, dim=1))  # type: ignore[no-any-return]


class SquirelsShapeNetwork(nn.Module):
    """SQuIRELS: convolutions over the image of the cells, with three conditions as planes; 173,280
    parameters.

    Arguments:
        image: The shape of the image that the flat cells unfold to.
    """

    def __init__(self, image: tuple[int, int]) -> None:
        super().__init__()
        self.image = image
        self.encoder = _convolutions(1, 32, 32, 32, 32)
        self.step = dense((_TIME, 256, 256, 32))
        self.decoder = _convolutions(32 + 32 + 3 + 1, 32, 32, 32, 1)

    @property
    def output(self) -> nn.Module:
        """The layer that ends it."""
        return self.decoder[-1]

    def forward(
        self,
        x: Float[Tensor, "batch cells"],
        step: Float[Tensor, " batch"],
        condition: Float[Tensor, "batch 3"],
    ) -> Float[Tensor, "batch cells"]:
        """The displacement at x.

        Arguments:
            x: The standardised shares of the cells.
            step: The number of the step.
            condition: Incident energy, fast response and refined response, each scaled to order 1.
        """
        image = x.view(-1, 1, *self.image)
        planes = torch.cat([self.step(sinusoids(step, _TIME)), condition], dim=1)[
            :, :, None, None
        ].expand(-1, -1, *self.image)
        return self.decoder(torch.cat([self.encoder(image), planes, image], dim=1)).flatten(1)  # type: ignore[no-any-return]
