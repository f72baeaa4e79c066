r"""Samples as masses on a line: what distances between distributions are taken of.

A *line* is an increasing list of positions :math:`x_p` that two samples have in common; a sample puts mass on each. For T sets of
weights of its showers at once (`caloforge.metrics.resampling`), with :math:`c_{ip} \ge 0` what shower i puts on position p,

.. math:: m_{tp} = \sum_i w_{ti} c_{ip} ,

so that the cells of one shower stay together in every resampling, and nothing needs sorting again.

- One value a shower: the shower puts 1 on its value. There is one position for each distinct value if there are at most
  `MOST_POSITIONS` of them; else neighbours in rank are lumped, and the positions are the ends of the lumps: the distribution
  functions are exact there.
- One value a cell: energies are counted in 16 bits (`encode`), while showers are read. Sign and range of exponents aside
  such a code is a float with 10 bits of mantissa: from :math:`2^{-20}` MeV (1 eV) up, each energy is rounded to the nearest
  of 1024 steps an octave, a relative change of at most :math:`2^{-11}` (0.05 %); less than 1 eV counts as 0. A distance moves by
  at most 0.05 % of the two mean energies, or by :math:`4 \times 10^{-4}` decades, and by much less where both samples are smooth,
  since both are rounded alike.
- An energy at each position: the positions are given and the energies are the masses, of both samples.
"""

__all__ = [
    "CODES",
    "MOST_POSITIONS",
    "CellCounts",
    "Line",
    "decode",
    "encode",
    "histogram",
    "of_cells",
    "of_points",
    "of_profiles",
]

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer, Real, UInt16
from scipy import sparse
from torch import Tensor

from caloforge.metrics.binning import Bins

CODES = 65536
"""The number of codes."""

MOST_POSITIONS = 2048
"""The most positions of a line of values, one a shower."""

_DROPPED_BITS = 13
_FIRST_CODE = (127 - 20) << 10

Rows = Float[np.ndarray, "_ _"]
Masses = Float[np.ndarray, "_ _"]


def encode(energies: Float[Tensor, "*shape"]) -> UInt16[np.ndarray, "*shape"]:
    """Energies in 16 bits, increasing with the energy.

    Arguments:
        energies: Energies, in MeV, at least 0, of any shape.

    Returns:
        The codes, of the same shape; 0 for less than 1 eV, 65535 for 1.7e13 MeV and more.
    """
    bits = energies.detach().cpu().float().contiguous().view(torch.int32)
    rounded = (bits + (1 << (_DROPPED_BITS - 1))) >> _DROPPED_BITS
    return (rounded - _FIRST_CODE + 1).clamp(0, CODES - 1).numpy().astype(np.uint16)


def decode(codes: Integer[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The energies, in MeV, that `encode` rounded to."""
    bits = (codes.astype(np.int32) - 1 + _FIRST_CODE) << _DROPPED_BITS
    return np.where(codes > 0, bits.view(np.float32), 0.0).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Line:
    """Two samples on common positions, in all resamplings.

    Arguments:
        positions: The positions, increasing, with shape (P).
        full: The masses of the full simulation, for each row of `Resampling.full_rows`, with shape (1 + R + 2 C, P).
        candidate: The masses of the candidate, for each row of `Resampling.candidate_rows`, with shape (1 + R, P).
    """

    positions: Float[np.ndarray, " positions"]
    full: Masses
    candidate: Masses

    def above(self, threshold: float) -> "Line":
        """The part of the line that lies above a position."""
        start = int(np.searchsorted(self.positions, threshold, side="right"))
        return Line(self.positions[start:], self.full[:, start:], self.candidate[:, start:])

    def in_decades(self) -> "Line":
        """The same line with the logarithm to base 10 of the positions, which must be positive."""
        return Line(np.log10(self.positions), self.full, self.candidate)

    @property
    def empty(self) -> bool:
        """Whether one of the samples, as it is, has no mass on the line."""
        return not (self.full[0].sum() > 0 and self.candidate[0].sum() > 0)


class CellCounts:
    """The energies of the cells of a sample, counted while showers are read.

    Arguments:
        rows: The weights of its showers, with shape (T, N).
        bins: The bins in which to count, one after the other from 1 on, with all that lies in none in 0; None for the codes.
    """

    def __init__(self, rows: Rows, bins: Bins | None = None) -> None:
        self._rows, self._bins = rows, bins
        self._seen = 0
        self.masses = np.zeros((len(rows), CODES if bins is None else len(bins) + 1))

    def add(self, deposits: Float[Tensor, "showers cells"]) -> None:
        """Count the next showers."""
        codes = encode(deposits) if self._bins is None else _numbered(self._bins, deposits)
        weights = self._rows[:, self._seen : self._seen + len(codes)]
        lit = codes > 0
        starts = np.concatenate([[0], lit.sum(axis=1).cumsum()])
        counts = sparse.csr_matrix((np.ones(starts[-1]), codes[lit], starts), (len(codes), self.masses.shape[1]))
        self.masses += (counts.T @ weights.T).T
        self.masses[:, 0] += weights @ (~lit).sum(axis=1)
        self._seen += len(codes)


def _numbered(bins: Bins, deposits: Float[Tensor, "showers cells"]) -> Integer[np.ndarray, "showers cells"]:
    """The number of each cell's bin, from 1 on; 0 for no bin."""
    energies = deposits.detach().cpu().double().numpy()
    numbers = np.zeros(energies.shape, dtype=np.int32)
    lit = energies > 0
    numbers[lit] = (bins.index(energies[lit]) + 1) % (len(bins) + 1)
    return numbers


def of_points(full: Real[np.ndarray, "_"], candidate: Real[np.ndarray, "_"], full_rows: Rows, candidate_rows: Rows) -> Line:
    """The line of two samples with one value a shower."""
    values, index = np.unique(np.concatenate([full, candidate]), return_inverse=True)
    lump = -(-len(values) // MOST_POSITIONS)
    ends = np.minimum(np.arange(lump - 1, len(values) - 1 + lump, lump), len(values) - 1)
    of_full, of_candidate = np.split(index // lump, [len(full)])
    return Line(
        values[ends].astype(np.float64),
        histogram(of_full, full_rows, len(ends)),
        histogram(of_candidate, candidate_rows, len(ends)),
    )


def histogram(bins: Integer[np.ndarray, " showers"], rows: Rows, n: int) -> Masses:
    """The weight in each of n bins, for each row of weights; a shower whose bin is n or more is left out.

    Arguments:
        bins: The bin of each shower, at least 0, with shape (N).
        rows: The weights of the showers, with shape (T, N).
        n: The number of bins.
    """
    inside = bins < n
    chosen = sparse.csr_matrix((inside.astype(np.float64), np.where(inside, bins, 0), np.arange(len(bins) + 1)), (len(bins), n))
    return np.ascontiguousarray((chosen.T @ rows.T).T)


def of_cells(full: Masses, candidate: Masses) -> Line:
    """The line of the energies, in MeV, of the cells of two samples, from their `CellCounts`."""
    n = int(np.flatnonzero(full[0] + candidate[0])[-1]) + 1
    return Line(decode(np.arange(n)), full[:, :n], candidate[:, :n])


def of_profiles(
    positions: Float[np.ndarray, " positions"],
    full: Real[np.ndarray, "n positions"],
    candidate: Real[np.ndarray, "m positions"],
    full_rows: Rows,
    candidate_rows: Rows,
) -> Line:
    """The line of two samples with an energy at each position."""
    return Line(positions, full_rows @ full.astype(np.float64), candidate_rows @ candidate.astype(np.float64))
