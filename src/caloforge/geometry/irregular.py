"""What calorimeters of irregular cells answer, from one index of their cells.

The cells stand in a `CellIndex`, sheet by sheet. A layer is a sheet, or several layers of equal
cells share one: then the index holds their cells once.
"""

__all__ = ["IrregularCells"]

from abc import abstractmethod
from functools import cached_property

import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry.calorimeter import Calorimeter
from caloforge.geometry.cell_index import CellIndex
from caloforge.geometry.symmetries import Symmetries


class IrregularCells(Calorimeter):
    """A calorimeter of rectangles and hexagons anywhere in its layers."""

    @property
    @abstractmethod
    def _index(self) -> CellIndex: ...

    @property
    @abstractmethod
    def _sheets(self) -> Tensor:
        """The sheet of each layer, with shape (layers)."""

    @property
    @abstractmethod
    def _entries(self) -> Tensor:
        """The place of each cell in the index, with shape (cells)."""

    @property
    @abstractmethod
    def _shifts(self) -> Tensor:
        """What a cell's number is more than its place in the index, with shape (layers)."""

    @property
    def divisions(self) -> tuple[()]:
        """None: the cells are irregular."""
        return ()

    @cached_property
    def layer_order(self) -> Tensor:
        """The cells layer by layer, in flat order within each."""
        return self.layer_of_cell.argsort(stable=True)

    @cached_property
    def place_of_cell(self) -> Tensor:
        """The place of each cell in its layer, in flat order, with shape (cells)."""
        return self._rank_of_cell - self._starts[self.layer_of_cell]

    @cached_property
    def transverse(self) -> Tensor:
        """The centre (x, y) of each cell, in mm, float64, with shape (cells, 2)."""
        return self._index.xy[self._entries]

    @cached_property
    def areas(self) -> Tensor:
        """The area of each cell, in mm^2, float64, with shape (cells)."""
        return self._index.areas[self._entries]

    def outlines(self) -> tuple[Tensor, Tensor]:
        """See `Calorimeter.outlines`."""
        sides = torch.where(self._index.hexagonal, 6, 4)
        return self._index.sizes[self._entries], sides[self._entries]

    @property
    def _ring_width(self) -> float:
        return float(self._index.sizes.max())

    @property
    def _symmetry_group(self) -> Symmetries:
        """The identity; others are not looked for."""
        identity = torch.eye(2, dtype=torch.float64)
        return Symmetries(torch.arange(self.n_cells)[None], identity[None])

    def cell_at(self, layer: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """See `Calorimeter.cell_at`; on the border of two cells, one of them."""
        found = self._index.find(self._sheets.to(layer.device)[layer], x, y)
        return torch.where(found < 0, -1, found + self._shifts.to(layer.device)[layer])

    def points_in(self, cells: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """See `Calorimeter.points_in`."""
        return self._index.within(self._entries[cells], u, v)

    @cached_property
    def neighbours(self) -> Tensor:
        """See `Calorimeter.neighbours`; cells that touch along a side, not at a corner alone."""
        table = self._index.neighbours()[self._entries]
        return torch.where(table < 0, -1, table + self._shifts[self.layer_of_cell][:, None])

    def spread(self, layer: int, n: int) -> Tensor:
        """See `Calorimeter.spread`."""
        cells = self.cells_of(layer)
        within = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        u, v = torch.cartesian_prod(within, within).repeat(len(cells), 1).unbind(-1)
        points = self.points_in(cells.repeat_interleave(n * n), u, v)
        return points.view(len(cells), n * n, 2)

    def _require_no_overlap(self) -> None:
        pair = self._index.overlap()
        if pair is not None:
            layer = int((self._sheets == self._index.sheet[pair[0]]).nonzero()[0])
            numbers = [p + int(self._shifts[layer]) for p in pair]
            places = ", ".join(f"({x:g}, {y:g})" for x, y in self._index.xy[list(pair)].tolist())
            msg = (
                f"calorimeter '{self.name}': cells {numbers[0]} and {numbers[1]} of layer {layer} "
                f"overlap, with centres {places} mm: a point must lie in one cell alone, make the "
                "sizes smaller"
            )
            raise GeometryError(msg)
