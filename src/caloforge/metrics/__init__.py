"""Distances between samples of showers, each with its uncertainty and its full-simulation floor.

`compare_points` and `compare_lines` compare two samples in one distribution, in the resamplings
that `resampling` draws; vectors of features have the `frechet_distance` and the `kernel_distance`,
whole showers their `neighbours`; `amplification` asks whether a generated sample knows more than
its training showers. Classifiers have a room of their own, `caloforge.classifiers`.
"""

__all__ = [
    "Amplification",
    "Batched",
    "Bins",
    "CellCounts",
    "Comparison",
    "Dilution",
    "Line",
    "Neighbours",
    "Resampling",
    "Score",
    "Share",
    "Trio",
    "amplification",
    "batched_wasserstein",
    "chi2_probability",
    "compare_lines",
    "compare_points",
    "concordance",
    "correlation_distance",
    "extrapolated_frechet_distance",
    "frechet_distance",
    "kernel_distance",
    "ks_probability",
    "layer_correlation",
    "log_voxels",
    "neighbours",
    "overlap",
    "resampling",
    "separation_power",
    "trimmed",
    "wasserstein",
]

from caloforge.metrics.amplification import Amplification, amplification
from caloforge.metrics.bins import Bins
from caloforge.metrics.correlations import (
    concordance,
    correlation_distance,
    layer_correlation,
)
from caloforge.metrics.dilution import Dilution, overlap
from caloforge.metrics.distances import (
    Batched,
    Comparison,
    Trio,
    batched_wasserstein,
    chi2_probability,
    compare_lines,
    compare_points,
    ks_probability,
    separation_power,
    wasserstein,
)
from caloforge.metrics.frechet import extrapolated_frechet_distance, frechet_distance, trimmed
from caloforge.metrics.kernel import kernel_distance
from caloforge.metrics.measures import CellCounts, Line
from caloforge.metrics.neighbours import Neighbours, Share, log_voxels, neighbours
from caloforge.metrics.resampling import Resampling, resampling
from caloforge.metrics.scores import Score
