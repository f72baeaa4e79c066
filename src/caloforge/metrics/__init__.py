"""Distances between samples of showers, each with its uncertainty and its full-simulation floor.

`compare_points` and `compare_lines` compare two samples in one distribution, in the resamplings that `resampling` draws;
`shower_auc` asks a trained classifier about whole showers.
"""

__all__ = [
    "Auc",
    "Batched",
    "Bins",
    "CellCounts",
    "Comparison",
    "Line",
    "Network",
    "Resampling",
    "Score",
    "Trio",
    "area",
    "batched_wasserstein",
    "chi2_probability",
    "classify",
    "compare_lines",
    "compare_points",
    "ks_probability",
    "resampling",
    "separation_power",
    "shower_auc",
    "wasserstein",
]

from caloforge.metrics.binning import Bins
from caloforge.metrics.classifier import Auc, Network, area, classify, shower_auc
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
from caloforge.metrics.measures import CellCounts, Line
from caloforge.metrics.resampling import Resampling, resampling
from caloforge.metrics.scores import Score
