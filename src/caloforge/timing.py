r"""How long a shower takes and how much memory: as papers report it, and so that the numbers can be
made again.

A *stage* is a member of a `Chain`: its simulator or one of its refiners. A *configuration* is a
number of threads and a size of batches. Each is measured in a process of its own, in which the
number of threads is set before anything is computed. After two batches, one to warm up and one to
learn how long it takes, a repeat runs as many batches as take half a second (or as are asked for),
and gives for each stage the time over the number of showers: the best of the repeats, their median,
and as spread the distance between the quartiles.

The largest memory is that of the whole process, libraries included (Linux's ``VmHWM``), since one
stage's memory is not its own; on an accelerator it is what was allocated there. A batch of more
than 1000 is tried only if the memory suffices by a straight line through a hundredth and a tenth of
it; configurations left out are listed with the reason.
"""

__all__ = ["ALL", "SUM", "Benchmark", "Skipped", "Timing", "bench", "peak_memory"]

import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from caloforge.chain import Chain, title_of
from caloforge.errors import CaloforgeError, ShowerValueError
from caloforge.hits import AnyShowers, dense
from caloforge.models import Model
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.simulators import Refiner, Simulator

ALL = 0
"""As many threads as this process may use cores."""

SUM = "sum"
"""The name of the time of all stages of a chain together."""

_REPEAT_SECONDS = 0.5
_MOST_BATCHES = 2000
_SAFE_BATCH = 1000
_SEED = 1
_MEMORY = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")

_Stage = tuple[str, Callable[[Any], AnyShowers]]


@dataclass(frozen=True)
class Timing:
    """The time of one stage, or of the whole chain, in one configuration.

    Arguments:
        stage: The name of the stage; `SUM` for all stages of a chain together.
        threads: The number of threads.
        batch_size: How many showers are made at a time.
        showers: How many showers were made in each repeat.
        best: The shortest time of all repeats, in ms a shower.
        median: The median over the repeats, in ms a shower.
        spread: The distance between the quartiles of the repeats, in ms a shower.
        peak_bytes: The largest memory of the process (on an accelerator, allocated there), in
            bytes, the same for all stages of a configuration.
    """

    stage: str
    threads: int
    batch_size: int
    showers: int
    best: float
    median: float
    spread: float
    peak_bytes: int


@dataclass(frozen=True)
class Skipped:
    """A configuration that was left out, and why."""

    threads: int
    batch_size: int
    reason: str


@dataclass(frozen=True)
class Benchmark:
    """What was measured, and where.

    Arguments:
        timings: The times, ordered by threads, batch size and stage; after the stages of a chain
            comes their sum.
        skipped: The configurations left out.
        device: Where the showers were made.
        repeats: How many times each time was taken.
        load: How many programs wanted a core in the minute before, on the average; other work makes
            all times longer.
        machine: The machine, see `caloforge.report.provenance`.
        versions: The versions of the software.
    """

    timings: tuple[Timing, ...]
    skipped: tuple[Skipped, ...]
    device: str
    repeats: int
    load: float
    machine: dict[str, str]
    versions: dict[str, str]


def bench(
    simulator: Simulator,
    particles: Particles,
    *,
    batch_sizes: Sequence[int] = (1, 100, 1000),
    threads: Sequence[int] = (1, ALL),
    showers: int | None = None,
    repeats: int = 7,
    device: str = "cpu",
    progress: Callable[[int], None] = lambda _: None,
) -> Benchmark:
    """Time a simulator or a chain in every configuration, each in a process of its own.

    A script that calls this is imported by these processes: what it does must stand under
    ``if __name__ == "__main__":``.

    Arguments:
        simulator: What makes the showers; it is pickled.
        particles: The particles to make showers of, drawn at random from these in a fixed order,
            again and again if need be.
        batch_sizes: The sizes of batches, at least 1.
        threads: The numbers of threads, `ALL` for all cores; a number that comes twice is measured
            once.
        showers: At least so many in each repeat; None for as many as take half a second.
        repeats: How many times each time is taken, at least 1.
        device: Where the particles are, and the showers are made.
        progress: Told 1 after each configuration.

    Raises:
        ShowerValueError: There are no particles, or a number is less than it may be.
        CaloforgeError: Whatever a stage raises.
        ChildProcessError: A measuring process failed.
    """
    from caloforge.report.provenance import (
        machine,
        versions,
    )  # the report's libraries would fill each measuring process

    counts = tuple(dict.fromkeys(_cores() if count == ALL else count for count in threads))
    _check(particles, batch_sizes, counts, repeats, 1 if showers is None else showers)
    load = os.getloadavg()[0]
    chain, results = Chain(simulator), []
    for count, batch_size in product(counts, batch_sizes):
        results.append(_apart(_Job(chain, particles, count, batch_size, showers, repeats, device)))
        progress(1)
    return Benchmark(
        timings=tuple(
            timing for result in results if not isinstance(result, Skipped) for timing in result
        ),
        skipped=tuple(result for result in results if isinstance(result, Skipped)),
        device=device,
        repeats=repeats,
        load=load,
        machine={name: value for name, value in machine().items() if name != "torch threads"},
        versions=versions(),
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _check(
    particles: Particles,
    batch_sizes: Sequence[int],
    threads: Sequence[int],
    repeats: int,
    showers: int,
) -> None:
    numbers = {
        "batch size": min(batch_sizes, default=0),
        "number of threads": min(threads, default=0),
    }
    for name, number in (
        numbers | {"number of repeats": repeats, "number of showers": showers}
    ).items():
        if number < 1:
            msg = f"timing: the least {name} is {number}, expected at least 1"
            raise ShowerValueError(msg)
    if len(particles) == 0:
        msg = "timing: no particles to make showers of, expected at least 1"
        raise ShowerValueError(msg)


def _stages(chain: Chain, device: str) -> tuple[_Stage, ...]:
    """What each stage of a chain is called, and what makes its showers of those before it."""
    for member in chain.members:
        if isinstance(member, Model):
            member.to(device)
    own, *seeds = chain.seeds(_SEED)
    refine = (
        (f"refine {title_of(refiner)}", partial(_refined, refiner, seed))
        for refiner, seed in zip(chain.refiners, seeds, strict=True)
    )
    return (title_of(chain.simulator), partial(chain.simulator.simulate, seed=own)), *refine


def _refined(refiner: Refiner, seed: int, showers: AnyShowers) -> Showers:
    return refiner.refine(dense(showers), seed=seed)


@dataclass(frozen=True)
class _Job:
    """One configuration."""

    chain: Chain
    particles: Particles
    threads: int
    batch_size: int
    showers: int | None
    repeats: int
    device: str

    def measure(self) -> tuple[Timing, ...] | Skipped:
        torch.set_num_threads(self.threads)
        stages = _stages(self.chain, self.device)
        needed, available = self._memory_needed(stages), _available(self.device)
        if needed > available:
            reason = (
                f"needs some {needed / 1e9:.1f} GB more than the process has, "
                f"{available / 1e9:.1f} GB are available"
            )
            return Skipped(self.threads, self.batch_size, reason)
        self._run(stages, 1, self.batch_size)
        batches = self._batches(
            1e-3 * float(self._run(stages, 1, self.batch_size).sum()) * self.batch_size
        )
        runs = np.stack([self._run(stages, batches, self.batch_size) for _ in range(self.repeats)])
        names, peak = [name for name, _ in stages], peak_memory(self.device)
        return tuple(
            self._timing(name, batches, times, peak) for name, times in _with_sum(names, runs)
        )

    def _memory_needed(self, stages: Sequence[_Stage]) -> float:
        """The memory, in bytes, by which the process will grow."""
        if self.batch_size <= _SAFE_BATCH:
            return 0.0
        small, large = self.batch_size // 100, self.batch_size // 10
        peaks = [self._peak_after(stages, size) for size in (small, large)]
        return (peaks[1] - peaks[0]) / (large - small) * (self.batch_size - large)

    def _peak_after(self, stages: Sequence[_Stage], size: int) -> int:
        self._run(stages, 1, size)
        return peak_memory(self.device)

    def _batches(self, seconds: float) -> int:
        if self.showers is not None:
            return -(-self.showers // self.batch_size)
        return int(np.clip(np.ceil(_REPEAT_SECONDS / seconds), 1, _MOST_BATCHES))

    def _run(
        self, stages: Sequence[_Stage], batches: int, size: int
    ) -> Float[np.ndarray, " stages"]:
        """The time of each stage, in ms a shower."""
        seconds = np.zeros(len(stages))
        for rows in _rows(len(self.particles), size, batches):
            made: Particles | AnyShowers = self.particles[rows].to(self.device)
            for number, (_, make) in enumerate(stages):
                start = _now(self.device)
                made = make(made)
                seconds[number] += _now(self.device) - start
        return 1e3 * seconds / (batches * size)

    def _timing(
        self, name: str, batches: int, times: Float[np.ndarray, " repeats"], peak: int
    ) -> Timing:
        low, median, high = (float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
        best, showers = float(times.min()), batches * self.batch_size
        return Timing(name, self.threads, self.batch_size, showers, best, median, high - low, peak)


def _with_sum(
    names: Sequence[str], runs: Float[np.ndarray, "repeats stages"]
) -> Iterator[tuple[str, Float[np.ndarray, " repeats"]]]:
    yield from zip(names, runs.T, strict=True)
    if len(names) > 1:
        yield SUM, runs.sum(axis=1)


def _rows(n: int, size: int, batches: int) -> Iterator[Int64[Tensor, " size"]]:
    """Which of n particles are in each batch: all in a random order, again and again."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(_SEED))
    for batch in range(batches):
        yield order[torch.arange(batch * size, (batch + 1) * size) % n]


def _now(device: str) -> float:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_memory(device: str = "cpu") -> int:
    """The largest memory so far, in bytes: of this process, or what it has allocated on an
    accelerator.

    Linux's ``VmHWM`` is asked first: ``ru_maxrss`` starts from the memory of the process that
    started this one.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if _STATUS.is_file():
        return _field(_STATUS, "VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _available(device: str) -> float:
    """The memory, in bytes, that can still be had; infinite where nobody says."""
    if torch.device(device).type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(_field(_MEMORY, "MemAvailable")) if _MEMORY.is_file() else float("inf")


def _field(path: Path, name: str) -> int:
    """A size in a file of lines ``name: number kB``, in bytes."""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return 1024 * next(int(value.split()[0]) for key, _, value in lines if key == name)


def _apart(job: _Job) -> tuple[Timing, ...] | Skipped:
    """Measure in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(there, job), daemon=True)
    with _interruptions_held_back():
        process.start()
    there.close()
    try:
        result = here.recv()
    except EOFError:
        process.join()
        return _ended(job, process.exitcode or 0)
    finally:
        process.kill()
        process.join()
        here.close()
    if isinstance(result, CaloforgeError):
        raise result
    return result  # type: ignore[no-any-return]


def _ended(job: _Job, code: int) -> Skipped:
    """What became of a process that ended without a word."""
    if code == -signal.SIGKILL:
        return Skipped(
            job.threads,
            job.batch_size,
            "the system ended the process, most likely for want of memory",
        )
    msg = (
        f"timing {job.threads} threads, batches of {job.batch_size}: the measuring process failed "
        f"with exit code {code}"
    )
    raise ChildProcessError(msg)


def _work(connection: Connection, job: _Job) -> None:
    """Measure, and send the result or what was wrong; the user's mistakes alone are caught."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            connection.send(job.measure())
        except CaloforgeError as error:
            connection.send(error)


@contextmanager
def _interruptions_held_back() -> Iterator[None]:
    """Processes started within never hear of an interruption: this one hears of it afterwards, and
    ends them.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
