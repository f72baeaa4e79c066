r"""What an evaluation found: plain frozen records, with those of the metrics and classifiers.
Whoever shows an evaluation needs nothing else.

Two samples *share their incident energies* if they have one size and shower i has the same energy
in both, as showers of a candidate do that were made for the particles of the full simulation.
"""

__all__ = [
    "IN_TAILS",
    "LEAST_SHOWERS",
    "OTHERS",
    "Amplification",
    "Bin",
    "Comparison",
    "Copies",
    "Evaluation",
    "Example",
    "Features",
    "Neighbours",
    "Sample",
    "Score",
    "Separation",
    "Settings",
    "Share",
    "ShowerWeights",
    "Slice",
    "same_energies",
    "shares_energies",
]

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Real

from caloforge.classifiers import (
    DEFAULT_CLASSIFIERS,
    FOLDS,
    LEAST_SHOWERS,
    Classifier,
    Separation,
    ShowerWeights,
)
from caloforge.geometry import Calorimeter
from caloforge.metrics.amplification import Amplification
from caloforge.metrics.distances import Comparison
from caloforge.metrics.measures import decode
from caloforge.metrics.neighbours import Neighbours, Share
from caloforge.metrics.resampling import effective_size
from caloforge.metrics.scores import Score
from caloforge.observables import Observable
from caloforge.particles import Particles
from caloforge.published import Preset
from caloforge.shown import Shown

OTHERS = {
    "fpd": "Fréchet distance (FPD)",
    "fpd_trimmed": "Trimmed Fréchet distance",
    "kpd": "Kernel distance (KPD)",
    "neighbours": "Precision, recall, density and coverage",
    "correlation": "Layer correlations",
    "left_out": "Energies left out",
    "amplification": "Amplification",
}
"""Results other than observables and classifiers, by name, with their titles."""
IN_TAILS = 3
"""So many showers of each tail of a classifier's weights are shown."""


@dataclass(frozen=True)
class Settings:
    """How carefully to compare.

    Arguments:
        seed: The seed of all resampling and training; the same seed gives the same evaluation on
            one machine.
        replicas: Number of bootstrap replicas behind each error, at least 2.
        splits: Number of splits in halves behind each floor, at least 2.
        classifiers: The classifiers; none for no classifier.
        trainings: Number of trainings of each classifier, at least 2.
        classifier_showers: Most showers of a sample that the classifiers see, from the first on.
        neighbour_showers: Most showers of a sample that are compared pair by pair (precision and
            its kin, kernel distance), from the first on; 0 for no metrics of feature vectors at
            all.
        slices: Most slices in incident energy in which the whole-shower observables are compared.
        mip: The energy of a MIP in a cell, in MeV, with which the observables of hadrons
            (`caloforge.observables.hadronic`) are compared, too; None for none of them.
        left_out: Incident energies, in MeV, from and up to which candidates were trained without
            showers, to test whether they interpolate: a slice of its own; None for none.
        other_particles: Whether samples of other energies, species, angles or places than the full
            simulation's are compared, too.
        device: Where classifiers are trained and neighbours looked for.
        batch_size: Number of showers read at a time.
    """

    seed: int = 0
    replicas: int = 50
    splits: int = 50
    classifiers: tuple[Classifier, ...] = DEFAULT_CLASSIFIERS
    trainings: int = FOLDS
    classifier_showers: int = 5000
    neighbour_showers: int = 5000
    slices: int = 5
    mip: float | None = None
    left_out: tuple[float, float] | None = None
    other_particles: bool = False
    device: str = "cpu"
    batch_size: int = 1000


@dataclass(frozen=True, eq=False)
class Example:
    """One shower, for a display.

    Arguments:
        row: Its number in the sample.
        energy: Its incident energy, in MeV.
        cells: The numbers of the cells with energy, increasing, with shape (lit).
        deposits: Their energies, in MeV, with shape (lit).
    """

    row: int
    energy: float
    cells: Int[np.ndarray, " lit"]
    deposits: Float[np.ndarray, " lit"]

    def dense(self, n_cells: int) -> Float[np.ndarray, " cells"]:
        """The energy of each of so many cells, in MeV."""
        whole = np.zeros(n_cells)
        whole[self.cells] = self.deposits
        return whole


@dataclass(frozen=True, eq=False)
class Sample:
    """What is kept of a sample of N showers.

    Arguments:
        name: The name in tables and figures.
        calorimeter: Where the cells are.
        species: The PDG numbers of the incident particles; empty where they are not known.
        energies: The incident energies, in MeV, with shape (N).
        weights: The weights of the showers, with shape (N); 1 each where the sample carries none.
        weighted: Whether the sample carries weights.
        values: For each observable's name its values: one a shower with shape (N), one at each
            label with shape (N, labels), or energies, in MeV, with shape (N, positions); cell
            energies are in ``cells``.
        cells: The cells by code of `caloforge.metrics.measures.encode`, in the sample and in its
            replicas, (1 + R, codes).
        features: The high-level features of each shower, with shape (N, features).
        fingerprints: The fingerprint of each shower (see `caloforge.evaluation.copies`), with shape
            (N); 0 where it has none.
        correlation: The correlation matrix of the layer energies, with shape (layers, layers).
        mean: The mean energy of each cell, in MeV, with shape (cells).
        examples: Some showers, of increasing energy.
        outliers: The showers in the tails of the classifiers' weights (see `Separation.tails`).
        partners: For the showers in the tails of other samples those nearest in energy.
        particles: The incident particles; None where nobody asks.
    """

    name: str
    calorimeter: Calorimeter
    species: tuple[int, ...]
    energies: Float[np.ndarray, " showers"]
    weights: Float[np.ndarray, " showers"]
    weighted: bool
    values: Mapping[str, Real[np.ndarray, "..."]]
    cells: Float[np.ndarray, "times codes"]
    features: Float[np.ndarray, "showers features"]
    fingerprints: Int[np.ndarray, " showers"]
    correlation: Float[np.ndarray, "layers layers"]
    mean: Float[np.ndarray, " cells"]
    examples: tuple[Example, ...]
    outliers: tuple[Example, ...] = ()
    partners: tuple[Example, ...] = ()
    particles: Particles | None = None

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def effective_size(self) -> float:
        """The number of showers of weight 1 that would know as much."""
        return effective_size(self.weights)

    @property
    def cell_energies(self) -> Float[np.ndarray, " codes"]:
        """The cell energy, in MeV, that each code of ``cells`` stands for, with shape (codes)."""
        return decode(np.arange(self.cells.shape[1]))

    @property
    def example(self) -> Example:
        """The example in the middle."""
        return self.examples[len(self.examples) // 2]


@dataclass(frozen=True)
class Copies:
    """Showers that a sample has in common with another, or more than once, bit for bit.

    Arguments:
        sample: The name of the sample.
        of: The name of the sample that holds the same showers; its own where it repeats them.
        showers: How many of its showers are in the other, or repeat an earlier one.
        among: The number of its showers.
    """

    sample: str
    of: str
    showers: int
    among: int

    @property
    def share(self) -> float:
        """The share of its showers."""
        return self.showers / self.among


@dataclass(frozen=True)
class Features:
    """A candidate against the full simulation in vectors of features; None for what could not be
    found.

    Arguments:
        frechet: The Frechet distance of the high-level features (FPD).
        trimmed: The same without the farthest 1 % of the showers of each sample.
        kernel: Their kernel distance (KPD).
        neighbours: Precision, recall, density and coverage of the logarithms of the voxels.
        correlation: The mean difference of the correlations of layer energies; None with a single
            layer, too.
        showers: The most showers of a sample in the kernel distance and among neighbours.
    """

    frechet: Score | None
    trimmed: Score | None
    kernel: Score | None
    neighbours: Neighbours | None
    correlation: Score | None
    showers: int


@dataclass(frozen=True)
class Slice:
    """A candidate against the full simulation among showers of similar incident energy.

    Arguments:
        low: The least incident energy, in MeV.
        high: The largest, in MeV, itself not in the slice unless it is the last.
        left_out: Whether the candidate was made without showers of these energies.
        n_full: Number of showers of the full simulation in the slice.
        n_candidate: Number of showers of the candidate in it.
        scores: For each whole-shower observable's name the standardised Wasserstein distance.
    """

    low: float
    high: float
    left_out: bool
    n_full: int
    n_candidate: int
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class Bin:
    """A candidate against the full simulation among particles of like condition.

    Arguments:
        of: The condition: ``energy``, ``angle`` (the polar one) or ``species``.
        low: The least energy, in MeV, or angle, in rad; the PDG number of a species.
        high: The largest; the same as ``low`` for a species or at a fixed energy or angle.
        n_full: Number of showers of the full simulation in the bin.
        n_candidate: Number of showers of the candidate in it.
        scores: For each whole-shower observable's name the standardised Wasserstein distance.
        ks: For each of them the probability of the Kolmogorov-Smirnov test.
        aucs: For each classifier's name the AUC of its scores of the showers in the bin, which its
            trainings did not see; none where it scored few.
        among: How many distances there are in all bins of the candidate.
    """

    of: str
    low: float
    high: float
    n_full: int
    n_candidate: int
    scores: Mapping[str, Score]
    ks: Mapping[str, float]
    aucs: Mapping[str, Score]
    among: int


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Shown):
    """Candidates against the full simulation.

    Arguments:
        full: The full simulation.
        candidates: The candidates, in the order given; gains are relative to the first.
        observables: The observables, in the order of tables.
        comparisons: For each candidate's name and each observable's name the comparison; an
            observable that is empty in one of the two samples is missing, and ``gaps`` says why.
        gaps: For each candidate's name, and for each observable, metric of feature vectors,
            classifier or other result that is missing, the reason, in words. Results that are
            neither have the names of `OTHERS`.
        features: For each candidate's name the metrics on feature vectors; none if they were not
            asked for.
        classifiers: For each candidate's name and each classifier's name how well it separates the
            two samples; a candidate too small for it is missing.
        slices: For each candidate's name the slices in incident energy; none if it does not vary or
            there are few showers.
        amplifications: For each candidate's name and each whole-shower observable's name the
            amplification; empty unless the training sample was given.
        times: For each stage that was timed its time, in ms a shower.
        settings: How the numbers were made.
        preset: The community's benchmark with whose published results these stand; None for none.
        bins: For each candidate's name the bins of incident energy, polar angle and species, the
            worst first; none of what does not vary, or has few showers.
        copies: The showers that samples have in common, or hold more than once.
        origins: For each sample that was read from a file, the training sample included, the file
            and its checksum.
    """

    full: Sample
    candidates: tuple[Sample, ...]
    observables: tuple[Observable, ...]
    comparisons: Mapping[str, Mapping[str, Comparison]]
    gaps: Mapping[str, Mapping[str, str]]
    features: Mapping[str, Features]
    classifiers: Mapping[str, Mapping[str, Separation]]
    slices: Mapping[str, tuple[Slice, ...]]
    amplifications: Mapping[str, Mapping[str, Amplification]]
    times: Mapping[str, float]
    settings: Settings
    preset: Preset | None = field(default=None)
    copies: tuple[Copies, ...] = ()
    origins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    bins: Mapping[str, tuple[Bin, ...]] = field(default_factory=dict)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The full simulation and the candidates."""
        return (self.full, *self.candidates)

    def facts(self) -> dict[str, str]:
        """What a prompt and a notebook show."""
        return {"full simulation": f"{self.full.name}: {len(self.full.energies):,} showers"} | {
            candidate.name: self._fact(candidate) for candidate in self.candidates
        }

    def _fact(self, candidate: Sample) -> str:
        distances = [found.distance for found in self.comparisons[candidate.name].values()]
        low = sum(not distance.resolved for distance in distances)
        return (
            f"{candidate.name}: {len(candidate.energies):,} showers, {low} of {len(distances)} "
            "distances at the floor"
        )

    def gain(self, candidate: Sample, observable: Observable) -> float | None:
        """How many times smaller a candidate's distance is than the first's; 1 if both are 0, None
        if one is not known.
        """
        pair = [
            self.comparisons[c.name].get(observable.name) for c in (candidate, self.candidates[0])
        ]
        if pair[0] is None or pair[1] is None:
            return None
        value, first = (comparison.distance.value for comparison in pair if comparison is not None)
        if value > 0:
            return first / value
        return 1.0 if first == 0 else math.inf


def same_energies(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " m"]) -> bool:
    """Whether two lists of incident energies are the same row by row, to six digits."""
    return len(a) == len(b) and bool(np.allclose(a, b, rtol=1e-6, atol=0))


def shares_energies(a: Sample, b: Sample) -> bool:
    """Whether two samples have the same incident energies row by row, to six digits."""
    return same_energies(a.energies, b.energies)
