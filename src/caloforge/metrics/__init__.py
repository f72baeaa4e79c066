"""Distances between samples of showers, each with its uncertainty and its full-simulation floor.

`distance` compares two samples on the line of one observable, `shower_auc` asks a trained classifier about whole showers.
"""

__all__ = [
    "Auc",
    "Distance",
    "Measure",
    "Network",
    "area",
    "classify",
    "common_measures",
    "decode",
    "distance",
    "encode",
    "shower_auc",
    "wasserstein",
]

from caloforge.metrics.classifier import Auc, Network, area, classify, shower_auc
from caloforge.metrics.distances import Distance, distance, wasserstein
from caloforge.metrics.measures import Measure, common_measures, decode, encode
