"""The timing harness: processes, threads and batches are those asked for; times add up; what goes
wrong is told.
"""

import json
import os
import signal
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caloforge import timing
from caloforge.chain import Chain
from caloforge.errors import ModelError, ShowerValueError
from caloforge.geometry import RegularGrid
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.simulators import Validity, pbwo4_gflash
from caloforge.simulators.protocols import Progress, silent
from caloforge.timing import ALL, SUM, Benchmark, Skipped, bench
from caloforge.zoo import load

TOWER = RegularGrid("tower", (1, 1, 5), (1.0, 1.0, 4.0))
PARTICLES = Particles(torch.arange(1.0, 8.0))


class Idle:
    """A simulator, and a refiner, that makes empty showers at once."""

    calorimeter, validity = TOWER, Validity()

    def simulate(
        self, particles: Particles, *, seed: int, first_index: int = 0, progress: Progress = silent
    ) -> Showers:
        return Showers(torch.zeros(len(particles), TOWER.n_cells), particles, TOWER)

    def refine(
        self, showers: Showers, *, seed: int, first_index: int = 0, progress: Progress = silent
    ) -> Showers:
        return showers


@dataclass
class Diary(Idle):
    """One that writes down where and how it was called."""

    path: Path

    def note(self, stage: str, particles: Particles) -> None:
        words = {"stage": stage, "energies": particles.energies.tolist()}
        with self.path.open("a") as file:
            file.write(
                json.dumps(words | {"pid": os.getpid(), "threads": torch.get_num_threads()}) + "\n"
            )

    def simulate(self, particles: Particles, **run: Any) -> Showers:  # type: ignore[override]
        self.note("make", particles)
        return super().simulate(particles, **run)

    def refine(self, showers: Showers, **run: Any) -> Showers:  # type: ignore[override]
        self.note("mend", showers.particles)
        return showers

    def notes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@dataclass
class Greedy(Idle):
    """One that holds 100 kB a shower, on a machine with 20 MB."""

    memory: Path

    def simulate(self, particles: Particles, **run: Any) -> Showers:  # type: ignore[override]
        self.memory.write_text("MemTotal: 1000000 kB\nMemAvailable: 20000 kB\n")
        timing._MEMORY = self.memory  # the process is this simulator's own
        np.ones(100_000 * len(particles), dtype=np.uint8)
        return super().simulate(particles, **run)


class Killed(Idle):
    def simulate(self, particles: Particles, **run: Any) -> Showers:  # type: ignore[override]
        os.kill(os.getpid(), signal.SIGKILL)
        return super().simulate(particles, **run)


class Broken(Idle):
    def simulate(self, particles: Particles, **run: Any) -> Showers:  # type: ignore[override]
        raise SystemExit(3)


class Refused(Idle):
    def simulate(self, particles: Particles, **run: Any) -> Showers:  # type: ignore[override]
        msg = "no such shower"
        raise ModelError(msg)


@pytest.fixture(scope="module")
def diary(tmp_path_factory: pytest.TempPathFactory) -> tuple[Diary, Benchmark]:
    """Two configurations, of 1 and 2 threads: batches of 3, two repeats of at least 4 showers."""
    diary = Diary(tmp_path_factory.mktemp("diary") / "notes")
    chain = Chain(diary, diary)
    return diary, bench(chain, PARTICLES, batch_sizes=(3,), threads=(1, 2), showers=4, repeats=2)


def test_each_configuration_has_a_process_of_its_own(diary: tuple[Diary, Benchmark]) -> None:
    processes = {note["pid"] for note in diary[0].notes()}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_threads_and_batches_are_those_asked_for(diary: tuple[Diary, Benchmark]) -> None:
    """After the warm-up of two batches, two repeats of two batches of 3."""
    runs: dict[int, list[dict[str, Any]]] = {}
    for note in diary[0].notes():
        runs.setdefault(note["pid"], []).append(note)
    found = [
        (notes[0]["threads"], len(notes[0]["energies"]), sum(n["stage"] == "make" for n in notes))
        for notes in runs.values()
    ]
    assert found == [(1, 3, 2 + 4), (2, 3, 2 + 4)]
    for notes in runs.values():
        assert len({n["threads"] for n in notes}) == 1
        assert [n["stage"] for n in notes] == ["make", "mend"] * (len(notes) // 2)
        assert len({len(n["energies"]) for n in notes}) == 1


def test_all_particles_take_their_turn(diary: tuple[Diary, Benchmark]) -> None:
    """A repeat of two batches of 3 draws six different particles of the seven."""
    made = [n["energies"] for n in diary[0].notes() if n["stage"] == "make"]
    assert len({e for batch in made[2:4] for e in batch}) == 6


def test_rows_go_round() -> None:
    rows = torch.cat(list(timing._rows(3, 4, 3)))
    assert rows.tolist() == rows[:3].repeat(4).tolist()
    assert sorted(rows[:3].tolist()) == [0, 1, 2]


def test_the_record_is_complete_and_adds_up(diary: tuple[Diary, Benchmark]) -> None:
    result = diary[1]
    assert [(t.stage, t.threads, t.batch_size, t.showers) for t in result.timings] == [
        (stage, threads, 3, 6) for threads in (1, 2) for stage in ("Diary", "refine Diary", SUM)
    ]
    assert (result.skipped, result.device, result.repeats) == ((), "cpu", 2)
    assert "processor" in result.machine
    assert "torch threads" not in result.machine
    assert result.versions["torch"] == torch.__version__
    for make, mend, both in zip(*(result.timings[i::3] for i in range(3)), strict=True):
        assert both.median == pytest.approx(make.median + mend.median)
        assert both.best >= make.best + mend.best
        assert make.peak_bytes == mend.peak_bytes == both.peak_bytes > 50e6
        assert 0 < both.best <= both.median


def test_times_are_a_shower_and_repeats_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that gives each stage of a batch of 10 a time of 0.1 s: 10 ms a shower, and 3
    batches fill half a second.
    """
    ticks = count()
    monkeypatch.setattr(timing, "_now", lambda _: next(ticks) / 10)
    chain = Chain(Idle(), Idle())
    result = timing._Job(chain, PARTICLES, torch.get_num_threads(), 10, None, 2, "cpu").measure()
    assert not isinstance(result, Skipped)
    assert [found.stage for found in result] == ["Idle", "refine Idle", SUM]
    for found, expected in zip(result, (10.0, 10.0, 20.0), strict=True):
        assert (found.best, found.median, found.spread) == pytest.approx((expected, expected, 0.0))
        assert found.showers == 30


def test_a_batch_too_large_for_the_memory_is_left_out(tmp_path: Path) -> None:
    result = bench(
        Greedy(tmp_path / "meminfo"),
        PARTICLES,
        batch_sizes=(2000,),
        threads=(1,),
        showers=1,
        repeats=1,
    )
    assert result.timings == ()
    [skipped] = result.skipped
    assert (skipped.threads, skipped.batch_size) == (1, 2000)
    assert skipped.reason.endswith("more than the process has, 0.0 GB are available")
    assert skipped.reason.startswith("needs some 0.2 GB")


def test_a_process_that_the_system_ends_is_left_out() -> None:
    result = bench(Killed(), PARTICLES, batch_sizes=(2,), threads=(1,))
    assert result.timings == ()
    assert result.skipped == (
        Skipped(1, 2, "the system ended the process, most likely for want of memory"),
    )


def test_a_mistake_is_raised_as_it_is_and_a_failure_as_one() -> None:
    with pytest.raises(ModelError, match="no such shower"):
        bench(Refused(), PARTICLES, batch_sizes=(1,), threads=(1,))
    with pytest.raises(
        ChildProcessError,
        match="timing 1 threads, batches of 1: the measuring process failed with exit code 3",
    ):
        bench(Broken(), PARTICLES, batch_sizes=(1,), threads=(1,))


def test_all_is_the_number_of_cores_and_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def apart(job: timing._Job) -> Skipped:
        seen.append(job.threads)
        return Skipped(job.threads, job.batch_size, "a test")

    monkeypatch.setattr(timing, "_apart", apart)
    told: list[int] = []
    bench(
        Idle(),
        PARTICLES,
        batch_sizes=(1,),
        threads=(1, ALL, timing._cores()),
        progress=told.append,
    )
    assert seen == list(dict.fromkeys((1, timing._cores())))
    assert told == [1] * len(seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_sizes": (1, 0)}, "the least batch size is 0, expected at least 1"),
        ({"batch_sizes": ()}, "the least batch size is 0"),
        ({"threads": (2, -1)}, "the least number of threads is -1"),
        ({"repeats": 0}, "the least number of repeats is 0"),
        ({"showers": 0}, "the least number of showers is 0"),
        ({"particles": Particles(torch.empty(0))}, "no particles"),
    ],
)
def test_what_cannot_be_is_said_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ShowerValueError, match=message):
        bench(Idle(), options.pop("particles", PARTICLES), **options)


def test_the_stages_make_the_showers_of_the_chain() -> None:
    chain = Chain(pbwo4_gflash(), load("squirels-fast"), load("squirels-fast"))
    particles = Particles(torch.full((3,), 50_000.0))
    made: Any = particles
    (first, *_), *_ = stages = timing._stages(chain, "cpu")
    for _, make in stages:
        made = make(made)
    assert [name for name, _ in stages] == [first, *["refine squirels-fast"] * 2]
    assert first == "GFlash"
    assert torch.equal(made.deposits, chain.simulate(particles, seed=timing._SEED).deposits)
