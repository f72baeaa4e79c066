r"""Cells of a shower: how many are lit, how the energy is spread over them.

With deposits :math:`e_{ic}` in the cells :math:`c` and a threshold :math:`\epsilon`, 1 MeV unless
another is given:

- hits :math:`N_\mathrm{hit} = |\{c : e_{ic} > \epsilon\}|`, occupancy
  :math:`N_\mathrm{hit} / N_\mathrm{cells}`, and sparsity, the share of the cells of a layer at or
  below :math:`\epsilon`;
- brightest cell :math:`E_\mathrm{max} = \max_c e_{ic}`, its share :math:`E_\mathrm{max} / E` of the
  incident energy, and the share of :math:`E_\mathrm{sum}` in the 1, 2, 5, 10, 20, 50 brightest;
- cell spectrum: the :math:`e_{ic}` themselves, of all cells of all showers.

The CaloChallenge's thresholds are 1 MeV in dataset 1, 0.5 keV / 0.033 = 15.15 keV in 2 and 3.
"""

__all__ = [
    "BRIGHTEST",
    "LOG_SPECTRUM",
    "MAX_ENERGY",
    "MAX_FRACTION",
    "N_HITS",
    "OCCUPANCY",
    "SPARSITY",
    "SPECTRUM",
    "THRESHOLD",
    "brightest_fractions",
    "cell_energies",
    "cell_spectrum",
    "max_energy",
    "max_fraction",
    "n_hits",
    "occupancy",
    "sparsity",
]

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers, Hits
from caloforge.observables._hit_sums import brightest_hits, largest_hit, lit
from caloforge.observables.energies import EMPTY, layer_labels, total_energy
from caloforge.observables.records import Entry, Observable, Scale
from caloforge.units import MeV, keV

THRESHOLD = 1 * MeV
"""What a hit exceeds by default."""

_BRIGHTEST = (1, 2, 5, 10, 20, 50)


def n_hits(showers: AnyShowers, threshold: float = THRESHOLD) -> Int[Tensor, " showers"]:
    r"""Number of cells with more energy than the threshold, :math:`N_\mathrm{hit}`, with shape (N).

    Arguments:
        showers: The showers.
        threshold: The energy :math:`\epsilon` that a hit exceeds, in MeV.
    """
    return lit(showers, threshold).sum(dim=1)


def occupancy(showers: AnyShowers, threshold: float = THRESHOLD) -> Float[Tensor, " showers"]:
    r"""Share of all cells with more energy than the threshold, in [0, 1], with shape (N).

    Arguments:
        showers: The showers.
        threshold: The energy :math:`\epsilon` that a hit exceeds, in MeV.
    """
    return n_hits(showers, threshold).double() / showers.calorimeter.n_cells


def sparsity(showers: AnyShowers, threshold: float = THRESHOLD) -> Float[Tensor, "showers layers"]:
    r"""Share of the cells of each layer at or below the threshold, in [0, 1], with shape (N,
    layers).

    Arguments:
        showers: The showers.
        threshold: The energy :math:`\epsilon` that a hit exceeds, in MeV.
    """
    above = lit(showers, threshold)
    return 1 - above.double() / showers.calorimeter.layer_of_cell.bincount().to(above.device)


def max_energy(showers: AnyShowers) -> Float[Tensor, " showers"]:
    r"""Energy of the brightest cell, :math:`E_\mathrm{max}`, in MeV, with shape (N)."""
    if isinstance(showers, Hits):
        return largest_hit(showers).double()
    return showers.deposits.amax(dim=1).double()


def max_fraction(showers: AnyShowers) -> Float[Tensor, " showers"]:
    r"""Energy of the brightest cell over incident energy, :math:`E_\mathrm{max} / E`, with shape
    (N).
    """
    return max_energy(showers) / showers.energies.double()


def brightest_fractions(showers: AnyShowers) -> Float[Tensor, "showers numbers"]:
    r"""Share of :math:`E_\mathrm{sum}` in the brightest 1, 2, 5, 10, 20, 50 cells, as far as there
    are as many, in [0, 1].
    """
    numbers = torch.tensor(_numbers(showers.calorimeter), device=showers.energies.device)
    k = int(numbers[-1])
    best = (
        brightest_hits(showers, k) if isinstance(showers, Hits) else _brightest(showers.deposits, k)
    )
    brightest = best.double().cumsum(dim=1)
    return brightest[:, numbers - 1] / (total_energy(showers)[:, None] + EMPTY)


def cell_energies(showers: AnyShowers) -> Float[Tensor, "showers cells"]:
    """Energy of every cell, zeros included, in MeV, with shape (N, cells)."""
    return showers.deposits


def cell_spectrum(showers: AnyShowers, threshold: float = 0.0) -> Float[Tensor, " entries"]:
    """Energies of all cells above the threshold, of all showers in one list, in MeV.

    Arguments:
        showers: The showers.
        threshold: The energy that an entry exceeds, in MeV.
    """
    deposits = (
        showers.merged().hit_energies
        if isinstance(showers, Hits) and threshold >= 0
        else cell_energies(showers)
    )
    return deposits[deposits > threshold]


def _numbers(calorimeter: Calorimeter) -> list[int]:
    return [n for n in _BRIGHTEST if n <= calorimeter.n_cells]


def _brightest(deposits: Float[Tensor, "showers cells"], k: int) -> Float[Tensor, "showers k"]:
    """The k largest deposits, in falling order: they lie in the k columns of largest maximum, to
    which the search is confined.
    """
    n, n_cells = deposits.shape
    rows = max(n for n in range(1, math.isqrt(n_cells // k) + 1) if n_cells % n == 0)
    columns = deposits.reshape(n, rows, n_cells // rows)
    best = columns.amax(dim=1, keepdim=True).topk(k, dim=2, sorted=False).indices
    return columns.gather(2, best.expand(-1, rows, -1)).reshape(n, rows * k).topk(k, dim=1).values


def _brightest_labels(calorimeter: Calorimeter) -> tuple[str, ...]:
    return tuple(f"{n} cell{'s' if n > 1 else ''}" for n in _numbers(calorimeter))


SPECTRUM = Observable(
    "cell_energy", "Cell energies", r"E_\mathrm{cell}", "MeV", cell_energies, Entry.CELL
)
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
OCCUPANCY = Observable(
    "occupancy", "Share of cells above 1 MeV", r"N_\mathrm{hit}/N_\mathrm{cells}", "", occupancy
)
SPARSITY = Observable(
    name="sparsity",
    title="Share of a layer's cells up to 1 MeV",
    symbol=r"\lambda_l",
    unit="",
    function=sparsity,
    entry=Entry.SERIES,
    labels=layer_labels,
)
MAX_ENERGY = Observable("max_energy", "Brightest cell", r"E_\mathrm{max}", "MeV", max_energy)
MAX_FRACTION = Observable(
    "max_fraction", "Brightest cell's share", r"E_\mathrm{max}/E", "", max_fraction
)
BRIGHTEST = Observable(
    name="brightest_fractions",
    title="Share of the brightest cells",
    symbol=r"E_\mathrm{brightest}/E_\mathrm{sum}",
    unit="",
    function=brightest_fractions,
    entry=Entry.SERIES,
    labels=_brightest_labels,
)
