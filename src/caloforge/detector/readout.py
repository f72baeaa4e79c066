r"""How the active slabs of a layer are read: in boxes, hexagons, or bins in :math:`r` and
:math:`\alpha`.

`Boxes`, `Staggered`, `Hexagons` and `Rings` are those of the geometry; `EqualRings` are rings
written by number and width. Which of them a description means, one of its keys says.
"""

__all__ = ["EqualRings", "Readout", "is_polar"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Tag, with_config
from typing_extensions import TypeIs

from caloforge.errors import GeometryError
from caloforge.geometry import Boxes, Hexagons, Rings, Staggered

_MOST_RINGS = 10_000


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class EqualRings:
    r"""As `Rings`, of equal width.

    Arguments:
        n_r: The number of bins in :math:`r`, from 0 on, 1 to 10,000.
        width: Their width, in mm, positive.
        n_alpha: The number of equal bins in :math:`\alpha \in [-\pi, \pi)`.

    Raises:
        GeometryError: A number is impossible.
    """

    n_r: int
    width: float
    n_alpha: int

    def __post_init__(self) -> None:
        if not 1 <= self.n_r <= _MOST_RINGS:
            msg = f"rings: n_r is {self.n_r}, expected a whole number from 1 to {_MOST_RINGS}"
            raise GeometryError(msg)
        Rings(self.r_edges, self.n_alpha)

    @property
    def r_edges(self) -> tuple[float, ...]:
        """The edges, in mm."""
        return tuple(self.width * i for i in range(self.n_r + 1))

    @property
    def number(self) -> tuple[int, int]:
        """How many cells there are along r and alpha."""
        return self.n_r, self.n_alpha

    @property
    def extent(self) -> tuple[float, float]:
        """The size of the square around all cells, in mm."""
        return 2 * self.r_edges[-1], 2 * self.r_edges[-1]


_KEYS = {"pitch": Hexagons, "shift": Staggered, "r_edges": Rings, "n_r": EqualRings}
"""The keys by which a description says that it means no `Boxes`."""


def _kind(value: Any) -> str:
    """The name of the class that a value is of, or that a description means."""
    if not isinstance(value, Mapping):
        return type(value).__name__
    return next((kind for key, kind in _KEYS.items() if key in value), Boxes).__name__


Readout = Annotated[
    Annotated[Boxes, Tag("Boxes")]
    | Annotated[Staggered, Tag("Staggered")]
    | Annotated[Hexagons, Tag("Hexagons")]
    | Annotated[Rings, Tag("Rings")]
    | Annotated[EqualRings, Tag("EqualRings")],
    Discriminator(_kind),
]


def is_polar(cells: Readout) -> TypeIs[Rings | EqualRings]:
    """Whether cells are rings around the beam."""
    return isinstance(cells, Rings | EqualRings)
