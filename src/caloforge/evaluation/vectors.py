"""Two samples as vectors of features: of each shower its high-level features, its layer energies,
or the logarithms of all its voxels.
"""

__all__ = ["features"]

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from caloforge.evaluation.findings import Features, Neighbours, Score
from caloforge.evaluation.gaps import Gaps, require_size
from caloforge.evaluation.pair import Pair
from caloforge.metrics.correlations import correlation_distance
from caloforge.metrics.frechet import TIMES, frechet_distance, trimmed
from caloforge.metrics.kernel import kernel_distance
from caloforge.metrics.neighbours import log_voxels, neighbours
from caloforge.metrics.resampling import resampling

_Found = TypeVar("_Found")
_LAYERS = "layer_energies"


def features(pair: Pair, gaps: Gaps) -> Features | None:
    """The metrics on vectors of features; None where they are not asked for, or a sample has too
    few showers for any.
    """
    showers = pair.plan.settings.neighbour_showers
    if showers == 0:
        return None
    found = Features(
        frechet=gaps.found("fpd", _sized(_frechet, pair, showers)),
        trimmed=gaps.found("fpd_trimmed", _sized(_trimmed, pair, showers)),
        kernel=gaps.found("kpd", _sized(_kernel, pair, showers)),
        neighbours=gaps.found("neighbours", _sized(_neighbours, pair, showers)),
        correlation=_correlations(pair, gaps, showers),
        showers=showers,
    )
    known = (found.frechet, found.trimmed, found.kernel, found.neighbours, found.correlation)
    return found if any(one is not None for one in known) else None


def _sized(find: Callable[[Pair, slice], _Found], pair: Pair, showers: int) -> Callable[[], _Found]:
    """The same once it is known that both samples have enough showers for it."""

    def sized() -> _Found:
        require_size(pair.full.sample, pair.candidate.sample, first=showers)
        return find(pair, slice(showers))

    return sized


def _vectors(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    return pair.full.sample.features, pair.candidate.sample.features


def _frechet(pair: Pair, some: slice) -> Score:
    return frechet_distance(*_vectors(pair), pair.resampling)


def _trimmed(pair: Pair, some: slice) -> Score:
    """Samples that share their energies no longer do so without the farthest showers of each."""
    full, candidate = _vectors(pair)
    of_full, of_candidate = trimmed(full, candidate)
    settings, (a, b) = pair.plan.settings, (pair.full.sample, pair.candidate.sample)
    drawn = resampling(
        a.weights[of_full],
        b.weights[of_candidate],
        replicas=min(TIMES, settings.replicas),
        splits=min(TIMES, settings.splits),
        seed=settings.seed,
    )
    return frechet_distance(full[of_full], candidate[of_candidate], drawn)


def _kernel(pair: Pair, some: slice) -> Score:
    full, candidate = _vectors(pair)
    return kernel_distance(full[some], candidate[some], pair.part(some, some))


def _neighbours(pair: Pair, some: slice) -> Neighbours:
    voxels, others = (log_voxels(first.deposits) for first in pair.first(some.stop))
    return neighbours(voxels, others, pair.part(some, some))


def _correlations(pair: Pair, gaps: Gaps, showers: int) -> Score | None:
    """The correlations of layer energies, where there are layers."""
    if _LAYERS not in pair.full.sample.values:
        return None
    return gaps.found("correlation", _sized(_correlation, pair, showers))


def _correlation(pair: Pair, some: slice) -> Score:
    full, candidate = (c.sample.values[_LAYERS] for c in (pair.full, pair.candidate))
    return correlation_distance(full, candidate, pair.resampling)
