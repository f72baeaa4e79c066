r"""Physics of a shower: what is measured on it, one function each, with its unit.

Shower :math:`i` has incident energy :math:`E_i` and deposits :math:`e_{ic} \ge 0` in the cells :math:`c`, all in MeV. From them:

- total energy :math:`E_\mathrm{sum} = \sum_c e_{ic}`, and the response :math:`E_\mathrm{sum} / E_i`;
- number of hits :math:`N_\mathrm{hit} = |\{c : e_{ic} > \epsilon\}|`, with :math:`\epsilon` = 1 MeV unless told;
- brightest cell :math:`E_\mathrm{max} = \max_c e_{ic}`, and its share :math:`E_\mathrm{max} / E_i`;
- cell spectrum: the :math:`e_{ic}` themselves, of all cells of all showers;
- profiles: the energy in each column of x, row of y, or layer, that is :math:`\sum_c e_{ic}` over its cells.

Sums are taken in double precision. An `Observable` names such a function, says in which unit and on which scale its values are
compared, and how many values a shower has (`Entry`): one, one a cell, or an energy at each of several positions. The *line* of an
observable is where its values lie and where distances are taken: the value itself on a linear scale; :math:`\log_{10}` of the
value, for values above the observable's threshold alone, on a logarithmic one; the position for a profile, with the energies as
weights. A distance on a logarithmic scale is therefore in decades.

`SQUIRELS` is the set of arXiv:2308.12339, figures 1 to 5.
"""

__all__ = [
    "ENERGY_SUM",
    "LAYERS",
    "LOG_SPECTRUM",
    "MAX_ENERGY",
    "MAX_FRACTION",
    "N_HITS",
    "PROFILE_X",
    "PROFILE_Y",
    "RESPONSE",
    "SPECTRUM",
    "SQUIRELS",
    "Entry",
    "Observable",
    "Scale",
    "catalogue",
    "cell_energies",
    "cell_spectrum",
    "layer_energies",
    "max_energy",
    "max_fraction",
    "n_hits",
    "profile_x",
    "profile_y",
    "response",
    "total_energy",
]

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Float, Int
from torch import Tensor

from caloforge.calorimeter import Calorimeter, RegularGrid
from caloforge.errors import GeometryError
from caloforge.showers import Showers
from caloforge.units import MeV, keV


def total_energy(showers: Showers) -> Float[Tensor, " showers"]:
    r"""Total deposited energy :math:`E_\mathrm{sum}`, in MeV, with shape (N)."""
    return showers.deposits.sum(dim=1, dtype=torch.float64)


def response(showers: Showers) -> Float[Tensor, " showers"]:
    r"""Total deposited energy over incident energy, :math:`E_\mathrm{sum} / E`, with shape (N)."""
    return total_energy(showers) / showers.energies.double()


def n_hits(showers: Showers, threshold: float = 1 * MeV) -> Int[Tensor, " showers"]:
    r"""Number of cells with more energy than the threshold, :math:`N_\mathrm{hit}`, with shape (N).

    Arguments:
        showers: The showers.
        threshold: The energy :math:`\epsilon` that a hit exceeds, in MeV.
    """
    return (showers.deposits > threshold).sum(dim=1)


def max_energy(showers: Showers) -> Float[Tensor, " showers"]:
    r"""Energy of the brightest cell, :math:`E_\mathrm{max}`, in MeV, with shape (N)."""
    return showers.deposits.amax(dim=1).double()


def max_fraction(showers: Showers) -> Float[Tensor, " showers"]:
    r"""Energy of the brightest cell over incident energy, :math:`E_\mathrm{max} / E`, with shape (N)."""
    return max_energy(showers) / showers.energies.double()


def cell_energies(showers: Showers) -> Float[Tensor, "showers cells"]:
    """Energy of every cell, zeros included, in MeV, with shape (N, cells)."""
    return showers.deposits


def cell_spectrum(showers: Showers, threshold: float = 0.0) -> Float[Tensor, " entries"]:
    """Energies of all cells above the threshold, of all showers in one list, in MeV.

    Arguments:
        showers: The showers.
        threshold: The energy that an entry exceeds, in MeV.
    """
    return showers.deposits[showers.deposits > threshold]


def profile_x(showers: Showers) -> Float[Tensor, "showers columns"]:
    r"""Energy in each column of cells of equal x, in MeV, with shape (N, :math:`n_x`).

    Raises:
        GeometryError: The calorimeter is not a regular grid.
    """
    return _profile(showers, axis=0)


def profile_y(showers: Showers) -> Float[Tensor, "showers rows"]:
    r"""Energy in each row of cells of equal y, in MeV, with shape (N, :math:`n_y`).

    Raises:
        GeometryError: The calorimeter is not a regular grid.
    """
    return _profile(showers, axis=1)


def layer_energies(showers: Showers) -> Float[Tensor, "showers layers"]:
    """Energy in each layer in depth, front to back, in MeV, with shape (N, layers)."""
    return _sums(showers, showers.calorimeter.layers, showers.calorimeter.n_layers)


def _profile(showers: Showers, axis: int) -> Tensor:
    grid = _regular(showers.calorimeter)
    return _sums(showers, grid.indices[:, axis], grid.shape[axis])


def _sums(showers: Showers, groups: Tensor, n: int) -> Tensor:
    deposits = showers.deposits.double()
    sums = deposits.new_zeros(len(showers), n)
    return sums.index_add_(1, groups.to(deposits.device), deposits)


def _regular(calorimeter: Calorimeter) -> RegularGrid:
    if not isinstance(calorimeter, RegularGrid):
        msg = f"calorimeter '{calorimeter.name}' is of kind '{calorimeter.kind}': x and y profiles need a regular grid"
        raise GeometryError(msg)
    return calorimeter


def _centres(calorimeter: Calorimeter, axis: int) -> Tensor:
    grid = _regular(calorimeter)
    n, size = grid.shape[axis], grid.cell_size[axis]
    return (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2) * size


def _x_centres(calorimeter: Calorimeter) -> Tensor:
    return _centres(calorimeter, axis=0)


def _y_centres(calorimeter: Calorimeter) -> Tensor:
    return _centres(calorimeter, axis=1)


def _layer_numbers(calorimeter: Calorimeter) -> Tensor:
    return torch.arange(calorimeter.n_layers, dtype=torch.float64)


class Entry(Enum):
    """How many values of an observable a shower has."""

    SHOWER = "one a shower"
    CELL = "one a cell"
    POSITION = "an energy at each position"


class Scale(Enum):
    """The line on which values are drawn and compared."""

    LINEAR = "linear"
    LOG = "logarithmic"


@dataclass(frozen=True)
class Observable:
    r"""A named function of showers, with all that is needed to compare and draw it.

    Arguments:
        name: A short key, for files.
        title: The name in words, for tables.
        symbol: The symbol, as TeX mathematics without the dollar signs.
        unit: The unit of the value (of the position, for a profile); empty if it has none.
        function: From N showers to values of shape (N), (N, cells) or (N, positions), as ``entry`` says.
        entry: How many values a shower has.
        scale: Whether values are compared as they are or by :math:`\log_{10}`.
        threshold: On a logarithmic scale, the value that an entry must exceed to be counted, in the unit.
        positions: For a profile, the increasing positions in a calorimeter, in the unit; else None.
    """

    name: str
    title: str
    symbol: str
    unit: str
    function: Callable[[Showers], Tensor]
    entry: Entry = Entry.SHOWER
    scale: Scale = Scale.LINEAR
    threshold: float = 0.0
    positions: Callable[[Calorimeter], Tensor] | None = None

    @property
    def distance_unit(self) -> str:
        """The unit of a distance between two samples of the observable."""
        return "decades" if self.scale is Scale.LOG else self.unit


ENERGY_SUM = Observable("energy_sum", "Total energy", r"E_\mathrm{sum}", "MeV", total_energy)
RESPONSE = Observable("response", "Response", r"E_\mathrm{sum}/E", "", response)
SPECTRUM = Observable("cell_energy", "Cell energies", r"E_\mathrm{cell}", "MeV", cell_energies, Entry.CELL)
LOG_SPECTRUM = Observable(
    name="cell_energy_log",
    title="Cell energies above 1 keV, log10",
    symbol=r"E_\mathrm{cell}",
    unit="MeV",
    function=cell_energies,
    entry=Entry.CELL,
    scale=Scale.LOG,
    threshold=1 * keV,
)
N_HITS = Observable("n_hits", "Hits above 1 MeV", r"N_\mathrm{hit}", "", n_hits)
MAX_ENERGY = Observable("max_energy", "Brightest cell", r"E_\mathrm{max}", "MeV", max_energy)
MAX_FRACTION = Observable("max_fraction", "Brightest cell's share", r"E_\mathrm{max}/E", "", max_fraction)
PROFILE_X = Observable("profile_x", "Profile in x", "x", "mm", profile_x, Entry.POSITION, positions=_x_centres)
PROFILE_Y = Observable("profile_y", "Profile in y", "y", "mm", profile_y, Entry.POSITION, positions=_y_centres)
LAYERS = Observable(
    "layer_energies", "Profile in depth", r"\mathrm{layer}", "layers", layer_energies, Entry.POSITION, positions=_layer_numbers
)

SQUIRELS: tuple[Observable, ...] = (
    ENERGY_SUM,
    RESPONSE,
    SPECTRUM,
    LOG_SPECTRUM,
    N_HITS,
    MAX_ENERGY,
    MAX_FRACTION,
    PROFILE_X,
    PROFILE_Y,
)
"""The observables of arXiv:2308.12339, figures 1 to 5, and two shares of the incident energy beside them."""


def catalogue(calorimeter: Calorimeter) -> tuple[Observable, ...]:
    """The observables that a calorimeter allows: `SQUIRELS`, less x and y on a cylinder, and the depth if it has layers."""
    transverse = {PROFILE_X, PROFILE_Y}
    plain = tuple(o for o in SQUIRELS if o not in transverse or isinstance(calorimeter, RegularGrid))
    return plain if calorimeter.n_layers == 1 else (*plain, LAYERS)
