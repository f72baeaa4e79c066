"""Two samples as vectors of features: of each shower its high-level features, its layer energies,
or the logarithms of all its voxels.
"""

__all__ = ["features"]

from caloforge.classifiers import LEAST_SHOWERS
from caloforge.evaluation.findings import Features, Score
from caloforge.evaluation.pair import Pair
from caloforge.metrics.correlations import correlation_distance
from caloforge.metrics.frechet import frechet_distance
from caloforge.metrics.kernel import kernel_distance
from caloforge.metrics.neighbours import log_voxels, neighbours


def features(pair: Pair) -> Features | None:
    """The metrics on vectors of features; None where a sample has too few showers for them."""
    full, candidate = pair.full.sample.features, pair.candidate.sample.features
    showers = pair.plan.settings.neighbour_showers
    if min(len(full), len(candidate), showers) < LEAST_SHOWERS:
        return None
    some = slice(showers)
    few = pair.part(some, some)
    voxels, others = (log_voxels(first.deposits) for first in pair.first(showers))
    return Features(
        frechet=frechet_distance(full, candidate, pair.resampling),
        kernel=kernel_distance(full[some], candidate[some], few),
        neighbours=neighbours(voxels, others, few),
        correlation=_correlation(pair),
        showers=showers,
    )


def _correlation(pair: Pair) -> Score | None:
    layers = [c.sample.values.get("layer_energies") for c in (pair.full, pair.candidate)]
    if layers[0] is None or layers[1] is None:
        return None
    return correlation_distance(layers[0], layers[1], pair.resampling)
