r"""Binning samples for figures.

All observables are drawn as the mean content that a shower puts into a bin: the share of showers
(one value a shower), the number of cells (one value a cell), or the energy (profiles). With
:math:`c_{ib}` the content of bin b in shower i of weight :math:`w_i`, a bin shows the mean over the
showers and its standard error,

.. math:: \bar c_b = \frac{\sum_i w_i c_{ib}}{\sum_i w_i}, \quad
          \sigma_b = \frac{\sqrt{\sum_i w_i^2 (c_{ib} - \bar c_b)^2}}{\sum_i w_i} ,

which knows that the cells of one shower belong together. Cells are counted while showers are read,
in the sample and in its bootstrap replicas: there the error is the spread of the replicas.
Observables with one value at each of several labels are shown by their means (`means`), or at one
label as a histogram of showers.
"""

__all__ = ["Binned", "Means", "binned", "means"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hist
import numpy as np
from jaxtyping import Float, Integer, Real

from caloforge.evaluation.findings import Sample
from caloforge.observables import Entry, Observable, Scale
from caloforge.observables.histogram import position_edges

_TAIL = 0.002
_MOST_BINS = 60
_FEWEST_BINS = 15

Weights = Float[np.ndarray, " showers"]
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


@dataclass(frozen=True, eq=False)
class Means:
    """Weighted means over the showers of a sample, with their standard errors."""

    mean: Float[np.ndarray, " labels"]
    error: Float[np.ndarray, " labels"]


def means(values: Real[np.ndarray, "showers labels"], weights: Weights) -> Means:
    """The mean of each column over the showers.

    Arguments:
        values: One value of each shower at each label, with shape (N, labels).
        weights: The weights of the showers, with shape (N).
    """
    mean = weights @ values / weights.sum()
    return Means(mean, np.sqrt(np.square(weights) @ np.square(values - mean)) / weights.sum())


def binned(
    observable: Observable, samples: Sequence[Sample], column: int | None = None
) -> list[Binned]:
    """Samples of one observable in common bins.

    Arguments:
        observable: The observable.
        samples: The samples, of one calorimeter.
        column: Which label of an observable with several; None for other observables.
    """
    if observable.entry is Entry.CELL:
        edges = _cell_edges(observable, samples)
        return [_of_cells(edges, sample) for sample in samples]
    if observable.entry is Entry.POSITION:
        edges = position_edges(observable, samples[0].calorimeter)
        return [
            _of_profile(edges, sample.values[observable.name], sample.weights) for sample in samples
        ]
    values = [
        s.values[observable.name] if column is None else s.values[observable.name][:, column]
        for s in samples
    ]
    edges = _shower_edges(observable, values)
    return [_of_showers(edges, v, s.weights) for v, s in zip(values, samples, strict=True)]


def _made(
    edges: Float[np.ndarray, " edges"], mean: Values, error: Values, outside: float = 0.0
) -> Binned:
    histogram = hist.Hist(hist.axis.Variable(edges), storage=hist.storage.Weight())
    histogram.view().value = mean
    histogram.view().variance = error**2
    return Binned(histogram, outside)


def _of_showers(edges: Float[np.ndarray, " edges"], values: Values, weights: Weights) -> Binned:
    bins, n, total = _bins(edges, values), len(edges) - 1, weights.sum()
    mean = np.bincount(bins, weights, n + 1)[:n] / total
    inside = np.bincount(bins, weights**2, n + 1)[:n]
    error = (
        np.sqrt(inside * (1 - mean) ** 2 + (np.square(weights).sum() - inside) * mean**2) / total
    )
    return _made(edges, mean, error, outside=max(0.0, 1 - float(mean.sum())))


def _of_profile(edges: Float[np.ndarray, " edges"], values: Values, weights: Weights) -> Binned:
    summed = means(values.astype(np.float64), weights)
    return _made(edges, summed.mean, summed.error)


def _of_cells(edges: Float[np.ndarray, " edges"], sample: Sample) -> Binned:
    """Cells a shower: as every cell of a shower is counted with its weight, all masses together are
    n_cells times the weights.
    """
    masses, n_cells = sample.cells, sample.calorimeter.n_cells
    n, n_codes = len(edges) - 1, 1 + int(np.flatnonzero(masses.any(axis=0))[-1])
    bins = _bins(edges, sample.cell_energies[:n_codes])
    held = np.stack([np.bincount(bins, row[:n_codes], n + 1)[:n] for row in masses])
    mean, *replicas = held * n_cells / masses.sum(axis=1, keepdims=True)
    return _made(edges, mean, np.std(replicas, axis=0, ddof=1))


def _bins(
    edges: Float[np.ndarray, " edges"], values: Real[np.ndarray, " n"]
) -> Integer[np.ndarray, " n"]:
    """The bin of each value; what lies beyond the edges gets the number of bins."""
    bins = np.searchsorted(edges, values, side="right") - 1
    return np.where(bins < 0, len(edges) - 1, bins)


def _shower_edges(observable: Observable, samples: Sequence[Values]) -> Float[np.ndarray, " edges"]:
    low = min(float(np.quantile(values, _TAIL)) for values in samples)
    high = max(float(np.quantile(values, 1 - _TAIL)) for values in samples)
    if all(np.issubdtype(values.dtype, np.integer) for values in samples):
        width = math.ceil((high - low + 1) / _MOST_BINS)
        return np.arange(math.floor(low) - 0.5, math.ceil(high) + 0.5 + width, width)
    if observable.scale is Scale.LOG:
        return np.geomspace(
            max(low, observable.threshold, 1e-9), max(high, 1e-8) * 1.001, _MOST_BINS + 1
        )
    n = int(np.clip(math.sqrt(min(map(len, samples))), _FEWEST_BINS, _MOST_BINS))
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    start = 0.0 if 0 <= low < margin < high else low - margin
    return np.linspace(start, high + margin, n + 1)


def _cell_edges(observable: Observable, samples: Sequence[Sample]) -> Float[np.ndarray, " edges"]:
    highest = max(float(s.cell_energies[np.flatnonzero(s.cells[0])[-1]]) for s in samples)
    top = max(1.001 * highest, 2 * observable.threshold, 1e-3)
    if observable.scale is Scale.LOG:
        return np.geomspace(max(observable.threshold, 1e-6), top, _MOST_BINS + 1)
    return np.linspace(0.0, top, _MOST_BINS + 1)
