r"""How a layer is divided into cells: boxes side by side, or bins in :math:`r` and :math:`\alpha`.

Both are lattices of a *fast* and a *slow* coordinate, :math:`(x, y)` or :math:`(r, \alpha)`, around
the beam at :math:`x = y = 0`. A cell's *place* in its layer is ``slow * n_fast + fast``. Two
lattices of one kind overlap axis by axis, in coordinates in which equal steps are equal areas,
:math:`(x, y)` or :math:`(r^2, \alpha)`.
"""

__all__ = ["Boxes", "Division", "Rings", "Slices", "overlaps", "spans_of"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from caloforge.errors import GeometryError

_NEGLIGIBLE = 1e-12
"""Shares below it are rounding of edges that coincide."""


class Slices(NamedTuple):
    """A way to cut a calorimeter along the beam: rings, sectors, columns or rows."""

    of_cell: Tensor
    """The slice of each cell, from 0 on, -1 for none, with shape (cells)."""
    edges: Tensor
    """The edges of the slices, in mm or radians, float64, with shape (slices + 1)."""

    @property
    def number(self) -> int:
        """How many slices there are."""
        return len(self.edges) - 1


@dataclass(frozen=True)
class Boxes:
    """Cells side by side, centred on the beam; x runs fastest, then y.

    Arguments:
        number: How many along x and y, each at least 1.
        size: Their sizes along x and y, in mm, positive.

    Raises:
        GeometryError: A number is not positive.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    polar: ClassVar[bool] = False

    number: tuple[int, int]
    size: tuple[float, float]

    def __post_init__(self) -> None:
        given = tuple(self.number)
        object.__setattr__(self, "number", tuple(int(n) for n in given))
        object.__setattr__(self, "size", tuple(float(width) for width in self.size))
        if (
            self.number != given
            or len(self.number) != 2
            or len(self.size) != 2
            or min(self.number) < 1
            or not all(0 < d < math.inf for d in self.size)
        ):
            msg = (
                f"boxes: {given} of {self.size} mm, expected two whole numbers of at least "
                "1 and two positive lengths"
            )
            raise GeometryError(msg)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return math.prod(self.number)

    @property
    def extent(self) -> tuple[float, float]:
        """The area of all cells along x and y, in mm."""
        return self.number[0] * self.size[0], self.number[1] * self.size[1]

    @property
    def edges(self) -> tuple[Tensor, Tensor]:
        """The edges in x and in y, in mm, float64."""
        x, y = (
            (torch.arange(n + 1, dtype=torch.float64) - n / 2) * size
            for n, size in zip(self.number, self.size, strict=True)
        )
        return x, y

    @property
    def measures(self) -> tuple[Tensor, Tensor]:
        """The edges in coordinates in which equal steps are equal areas, x and y."""
        return self.edges

    @property
    def centres(self) -> Tensor:
        """The centre (x, y) of each cell, in mm, float64, with shape (cells, 2)."""
        x, y = (
            (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2) * size
            for n, size in zip(self.number, self.size, strict=True)
        )
        return _lattice(x, y)

    @property
    def areas(self) -> Tensor:
        """The area of each cell, in mm^2, float64."""
        return torch.full((math.prod(self.number),), math.prod(self.size), dtype=torch.float64)

    @property
    def neighbours(self) -> Tensor:
        """The places of the cells that share a side with each, -1 for none, with shape (cells,
        4).
        """
        return _neighbours(self.number, closed=False)

    def points(self, n: int) -> Tensor:
        """The middles of n x n equal parts of each cell, in mm, with shape (cells, n^2, 2)."""
        return _parts(self.measures, n)

    @staticmethod
    def places(divisions: Sequence["Boxes"], layer: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The place in its layer of the cell at each point, -1 beside all."""
        n_x, n_y = _of_layer([part.number for part in divisions], layer)
        d_x, d_y = _of_layer([part.size for part in divisions], layer, x.dtype)
        i_x, i_y = ((at / d + n / 2).floor().long() for at, d, n in ((x, d_x, n_x), (y, d_y, n_y)))
        inside = (i_x >= 0) & (i_x < n_x) & (i_y >= 0) & (i_y < n_y)
        return torch.where(inside, i_y * n_x + i_x, -1)


@dataclass(frozen=True)
class Rings:
    r"""Bins in :math:`r` and :math:`\alpha` around the beam; r runs fastest, then :math:`\alpha`.

    Arguments:
        r_edges: The edges in :math:`r`, in mm, increasing from at least 0.
        n_alpha: The number of equal bins in :math:`\alpha \in [-\pi, \pi)`.

    Raises:
        GeometryError: An edge or the number is impossible.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    polar: ClassVar[bool] = True

    r_edges: tuple[float, ...]
    n_alpha: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "r_edges", tuple(float(r) for r in self.r_edges))
        rising = all(a < b for a, b in zip(self.r_edges, self.r_edges[1:], strict=False))
        if (
            len(self.r_edges) < 2
            or not rising
            or self.r_edges[0] < 0
            or not math.isfinite(self.r_edges[-1])
        ):
            msg = f"r_edges are {self.r_edges}, expected two or more, increasing from at least 0 mm"
            raise GeometryError(msg)
        given = self.n_alpha
        object.__setattr__(self, "n_alpha", int(given))
        if self.n_alpha != given or self.n_alpha < 1:
            msg = f"n_alpha is {given}, expected a whole number of at least 1"
            raise GeometryError(msg)

    @property
    def number(self) -> tuple[int, int]:
        """How many cells there are along r and alpha."""
        return len(self.r_edges) - 1, self.n_alpha

    @property
    def extent(self) -> tuple[float, float]:
        """The size of the square around all cells, in mm."""
        return 2 * self.r_edges[-1], 2 * self.r_edges[-1]

    @property
    def edges(self) -> tuple[Tensor, Tensor]:
        """The edges in r, in mm, and in alpha, in radians, float64."""
        bins = torch.arange(self.n_alpha + 1, dtype=torch.float64)
        return torch.tensor(self.r_edges, dtype=torch.float64), bins * (
            2 * math.pi / self.n_alpha
        ) - math.pi

    @property
    def measures(self) -> tuple[Tensor, Tensor]:
        """The edges in coordinates in which equal steps are equal areas, r^2 and alpha."""
        r, alpha = self.edges
        return r.square(), alpha

    @property
    def r_alpha(self) -> Tensor:
        r"""The middle :math:`(r, \alpha)` of each bin, in mm and radians, with shape (cells, 2)."""
        r = self.edges[0]
        alpha = (torch.arange(self.n_alpha, dtype=torch.float64) + 0.5) * (
            2 * math.pi / self.n_alpha
        ) - math.pi
        return _lattice((r[1:] + r[:-1]) / 2, alpha)

    @property
    def centres(self) -> Tensor:
        """The point (x, y) at the middle of each bin, in mm, float64, with shape (cells, 2)."""
        r, alpha = self.r_alpha.unbind(-1)
        return torch.stack([r * alpha.cos(), r * alpha.sin()], dim=-1)

    @property
    def areas(self) -> Tensor:
        r"""The area :math:`(r_2^2 - r_1^2) \pi / n_\alpha` of each cell, in mm^2, float64."""
        ring = math.pi * self.measures[0].diff()
        return (ring / self.n_alpha).repeat(self.n_alpha)

    @property
    def neighbours(self) -> Tensor:
        """The places of the cells that share a side with each, -1 for none, with shape (cells,
        4).
        """
        return _neighbours(self.number, closed=self.n_alpha > 2)

    def points(self, n: int) -> Tensor:
        """The middles of n x n equal parts of each cell, in mm, with shape (cells, n^2, 2)."""
        squared, alpha = _parts(self.measures, n).unbind(-1)
        r = squared.sqrt()
        return torch.stack([r * alpha.cos(), r * alpha.sin()], dim=-1)

    @staticmethod
    def places(divisions: Sequence["Rings"], layer: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The place in its layer of the cell at each point, -1 beside all. The edges of all layers
        stand in one row, a reach apart.
        """
        reach = 2 * max(part.r_edges[-1] for part in divisions)
        row = torch.tensor(
            [k * reach + r for k, part in enumerate(divisions) for r in part.r_edges],
            dtype=torch.float64,
            device=x.device,
        )
        first = torch.tensor(
            [0, *accumulate(len(part.r_edges) for part in divisions)], device=x.device
        ).index_select(0, layer)
        n_r, n_alpha = _of_layer([part.number for part in divisions], layer)
        r = torch.hypot(x, y).double().clamp(max=0.75 * reach)
        i_r = torch.searchsorted(row, layer * reach + r, right=True) - first - 1
        per_radian = n_alpha.to(x.dtype) / (2 * math.pi)
        i_alpha = ((torch.atan2(y, x) + math.pi) * per_radian).long().clamp(max=n_alpha - 1)
        return torch.where((i_r >= 0) & (i_r < n_r), i_alpha * n_r + i_r, -1)


Division = Boxes | Rings


def overlaps(source: Division, target: Division) -> tuple[Tensor, Tensor]:
    """Which cells of a lattice overlap which of another of the same kind, and by what share.

    Returns:
        The places (target, source) with shape (overlaps, 2), and the share of the area of the
        source's cell in the target's, float64, with shape (overlaps).
    """
    (fast, fast_share), (slow, slow_share) = (
        _overlaps(a, b) for a, b in zip(source.measures, target.measures, strict=True)
    )
    n_fast = torch.tensor([target.number[0], source.number[0]])
    places = slow[:, None] * n_fast + fast
    return places.flatten(0, 1), (slow_share[:, None] * fast_share).flatten()


def spans_of(division: Division) -> tuple[Tensor, Tensor]:
    """Where each cell of a lattice begins and how far it extends, in coordinates in which equal
    steps are equal areas, with shape (cells, 2).
    """
    fast, slow = division.measures
    return _lattice(fast[:-1], slow[:-1]), _lattice(fast.diff(), slow.diff())


def _overlaps(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The overlaps of intervals, as shares of those of the source."""
    low = torch.maximum(target[:-1, None], source[:-1])
    high = torch.minimum(target[1:, None], source[1:])
    share = (high - low) / source.diff()
    found = (share > _NEGLIGIBLE).nonzero()
    return found, share[found[:, 0], found[:, 1]]


def _of_layer(
    pairs: Sequence[tuple[float, float]], layer: Tensor, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    a, b = torch.tensor(pairs, dtype=dtype, device=layer.device).index_select(0, layer).unbind(1)
    return a, b


def _lattice(fast: Tensor, slow: Tensor) -> Tensor:
    slow_grid, fast_grid = torch.meshgrid(slow, fast, indexing="ij")
    return torch.stack([fast_grid.flatten(), slow_grid.flatten()], dim=-1)


def _parts(measures: tuple[Tensor, Tensor], n: int) -> Tensor:
    """The middles of equal parts of each cell, with shape (cells, n^2, 2)."""
    within = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    fast, slow = (edges[:-1, None] + edges.diff()[:, None] * within for edges in measures)
    shape = (len(slow), len(fast), n, n)
    both = (fast[None, :, None, :].expand(shape), slow[:, None, :, None].expand(shape))
    return torch.stack(both, dim=-1).flatten(0, 1).flatten(1, 2)


def _neighbours(number: tuple[int, int], *, closed: bool) -> Tensor:
    """Those of a lattice that may be closed in the slow coordinate."""
    n_fast, n_slow = number
    places = torch.arange(n_fast * n_slow).reshape(n_slow, n_fast)
    padded, middle = torch.full((n_slow + 2, n_fast + 2), -1), slice(1, -1)
    padded[middle, middle] = places
    if closed:
        padded[0, middle], padded[-1, middle] = places[-1], places[0]
    fast = padded[middle, :-2], padded[middle, 2:]
    slow = padded[:-2, middle], padded[2:, middle]
    return torch.stack([*fast, *slow], dim=-1).flatten(0, 1)
