r"""Voxels around the shower axis: bins in :math:`r` and :math:`\alpha`, each layer with its own.

:math:`r` runs fastest, then :math:`\alpha`, then the layer. The angle runs from :math:`-\pi`: bin
:math:`k` of :math:`n` is :math:`-\pi + 2\pi [k, k + 1) / n`, as the challenge's own code has it.
With :math:`x = r \cos\alpha`, :math:`y = r \sin\alpha` at the middles of the bins, its
:math:`\eta` is our :math:`x`, its :math:`\phi` our :math:`y`, both in mm.
"""

__all__ = ["CylinderGrid", "CylinderLayer"]

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry.calorimeter import Calorimeter, tuples
from caloforge.geometry.divisions import Rings
from caloforge.geometry.symmetries import Symmetries

_INVENTED = 1.0
"""The thickness, in mm, that stood for an unknown one in version 0.1."""


@dataclass(frozen=True)
class CylinderLayer:
    r"""One layer of a `CylinderGrid`.

    Arguments:
        r_edges: The edges in :math:`r`, in mm, increasing from at least 0.
        n_alpha: The number of equal bins in :math:`\alpha \in [-\pi, \pi)`.
        thickness: The depth of the layer, in mm; None where it is unknown, as the published files
            do not hold it.
        id: The number that the published file gives to the layer.
    """

    r_edges: tuple[float, ...]
    n_alpha: int
    thickness: float | None = None
    id: int = 0

    def __post_init__(self) -> None:
        try:
            rings = Rings(self.r_edges, self.n_alpha)
        except GeometryError as error:
            msg = f"layer {self.id}: {error}"
            raise GeometryError(msg) from error
        object.__setattr__(self, "r_edges", rings.r_edges)
        object.__setattr__(self, "n_alpha", rings.n_alpha)
        if self.thickness is not None and not 0 < self.thickness < math.inf:
            msg = (
                f"layer {self.id}: thickness is {self.thickness} mm, expected a positive number, "
                "or None where it is unknown"
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


@dataclass(frozen=True, repr=False)
class CylinderGrid(Calorimeter, kind="cylinder-grid"):
    r"""Voxels around the shower axis, each layer with bins of its own; index order r, then alpha,
    then layer.

    A mesh *along the particle* moves with it, as in Geant4's example Par04 and in LEMURS: its
    origin is the particle's place on the front face and its :math:`z` the direction of flight;
    :math:`x` and :math:`y` are turned with :math:`z`, by the smallest rotation,
    :math:`R_z(\phi) R_y(\theta) R_z(-\phi)`. So a turned particle leaves the turned shower. Matter
    does not move: of the symmetries only the mirrors of :math:`x` and :math:`y` are left, which
    flat slabs and the shells of a cylinder share.

    Arguments:
        name: A short name for messages and files.
        cylinder_layers: The layers that have bins, front to back.
        along_particle: Whether the mesh lies along the particle, not along the axis.

    Raises:
        GeometryError: There is no layer, or one is impossible.
    """

    name: str
    cylinder_layers: tuple[CylinderLayer, ...]
    along_particle: bool = False

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
        return cls(cylinder_layers=layers, **fields)._published()

    def _published(self) -> "CylinderGrid":
        """The published calorimeter that this is but for the 1 mm that version 0.1 wrote for an
        unknown thickness; else itself.
        """
        from caloforge.geometry.published import named_calorimeters

        layers = tuple(replace(layer, thickness=None) for layer in self.cylinder_layers)
        unknown = replace(self, cylinder_layers=layers)
        invented = set(self.thicknesses) == {_INVENTED}
        return unknown if invented and unknown in named_calorimeters().values() else self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CylinderGrid) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[tuple[CylinderLayer, ...], bool]:
        return self.cylinder_layers, self.along_particle

    def describe(self, *, arrays: bool = True) -> dict[str, Any]:
        """As for every calorimeter; a mesh along the axis does not say so."""
        said = super().describe(arrays=arrays)
        return {k: v for k, v in said.items() if v or k != "along_particle"}

    def facts(self) -> dict[str, str]:
        """What a prompt and a notebook show."""
        return super().facts() | ({"mesh": "along the particle"} if self.along_particle else {})

    @cached_property
    def divisions(self) -> tuple[Rings, ...]:
        """The rings of each layer."""
        return tuple(Rings(layer.r_edges, layer.n_alpha) for layer in self.cylinder_layers)

    @property
    def thicknesses(self) -> tuple[float | None, ...]:
        """The thickness of each layer, None where it is unknown."""
        return tuple(layer.thickness for layer in self.cylinder_layers)

    @property
    def layer_ids(self) -> tuple[int, ...]:
        """The published numbers, front to back; the positions from the front where these do not
        tell the layers apart.
        """
        ids = tuple(layer.id for layer in self.cylinder_layers)
        return ids if len(set(ids)) == len(ids) else super().layer_ids

    @cached_property
    def r_alpha(self) -> Tensor:
        r"""The bin centres :math:`(r, \alpha)` of each cell, in mm and radians, with shape (cells,
        2).
        """
        return torch.cat([rings.r_alpha for rings in self.divisions])

    @property
    def mesh_symmetries(self) -> Tensor:
        """All turns of the rings and their mirror images."""
        return replace(self, along_particle=False).symmetries

    @cached_property
    def _symmetry_group(self) -> Symmetries:
        r"""The rotations in :math:`\alpha` that all layers share, and their mirror images; a full
        ring turns into itself. Along the particle, the half turn alone.
        """
        turns = (
            math.gcd(*(layer.n_alpha for layer in self.cylinder_layers if layer.n_alpha > 1)) or 1
        )
        step = max(1, turns // 2) if self.along_particle and turns % 2 == 0 else 1
        kept = range(0, 1 if self.along_particle and turns % 2 else turns, step)
        group = [(k / turns, mirrored) for mirrored in (False, True) for k in kept]
        return Symmetries.distinct(
            [self._turned(fraction, mirrored=mirrored) for fraction, mirrored in group],
            [_matrix(fraction, mirrored=mirrored) for fraction, mirrored in group],
        )

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
