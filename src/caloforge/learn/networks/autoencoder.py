r"""A convolutional autoencoder of fields over a calorimeter (CaloDREAM, arXiv:2405.09629, section
3.3 and table 4).

A field has shape (batch, channels, layers, alpha, r). A *level* of the encoder makes it coarser:
two convolutions of kernel 3 that keep the shape, with a shift between them that the condition
gives, and one of kernel :math:`K`, stride :math:`S` and padding :math:`P` that takes an axis of
:math:`N` positions to :math:`\lfloor (N + 2P - K) / S \rfloor + 1`. The decoder is the mirror: a
transposed convolution that gives back exactly :math:`N` positions, then two convolutions.

Alpha is a circle: its padding wraps around, its stride divides it, and inside the network an axis
has the positions of the circle and no more. Where padding makes more, the last positions of the
latent field are copies of the first, and the decoder takes the mean of a position and its copy. So
turning a field by the product of the strides turns its mean and log variance by one position, and
turning a latent field turns what it decodes to.
"""

__all__ = ["ConvolutionalAutoencoder"]

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import GeometryError, ModelError
from caloforge.learn.networks.circular import wrapped
from caloforge.learn.networks.dense import dense

Triple = tuple[int, int, int]

_AXES = ("layers", "alpha", "r")
_COORDINATES = 2
_GROUPS = (1, 2, 4, 8)
_CHANNELS = 4


@dataclass(frozen=True)
class _Level:
    """A convolution between a fine and a coarse grid, given as positions on the three axes."""

    fine: Triple
    kernel: Triple
    stride: Triple
    pad: Triple

    @property
    def coarse(self) -> Triple:
        """The coarse grid, on which alpha closes."""
        layers, _, r = ((n + 2 * p - k) // s + 1 for n, k, s, p in self._axes())
        return layers, self.fine[1] // self.stride[1], r

    @property
    def leftover(self) -> Triple:
        """Positions of the fine grid beyond the last window, to which a transposed convolution has
        to be told to extend.
        """
        layers, _, r = ((n + 2 * p - k) % s for n, k, s, p in self._axes())
        return layers, max(0, self.stride[1] - self.kernel[1]), r

    def _axes(self) -> Iterator[tuple[int, int, int, int]]:
        return zip(self.fine, self.kernel, self.stride, self.pad, strict=True)

    @property
    def span(self) -> tuple[int, int]:
        """The first window that reaches into one turn of alpha, and one past the last."""
        n, k, s, p = self.fine[1], self.kernel[1], self.stride[1], self.pad[1]
        return -((k - 1 - p) // s), (n - 1 + p) // s + 1


def _check(number: int, level: _Level) -> None:
    for name, n, k, s, p in zip(
        _AXES, level.fine, level.kernel, level.stride, level.pad, strict=True
    ):
        given = (
            f"autoencoder, level {number}, axis {name} of {n} positions: kernel {k}, stride {s}, "
            f"padding {p}"
        )
        if min(n, k, s) < 1 or not 0 <= p < k:
            msg = (
                f"{given}; expected positions, kernel and stride at least 1, padding at least 0 "
                "and less than the kernel"
            )
            raise GeometryError(msg)
        if name == "alpha" and (n % s or k > n):
            msg = (
                f"{given}; expected a stride that divides the circle and a kernel no longer than it"
            )
            raise GeometryError(msg)
        if k > n + 2 * p:
            msg = f"{given}; expected a kernel no longer than the padded axis, {n + 2 * p}"
            raise GeometryError(msg)


def _levels(
    shape: Triple,
    kernels: tuple[Triple, ...],
    strides: tuple[Triple, ...],
    pads: tuple[Triple, ...],
) -> list[_Level]:
    levels: list[_Level] = []
    for number, (kernel, stride, pad) in enumerate(zip(kernels, strides, pads, strict=True)):
        level = _Level(levels[-1].coarse if levels else shape, kernel, stride, pad)
        _check(number, level)
        levels.append(level)
    return levels


def _copies(levels: list[_Level]) -> int:
    """How many positions of alpha the windows make beyond those of the circle."""
    n, circle = levels[0].fine[1], levels[-1].coarse[1]
    for level in levels:
        n = (n + 2 * level.pad[1] - level.kernel[1]) // level.stride[1] + 1
    if n > 2 * circle:
        msg = (
            f"autoencoder, axis alpha: padding makes {n} latent positions of a circle of "
            f"{circle}; expected at most double"
        )
        raise GeometryError(msg)
    return max(0, n - circle)


class _Coordinates(nn.Module):
    """Appends layer and r, each from 0 to 1, to the channels of a field, so that a convolution may
    act differently at each depth and radius; alpha has no coordinate.
    """

    coordinates: Tensor

    def __init__(self, grid: Triple) -> None:
        super().__init__()
        layers, alpha, r = grid
        layer = torch.linspace(0, 1, layers)[:, None, None].expand(layers, alpha, r)
        radius = torch.linspace(0, 1, r).expand(layers, alpha, r)
        self.register_buffer("coordinates", torch.stack([layer, radius])[None], persistent=False)

    def forward(
        self, x: Float[Tensor, "batch channels layers alpha r"]
    ) -> Float[Tensor, "batch more layers alpha r"]:
        return torch.cat([x, self.coordinates.to(x.dtype).expand(len(x), -1, -1, -1, -1)], dim=1)


class _Convolution(nn.Module):
    """A convolution from the fine to the coarse grid of a level."""

    def __init__(self, level: _Level, before: int, after: int) -> None:
        super().__init__()
        self.level, self.coordinates = level, _Coordinates(level.fine)
        flat = (level.pad[0], 0, level.pad[2])
        self.convolution = nn.Conv3d(before + _COORDINATES, after, level.kernel, level.stride, flat)

    def forward(
        self, x: Float[Tensor, "batch before layers alpha r"]
    ) -> Float[Tensor, "batch after layers2 alpha2 r2"]:
        level = self.level
        n, k, s, p = level.fine[1], level.kernel[1], level.stride[1], level.pad[1]
        stop = max(n, n - s + k - p)
        closed: Tensor = self.convolution(wrapped(self.coordinates(x), -p, stop, dim=3))
        return closed


class _Transposed(nn.Module):
    """A transposed convolution from the coarse to the fine grid of a level."""

    def __init__(self, level: _Level, before: int, after: int) -> None:
        super().__init__()
        self.level, self.coordinates = level, _Coordinates(level.coarse)
        flat = (level.pad[0], 0, level.pad[2])
        self.convolution = nn.ConvTranspose3d(
            before + _COORDINATES,
            after,
            level.kernel,
            level.stride,
            flat,
            output_padding=level.leftover,
        )

    def forward(
        self, x: Float[Tensor, "batch before layers alpha r"]
    ) -> Float[Tensor, "batch after layers2 alpha2 r2"]:
        level, (start, stop) = self.level, self.level.span
        wide: Tensor = self.convolution(wrapped(self.coordinates(x), start, stop, dim=3))
        return wide.narrow(3, level.pad[1] - start * level.stride[1], level.fine[1])


class _Mixing(nn.Module):
    """Two convolutions of kernel 3 on one grid. The condition shifts channels that are normal, or
    normalising would undo it.
    """

    def __init__(self, grid: Triple, before: int, after: int, embedding: int) -> None:
        super().__init__()
        level = _Level(grid, (3, 3, 3), (1, 1, 1), (1, 1, 1))
        groups = max(n for n in _GROUPS if n == 1 or after % (_CHANNELS * n) == 0)
        self.first, self.second = (
            _Convolution(level, before, after),
            _Convolution(level, after, after),
        )
        self.first_norm, self.second_norm = nn.GroupNorm(groups, after), nn.GroupNorm(groups, after)
        self.shift = nn.Linear(embedding, after)

    def forward(
        self,
        x: Float[Tensor, "batch before layers alpha r"],
        embedded: Float[Tensor, "batch embedding"],
    ) -> Float[Tensor, "batch after layers alpha r"]:
        shift = self.shift(embedded)[:, :, None, None, None]
        x = functional.silu(self.first_norm(self.first(x)) + shift)
        return functional.silu(self.second_norm(self.second(x)))


class ConvolutionalAutoencoder(nn.Module):
    """Encoder to the mean and log variance of a latent field, decoder to the logits of a field with
    values in [0, 1].

    Table 4 on the axes (45, 16, 9) of dataset 2, kernels and strides ((3, 2, 1), (1, 1, 1)),
    padding ((0, 1, 0), (0, 0, 0)), gives its latent shape (2, 15, 9, 9). On the axes (45, 50, 18)
    of dataset 3, kernels ((5, 2, 3), (1, 1, 1)) and strides ((2, 2, 1), (1, 1, 1)) with the same
    padding would leave 21 layers, not the 9 of its latent shape (2, 9, 26, 16); a stride of 5
    leaves 9, and the other axes agree, so 2 must be a misprint of 5. Without padding alpha has 8
    and 25 positions, none of them a copy.

    The published code pads alpha with zeros, which gives the same shapes; it normalises over the
    batch, after the condition has entered, and reads both mean and log variance off one pair of
    channels. Here normalisation is over groups of channels of one shower, with as many parameters,
    so that neither the loss nor the code of a shower depends on its companions; the condition
    enters after it; and mean and log variance are read off the last level directly.

    Arguments:
        shape: Positions on the axes layers, alpha and r.
        condition: How many numbers make up a condition.
        channels: Channels of each level, then those of the latent field.
        kernels: Kernel of each level's last convolution, on the three axes.
        strides: Its strides. That of alpha divides the circle.
        pads: Its padding on both sides, smaller than the kernel: zeros for layers and r, wrapped
            around for alpha.
        embedding: Width of the embedded condition.

    Raises:
        ModelError: If the numbers of channels, kernels, strides and pads do not agree, or one of
            the widths is not positive.
        GeometryError: If a level does not fit an axis; the message names both.
    """

    def __init__(
        self,
        shape: Triple,
        *,
        condition: int,
        channels: tuple[int, ...],
        kernels: tuple[Triple, ...],
        strides: tuple[Triple, ...],
        pads: tuple[Triple, ...],
        embedding: int = 100,
    ) -> None:
        super().__init__()
        _check_widths(channels, (len(kernels), len(strides), len(pads)), (condition, embedding))
        levels = _levels(shape, kernels, strides, pads)
        *widths, latent = channels
        self._copies = _copies(levels)
        layers, alpha, r = levels[-1].coarse
        self._latent_shape = (latent, layers, alpha + self._copies, r)
        self.embedding = dense((condition, embedding, embedding), nn.SiLU)
        down, up = list(pairwise([1, *widths])), list(pairwise([latent, *widths[::-1]]))
        self.mixing_down = nn.ModuleList(
            [
                _Mixing(level.fine, *ends, embedding)
                for level, ends in zip(levels, down, strict=True)
            ]
        )
        self.coarsen = nn.ModuleList(
            [_Convolution(level, n, n) for level, n in zip(levels, widths, strict=True)]
        )
        self.moments = nn.Sequential(
            _Coordinates(levels[-1].coarse), nn.Conv3d(widths[-1] + _COORDINATES, 2 * latent, 1)
        )
        self.refine = nn.ModuleList(
            [_Transposed(level, *ends) for level, ends in zip(levels[::-1], up, strict=True)]
        )
        self.mixing_up = nn.ModuleList(
            [
                _Mixing(level.fine, n, n, embedding)
                for level, n in zip(levels[::-1], widths[::-1], strict=True)
            ]
        )
        self.logits = nn.Sequential(
            _Coordinates(levels[0].fine), nn.Conv3d(widths[0] + _COORDINATES, 1, 1)
        )

    @property
    def output(self) -> nn.Module:
        """The layer that ends it."""
        return self.logits[-1]

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """The shape of a latent field: channels, layers, alpha, r."""
        return self._latent_shape

    def encode(
        self,
        x: Float[Tensor, "batch 1 layers alpha r"],
        condition: Float[Tensor, "batch condition"],
    ) -> tuple[
        Float[Tensor, "batch latent layers2 alpha2 r2"],
        Float[Tensor, "batch latent layers2 alpha2 r2"],
    ]:
        """Mean and log variance of the latent field.

        Arguments:
            x: The field, with values in [0, 1].
            condition: The condition, scaled to order 1.
        """
        embedded = self.embedding(condition)
        for mixing, coarsen in zip(self.mixing_down, self.coarsen, strict=True):
            x = coarsen(mixing(x, embedded))
        moments: Tensor = self.moments(x)
        stop = moments.shape[3] + self._copies
        mean, log_variance = wrapped(moments, 0, stop, dim=3).chunk(2, dim=1)
        return mean, log_variance

    def decode(
        self,
        z: Float[Tensor, "batch latent layers2 alpha2 r2"],
        condition: Float[Tensor, "batch condition"],
    ) -> Float[Tensor, "batch 1 layers alpha r"]:
        """The logits of the field, whose sigmoid is the mean of the Bernoulli distribution of each
        voxel.
        """
        embedded, z = self.embedding(condition), self._close(z)
        for refine, mixing in zip(self.refine, self.mixing_up, strict=True):
            z = mixing(refine(z), embedded)
        return self.logits(z)  # type: ignore[no-any-return]

    def _close(
        self, z: Float[Tensor, "batch latent layers2 alpha2 r2"]
    ) -> Float[Tensor, "batch latent layers2 circle r2"]:
        """One turn of alpha, with the mean of a position and its copy."""
        n = z.shape[3] - self._copies
        both = 0.5 * (z[:, :, :, : self._copies] + z[:, :, :, n:])
        return torch.cat([both, z[:, :, :, self._copies : n]], dim=3)


def _check_widths(channels: tuple[int, ...], lengths: Triple, widths: tuple[int, int]) -> None:
    n = len(channels) - 1
    if n < 1 or set(lengths) != {n}:
        kernels, strides, pads = lengths
        msg = (
            f"autoencoder: {len(channels)} numbers of channels, {kernels} kernels, {strides} "
            f"strides, {pads} pads; expected one"
            " kernel, stride and pad for each number of channels but the last, which is the "
            "latent field's, and at least one"
        )
        raise ModelError(msg)
    if min(*channels, *widths) < 1:
        msg = (
            f"autoencoder: channels {channels}, condition and embedding {widths}; expected all "
            "positive"
        )
        raise ModelError(msg)
