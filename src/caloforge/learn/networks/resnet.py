"""A residual network in three dimensions (He et al., arXiv:1512.03385), with numbers beside the
image.
"""

__all__ = ["ResidualBlock", "ResidualNetwork"]

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two convolutions of kernel 3, each with batch normalisation, beside a short cut.

    Arguments:
        before: Channels of what goes in.
        after: Channels of what comes out.
        stride: The stride of the first convolution.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        first = nn.Conv3d(before, after, 3, stride=stride, padding=1, bias=False)
        second = nn.Conv3d(after, after, 3, padding=1, bias=False)
        self.body = nn.Sequential(
            first, nn.BatchNorm3d(after), nn.ReLU(), second, nn.BatchNorm3d(after)
        )
        alike = stride == 1 and before == after
        narrow = nn.Conv3d(before, after, 1, stride=stride, bias=False)
        self.short_cut = nn.Identity() if alike else nn.Sequential(narrow, nn.BatchNorm3d(after))

    def forward(
        self, x: Float[Tensor, "batch before l a r"]
    ) -> Float[Tensor, "batch after l2 a2 r2"]:
        """The block's image."""
        return torch.relu(self.body(x) + self.short_cut(x))


class ResidualNetwork(nn.Module):
    """From numbers and an image to a number; the former, batch-normalised, join before the last
    layer.

    Arguments:
        image: The shape of the image.
        planes: The numbers of channels of the stages; each but the first halves the image.
        blocks: The numbers of blocks in the stages.
        numbers: How many numbers come before the image.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        planes: Sequence[int],
        blocks: Sequence[int],
        numbers: int = 1,
    ) -> None:
        super().__init__()
        self.image, self.numbers = image, numbers
        stages: list[nn.Module] = []
        before = planes[0]
        for stage, (after, number) in enumerate(zip(planes, blocks, strict=True)):
            for k in range(number):
                stages.append(ResidualBlock(before, after, stride=2 if stage and not k else 1))
                before = after
        stem = [
            nn.Conv3d(1, planes[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm3d(planes[0]),
            nn.ReLU(),
        ]
        pool = nn.MaxPool3d(3, stride=2, padding=1)
        self.trunk = nn.Sequential(*stem, pool, *stages, nn.AdaptiveAvgPool3d(1), nn.Flatten())
        self.number = nn.BatchNorm1d(numbers)
        self.last = nn.Linear(before + numbers, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, " batch"]:
        """The output.

        Arguments:
            x: The numbers, and behind them the image, flat.
        """
        seen = self.trunk(x[:, self.numbers :].reshape(-1, 1, *self.image))
        found: Tensor = self.last(torch.cat([seen, self.number(x[:, : self.numbers])], dim=1))
        return found[:, 0]
