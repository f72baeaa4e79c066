"""Irregular cells: any list of rectangles and hexagons, each in a layer.

Cells may lie anywhere and have any sizes; no two may overlap. Other shapes stand in it by the
rectangle of their area around their centre.
"""

__all__ = ["CellTable"]

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry.cell_index import CellIndex
from caloforge.geometry.irregular import IrregularCells

_RECTANGLE, _HEXAGON = 4, 6
_SAID = 20
_Numbers = Tensor | Sequence[int]
_Pairs = Tensor | Sequence[Sequence[float]]


@dataclass(frozen=True, repr=False, eq=False, init=False)
class CellTable(IrregularCells, kind="cell-table"):
    """Cells one by one, in the order of their flat index; in memory some 60 bytes each.

    Arguments:
        name: A short name for messages and files.
        layers: The layer of each cell; each from 0 on has at least one.
        xy: The centre (x, y) of each cell, in mm.
        sizes: The sizes of each cell along x and y, in mm, positive; a hexagon's longer one is that
            from corner to corner.
        layer_thicknesses: The depth of each layer, in mm, front to back; None where it is unknown.
        sides: The number of sides of each cell, 4 or 6; nothing where all are rectangles.

    The lists are held as tensors, whatever they are given as.

    Raises:
        GeometryError: The lists differ in length, a number is impossible, a layer has no cell, or
            two cells overlap.
    """

    name: str
    layers: Tensor
    xy: Tensor
    sizes: Tensor
    layer_thicknesses: tuple[float | None, ...]
    sides: Tensor

    def __init__(
        self,
        name: str,
        layers: _Numbers,
        xy: _Pairs,
        sizes: _Pairs,
        layer_thicknesses: Sequence[float | None],
        sides: _Numbers = (),
    ) -> None:
        set_ = partial(object.__setattr__, self)
        set_("name", name)
        set_("layers", torch.as_tensor(layers).long())
        set_("xy", torch.as_tensor(xy).double().reshape(-1, 2))
        set_("sizes", torch.as_tensor(sizes).double().reshape(-1, 2))
        set_("layer_thicknesses", tuple(layer_thicknesses))
        set_("sides", torch.as_tensor(sides).long())
        self._require_lists()
        self._require_lengths()
        self._require_no_overlap()

    def _require_lists(self) -> None:
        number = len(self.layers)
        if not number == len(self.xy) == len(self.sizes) > 0:
            numbers = f"{number} layers, {len(self.xy)} xy, {len(self.sizes)} sizes"
            self._refuse(f"{numbers}, expected one of each for every cell, and at least one cell")
        if len(self.sides) not in {0, number}:
            self._refuse(f"{len(self.sides)} sides, expected {number}, one for every cell, or none")
        if not torch.isin(self.sides, torch.tensor([_RECTANGLE, _HEXAGON])).all():
            self._refuse("a number of sides is neither 4 nor 6")
        inside = int(self.layers.min()) >= 0 and int(self.layers.max()) < self.n_layers
        if not inside or not self.layers.bincount(minlength=self.n_layers).all():
            found = torch.unique(self.layers)[:_SAID].tolist()
            self._refuse(
                f"its cells lie in layers {found}, expected at least one in each of the "
                f"{self.n_layers} layers that have a thickness"
            )

    def _require_lengths(self) -> None:
        if not self.xy.isfinite().all():
            self._refuse("a centre is not finite, expected millimetres")
        if not ((self.sizes > 0) & self.sizes.isfinite()).all():
            self._refuse("a size is not positive, expected millimetres")
        if not all(t is None or 0 < t < torch.inf for t in self.thicknesses):
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
        sides: Tensor | None = None,
    ) -> "CellTable":
        """The table of arrays: the layer of each cell, centres and sizes with shape (cells, 2), and
        numbers of sides, where not all are rectangles.
        """
        return CellTable(name, layer, xy, sizes, thicknesses, () if sides is None else sides)

    def describe(self, *, arrays: bool = True) -> dict[str, Any]:
        """See `Calorimeter.describe`."""
        named = {"kind": self.kind, "name": self.name}
        lists = {n: values.tolist() for n, values in self.arrays().items()} if arrays else {}
        return named | lists | {"layer_thicknesses": list(self.thicknesses)}

    def arrays(self) -> dict[str, Tensor]:
        """See `Calorimeter.arrays`."""
        lists = {"layers": self.layers, "xy": self.xy, "sizes": self.sizes}
        return lists | ({"sides": self.sides} if len(self.sides) else {})

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, CellTable)
            and self.thicknesses == other.thicknesses
            and all(
                torch.equal(values, theirs)
                for values, theirs in zip(self._lists, other._lists, strict=True)
            )
        )

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.thicknesses, *(float(values.sum()) for values in self._lists)))

    @property
    def _lists(self) -> tuple[Tensor, ...]:
        return self.layers, self.xy, self.sizes, self._index.hexagonal

    @property
    def thicknesses(self) -> tuple[float | None, ...]:
        """The thickness of each layer, None where it is unknown."""
        return self.layer_thicknesses

    @cached_property
    def n_cells(self) -> int:
        """The length of the table."""
        return len(self.layers)

    @property
    def layer_of_cell(self) -> Tensor:
        """The layer of each cell, with shape (cells)."""
        return self.layers

    @property
    def transverse(self) -> Tensor:
        """The centre (x, y) of each cell, in mm, with shape (cells, 2)."""
        return self.xy

    @cached_property
    def _index(self) -> CellIndex:
        hexagonal = torch.zeros(self.n_cells, dtype=torch.bool)
        if len(self.sides):
            hexagonal = self.sides == _HEXAGON
        return CellIndex(self.layers, self.xy, self.sizes, hexagonal, self.n_layers)

    @property
    def _sheets(self) -> Tensor:
        return torch.arange(self.n_layers)

    @cached_property
    def _entries(self) -> Tensor:
        return torch.arange(self.n_cells)

    @property
    def _shifts(self) -> Tensor:
        return torch.zeros(self.n_layers, dtype=torch.int64)
