"""Irregular cells: any list of rectangles, each in a layer.

Cells may lie anywhere and have any sizes; they should not overlap. Hexagons and other shapes stand
in it by the rectangle of their area around their centre.
"""

__all__ = ["CellTable"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry.calorimeter import Calorimeter, Symmetries, tuples

_TOUCHING = 1e-6
"""Cells as near as this, in mm, share a side."""

_POINTS_AT_ONCE = 1 << 22


@dataclass(frozen=True, repr=False)
class CellTable(Calorimeter, kind="cell-table"):
    """Cells one by one, in the order of their flat index.

    Arguments:
        name: A short name for messages and files.
        layers: The layer of each cell; each from 0 on has at least one.
        xy: The centre (x, y) of each cell, in mm.
        sizes: The sizes of each cell along x and y, in mm, positive.
        layer_thicknesses: The depth of each layer, in mm, front to back; None where it is unknown.

    Raises:
        GeometryError: The lists differ in length, a number is impossible, or a layer has no cell.
    """

    name: str
    layers: tuple[int, ...]
    xy: tuple[tuple[float, float], ...]
    sizes: tuple[tuple[float, float], ...]
    layer_thicknesses: tuple[float | None, ...]

    def __post_init__(self) -> None:
        for field in ("layers", "layer_thicknesses"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        for field in ("xy", "sizes"):
            pairs = tuple((float(a), float(b)) for a, b in getattr(self, field))
            object.__setattr__(self, field, pairs)
        if not len(self.layers) == len(self.xy) == len(self.sizes) > 0:
            numbers = f"{len(self.layers)} layers, {len(self.xy)} xy, {len(self.sizes)} sizes"
            self._refuse(f"{numbers}, expected one of each for every cell, and at least one cell")
        if set(self.layers) != set(range(len(self.thicknesses))):
            self._refuse(
                f"its cells lie in layers {sorted(set(self.layers))}, expected at least one in "
                f"each of the {len(self.thicknesses)} layers that have a thickness"
            )
        self._require_lengths()

    def _require_lengths(self) -> None:
        if not all(math.isfinite(x) and math.isfinite(y) for x, y in self.xy):
            self._refuse("a centre is not finite, expected millimetres")
        if not all(0 < width < math.inf for size in self.sizes for width in size):
            self._refuse("a size is not positive, expected millimetres")
        if not all(t is None or 0 < t < math.inf for t in self.thicknesses):
            self._refuse("a thickness is not positive, expected millimetres, or None if unknown")

    def _refuse(self, why: str) -> None:
        msg = f"cell table '{self.name}': {why}"
        raise GeometryError(msg)

    @staticmethod
    def of(
        name: str,
        layer: Tensor,
        xy: Tensor,
        sizes: Tensor,
        thicknesses: Sequence[float | None],
    ) -> "CellTable":
        """The table of arrays: the layer of each cell, centres and sizes with shape (cells, 2)."""
        return CellTable(
            name,
            tuple(layer.tolist()),
            tuple((x, y) for x, y in xy.tolist()),
            tuple((x, y) for x, y in sizes.tolist()),
            tuple(thicknesses),
        )

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> "CellTable":
        pairs = {name: tuple(map(tuple, fields[name])) for name in ("xy", "sizes")}
        return cls(**tuples(fields | pairs))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CellTable) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        return self.layers, self.xy, self.sizes, self.thicknesses

    @property
    def thicknesses(self) -> tuple[float | None, ...]:
        """The thickness of each layer, None where it is unknown."""
        return self.layer_thicknesses

    @property
    def divisions(self) -> tuple[()]:
        """None: the cells are irregular."""
        return ()

    @cached_property
    def n_cells(self) -> int:
        """The length of the table."""
        return len(self.layers)

    @cached_property
    def layer_of_cell(self) -> Tensor:
        """The layer of each cell, with shape (cells)."""
        return torch.tensor(self.layers)

    @cached_property
    def layer_order(self) -> Tensor:
        """The flat indices layer by layer, in each in the order of the table."""
        return self.layer_of_cell.argsort(stable=True)

    @cached_property
    def transverse(self) -> Tensor:
        """The centre (x, y) of each cell, in mm, with shape (cells, 2)."""
        return torch.tensor(self.xy, dtype=torch.float64)

    @cached_property
    def _half(self) -> Tensor:
        return torch.tensor(self.sizes, dtype=torch.float64) / 2

    @cached_property
    def areas(self) -> Tensor:
        """The area of each cell, in mm^2, with shape (cells)."""
        return (2 * self._half).prod(dim=1)

    @property
    def _ring_width(self) -> float:
        return 2 * float(self._half.max())

    @property
    def _symmetry_group(self) -> Symmetries:
        """The identity; others are not looked for."""
        identity = torch.eye(2, dtype=torch.float64)
        return Symmetries(torch.arange(self.n_cells)[None], identity[None])

    def cell_at(self, layer: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """See `Calorimeter.cell_at`; where cells overlap, the first of them."""
        found = torch.full_like(layer, -1)
        for k in range(self.n_layers):
            cells = self._cells(k).to(x.device)
            low, high = (
                (self.transverse + sign * self._half).to(x.device)[cells] for sign in (-1, 1)
            )
            rows = (layer == k).nonzero()[:, 0]
            for some in torch.split(rows, max(1, _POINTS_AT_ONCE // len(cells))):
                at = torch.stack([x[some], y[some]], dim=-1)[:, None]
                inside = ((low <= at) & (at < high)).all(dim=-1)
                first = cells[inside.int().argmax(dim=1)]
                found[some] = torch.where(inside.any(dim=1), first, -1)
        return found

    def _cells(self, layer: int) -> Tensor:
        return (self.layer_of_cell == layer).nonzero()[:, 0]

    @cached_property
    def neighbours(self) -> Tensor:
        """See `Calorimeter.neighbours`; cells that touch along a side, not at a corner alone."""
        each = [self._touching(k) for k in range(self.n_layers)]
        pairs = torch.cat(each)
        pairs = pairs[pairs[:, 0].argsort(stable=True)]
        number = pairs[:, 0].bincount(minlength=self.n_cells)
        place = torch.arange(len(pairs)) - (number.cumsum(0) - number)[pairs[:, 0]]
        table = torch.full((self.n_cells, int(number.max())), -1)
        table[pairs[:, 0], place] = pairs[:, 1]
        return table

    def _touching(self, layer: int) -> Tensor:
        """The pairs of cells of a layer that share a side, with shape (pairs, 2)."""
        cells = self._cells(layer)
        xy, half = self.transverse[cells], self._half[cells]
        gap = (xy[:, None] - xy).abs() - half[:, None] - half
        beside = (gap.amax(dim=-1).abs() <= _TOUCHING) & (gap.amin(dim=-1) < -_TOUCHING)
        return cells[beside.nonzero()]

    def _layer_points(self, layer: int, n: int) -> tuple[Tensor, Tensor]:
        cells = self._cells(layer)
        within = (torch.arange(n, dtype=torch.float64) + 0.5) * (2 / n) - 1
        grid = torch.cartesian_prod(within, within)
        return cells, self.transverse[cells, None] + self._half[cells, None] * grid
