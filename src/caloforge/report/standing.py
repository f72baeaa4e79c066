r"""Where a candidate stands among the published results of a benchmark, and why the comparison may
not hold.

Each published quantity has an *aim*, by which results are ranked: the least value (AUC, times); the
least value above the floor (separation powers, FPD); the least distance from zero (KPD, which has
no floor and scatters about 0); the least distance from the floor (precision, recall, density,
coverage, which have a value of their own between two samples of the full simulation). The floor of
the published results is their row GEANT4, that of ours the expectation between two samples of the
full simulation of our size. The rank is that which the value would have if it joined the table, 1
for the best.

A published *floor* is that of some 100,000 showers. Separation powers and FPD of equal laws fall as
:math:`1/N`, so that those of few showers are far larger, and only what exceeds the floor can be
compared; neighbours and classifiers depend on the number of showers, too, and in no simple way: few
showers teach a classifier little, and its AUC comes out too good. KPD has the same expectation at
any size.
"""

__all__ = [
    "QUANTITIES",
    "Aim",
    "Depends",
    "Own",
    "Quantity",
    "Standing",
    "StandingRow",
    "caveats",
    "published_rows",
    "standing",
]

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from caloforge.classifiers import CLASSIFIERS
from caloforge.geometry import named_calorimeters
from caloforge.metrics import Score
from caloforge.metrics.neighbours import Neighbours, Share
from caloforge.particles import name_of
from caloforge.report.presets import Preset, Published
from caloforge.report.records import Evaluation
from caloforge.units import format_energy

_SIMILAR = 0.1
"""Sizes and energies that differ by no more than this share are called the same."""
_MISMATCH = 0.52
"""A published AUC between two samples of Geant4 above this says that they are not of one law."""


_INFERRED = (
    "The bins of the centres and widths in r and of the sparsity are not in the published code; "
    "ours are a choice."
)


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
    """What, besides the laws of the two samples, a value depends on."""

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
        depends: What a value depends on besides the laws.
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


@dataclass(frozen=True)
class StandingRow:
    """A candidate among the published results in one quantity.

    Arguments:
        quantity: The quantity; all numbers are as it is shown.
        own: What the candidate scored; None where this is not known.
        geant4: What Geant4 scored against itself, the published floor; None where this was not
            published.
        geant4_error: Its error; None where this was not published.
        best: The best published value.
        best_name: The submission that scored it.
        rank: The rank that our value would have, 1 for the best; None where our value is not known.
        submissions: How many submissions have this quantity.
        comparable: Whether our value can be compared with the published ones as it is.
    """

    quantity: Quantity
    own: Own | None
    geant4: float | None
    geant4_error: float | None
    best: float
    best_name: str
    rank: int | None
    submissions: int
    comparable: bool

    @property
    def title(self) -> str:
        """What the quantity is called."""
        return self.quantity.title


@dataclass(frozen=True)
class Standing:
    """A candidate among the published results.

    Arguments:
        candidate: Its name.
        rows: One for each published quantity; none without a preset.
    """

    candidate: str
    rows: tuple[StandingRow, ...]


def _separation(observable: str) -> Find:
    """The separation power of an observable; of a series, its mean over the labels."""

    def find(evaluation: Evaluation, candidate: str) -> Own | None:
        comparison = evaluation.comparisons[candidate].get(observable)
        return (
            None
            if comparison is None
            else _of_score(comparison.separation, _size(evaluation, candidate))
        )

    return find


def _classifier(judge: str) -> Find:
    """The AUC of a judge."""

    def find(evaluation: Evaluation, candidate: str) -> Own | None:
        found = evaluation.judgements.get(candidate, {}).get(judge)
        if found is None:
            return None
        auc, showers = found.auc, min(found.n_full, found.n_candidate)
        return Own(auc.value, auc.error, auc.floor, showers, _is_benchmarks(evaluation, judge))

    return find


def _frechet(evaluation: Evaluation, candidate: str) -> Own | None:
    features = evaluation.features.get(candidate)
    return None if features is None else _of_score(features.frechet, _size(evaluation, candidate))


def _kernel(evaluation: Evaluation, candidate: str) -> Own | None:
    features = evaluation.features.get(candidate)
    return None if features is None else _of_score(features.kernel, features.showers)


def _neighbours(choose: Callable[[Neighbours], Share]) -> Find:
    """One of the numbers about neighbours."""

    def find(evaluation: Evaluation, candidate: str) -> Own | None:
        features = evaluation.features.get(candidate)
        if features is None:
            return None
        share = choose(features.neighbours)
        return Own(
            share.value,
            share.error,
            share.expected,
            min(features.showers, _size(evaluation, candidate)),
        )

    return find


def _time(evaluation: Evaluation, candidate: str) -> Own | None:
    time = evaluation.times.get(candidate)
    return None if time is None else Own(time, None, None, _size(evaluation, candidate))


def _of_score(score: Score, showers: float) -> Own:
    return Own(score.value, score.error, score.floor, showers)


def _size(evaluation: Evaluation, candidate: str) -> float:
    """The effective number of showers of the smaller of the two samples."""
    sizes = {sample.name: sample.effective_size for sample in evaluation.candidates}
    return min(evaluation.full.effective_size, sizes[candidate])


def _is_benchmarks(evaluation: Evaluation, name: str) -> bool:
    """Whether the judge of this name is built and trained as the benchmark's, whatever its
    threshold.
    """
    expected = () if evaluation.preset is None else CLASSIFIERS[evaluation.preset.judges]
    protocols = [(judge.architecture, judge.training) for judge in expected if judge.name == name]
    return any(
        (judge.architecture, judge.training) in protocols
        for judge in evaluation.settings.judges
        if judge.name == name
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


def standing(evaluation: Evaluation, candidate: str) -> Standing:
    """Put a candidate among the published results of the evaluation's preset.

    Arguments:
        evaluation: The evaluation.
        candidate: The candidate's name.
    """
    preset = evaluation.preset
    if preset is None:
        return Standing(candidate, ())
    same = not _showers_differ(evaluation, preset)
    owns = {quantity: quantity.own(evaluation, candidate) for quantity in _quantities(preset)}
    return Standing(
        candidate, tuple(_row(quantity, own, preset, same=same) for quantity, own in owns.items())
    )


def _quantities(preset: Preset) -> list[Quantity]:
    """The quantities that some submission has."""
    return [
        q
        for q in QUANTITIES
        if any(q.published(submission) is not None for submission in preset.published[1:])
    ]


def _row(quantity: Quantity, own: Own | None, preset: Preset, *, same: bool) -> StandingRow:
    geant4, *submissions = preset.published
    floor = quantity.published(geant4)
    values = {s.name: number for s in submissions if (number := quantity.published(s)) is not None}
    gaps = {name: quantity.aim.gap(value, floor or 0.0) for name, value in values.items()}
    best = min(gaps, key=gaps.__getitem__)
    return StandingRow(
        quantity=quantity,
        own=own,
        geant4=floor,
        geant4_error=quantity.published_error(geant4),
        best=values[best],
        best_name=best,
        rank=None
        if own is None
        else _rank(quantity.aim.gap(own.value, own.floor or 0.0), gaps.values()),
        submissions=len(values),
        comparable=own is not None and same and _comparable(quantity, own, preset),
    )


def _rank(gap: float, others: Iterable[float]) -> int:
    """One more than how many are smaller, not only by rounding."""
    return 1 + sum(other < gap and not math.isclose(other, gap) for other in others)


def _comparable(quantity: Quantity, own: Own, preset: Preset) -> bool:
    """Whether a value from the benchmark's showers can be compared: found as it asks, from as many
    showers as it takes.
    """
    if quantity.depends is Depends.MACHINE or not own.benchmark:
        return False
    return quantity.depends is Depends.NOTHING or _alike(own.showers, preset.showers)


def published_rows(preset: Preset) -> Mapping[str, Mapping[str, float]]:
    """The published table as shown: for each submission, Geant4 first, and each quantity's title
    its number, where it has one.
    """
    return {
        submission.name: {
            q.title: number
            for q in _quantities(preset)
            if (number := q.published(submission)) is not None
        }
        for submission in preset.published
    }


def caveats(evaluation: Evaluation) -> list[str]:
    """Why the numbers may not be comparable with those of the evaluation's preset, in plain
    sentences; none without a preset.
    """
    preset = evaluation.preset
    if preset is None:
        return []
    return [
        *_showers_differ(evaluation, preset),
        *_sizes_differ(evaluation, preset),
        *_neighbours_differ(evaluation, preset),
        *_judges_differ(evaluation, preset),
        *_mismatch(preset),
        _INFERRED,
        *_machines(evaluation),
    ]


def _alike(a: float, b: float) -> bool:
    return abs(a - b) <= _SIMILAR * b


def _showers_differ(evaluation: Evaluation, preset: Preset) -> list[str]:
    """In what the showers are not those of the benchmark."""
    full, found = evaluation.full, []
    if full.calorimeter != named_calorimeters()[preset.calorimeter]:
        found.append(
            f"The calorimeter is '{full.calorimeter.name}', that of the published results is "
            f"'{preset.calorimeter}'."
        )
    other = set(full.species) - {preset.pdg}
    if other:
        names = ", ".join(name_of(pdg) for pdg in sorted(other))
        found.append(
            f"The incident particles are {names}, those of the published results "
            f"{name_of(preset.pdg)}."
        )
    here = float(full.energies.min()), float(full.energies.max())
    if not all(
        _alike(energy, published) for energy, published in zip(here, preset.energies, strict=True)
    ):
        found.append(
            f"The incident energies are {_range(here)}, those of the published results "
            f"{_range(preset.energies)}: "
            "no number can be compared."
        )
    return found


def _range(energies: tuple[float, float]) -> str:
    low, high = (format_energy(float(f"{energy:.3g}")) for energy in energies)
    return low if low == high else f"{low} to {high}"


def _sizes_differ(evaluation: Evaluation, preset: Preset) -> list[str]:
    sizes = [_size(evaluation, sample.name) for sample in evaluation.candidates]
    if all(_alike(size, preset.showers) for size in sizes):
        return []
    return [
        f"There are {min(sizes):,.0f} showers in the smallest sample; the published results are "
        f"of some {preset.showers:,}. "
        "FPD and separation powers of equal laws grow as 1/N: compare what exceeds the floor, as "
        "the ranks do, not the values."
    ]


def _neighbours_differ(evaluation: Evaluation, preset: Preset) -> list[str]:
    counts = [
        min(found.showers, _size(evaluation, name)) for name, found in evaluation.features.items()
    ]
    if all(_alike(count, preset.showers) for count in counts):
        return []
    return [
        f"Precision, recall, density and coverage are of as few as {min(counts):,.0f} showers of "
        "a sample, the published ones of "
        f"some {preset.showers:,}. They depend on this number: compare each with its floor."
    ]


def _judges_differ(evaluation: Evaluation, preset: Preset) -> list[str]:
    judgements = [
        judgement for judged in evaluation.judgements.values() for judgement in judged.values()
    ]
    if not judgements:
        return []
    found = []
    if not all(_is_benchmarks(evaluation, judgement.name) for judgement in judgements):
        found.append(
            "Some classifiers are not those of the benchmark: their AUC cannot be compared with "
            "the published ones."
        )
    fewest = min(min(judgement.n_full, judgement.n_candidate) for judgement in judgements)
    if fewest < (1 - _SIMILAR) * preset.showers:
        found.append(
            f"Classifiers saw as few as {fewest:,} showers of a sample, those of the published "
            f"results some {preset.showers:,}. "
            "A classifier learns less from fewer showers, so that the AUC comes out lower, that "
            "is better, than it would."
        )
    return found


def _mismatch(preset: Preset) -> list[str]:
    """Where the published samples of Geant4 themselves can be told apart."""
    geant4 = preset.published[0].numbers
    low, high = (geant4.get(f"binary cls {kind}", 0.5) for kind in ("low", "high"))
    if max(low, high) < _MISMATCH:
        return []
    return [
        f"The two published samples of Geant4 can be told apart, by an AUC of {low:.2f} "
        f"(low-level) and {high:.2f} (high-level): "
        "this, not 0.50, is the best that the published results can reach."
    ]


def _machines(evaluation: Evaluation) -> list[str]:
    if not any(sample.name in evaluation.times for sample in evaluation.candidates):
        return []
    return ["The published times are of other machines and of batches of 100 showers."]
