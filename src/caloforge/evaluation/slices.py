"""Two samples in slices of incident energy: does the quality of a candidate depend on the energy,
and does it interpolate over energies that its training left out?
"""

__all__ = ["LEAST_IN_SLICE", "require_left_out", "slices"]

from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from caloforge.errors import ShowerValueError
from caloforge.evaluation.findings import Slice
from caloforge.evaluation.pair import Pair
from caloforge.metrics.bins import equal_bins
from caloforge.metrics.distances import compare_points
from caloforge.metrics.resampling import Resampling, effective_size
from caloforge.metrics.scores import Score
from caloforge.observables import Observable
from caloforge.units import format_energy

LEAST_IN_SLICE = 100
"""The fewest showers of a sample in a slice of incident energy, of weight 1 or worth as much."""

_WANTED_IN_SLICE = 400

Energies = Float[np.ndarray, " _"]
Inside = tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " m"]]


def slices(pair: Pair) -> tuple[Slice, ...]:
    """The whole-shower observables in slices of incident energy that hold enough showers of both
    samples.
    """
    full = pair.full.sample.energies
    candidate = full if pair.shares_energies else pair.candidate.sample.energies
    edges = _edges(full, pair.plan.settings.slices, pair.plan.settings.left_out)
    found = []
    for low, high in pairwise(edges):
        last = bool(high == edges[-1])
        inside = (_between(full, low, high, last), _between(candidate, low, high, last))
        if min(_sizes(pair, inside)) >= LEAST_IN_SLICE:
            found.append(_slice(pair, float(low), float(high), inside))
    return tuple(found)


def require_left_out(pair: Pair, found: tuple[Slice, ...]) -> None:
    """Check that there is a slice of the energies left out, if some are.

    Raises:
        ShowerValueError: There is none; the message says how many showers each sample has in it.
    """
    left_out = pair.plan.settings.left_out
    if left_out is None or any(one.left_out for one in found):
        return
    inside = [
        _between(c.sample.energies, *left_out, last=False) for c in (pair.full, pair.candidate)
    ]
    low, high = map(format_energy, left_out)
    msg = (
        f"{pair.full.sample.name} and {pair.name} have {inside[0].sum():,} and "
        f"{inside[1].sum():,} showers from {low} to {high}, expected at least {LEAST_IN_SLICE} "
        "of each: interpolation is not tested"
    )
    raise ShowerValueError(msg)


def _sizes(pair: Pair, inside: Inside) -> list[float]:
    """The effective number of showers of each sample in a slice."""
    weights = [
        c.sample.weights[i] for c, i in zip((pair.full, pair.candidate), inside, strict=True)
    ]
    return [effective_size(w) if w.any() else 0.0 for w in weights]


def _between(energies: Energies, low: float, high: float, last: bool) -> Bool[np.ndarray, " _"]:
    """Which energies are in a slice; the last slice holds its upper edge."""
    return (energies >= low) & ((energies < high) | last)


def _slice(pair: Pair, low: float, high: float, inside: Inside) -> Slice:
    left_out = pair.plan.settings.left_out
    drawn = pair.part(*inside)
    return Slice(
        low,
        high,
        left_out is not None and left_out[0] <= low and high <= left_out[1],
        int(inside[0].sum()),
        int(inside[1].sum()),
        {o.name: _standardised(pair, o, inside, drawn) for o in pair.plan.of_showers},
    )


def _edges(energies: Energies, most: int, left_out: tuple[float, float] | None) -> Energies:
    """Slices with equally many showers; the energies left out are a slice of their own. None where
    energies do not vary.
    """
    n = min(most, len(energies) // _WANTED_IN_SLICE)
    if n < 2 and left_out is None:
        return np.empty(0) if n < 1 else np.empty(1)
    edges = np.unique(np.quantile(energies, np.linspace(0, 1, max(n, 1) + 1)))
    if left_out is None:
        return edges if len(edges) > 2 else np.empty(1)
    between = [
        ((energies >= min(edge, left_out[0])) & (energies < max(edge, left_out[1]))).sum()
        for edge in edges
    ]
    inside = ((energies >= left_out[0]) & (energies < left_out[1])).sum()
    outside = edges[
        ((edges < left_out[0]) | (edges > left_out[1]))
        & (np.array(between) - inside >= LEAST_IN_SLICE)
    ]
    return np.sort(np.concatenate([outside, left_out]))


def _standardised(pair: Pair, observable: Observable, inside: Inside, drawn: Resampling) -> Score:
    f, g = (values[i] for values, i in zip(pair.values(observable), inside, strict=True))
    return compare_points(f, g, drawn, equal_bins(f)).standardised.score
