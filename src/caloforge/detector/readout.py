r"""How the active slabs of a layer are read: in boxes, or in bins in :math:`r` and :math:`\alpha`.

`Boxes` and `Rings` are those of the geometry; `EqualRings` are rings written by number and width.
"""

__all__ = ["EqualRings", "Readout"]

from dataclasses import dataclass

from pydantic import ConfigDict, with_config

from caloforge.errors import GeometryError
from caloforge.geometry import Boxes, Rings

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


Readout = Boxes | Rings | EqualRings
