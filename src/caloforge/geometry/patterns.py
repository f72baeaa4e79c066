r"""How a layer is divided into staggered boxes, or into hexagons of one or two sizes.

Hexagons have two sides parallel to :math:`y`. Their centres are :math:`p\,(q + r/2,\ \sqrt3\,r/2)`
with the pitch :math:`p` and whole numbers :math:`q, r`; within :math:`n` rings of the middle one,
:math:`\max(|q|, |r|, |q + r|) \le n`, there are :math:`1 + 3n(n + 1)`. With two sizes, fine ones
form the core, and coarse ones stand around it wherever they overlap none of them: what is left
between is insensitive, as are the gaps between modules of boxes.
"""

__all__ = ["Hexagons", "Shapes", "Staggered", "shapes_of"]

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry.cell_index import CellIndex
from caloforge.geometry.divisions import Boxes

_MOST_RINGS = 1000
"""Of hexagons: three million cells a layer."""


class Shapes(NamedTuple):
    """The cells of a layer."""

    xy: Tensor
    """The centre of each, in mm, float64, with shape (cells, 2)."""
    sizes: Tensor
    """Its sizes, in mm, float64, with shape (cells, 2)."""
    hexagonal: Tensor
    """Whether it is a hexagon, with shape (cells)."""


@dataclass(frozen=True)
class Staggered:
    """Boxes side by side in modules with gaps between them, the whole shifted; x runs fastest.

    Arguments:
        number: How many along x and y, each at least 1.
        size: Their sizes along x and y, in mm, positive.
        shift: Where their common middle lies, in mm from the beam.
        module: How many make a module along x and y; None for all.
        gap: The insensitive gap between modules, in mm, at least 0.

    Raises:
        GeometryError: A number is impossible.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    number: tuple[int, int]
    size: tuple[float, float]
    shift: tuple[float, float]
    module: tuple[int, int] | None = None
    gap: float = 0.0

    def __post_init__(self) -> None:
        boxes = Boxes(self.number, self.size)
        object.__setattr__(self, "number", boxes.number)
        object.__setattr__(self, "size", boxes.size)
        object.__setattr__(self, "shift", tuple(float(aside) for aside in self.shift))
        module = None if self.module is None else tuple(self.module)
        object.__setattr__(self, "module", module)
        whole = module is None or (len(module) == 2 and min(module) >= 1)
        finite = len(self.shift) == 2 and all(math.isfinite(aside) for aside in self.shift)
        if not whole or not finite or not 0 <= self.gap < math.inf:
            msg = (
                f"staggered boxes: shift {self.shift} mm, module {module}, gap {self.gap} mm: "
                "expected two lengths, two whole numbers of at least 1 or None, and at least 0 mm"
            )
            raise GeometryError(msg)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return math.prod(self.number)

    @property
    def extent(self) -> tuple[float, float]:
        """The area around the beam that holds all cells, along x and y, in mm."""
        return _extent(shapes_of(self))


@dataclass(frozen=True)
class Hexagons:
    """Hexagons around the beam, row after row of rising y; those of the core first.

    Arguments:
        pitch: Their width across the sides, in mm, positive.
        rings: How many rings stand around the middle one, at least 0.
        core_pitch: The pitch of the fine ones of the core, in mm; None for one size alone.
        core_rings: How many rings the core has around its middle one.

    Raises:
        GeometryError: A number is impossible, or the core leaves none of the others.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    pitch: float
    rings: int
    core_pitch: float | None = None
    core_rings: int = 0

    def __post_init__(self) -> None:
        pitches = [self.pitch] if self.core_pitch is None else [self.pitch, self.core_pitch]
        rings = (self.rings, self.core_rings)
        if not all(0 < p < math.inf for p in pitches) or not all(
            n == int(n) and 0 <= n <= _MOST_RINGS for n in rings
        ):
            msg = (
                f"hexagons: pitches {pitches} mm with {rings} rings, expected positive lengths and "
                f"whole numbers from 0 to {_MOST_RINGS}"
            )
            raise GeometryError(msg)
        if self.core_pitch is not None and len(shapes_of(self).xy) == _filled(self.core_rings):
            msg = (
                f"hexagons: the core of {self.core_rings} rings of {self.core_pitch} mm leaves no "
                f"room in {self.rings} rings of {self.pitch} mm: make the core smaller"
            )
            raise GeometryError(msg)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return _filled(self.rings) if self.core_pitch is None else len(shapes_of(self).xy)

    @property
    def extent(self) -> tuple[float, float]:
        """The area around the beam that holds all cells, along x and y, in mm."""
        return _extent(shapes_of(self))


@lru_cache(maxsize=16)
def shapes_of(cells: Boxes | Staggered | Hexagons) -> Shapes:
    """The cells of a layer, in order."""
    match cells:
        case Boxes():
            return _boxes(cells.centres, cells.size)
        case Staggered():
            return _staggered(cells)
        case Hexagons(core_pitch=fine):
            coarse = _hexagons(cells.pitch, cells.rings)
            return coarse if fine is None else _around(_hexagons(fine, cells.core_rings), coarse)


def _boxes(xy: Tensor, size: tuple[float, float]) -> Shapes:
    sizes = torch.tensor(size, dtype=torch.float64).repeat(len(xy), 1)
    return Shapes(xy, sizes, torch.zeros(len(xy), dtype=torch.bool))


def _filled(rings: int) -> int:
    return 1 + 3 * rings * (rings + 1)


def _hexagons(pitch: float, rings: int) -> Shapes:
    one = torch.arange(-rings, rings + 1)
    r, q = torch.cartesian_prod(one, one).unbind(-1) if rings else (one, one)
    within = (q + r).abs() <= rings
    q, r = q[within].double(), r[within].double()
    xy = pitch * torch.stack([q + r / 2, math.sqrt(3) / 2 * r], dim=-1)
    sizes = torch.tensor([pitch, 2 * pitch / math.sqrt(3)], dtype=torch.float64)
    return Shapes(xy, sizes.repeat(len(xy), 1), torch.ones(len(xy), dtype=torch.bool))


def _around(core: Shapes, coarse: Shapes) -> Shapes:
    """The core, and those of the coarse that overlap none of it."""
    n = len(core.xy)
    xy, sizes, hexagonal = (torch.cat(parts) for parts in zip(core, coarse, strict=True))
    index = CellIndex(torch.zeros(len(xy), dtype=torch.int64), xy, sizes, hexagonal, 1)
    kept = torch.ones(len(xy), dtype=torch.bool)
    kept[[cell for pair in index.overlaps(0) for cell in pair if cell >= n]] = False
    return Shapes(xy[kept], sizes[kept], hexagonal[kept])


def _staggered(cells: Staggered) -> Shapes:
    module = cells.module or cells.number
    x, y = (
        _row(n, size, per, cells.gap) + aside
        for n, size, per, aside in zip(cells.number, cells.size, module, cells.shift, strict=True)
    )
    slow, fast = torch.meshgrid(y, x, indexing="ij")
    return _boxes(torch.stack([fast.flatten(), slow.flatten()], dim=-1), cells.size)


def _row(n: int, size: float, module: int, gap: float) -> Tensor:
    """The centres of cells along an axis, around 0."""
    place = torch.arange(n, dtype=torch.float64)
    at = place * size + (place // module) * gap
    return at - (at[0] + at[-1]) / 2


def _extent(shapes: Shapes) -> tuple[float, float]:
    x, y = (2 * shapes.xy.abs() + shapes.sizes).amax(dim=0).tolist()
    return x, y
