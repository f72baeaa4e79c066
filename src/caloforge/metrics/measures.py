r"""Samples as masses on a line: what distances between distributions are taken of.

Of positions :math:`x_p` that two samples have in common, shower i puts :math:`c_{ip} \ge 0` on
position p. For T sets of weights at once :math:`m_{tp} = \sum_i w_{ti} c_{ip}`: the cells of one
shower stay together in every resampling.

- One value a shower puts 1 on its value. More than `MOST_POSITIONS` distinct values are lumped with
  neighbours in rank, at random ends: the integral of F - G stays unbiased.
- One value a cell is counted in 16 bits (`encode`), a float of 10 bits of mantissa: from 1 eV up
  1024 steps an octave, a relative change of at most 0.05 %; less than 1 eV counts as 0.
- An energy at each position: the energies are the masses.
"""

__all__ = [
    "CODES",
    "MOST_POSITIONS",
    "CellCounts",
    "Line",
    "Ranked",
    "decode",
    "encode",
    "histograms",
    "of_cells",
    "of_profiles",
    "ranked",
]

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Integer, Real, UInt16
from scipy import sparse
from torch import Tensor

from caloforge.hits import Hits
from caloforge.metrics.bins import Bins

CODES = 65536
"""The number of codes."""

MOST_POSITIONS = 1024
"""The most positions of a line of values, one a shower."""

_DROPPED_BITS = 13
_FIRST_CODE = (127 - 20) << 10

Rows = Float[np.ndarray, "_ _"]
Weights = Float[np.ndarray, " _"]
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
        full: The masses of the full simulation, for each row of `Resampling.full_rows`, with shape
            (1 + R + 2 C, P).
        candidate: The masses of the candidate, for each row of `Resampling.candidate_rows`, with
            shape (1 + R, P).
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
        bins: The bins in which to count, one after the other from 1 on, with all that lies in none
            in 0; None for the codes.
    """

    def __init__(self, rows: Rows, bins: Bins | None = None) -> None:
        self._rows, self._bins = rows, bins
        self._seen = 0
        self.masses = np.zeros((len(rows), CODES if bins is None else len(bins) + 1))

    def add(self, cells: Float[Tensor, "showers cells"] | Hits) -> None:
        """Count the cells of the next showers, given by their deposits or their hits."""
        if isinstance(cells, Hits):
            self._add_hits(cells.merged())
        else:
            codes = self._codes(cells)
            lit = codes > 0
            self._add(codes[lit], lit.sum(axis=1), codes.shape[1])

    def _add_hits(self, hits: Hits) -> None:
        codes = self._codes(hits.hit_energies)
        lit = codes > 0
        before = np.concatenate([[0], lit.cumsum()])[hits.offsets.cpu().numpy()]
        self._add(codes[lit], np.diff(before), hits.calorimeter.n_cells)

    def _codes(self, energies: Float[Tensor, "*shape"]) -> Integer[np.ndarray, "*shape"]:
        return encode(energies) if self._bins is None else _numbered(self._bins, energies)

    def _add(
        self,
        codes: Integer[np.ndarray, " lit"],
        number: Integer[np.ndarray, " showers"],
        n_cells: int,
    ) -> None:
        """Count the codes above 0, so many of each shower; all other cells have the code 0."""
        weights = self._rows[:, self._seen : self._seen + len(number)]
        starts = np.concatenate([[0], number.cumsum()])
        counts = sparse.csr_matrix(
            (np.ones(starts[-1]), codes, starts), (len(number), self.masses.shape[1])
        )
        self.masses += (counts.T @ weights.T).T
        self.masses[:, 0] += weights @ (n_cells - number)
        self._seen += len(number)


def _numbered(bins: Bins, deposits: Float[Tensor, "*shape"]) -> Integer[np.ndarray, "*shape"]:
    """The number of each cell's bin, from 1 on; 0 for no bin."""
    energies = deposits.detach().cpu().double().numpy()
    numbers = np.zeros(energies.shape, dtype=np.int32)
    lit = energies > 0
    numbers[lit] = (bins.index(energies[lit]) + 1) % (len(bins) + 1)
    return numbers


@dataclass(frozen=True, eq=False)
class Ranked:
    """The values of two samples, one a shower, by rank among the distinct values of both.

    Arguments:
        values: The distinct values, increasing, with shape (V).
        full: The rank of each shower of the full simulation, with shape (N).
        candidate: That of each shower of the candidate, with shape (M).
    """

    values: Float[np.ndarray, " values"]
    full: Int[np.ndarray, " n"]
    candidate: Int[np.ndarray, " m"]

    def difference(self, full: Weights, candidate: Weights) -> Float[np.ndarray, " values"]:
        """F - G, the difference of the distribution functions at each value, for the weights of the
        showers, exact.
        """
        shares = ((self.full, full / full.sum()), (self.candidate, candidate / candidate.sum()))
        f, g = (np.bincount(ranks, weights, len(self.values)) for ranks, weights in shares)
        return np.cumsum(f - g)

    def lumped(self) -> "Ranked":
        """The same with neighbours in rank lumped until there are at most `MOST_POSITIONS` values,
        the largest of each lump.
        """
        ends = _ends(len(self.values))
        lump = np.searchsorted(ends, np.arange(len(self.values)))
        return Ranked(self.values[ends], lump[self.full], lump[self.candidate])


def ranked(full: Real[np.ndarray, " _"], candidate: Real[np.ndarray, " _"]) -> Ranked:
    """The values of two samples by rank."""
    values, index = np.unique(np.concatenate([full, candidate]), return_inverse=True)
    ranks = np.split(index, [len(full)])
    return Ranked(values.astype(np.float64), ranks[0], ranks[1])


def _ends(n: int) -> Int[np.ndarray, " lumps"]:
    """The last of each lump of neighbours in rank; at random, lest the lumps keep step with pairs
    of showers of like energy.
    """
    lump = -(-n // MOST_POSITIONS)
    starts = np.arange(0, n, lump)
    within = np.random.default_rng(n).integers(lump, size=len(starts))
    return np.append(np.minimum(starts + within, n - 1)[:-1], n - 1)


def histograms(rows: Rows, *binnings: tuple[Integer[np.ndarray, " _"], int]) -> list[Masses]:
    """The weight in each bin of several binnings of the same showers, for each row of weights.

    Arguments:
        rows: The weights of the showers, with shape (T, N).
        binnings: The bin of each shower, at least 0, with shape (N), and the number n of bins; a
            shower whose bin is n or more is left out.

    Returns:
        For each binning the contents, with shape (T, n).
    """
    starts = np.concatenate([[0], np.cumsum([n for _, n in binnings])])
    inside = np.stack([bins < n for bins, n in binnings], axis=1)
    columns = np.stack(
        [bins + start for (bins, _), start in zip(binnings, starts[:-1], strict=True)], axis=1
    )
    ends = np.concatenate([[0], inside.sum(axis=1).cumsum()])
    chosen = sparse.csr_matrix(
        (np.ones(ends[-1]), columns[inside], ends), (len(inside), starts[-1])
    )
    contents = chosen.T @ rows.T
    return [np.ascontiguousarray(part.T) for part in np.split(contents, starts[1:-1])]


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
    return Line(
        positions,
        full_rows @ full.astype(np.float64),
        candidate_rows @ candidate.astype(np.float64),
    )
