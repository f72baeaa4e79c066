r"""Cells of any place and size, rectangles and hexagons, and which of them holds a point.

A cell is the set :math:`g(d) \le 1` of the distance :math:`d` from its centre. With :math:`a, b`
the components of :math:`d` in units of half the cell's sizes, :math:`g = \max(|a|, |b|)` for a
rectangle. A hexagon is as long from corner to corner, along :math:`a`, as its longer size says and
as wide across its sides as the shorter: :math:`g = \max(|b|, |a| + |b|/2)`.

Cells lie on *sheets*, such as layers. Each sheet is covered by bins, about as many as it has cells,
and each bin lists the cells that reach into it: the cell of a point is among the few of its bin,
found in a time that does not depend on the number of cells, in memory that grows with it. Two cells
overlap unless the normal of a side of one separates them (theorem of the separating axis).
"""

__all__ = ["CellIndex"]

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

_EDGE = 1e-6
"""Points beyond a cell's edge by this part of half its size are in it: rounding."""

_TOUCHING = 1e-4
"""Gaps and overlaps of cells that touch, as parts of the distance between their centres."""

_INSIDE = 1 - 1e-4
"""Points placed in a cell keep off its edge, so that rounding to float32 leaves them in it."""

_AT_A_TIME = 1 << 16
"""Points that are looked up together: what is made on the way stays in the cache."""

_BINS = 4
"""The most bins a cell."""


class _Bins(NamedTuple):
    """The bins of all sheets, one sheet behind the other, in each x the faster."""

    low: Tensor
    """The corner of each sheet's bins, in mm, with shape (sheets, 2)."""
    step: Tensor
    """The sizes of a bin, in mm, with shape (sheets, 2)."""
    number: Tensor
    """How many there are along x and y, with shape (sheets, 2)."""
    first: Tensor
    """The first bin of each sheet, with shape (sheets)."""
    starts: Tensor
    """The place in `cells` of each bin's first cell, and the end, with shape (bins + 1)."""
    cells: Tensor
    """The cells of each bin, int32."""


@dataclass(frozen=True, eq=False)
class CellIndex:
    """Cells on sheets.

    Arguments:
        sheet: The sheet of each cell, with shape (cells).
        xy: The centre of each, in mm, float64, with shape (cells, 2).
        sizes: Its sizes along x and y, in mm, float64, with shape (cells, 2).
        hexagonal: Which are hexagons, the others being rectangles, with shape (cells).
        n_sheets: The number of sheets, each with at least one cell.
    """

    sheet: Tensor
    xy: Tensor
    sizes: Tensor
    hexagonal: Tensor
    n_sheets: int

    @property
    def areas(self) -> Tensor:
        """The area of each cell, in mm^2, float64: of a hexagon 3/4 of the rectangle's."""
        return self.sizes.prod(dim=1).mul_(torch.where(self.hexagonal, 0.75, 1.0))

    def _half(self, cells: Tensor) -> Tensor:
        return self.sizes[cells] / 2

    def find(self, sheet: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The cell at each point of a sheet, -1 beside all."""
        bins, at = self._on(x.device), torch.stack([x, y], dim=-1)
        parts = zip(torch.split(sheet, _AT_A_TIME), torch.split(at, _AT_A_TIME), strict=True)
        found = [self._find(bins, some, points.double()) for some, points in parts]
        return torch.cat(found) if found else torch.full_like(sheet, -1)

    def _find(self, bins: _Bins, sheet: Tensor, at: Tensor) -> Tensor:
        place = ((at - bins.low[sheet]) / bins.step[sheet]).floor()
        inside = ((place >= 0) & (place < bins.number[sheet])).all(dim=1)
        rows = inside.nonzero()[:, 0]
        i_x, i_y = place[rows].long().unbind(-1)
        number = bins.first[sheet[rows]] + i_y * bins.number[sheet[rows], 0] + i_x
        found = torch.full_like(sheet, -1)
        found[rows] = self._among(bins, number, at[rows])
        return found

    def _on(self, device: torch.device) -> _Bins:
        return _Bins(*(part.to(device) for part in self._bins))

    def _among(self, bins: _Bins, number: Tensor, at: Tensor) -> Tensor:
        """The first cell that holds each point among those of its bin, -1 if none does."""
        start, end = bins.starts[number], bins.starts[number + 1]
        found = torch.full_like(start, -1)
        rows, k = torch.arange(len(at), device=at.device), 0
        while len(rows):
            rows = rows[start[rows] + k < end[rows]]
            cells = bins.cells[start[rows] + k].long()
            inside = self._gauge(cells, at[rows]) <= 1 + _EDGE
            found[rows[inside]] = cells[inside]
            rows, k = rows[~inside], k + 1
        return found

    def _gauge(self, cells: Tensor, at: Tensor) -> Tensor:
        xy, sizes = (values.to(at.device)[cells] for values in (self.xy, self.sizes))
        part = (at - xy).abs_().mul_(2).div_(sizes)
        gauge = part.amax(dim=1)
        if not self._any_hexagon:
            return gauge
        upright = sizes[:, 0] < sizes[:, 1]
        long, short = (torch.where(upright, part[:, k], part[:, 1 - k]) for k in (1, 0))
        hexagon = torch.maximum(short, long + short / 2)
        return torch.where(self.hexagonal.to(at.device)[cells], hexagon, gauge)

    @cached_property
    def _any_hexagon(self) -> bool:
        return bool(self.hexagonal.any())

    def within(self, cells: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """The point of each cell at u and v, in ]0, 1[: evenly spread over it where these are.

        A hexagon is three rhombs, which u chooses among.
        """
        aside = 2 * torch.stack([u, v], dim=-1).double() - 1
        if self._any_hexagon:
            hexagon = self._in_hexagons(cells, u.double(), v.double())
            aside = torch.where(self.hexagonal[cells, None], hexagon, aside)
        return self.xy[cells] + _INSIDE * self._half(cells) * aside

    def _in_hexagons(self, cells: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """The distance from the centre, in units of half the sizes."""
        corners = torch.tensor([[1.0, 0.0], [-0.5, 1.0], [-0.5, -1.0]], dtype=torch.float64)
        rhomb = (3 * u).long().clamp(max=2)
        one, other = corners[rhomb], corners[(rhomb + 1) % 3]
        place = (3 * u - rhomb)[:, None] * one + v[:, None] * other
        upright = self.sizes[cells, 0] < self.sizes[cells, 1]
        return torch.where(upright[:, None], place.flip(-1), place)

    def neighbours(self) -> Tensor:
        """The cells of the same sheet that share a side with each, -1 where there are fewer, with
        shape (cells, most).
        """
        pairs = torch.cat([self._sharing(sheet) for sheet in range(self.n_sheets)])
        pairs = torch.cat([pairs, pairs.flip(1)])
        pairs = pairs[(pairs[:, 0] * len(self.xy) + pairs[:, 1]).argsort()]
        number = pairs[:, 0].bincount(minlength=len(self.xy))
        place = torch.arange(len(pairs)) - (number.cumsum(0) - number)[pairs[:, 0]]
        table = torch.full((len(self.xy), int(number.max())), -1)
        table[pairs[:, 0], place] = pairs[:, 1]
        return table

    def _sharing(self, sheet: int) -> Tensor:
        """The pairs of cells that share a side: one normal of each separates them by nothing."""
        found = [torch.empty(0, 2, dtype=torch.int64)]
        for i, j in self._near(sheet, 2 * _TOUCHING):
            gaps = torch.stack([self._gaps(i, j), self._gaps(j, i)])
            one = (gaps.abs() <= _TOUCHING).sum(dim=-1) == 1
            beside = one.all(dim=0) & (gaps.amax(dim=(0, -1)) <= _TOUCHING)
            found.append(torch.stack([i[beside], j[beside]], dim=1))
        each: Tensor = torch.unique(torch.cat(found).sort(dim=1).values, dim=0)
        return each

    def overlap(self) -> tuple[int, int] | None:
        """Two cells that overlap; None if no two do."""
        return next((pair for k in range(self.n_sheets) for pair in self.overlaps(k)), None)

    def overlaps(self, sheet: int) -> Iterator[tuple[int, int]]:
        """Pairs of cells of a sheet that overlap, some of them more than once."""
        for i, j in self._near(sheet, -_TOUCHING):
            apart = torch.maximum(self._gaps(i, j).amax(-1), self._gaps(j, i).amax(-1))
            both = apart < -_TOUCHING
            yield from zip(i[both].tolist(), j[both].tolist(), strict=True)

    def _near(self, sheet: int, margin: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of cells of a sheet whose boxes, larger by a margin, overlap."""
        cells, starts = self._filled(sheet, margin)
        cells = cells.long()
        bins = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
        for shift in range(1, int(starts.diff().max())):
            same = (bins[shift:] == bins[:-shift]).nonzero()[:, 0]
            i, j = cells[same], cells[same + shift]
            reach = (self.sizes[i] + self.sizes[j]) * ((1 + margin) / 2)
            near = ((self.xy[i] - self.xy[j]).abs() < reach).all(dim=1)
            yield i[near], j[near]

    def _gaps(self, i: Tensor, j: Tensor) -> Tensor:
        """The gap between cells i and j along the normals of the sides of i, as a part of the
        distance at which they touch, with shape (pairs, 3); negative where they overlap.
        """
        normals, far = self._normals(i), (self.xy[j] - self.xy[i])[:, None]
        touching = 1 + self._reach(j, normals)
        return (normals * far).sum(dim=-1).abs() / touching - 1

    def _normals(self, cells: Tensor) -> Tensor:
        """Normals of the sides, of such lengths that the cell reaches to 1 along each; a
        rectangle's third is 0, along which everything overlaps.
        """
        one, none = 2 / self.sizes[cells], torch.zeros(len(cells), dtype=torch.float64)
        x, y = one.unbind(-1)
        box = torch.stack([x, none, none, y, none, none], dim=-1).view(-1, 3, 2)
        lying = torch.stack([none, y, x, y / 2, x, -y / 2], dim=-1).view(-1, 3, 2)
        upright = torch.stack([x, none, x / 2, y, -x / 2, y], dim=-1).view(-1, 3, 2)
        hexagon = torch.where((x > y)[:, None, None], upright, lying)
        return torch.where(self.hexagonal[cells, None, None], hexagon, box)

    def _reach(self, cells: Tensor, normals: Tensor) -> Tensor:
        """How far cells reach along normals: to the farthest of their corners."""
        part = normals.abs() * self._half(cells)[:, None]
        upright = (self.sizes[cells, 0] < self.sizes[cells, 1])[:, None]
        long, short = (torch.where(upright, part[..., k], part[..., 1 - k]) for k in (1, 0))
        hexagon = torch.maximum(long, long / 2 + short)
        return torch.where(self.hexagonal[cells, None], hexagon, part.sum(dim=-1))

    @cached_property
    def _rows(self) -> tuple[Tensor, ...]:
        """The cells of each sheet."""
        number = self.sheet.bincount(minlength=self.n_sheets).tolist()
        return torch.split(self.sheet.argsort(stable=True).int(), number)

    @cached_property
    def _lattices(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        return [self._lattice(rows.long()) for rows in self._rows]

    def _lattice(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The corner, the sizes and the numbers of the bins of some cells."""
        xy, half = self.xy[rows], self._half(rows)
        low, high = (xy - half).amin(dim=0), (xy + half).amax(dim=0)
        step = 2 * half.mean(dim=0)
        excess = float(((high - low) / step).prod()) / (_BINS * len(rows))
        step *= max(1.0, math.sqrt(excess))
        number = ((high - low) / step).ceil().clamp(min=1, max=_BINS * len(rows)).long()
        return low, torch.maximum(step, (high - low) / number), number

    @cached_property
    def _bins(self) -> _Bins:
        filled = [self._filled(sheet, -_EDGE / 2) for sheet in range(self.n_sheets)]
        low, step, number = (torch.stack(parts) for parts in zip(*self._lattices, strict=True))
        bins, entries = number.prod(dim=1), [len(cells) for cells, _ in filled]
        before = [0, *torch.tensor(entries).cumsum(0).tolist()]
        starts = [part[:-1] + start for (_, part), start in zip(filled, before, strict=False)]
        return _Bins(
            low,
            step,
            number,
            bins.cumsum(0) - bins,
            torch.cat([*starts, torch.tensor(before[-1:])]),
            torch.cat([cells for cells, _ in filled]),
        )

    def _filled(self, sheet: int, margin: float) -> tuple[Tensor, Tensor]:
        """The cells of a sheet, bin after bin, and where each bin begins; a cell is in all bins
        into which its box, larger by a margin, reaches.
        """
        rows, (low, step, number) = self._rows[sheet], self._lattices[sheet]
        xy, half = self.xy[rows.long()] - low, self._half(rows.long()) * (1 + margin)
        first, last = (
            ((xy + sign * half) / step).floor_().long().clamp_(min=0).minimum(number - 1)
            for sign in (-1, 1)
        )
        width, height = (last - first + 1).unbind(-1)
        cell = torch.repeat_interleave(torch.arange(len(rows)), width * height)
        k = torch.arange(len(cell)) - ((width * height).cumsum(0) - width * height)[cell]
        column, row = first[cell, 0] + k % width[cell], first[cell, 1] + k // width[cell]
        bins = row * number[0] + column
        starts = torch.zeros(int(number.prod()) + 1, dtype=torch.int64)
        starts[1:] = bins.bincount(minlength=len(starts) - 1).cumsum(0)
        return rows[cell[bins.argsort(stable=True)]], starts
