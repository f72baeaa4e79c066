r"""The networks of the classifiers: from the inputs of a shower to the logit s of "this is the full
simulation".

A network sees either a list of F features or, for convolutions, a list whose first entries are
those of the particle and whose others are an image of :math:`L \times A \times R` cells: layers,
:math:`\alpha` (or y), :math:`r` (or x), the last fastest. An `Architecture` gives the sizes; the
networks are those of `caloforge.learn.networks`.

- `Dense`: layers of given widths. The CaloChallenge's (arXiv:2410.21611) has :math:`3 \times 2048`,
  that of CaloDREAM (arXiv:2405.09629, table 3) :math:`3 \times 512`, that of L2LFlows
  (arXiv:2405.20407, appendix D) 512, 512, 128, 32.
- `ResNet3d`: the CaloChallenge's residual network in three dimensions, 18 layers deep.
- `Convolutional`, `RingConvolutional`: the low-level classifiers of L2LFlows, for boxes and for
  rings in :math:`\alpha`. Their last layer is followed by a leaky ReLU, as in the published code: a
  logit below 0 is made 100 times smaller; for weights, leave it out.
"""

__all__ = ["Architecture", "Convolutional", "Dense", "Image", "ResNet3d", "RingConvolutional"]

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import nn

from caloforge.errors import GeometryError
from caloforge.learn.networks.dense import dense
from caloforge.learn.networks.pooled import PooledNetwork, pooled, ring_pooled
from caloforge.learn.networks.resnet import ResidualNetwork

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
            image: The shape of the image that ends the inputs; None for features without order.

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
        widths = (n_features, *self.widths, 1)
        return nn.Sequential(*dense(widths, self.activation, self.dropout), nn.Flatten(0))


@dataclass(frozen=True)
class ResNet3d(Architecture):
    """A residual network in three dimensions; what is known of the particle joins before the last
    layer.

    Arguments:
        planes: The numbers of channels of the four stages; each but the first halves the image.
        blocks: The numbers of blocks, of two convolutions each, in the stages.
    """

    planes: tuple[int, int, int, int] = (32, 64, 64, 128)
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)

    def build(self, n_features: int, image: Image | None) -> nn.Module:
        """See `Architecture.build`."""
        shape = _required(image, "a ResNet")
        numbers = n_features - math.prod(shape)
        return ResidualNetwork(shape, self.planes, self.blocks, numbers)


@dataclass(frozen=True)
class Convolutional(Architecture):
    """Convolutions with max-pooling, then four linear layers.

    Arguments:
        channels: The number of channels.
        widths: The widths of the three hidden linear layers.
        rectified: Whether a leaky ReLU follows the last layer too.
    """

    channels: int = 16
    widths: tuple[int, int, int] = (128, 64, 32)
    rectified: bool = True

    def build(self, n_features: int, image: Image | None) -> nn.Module:
        """See `Architecture.build`."""
        shape = _required(image, "a convolutional network")
        numbers = n_features - math.prod(shape)
        convolutions = pooled(self.channels)
        return PooledNetwork(convolutions, shape, self.widths, numbers, rectified=self.rectified)


@dataclass(frozen=True)
class RingConvolutional(Architecture):
    """Convolutions that close the ring in alpha, with max-pooling, then four linear layers.

    Arguments:
        channels: The number of channels.
        widths: The widths of the three hidden linear layers.
        rectified: Whether a leaky ReLU follows the last layer too.
    """

    channels: int = 16
    widths: tuple[int, int, int] = (128, 64, 32)
    rectified: bool = True

    def build(self, n_features: int, image: Image | None) -> nn.Module:
        """See `Architecture.build`."""
        shape = _required(image, "a convolutional network")
        numbers = n_features - math.prod(shape)
        convolutions = ring_pooled(self.channels)
        return PooledNetwork(convolutions, shape, self.widths, numbers, rectified=self.rectified)


def _required(image: Image | None, what: str) -> Image:
    if image is None:
        msg = (
            f"{what} needs an image, these inputs have no order: choose inputs that are images, "
            "or a dense network"
        )
        raise GeometryError(msg)
    return image
