"""A U-Net of images of one calorimeter layer (Ronneberger et al., arXiv:1505.04597), as
Convolutional L2LFlows has it (arXiv:2405.20407, figure 3, right, and its public code).

An image has shape (batch, channels, alpha, r). Level :math:`i` of the U-Net has :math:`2^i h`
channels. On the way down a level applies two convolutions of kernel 3, each with normalisation and
LeakyReLU, keeps the result, and makes the image coarser by a convolution whose stride is its
kernel; on the way up a transposed convolution of the same kernel undoes that, and two convolutions
see its result beside what the level kept. The last convolution has neither normalisation nor
activation, and is zero at first.

Where the calorimeter is a cylinder, alpha is a circle and its padding wraps around; r is padded
with zeros. Turning an image by the product of the strides in alpha then turns what comes out by as
much.
"""

__all__ = ["Convolution", "UNet", "UNetDesign", "group_norm"]

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.fusion import fuse_conv_bn_eval

from caloforge.errors import ModelError
from caloforge.learn.networks.circular import wrapped

Pair = tuple[int, int]

_GROUPS = (1, 2, 4, 8)
_CHANNELS = 4


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalisation over groups of at least four channels of one image.

    The published normalisation is `torch.nn.BatchNorm2d`: in training a shower's loss depends on
    its companions, and what is used later are running means of the batches. This one has as many
    parameters and depends on one shower alone.

    Arguments:
        channels: How many channels there are.
    """
    return nn.GroupNorm(
        max(n for n in _GROUPS if n == 1 or channels % (_CHANNELS * n) == 0), channels
    )


@dataclass(frozen=True)
class UNetDesign:
    """What U-Nets have in common.

    Arguments:
        hidden: Channels :math:`h` of the finest level; each coarser one has twice as many.
        downsamples: Kernel and stride that make each level coarser, in alpha and r, from the finest
            on.
        cyclic: Whether alpha is a circle.
        normalisation: Makes the normalisation of a number of channels.

    Raises:
        ModelError: A number is not positive, or there is no level.
    """

    hidden: int
    downsamples: tuple[Pair, ...]
    cyclic: bool = True
    normalisation: Callable[[int], nn.Module] = nn.BatchNorm2d

    def __post_init__(self) -> None:
        if (
            not self.downsamples
            or min(self.hidden, *(n for pair in self.downsamples for n in pair)) < 1
        ):
            msg = (
                f"U-Net of {self.hidden} hidden channels, downsamples {self.downsamples};"
                " expected positive numbers, and at least one downsample"
            )
            raise ModelError(msg)

    @property
    def reduction(self) -> Pair:
        """How many positions of alpha and r one of the coarsest image stands for."""
        alpha = r = 1
        for down in self.downsamples:
            alpha, r = alpha * down[0], r * down[1]
        return alpha, r


class Convolution(nn.Conv2d):
    """A convolution of kernel 3 that keeps the shape; if cyclic, alpha wraps around.

    Arguments:
        before: Channels of what goes in.
        after: Channels of what comes out.
        cyclic: Whether alpha is a circle.
    """

    def __init__(self, before: int, after: int, *, cyclic: bool) -> None:
        super().__init__(before, after, 3, padding=(0 if cyclic else 1, 1))
        self.cyclic = cyclic

    def forward(
        self, x: Float[Tensor, "batch before alpha r"]
    ) -> Float[Tensor, "batch after alpha r"]:
        """The convolution of images.

        Arguments:
            x: The images.
        """
        return super().forward(wrapped(x, -1, x.shape[2] + 1, dim=2) if self.cyclic else x)


class UNet(nn.Module):
    """An image from an image; zero at first.

    Arguments:
        before: Channels of what goes in.
        after: Channels of what comes out.
        design: Widths, levels, padding and normalisation.
    """

    def __init__(self, before: int, after: int, design: UNetDesign) -> None:
        super().__init__()
        kernels = design.downsamples
        widths = [design.hidden * 2**level for level in range(len(kernels))]
        self.encode = nn.ModuleList(
            [_activated(design, w if i else before, w, w) for i, w in enumerate(widths)]
        )
        self.coarsen = nn.ModuleList(
            [nn.Conv2d(w, 2 * w, k, stride=k) for w, k in zip(widths, kernels, strict=True)]
        )
        self.refine = nn.ModuleList(
            [
                nn.ConvTranspose2d(2 * w, w, k, stride=k)
                for w, k in zip(widths, kernels, strict=True)
            ]
        )
        finest, *coarser = widths
        *inner, last = _convolutions(design, 2 * finest, finest, after)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.decode = nn.ModuleList(
            [nn.Sequential(*inner, last), *(_activated(design, 2 * w, w, w) for w in coarser)]
        )

    @property
    def output(self) -> nn.Module:
        """The layer that ends it."""
        return cast("nn.Sequential", self.decode[0])[-1]

    def forward(
        self, x: Float[Tensor, "batch before alpha r"]
    ) -> Float[Tensor, "batch after alpha r"]:
        """The image that comes out.

        Arguments:
            x: Images whose axes the downsamples divide.
        """
        kept = []
        for encode, coarsen in zip(self.encode, self.coarsen, strict=True):
            kept.append(encode(x))
            x = coarsen(kept[-1])
        x = leaky_relu(x)
        for refine, decode in zip(reversed(self.refine), reversed(self.decode), strict=True):
            x = decode(torch.cat([refine(x), kept.pop()], dim=1))
        return x

    def folded(self) -> "UNet":
        """A copy for inference, with the running batch normalisation as part of the convolutions
        before it.
        """
        network = copy.deepcopy(self).eval().requires_grad_(False)
        network.encode = nn.ModuleList([_fused(block) for block in network.encode])
        network.decode = nn.ModuleList([_fused(block) for block in network.decode])
        return network


def _convolutions(design: UNetDesign, before: int, between: int, after: int) -> list[nn.Module]:
    return [
        Convolution(before, between, cyclic=design.cyclic),
        design.normalisation(between),
        nn.LeakyReLU(),
        Convolution(between, after, cyclic=design.cyclic),
    ]


def _activated(design: UNetDesign, before: int, between: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        *_convolutions(design, before, between, after), design.normalisation(after), nn.LeakyReLU()
    )


def _fused(block: nn.Module) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in block.children():
        if isinstance(layer, nn.BatchNorm2d) and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)
