"""Runs whose process is killed, at random moments, go on to the bytes of a run that is left
alone.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from caloforge import zoo
from caloforge.gun import Gun, Uniform
from caloforge.io import open_showers
from caloforge.io.input import checksum
from caloforge.production import copy, journal_of, produce, shards
from caloforge.simulators import pbwo4_gflash

Job = Callable[[Path, bool], object]

GUN = Gun(600, Uniform(20_000.0, 80_000.0), seed=3)
KILLS = 4


def simulated(path: Path, resume: bool) -> object:
    return produce(GUN, pbwo4_gflash(), path, seed=3, batch_size=77, resume=resume)


def refined(path: Path, resume: bool) -> object:
    source, refiner = open_showers(path.parent / "fast.h5"), zoo.load("squirels-fast")
    return produce(source, refiner, path, seed=1, batch_size=90, resume=resume)


def generated(path: Path, resume: bool) -> object:
    surrogate = zoo.load_surrogate("calodream-ds2-laptop")
    return produce(GUN[:60], surrogate, path, seed=1, batch_size=11, resume=resume)


def converted(path: Path, resume: bool) -> object:
    return copy(open_showers(path.parent / "fast.h5"), path, batch_size=20, resume=resume)


def in_a_process(work: Callable[[], object]) -> int:
    """Start some work in a process of its own; its number."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            torch.set_num_threads(1)
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    """Wait for a process; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("suffix", [".h5", ".npy"])
@pytest.mark.parametrize("job", [simulated, refined, generated, converted])
def test_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Job, suffix: str
) -> None:
    if job is generated and suffix == ".npy":
        pytest.skip("the format holds no such showers")
    monkeypatch.setattr(shards, "INTERVAL", 0.003)
    produce(GUN, pbwo4_gflash(), tmp_path / "fast.h5", seed=3)
    whole, parts = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    start = time.perf_counter()
    assert ended(in_a_process(lambda: job(whole, False))) == 0
    longest, moments = time.perf_counter() - start, random.Random(7)
    for _ in range(KILLS):
        pid = in_a_process(lambda: job(parts, True))
        time.sleep(longest * moments.uniform(0.0, 0.6))
        os.kill(pid, signal.SIGKILL)
        if ended(pid) == 0:
            break
    if not parts.exists():
        assert ended(in_a_process(lambda: job(parts, True))) == 0
    assert checksum(whole) == checksum(parts)
    assert not journal_of(parts).exists()
    assert len(list(tmp_path.iterdir())) == 3
