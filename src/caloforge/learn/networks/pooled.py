"""Convolutions that pool an image down to a few numbers, and a dense network behind them."""

__all__ = ["PooledNetwork", "pooled", "ring_pooled"]

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.learn.networks.circular import Circular
from caloforge.learn.networks.dense import dense


def pooled(channels: int) -> nn.Sequential:
    """Four convolutions, each with max-pooling by 2; 30 x 30 x 30 positions come down to 2 x 2 x 2.
    Where a length is odd, pooling rounds up.

    Arguments:
        channels: The number of channels.
    """
    layers: list[nn.Module] = []
    for k in range(4):
        size, padding = (5, 3) if k == 0 else (3, 1)
        convolution = nn.Conv3d(channels if k else 1, channels, size, padding=padding)
        layers += [convolution, nn.LeakyReLU(), nn.MaxPool3d(2, ceil_mode=True)]
    return nn.Sequential(*layers, nn.Flatten())


def ring_pooled(channels: int) -> nn.Sequential:
    """Four convolutions that close the middle axis to a ring, two max-poolings; 45 x 50 x 18
    positions come down to 3 x 2 x 2. Where a length cannot be divided, pooling rounds up.

    Arguments:
        channels: The number of channels.
    """
    layers: list[nn.Module] = [_Swapped()]
    for k, (size, pool) in enumerate(((5, None), (3, (5, 3, 5)), (5, (3, 3, 5)), (3, None))):
        reach = size // 2
        padding = (reach, reach, 0)
        convolution = nn.Conv3d(channels if k else 1, channels, size, padding=padding)
        layers += [Circular(reach, dim=4), convolution, nn.LeakyReLU()]
        layers += [nn.MaxPool3d(pool, ceil_mode=True)] if pool else []
    return nn.Sequential(*layers, nn.Flatten())


class PooledNetwork(nn.Module):
    """From numbers and an image to a number: convolutions see the image, and a dense network what
    they found and the numbers.

    Arguments:
        convolutions: From images, with shape ``(N, 1, *image)``, to numbers, with shape (N, M).
        image: The shape of the image.
        widths: The widths of the hidden layers of the dense network.
        numbers: How many numbers come before the image.
        rectified: Whether a leaky ReLU follows the last layer too.
    """

    def __init__(
        self,
        convolutions: nn.Module,
        image: tuple[int, int, int],
        widths: Sequence[int],
        numbers: int = 1,
        *,
        rectified: bool = True,
    ) -> None:
        super().__init__()
        self.convolutions, self.image, self.numbers = convolutions, image, numbers
        with torch.no_grad():
            n = convolutions(torch.zeros(1, 1, *image)).shape[1] + numbers
        last = (nn.LeakyReLU(),) if rectified else ()
        self.dense = nn.Sequential(*dense((n, *widths, 1)), *last)

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, " batch"]:
        """The output.

        Arguments:
            x: The numbers, and behind them the image, flat.
        """
        seen = self.convolutions(x[:, self.numbers :].reshape(-1, 1, *self.image))
        found: Tensor = self.dense(torch.cat([seen, x[:, : self.numbers]], dim=1))
        return found[:, 0]


class _Swapped(nn.Module):
    """Swaps the last two axes."""

    def forward(self, x: Float[Tensor, "n 1 l a r"]) -> Float[Tensor, "n 1 l r a"]:
        return x.transpose(-1, -2)
