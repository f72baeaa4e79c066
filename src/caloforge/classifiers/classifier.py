"""The catalogue of classifiers: can a network separate two samples of showers?

A `Classifier` is what the network sees of a shower (`inputs`), what the network is
(`architectures`) and how it is trained (`protocol`). Its AUC is a lower bound for that of the best
classifier, so a low value means something only together with the classifier and the sample size
that gave it: compare like with like. `CLASSIFIERS` holds those of the community, by the name of a
preset.
"""

__all__ = ["CLASSIFIERS", "DEFAULT_CLASSIFIERS", "FOLDS", "Classifier", "classifiers_for"]

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from torch import nn

from caloforge.classifiers.architectures import (
    Architecture,
    Convolutional,
    Dense,
    ResNet3d,
    RingConvolutional,
)
from caloforge.classifiers.calibration import Calibration
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
from caloforge.classifiers.protocol import (
    CrossValidation,
    Keep,
    RandomSplit,
    Scaling,
    Training,
)
from caloforge.errors import GeometryError
from caloforge.geometry import Calorimeter
from caloforge.learn.training import Adam, Plateau
from caloforge.units import MeV, keV

FOLDS = 5
"""The folds of our own classifiers: so many trainings score each shower once."""


@dataclass(frozen=True)
class Classifier:
    """A classifier and its protocol.

    Arguments:
        name: A short name, unique in its preset.
        title: The name that a reader sees.
        inputs: What it sees of a shower.
        architecture: The network.
        training: How it is trained.
    """

    name: str
    title: str
    inputs: Inputs
    architecture: Architecture
    training: Training

    def above(self, threshold: float) -> "Classifier":
        """The same classifier, for which deposits below another threshold count as 0, in MeV."""
        return replace(self, inputs=self.inputs.above(threshold))

    def n_parameters(self, calorimeter: Calorimeter, n_features: int) -> int:
        """The number of parameters of the network for showers of a calorimeter, seen as so many
        numbers.

        Raises:
            GeometryError: The classifier sees images, and this calorimeter has none.
        """
        network = self.architecture.build(n_features, self.inputs.image(calorimeter))
        return sum(p.numel() for p in network.parameters())


READOUT = 0.5 * keV / 0.033
"""The threshold of the CaloChallenge's datasets 2 and 3: 0.5 keV in silicon, over the sampling
fraction.
"""

_OURS = Training(
    split=CrossValidation(FOLDS),
    adam=Adam(2e-3, weight_decay=1.0),
    batch_size=128,
    epochs=60,
    keep=Keep.LEAST_LOSS,
    calibration=Calibration.LOGISTIC,
    scaling=Scaling(clip=10.0),
    patience=15,
)
_SMALL = Dense((128, 128), dropout=0.5, activation=nn.SiLU)

_CHALLENGE = Training(
    split=RandomSplit(fit=0.6, select=0.2),
    adam=Adam(2e-4),
    batch_size=1000,
    epochs=50,
    keep=Keep.BEST_ACCURACY,
    calibration=Calibration.ISOTONIC,
)
_WIDE = Dense((2048, 2048, 2048))

_DREAM = Training(
    split=RandomSplit(fit=0.7, select=0.1),
    adam=Adam(2e-4),
    batch_size=1000,
    epochs=200,
    keep=Keep.BEST_ACCURACY,
    calibration=Calibration.ISOTONIC,
    schedule=Plateau(factor=0.05, patience=20),
)
_MIDDLE = Dense((512, 512, 512))

_FLOWS_HIGH = Training(
    split=RandomSplit(fit=0.8, select=0.0),
    adam=Adam(1e-4),
    batch_size=256,
    epochs=30,
    keep=Keep.LAST,
    calibration=Calibration.NONE,
    scaling=Scaling(),
)
_FLOWS_LOW = Training(
    split=RandomSplit(fit=0.6, select=0.2),
    adam=Adam(1e-3),
    batch_size=512,
    epochs=30,
    keep=Keep.LEAST_LOSS,
    calibration=Calibration.ISOTONIC,
)
_HIT = 0.1 * MeV
"""The threshold of L2LFlows, appendix D's public code."""

DEFAULT_CLASSIFIERS = (
    Classifier("low-level", "classifier on all cells", EveryCell(), _SMALL, _OURS),
    Classifier("high-level", "classifier on high-level features", HighLevel(), _SMALL, _OURS),
)
"""The classifiers of the preset ``caloforge``, our own, for samples from 500 showers on.

Five folds, so that every shower is scored; logistic calibration; strong dropout and weight decay,
because a network learns a few thousand showers by heart at once, and then misses what separates the
samples. Measured on 2,000 Geant4 showers of 50 GeV in 100 crystals against showers with the right
distribution in each crystal but wrong correlations: AUC 0.85; with dropout 0.2 and weight decay
0.01: 0.67.
"""

CLASSIFIERS: Mapping[str, tuple[Classifier, ...]] = MappingProxyType(
    {
        "caloforge": DEFAULT_CLASSIFIERS,
        "calochallenge": (
            Classifier(
                "high-level",
                "CaloChallenge's classifier on high-level features",
                HighLevel(READOUT),
                _WIDE,
                _CHALLENGE,
            ),
            Classifier(
                "low-level",
                "CaloChallenge's classifier on voxels",
                Voxels(READOUT),
                _WIDE,
                _CHALLENGE,
            ),
            Classifier(
                "low-level-normalised",
                "CaloChallenge's classifier on normalised voxels",
                NormalisedVoxels(),
                _WIDE,
                _CHALLENGE,
            ),
            Classifier(
                "resnet",
                "CaloChallenge's ResNet-18 on voxels",
                VoxelImage(READOUT),
                ResNet3d(),
                _CHALLENGE,
            ),
        ),
        "calodream": (
            Classifier(
                "high-level",
                "CaloDREAM's classifier on layer-wise features",
                LayerWise(READOUT),
                _MIDDLE,
                _DREAM,
            ),
            Classifier(
                "low-level", "CaloDREAM's classifier on voxels", Voxels(READOUT), _MIDDLE, _DREAM
            ),
        ),
        "l2lflows": (
            Classifier(
                "high-level",
                "L2LFlows' classifier on nine observables",
                ShowerLevel(_HIT),
                Dense((512, 512, 128, 32)),
                _FLOWS_HIGH,
            ),
            Classifier(
                "low-level",
                "L2LFlows' convolutional classifier",
                DepositImage(_HIT),
                Convolutional(),
                _FLOWS_LOW,
            ),
            Classifier(
                "low-level-ring",
                "L2LFlows' convolutional classifier for rings",
                DepositImage(_HIT, ring=True),
                RingConvolutional(),
                _FLOWS_LOW,
            ),
        ),
    }
)
"""The classifiers of each preset.

- ``caloforge``: `DEFAULT_CLASSIFIERS`.
- ``calochallenge`` (arXiv:2410.21611 and its public code): four classifiers, 60/20/20 %, the epoch
  of the best accuracy, isotonic calibration. Made for 100,000 showers a sample; numbers of smaller
  samples are nearer to 1/2. The challenge computes in double precision, this in single; its
  low-level classifiers and its ResNet see only deposits above the threshold.
- ``calodream`` (arXiv:2405.09629, table 3): 70/10/20 %, 200 epochs, the learning rate times 0.05
  where the loss has not fallen for 20 epochs. Not in the text, and taken from its public code:
  learning rate 2e-4, no dropout, the epoch of the best accuracy, isotonic calibration. The loss is
  assumed to be that on the 10 %.
- ``l2lflows`` (arXiv:2405.20407, appendix D, and its public code): nine observables, 80/20 %, the
  last of 30 epochs, no calibration; and a convolutional network on all cells, 60/20/20 %, the epoch
  of the least loss, isotonic calibration. For rings the code has another network, which its paper
  used for dataset 3 of the CaloChallenge.

Where the papers cut a sample anew for each training, so does this.
"""


def classifiers_for(
    preset: str, calorimeter: Calorimeter, *, threshold: float | None = None
) -> tuple[Classifier, ...]:
    """The classifiers of a preset that can see showers of a calorimeter.

    Arguments:
        preset: The name of the preset, a key of `CLASSIFIERS`.
        calorimeter: The calorimeter.
        threshold: Deposits below it count as 0, in MeV, at least 0; None for the preset's own:
            15.15 keV for ``calochallenge`` and ``calodream``, 0.1 MeV for ``l2lflows``, 0 for
            ``caloforge``.

    Raises:
        KeyError: There is no such preset.
    """
    fit = (classifier for classifier in CLASSIFIERS[preset] if _sees(classifier, calorimeter))
    return tuple(
        classifier if threshold is None else classifier.above(threshold) for classifier in fit
    )


def _sees(classifier: Classifier, calorimeter: Calorimeter) -> bool:
    try:
        classifier.inputs.require(calorimeter)
    except GeometryError:
        return False
    return True
