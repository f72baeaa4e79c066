"""Judging candidates against the full simulation: every observable, every candidate, each distance beside its floor.

`evaluate` reads each sample once, a batch at a time, and keeps what the distances and the figures need: the values of the
observables (for cell energies two bytes a cell, see `caloforge.metrics.measures`), the mean shower and one example, the shower
with the median incident energy. The classifier alone sees whole showers, at most the first `Settings.classifier_showers` of
each sample.
"""

__all__ = ["evaluate"]

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Real
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.io.input import require_deposits
from caloforge.metrics.classifier import LEAST_SHOWERS, Auc, shower_auc
from caloforge.metrics.distances import LEAST_FULL, Distance, distance
from caloforge.metrics.measures import common_measures, encode
from caloforge.observables import Entry, Observable, catalogue
from caloforge.report.records import Evaluation, Sample, Settings, shares_energies
from caloforge.showers import Showers, ShowerSource, spans

Progress = Callable[[str], None]


def _silent(step: str) -> None:
    del step


def evaluate(
    full: ShowerSource,
    candidates: Mapping[str, ShowerSource],
    *,
    full_name: str = "Full simulation",
    observables: tuple[Observable, ...] | None = None,
    times: Mapping[str, float] | None = None,
    settings: Settings | None = None,
    progress: Progress = _silent,
) -> Evaluation:
    """Judge candidates against the full simulation.

    Arguments:
        full: Showers of the full simulation.
        candidates: The samples to judge, by name, the baseline first.
        full_name: The name of the full simulation in tables and figures.
        observables: What to compare; None for all that the calorimeter allows.
        times: For each stage that was timed its time, in ms a shower, to be shown in the report; the full simulation's under
            its name.
        settings: How carefully to judge; None for the standard.
        progress: Told in words what is done next.

    Returns:
        The evaluation.

    Raises:
        GeometryMismatchError: A candidate is of another calorimeter.
        ShowerValueError: There is no candidate, one has the name of the full simulation, a sample has too few showers, or a
            deposit is not finite and at least 0.
    """
    settings = settings or Settings()
    _check(full, candidates, full_name)
    chosen = catalogue(full.calorimeter) if observables is None else observables
    reference = _collected(full_name, full, chosen, settings, progress)
    samples = tuple(_collected(n, c, chosen, settings, progress, reference) for n, c in candidates.items())
    distances = _distances(reference, samples, chosen, settings, progress)
    aucs = _aucs(full, candidates, settings, progress)
    return Evaluation(reference, samples, chosen, distances, aucs, dict(times or {}), settings)


def _check(full: ShowerSource, candidates: Mapping[str, ShowerSource], full_name: str) -> None:
    if not candidates or full_name in candidates:
        msg = f"candidates are named {list(candidates)}: expected at least one, none of them '{full_name}' as the full simulation"
        raise ShowerValueError(msg)
    for name, source in {full_name: full, **candidates}.items():
        full.calorimeter.require(source.calorimeter, f"sample '{name}'")
        if len(source) < LEAST_FULL:
            msg = (
                f"sample '{name}' has {len(source)} showers, expected at least {LEAST_FULL} (500 for numbers that mean something)"
            )
            raise ShowerValueError(msg)


def _collected(
    name: str,
    source: ShowerSource,
    observables: tuple[Observable, ...],
    settings: Settings,
    progress: Progress,
    like: Sample | None = None,
) -> Sample:
    """Read a sample once, and its example after that."""
    progress(f"reading {name}")
    energies, total, parts = [], np.zeros(source.calorimeter.n_cells), []
    for rows, batch in zip(spans(len(source), settings.batch_size), source.batches(settings.batch_size), strict=True):
        require_deposits(batch.deposits, f"sample '{name}'", range(rows.start, rows.stop))
        energies.append(batch.energies.double().cpu().numpy())
        total += batch.deposits.double().sum(dim=0).cpu().numpy()
        parts.append({o.function: _values(o, batch) for o in observables})
    columns = {function: np.concatenate([part[function] for part in parts]) for function in parts[0]}
    values = {o.name: columns[o.function] for o in observables}
    whole = np.concatenate(energies)
    row = _example_row(whole, like)
    example = source[row : row + 1]
    deposits = example.deposits[0].double().cpu().numpy()
    return Sample(name, source.calorimeter, example.particles.pdg, whole, values, total / len(source), deposits, row)


def _values(observable: Observable, batch: Showers) -> Real[np.ndarray, "..."]:
    values: Tensor = observable.function(batch)
    return encode(values) if observable.entry is Entry.CELL else values.cpu().numpy()


def _example_row(energies: Float[np.ndarray, " showers"], like: Sample | None) -> int:
    """The shower of median energy; for a candidate the same row, or else the one nearest in energy."""
    if like is None:
        return int(np.argsort(energies, kind="stable")[len(energies) // 2])
    if len(energies) == len(like) and np.allclose(energies, like.energies):
        return like.example_row
    return int(np.argmin(np.abs(energies - like.energies[like.example_row])))


def _distances(
    full: Sample, candidates: tuple[Sample, ...], observables: tuple[Observable, ...], settings: Settings, progress: Progress
) -> dict[str, dict[str, Distance]]:
    table: dict[str, dict[str, Distance]] = {candidate.name: {} for candidate in candidates}
    for observable in observables:
        progress(f"distances of {observable.title}")
        lines = common_measures(observable, full.calorimeter, [s.values[observable.name] for s in (full, *candidates)])
        for candidate, line in zip(candidates, lines[1:], strict=True):
            energies = full.energies if shares_energies(full, candidate) else None
            table[candidate.name][observable.name] = distance(
                lines[0], line, energies=energies, replicas=settings.replicas, cuts=settings.cuts, seed=settings.seed
            )
    return table


def _aucs(full: ShowerSource, candidates: Mapping[str, ShowerSource], settings: Settings, progress: Progress) -> dict[str, Auc]:
    trainable = {n: c for n, c in candidates.items() if min(len(full), len(c)) >= LEAST_SHOWERS and settings.trainings}
    aucs = {}
    for name, source in trainable.items():
        progress(f"classifier against {name}")
        seen = [s[: settings.classifier_showers] for s in (full, source)]
        options = {"trainings": settings.trainings, "seed": settings.seed}
        aucs[name] = shower_auc(seen[0], seen[1], network=settings.network, **options)
    return aucs
