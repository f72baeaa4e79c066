r"""Profiles of a shower: its energy in slices along the beam, and how deep the energy in each slice
lies.

A slice :math:`s` is a column of cells of equal x, a row of equal y, a ring in r or a sector in
:math:`\alpha`:

- profile: the energies :math:`E_s = \sum_{c \in s} e_{ic}`;
- depth of a slice, CaloDREAM (arXiv:2405.09629) eq. 19:
  :math:`d_s = \sum_l l\, E_{l,s} / (E_s + 10^{-16}\,\mathrm{MeV})`, with the layers counted from 0
  at the front; 0 for a slice without energy.

The slices are the answers `Calorimeter.columns`, `rows`, `rings` and `sectors`; energy in layers
with one bin in :math:`\alpha` is in no sector.
"""

__all__ = [
    "DEPTH_ALPHA",
    "DEPTH_R",
    "PROFILE_R",
    "PROFILE_X",
    "PROFILE_Y",
    "depth_alpha",
    "depth_r",
    "profile_r",
    "profile_x",
    "profile_y",
]

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry import Calorimeter, Slices
from caloforge.hits import AnyShowers
from caloforge.observables._hit_sums import sums
from caloforge.observables._sums import Family
from caloforge.observables.energies import EMPTY
from caloforge.observables.records import Entry, Observable


def profile_x(showers: AnyShowers) -> Float[Tensor, "showers columns"]:
    r"""Energy in each column of cells of equal x, in MeV, with shape (N, :math:`n_x`).

    Raises:
        GeometryError: The calorimeter has no columns.
    """
    _found(showers.calorimeter, showers.calorimeter.columns(), "columns of equal x")
    return sums(showers).of(Family.COLUMNS)[:, 0].clone()


def profile_y(showers: AnyShowers) -> Float[Tensor, "showers rows"]:
    r"""Energy in each row of cells of equal y, in MeV, with shape (N, :math:`n_y`).

    Raises:
        GeometryError: The calorimeter has no rows.
    """
    _found(showers.calorimeter, showers.calorimeter.rows(), "rows of equal y")
    return sums(showers).of(Family.ROWS)[:, 0].clone()


def profile_r(showers: AnyShowers) -> Float[Tensor, "showers rings"]:
    """Energy in each ring around the axis, in MeV, with shape (N, rings)."""
    return sums(showers).of(Family.RINGS)[:, 0].clone()


def depth_r(showers: AnyShowers) -> Float[Tensor, "showers rings"]:
    """Mean layer of the energy in each ring, CaloDREAM eq. 19, in [0, layers - 1], with shape (N,
    rings).
    """
    return _depth(showers, Family.RINGS)


def depth_alpha(showers: AnyShowers) -> Float[Tensor, "showers sectors"]:
    """Mean layer of the energy in each sector, as CaloDREAM eq. 19, in [0, layers - 1], with shape
    (N, sectors).

    Raises:
        GeometryError: The calorimeter has no sectors.
    """
    _found(showers.calorimeter, showers.calorimeter.sectors(), "sectors common to its layers")
    return _depth(showers, Family.SECTORS)


def _depth(showers: AnyShowers, family: Family) -> Float[Tensor, "showers slices"]:
    energies, depths = sums(showers).of(family).unbind(1)
    return depths / (energies + EMPTY)


def _found(calorimeter: Calorimeter, slices: Slices | None, what: str) -> Slices:
    if slices is None:
        msg = f"calorimeter '{calorimeter.name}' of kind '{calorimeter.kind}' has no {what}"
        raise GeometryError(msg)
    return slices


def _middles(slices: Slices) -> Tensor:
    return (slices.edges[1:] + slices.edges[:-1]) / 2


def _x_centres(calorimeter: Calorimeter) -> Tensor:
    return _middles(_found(calorimeter, calorimeter.columns(), "columns of equal x"))


def _y_centres(calorimeter: Calorimeter) -> Tensor:
    return _middles(_found(calorimeter, calorimeter.rows(), "rows of equal y"))


def _ring_centres(calorimeter: Calorimeter) -> Tensor:
    return _middles(calorimeter.rings())


def _ring_labels(calorimeter: Calorimeter) -> tuple[str, ...]:
    edges = calorimeter.rings().edges.tolist()
    return tuple(f"r {low:.5g} to {high:.5g} mm" for low, high in pairwise(edges))


def _sector_labels(calorimeter: Calorimeter) -> tuple[str, ...]:
    sectors = calorimeter.sectors()
    n = 0 if sectors is None else sectors.number
    return tuple(
        f"alpha {360 * k / n - 180:.5g} to {360 * (k + 1) / n - 180:.5g} deg" for k in range(n)
    )


PROFILE_X = Observable(
    "profile_x", "Profile in x", "x", "mm", profile_x, Entry.POSITION, positions=_x_centres
)
PROFILE_Y = Observable(
    "profile_y", "Profile in y", "y", "mm", profile_y, Entry.POSITION, positions=_y_centres
)
PROFILE_R = Observable(
    "profile_r", "Profile in r", "r", "mm", profile_r, Entry.POSITION, positions=_ring_centres
)
DEPTH_R = Observable(
    "depth_r", "Depth of a ring", "d_r", "layers", depth_r, Entry.SERIES, labels=_ring_labels
)
DEPTH_ALPHA = Observable(
    "depth_alpha",
    "Depth of a sector",
    r"d_\alpha",
    "layers",
    depth_alpha,
    Entry.SERIES,
    labels=_sector_labels,
)
