"""Invertible maps between the deposits of a shower and what a network sees.

A representation is fitted once, on training showers alone, by an explicit call of ``fit``; its
state is its buffers.
"""

__all__ = [
    "EMPTY",
    "FILL",
    "NODES",
    "REACH",
    "CellScores",
    "EnergyFeatures",
    "FilledLayers",
    "Gaussianised",
    "HitPattern",
    "Hits",
    "LayerEnergies",
    "LayerRatios",
    "LayerShares",
    "LogEnergy",
    "SoftRatios",
    "SpectrumMap",
    "Standardisation",
    "StandardisedShape",
    "StandardisedSum",
    "inverse_logit",
    "logit",
    "renormalised",
]

from caloforge.learn.representations.cells import CellScores
from caloforge.learn.representations.filled import FILL, FilledLayers, renormalised
from caloforge.learn.representations.gaussianised import EMPTY, REACH, Gaussianised
from caloforge.learn.representations.hits import HitPattern, Hits
from caloforge.learn.representations.layers import (
    EnergyFeatures,
    LayerEnergies,
    LayerRatios,
    SoftRatios,
)
from caloforge.learn.representations.spectrum import NODES, SpectrumMap
from caloforge.learn.representations.standardised import StandardisedShape, StandardisedSum
from caloforge.learn.representations.transforms import (
    LogEnergy,
    Standardisation,
    inverse_logit,
    logit,
)
from caloforge.learn.representations.voxels import LayerShares
