"""Candidates against the full simulation: every observable, every candidate, each number beside
its floor.

`evaluate` draws the resamplings first (from incident energies and weights alone), reads each sample
once, a batch at a time (`caloforge.evaluation.collection`), and compares. Classifiers and metrics
that compare showers pair by pair see whole showers, at most the first `Settings.classifier_showers`
and `Settings.neighbour_showers` of each sample.
"""

__all__ = ["evaluate"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from caloforge.classifiers import LEAST_SHOWERS, Separation, ShowerWeights, separate
from caloforge.errors import ShowerValueError
from caloforge.evaluation.collection import Collected, Plan, collect, example, weights_of
from caloforge.evaluation.comparisons import compare
from caloforge.evaluation.findings import (
    IN_TAILS,
    Evaluation,
    Features,
    Sample,
    Settings,
    Slice,
    same_energies,
    shares_energies,
)
from caloforge.metrics.amplification import Amplification, amplification
from caloforge.metrics.bins import Bins, equal_bins
from caloforge.metrics.correlations import correlation_distance
from caloforge.metrics.distances import Comparison, compare_points
from caloforge.metrics.frechet import frechet_distance
from caloforge.metrics.kernel import kernel_distance
from caloforge.metrics.neighbours import log_voxels, neighbours
from caloforge.metrics.resampling import LEAST_FULL, Resampling, resampling
from caloforge.metrics.scores import Score
from caloforge.observables import THRESHOLD, Entry, Observable, Scale, catalogue
from caloforge.published import Preset
from caloforge.showers import ShowerSource

Progress = Callable[[str], None]

LEAST_IN_SLICE = 100
"""The fewest showers of a sample in a slice of incident energy."""

_WANTED_IN_SLICE = 400
_QUICK = 20


def _silent(step: str) -> None:
    del step


@dataclass(frozen=True, eq=False)
class _Pair:
    """The full simulation and one candidate, with their resamplings."""

    full: Collected
    candidate: Collected
    mode: int
    drawn: Resampling
    settings: Settings

    @property
    def shared(self) -> bool:
        return shares_energies(self.full.sample, self.candidate.sample)

    def redrawn(
        self, full: Bool[np.ndarray, " n"] | slice, candidate: Bool[np.ndarray, " m"] | slice
    ) -> Resampling:
        """A few resamplings of some of the showers."""
        a, b = self.full.sample, self.candidate.sample
        energies = a.energies[full] if self.shared else None
        options = {"replicas": _QUICK, "cuts": _QUICK, "seed": self.settings.seed}
        return resampling(a.weights[full], b.weights[candidate], energies=energies, **options)


def evaluate(
    full: ShowerSource,
    candidates: Mapping[str, ShowerSource],
    *,
    full_name: str = "Full simulation",
    observables: tuple[Observable, ...] | None = None,
    preset: Preset | None = None,
    training: ShowerSource | None = None,
    times: Mapping[str, float] | None = None,
    settings: Settings | None = None,
    progress: Progress = _silent,
) -> Evaluation:
    """Compare candidates with the full simulation.

    Arguments:
        full: Showers of the full simulation.
        candidates: The samples to compare, by name, the baseline first.
        full_name: The name of the full simulation in tables and figures.
        observables: What to compare; None for all that the calorimeter allows.
        preset: A community's benchmark, for its bins, thresholds and published results; None for
            none.
        training: The showers of the full simulation on which candidates were trained, to test
            whether a candidate knows more than they do; None for no such test.
        times: For each stage that was timed its time, in ms a shower, to be shown in the report;
            the full simulation's under its name.
        settings: How carefully to compare; None for the standard.
        progress: Told in words what is done next.

    Returns:
        The evaluation.

    Raises:
        GeometryMismatchError: A sample is of another calorimeter.
        ShowerValueError: There is no candidate, one has the name of the full simulation, a sample
            has too few showers, or a deposit is not finite and at least 0.
    """
    settings = settings or Settings()
    _check(full, candidates, full_name, training)
    threshold = THRESHOLD if preset is None else preset.threshold
    chosen = catalogue(full.calorimeter, threshold) if observables is None else observables
    plan = Plan(chosen, threshold, _cell_bins(full, chosen, preset, settings), settings.batch_size)
    pairs = _pairs(full, candidates, full_name, plan, settings, progress)
    comparisons, gaps = _comparisons(pairs, chosen, preset, progress)
    separations = _separations(full, candidates, settings, progress)
    missed = [j.tails(IN_TAILS).missed for of in separations.values() for j in of.values()]
    spurious = {
        name: [j.tails(IN_TAILS).spurious for j in of.values()] for name, of in separations.items()
    }
    return Evaluation(
        full=_with_outliers(next(iter(pairs.values())).full.sample, full, missed),
        candidates=tuple(
            _with_outliers(p.candidate.sample, candidates[name], spurious[name])
            for name, p in pairs.items()
        ),
        observables=chosen,
        comparisons=comparisons,
        gaps=gaps,
        features=_features(full, candidates, pairs, settings, progress),
        classifiers=separations,
        slices={name: _slices(pair, chosen, settings.left_out) for name, pair in pairs.items()},
        amplifications=_amplifications(training, pairs, plan, progress),
        times=dict(times or {}),
        settings=settings,
        preset=preset,
    )


def _check(
    full: ShowerSource,
    candidates: Mapping[str, ShowerSource],
    full_name: str,
    training: ShowerSource | None,
) -> None:
    if not candidates or full_name in candidates:
        msg = (
            f"candidates are named {list(candidates)}: expected at least one, none of them "
            f"'{full_name}' as the full simulation"
        )
        raise ShowerValueError(msg)
    extra = {} if training is None else {"training": training}
    for name, source in {full_name: full, **candidates, **extra}.items():
        full.calorimeter.require(source.calorimeter, f"sample '{name}'")
        if len(source) < LEAST_FULL:
            msg = (
                f"sample '{name}' has {len(source)} showers, expected at least {LEAST_FULL} (500 "
                "for numbers that mean something)"
            )
            raise ShowerValueError(msg)


def _cell_bins(
    full: ShowerSource,
    observables: tuple[Observable, ...],
    preset: Preset | None,
    settings: Settings,
) -> Bins | None:
    """The benchmark's bins of cell energies, which reach to the largest of the full simulation."""
    cells = [o for o in observables if o.entry is Entry.CELL and o.scale is Scale.LOG]
    rule = None if preset is None or not cells else preset.rule(cells[0].name)
    if rule is None:
        return None
    return rule(
        np.array([max(float(batch.deposits.max()) for batch in full.batches(settings.batch_size))])
    )


def _pairs(
    full: ShowerSource,
    candidates: Mapping[str, ShowerSource],
    full_name: str,
    plan: Plan,
    settings: Settings,
    progress: Progress,
) -> dict[str, _Pair]:
    """Read all samples. The full simulation's resamplings depend on whether energies are shared,
    and on nothing else.
    """
    energies = _energies(full)
    shared = {
        name: same_energies(energies, _energies(source)) for name, source in candidates.items()
    }
    drawn = {
        name: _drawn(full, source, energies if shared[name] else None, settings)
        for name, source in candidates.items()
    }
    modes = list(dict.fromkeys(shared.values()))
    rows = [next(drawn[name].full_rows for name in drawn if shared[name] is mode) for mode in modes]
    kept = 1 + settings.replicas
    progress(f"reading {full_name}")
    reference = collect(full_name, full, plan, rows, kept)
    pairs = {}
    for name, source in candidates.items():
        progress(f"reading {name}")
        candidate = collect(
            name, source, plan, [drawn[name].candidate_rows], kept, reference.sample
        )
        pairs[name] = _Pair(reference, candidate, modes.index(shared[name]), drawn[name], settings)
    return pairs


def _drawn(
    full: ShowerSource,
    candidate: ShowerSource,
    energies: Float[np.ndarray, " showers"] | None,
    settings: Settings,
) -> Resampling:
    options = {"replicas": settings.replicas, "cuts": settings.cuts, "seed": settings.seed}
    return resampling(weights_of(full), weights_of(candidate), energies=energies, **options)


def _energies(source: ShowerSource) -> Float[np.ndarray, " showers"]:
    return source.energies.double().cpu().numpy()


def _comparisons(
    pairs: Mapping[str, _Pair],
    observables: tuple[Observable, ...],
    preset: Preset | None,
    progress: Progress,
) -> tuple[dict[str, dict[str, Comparison]], dict[str, dict[str, str]]]:
    found: dict[str, dict[str, Comparison]] = {name: {} for name in pairs}
    gaps: dict[str, dict[str, str]] = {name: {} for name in pairs}
    for observable in observables:
        progress(f"comparing {observable.title}")
        for name, pair in pairs.items():
            try:
                found[name][observable.name] = compare(
                    observable, pair.full, pair.candidate, pair.mode, pair.drawn, preset
                )
            except ShowerValueError as nothing:
                gaps[name][observable.name] = str(nothing)
    return found, gaps


def _features(
    full: ShowerSource,
    candidates: Mapping[str, ShowerSource],
    pairs: Mapping[str, _Pair],
    settings: Settings,
    progress: Progress,
) -> dict[str, Features]:
    """The metrics on vectors of features, of candidates with enough showers."""
    able = {
        n: s
        for n, s in candidates.items()
        if min(len(full), len(s), settings.neighbour_showers) >= LEAST_SHOWERS
    }
    if not able:
        return {}
    some, found = slice(settings.neighbour_showers), {}
    voxels = log_voxels(full[some].deposits.to(settings.device))
    for name, source in able.items():
        progress(f"feature vectors of {name}")
        pair = pairs[name]
        f, g, few = (
            pair.full.sample.features,
            pair.candidate.sample.features,
            pair.redrawn(some, some),
        )
        found[name] = Features(
            frechet=frechet_distance(f, g, pair.drawn),
            kernel=kernel_distance(f[some], g[some], few),
            neighbours=neighbours(
                voxels, log_voxels(source[some].deposits.to(settings.device)), few
            ),
            correlation=_correlation(pair),
            showers=settings.neighbour_showers,
        )
    return found


def _correlation(pair: _Pair) -> Score | None:
    layers = [c.sample.values.get("layer_energies") for c in (pair.full, pair.candidate)]
    if layers[0] is None or layers[1] is None:
        return None
    return correlation_distance(layers[0], layers[1], pair.drawn)


def _separations(
    full: ShowerSource,
    candidates: Mapping[str, ShowerSource],
    settings: Settings,
    progress: Progress,
) -> dict[str, dict[str, Separation]]:
    if not settings.classifiers:
        return {name: {} for name in candidates}
    separations: dict[str, dict[str, Separation]] = {}
    reference = full[: settings.classifier_showers].to(settings.device)
    for name, source in candidates.items():
        seen = source[: settings.classifier_showers].to(settings.device)
        separations[name] = {}
        for one in settings.classifiers if min(len(reference), len(seen)) >= LEAST_SHOWERS else ():
            progress(f"classifier '{one.title}' against {name}")
            separations[name][one.name] = separate(
                reference, seen, one, trainings=settings.trainings, seed=settings.seed
            )
    return separations


def _with_outliers(sample: Sample, source: ShowerSource, tails: Sequence[ShowerWeights]) -> Sample:
    """The sample with the showers in the tails of its weights."""
    rows = dict.fromkeys(int(row) for tail in tails for row in tail.rows)
    return replace(sample, outliers=tuple(example(source, row) for row in rows))


def _slices(
    pair: _Pair, observables: tuple[Observable, ...], left_out: tuple[float, float] | None
) -> tuple[Slice, ...]:
    """The whole-shower observables in slices of incident energy that hold enough showers of both
    samples.
    """
    a, b = pair.full.sample, pair.candidate.sample
    edges = _edges(a.energies, pair.settings.slices, left_out)
    whole = [o for o in observables if o.entry is Entry.SHOWER and o.scale is Scale.LINEAR]
    slices = []
    for low, high in pairwise(edges):
        inside = [
            (s.energies >= low) & ((s.energies < high) | (high == edges[-1]))
            for s in (a, a if pair.shared else b)
        ]
        if min(int(i.sum()) for i in inside) < LEAST_IN_SLICE:
            continue
        drawn = pair.redrawn(inside[0], inside[1])
        scores = {o.name: _standardised(a, b, o, inside[0], inside[1], drawn) for o in whole}
        without = left_out is not None and bool(left_out[0] <= low and high <= left_out[1])
        slices.append(
            Slice(
                float(low), float(high), without, int(inside[0].sum()), int(inside[1].sum()), scores
            )
        )
    return tuple(slices)


def _edges(
    energies: Float[np.ndarray, " n"], most: int, left_out: tuple[float, float] | None
) -> Float[np.ndarray, " edges"]:
    """Slices with equally many showers; the energies left out are a slice of their own. None where
    energies do not vary.
    """
    n = min(most, len(energies) // _WANTED_IN_SLICE)
    if n < 2 and left_out is None:
        return np.empty(0) if n < 1 else np.empty(1)
    edges = np.unique(np.quantile(energies, np.linspace(0, 1, max(n, 1) + 1)))
    if left_out is None:
        return edges if len(edges) > 2 else np.empty(1)
    between = [
        ((energies >= min(edge, left_out[0])) & (energies < max(edge, left_out[1]))).sum()
        for edge in edges
    ]
    inside = ((energies >= left_out[0]) & (energies < left_out[1])).sum()
    outside = edges[
        ((edges < left_out[0]) | (edges > left_out[1]))
        & (np.array(between) - inside >= LEAST_IN_SLICE)
    ]
    return np.sort(np.concatenate([outside, left_out]))


def _standardised(
    a: Sample,
    b: Sample,
    observable: Observable,
    in_a: Bool[np.ndarray, " n"],
    in_b: Bool[np.ndarray, " m"],
    drawn: Resampling,
) -> Score:
    f, g = a.values[observable.name][in_a], b.values[observable.name][in_b]
    return compare_points(f, g, drawn, equal_bins(f)).standardised.score


def _amplifications(
    training: ShowerSource | None, pairs: Mapping[str, _Pair], plan: Plan, progress: Progress
) -> dict[str, dict[str, Amplification]]:
    """Each whole-shower observable of each candidate beside the training sample; nothing without
    one.
    """
    if training is None:
        return {}
    progress("reading the training sample")
    known = collect("training", training, plan, [np.ones((1, len(training)))], 1).sample
    truth = next(iter(pairs.values())).full.sample
    whole = [
        o.name for o in plan.observables if o.entry is Entry.SHOWER and o.scale is Scale.LINEAR
    ]
    whole = [name for name in whole if np.ptp(truth.values[name]) > 0]
    return {
        name: {o: _amplification(truth, known, pair.candidate.sample, o) for o in whole}
        for name, pair in pairs.items()
    }


def _amplification(
    truth: Sample, training: Sample, candidate: Sample, observable: str
) -> Amplification:
    samples = (truth, training, candidate)
    values = (sample.values[observable] for sample in samples)
    return amplification(*values, weights=tuple(s.weights if s.weighted else None for s in samples))
