r"""Boxes: equal ones, or each layer with its own.

- `RegularGrid`: equal boxes, :math:`n_x \times n_y \times n_z` (crystal matrices, silicon pads);
- `LayeredGrid`: boxes, each layer with its own numbers and sizes of them; :math:`x` runs fastest,
  then :math:`y`, then the layer.
"""

__all__ = ["GridLayer", "LayeredGrid", "RegularGrid"]

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry.calorimeter import Calorimeter, tuples
from caloforge.geometry.divisions import Boxes
from caloforge.geometry.symmetries import Symmetries


@dataclass(frozen=True, repr=False)
class RegularGrid(Calorimeter, kind="regular-grid"):
    r"""Equal boxes side by side, centred on the beam in x and y, from z = 0 on in depth.

    Arguments:
        name: A short name for messages and files.
        shape: The numbers of cells :math:`(n_x, n_y, n_z)`, each at least 1.
        cell_size: The sizes of one cell along x, y, z, in mm, each positive.
        order: The axes from the slowest to the fastest in the flat index.

    Raises:
        GeometryError: A number is not positive or the order is not a permutation of x, y, z.
    """

    name: str
    shape: tuple[int, int, int]
    cell_size: tuple[float, float, float]
    order: str = "zyx"

    def __post_init__(self) -> None:
        given = tuple(self.shape)
        object.__setattr__(self, "shape", tuple(int(n) for n in given))
        object.__setattr__(self, "cell_size", tuple(float(d) for d in self.cell_size))
        if len(self.shape) != 3 or min(self.shape) < 1 or self.shape != given:
            msg = (
                f"regular grid '{self.name}': shape is {given}, expected three whole numbers of "
                "cells, each at least 1"
            )
            raise GeometryError(msg)
        if len(self.cell_size) != 3 or not all(0 < d < math.inf for d in self.cell_size):
            msg = (
                f"regular grid '{self.name}': cell_size is {self.cell_size}, expected three "
                "positive lengths in mm"
            )
            raise GeometryError(msg)
        if sorted(self.order) != ["x", "y", "z"]:
            msg = (
                f"regular grid '{self.name}': order is '{self.order}', expected a permutation of "
                "'xyz', slowest first"
            )
            raise GeometryError(msg)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RegularGrid) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Any, ...]:
        return self.shape, self.cell_size, self.order

    @cached_property
    def n_cells(self) -> int:
        """The product of the numbers of cells."""
        return math.prod(self.shape)

    @cached_property
    def divisions(self) -> tuple[Boxes, ...]:
        """Equal boxes in each layer."""
        return (Boxes(self.shape[:2], self.cell_size[:2]),) * self.shape[2]

    @property
    def thicknesses(self) -> tuple[float, ...]:
        """The size of a cell along z, for each layer."""
        return (self.cell_size[2],) * self.shape[2]

    @cached_property
    def image_shape(self) -> tuple[int, ...]:
        """The shape that flat deposits take when their last axis is unfolded, slowest
        axis first.
        """
        return tuple(self.shape["xyz".index(axis)] for axis in self.order)

    @cached_property
    def indices(self) -> Tensor:
        """The integer position (ix, iy, iz) of each cell, with shape (cells, 3)."""
        axes = torch.meshgrid(*(torch.arange(n) for n in self.image_shape), indexing="ij")
        by_name = {axis: values.flatten() for axis, values in zip(self.order, axes, strict=True)}
        return torch.stack([by_name[axis] for axis in "xyz"], dim=-1)

    @cached_property
    def layer_order(self) -> Tensor:
        """The flat indices by z, then y, then x, with shape (cells)."""
        cells = torch.arange(self.n_cells).reshape(self.image_shape)
        return cells.permute(*(self.order.index(axis) for axis in "zyx")).flatten()

    def flat(self, ix: Tensor, iy: Tensor, iz: Tensor) -> Tensor:
        """The flat index of cells at integer positions, each inside the grid."""
        position = {"x": ix, "y": iy, "z": iz}
        slow, middle, fast = (position[axis] for axis in self.order)
        _, n_middle, n_fast = self.image_shape
        return (slow * n_middle + middle) * n_fast + fast

    @cached_property
    def _symmetry_group(self) -> Symmetries:
        """The symmetries of the rectangle (4) or, where x and y are alike, of the square (8)."""
        square = self.is_square
        return Symmetries.distinct(self.flips(square=square), _flip_matrices(square=square))

    @property
    def is_square(self) -> bool:
        """Whether x and y are alike."""
        return self.shape[0] == self.shape[1] and self.cell_size[0] == self.cell_size[1]

    def flips(self, *, square: bool) -> list[Tensor]:
        """The flat index of every cell's image in the mirrors of the rectangle, and in those of the
        square too if asked for.
        """
        ix, iy, iz = self.indices.unbind(-1)
        flips = [(ix, iy), (self.shape[0] - 1 - ix, iy), (ix, self.shape[1] - 1 - iy)]
        flips.append((self.shape[0] - 1 - ix, self.shape[1] - 1 - iy))
        flips += [(y, x) for x, y in flips] if square else []
        return [self.flat(x, y, iz) for x, y in flips]


@dataclass(frozen=True)
class GridLayer:
    """One layer of a `LayeredGrid`: equal boxes, centred on the beam.

    Arguments:
        number: How many along x and y, each at least 1.
        size: Their sizes along x and y, in mm, positive.
        thickness: The depth of the layer, in mm, positive.
    """

    number: tuple[int, int]
    size: tuple[float, float]
    thickness: float

    def __post_init__(self) -> None:
        given = tuple(self.number)
        object.__setattr__(self, "number", tuple(int(n) for n in given))
        object.__setattr__(self, "size", tuple(float(d) for d in self.size))
        lengths = (*self.size, self.thickness)
        if (
            self.number != given
            or len(self.number) != 2
            or len(self.size) != 2
            or min(self.number) < 1
            or not all(0 < d < math.inf for d in lengths)
        ):
            msg = (
                f"grid layer: {given} boxes of {lengths} mm, expected two whole numbers of at "
                "least 1 and positive lengths"
            )
            raise GeometryError(msg)

    @property
    def grid(self) -> RegularGrid:
        """The layer alone."""
        return RegularGrid("layer", (*self.number, 1), (*self.size, self.thickness))


@dataclass(frozen=True, repr=False)
class LayeredGrid(Calorimeter, kind="layered-grid"):
    r"""Boxes, each layer with numbers and sizes of its own; index order x, then y, then layer.

    Arguments:
        name: A short name for messages and files.
        grid_layers: The layers, front to back.

    Raises:
        GeometryError: There is no layer, or one is impossible.
    """

    name: str
    grid_layers: tuple[GridLayer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid_layers", tuple(self.grid_layers))
        if not self.grid_layers:
            msg = f"layered grid '{self.name}': expected at least one layer"
            raise GeometryError(msg)

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> "LayeredGrid":
        layers = tuple(GridLayer(**tuples(layer)) for layer in fields.pop("grid_layers", ()))
        return cls(grid_layers=layers, **fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LayeredGrid) and self.grid_layers == other.grid_layers

    def __hash__(self) -> int:
        return hash(self.grid_layers)

    @cached_property
    def divisions(self) -> tuple[Boxes, ...]:
        """The boxes of each layer."""
        return tuple(Boxes(layer.number, layer.size) for layer in self.grid_layers)

    @property
    def thicknesses(self) -> tuple[float, ...]:
        """The thickness of each layer."""
        return tuple(layer.thickness for layer in self.grid_layers)

    @cached_property
    def _symmetry_group(self) -> Symmetries:
        """The symmetries of the rectangle (4) or, where x and y are alike in every layer, of the
        square (8).
        """
        square = all(layer.grid.is_square for layer in self.grid_layers)
        each = [layer.grid.flips(square=square) for layer in self.grid_layers]
        starts = [0, *accumulate(math.prod(layer.number) for layer in self.grid_layers)]
        images = zip(*each, strict=True)
        permutations = [
            torch.cat([part + start for part, start in zip(parts, starts, strict=False)])
            for parts in images
        ]
        return Symmetries.distinct(permutations, _flip_matrices(square=square))


def _flip_matrices(*, square: bool) -> list[Tensor]:
    """What `RegularGrid.flips` does to a point (x, y)."""
    flips = [[[x, 0], [0, y]] for x, y in ((1, 1), (-1, 1), (1, -1), (-1, -1))]
    flips += [[lower, upper] for upper, lower in flips] if square else []
    return [torch.tensor(flip, dtype=torch.float64) for flip in flips]
