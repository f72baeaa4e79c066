r"""Generator and critic of three-dimensional fields (Getting High, arXiv:2005.05334, section 4.2).

The generator takes noise and condition, each by a transposed convolution, to a coarse field; three
more, of kernel 4 and stride 2, double it each time, and a last one of kernel 3 makes a channel of
it, without negative numbers. The last takes two positions off an axis; the first field is the
smallest that leaves enough, and what is too much is cut off. For 30 x 30 x 30 cells the fields have
4, 8, 16, 32 and 30 positions a side, as published. Layer norms normalise each channel over its
positions.

A transposed convolution of stride 2 is computed as one of kernel 2 for each of the eight phases of
the finer field (`Doubling`), one of stride 1 as the convolution with the mirrored kernel: the same
maps, several times as fast on a processor.
"""

__all__ = ["Doubling", "FieldScore", "ScoreSizes", "TransposedGenerator"]

import math
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import GeometryError, ModelError
from caloforge.learn.networks.dense import dense

Triple = tuple[int, int, int]

_KERNEL, _DOUBLINGS, _LOST = 4, 3, 2
_SLOPE = 0.2


class _Leaky(nn.LeakyReLU):
    """The published slope."""

    def __init__(self) -> None:
        super().__init__(_SLOPE)


class Doubling(nn.Module):
    """A transposed convolution of kernel 4, stride 2 and padding 1, without bias.

    Arguments:
        before: Channels before it.
        after: Channels behind it.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(after * _KERNEL**3)
        weight = torch.empty(before, after, *(_KERNEL,) * 3).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)

    def forward(
        self, x: Float[Tensor, "batch before layers rows columns"]
    ) -> Float[Tensor, "batch after layers2 rows2 columns2"]:
        """A field of twice the positions a side: those at 2 i see i - 1 and i, at 2 i + 1 i and
        i + 1.
        """
        before, after = self.weight.shape[:2]
        taps = self.weight.flip(2, 3, 4).reshape(before, after, *(2,) * 6)
        phases = taps.permute(3, 5, 7, 1, 0, 2, 4, 6).flatten(0, 3)
        layers, rows, columns = x.shape[2:]
        made = functional.conv3d(x, phases, padding=1)
        made = made.reshape(len(x), 2, 2, 2, after, *made.shape[2:])
        parts = [
            made[:, a, b, c, :, a : a + layers, b : b + rows, c : c + columns]
            for a, b, c in product((0, 1), repeat=3)
        ]
        fine = torch.stack(parts, dim=-1).reshape(len(x), after, *x.shape[2:], 2, 2, 2)
        fine = fine.permute(0, 1, 2, 5, 3, 6, 4, 7)
        return fine.reshape(len(x), after, 2 * layers, 2 * rows, 2 * columns)


class TransposedGenerator(nn.Module):
    """A field without negative numbers from noise and condition.

    Arguments:
        shape: The positions of the field, along its three axes.
        latent: Numbers of the noise.
        condition: Numbers of the condition.
        channels: Channels before the last convolution, c; those before are 2 c, 4 c, and twice
            4 c.
    """

    def __init__(self, shape: Triple, latent: int, condition: int, channels: int) -> None:
        super().__init__()
        self.shape = shape
        start = tuple(-(-(n + _LOST) // 2**_DOUBLINGS) for n in shape)
        widths = (8 * channels, 4 * channels, 2 * channels, channels)
        self.from_noise, self.from_condition = (
            nn.ConvTranspose3d(n, 4 * channels, start, bias=False) for n in (latent, condition)
        )
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(pairwise(widths), start=1):
            layers += [
                Doubling(before, after),
                nn.LayerNorm([n * 2**level for n in start]),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(
            *layers, nn.Conv3d(channels, 1, _LOST + 1, bias=False), nn.ReLU()
        )

    def forward(
        self, noise: Float[Tensor, "batch latent"], condition: Float[Tensor, "batch known"]
    ) -> Float[Tensor, "batch 1 layers rows columns"]:
        """The field."""
        parts = (self.from_noise(_points(noise)), self.from_condition(_points(condition)))
        made: Tensor = self.layers(torch.cat(parts, dim=1))
        layers, rows, columns = self.shape
        return made[:, :, :layers, :rows, :columns]


def _points(numbers: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n 1 1 1"]:
    return numbers[:, :, None, None, None]


@dataclass(frozen=True)
class ScoreSizes:
    """The sizes of a `FieldScore`.

    Arguments:
        channels: The channels behind each convolution.
        kernels: The kernels, along layers, rows and columns.
        strides: The strides.
        pads: The padding on either side.
        widths: The widths of the hidden linear layers behind the convolutions.
    """

    channels: tuple[int, ...]
    kernels: tuple[Triple, ...]
    strides: tuple[Triple, ...]
    pads: tuple[Triple, ...]
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = {len(of) for of in (self.channels, self.kernels, self.strides, self.pads)}
        if len(numbers) != 1:
            msg = (
                f"a score of {len(self.channels)} channels, {len(self.kernels)} kernels, "
                f"{len(self.strides)} strides and {len(self.pads)} pads: expected as many of each"
            )
            raise ModelError(msg)


class FieldScore(nn.Module):
    """A number for a field: a critic, or an energy.

    Arguments:
        shape: The positions of the field, along its three axes.
        condition: Numbers of the condition, which join behind the convolutions.
        sizes: The sizes.

    Raises:
        GeometryError: The field is smaller than a kernel.
    """

    def __init__(self, shape: Triple, condition: int, sizes: ScoreSizes) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, field = 1, shape
        rows = zip(sizes.channels, sizes.kernels, sizes.strides, sizes.pads, strict=True)
        for after, kernel, stride, pad in rows:
            field = _coarser(field, kernel, stride, pad, shape)
            layers += [
                nn.Conv3d(before, after, kernel, stride, pad, bias=False),
                nn.LayerNorm(field),
                _Leaky(),
            ]
            before = after
        self.layers = nn.Sequential(*layers[:-2])
        self.head = dense((before * prod(field) + condition, *sizes.widths, 1), _Leaky)

    def forward(
        self,
        field: Float[Tensor, "batch 1 layers rows columns"],
        condition: Float[Tensor, "batch known"],
    ) -> Float[Tensor, " batch"]:
        """The numbers."""
        seen = self.layers(field).flatten(1)
        score: Tensor = self.head(torch.cat([seen, condition], dim=1))
        return score[:, 0]


def _coarser(field: Triple, kernel: Triple, stride: Triple, pad: Triple, shape: Triple) -> Triple:
    """The positions behind a convolution."""
    layers, rows, columns = (
        (n + 2 * p - k) // s + 1 for n, k, s, p in zip(field, kernel, stride, pad, strict=True)
    )
    if min(layers, rows, columns) < 1:
        msg = (
            f"an image of {' x '.join(map(str, shape))} cells is too small for a convolution of "
            f"kernel {kernel} on {field}: take smaller kernels"
        )
        raise GeometryError(msg)
    return layers, rows, columns
