r"""What an evaluation is: plain frozen records.

Two samples *share their incident energies* if they have one size and shower i has the same energy in both, as showers of a
candidate do that were made for the particles of the full simulation.
"""

__all__ = ["Evaluation", "Sample", "Settings", "shares_energies"]

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Real

from caloforge.calorimeter import Calorimeter
from caloforge.metrics.classifier import PARTS, Auc, Network
from caloforge.metrics.distances import Distance
from caloforge.observables import Observable


@dataclass(frozen=True)
class Settings:
    """How carefully to judge.

    Arguments:
        seed: The seed of all resampling and training; the same seed gives the same evaluation on one machine.
        replicas: Number of bootstrap replicas behind each error, at least 2.
        cuts: Number of cuts in halves behind each floor, at least 2.
        trainings: Number of trainings of the classifier, at least 2; 0 for no classifier.
        classifier_showers: Most showers of a sample that the classifier sees, from the first on.
        network: The classifier.
        batch_size: Number of showers read at a time.
    """

    seed: int = 0
    replicas: int = 50
    cuts: int = 50
    trainings: int = PARTS
    classifier_showers: int = 5000
    network: Network = field(default_factory=Network)
    batch_size: int = 1000


@dataclass(frozen=True, eq=False)
class Sample:
    """What is kept of a sample of N showers.

    Arguments:
        name: The name in tables and figures.
        calorimeter: Where the cells are.
        pdg: The species of the incident particles.
        energies: The incident energies, in MeV, with shape (N).
        values: For each observable's name its values: one a shower with shape (N); codes of `caloforge.metrics.measures.encode`
            with shape (N, cells); or energies, in MeV, with shape (N, positions).
        mean: The mean energy of each cell, in MeV, with shape (cells).
        example: The energy of each cell in one shower, in MeV, with shape (cells).
        example_row: The number of that shower.
    """

    name: str
    calorimeter: Calorimeter
    pdg: int
    energies: Float[np.ndarray, " showers"]
    values: Mapping[str, Real[np.ndarray, "..."]]
    mean: Float[np.ndarray, " cells"]
    example: Float[np.ndarray, " cells"]
    example_row: int

    def __len__(self) -> int:
        return len(self.energies)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Candidates judged against the full simulation.

    Arguments:
        full: The full simulation.
        candidates: The candidates, in the order given; gains are relative to the first.
        observables: The observables, in the order of tables.
        distances: For each candidate's name and each observable's name the distance.
        aucs: For each candidate's name the classifier's AUC; a candidate too small for it is missing.
        times: For each stage that was timed its time, in ms a shower.
        settings: How the numbers were made.
    """

    full: Sample
    candidates: tuple[Sample, ...]
    observables: tuple[Observable, ...]
    distances: Mapping[str, Mapping[str, Distance]]
    aucs: Mapping[str, Auc]
    times: Mapping[str, float]
    settings: Settings

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The full simulation and the candidates."""
        return (self.full, *self.candidates)

    def gain(self, candidate: Sample, observable: Observable) -> float:
        """How many times smaller a candidate's distance is than the first candidate's; 1 if both are 0."""
        value = self.distances[candidate.name][observable.name].value
        first = self.distances[self.candidates[0].name][observable.name].value
        if value > 0:
            return first / value
        return 1.0 if first == 0 else math.inf


def shares_energies(a: Sample, b: Sample) -> bool:
    """Whether two samples have the same incident energies row by row, to six digits."""
    return len(a) == len(b) and bool(np.allclose(a.energies, b.energies, rtol=1e-6, atol=0))
