"""Invertible maps between the deposits of a shower and what a network sees.

A representation is fitted once, on training showers alone, by an explicit call of ``fit``; its
state is its buffers.
"""

__all__ = [
    "EMPTY",
    "FILL",
    "NODES",
    "NO_NOISE",
    "REACH",
    "BySpecies",
    "CellScores",
    "EnergyRepresentation",
    "FilledLayers",
    "Gaussianised",
    "HitPattern",
    "Hits",
    "LayerEnergies",
    "LayerNumbers",
    "LayerRatios",
    "LayerShares",
    "PointNumbers",
    "PointRows",
    "Representation",
    "SoftRatios",
    "SpectrumMap",
    "Standardisation",
    "StandardisedShape",
    "StandardisedSum",
    "fitting_generator",
    "inverse_logit",
    "logit",
    "renormalised",
    "shower_sums",
]

from caloforge.learn.representations.by_species import BySpecies
from caloforge.learn.representations.cell_scores import CellScores
from caloforge.learn.representations.filled import FILL, FilledLayers, renormalised
from caloforge.learn.representations.gaussianised import EMPTY, REACH, Gaussianised
from caloforge.learn.representations.hit_pattern import HitPattern, Hits
from caloforge.learn.representations.layer_numbers import LayerNumbers
from caloforge.learn.representations.layers import (
    EnergyRepresentation,
    LayerEnergies,
    LayerRatios,
    SoftRatios,
)
from caloforge.learn.representations.point_numbers import PointNumbers, PointRows
from caloforge.learn.representations.representation import (
    NO_NOISE,
    Representation,
    fitting_generator,
)
from caloforge.learn.representations.spectrum import NODES, SpectrumMap
from caloforge.learn.representations.standardised import (
    StandardisedShape,
    StandardisedSum,
    shower_sums,
)
from caloforge.learn.representations.voxels import LayerShares
from caloforge.learn.transforms import (
    Standardisation,
    inverse_logit,
    logit,
)
