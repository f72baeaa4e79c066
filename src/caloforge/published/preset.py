"""What a community's benchmark asks of an evaluation, and what was published of it."""

__all__ = ["Preset", "Published"]

from collections.abc import Mapping
from dataclasses import dataclass

from caloforge.metrics.bins import Rule


@dataclass(frozen=True)
class Published:
    """What one submission to a benchmark scored, as published.

    Arguments:
        name: The submission.
        numbers: For each quantity's name its value; quantities that were not published are missing.
    """

    name: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Preset:
    """A benchmark.

    Arguments:
        name: The name on the command line.
        title: The benchmark in words.
        calorimeter: The name of its calorimeter, see `caloforge.geometry.named_calorimeters`.
        pdg: The species of the incident particles.
        energies: The least and the largest incident energy, in MeV.
        showers: The number of showers of each sample behind the published numbers.
        threshold: The energy at or below which a voxel counts as empty, in MeV.
        classifiers: The name of the classifiers' preset, see `caloforge.classifiers.CLASSIFIERS`.
        rules: For each observable's name, or its name and a label joined by a colon, the bins of
            its separation power.
        published: The published results, the full simulation first.
        source: Where they are from.
    """

    name: str
    title: str
    calorimeter: str
    pdg: int
    energies: tuple[float, float]
    showers: int
    threshold: float
    classifiers: str
    rules: Mapping[str, Rule]
    published: tuple[Published, ...]
    source: str

    def rule(self, observable: str, label: str = "") -> Rule | None:
        """The bins for an observable, or for one of its labels; None where the benchmark
        has none.
        """
        return self.rules.get(f"{observable}:{label}", self.rules.get(observable))
