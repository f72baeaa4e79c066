"""The convolutional flow of one calorimeter layer (Convolutional L2LFlows, arXiv:2405.20407,
section 3.2 and figure 3).

Data are images of shape (batch, 1, alpha, r), conditions images on the same grid: the layers
before, and numbers spread over all positions. The flow stacks the pixels of small tiles in
channels, then repeats a *block* of activation norm, spline coupling with a U-Net, and 1x1
convolution (`caloforge.learn.networks.invertible`), and goes back to the grid of the data. This is
the order of the public code; the text names the 1x1 convolution before the coupling. A small
network brings the condition to the grid of tiles: once, for all blocks.
"""

__all__ = ["ConvolutionalFlow"]

import copy
from collections.abc import Iterator
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.errors import GeometryError, ModelError
from caloforge.learn.networks.invertible import (
    ActNorm,
    InvertibleConvolution,
    SplineCoupling,
    Squeeze,
    Step,
)
from caloforge.learn.networks.unet import Convolution, UNetDesign

_AXES = ("alpha", "r")


class ConvolutionalFlow(nn.Module):
    """A bijection from images of one calorimeter layer to standard normal numbers, given a
    condition image.

    Call `initialise` with a batch of training data before training.

    Published, for an image of 50 x 18 (alpha, r): tiles of 2 x 2, 8 blocks, U-Nets of 32 hidden
    channels with downsamples ((5, 3), (5, 3)), 10 bins on [-15, 15], 8 channels of embedded
    condition; the first layer has no former layers, and no embedding: its condition is constant
    over a tile. 45 such flows, the k-th with min(k, 5) layers and two numbers in its condition, and
    the energy flow of 447,042 parameters have the published 194,964,482 in all.

    For images of 30 x 30, downsamples ((3, 3), (5, 5)) and no circle, the published 163,269,320 is
    something else: all numbers in the `state_dict` of the 30 flows, without the energy flow. Of
    them 163,096,520 are parameters; 720 a block are not: running means and variances (704),
    counters of batches (7), the permutation (4), which channels a coupling moves (4) and whether an
    activation norm was initialised (1). With the energy flow of 306,732 parameters this model has
    163,403,252.

    Arguments:
        shape: Positions in alpha and r.
        condition: Channels of the condition image.
        design: The U-Nets of the couplings; its padding and that of the embedding are the same.
        squeeze: Positions of a tile in alpha and r.
        blocks: How many blocks there are.
        embedding: Channels of the embedded condition; None takes the condition of each tile's first
            pixel as it is.
        bins: Bins of a spline.
        bound: The splines are on [-bound, bound], and the flow is affine beyond.

    Raises:
        GeometryError: Tiles or downsamples do not divide the axes.
        ModelError: A tile has one pixel only, or a number is not positive.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        condition: int,
        design: UNetDesign,
        squeeze: tuple[int, int] = (2, 2),
        blocks: int = 8,
        embedding: int | None = 8,
        bins: int = 10,
        bound: float = 15.0,
    ) -> None:
        super().__init__()
        _check(shape, squeeze, design, (condition, blocks, embedding or 1))
        self.squeeze = Squeeze(squeeze)
        self.embedding = (
            None
            if embedding is None
            else _embedding(condition, embedding, squeeze, cyclic=design.cyclic)
        )
        channels = squeeze[0] * squeeze[1]
        self.steps = nn.ModuleList()
        for block in range(blocks):
            coupling = SplineCoupling(
                channels, embedding or condition, design, bins=bins, bound=bound
            )
            self.steps += [
                ActNorm(channels),
                coupling,
                InvertibleConvolution(_permutation(channels, block)),
            ]

    def forward(
        self,
        x: Float[Tensor, "batch 1 alpha r"],
        condition: Float[Tensor, "batch condition alpha r"],
    ) -> tuple[Float[Tensor, "batch 1 alpha r"], Float[Tensor, " batch"]]:
        """The latent images and the logarithm of the absolute determinant of the Jacobian.

        Arguments:
            x: The images of the layer.
            condition: The condition images, of order 1.
        """
        context = self._embed(condition)
        z, log_det = self.squeeze(x), x.new_zeros(len(x))
        for step in self._chain:
            z, change = step(z, context)
            log_det = log_det + change
        return self.squeeze.inverse(z), log_det

    def inverse(
        self,
        z: Float[Tensor, "batch 1 alpha r"],
        condition: Float[Tensor, "batch condition alpha r"],
    ) -> Float[Tensor, "batch 1 alpha r"]:
        """The images of the layer.

        Arguments:
            z: The latent images.
            condition: The condition images.
        """
        context, x = self._embed(condition), self.squeeze(z)
        for step in reversed(self._chain):
            x = step.inverse(x, context)
        return self.squeeze.inverse(x)

    @torch.no_grad()
    def initialise(
        self,
        x: Float[Tensor, "batch 1 alpha r"],
        condition: Float[Tensor, "batch condition alpha r"],
    ) -> None:
        """Set each activation norm so that what it makes of these images has mean 0 and variance 1.

        Arguments:
            x: Images of training data.
            condition: Their conditions.
        """
        training = self.training
        self.eval()
        context, z = self._embed(condition), self.squeeze(x)
        for step in self._chain:
            if isinstance(step, ActNorm):
                step.initialise(z)
            z, _ = step(z, context)
        self.train(training)

    def folded(self) -> "ConvolutionalFlow":
        """A copy for inference: 1x1 convolutions with fixed matrices, batch normalisation inside
        the convolutions.

        It is the same map to rounding, cannot be trained, and its `state_dict` is another one.
        """
        flow = copy.deepcopy(self).eval().requires_grad_(False)
        flow.steps = nn.ModuleList(_folded(flow._chain))
        return flow

    @property
    def _chain(self) -> list[Step]:
        return cast("list[Step]", list(self.steps))

    def _embed(
        self, condition: Float[Tensor, "batch condition alpha r"]
    ) -> Float[Tensor, "batch embedding alpha2 r2"]:
        if self.embedding is None:
            a, b = self.squeeze.factors
            return condition[:, :, ::a, ::b]
        return self.embedding(condition)  # type: ignore[no-any-return]


def _folded(steps: list[Step]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, SplineCoupling):
            step.network = step.network.folded()
        yield step.folded() if isinstance(step, InvertibleConvolution) else step


def _embedding(before: int, after: int, squeeze: tuple[int, int], *, cyclic: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 1),
        nn.LeakyReLU(),
        Convolution(after, after, cyclic=cyclic),
        nn.LeakyReLU(),
        nn.Conv2d(after, after, squeeze, stride=squeeze),
        nn.LeakyReLU(),
        Convolution(after, after, cyclic=cyclic),
    )


def _permutation(channels: int, block: int) -> Tensor:
    """After an even block the halves change places, so that blocks 2k and 2k + 1 together move each
    channel of an even number once; after an odd one a random permutation makes new halves. The
    published permutations are all random.
    """
    return torch.randperm(channels) if block % 2 else torch.arange(channels).roll(-(channels // 2))


def _check(
    shape: tuple[int, int], squeeze: tuple[int, int], design: UNetDesign, sizes: tuple[int, ...]
) -> None:
    if min(*sizes, *squeeze) < 1 or squeeze == (1, 1):
        msg = (
            f"convolutional flow: tiles of {squeeze}, condition, blocks and embedding {sizes};"
            " expected positive numbers, and tiles of at least two pixels"
        )
        raise ModelError(msg)
    for axis, n, tile, down in zip(_AXES, shape, squeeze, design.reduction, strict=True):
        if n < 1 or n % (tile * down):
            msg = (
                f"convolutional flow, axis {axis} of {n} positions: tiles of {tile} and "
                f"downsamples of {down} in all;"
                " expected both together to divide the axis"
            )
            raise GeometryError(msg)
