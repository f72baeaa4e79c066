"""Classifiers as judges of two samples of showers: the judges of the community, and what they
found.

`judge` trains a `Judge` of `JUDGES` and gives a `Judgement`: AUC, JSD, ROC and calibration curves,
and the weight of each shower.
"""

__all__ = [
    "DEFAULT_JUDGES",
    "JUDGES",
    "LEAST_SHOWERS",
    "PARTS",
    "Architecture",
    "Calibration",
    "Convolutional",
    "Curve",
    "Dense",
    "DepositImage",
    "EveryCell",
    "HighLevel",
    "Inputs",
    "Judge",
    "Judgement",
    "Keep",
    "LayerWise",
    "NormalisedVoxels",
    "Optimiser",
    "Plateau",
    "Repeated",
    "ResNet3d",
    "RingConvolutional",
    "Roc",
    "Scaling",
    "Shares",
    "ShowerLevel",
    "Split",
    "Tails",
    "Training",
    "Turns",
    "VoxelImage",
    "Voxels",
    "Weighed",
    "WeightsHistogram",
    "area",
    "judge",
    "judge_features",
    "judges_for",
]

from caloforge.classifiers.calibration import Calibration, Curve, area
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
)
from caloforge.classifiers.judgement import (
    Judgement,
    Repeated,
    Roc,
    Tails,
    Weighed,
    WeightsHistogram,
)
from caloforge.classifiers.judges import DEFAULT_JUDGES, JUDGES, PARTS, Judge, judges_for
from caloforge.classifiers.judging import LEAST_SHOWERS, judge, judge_features
from caloforge.classifiers.networks import (
    Architecture,
    Convolutional,
    Dense,
    ResNet3d,
    RingConvolutional,
)
from caloforge.classifiers.training import (
    Keep,
    Optimiser,
    Plateau,
    Scaling,
    Shares,
    Split,
    Training,
    Turns,
)
