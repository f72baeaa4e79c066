r"""Binning samples for figures.

All observables are drawn as the mean content that a shower puts into a bin: the share of showers (one value a shower), the number
of cells (one value a cell), or the energy (profiles). With :math:`c_{ib}` the content of bin b in shower i, a bin shows the mean
over the N showers and its standard error, :math:`\sqrt{\mathrm{Var}_i(c_{ib}) / N}`, which knows that the cells of one shower
belong together.
"""

__all__ = ["Binned", "binned"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hist
import numpy as np
from jaxtyping import Float, Integer, Real

from caloforge.calorimeter import Calorimeter
from caloforge.metrics.measures import decode
from caloforge.observables import Entry, Observable, Scale
from caloforge.showers import spans

_SHOWERS_AT_ONCE = 5000
_TAIL = 0.002
_MOST_BINS = 60
_FEWEST_BINS = 15

Values = Real[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Binned:
    """A sample in bins.

    Arguments:
        histogram: The mean content and the square of its standard error in each bin.
        outside: The share of the showers that lies beyond the axis.
    """

    histogram: hist.Hist[Any]
    outside: float

    @property
    def edges(self) -> Float[np.ndarray, " edges"]:
        """The edges of the bins."""
        return np.asarray(self.histogram.axes[0].edges)

    @property
    def mean(self) -> Float[np.ndarray, " bins"]:
        """The mean content of each bin."""
        return np.asarray(self.histogram.values())

    @property
    def error(self) -> Float[np.ndarray, " bins"]:
        """The standard error of the mean content of each bin."""
        return np.asarray(self.histogram.variances()) ** 0.5


def binned(observable: Observable, calorimeter: Calorimeter, samples: Sequence[Values]) -> list[Binned]:
    """Samples of one observable in common bins.

    Arguments:
        observable: The observable.
        calorimeter: The calorimeter of all samples.
        samples: The values of each sample, as in `caloforge.report.records.Sample`.
    """
    edges = _EDGES[observable.entry](observable, calorimeter, samples)
    return [_filled(observable, edges, values) for values in samples]


def _filled(observable: Observable, edges: Float[np.ndarray, " edges"], values: Values) -> Binned:
    contents = _contents(observable, edges, values)
    histogram = hist.Hist(hist.axis.Variable(edges), storage=hist.storage.Weight())
    histogram.view().value = contents.mean(axis=0)
    histogram.view().variance = contents.var(axis=0) / len(contents)
    outside = 1 - float(contents.sum()) / len(contents) if observable.entry is Entry.SHOWER else 0.0
    return Binned(histogram, outside)


def _contents(observable: Observable, edges: Float[np.ndarray, " edges"], values: Values) -> Float[np.ndarray, "showers bins"]:
    if observable.entry is Entry.POSITION:
        return values.astype(np.float64)
    if observable.entry is Entry.CELL:
        bins = _bins(edges, decode(np.arange(int(values.max()) + 1)))
        return np.concatenate([_counts(bins[values[rows]], len(edges) - 1) for rows in spans(len(values), _SHOWERS_AT_ONCE)])
    return _counts(_bins(edges, values)[:, None], len(edges) - 1)


def _bins(edges: Float[np.ndarray, " edges"], values: Real[np.ndarray, " n"]) -> Integer[np.ndarray, " n"]:
    """The bin of each value; what lies beyond the edges gets the number of bins."""
    bins = np.searchsorted(edges, values, side="right") - 1
    return np.where(bins < 0, len(edges) - 1, bins)


def _counts(bins: Integer[np.ndarray, "showers entries"], n: int) -> Float[np.ndarray, "showers n"]:
    flat = (np.arange(len(bins))[:, None] * (n + 1) + bins).ravel()
    return np.bincount(flat, minlength=len(bins) * (n + 1)).reshape(len(bins), n + 1)[:, :n].astype(np.float64)


def _shower_edges(observable: Observable, calorimeter: Calorimeter, samples: Sequence[Values]) -> Float[np.ndarray, " edges"]:
    del calorimeter
    low = min(float(np.quantile(values, _TAIL)) for values in samples)
    high = max(float(np.quantile(values, 1 - _TAIL)) for values in samples)
    if all(np.issubdtype(values.dtype, np.integer) for values in samples):
        width = math.ceil((high - low + 1) / _MOST_BINS)
        return np.arange(math.floor(low) - 0.5, math.ceil(high) + 0.5 + width, width)
    if observable.scale is Scale.LOG:
        return np.geomspace(max(low, observable.threshold, 1e-9), max(high, 1e-8) * 1.001, _MOST_BINS + 1)
    n = int(np.clip(math.sqrt(min(map(len, samples))), _FEWEST_BINS, _MOST_BINS))
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    return np.linspace(low - margin, high + margin, n + 1)


def _cell_edges(observable: Observable, calorimeter: Calorimeter, samples: Sequence[Values]) -> Float[np.ndarray, " edges"]:
    del calorimeter
    highest = max(int(codes.max()) for codes in samples)
    top = max(1.001 * float(decode(np.array([highest]))[0]), 2 * observable.threshold, 1e-3)
    if observable.scale is Scale.LOG:
        return np.geomspace(max(observable.threshold, 1e-6), top, _MOST_BINS + 1)
    return np.linspace(0.0, top, _MOST_BINS + 1)


def _position_edges(observable: Observable, calorimeter: Calorimeter, samples: Sequence[Values]) -> Float[np.ndarray, " edges"]:
    if observable.positions is None:
        return np.arange(samples[0].shape[1] + 1) - 0.5
    centres = observable.positions(calorimeter).double().numpy()
    half = float(np.diff(centres).mean()) / 2 if len(centres) > 1 else 0.5
    return np.concatenate([[centres[0] - half], (centres[1:] + centres[:-1]) / 2, [centres[-1] + half]])


_EDGES = {Entry.SHOWER: _shower_edges, Entry.CELL: _cell_edges, Entry.POSITION: _position_edges}
