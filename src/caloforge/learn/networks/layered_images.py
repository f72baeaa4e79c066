r"""Generator and critic of images of several shapes, one a layer (CaloGAN, M. Paganini, L. de
Oliveira, B. Nachman, arXiv:1712.10321, section 4, with the sizes of the public code).

A branch of the generator makes an image of :math:`n \times m` pixels: a linear layer to
:math:`(n + 2) \times (m + 2)` positions of 36 channels, a convolution, two *locally connected*
layers, which have weights of their own at each position. From the second image on, weights
:math:`w_1 + w_2 = 1` at each pixel, *attention*, mix the image I with that of the layer before it,
brought to its shape, :math:`w_1 I + w_2 I'`. Images have no negative numbers.

The critic sees of each image what a convolution and three locally connected layers find, the share
of its lit pixels, and of the shower the energies of its layers, their sum, and how far the sum lies
off the incident energy. *Minibatch features* compare showers of a batch: with a projection
:math:`k_i` of shower i, :math:`\tanh \sum_j e^{-\lVert k_i - k_j \rVert_1}`.
"""

__all__ = ["LayeredCritic", "LayeredGenerator", "LocallyConnected"]

import math
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[int, int]

_SLOPE = 0.3
_CHANNELS, _CONVOLVED, _LOCAL = 36, 16, 6
_SEEN, _FOUND = 64, (16, 8, 8)
_FEATURES, _DIRECTIONS = 10, 10
_ASIDE = -10.0
"""The bias of the attention to the layer before, at first: it is not looked at."""

_SMALL = 32
"""Numbers of a matrix; 16 rows of fewer have a kernel of their own."""

_OFF, _MUCH = 5.0, 10.0
_LAYER_SCALE, _SUM_SCALE = 10.0, 100.0


class LocallyConnected(nn.Module):
    """A convolution with weights of its own at each position, without padding.

    Arguments:
        shape: The positions that it sees.
        channels: Channels before and behind it.
        kernel: The kernel.
        stride: The stride.
        bias: Whether each position has biases.
    """

    def __init__(
        self, shape: Pair, channels: Pair, kernel: Pair, stride: Pair = (1, 1), *, bias: bool = True
    ) -> None:
        super().__init__()
        self.kernel, self.stride, (before, after) = kernel, stride, channels
        rows, columns = ((n - k) // s + 1 for n, k, s in zip(shape, kernel, stride, strict=True))
        self.shape, seen = (rows, columns), before * prod(kernel)
        bound = math.sqrt(3 / seen)
        weight = torch.empty(rows * columns, seen, after).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(rows * columns, 1, after)) if bias else None

    def forward(
        self, x: Float[Tensor, "batch before rows columns"]
    ) -> Float[Tensor, "batch after new_rows new_columns"]:
        """As many channels as asked for."""
        windows = functional.unfold(x, self.kernel, stride=self.stride).permute(2, 0, 1)
        made = _product(windows, self.weight)
        made = made if self.bias is None else made + self.bias
        return made.permute(1, 2, 0).reshape(len(x), -1, *self.shape)


def _product(
    windows: Float[Tensor, "positions batch seen"], weight: Float[Tensor, "positions seen after"]
) -> Float[Tensor, "positions batch after"]:
    """Matrix products, written out where they are small: torch would take a kernel for them that
    depends on the size of the batch.
    """
    if weight[0].numel() >= _SMALL:
        return windows @ weight
    return (windows[..., None] * weight[:, None]).sum(dim=2)


def _convolution(before: int, after: int) -> nn.Sequential:
    """A convolution of kernel 2 that keeps the positions."""
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(before, after, 2))


class _Branch(nn.Module):
    """The generator of one image."""

    def __init__(self, inputs: int, shape: Pair) -> None:
        super().__init__()
        rows, columns = (n + 2 for n in shape)
        self.linear = nn.Linear(inputs, _CHANNELS * rows * columns)
        self.layers = nn.Sequential(
            nn.Unflatten(1, (_CHANNELS, rows, columns)),
            _convolution(_CHANNELS, _CONVOLVED),
            nn.LeakyReLU(_SLOPE),
            nn.BatchNorm2d(_CONVOLVED),
            LocallyConnected((rows, columns), (_CONVOLVED, _LOCAL), (2, 2)),
            nn.LeakyReLU(_SLOPE),
            LocallyConnected((rows - 1, columns - 1), (_LOCAL, 1), (2, 2), bias=False),
        )

    def forward(self, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch 1 rows columns"]:
        """The image."""
        made: Tensor = self.layers(self.linear(x))
        return made


class _Attention(nn.Module):
    """Mixes an image with that of the layer before."""

    def __init__(self, shape: Pair) -> None:
        super().__init__()
        rows, columns = (n + 2 for n in shape)
        self.weights = LocallyConnected((rows, columns), (2, 2), (3, 3))
        nn.init.constant_(cast("Tensor", self.weights.bias)[..., 1], _ASIDE)

    def forward(self, image: Tensor, before: Tensor) -> Float[Tensor, "batch 1 rows columns"]:
        """The mixture."""
        same = functional.adaptive_avg_pool2d(before, (image.shape[2], image.shape[3]))
        both = torch.cat([image, same], dim=1)
        weights: Tensor = self.weights(functional.pad(both, (1, 1, 1, 1))).softmax(dim=1)
        return (weights * both).sum(dim=1, keepdim=True)


class LayeredGenerator(nn.Module):
    """Images of several shapes from noise, which is multiplied by the first number of the
    condition; the others join it.

    Arguments:
        shapes: The shape of each image: rows, columns.
        latent: Numbers of the noise.
        condition: Numbers of the condition.
    """

    def __init__(self, shapes: Sequence[Pair], latent: int, condition: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_Branch(latent + condition - 1, shape) for shape in shapes)
        self.attention = nn.ModuleList(map(_Attention, shapes[1:]))

    def forward(
        self, noise: Float[Tensor, "batch latent"], condition: Float[Tensor, "batch known"]
    ) -> Float[Tensor, "batch pixels"]:
        """All pixels, image by image, row by row."""
        start = torch.cat([noise * condition[:, :1], condition[:, 1:]], dim=1)
        own = [branch(start) for branch in self.branches]
        images = own[:1]
        for attention, image, before in zip(self.attention, own[1:], own, strict=False):
            images.append(attention(image, before))
        return torch.cat([image.flatten(1) for image in images], dim=1).relu()


class _Minibatch(nn.Module):
    """How near the showers of a batch are to each other."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.projection = nn.Linear(inputs, _FEATURES * _DIRECTIONS)

    def forward(self, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch features"]:
        """The features."""
        seen = self.projection(x).reshape(len(x), _FEATURES, _DIRECTIONS)
        apart: Tensor = (seen[:, None] - seen[None]).abs().sum(dim=3)
        return (-apart).exp().sum(dim=1).tanh()


class _Eye(nn.Module):
    """What the critic sees of one image."""

    def __init__(self, shape: Pair) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(1, _SEEN), nn.LeakyReLU(_SLOPE)]
        kernels, strides = ((3, 3), (2, 2), (2, 2)), ((1, 2), (1, 1), (1, 2))
        for channels, kernel, stride in zip(
            pairwise((_SEEN, *_FOUND)), kernels, strides, strict=True
        ):
            rows, columns = (n + 2 for n in shape)
            local = LocallyConnected((rows, columns), channels, kernel, stride)
            shape = local.shape
            norm = nn.BatchNorm2d(channels[1])
            layers += [nn.ZeroPad2d(1), local, nn.LeakyReLU(_SLOPE), norm]
        self.layers, found = nn.Sequential(*layers, nn.Flatten()), _FOUND[-1] * prod(shape)
        self.of_found, self.of_lit = _Minibatch(found), _Minibatch(1)
        self.width = found + 2 * _FEATURES + 1

    def forward(self, image: Float[Tensor, "batch 1 rows columns"]) -> Float[Tensor, "batch n"]:
        """Its features."""
        found, lit = self.layers(image), (image > 0).float().mean(dim=(2, 3))
        return torch.cat([found, self.of_found(found), lit, self.of_lit(lit)], dim=1)


class LayeredCritic(nn.Module):
    """The logit that a shower of several images is true; the sum of all pixels should be the first
    number of the condition, times 100.

    Arguments:
        shapes: The shape of each image: rows, columns.
        condition: Numbers of the condition.
    """

    def __init__(self, shapes: Sequence[Pair], condition: int) -> None:
        super().__init__()
        self.shapes = tuple(shapes)
        eyes = [_Eye(shape) for shape in shapes]
        self.eyes = nn.ModuleList(eyes)
        self.of_energies = _Minibatch(len(shapes))
        seen = sum(eye.width for eye in eyes)
        self.head = nn.Linear(seen + len(shapes) + 3 + _FEATURES + condition - 1, 1)

    def forward(
        self, pixels: Float[Tensor, "batch pixels"], condition: Float[Tensor, "batch known"]
    ) -> Float[Tensor, " batch"]:
        """The logits."""
        parts = torch.split(pixels, [prod(shape) for shape in self.shapes], dim=1)
        images = [
            part.reshape(-1, 1, *shape) for part, shape in zip(parts, self.shapes, strict=True)
        ]
        energies = torch.stack([part.sum(dim=1) for part in parts], dim=1)
        total = energies.sum(dim=1, keepdim=True)
        off = (total - _SUM_SCALE * condition[:, :1]).abs()
        seen = [eye(image) for eye, image in zip(self.eyes, images, strict=True)]
        seen += [energies / _LAYER_SCALE, total / _SUM_SCALE, off, _MUCH * (off > _OFF)]
        seen += [self.of_energies(energies), condition[:, 1:]]
        score: Tensor = self.head(torch.cat(seen, dim=1))
        return score[:, 0]
