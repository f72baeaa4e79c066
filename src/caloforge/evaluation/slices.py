"""Two samples in slices of incident energy: does the quality of a candidate depend on the energy,
and does it interpolate over energies that its training left out?
"""

__all__ = ["LEAST_IN_SLICE", "Cut", "cut", "cuts", "energy_cuts", "require_left_out", "slices"]

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from caloforge.errors import ShowerValueError
from caloforge.evaluation.findings import Slice
from caloforge.evaluation.pair import Pair
from caloforge.metrics.bins import equal_bins
from caloforge.metrics.distances import Comparison, compare_points
from caloforge.metrics.resampling import effective_size
from caloforge.units import format_energy

LEAST_IN_SLICE = 100
"""The fewest showers of a sample in a slice of incident energy, of weight 1 or worth as much."""

_WANTED_IN_SLICE = 400
_MOST_FIXED = 8
"""A condition with at most so many values has a slice for each."""

Energies = Float[np.ndarray, " _"]
Inside = tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " m"]]
Span = tuple[float, float, bool]
"""The ends of a slice, and whether it holds the upper one."""


@dataclass(frozen=True, eq=False)
class Cut:
    """The showers of both samples in a slice, compared.

    Arguments:
        low: The least value of what is cut.
        high: The largest.
        inside: Which showers of the full simulation, and which of the candidate, are inside.
        found: For each whole-shower observable's name the comparison.
    """

    low: float
    high: float
    inside: Inside
    found: Mapping[str, Comparison]


def slices(pair: Pair, of_energy: Iterable[Cut]) -> tuple[Slice, ...]:
    """What was found in slices of incident energy."""
    return tuple(_slice(pair, cut) for cut in of_energy)


def energy_cuts(pair: Pair) -> tuple[Cut, ...]:
    """The slices of incident energy."""
    full = pair.full.sample.energies
    candidate = full if pair.shares_energies else pair.candidate.sample.energies
    return tuple(cuts(pair, full, candidate, pair.plan.settings.left_out))


def cuts(
    pair: Pair, full: Energies, candidate: Energies, left_out: tuple[float, float] | None = None
) -> Iterator[Cut]:
    """Slices of a number that each shower has, with enough showers of both samples in each.

    Arguments:
        pair: The samples.
        full: The numbers of the full simulation, with shape (N).
        candidate: Those of the candidate, with shape (M).
        left_out: A slice that is wanted in any case.
    """
    for low, high, last in _spans(full, pair.plan.settings.slices, left_out):
        inside = (_between(full, low, high, last), _between(candidate, low, high, last))
        yield from cut(pair, low, high, inside)


def cut(pair: Pair, low: float, high: float, inside: Inside) -> Iterator[Cut]:
    """The one slice of these showers; none where they are few."""
    if min(_sizes(pair, inside)) >= LEAST_IN_SLICE:
        yield Cut(low, high, inside, _compared(pair, inside))


def _compared(pair: Pair, inside: Inside) -> dict[str, Comparison]:
    """The whole-shower observables among some showers."""
    drawn, found = pair.part(*inside), {}
    for observable in pair.plan.of_showers:
        f, g = (values[i] for values, i in zip(pair.values(observable), inside, strict=True))
        found[observable.name] = compare_points(f, g, drawn, equal_bins(f)).comparison
    return found


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


def _slice(pair: Pair, cut: Cut) -> Slice:
    low, high, left_out = cut.low, cut.high, pair.plan.settings.left_out
    return Slice(
        low,
        high,
        left_out is not None and left_out[0] <= low and high <= left_out[1],
        int(cut.inside[0].sum()),
        int(cut.inside[1].sum()),
        {name: one.standardised for name, one in cut.found.items()},
    )


def _spans(energies: Energies, most: int, left_out: tuple[float, float] | None) -> list[Span]:
    """Slices with equally many showers, or one at each of a few fixed values."""
    fixed = np.unique(energies)
    if left_out is None and 1 < len(fixed) <= _MOST_FIXED:
        return [(float(value), float(value), True) for value in fixed]
    edges = _edges(energies, most, left_out)
    return [(float(low), float(high), bool(high == edges[-1])) for low, high in pairwise(edges)]


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
