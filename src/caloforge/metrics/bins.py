"""Bins for histograms: where they lie is decided on the full simulation alone, by a *rule* from its
values to bins.
"""

__all__ = ["Bins", "Rule", "each_position", "equal_bins", "up_to_largest"]

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Real

BINS = 50
"""The number of bins where nothing else is asked for."""

_TAIL = 0.001


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins on a line; each holds its lower edge, the last one its upper edge too.

    Arguments:
        edges: The edges, increasing, with shape (bins + 1).
        flow: Whether values beyond the edges are counted in two more bins; else they are left out.
    """

    edges: Float[np.ndarray, " edges"]
    flow: bool = True

    def __len__(self) -> int:
        return len(self.edges) - 1 + 2 * self.flow

    def index(self, values: Real[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The number of the bin of each value; that of a value in no bin is the number of bins."""
        inner = np.searchsorted(self.edges, values, side="right") - 1
        inner = np.where(values == self.edges[-1], len(self.edges) - 2, inner)
        if self.flow:
            return inner + 1
        return np.where((inner < 0) | (inner > len(self.edges) - 2), len(self), inner)


Rule = Callable[[Real[np.ndarray, " n"]], Bins]


def equal_bins(values: Real[np.ndarray, " n"]) -> Bins:
    """50 bins of equal width that hold 99.8 % of the values, or one a whole number where that is
    fewer; and two beyond them.
    """
    low, high = map(float, np.quantile(values, [_TAIL, 1 - _TAIL]))
    if np.issubdtype(values.dtype, np.integer):
        width = -(-int(high - low + 1) // BINS)
        return Bins(np.arange(np.floor(low) - 0.5, np.ceil(high) + 0.5 + width, width))
    half = 0.5 * abs(low) or 0.5
    low, high = (low, high) if high > low else (low - half, low + half)
    return Bins(np.linspace(low, high, BINS + 1))


def up_to_largest(
    low: float, values: Real[np.ndarray, " n"], edges: int
) -> Float[np.ndarray, " edges"]:
    """Edges of equal ratio from a positive low one to the largest value, which the last bin holds
    whatever the rounding.
    """
    high = max(float(values.max()), np.nextafter(low, np.inf))
    made = np.logspace(np.log10(low), np.log10(high), edges)
    return np.append(made[:-1], max(made[-1], high)).astype(np.float64)


def each_position(positions: Real[np.ndarray, " n"]) -> Bins:
    """One bin around each of several increasing positions."""
    middles = (positions[1:] + positions[:-1]) / 2
    return Bins(np.concatenate([[-np.inf], middles, [np.inf]]).astype(np.float64), flow=False)
