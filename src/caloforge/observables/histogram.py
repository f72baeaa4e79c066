r"""Any observable as a histogram of the package hist, which plots, adds, scales and stores it.

A bin holds :math:`\sum_i w_i` and its variance :math:`\sum_i w_i^2` over the entries: showers,
cells, showers at each label of a series; for a profile over the energies at each position.
"""

__all__ = ["histogram", "position_edges"]

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from caloforge.geometry import Calorimeter
from caloforge.hits import batches_of
from caloforge.observables.records import Entry, Observable, Scale
from caloforge.showers import ShowerSource

if TYPE_CHECKING:
    import hist

Values = Float[np.ndarray, "..."]

_ROWS = 1000
_BINS = 50
_LEAST = 1e-9
"""A logarithmic axis begins above 0."""


def histogram(
    observable: Observable, showers: ShowerSource, bins: int | Sequence[float] = _BINS
) -> "hist.Hist[Any]":
    """The distribution of an observable in a sample.

    Arguments:
        observable: The observable.
        showers: The showers, in memory or in a file.
        bins: The edges of the bins, or how many between the smallest and the largest value; a
            profile has a bin a position.

    Returns:
        The histogram, with the storage ``Weight``; that of a series has its labels as first axis.
    """
    import hist

    edges = _edges(observable, showers, bins)
    value = hist.axis.Variable(edges, name=observable.name, label=_label(observable))
    labels = observable.labels_of(showers.calorimeter)
    axes = (hist.axis.StrCategory(labels, name="at"), value) if labels else (value,)
    filled = hist.Hist(*axes, storage=hist.storage.Weight())
    positions = observable.positions_of(showers.calorimeter)
    for values, weights in _entries(observable, showers):
        if labels:
            for k, label in enumerate(labels):
                filled.fill(label, values[:, k], weight=weights)
        elif observable.entry is Entry.POSITION:
            energies = weights[:, None] * values
            filled.fill(np.broadcast_to(positions, values.shape).ravel(), weight=energies.ravel())
        else:
            each = np.broadcast_to(weights.reshape(-1, *[1] * (values.ndim - 1)), values.shape)
            counted = _counted(observable, values)
            filled.fill(values[counted], weight=each[counted])
    return filled


def position_edges(observable: Observable, calorimeter: Calorimeter) -> Float[np.ndarray, " edges"]:
    """The edges between the positions of a profile, and beyond its first and last."""
    centres = observable.positions_of(calorimeter)
    half = float(np.diff(centres).mean()) / 2 if len(centres) > 1 else 0.5
    return np.concatenate(
        [[centres[0] - half], (centres[1:] + centres[:-1]) / 2, [centres[-1] + half]]
    )


def _label(observable: Observable) -> str:
    return f"{observable.title} [{observable.unit}]" if observable.unit else observable.title


def _entries(
    observable: Observable, showers: ShowerSource
) -> Iterator[tuple[Values, Float[np.ndarray, " showers"]]]:
    """The values of some showers at a time, and their weights."""
    for batch in batches_of(showers, _ROWS):
        values = observable.function(batch).double().numpy(force=True)
        given = batch.weights
        yield values, np.ones(len(values)) if given is None else given.double().numpy(force=True)


def _counted(observable: Observable, values: Values) -> Bool[np.ndarray, "..."]:
    """Which values stand on the line of an observable."""
    least = -np.inf if observable.scale is Scale.LINEAR else observable.threshold
    counted: np.ndarray = values > least
    return counted


def _edges(
    observable: Observable, showers: ShowerSource, bins: int | Sequence[float]
) -> Float[np.ndarray, " edges"]:
    if observable.entry is Entry.POSITION:
        return position_edges(observable, showers.calorimeter)
    if not isinstance(bins, int):
        return np.asarray(bins, dtype=np.float64)
    found = [v[_counted(observable, v)] for v, _ in _entries(observable, showers)]
    ends = [end for v in found if v.size for end in (v.min(), v.max())] or [0.0, 1.0]
    low, high = min(ends), max(ends)
    high = np.nextafter(high if high > low else low + 1, np.inf)
    if observable.scale is Scale.LINEAR:
        return np.linspace(low, high, bins + 1)
    return np.geomspace(max(low, _LEAST), high, bins + 1)
