r"""A transformer of points that attend to those of their own layer and a few beside it (AllShowers,
arXiv:2601.11716).

A point of numbers x in layer l of a shower with numbers of points :math:`n` begins as

.. math:: h = A x + e_l + B\,(c, \tau) + M(\ln(n + 1)), \qquad
          \tau = (\sin, \cos)(2^k \pi t), \quad k = 0, 1, 2,

with :math:`c` what is known of it and :math:`t` the time; M has one hidden layer. Attention and a
dense network stand side by side in a block, each behind its own layer normalisation,
:math:`h \leftarrow h + \mathrm{attention}(h) + \mathrm{dense}(h)`; heads are joined without another
matrix. The attention of a layer of a shower is one product, padded to powers of two: it depends on
its own points alone.
"""

__all__ = ["NearbyTransformer", "Window", "windows"]

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

_FREQUENCIES = 3
_LEAST, _ROWS = 8, 16


@dataclass(frozen=True, eq=False)
class Window:
    """Layers of showers with about as many points, and points that these see.

    Arguments:
        asking: The rows of their points, -1 behind the last.
        seen: The rows of those that they see, -1 behind the last.
    """

    asking: Int64[Tensor, "groups points"]
    seen: Int64[Tensor, "groups others"]

    @property
    def real(self) -> Bool[Tensor, "groups points"]:
        """Which of the asking are points."""
        return self.asking >= 0


def windows(numbers: Int64[Tensor, "showers layers"], reach: int) -> list[Window]:
    """Who sees whom, among points shower by shower and layer by layer.

    Arguments:
        numbers: The number of points of each layer.
        reach: How many layers before and behind its own a point sees.
    """
    ends = numbers.flatten().cumsum(0).view_as(numbers)
    begins = ends - numbers
    layer = torch.arange(numbers.shape[1], device=numbers.device)
    first = begins[:, (layer - reach).clamp_min(0)]
    last = ends[:, (layer + reach).clamp_max(numbers.shape[1] - 1)]
    spans = torch.stack([begins, numbers, first, last - first], dim=2).view(-1, 4)
    spans = spans[spans[:, 1] > 0]
    sizes = torch.stack([_padded_size(spans[:, k]) for k in (1, 3)], dim=1)
    kinds, kind = torch.unique(sizes, dim=0, return_inverse=True)
    return [
        Window(_rows(own[:, 0], own[:, 1], int(asking)), _rows(own[:, 2], own[:, 3], int(seen)))
        for own, (asking, seen) in ((spans[kind == k], kinds[k]) for k in range(len(kinds)))
    ]


def _padded_size(number: Int64[Tensor, " groups"]) -> Int64[Tensor, " groups"]:
    """The power of two at or above each, at least 8."""
    powers = _LEAST * 2 ** torch.arange(40, device=number.device)
    return powers[torch.searchsorted(powers, number.contiguous())]


def _rows(
    begin: Int64[Tensor, " groups"], number: Int64[Tensor, " groups"], size: int
) -> Int64[Tensor, "groups size"]:
    place = torch.arange(size, device=begin.device)
    return torch.where(place < number[:, None], begin[:, None] + place, -1)


class NearbyTransformer(nn.Module):
    """The velocity of points that see those nearby.

    Arguments:
        numbers: Numbers of a point.
        context: Numbers known of a point.
        layers: The number of layers.
        dim: Width of a point's vector, a multiple of heads.
        heads: Heads of the attention.
        hidden: Width inside the dense networks of the blocks.
        blocks: Blocks.
        counts: Width inside the network of the numbers of points.
    """

    def __init__(
        self,
        numbers: int,
        context: int,
        layers: int,
        *,
        dim: int,
        heads: int,
        hidden: int,
        blocks: int,
        counts: int,
    ) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(numbers, dim), nn.Linear(dim, numbers)
        self.layer = nn.Embedding(layers, dim)
        self.known = nn.Linear(2 * _FREQUENCIES + context, dim)
        self.counts = nn.Sequential(nn.Linear(layers, counts), nn.GELU(), nn.Linear(counts, dim))
        self.blocks = nn.ModuleList([_Block(dim, heads, hidden) for _ in range(blocks)])
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self,
        x: Float[Tensor, "points numbers"],
        time: Float[Tensor, " points"],
        known: Float[Tensor, "points known"],
        among: Sequence[Window],
    ) -> Float[Tensor, "points numbers"]:
        """The velocity of points.

        Arguments:
            x: Their numbers.
            time: The time of each, in [0, 1].
            known: What `context` made of what is known of each.
            among: Who sees whom.
        """
        turns = 2.0 ** torch.arange(_FREQUENCIES, device=x.device) * math.pi * time[:, None]
        waves = torch.cat([turns.sin(), turns.cos()], dim=1)
        matrix = self.known.weight[:, : 2 * _FREQUENCIES]
        h = self.enter(x) + known + functional.linear(waves, matrix)
        for block in self.blocks:
            h = block(h, among)
        v: Tensor = self.leave(h)
        return v

    def context(
        self,
        known: Float[Tensor, "points context"],
        layer: Int64[Tensor, " points"],
        shower: Int64[Tensor, " points"],
        numbers: Int64[Tensor, "showers layers"],
    ) -> Float[Tensor, "points known"]:
        """What each point knows, the same at all times.

        Arguments:
            known: Numbers of order 1.
            layer: The layer of each point.
            shower: The shower of each point.
            numbers: The numbers of points in the layers.
        """
        matrix = self.known.weight[:, 2 * _FREQUENCIES :]
        rows = -len(numbers) % _ROWS  # then a row has the same bits however many there are
        counts = self.counts(functional.pad((numbers.float() + 1).log(), (0, 0, 0, rows)))
        own = functional.linear(known, matrix, self.known.bias)
        found: Tensor = own + self.layer(layer) + counts[shower]
        return found


class _Block(nn.Module):
    """Attention and a dense network, side by side."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_dense = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.projections = nn.Linear(dim, 3 * dim)
        self.dense = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(
        self, h: Float[Tensor, "points dim"], among: Sequence[Window]
    ) -> Float[Tensor, "points dim"]:
        q, k, v = self.projections(self.before_attention(h)).chunk(3, dim=1)
        rows, parts = [torch.zeros(0, dtype=torch.int64, device=h.device)], [h[:0]]
        for window in among:
            rows.append(window.asking[window.real])
            parts.append(self._attended(q, k, v, window)[window.real])
        seen = torch.zeros_like(h).index_copy(0, torch.cat(rows), torch.cat(parts))
        moved: Tensor = h + seen + self.dense(self.before_dense(h))
        return moved

    def _attended(
        self, q: Tensor, k: Tensor, v: Tensor, window: Window
    ) -> Float[Tensor, "groups points dim"]:
        asking, seen = window.asking.clamp_min(0), window.seen.clamp_min(0)
        heads = [
            part[rows].view(*rows.shape, self.heads, -1).transpose(1, 2)
            for part, rows in ((q, asking), (k, seen), (v, seen))
        ]
        real = (window.seen >= 0)[:, None, None]
        found = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], real)
        return found.transpose(1, 2).flatten(2)
