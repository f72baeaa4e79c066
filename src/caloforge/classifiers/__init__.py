"""Classifiers: how well can a trained network separate two samples of showers?

`separate` trains a `Classifier` of the catalogue `CLASSIFIERS` and gives a `Separation`: AUC, JSD,
ROC and calibration curves, and the weight of each shower.
"""

__all__ = [
    "CLASSIFIERS",
    "DEFAULT_CLASSIFIERS",
    "FOLDS",
    "LEAST_SHOWERS",
    "Architecture",
    "Calibration",
    "Classifier",
    "Convolutional",
    "CrossValidation",
    "Curve",
    "Dense",
    "DepositImage",
    "EveryCell",
    "HighLevel",
    "Inputs",
    "Keep",
    "LayerWise",
    "NormalisedVoxels",
    "RandomSplit",
    "Repeated",
    "ResNet3d",
    "RingConvolutional",
    "Roc",
    "Scaling",
    "Separation",
    "ShowerLevel",
    "ShowerWeights",
    "Split",
    "Tails",
    "Training",
    "VoxelImage",
    "Voxels",
    "WeightsHistogram",
    "WithSpectrum",
    "area",
    "classifiers_for",
    "separate",
    "separate_features",
]

from caloforge.classifiers.architectures import (
    Architecture,
    Convolutional,
    Dense,
    ResNet3d,
    RingConvolutional,
)
from caloforge.classifiers.calibration import Calibration, Curve, area
from caloforge.classifiers.classifier import (
    CLASSIFIERS,
    DEFAULT_CLASSIFIERS,
    FOLDS,
    Classifier,
    classifiers_for,
)
from caloforge.classifiers.inputs import (
    DepositImage,
    EveryCell,
    HighLevel,
    Inputs,
    LayerWise,
    NormalisedVoxels,
    ShowerLevel,
    VoxelImage,
    Voxels,
    WithSpectrum,
)
from caloforge.classifiers.protocol import (
    CrossValidation,
    Keep,
    RandomSplit,
    Scaling,
    Split,
    Training,
)
from caloforge.classifiers.results import (
    Repeated,
    Roc,
    Separation,
    ShowerWeights,
    Tails,
    WeightsHistogram,
)
from caloforge.classifiers.separation import LEAST_SHOWERS, separate, separate_features
