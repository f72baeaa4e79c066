"""The loop that makes showers into a file, a batch at a time.

A source is what showers are made from: particles (`caloforge.gun`) for a simulator or a chain,
showers, in memory or in a file, for a refiner or to be copied. Shower i depends on the maker, the
seed, i and row i of the source alone, and the file on its showers alone: neither the size of the
batches nor an interruption changes a byte of it.
"""

__all__ = ["Moved", "Produced", "copy", "produce"]

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from caloforge.chain import Judge, title_of
from caloforge.errors import EnergyRangeError
from caloforge.geometry import Calorimeter
from caloforge.gun import ParticleSource
from caloforge.hits import AnyShowers, Hits, HitSource
from caloforge.io import (
    CaloChallengeFile,
    CaloChallengeWriter,
    HitWriter,
    ShowerFile,
    convert,
    is_hdf5,
    require_format,
)
from caloforge.io.joining import Joined, join_files
from caloforge.io.writer import rows_of_block
from caloforge.models import InDetector, Surrogate
from caloforge.particles import Particles
from caloforge.paths import watch_disk
from caloforge.production.journal import Journal
from caloforge.production.origin import attributes_of, job_of
from caloforge.production.shards import ShardWriter
from caloforge.showers import ShowerSource, spans
from caloforge.simulators import Geant4, Record, Refiner, Simulator
from caloforge.simulators.protocols import Progress, silent
from caloforge.units import format_energy

Made = tuple[AnyShowers, Mapping[str, Tensor]]
"""Showers, and further numbers, one a shower, by name."""

_AT_A_TIME = 100_000
"""So many particles' energies are compared with a range at a time."""

_FLOAT = 4


def anything(path: Path) -> None:
    """Accept whatever was made."""
    del path


@dataclass(frozen=True)
class Moved:
    """A source whose batches are moved to a device.

    Arguments:
        source: The particles or the showers.
        device: Where the batches shall be.
    """

    source: Any
    device: torch.device | str

    @property
    def particles(self) -> Particles:
        """The particles of all showers, where the source is one of showers."""
        found: Particles = self.source.particles
        return found

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: slice) -> Any:
        return self.source[index].to(self.device)


@dataclass(frozen=True)
class Produced:
    """What a run has made.

    Arguments:
        path: The file.
        showers: How many showers it holds.
        resumed: How many of them were there from before.
        milliseconds: The time of the making, without reading and writing, in ms for each shower
            that was made now.
        dark: How many of those that were made now have no energy in any cell.
    """

    path: Path
    showers: int
    resumed: int
    milliseconds: float
    dark: int = 0


@dataclass(frozen=True)
class _Plan:
    """What is written and from what: the calorimeter, what the file says of itself, the batches
    from a number on, whether these are hits alone, and the file of which they are a copy.
    """

    calorimeter: Calorimeter
    attributes: Mapping[str, str]
    job: Mapping[str, Any]
    number: int
    made: Callable[[int], Iterator[Made]]
    sparse: bool = False
    copied: CaloChallengeFile | None = None


def produce(
    source: ParticleSource | ShowerSource | Moved,
    maker: Simulator | Refiner,
    path: Path | str,
    *,
    seed: int,
    batch_size: int = 1000,
    strict: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Produced:
    """Make showers into a file, in bounded memory, so that an interrupted run can be resumed.

    Arguments:
        source: Particles for a simulator or a chain, showers for a refiner.
        maker: What makes the showers; a `Judge` sees the whole before it takes the file's name.
        path: The file; its suffix says the format. Showers in irregular cells are written as hits
            alone, in HDF5 those of models of points, too. Finished showers of an interrupted run
            are kept beside it.
        seed: The seed of the run.
        batch_size: How many showers are made at a time.
        strict: Refuse energies outside the maker's range before anything is made.
        resume: Go on with an interrupted run, if there is one.
        overwrite: Whether the file may take the place of another, and the run that of an
            interrupted one that is not resumed.
        progress: Given the number of showers just finished, those of the interrupted run first.

    Raises:
        OutputExistsError: The file or an interrupted run is there, and neither may be replaced nor
            resumed.
        OutputError: The file cannot be written there, or the interrupted run is of another job.
        EnergyRangeError: An energy is outside the range, and ``strict``.
        CaloforgeError: Whatever the maker raises; what is finished is kept.
    """
    if strict:
        _require_in_range(source, maker)
    sparse = _as_hits(maker, Path(path))
    require_format(path, maker.calorimeter, sparse=sparse)
    watch = _Watch()
    plan = _Plan(
        maker.calorimeter,
        attributes_of(source, maker, seed),
        job_of(source, maker, seed),
        len(source),
        partial(_made, source, maker, seed, batch_size, watch, progress),
        sparse,
    )
    how = _How(resume, overwrite, progress, maker.accept if isinstance(maker, Judge) else anything)
    resumed, dark = _write(plan, Path(path), how)
    new = len(source) - resumed
    return Produced(Path(path), len(source), resumed, 1000 * watch.seconds / max(new, 1), dark)


def _as_hits(maker: Simulator | Refiner, path: Path) -> bool:
    """Whether hits alone are written."""
    if isinstance(maker, Geant4) and maker.recorded is not Record.CELLS:
        return True
    made = isinstance(maker, Surrogate | InDetector) and maker.makes_hits
    return (made and is_hdf5(path)) or not maker.calorimeter.divisions


def copy(
    source: ShowerSource,
    path: Path | str,
    *,
    batch_size: int = 1000,
    resume: bool = False,
    overwrite: bool = False,
    sparse: bool | None = None,
    progress: Progress = silent,
) -> Produced:
    """Write showers to a file as they are, like `produce`: from one format to another.

    What is written as quickly as it is read, sparse showers and the .npy of SQuIRELS, has no
    journal: an interrupted copy of it begins anew.

    Arguments:
        source: The showers.
        path: The file; its suffix says the format.
        batch_size: How many showers are in memory at a time.
        resume: Go on with an interrupted run, if there is one.
        overwrite: Whether the file may take the place of another, and the run that of an
            interrupted one that is not resumed.
        sparse: Whether to write hits alone, to HDF5; None for as the source is.
        progress: Given the number of showers just finished.

    Raises:
        CaloforgeError: As for `produce`, or what the source holds is not physical.
    """
    require_format(path, source.calorimeter, source.particles, source.weights, sparse=bool(sparse))
    attributes, job = attributes_of(source, None, 0), job_of(source, None, 0)
    alone = isinstance(source, HitSource) if sparse is None else sparse
    if alone or not is_hdf5(path):
        with Journal(Path(path), job, resume=resume, overwrite=overwrite) as journal:
            if not journal.is_complete:
                convert(
                    source,
                    journal.unfinished,
                    batch_size=batch_size,
                    sparse=alone and is_hdf5(path),
                    progress=progress,
                )
            journal.place()
        return Produced(Path(path), len(source), 0, 0.0)
    made = partial(_copied, source, batch_size, progress)
    file = source if isinstance(source, CaloChallengeFile) else None
    plan = _Plan(source.calorimeter, attributes, job, len(source), made, copied=file)
    resumed, dark = _write(plan, Path(path), _How(resume, overwrite, progress))
    return Produced(Path(path), len(source), resumed, 0.0, dark)


class _Watch:
    """Adds up the time spent inside it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.seconds += time.perf_counter() - self._start


@dataclass(frozen=True)
class _How:
    """The options of a run."""

    resume: bool
    overwrite: bool
    progress: Progress
    accept: Callable[[Path], None] = anything


def _write(plan: _Plan, path: Path, how: _How) -> tuple[int, int]:
    """Write what is missing; how many showers were there, and how many new ones have no energy."""
    kind = HitWriter if plan.sparse else CaloChallengeWriter
    opener = partial(kind, calorimeter=plan.calorimeter, attributes=dict(plan.attributes))
    block = 1 if plan.sparse else rows_of_block(_FLOAT * plan.calorimeter.n_cells)
    dark, watched = 0, False
    with Journal(path, plan.job, resume=how.resume, overwrite=how.overwrite) as journal:
        before = plan.number if journal.is_complete else journal.finished
        how.progress(before)
        if not journal.is_complete:
            with ShardWriter(journal, opener, block) as writer:
                for showers, extra in plan.made(before) if before < plan.number else ():
                    writer.append(showers, extra)
                    dark += _dark(showers)
                    if journal.shards and not watched:
                        watch_disk(path, _room(journal, plan.number))
                        watched = True
            _join(journal, opener, plan.copied)
            how.accept(journal.unfinished)
        journal.place()
    return before, dark


def _dark(showers: AnyShowers) -> int:
    """How many showers have no energy in any cell."""
    if isinstance(showers, Hits):
        return int((showers.offsets.diff() == 0).sum())
    return len(showers) - int(showers.deposits.any(dim=1).sum())


def _room(journal: Journal, number: int) -> float:
    """The bytes that so many showers still take, in shards and joined, as the finished ones do."""
    size = sum(path.stat().st_size for path in journal.shards) / journal.finished
    return (2 * number - journal.finished) * size


def _join(
    journal: Journal,
    opener: Callable[[Path], CaloChallengeWriter],
    copied: CaloChallengeFile | None,
) -> None:
    if not journal.shards:
        empty = journal.unfinished.with_suffix(".h5")
        with opener(empty):
            pass
        journal.keep(empty, 0)
    if is_hdf5(journal.unfinished):
        join_files(journal.shards, journal.unfinished, copied)
    else:
        convert(Joined(journal.shards), journal.unfinished)


def _made(
    source: Any,
    maker: Simulator | Refiner,
    seed: int,
    batch_size: int,
    watch: _Watch,
    progress: Progress,
    start: int,
) -> Iterator[Made]:
    if isinstance(maker, Geant4):
        yield from _full(source[start : len(source)], maker, seed, start, watch, progress)
        return
    make = maker.simulate if isinstance(maker, Simulator) else maker.refine
    for span in spans(len(source) - start, batch_size):
        first = start + span.start
        batch = source[first : start + span.stop]
        with watch:
            made = make(batch, seed=seed, first_index=first, progress=progress)
        yield made, {}


def _full(
    particles: Particles,
    maker: Geant4,
    seed: int,
    start: int,
    watch: _Watch,
    progress: Progress,
) -> Iterator[Made]:
    """Each shower as soon as it is finished: the next ones are at work meanwhile."""
    stream = maker.stream if maker.recorded is Record.CELLS else maker.stream_hits
    parts = stream(particles, seed=seed, first_index=start, size=1, progress=progress)
    while True:
        with watch:
            part = next(parts, None)
        if part is None:
            return
        yield part.showers, {"cpu_time_ms": part.cpu_time_ms}


def _copied(
    source: ShowerSource, batch_size: int, progress: Progress, start: int
) -> Iterator[Made]:
    for span in spans(len(source) - start, batch_size):
        rows = slice(start + span.start, start + span.stop)
        yield source[rows], source.extra(rows) if isinstance(source, ShowerFile) else {}
        progress(rows.stop - rows.start)


def _require_in_range(source: Any, maker: Simulator | Refiner) -> None:
    validity = maker.validity
    particles = source if isinstance(maker, Simulator) else source.particles
    for span in spans(len(source), _AT_A_TIME):
        energies = particles[span].energies
        outside = validity.outside(energies)
        if outside is not None:
            number, first = outside
            low, high = format_energy(validity.lowest), format_energy(validity.highest)
            msg = (
                f"{number} of {len(source)} incident energies lie outside the range of "
                f"'{title_of(maker)}', {low} to {high}; the first at index {span.start + first} "
                f"({format_energy(float(energies[first]))})"
            )
            raise EnergyRangeError(msg)
