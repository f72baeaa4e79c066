r"""Samples as measures on a line: what every distance is taken between.

A sample of N showers puts weight on a common, increasing list of positions :math:`x_p` of the observable's line: entry k of
shower i lies at position :math:`x_{p(i,k)}` with weight :math:`w_{ik} \ge 0`. Counting shower i :math:`n_i` times gives the
normalised mass

.. math:: m_p = \frac{\sum_{ik} n_i w_{ik} [p(i,k) = p]}{\sum_{ik} n_i w_{ik}} .

The showers stay whole: resampling showers is a change of the counts :math:`n_i`, and nothing needs sorting again.

- One value a shower: the positions are the distinct values of all samples, exact.
- One value a cell: energies are kept in 16 bits (`encode`), so that a sample takes two bytes a cell and its mass is one pass of
  counting. Sign and range of exponents aside this is a float with 10 bits of mantissa: from :math:`2^{-20}` MeV (1 eV) up, each
  energy is rounded to the nearest of 1024 steps an octave, a relative change of at most :math:`2^{-11}` (0.05 %); less than
  1 eV counts as 0. A distance moves by at most 0.05 % of the two mean energies, or by :math:`4 \times 10^{-4}` decades, and by
  much less where both samples are smooth, since both are rounded alike.
- An energy at each position: the positions are given and the energies are the weights, of both samples.
"""

__all__ = ["Measure", "common_measures", "decode", "encode"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer, Real, UInt16
from torch import Tensor

from caloforge.calorimeter import Calorimeter
from caloforge.errors import ShowerValueError
from caloforge.observables import Entry, Observable, Scale
from caloforge.showers import spans

_DROPPED_BITS = 13
_FIRST_CODE = (127 - 20) << 10
_LAST_CODE = 65535
_ENTRIES_AT_ONCE = 1_000_000

Samples = Sequence[Real[np.ndarray, "..."]]


def encode(energies: Float[Tensor, "showers cells"]) -> UInt16[np.ndarray, "showers cells"]:
    """Energies in 16 bits, increasing with the energy.

    Arguments:
        energies: Energies, in MeV, at least 0, with shape (N, cells).

    Returns:
        The codes, with shape (N, cells); 0 for less than 1 eV, 65535 for 1.7e13 MeV and more.
    """
    bits = energies.detach().cpu().float().contiguous().view(torch.int32)
    rounded = (bits + (1 << (_DROPPED_BITS - 1))) >> _DROPPED_BITS
    return (rounded - _FIRST_CODE + 1).clamp(0, _LAST_CODE).numpy().astype(np.uint16)


def decode(codes: Integer[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The energies, in MeV, that `encode` rounded to."""
    bits = (codes.astype(np.int32) - 1 + _FIRST_CODE) << _DROPPED_BITS
    return np.where(codes > 0, bits.view(np.float32), 0.0).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Measure:
    """A sample of N showers on a line.

    Arguments:
        positions: The positions, increasing, with shape (P).
        index: The number of the position of each entry, counted from ``start``, with shape (N, entries); entries before the first
            position or after the last are not counted.
        weights: The weight of each entry, at least 0, with shape (N, entries); None for 1 each.
        start: The index of the first position.
    """

    positions: Float[np.ndarray, " positions"]
    index: Integer[np.ndarray, "showers entries"]
    weights: Real[np.ndarray, "showers entries"] | None = None
    start: int = 0

    def __len__(self) -> int:
        return len(self.index)

    def mass(self, counts: Real[np.ndarray, " showers"] | None = None) -> Float[np.ndarray, " positions"]:
        """The normalised mass at each position.

        Arguments:
            counts: How often each shower is counted, at least 0, with shape (N); None for once.

        Raises:
            ShowerValueError: No weight is left.
        """
        stop = self.start + len(self.positions)
        total = np.zeros(stop, dtype=np.float64)
        for part in spans(len(self), max(1, _ENTRIES_AT_ONCE // self.index.shape[1])):
            total += self._part(part, counts, stop)
        mass = total[self.start :]
        if not mass.sum() > 0:
            msg = f"none of {len(self)} showers has an entry on the line of the observable: no distance can be taken"
            raise ShowerValueError(msg)
        return mass / float(mass.sum())

    def _part(self, part: slice, counts: Real[np.ndarray, " showers"] | None, stop: int) -> Float[np.ndarray, " stop"]:
        index = self.index[part]
        weights = np.ones(index.shape) if self.weights is None else self.weights[part]
        weights = weights if counts is None else counts[part, None] * weights
        return np.bincount(index.ravel(), weights=weights.ravel(), minlength=stop)[:stop]


def common_measures(observable: Observable, calorimeter: Calorimeter, samples: Samples) -> tuple[Measure, ...]:
    """Samples of one observable as measures on common positions.

    Arguments:
        observable: The observable.
        calorimeter: The calorimeter of all samples.
        samples: The values of each sample: one a shower with shape (N), codes of `encode` with shape (N, cells), or energies with
            shape (N, positions).

    Returns:
        One measure a sample.

    Raises:
        ShowerValueError: On a logarithmic scale, no value exceeds the threshold.
    """
    return _LINES[observable.entry](observable, calorimeter, samples)


def _of_showers(observable: Observable, calorimeter: Calorimeter, samples: Samples) -> tuple[Measure, ...]:
    values, index = np.unique(np.concatenate(samples), return_inverse=True)
    parts = np.split(index, np.cumsum([len(s) for s in samples])[:-1])
    positions, start = _line(observable, values.astype(np.float64))
    return tuple(Measure(positions, part[:, None], start=start) for part in parts)


def _of_cells(observable: Observable, calorimeter: Calorimeter, samples: Samples) -> tuple[Measure, ...]:
    highest = max(int(codes.max()) for codes in samples)
    positions, start = _line(observable, decode(np.arange(highest + 1)))
    return tuple(Measure(positions, codes, start=start) for codes in samples)


def _of_positions(observable: Observable, calorimeter: Calorimeter, samples: Samples) -> tuple[Measure, ...]:
    if observable.positions is None:
        msg = f"observable '{observable.name}' is a profile without positions: give it a function from calorimeter to positions"
        raise ShowerValueError(msg)
    positions, start = _line(observable, observable.positions(calorimeter).double().numpy())
    columns = np.arange(start + len(positions))
    return tuple(Measure(positions, np.broadcast_to(columns, energies.shape), energies, start) for energies in samples)


_LINES: dict[Entry, Callable[[Observable, Calorimeter, Samples], tuple[Measure, ...]]] = {
    Entry.SHOWER: _of_showers,
    Entry.CELL: _of_cells,
    Entry.POSITION: _of_positions,
}


def _line(observable: Observable, values: Float[np.ndarray, " values"]) -> tuple[Float[np.ndarray, " positions"], int]:
    """The positions of increasing values on the observable's line, and how many values lie before the first."""
    if observable.scale is Scale.LINEAR:
        return values, 0
    start = int(np.searchsorted(values, observable.threshold, side="right"))
    if start == len(values):
        msg = f"{observable.title}: no value exceeds {observable.threshold:g} {observable.unit}, no distance can be taken"
        raise ShowerValueError(msg)
    return np.log10(values[start:]), start
