"""The published quantities of a benchmark: where each stands in the published tables, what a
candidate scored in it, and what makes one value better than another.
"""

__all__ = ["QUANTITIES", "Aim", "Depends", "Own", "Quantity", "is_benchmarks", "smaller_size"]

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from caloforge.classifiers import CLASSIFIERS
from caloforge.evaluation.findings import Evaluation, Neighbours, Score, Share
from caloforge.published import Published


class Aim(Enum):
    """What makes one value of a quantity better than another."""

    LEAST = auto()
    LEAST_EXCESS = auto()
    NEAR_ZERO = auto()
    NEAR_FLOOR = auto()

    def gap(self, value: float, floor: float) -> float:
        """How far a value is from its aim: the smaller the better."""
        return {
            Aim.LEAST: value,
            Aim.LEAST_EXCESS: value - floor,
            Aim.NEAR_ZERO: abs(value),
            Aim.NEAR_FLOOR: abs(value - floor),
        }[self]


class Depends(Enum):
    """What, besides the distributions of the two samples, a value depends on."""

    NOTHING = auto()
    SHOWERS = auto()
    MACHINE = auto()


@dataclass(frozen=True)
class Own:
    """What a candidate scored.

    Arguments:
        value: The value.
        error: Its error; None where it has none.
        floor: What two samples of the full simulation of this size are expected to give; None where
            there is no floor.
        showers: The number of showers of each sample behind it, the effective number where showers
            carry weights.
        benchmark: Whether it was found as the benchmark asks.
    """

    value: float
    error: float | None
    floor: float | None
    showers: float
    benchmark: bool = True

    def times(self, factor: float) -> "Own":
        """The same in another unit."""
        error, floor = (None if x is None else x * factor for x in (self.error, self.floor))
        return replace(self, value=self.value * factor, error=error, floor=floor)


Find = Callable[[Evaluation, str], Own | None]


@dataclass(frozen=True)
class Quantity:
    """A published quantity.

    Arguments:
        title: What it is called in tables.
        column: Its name in `Published.numbers`.
        published_factor: What published numbers are multiplied by to be shown.
        own_factor: What ours are multiplied by to be shown.
        aim: What makes a value good.
        depends: What a value depends on besides the distributions.
        find: What a candidate, given by its name, scored; None where this is not known.
    """

    title: str
    column: str
    published_factor: float
    own_factor: float
    aim: Aim
    depends: Depends
    find: Find

    def published(self, submission: Published) -> float | None:
        """What a submission scored, as shown; None where this was not published."""
        number = submission.numbers.get(self.column)
        return None if number is None else number * self.published_factor

    def published_error(self, submission: Published) -> float | None:
        """Its error, as shown; None where this was not published."""
        number = submission.numbers.get(f"{self.column} std")
        return None if number is None else number * self.published_factor

    def own(self, evaluation: Evaluation, candidate: str) -> Own | None:
        """What a candidate scored, as shown; None where this is not known."""
        found = self.find(evaluation, candidate)
        return None if found is None else found.times(self.own_factor)


def _separation(observable: str) -> Find:
    """The separation power of an observable; of a series, its mean over the labels."""

    def find(evaluation: Evaluation, candidate: str) -> Own | None:
        comparison = evaluation.comparisons[candidate].get(observable)
        return (
            None
            if comparison is None
            else _of_score(comparison.separation, smaller_size(evaluation, candidate))
        )

    return find


def _classifier(name: str) -> Find:
    """The AUC of a classifier."""

    def find(evaluation: Evaluation, candidate: str) -> Own | None:
        found = evaluation.classifiers.get(candidate, {}).get(name)
        if found is None:
            return None
        auc, showers = found.auc, min(found.n_full, found.n_candidate)
        return Own(auc.value, auc.error, auc.floor, showers, is_benchmarks(evaluation, name))

    return find


def _frechet(evaluation: Evaluation, candidate: str) -> Own | None:
    features = evaluation.features.get(candidate)
    if features is None or features.frechet is None:
        return None
    return _of_score(features.frechet, smaller_size(evaluation, candidate))


def _kernel(evaluation: Evaluation, candidate: str) -> Own | None:
    features = evaluation.features.get(candidate)
    if features is None or features.kernel is None:
        return None
    return _of_score(features.kernel, features.showers)


def _neighbours(choose: Callable[[Neighbours], Share]) -> Find:
    """One of the numbers about neighbours."""

    def find(evaluation: Evaluation, candidate: str) -> Own | None:
        features = evaluation.features.get(candidate)
        if features is None or features.neighbours is None:
            return None
        share = choose(features.neighbours)
        return Own(
            share.value,
            share.error,
            share.expected,
            min(features.showers, smaller_size(evaluation, candidate)),
        )

    return find


def _time(evaluation: Evaluation, candidate: str) -> Own | None:
    time = evaluation.times.get(candidate)
    return None if time is None else Own(time, None, None, smaller_size(evaluation, candidate))


def _of_score(score: Score, showers: float) -> Own:
    return Own(score.value, score.error, score.floor, showers)


def smaller_size(evaluation: Evaluation, candidate: str) -> float:
    """The effective number of showers of the smaller of the two samples."""
    sizes = {sample.name: sample.effective_size for sample in evaluation.candidates}
    return min(evaluation.full.effective_size, sizes[candidate])


def is_benchmarks(evaluation: Evaluation, name: str) -> bool:
    """Whether the classifier of this name is built and trained as the benchmark's, whatever its
    threshold.
    """
    expected = () if evaluation.preset is None else CLASSIFIERS[evaluation.preset.classifiers]
    protocols = [(one.architecture, one.training) for one in expected if one.name == name]
    return any(
        (one.architecture, one.training) in protocols
        for one in evaluation.settings.classifiers
        if one.name == name
    )


def _powers(title: str, column: str, observable: str) -> Quantity:
    find = _separation(observable)
    return Quantity(f"{title} (10⁻³)", column, 1e3, 1e3, Aim.LEAST_EXCESS, Depends.SHOWERS, find)


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "AUC, low-level",
        "binary cls low",
        1,
        1,
        Aim.LEAST,
        Depends.SHOWERS,
        _classifier("low-level"),
    ),
    Quantity(
        "AUC, high-level",
        "binary cls high",
        1,
        1,
        Aim.LEAST,
        Depends.SHOWERS,
        _classifier("high-level"),
    ),
    Quantity(
        "AUC, ResNet", "binary cls cnn", 1, 1, Aim.LEAST, Depends.SHOWERS, _classifier("resnet")
    ),
    Quantity("FPD (10⁻³)", "FPD * 1e3", 1, 1e3, Aim.LEAST_EXCESS, Depends.SHOWERS, _frechet),
    Quantity("KPD (10⁻³)", "KPD * 1e3", 1, 1e3, Aim.NEAR_ZERO, Depends.NOTHING, _kernel),
    Quantity(
        "Precision",
        "precision",
        1,
        1,
        Aim.NEAR_FLOOR,
        Depends.SHOWERS,
        _neighbours(lambda n: n.precision),
    ),
    Quantity(
        "Recall", "recall", 1, 1, Aim.NEAR_FLOOR, Depends.SHOWERS, _neighbours(lambda n: n.recall)
    ),
    Quantity(
        "Density",
        "density",
        1,
        1,
        Aim.NEAR_FLOOR,
        Depends.SHOWERS,
        _neighbours(lambda n: n.density),
    ),
    Quantity(
        "Coverage",
        "coverage",
        1,
        1,
        Aim.NEAR_FLOOR,
        Depends.SHOWERS,
        _neighbours(lambda n: n.coverage),
    ),
    _powers("Separation power, total over incident energy", "sep E total", "response"),
    _powers("Separation power, layer energies", "sep E layer", "layer_energy"),
    _powers("Separation power, voxel energies", "sep cell", "cell_energy_log"),
    _powers("Separation power, centres in η", "sep EC eta", "layer_centre_x"),
    _powers("Separation power, centres in φ", "sep EC phi", "layer_centre_y"),
    _powers("Separation power, centres in r", "sep EC r", "layer_centre_r"),
    _powers("Separation power, widths in η", "sep EC eta std", "layer_width_x"),
    _powers("Separation power, widths in φ", "sep EC phi std", "layer_width_y"),
    _powers("Separation power, widths in r", "sep EC r std", "layer_width_r"),
    _powers("Separation power, sparsity", "sep sparsity", "sparsity"),
    Quantity(
        "Time on CPU, batches of 100 (ms a shower)",
        "time CPU 100",
        1,
        1,
        Aim.LEAST,
        Depends.MACHINE,
        _time,
    ),
)
"""What was published of each submission, in the order of tables."""
