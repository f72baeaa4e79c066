r"""A calorimeter says where the cells are.

Coordinates: the beam travels along :math:`+z` and enters the front face :math:`z = 0` at
:math:`x = y = 0`. A cell is numbered by one flat index, in the order in which the published files
store it. Each cell belongs to one *layer*, its segment in depth, counted from the front face.

Three kinds of readout cover the public data sets:

- `RegularGrid`: equal boxes, :math:`n_x \times n_y \times n_z` (crystal matrices, silicon pads);
- `CylinderGrid`: voxels around the shower axis, each layer with its own edges in :math:`r` and its
  own number of equal bins in :math:`\alpha` (CaloChallenge); :math:`r` runs fastest, then
  :math:`\alpha`, then the layer. The angle runs from :math:`-\pi`: bin :math:`k` of :math:`n` is
  :math:`-\pi + 2\pi [k, k + 1) / n`, as the challenge's own code has it. With
  :math:`x = r \cos\alpha`, :math:`y = r \sin\alpha` at the middles of the bins, its :math:`\eta` is
  our :math:`x`, its :math:`\phi` our :math:`y`, both in mm;
- `LayeredGrid`: boxes, each layer with its own numbers and sizes of them; :math:`x` runs fastest,
  then :math:`y`, then the layer.

A *symmetry* is a permutation of the cells that maps the calorimeter onto itself and keeps every
layer: where the physics has that symmetry too, permuted showers are as good as new ones.

The calorimeters of the public data sets have names, see `named_calorimeters`.
"""

__all__ = [
    "Calorimeter",
    "CylinderGrid",
    "CylinderLayer",
    "GridLayer",
    "LayeredGrid",
    "RegularGrid",
    "calochallenge_1_photons",
    "calochallenge_1_pions",
    "calochallenge_2",
    "calochallenge_3",
    "ild_ecal",
    "image_cells",
    "named_calorimeters",
    "pbwo4_crystals",
]

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, ClassVar

import torch
from torch import Tensor

from caloforge.errors import GeometryError, GeometryMismatchError


class Calorimeter(ABC):
    """Frozen geometry of a calorimeter's cells.

    Two calorimeters are equal when every number of their description is, whatever their name.
    """

    kinds: ClassVar[dict[str, type["Calorimeter"]]] = {}
    kind: ClassVar[str]
    name: str

    def __init_subclass__(cls, kind: str) -> None:
        cls.kind = kind
        Calorimeter.kinds[kind] = cls

    @property
    @abstractmethod
    def n_cells(self) -> int:
        """Number of cells."""

    @property
    @abstractmethod
    def n_layers(self) -> int:
        """Number of layers in depth."""

    @property
    def layer_ids(self) -> tuple[int, ...]:
        """The number by which each layer is known, front to back, each once; the position from the
        front unless published.
        """
        return tuple(range(self.n_layers))

    @property
    @abstractmethod
    def layers(self) -> Tensor:
        """The layer of each cell, in [0, n_layers), with shape (cells)."""

    @property
    @abstractmethod
    def centres(self) -> Tensor:
        """The centre (x, y, z) of each cell, in mm, with shape (cells, 3)."""

    @property
    @abstractmethod
    def volumes(self) -> Tensor:
        """The volume of each cell, in mm^3, with shape (cells)."""

    @property
    @abstractmethod
    def symmetries(self) -> Tensor:
        """The symmetry group, identity first, with shape (group, cells);
        ``deposits[:, symmetries[g]]`` is a shower again.
        """

    def describe(self) -> dict[str, Any]:
        """The description as plain values, fit for JSON; `Calorimeter.from_description` reads it
        back.
        """
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]

    @staticmethod
    def from_description(description: dict[str, Any]) -> "Calorimeter":
        """Build the calorimeter that `describe` wrote.

        Raises:
            GeometryError: The kind is unknown or a field is missing, unknown or impossible.
        """
        fields = dict(description)
        kind = fields.pop("kind", None)
        if not isinstance(kind, str) or kind not in Calorimeter.kinds:
            msg = (
                f"calorimeter description: kind is {kind!r}, expected one of "
                f"{', '.join(Calorimeter.kinds)}"
            )
            raise GeometryError(msg)
        try:
            return Calorimeter.kinds[kind]._from_fields(fields)
        except (AttributeError, TypeError, ValueError) as error:
            msg = f"calorimeter description of kind '{kind}': {error}"
            raise GeometryError(msg) from error

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> "Calorimeter":
        return cls(**_tuples(fields))

    def require(self, other: "Calorimeter", what: str) -> None:
        """Check that something belongs to this calorimeter.

        Arguments:
            other: The calorimeter of the thing.
            what: The name of the thing, for the message.

        Raises:
            GeometryMismatchError: The two calorimeters differ.
        """
        if self != other:
            alike = "the names agree, the geometries do not: compare describe() of both"
            msg = (
                f"{what} is of calorimeter '{other.name}' ({other.n_cells} cells), expected "
                f"'{self.name}' "
                f"({self.n_cells} cells): "
                f"{alike if self.name == other.name else 'use showers of one calorimeter'}"
            )
            raise GeometryMismatchError(msg)


@dataclass(frozen=True)
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

    @property
    def n_cells(self) -> int:
        """The product of the shape."""
        return math.prod(self.shape)

    @property
    def n_layers(self) -> int:
        """The number of cells along z."""
        return self.shape[2]

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

    @property
    def layers(self) -> Tensor:
        """The position along z of each cell, with shape (cells)."""
        return self.indices[:, 2]

    @cached_property
    def centres(self) -> Tensor:
        """The middle (x, y, z) of each box, in mm, with shape (cells, 3)."""
        size = torch.tensor(self.cell_size, dtype=torch.float64)
        n = torch.tensor(self.shape, dtype=torch.float64)
        origin = torch.stack([-n[0] / 2, -n[1] / 2, torch.zeros_like(n[2])])
        return (self.indices + 0.5 + origin) * size

    @cached_property
    def volumes(self) -> Tensor:
        """The volume of one box, in mm^3, with shape (cells)."""
        return torch.full((self.n_cells,), math.prod(self.cell_size), dtype=torch.float64)

    def flat(self, ix: Tensor, iy: Tensor, iz: Tensor) -> Tensor:
        """The flat index of cells at integer positions, each inside the grid."""
        position = {"x": ix, "y": iy, "z": iz}
        slow, middle, fast = (position[axis] for axis in self.order)
        _, n_middle, n_fast = self.image_shape
        return (slow * n_middle + middle) * n_fast + fast

    @cached_property
    def symmetries(self) -> Tensor:
        """The symmetries of the rectangle (4) or, where x and y are alike, of the square (8)."""
        return _distinct(self.flips(square=self.is_square))

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
class CylinderLayer:
    r"""One layer of a `CylinderGrid`.

    Arguments:
        r_edges: The edges in :math:`r`, in mm, increasing from at least 0.
        n_alpha: The number of equal bins in :math:`\alpha \in [-\pi, \pi)`.
        thickness: The depth of the layer, in mm. The published files do not hold it: 1 where it is
            unknown.
        id: The number that the published file gives to the layer.
    """

    r_edges: tuple[float, ...]
    n_alpha: int
    thickness: float = 1.0
    id: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "r_edges", tuple(float(r) for r in self.r_edges))
        rising = all(a < b for a, b in zip(self.r_edges, self.r_edges[1:], strict=False))
        if (
            len(self.r_edges) < 2
            or not rising
            or self.r_edges[0] < 0
            or not math.isfinite(self.r_edges[-1])
        ):
            msg = (
                f"layer {self.id}: r_edges are {self.r_edges}, expected two or more, increasing "
                "from at least 0 mm"
            )
            raise GeometryError(msg)
        if self.n_alpha < 1 or not 0 < self.thickness < math.inf:
            msg = (
                f"layer {self.id}: n_alpha {self.n_alpha} and thickness {self.thickness} mm, "
                "expected both positive"
            )
            raise GeometryError(msg)

    @property
    def n_r(self) -> int:
        """Number of bins in r."""
        return len(self.r_edges) - 1

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.n_r * self.n_alpha


@dataclass(frozen=True)
class CylinderGrid(Calorimeter, kind="cylinder-grid"):
    r"""Voxels around the shower axis, each layer with bins of its own; index order r, then alpha,
    then layer.

    Arguments:
        name: A short name for messages and files.
        cylinder_layers: The layers that have bins, front to back.

    Raises:
        GeometryError: There is no layer, or one is impossible.
    """

    name: str
    cylinder_layers: tuple[CylinderLayer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cylinder_layers", tuple(self.cylinder_layers))
        if not self.cylinder_layers:
            msg = f"cylinder grid '{self.name}': expected at least one layer"
            raise GeometryError(msg)

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> "CylinderGrid":
        layers = tuple(
            CylinderLayer(**_tuples(layer)) for layer in fields.pop("cylinder_layers", ())
        )
        return cls(cylinder_layers=layers, **fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CylinderGrid) and self.cylinder_layers == other.cylinder_layers

    def __hash__(self) -> int:
        return hash(self.cylinder_layers)

    @property
    def n_cells(self) -> int:
        """The sum over the layers."""
        return sum(layer.n_cells for layer in self.cylinder_layers)

    @property
    def n_layers(self) -> int:
        """Number of layers with bins."""
        return len(self.cylinder_layers)

    @property
    def layer_ids(self) -> tuple[int, ...]:
        """The published numbers, front to back; the positions from the front where these do not
        tell the layers apart.
        """
        ids = tuple(layer.id for layer in self.cylinder_layers)
        return ids if len(set(ids)) == len(ids) else super().layer_ids

    @cached_property
    def layers(self) -> Tensor:
        """The position in ``cylinder_layers`` of each cell's layer, with shape (cells)."""
        sizes = torch.tensor([layer.n_cells for layer in self.cylinder_layers])
        return torch.repeat_interleave(torch.arange(self.n_layers), sizes)

    @cached_property
    def r_alpha(self) -> Tensor:
        r"""The bin centres :math:`(r, \alpha)` of each cell, in mm and radians, with shape (cells,
        2).
        """
        return torch.cat([_r_alpha(layer) for layer in self.cylinder_layers])

    @cached_property
    def centres(self) -> Tensor:
        r"""The point (x, y, z) at the middle of each bin in :math:`r`, :math:`\alpha` and depth, in
        mm, with shape (cells, 3).
        """
        r, alpha = self.r_alpha.unbind(-1)
        depth = torch.tensor(
            [layer.thickness for layer in self.cylinder_layers], dtype=torch.float64
        )
        z = (depth.cumsum(0) - depth / 2)[self.layers]
        return torch.stack([r * alpha.cos(), r * alpha.sin(), z], dim=-1)

    @cached_property
    def volumes(self) -> Tensor:
        r"""The volume :math:`(r_2^2 - r_1^2) \pi t / n_\alpha` of each cell, in mm^3, with shape
        (cells).
        """
        return torch.cat([_volumes(layer) for layer in self.cylinder_layers])

    @cached_property
    def symmetries(self) -> Tensor:
        r"""The rotations in :math:`\alpha` that all layers share, and their mirror images; a full
        ring turns into itself.
        """
        turns = (
            math.gcd(*(layer.n_alpha for layer in self.cylinder_layers if layer.n_alpha > 1)) or 1
        )
        rotations = [self._turned(k / turns, mirrored=False) for k in range(turns)]
        return _distinct(rotations + [self._turned(k / turns, mirrored=True) for k in range(turns)])

    def _turned(self, fraction: float, *, mirrored: bool) -> Tensor:
        parts, start = [], 0
        for layer in self.cylinder_layers:
            image = torch.arange(start, start + layer.n_cells).reshape(layer.n_alpha, layer.n_r)
            image = image.flip(0) if mirrored else image
            parts.append(image.roll(round(fraction * layer.n_alpha), dims=0).flatten())
            start += layer.n_cells
        return torch.cat(parts)


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
        object.__setattr__(self, "number", tuple(self.number))
        object.__setattr__(self, "size", tuple(float(d) for d in self.size))
        lengths = (*self.size, self.thickness)
        if (
            len(self.number) != 2
            or len(self.size) != 2
            or min(self.number) < 1
            or not all(0 < d < math.inf for d in lengths)
        ):
            msg = (
                f"grid layer: {self.number} boxes of {lengths} mm, expected two numbers of at "
                "least 1 and positive lengths"
            )
            raise GeometryError(msg)

    @property
    def grid(self) -> RegularGrid:
        """The layer alone."""
        return RegularGrid("layer", (*self.number, 1), (*self.size, self.thickness))


@dataclass(frozen=True)
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
        layers = tuple(GridLayer(**_tuples(layer)) for layer in fields.pop("grid_layers", ()))
        return cls(grid_layers=layers, **fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LayeredGrid) and self.grid_layers == other.grid_layers

    def __hash__(self) -> int:
        return hash(self.grid_layers)

    @property
    def n_cells(self) -> int:
        """The sum over the layers."""
        return sum(math.prod(layer.number) for layer in self.grid_layers)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.grid_layers)

    @cached_property
    def layers(self) -> Tensor:
        """The position in ``grid_layers`` of each cell's layer, with shape (cells)."""
        sizes = torch.tensor([math.prod(layer.number) for layer in self.grid_layers])
        return torch.repeat_interleave(torch.arange(self.n_layers), sizes)

    @cached_property
    def centres(self) -> Tensor:
        """The middle (x, y, z) of each box, in mm, with shape (cells, 3)."""
        parts, front = [], 0.0
        for layer in self.grid_layers:
            parts.append(layer.grid.centres + torch.tensor([0.0, 0.0, front], dtype=torch.float64))
            front += layer.thickness
        return torch.cat(parts)

    @cached_property
    def volumes(self) -> Tensor:
        """The volume of each box, in mm^3, with shape (cells)."""
        return torch.cat([layer.grid.volumes for layer in self.grid_layers])

    @cached_property
    def symmetries(self) -> Tensor:
        """The symmetries of the rectangle (4) or, where x and y are alike in every layer, of the
        square (8).
        """
        each = [layer.grid.flips(square=self._is_square) for layer in self.grid_layers]
        starts = [0, *accumulate(math.prod(layer.number) for layer in self.grid_layers)]
        images = zip(*each, strict=True)
        return _distinct(
            [
                torch.cat([part + start for part, start in zip(parts, starts, strict=False)])
                for parts in images
            ]
        )

    @property
    def _is_square(self) -> bool:
        return all(layer.grid.is_square for layer in self.grid_layers)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON makes lists of tuples; this makes tuples of lists."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }


def _distinct(permutations: list[Tensor]) -> Tensor:
    """Each permutation once, with the identity first because it is the least of all in lexical
    order.
    """
    unique: Tensor = torch.unique(torch.stack(permutations), dim=0)
    return unique


def _edges(layer: CylinderLayer) -> Tensor:
    return torch.tensor(layer.r_edges, dtype=torch.float64)


def _r_alpha(layer: CylinderLayer) -> Tensor:
    edges = _edges(layer)
    r = (edges[1:] + edges[:-1]) / 2
    alpha = (torch.arange(layer.n_alpha, dtype=torch.float64) + 0.5) * (
        2 * math.pi / layer.n_alpha
    ) - math.pi
    alpha_grid, r_grid = torch.meshgrid(alpha, r, indexing="ij")
    return torch.stack([r_grid.flatten(), alpha_grid.flatten()], dim=-1)


def _volumes(layer: CylinderLayer) -> Tensor:
    ring = math.pi * _edges(layer).square().diff() * layer.thickness
    return (ring / layer.n_alpha).repeat(layer.n_alpha)


def image_cells(calorimeter: Calorimeter) -> Tensor:
    """The flat index of each cell in an image, with shape (layers, alpha, r) or, for boxes, (z, y,
    x).

    Raises:
        GeometryError: The layers differ, or cells are neither boxes nor rings.
    """
    cells = torch.arange(calorimeter.n_cells)
    if isinstance(calorimeter, RegularGrid):
        return cells.reshape(calorimeter.image_shape).permute(
            *(calorimeter.order.index(axis) for axis in "zyx")
        )
    cuts = (
        {(la.n_alpha, la.n_r) for la in calorimeter.cylinder_layers}
        if isinstance(calorimeter, CylinderGrid)
        else set()
    )
    if len(cuts) != 1:
        msg = (
            f"calorimeter '{calorimeter.name}' is no image, its layers are not cut alike: "
            "choose a dense network for it, not one that sees images"
        )
        raise GeometryError(msg)
    return cells.reshape(calorimeter.n_layers, *cuts.pop())


def pbwo4_crystals() -> RegularGrid:
    """The benchmark of SQuIRELS (arXiv:2308.12339, section III): 10 x 10 crystals of 30 x 30 x 240
    mm^3, index 10 ix + iy.
    """
    return RegularGrid("pbwo4-10x10", shape=(10, 10, 1), cell_size=(30.0, 30.0, 240.0), order="zxy")


def calochallenge_1_photons() -> CylinderGrid:
    """CaloChallenge dataset 1, photons: 368 voxels in 5 layers of the ATLAS calorimeter,
    `binning_dataset_1_photons.xml`_.

    Layers without voxels are left out; the files do not hold the thickness of the others.

    .. _binning_dataset_1_photons.xml: https://github.com/CaloChallenge/homepage/blob/main/code/binning_dataset_1_photons.xml
    """
    layers = (
        CylinderLayer((0, 5, 10, 30, 50, 100, 200, 400, 600), 1, id=0),
        CylinderLayer((0, 2, 4, 6, 8, 10, 12, 15, 20, 30, 40, 50, 70, 90, 120, 150, 200), 10, id=1),
        CylinderLayer(
            (0, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 130, 160, 200, 250, 300, 350, 400),
            10,
            id=2,
        ),
        CylinderLayer((0, 50, 100, 200, 400, 600), 1, id=3),
        CylinderLayer((0, 100, 200, 400, 1000, 2000), 1, id=12),
    )
    return CylinderGrid("calochallenge-1-photons", layers)


def calochallenge_1_pions() -> CylinderGrid:
    """CaloChallenge dataset 1, pions: 533 voxels in 7 layers of the ATLAS calorimeter,
    `binning_dataset_1_pions.xml`_.

    Layers without voxels are left out; the files do not hold the thickness of the others.

    .. _binning_dataset_1_pions.xml: https://github.com/CaloChallenge/homepage/blob/main/code/binning_dataset_1_pions.xml
    """
    far = (0, 10, 20, 30, 50, 80, 100, 130, 160, 200, 250, 300, 350, 400)
    layers = (
        CylinderLayer((0, 5, 10, 30, 50, 100, 200, 400, 600), 1, id=0),
        CylinderLayer((0, 1, 4, 7, 10, 15, 30, 50, 90, 150, 200), 10, id=1),
        CylinderLayer((0, 5, 10, 20, 30, 50, 80, 130, 200, 300, 400), 10, id=2),
        CylinderLayer((0, 50, 100, 200, 400, 600), 1, id=3),
        CylinderLayer((*far, 1000, 2000), 10, id=12),
        CylinderLayer((*far, 600, 1000, 2000), 10, id=13),
        CylinderLayer((0, 50, 100, 150, 200, 250, 300, 400, 600, 1000, 2000), 1, id=14),
    )
    return CylinderGrid("calochallenge-1-pions", layers)


def calochallenge_2() -> CylinderGrid:
    """CaloChallenge dataset 2, the Par04 detector: 45 layers of 3.4 mm, 16 bins in alpha, 9 of 4.65
    mm in r: 6,480 voxels.
    """
    return _par04("calochallenge-2", n_r=9, n_alpha=16, width=4.65)


def calochallenge_3() -> CylinderGrid:
    """CaloChallenge dataset 3, the Par04 detector: 45 layers of 3.4 mm, 50 bins in alpha, 18 of
    2.325 mm in r: 40,500 voxels.
    """
    return _par04("calochallenge-3", n_r=18, n_alpha=50, width=2.325)


def _par04(name: str, n_r: int, n_alpha: int, width: float) -> CylinderGrid:
    """A layer is two plates of 1.4 mm tungsten and 0.3 mm silicon each."""
    r_edges = tuple(width * i for i in range(n_r + 1))
    return CylinderGrid(name, tuple(CylinderLayer(r_edges, n_alpha, 3.4, k) for k in range(45)))


def ild_ecal() -> RegularGrid:
    """The 30 x 30 x 30 cells of 5 x 5 mm^2 cut out of the ILD's calorimeter (arXiv:2005.05334),
    index (layer, y, x).

    The layers are 5.25 mm deep (20 with 2.1 mm of tungsten), then 7.35 mm (10 with 4.2 mm). A
    regular grid has one depth for all: the mean, 5.95 mm. Positions in depth are therefore those of
    layer numbers, in units of 5.95 mm.
    """
    return RegularGrid("ild-ecal-30", shape=(30, 30, 30), cell_size=(5.0, 5.0, 5.95), order="zyx")


def named_calorimeters() -> dict[str, Calorimeter]:
    """The calorimeters that the package knows by name."""
    known = (
        *(pbwo4_crystals(), calochallenge_1_photons(), calochallenge_1_pions()),
        *(calochallenge_2(), calochallenge_3(), ild_ecal()),
    )
    return {calorimeter.name: calorimeter for calorimeter in known}
