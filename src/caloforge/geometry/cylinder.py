r"""Voxels around the shower axis: bins in :math:`r` and :math:`\alpha`, each layer with its own.

:math:`r` runs fastest, then :math:`\alpha`, then the layer. The angle runs from :math:`-\pi`: bin
:math:`k` of :math:`n` is :math:`-\pi + 2\pi [k, k + 1) / n`, as the challenge's own code has it.
With :math:`x = r \cos\alpha`, :math:`y = r \sin\alpha` at the middles of the bins, its
:math:`\eta` is our :math:`x`, its :math:`\phi` our :math:`y`, both in mm.
"""

__all__ = ["CylinderGrid", "CylinderLayer"]

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry.calorimeter import Calorimeter, Symmetries, tuples


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
            CylinderLayer(**tuples(layer)) for layer in fields.pop("cylinder_layers", ())
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
    def layer_of_cell(self) -> Tensor:
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
        z = (depth.cumsum(0) - depth / 2)[self.layer_of_cell]
        return torch.stack([r * alpha.cos(), r * alpha.sin(), z], dim=-1)

    @cached_property
    def volumes(self) -> Tensor:
        r"""The volume :math:`(r_2^2 - r_1^2) \pi t / n_\alpha` of each cell, in mm^3, with shape
        (cells).
        """
        return torch.cat([_volumes(layer) for layer in self.cylinder_layers])

    @cached_property
    def _symmetry_group(self) -> Symmetries:
        r"""The rotations in :math:`\alpha` that all layers share, and their mirror images; a full
        ring turns into itself.
        """
        turns = (
            math.gcd(*(layer.n_alpha for layer in self.cylinder_layers if layer.n_alpha > 1)) or 1
        )
        group = [(k / turns, mirrored) for mirrored in (False, True) for k in range(turns)]
        return Symmetries.distinct(
            [self._turned(fraction, mirrored=mirrored) for fraction, mirrored in group],
            [_matrix(fraction, mirrored=mirrored) for fraction, mirrored in group],
        )

    def image(self) -> Tensor:
        """See `Calorimeter.image`; with shape (layers, alpha, r)."""
        shapes = {(layer.n_alpha, layer.n_r) for layer in self.cylinder_layers}
        if len(shapes) > 1:
            return super().image()
        return torch.arange(self.n_cells).reshape(self.n_layers, *shapes.pop())

    def _turned(self, fraction: float, *, mirrored: bool) -> Tensor:
        parts, start = [], 0
        for layer in self.cylinder_layers:
            image = torch.arange(start, start + layer.n_cells).reshape(layer.n_alpha, layer.n_r)
            image = image.flip(0) if mirrored else image
            parts.append(image.roll(round(fraction * layer.n_alpha), dims=0).flatten())
            start += layer.n_cells
        return torch.cat(parts)


def _matrix(fraction: float, *, mirrored: bool) -> Tensor:
    r"""The matrix of :math:`\alpha \to \alpha - 2\pi f` or, mirrored, of :math:`\alpha \to 2\pi f -
    \alpha`; exact where it maps the axes onto themselves.
    """
    cosine, sine = (
        (round(value) if (4 * fraction).is_integer() else value)
        for value in (math.cos(2 * math.pi * fraction), math.sin(2 * math.pi * fraction))
    )
    rows = [[cosine, sine], [sine, -cosine]] if mirrored else [[cosine, sine], [-sine, cosine]]
    return torch.tensor(rows, dtype=torch.float64)


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
