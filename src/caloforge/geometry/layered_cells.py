r"""Layers of hexagons, of staggered boxes, of tiles, each layer as it likes.

Each `CellLayer` says how it is divided: `Boxes` (tiles), `Staggered`, or `Hexagons`. The index runs
layer after layer. What is said takes no more room than the layers, however many cells they have,
and layers that are divided alike share one index of cells.
"""

__all__ = ["CellLayer", "LayeredCells"]

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry.calorimeter import tuples
from caloforge.geometry.cell_index import CellIndex
from caloforge.geometry.divisions import Boxes
from caloforge.geometry.irregular import IrregularCells
from caloforge.geometry.patterns import Hexagons, Staggered, shapes_of

_Cells = Boxes | Staggered | Hexagons
_KINDS: dict[str, type[_Cells]] = {"boxes": Boxes, "staggered": Staggered, "hexagons": Hexagons}


@dataclass(frozen=True)
class CellLayer:
    """One layer of `LayeredCells`.

    Arguments:
        cells: How it is divided.
        thickness: Its depth, in mm, positive; None where it is unknown.
    """

    cells: _Cells
    thickness: float | None = None

    def __post_init__(self) -> None:
        if self.thickness is not None and not 0 < self.thickness < math.inf:
            msg = (
                f"cell layer: thickness is {self.thickness} mm, expected a positive number, or "
                "None where it is unknown"
            )
            raise GeometryError(msg)


@dataclass(frozen=True, repr=False)
class LayeredCells(IrregularCells, kind="layered-cells"):
    """Layers of boxes, staggered boxes or hexagons.

    Arguments:
        name: A short name for messages and files.
        cell_layers: The layers, front to back.

    Raises:
        GeometryError: There is no layer, or one is impossible.
    """

    name: str
    cell_layers: tuple[CellLayer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cell_layers", tuple(self.cell_layers))
        if not self.cell_layers:
            msg = f"layered cells '{self.name}': expected at least one layer"
            raise GeometryError(msg)

    def describe(self, *, arrays: bool = True) -> dict[str, Any]:
        """See `Calorimeter.describe`; the way in which each layer is divided has a name."""
        described = super().describe(arrays=arrays)
        names = {kind: name for name, kind in _KINDS.items()}
        for layer, said in zip(self.cell_layers, described["cell_layers"], strict=True):
            said["cells"] = {names[type(layer.cells)]: said["cells"]}
        return described

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> "LayeredCells":
        layers = tuple(_layer(**said) for said in fields.pop("cell_layers", ()))
        return cls(cell_layers=layers, **fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LayeredCells) and self.cell_layers == other.cell_layers

    def __hash__(self) -> int:
        return hash(self.cell_layers)

    @property
    def thicknesses(self) -> tuple[float | None, ...]:
        """The thickness of each layer, None where it is unknown."""
        return tuple(layer.thickness for layer in self.cell_layers)

    @cached_property
    def n_cells(self) -> int:
        """Number of cells."""
        return sum(layer.cells.n_cells for layer in self.cell_layers)

    @cached_property
    def _distinct(self) -> tuple[_Cells, ...]:
        return tuple(dict.fromkeys(layer.cells for layer in self.cell_layers))

    @cached_property
    def _index(self) -> CellIndex:
        shapes = [shapes_of(cells) for cells in self._distinct]
        number = torch.tensor([len(part.xy) for part in shapes])
        sheet = torch.repeat_interleave(torch.arange(len(shapes)), number)
        xy, sizes, hexagonal = (torch.cat(parts) for parts in zip(*shapes, strict=True))
        return CellIndex(sheet, xy, sizes, hexagonal, len(shapes))

    @cached_property
    def _sheets(self) -> Tensor:
        place = {cells: sheet for sheet, cells in enumerate(self._distinct)}
        return torch.tensor([place[layer.cells] for layer in self.cell_layers])

    @cached_property
    def layer_of_cell(self) -> Tensor:
        """The layer of each cell, in [0, n_layers), with shape (cells)."""
        return torch.repeat_interleave(torch.arange(self.n_layers), self._numbers)

    @cached_property
    def _numbers(self) -> Tensor:
        return torch.tensor([layer.cells.n_cells for layer in self.cell_layers])

    @cached_property
    def _entries(self) -> Tensor:
        return torch.arange(self.n_cells) - self._shifts[self.layer_of_cell]

    @cached_property
    def _shifts(self) -> Tensor:
        held = self._index.sheet.bincount(minlength=len(self._distinct))
        begin = held.cumsum(0) - held
        return self._numbers.cumsum(0) - self._numbers - begin[self._sheets]


def _layer(cells: dict[str, Any], thickness: float | None) -> CellLayer:
    (name, fields), *more = cells.items()
    if name not in _KINDS or more:
        msg = f"cells are {', '.join(cells)}, expected one of {', '.join(_KINDS)}"
        raise GeometryError(msg)
    return CellLayer(_KINDS[name](**tuples(fields)), thickness)
