"""Candidates against the full simulation: every observable, every candidate, each number beside
its floor.

`evaluate` draws the resamplings from incident energies and weights alone, and reads the full
simulation; then it reads one candidate after the other and compares it. The deposits of each sample
are read once, those of the full simulation twice where a benchmark bins cell energies up to their
largest (`Plan.cell_bins`). Classifiers and the metrics that compare showers pair by pair see the
first `Settings.classifier_showers` and `Settings.neighbour_showers` showers, which are kept whole
while the sample is read: those of two samples at a time, whatever the number of candidates.
"""

__all__ = ["evaluate"]

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from caloforge.classifiers import Classifier, separate
from caloforge.classifiers.separation import Progress, silent
from caloforge.errors import ShowerValueError
from caloforge.evaluation.by_condition import bins
from caloforge.evaluation.collection import Collected, Plan, collect, example, weights_of
from caloforge.evaluation.comparisons import comparisons
from caloforge.evaluation.copies import copies
from caloforge.evaluation.findings import (
    IN_TAILS,
    Amplification,
    Bin,
    Comparison,
    Evaluation,
    Example,
    Features,
    Sample,
    Separation,
    Settings,
    ShowerWeights,
    Slice,
    same_energies,
)
from caloforge.evaluation.gaps import Gaps, require_size
from caloforge.evaluation.pair import Pair
from caloforge.evaluation.particles_alike import require_alike
from caloforge.evaluation.slices import energy_cuts, require_left_out, slices
from caloforge.evaluation.vectors import features
from caloforge.hits import HitSource, batches_of
from caloforge.io.input import ShowerFile
from caloforge.metrics.amplification import amplification
from caloforge.metrics.bins import Bins
from caloforge.metrics.resampling import LEAST_FULL, Resampling, resampling
from caloforge.observables import (
    THRESHOLD,
    TIMED,
    Entry,
    Observable,
    Scale,
    catalogue,
    hadronic,
    max_energy,
)
from caloforge.published import Preset
from caloforge.showers import ShowerSource
from caloforge.shown import counted


@dataclass(frozen=True, eq=False)
class _Measured:
    """What was found for one candidate, and of the full simulation the showers that a classifier
    finds hardest to match, and those beside the candidate's.
    """

    candidate: Sample
    missed: tuple[Example, ...]
    partners: tuple[Example, ...]
    comparisons: dict[str, Comparison]
    gaps: Gaps
    features: Features | None
    separations: dict[str, Separation]
    slices: tuple[Slice, ...]
    bins: tuple[Bin, ...]
    amplifications: dict[str, Amplification] | None


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
    progress: Progress = silent,
) -> Evaluation:
    """Compare candidates with the full simulation.

    Arguments:
        full: Showers of the full simulation.
        candidates: The samples to compare, by name, the baseline first.
        full_name: The name of the full simulation in tables and figures.
        observables: What to compare; None for all that the calorimeter allows, the times of hits
            where all samples have them, and those of hadrons where `Settings.mip` is given.
        preset: A community's benchmark, for its bins, thresholds and published results; None for
            none.
        training: The showers of the full simulation on which candidates were trained, to test
            whether a candidate knows more than they do; None for no such test.
        times: For each stage that was timed its time, in ms a shower, to be shown in the report;
            the full simulation's under its name.
        settings: How carefully to compare; None for the standard.
        progress: Called with each step, in words.

    Returns:
        The evaluation.

    Raises:
        GeometryMismatchError: A sample is of another calorimeter.
        ShowerValueError: There is no candidate, one has the name of the full simulation, or has
            other particles than it (see `Settings.other_particles`), a sample has too few showers,
            a deposit is not finite and at least 0, or a time is not positive.
    """
    _check(full, candidates, full_name, training)
    _require_times(times or {})
    if not (settings or Settings()).other_particles:
        _require_alike(full, candidates, full_name)
    sources = [full, *candidates.values(), *([] if training is None else [training])]
    plan = _plan(sources, observables, preset, settings or Settings())
    drawn = _all_drawn(full, candidates, plan.settings)
    progress(f"reading {full_name}")
    references = _references(full_name, full, plan, drawn.values())
    known = _training(training, plan, progress)
    found = []
    for name, source in candidates.items():
        progress(f"reading {name}")
        reference = references[drawn[name].paired]
        rows = [drawn[name].candidate_rows]
        [candidate] = collect(name, source, plan, rows, reference.sample)
        pair = Pair(reference, candidate, drawn[name], plan)
        found.append(_measured(pair, known, progress))
    whole = next(iter(references.values())).sample
    candidate_samples = [one.candidate for one in found]
    return replace(
        _assembled(whole, found, plan, dict(times or {})),
        copies=copies(whole, candidate_samples, known),
        origins=_origins({full_name: full, **candidates}, training),
    )


def _origins(
    sources: Mapping[str, ShowerSource], training: ShowerSource | None
) -> dict[str, dict[str, str]]:
    """The files of the samples, by their names."""
    every = {**sources, **({} if training is None else {"training": training})}
    return {name: one.origin for name, one in every.items() if isinstance(one, ShowerFile)}


def _assembled(
    full: Sample, found: list[_Measured], plan: Plan, times: dict[str, float]
) -> Evaluation:
    """The findings of all candidates by their names."""
    named = {one.candidate.name: one for one in found}
    missed = {example.row: example for one in found for example in one.missed}
    partners = {example.row: example for one in found for example in one.partners}
    return Evaluation(
        full=replace(full, outliers=tuple(missed.values()), partners=tuple(partners.values())),
        candidates=tuple(one.candidate for one in found),
        observables=plan.observables,
        comparisons={name: one.comparisons for name, one in named.items()},
        gaps={name: one.gaps for name, one in named.items()},
        features={name: one.features for name, one in named.items() if one.features is not None},
        classifiers={name: one.separations for name, one in named.items()},
        slices={name: one.slices for name, one in named.items()},
        bins={name: one.bins for name, one in named.items()},
        amplifications={
            name: one.amplifications
            for name, one in named.items()
            if one.amplifications is not None
        },
        times=times,
        settings=plan.settings,
        preset=plan.preset,
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
        number = int(np.count_nonzero(weights_of(source)))
        if number < LEAST_FULL:
            weighted = "" if source.weights is None else " with a weight above 0"
            msg = (
                f"sample '{name}' has {counted(number, 'shower')}{weighted}, expected at least "
                f"{LEAST_FULL} (500 for numbers that mean something)"
            )
            raise ShowerValueError(msg)


def _require_alike(
    full: ShowerSource, candidates: Mapping[str, ShowerSource], full_name: str
) -> None:
    of_full = full.particles, weights_of(full)
    for name, source in candidates.items():
        side = source.particles, weights_of(source)
        along = full.calorimeter.along_particle
        require_alike(of_full, side, (full_name, name), along_particle=along)


def _require_times(times: Mapping[str, float]) -> None:
    for stage, time in times.items():
        if not 0 < time < math.inf:
            msg = f"the time of '{stage}' is {time:g} ms a shower, expected a positive number"
            raise ShowerValueError(msg)


def _plan(
    sources: Sequence[ShowerSource],
    observables: tuple[Observable, ...] | None,
    preset: Preset | None,
    settings: Settings,
) -> Plan:
    """The plan for samples of one calorimeter, the full simulation first."""
    full = sources[0]
    threshold = _readout(full) if preset is None else preset.threshold
    chosen = observables
    if chosen is None:
        more = () if settings.mip is None else hadronic(settings.mip)
        timed = TIMED if all(map(_has_times, sources)) else ()
        chosen = (*catalogue(full.calorimeter, threshold), *more, *timed)
    plan = Plan(chosen, threshold, None, preset, settings)
    return replace(plan, cell_bins=_cell_bins(full, plan))


def _has_times(source: ShowerSource) -> bool:
    return isinstance(source, HitSource) and source.sparse(slice(1)).times is not None


def _readout(full: ShowerSource) -> float:
    """What a hit exceeds, in MeV: the threshold of the readout where the full simulation states
    one, else the standard one.
    """
    return full[:1].threshold or THRESHOLD


def _cell_bins(full: ShowerSource, plan: Plan) -> Bins | None:
    """The benchmark's bins of cell energies, which reach to the largest of the full simulation."""
    cells = [o for o in plan.observables if o.entry is Entry.CELL and o.scale is Scale.LOG]
    rule = None if plan.preset is None or not cells else plan.preset.rule(cells[0].name)
    if rule is None:
        return None
    batches = batches_of(full, plan.settings.batch_size)
    return rule(np.array([max(float(max_energy(batch).max()) for batch in batches)]))


def _all_drawn(
    full: ShowerSource, candidates: Mapping[str, ShowerSource], settings: Settings
) -> dict[str, Resampling]:
    """The resamplings for every candidate; those of the full simulation are in memory once."""
    drawn: dict[str, Resampling] = {}
    shared: dict[bool, np.ndarray] = {}
    for name, source in candidates.items():
        one = _drawn(full, source, settings)
        rows = shared.setdefault(one.paired, one.full_rows)
        drawn[name] = replace(one, full_rows=rows)
    return drawn


def _drawn(full: ShowerSource, candidate: ShowerSource, settings: Settings) -> Resampling:
    """The resamplings of two samples; those of the full simulation depend on whether incident
    energies are shared, and on nothing else.
    """
    energies = _energies(full)
    return resampling(
        weights_of(full),
        weights_of(candidate),
        energies=energies if same_energies(energies, _energies(candidate)) else None,
        replicas=settings.replicas,
        splits=settings.splits,
        seed=settings.seed,
    )


def _energies(source: ShowerSource) -> Float[np.ndarray, " showers"]:
    return source.energies.double().cpu().numpy()


def _references(
    name: str, full: ShowerSource, plan: Plan, drawn: Iterable[Resampling]
) -> dict[bool, Collected]:
    """The full simulation, its cells counted with and without shared energies as is needed."""
    rows: dict[bool, np.ndarray] = {}
    for one in drawn:
        rows.setdefault(one.paired, one.full_rows)
    return dict(zip(rows, collect(name, full, plan, list(rows.values())), strict=True))


def _training(training: ShowerSource | None, plan: Plan, progress: Progress) -> Sample | None:
    """The training sample as read; nothing of it is kept whole."""
    if training is None:
        return None
    progress("reading the training sample")
    alone = replace(plan, settings=replace(plan.settings, classifiers=(), neighbour_showers=0))
    [found] = collect("training", training, alone, [np.ones((1, len(training)))])
    return found.sample


def _measured(pair: Pair, training: Sample | None, progress: Progress) -> _Measured:
    gaps = Gaps()
    found = comparisons(pair, gaps, progress)
    progress(f"feature vectors of {pair.name}")
    vectors = features(pair, gaps)
    separations = _separations(pair, gaps, progress)
    tails = [one.tails(IN_TAILS) for one in separations.values()]
    of_energy = energy_cuts(pair)
    sliced = slices(pair, of_energy)
    gaps.found("left_out", partial(require_left_out, pair, sliced))
    spurious = _outliers(pair.candidate, [t.spurious for t in tails])
    missed = _outliers(pair.full, [t.missed for t in tails])
    beside = _partners(pair.candidate, missed)
    return _Measured(
        candidate=replace(pair.candidate.sample, outliers=spurious, partners=beside),
        missed=missed,
        partners=_partners(pair.full, spurious),
        comparisons=found,
        gaps=gaps,
        features=vectors,
        separations=separations,
        slices=sliced,
        bins=bins(pair, of_energy, separations),
        amplifications=None if training is None else _amplifications(pair, training, gaps),
    )


def _separations(pair: Pair, gaps: Gaps, progress: Progress) -> dict[str, Separation]:
    """How well each classifier separates the samples, where they have showers enough."""
    found = {}
    for one in pair.plan.settings.classifiers:
        separation = gaps.found(one.name, partial(_separation, pair, one, progress))
        if separation is not None:
            found[one.name] = separation
    return found


def _separation(pair: Pair, classifier: Classifier, progress: Progress) -> Separation:
    settings = pair.plan.settings
    showers = settings.classifier_showers
    require_size(pair.full.sample, pair.candidate.sample, first=showers)
    progress(f"classifier '{classifier.title}' against {pair.name}")
    return separate(
        *pair.first(showers), classifier, trainings=settings.trainings, seed=settings.seed
    )


def _outliers(collected: Collected, tails: list[ShowerWeights]) -> tuple[Example, ...]:
    """The showers in the tails of weights."""
    rows = dict.fromkeys(int(row) for tail in tails for row in tail.rows)
    return tuple(example(collected.first, row) for row in rows)


def _partners(collected: Collected, outliers: tuple[Example, ...]) -> tuple[Example, ...]:
    """For each of some showers of another sample the one nearest in energy."""
    energies = collected.first.energies.double().cpu().numpy()
    nearest = (int(np.argmin(np.abs(energies - one.energy))) for one in outliers)
    return tuple(example(collected.first, row) for row in dict.fromkeys(nearest))


def _amplifications(pair: Pair, training: Sample, gaps: Gaps) -> dict[str, Amplification]:
    """Each whole-shower observable of a candidate beside the training sample."""
    samples = (pair.full.sample, training, pair.candidate.sample)
    weights = tuple(s.weights if s.weighted else None for s in samples)
    found = {}
    for name in (o.name for o in pair.plan.of_showers if np.ptp(samples[0].values[o.name]) > 0):
        values = [s.values[name] for s in samples]
        one = gaps.found("amplification", partial(amplification, *values, weights=weights))
        if one is not None:
            found[name] = one
    return found
