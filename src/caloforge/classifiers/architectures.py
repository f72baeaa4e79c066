r"""The networks of the classifiers: from the inputs of a shower to the logit s of "this is the full
simulation".

The head of a network sees either a list of F features or, for convolutions, a list whose first
entry is the incident energy and whose others are an image of :math:`L \times A \times R` cells:
layers, :math:`\alpha` (or y), :math:`r` (or x), the last fastest.

- `Dense`: layers of given widths. The CaloChallenge's (arXiv:2410.21611) has :math:`3 \times 2048`,
  that of CaloDREAM (arXiv:2405.09629, table 3) :math:`3 \times 512`, that of L2LFlows
  (arXiv:2405.20407, appendix D) 512, 512, 128, 32.
- `ResNet3d`: the CaloChallenge's residual network in three dimensions, 18 layers deep.
- `Convolutional`, `RingConvolutional`: the low-level classifiers of L2LFlows, for boxes and for
  rings in :math:`\alpha`. Their last layer is followed by a leaky ReLU, as in the published code: a
  logit below 0 is made 100 times smaller.
"""

__all__ = ["Architecture", "Convolutional", "Dense", "Image", "ResNet3d", "RingConvolutional"]

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.errors import GeometryError

Image = tuple[int, int, int]
"""The numbers of layers, of bins in alpha (or y) and of bins in r (or x)."""


class Architecture(ABC):
    """What a network looks like, before the size of its inputs is known."""

    @abstractmethod
    def build(self, n_features: int, image: Image | None) -> nn.Module:
        """A network with random weights, from inputs with shape (N, n_features) to logits with
        shape (N).

        Arguments:
            n_features: The number of inputs.
            image: The shape of the image that follows the first input; None for features without
                order.

        Raises:
            GeometryError: The network needs an image and there is none.
        """


@dataclass(frozen=True)
class Dense(Architecture):
    """A multilayer perceptron.

    Arguments:
        widths: The widths of the hidden layers.
        dropout: The probability that a hidden unit is left out in training, in [0, 1[.
        activation: The class of the nonlinearity; torch's leaky ReLU has slope 0.01.
    """

    widths: tuple[int, ...]
    dropout: float = 0.0
    activation: type[nn.Module] = nn.LeakyReLU

    def build(self, n_features: int, image: Image | None) -> nn.Module:
        """See `Architecture.build`; the image's shape is not used."""
        layers: list[nn.Module] = []
        for width in self.widths:
            layers += [nn.Linear(n_features, width), self.activation(), nn.Dropout(self.dropout)]
            n_features = width
        return nn.Sequential(*layers, nn.Linear(n_features, 1), nn.Flatten(0))


@dataclass(frozen=True)
class ResNet3d(Architecture):
    """A residual network in three dimensions; the incident energy, batch-normalised, joins before
    the last layer.

    Arguments:
        planes: The numbers of channels of the four stages; each but the first halves the image.
        blocks: The numbers of blocks, of two convolutions each, in the stages.
    """

    planes: tuple[int, int, int, int] = (32, 64, 64, 128)
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)

    def build(self, n_features: int, image: Image | None) -> nn.Module:
        """See `Architecture.build`."""
        return _ResNet(_required(image, "a ResNet"), self.planes, self.blocks)


@dataclass(frozen=True)
class Convolutional(Architecture):
    """Four convolutions, each with max-pooling by 2, then four linear layers; 30 x 30 x 30 cells
    come down to 2 x 2 x 2.

    Arguments:
        channels: The number of channels.
        widths: The widths of the three hidden linear layers.
    """

    channels: int = 16
    widths: tuple[int, int, int] = (128, 64, 32)

    def build(self, n_features: int, image: Image | None) -> nn.Module:
        """See `Architecture.build`; where a length is odd, pooling rounds up."""
        shape = _required(image, "a convolutional network")
        layers: list[nn.Module] = []
        for k in range(4):
            size, padding = (5, 3) if k == 0 else (3, 1)
            convolution = nn.Conv3d(self.channels if k else 1, self.channels, size, padding=padding)
            layers += [convolution, nn.LeakyReLU(), nn.MaxPool3d(2, ceil_mode=True)]
        return _WithEnergy(nn.Sequential(*layers, nn.Flatten()), shape, self.widths)


@dataclass(frozen=True)
class RingConvolutional(Architecture):
    """Four convolutions that close the ring in alpha, two max-poolings, then four linear layers; 45
    x 50 x 18 cells to 3 x 2 x 2.

    Arguments:
        channels: The number of channels.
        widths: The widths of the three hidden linear layers.
    """

    channels: int = 16
    widths: tuple[int, int, int] = (128, 64, 32)

    def build(self, n_features: int, image: Image | None) -> nn.Module:
        """See `Architecture.build`; where a length cannot be divided, pooling rounds up."""
        shape = _required(image, "a convolutional network")
        layers: list[nn.Module] = [_AlphaLast()]
        for k, (size, pool) in enumerate(((5, None), (3, (5, 3, 5)), (5, (3, 3, 5)), (3, None))):
            reach = size // 2
            convolution = nn.Conv3d(
                self.channels if k else 1, self.channels, size, padding=(reach, reach, 0)
            )
            layers += [_Ring(reach), convolution, nn.LeakyReLU()]
            layers += [nn.MaxPool3d(pool, ceil_mode=True)] if pool else []
        return _WithEnergy(nn.Sequential(*layers, nn.Flatten()), shape, self.widths)


def _required(image: Image | None, what: str) -> Image:
    if image is None:
        msg = (
            f"{what} needs an image, these inputs have no order: choose inputs that are images, "
            "or a dense network"
        )
        raise GeometryError(msg)
    return image


class _AlphaLast(nn.Module):
    """From (layer, alpha, r) to (layer, r, alpha)."""

    def forward(self, x: Float[Tensor, "n 1 l a r"]) -> Float[Tensor, "n 1 l r a"]:
        return x.transpose(-1, -2)


class _Ring(nn.Module):
    """Repeats the last axis at both ends, as a ring continues."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.reach = reach

    def forward(self, x: Float[Tensor, "... a"]) -> Float[Tensor, "... b"]:
        n = x.shape[-1]
        return x[..., torch.arange(-self.reach, n + self.reach, device=x.device) % n]


class _WithEnergy(nn.Module):
    """What convolutions see of the image, and the energy, through linear layers."""

    def __init__(self, convolutions: nn.Module, image: Image, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.convolutions, self.image = convolutions, image
        with torch.no_grad():
            n = convolutions(torch.zeros(1, 1, *image)).shape[1] + 1
        layers: list[nn.Module] = []
        for width in (*widths, 1):
            layers += [nn.Linear(n, width), nn.LeakyReLU()]
            n = width
        self.linears = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "n features"]) -> Float[Tensor, " n"]:
        seen = self.convolutions(x[:, 1:].reshape(-1, 1, *self.image))
        logits: Tensor = self.linears(torch.cat([seen, x[:, :1]], dim=1))
        return logits[:, 0]


class _ResNet(nn.Module):
    def __init__(self, image: Image, planes: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.image = image
        stages: list[nn.Module] = []
        inner = planes[0]
        for stage, (outer, number) in enumerate(zip(planes, blocks, strict=True)):
            for k in range(number):
                stages.append(_Block(inner, outer, stride=2 if stage and not k else 1))
                inner = outer
        stem = [
            nn.Conv3d(1, planes[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm3d(planes[0]),
            nn.ReLU(),
        ]
        pool = nn.MaxPool3d(3, stride=2, padding=1)
        self.trunk = nn.Sequential(*stem, pool, *stages, nn.AdaptiveAvgPool3d(1), nn.Flatten())
        self.energy = nn.BatchNorm1d(1)
        self.last = nn.Linear(inner + 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Float[Tensor, "n features"]) -> Float[Tensor, " n"]:
        seen = self.trunk(x[:, 1:].reshape(-1, 1, *self.image))
        logits: Tensor = self.last(torch.cat([seen, self.energy(x[:, :1])], dim=1))
        return logits[:, 0]


class _Block(nn.Module):
    """Two convolutions beside a short cut."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        first = nn.Conv3d(inner, outer, 3, stride=stride, padding=1, bias=False)
        second = nn.Conv3d(outer, outer, 3, padding=1, bias=False)
        self.body = nn.Sequential(
            first, nn.BatchNorm3d(outer), nn.ReLU(), second, nn.BatchNorm3d(outer)
        )
        alike = stride == 1 and inner == outer
        narrow = nn.Conv3d(inner, outer, 1, stride=stride, bias=False)
        self.short_cut = nn.Identity() if alike else nn.Sequential(narrow, nn.BatchNorm3d(outer))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.short_cut(x))
