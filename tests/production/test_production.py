"""Production: one loop for every source, maker and format, and runs that go on where they were."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import pytest
import torch

from caloforge import zoo
from caloforge.chain import Chain
from caloforge.detector import load_detector
from caloforge.errors import (
    DiskSpaceWarning,
    EnergyRangeError,
    FileFormatError,
    Geant4Error,
    GeometryMismatchError,
    OutputError,
    OutputExistsError,
)
from caloforge.gun import Fixed, Gun, Uniform
from caloforge.io import CaloChallengeFile, HitFile, open_showers
from caloforge.io.input import checksum
from caloforge.particles import Particles
from caloforge.production import Moved, copy, journal_of, produce, shards
from caloforge.showers import Showers
from caloforge.simulators import Geant4, Simulator, pbwo4_gflash
from tests.geant4 import IRREGULAR, actor
from tests.makers import REFINERS, SIMULATORS, electrons, fast_showers
from tests.test_hits import assert_same_hits

__all__ = ["actor"]

GUN = Gun(300, Uniform(20_000.0, 80_000.0), seed=3)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch is a shard."""
    monkeypatch.setattr(shards, "INTERVAL", 0.0)
    monkeypatch.setattr(shards, "SHARE", 0.0)


class Usage(NamedTuple):
    """Of a disk, in bytes."""

    total: int
    used: int
    free: int


class Interrupting:
    """A progress that raises as soon as more than so many showers are finished.

    Arguments:
        at: The number of showers.
        error: What is raised.
    """

    def __init__(self, at: int, error: BaseException | None = None) -> None:
        self.at, self.error = at, KeyboardInterrupt() if error is None else error
        self.finished = 0

    def __call__(self, finished: int) -> None:
        self.finished += finished
        if self.finished > self.at:
            raise self.error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def interrupt(path: Path, at: int, *, seed: int = 3, size: int = 20) -> None:
    with pytest.raises(KeyboardInterrupt):
        produce(GUN, pbwo4_gflash(), path, seed=seed, batch_size=size, progress=Interrupting(at))


@pytest.mark.usefixtures("actor")
@pytest.mark.parametrize("name", [*SIMULATORS, *REFINERS])
def test_any_maker_makes_a_file_of_what_it_makes_in_memory(name: str, tmp_path: Path) -> None:
    maker = (SIMULATORS | REFINERS)[name]()
    if isinstance(maker, Simulator):
        result = produce(electrons(), maker, tmp_path / "out.h5", seed=3, batch_size=8)
        expected = maker.simulate(electrons(), seed=3)
    else:
        result = produce(fast_showers(), maker, tmp_path / "out.h5", seed=3, batch_size=8)
        expected = maker.refine(fast_showers(), seed=3)
    found = open_showers(tmp_path / "out.h5")[:]
    assert torch.equal(found.deposits, expected.deposits)
    assert found.particles == expected.particles
    assert (found.weights is None) == (expected.weights is None)
    if found.weights is not None and expected.weights is not None:
        assert torch.equal(found.weights, expected.weights)
    assert (result.showers, result.resumed) == (len(electrons()), 0)
    assert names(tmp_path) == sorted({"out.h5", *(set(names(tmp_path)) & {"actor.py", "data"})})


@pytest.mark.parametrize("suffix", [".h5", ".npy"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_batches_changes_no_byte(
    tmp_path: Path, suffix: str, size: int, eager: None
) -> None:
    whole, parts = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    gun = GUN[: max(100, 40 * size)]
    produce(gun, pbwo4_gflash(), whole, seed=3)
    produce(gun, pbwo4_gflash(), parts, seed=3, batch_size=size)
    assert checksum(whole) == checksum(parts)


@pytest.mark.parametrize("suffix", [".h5", ".npy"])
@pytest.mark.parametrize("at", [20, 130, 299])
def test_a_resumed_run_gives_the_same_bytes(tmp_path: Path, suffix: str, at: int) -> None:
    whole, parts = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    produce(GUN, pbwo4_gflash(), whole, seed=3)
    interrupt(parts, at)
    assert not parts.exists()
    finished: list[int] = []
    result = produce(
        GUN, pbwo4_gflash(), parts, seed=3, batch_size=7, resume=True, progress=finished.append
    )
    assert result.resumed == finished[0] == at // 20 * 20
    assert sum(finished) == len(GUN)
    assert checksum(whole) == checksum(parts)
    assert names(tmp_path) == sorted([whole.name, parts.name])


@pytest.mark.usefixtures("actor", "eager")
@pytest.mark.parametrize("at", [1, 14])
def test_a_resumed_run_of_hits_gives_the_same_bytes(tmp_path: Path, at: int) -> None:
    maker, whole, parts = Geant4(IRREGULAR, "em-option1"), tmp_path / "w.h5", tmp_path / "p.h5"
    produce(GUN[:20], maker, whole, seed=3)
    with pytest.raises(KeyboardInterrupt):
        produce(GUN[:20], maker, parts, seed=3, progress=Interrupting(at))
    assert produce(GUN[:20], maker, parts, seed=3, resume=True).resumed == at
    assert checksum(whole) == checksum(parts)
    file, hits = open_showers(whole), maker.hits(GUN[:20], seed=3)
    assert isinstance(file, HitFile)
    assert_same_hits(file.sparse(slice(None)), hits)
    assert len(file.extra(slice(None))["cpu_time_ms"]) == 20


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("block", [1, 13, 4096])
def test_shards_may_be_cut_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Whatever the size of the blocks in which HDF5 compresses."""
    monkeypatch.setattr("caloforge.io.writer._BLOCK_ROWS", block)
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    produce(GUN, pbwo4_gflash(), whole, seed=3)
    for at in (20, 39, 180, 260):
        how = {"batch_size": 3 + at % 17, "resume": True, "progress": Interrupting(at)}
        with pytest.raises(KeyboardInterrupt):
            produce(GUN, pbwo4_gflash(), parts, seed=3, **how)
    produce(GUN, pbwo4_gflash(), parts, seed=3, resume=True)
    assert checksum(whole) == checksum(parts)


@pytest.mark.usefixtures("eager")
def test_a_run_says_soon_that_the_disk_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards and the joined file are there together; a disk that is large enough is silent."""
    out, again = tmp_path / "out.h5", tmp_path / "again.h5"
    copy(fast_showers(300), again, batch_size=50)
    full = Usage(10**9, 10**9 - 5000, 5000)
    monkeypatch.setattr("caloforge.paths.shutil.disk_usage", lambda _: full)
    with pytest.warns(DiskSpaceWarning, match=r"out\.h5: some .* GB will be written") as said:
        copy(fast_showers(300), out, batch_size=50)
    assert len(said) == 1
    assert out.read_bytes() == again.read_bytes()


def _cut(kept: bytes, number: int) -> bytes:
    return kept[:-number]


def _turned(kept: bytes, number: int) -> bytes:
    """One bit, so many bytes before the end."""
    return kept[:-number] + bytes([kept[-number] ^ 16]) + kept[len(kept) - number + 1 :]


def _with_zeros(kept: bytes, number: int) -> bytes:
    return kept + bytes(number)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("damage", [_cut, _turned, _with_zeros])
@pytest.mark.parametrize("which", [0, 3, -1])
def test_damaged_shards_are_made_again(
    tmp_path: Path, damage: Callable[[bytes, int], bytes], which: int
) -> None:
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    produce(GUN, pbwo4_gflash(), whole, seed=3)
    interrupt(parts, 200)
    shard = sorted(journal_of(parts).glob("*.h5"))[which]
    shard.write_bytes(damage(shard.read_bytes(), 100))
    result = produce(GUN, pbwo4_gflash(), parts, seed=3, resume=True)
    assert result.resumed == int(shard.name.split("-")[0])
    assert checksum(whole) == checksum(parts)


def another(tmp_path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    path, gflash = tmp_path / "out.h5", pbwo4_gflash()
    yield "seed", lambda: produce(GUN, gflash, path, seed=4, resume=True)
    yield "response", lambda: produce(GUN, replace(gflash, response=0.9), path, seed=3, resume=True)
    yield "number of showers", lambda: produce(GUN[:299], gflash, path, seed=3, resume=True)
    yield "particles", lambda: produce(replace(GUN, seed=4), gflash, path, seed=3, resume=True)
    yield (
        "device",
        lambda: produce(Moved(GUN, "meta"), gflash, path, seed=3, resume=True),
    )


def test_another_run_does_not_go_on_with_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    interrupt(path, 100)
    before = names(journal_of(path))
    with pytest.raises(OutputExistsError, match=r"unfinished run of it is there .*: resume it"):
        produce(GUN, pbwo4_gflash(), path, seed=3)
    for what, run in another(tmp_path):
        with pytest.raises(OutputError, match=f"has another .*{what}"):
            run()
    assert names(journal_of(path)) == before
    assert produce(GUN, pbwo4_gflash(), path, seed=4, overwrite=True).resumed == 0
    assert names(tmp_path) == ["out.h5"]
    with pytest.raises(OutputExistsError):
        produce(GUN, pbwo4_gflash(), path, seed=4, resume=True)


def test_another_input_or_model_does_not_go_on(tmp_path: Path) -> None:
    fast, out = tmp_path / "fast.h5", tmp_path / "out.h5"
    produce(GUN, pbwo4_gflash(), fast, seed=3)
    with pytest.raises(KeyboardInterrupt):
        copy(open_showers(fast), out, batch_size=100, progress=Interrupting(250))
    produce(GUN, pbwo4_gflash(), fast, seed=4, overwrite=True)
    with pytest.raises(OutputError, match="another changed"):
        copy(open_showers(fast), out, resume=True)
    with pytest.raises(OutputError, match="another model"):
        produce(open_showers(fast), zoo.load("squirels-fast"), out, seed=0, resume=True)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"

    def again(finished: int) -> None:
        with pytest.raises(OutputError, match="another process is at work"):
            produce(GUN, pbwo4_gflash(), path, seed=3, resume=True)

    produce(GUN, pbwo4_gflash(), path, seed=3, progress=again)
    assert names(tmp_path) == ["out.h5"]


@pytest.mark.parametrize("error", [Geant4Error("a worker has died"), OSError("no space")])
def test_whatever_ends_a_run_keeps_what_is_finished(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "out.h5"
    stop = Interrupting(100, error)
    with pytest.raises(type(error)):
        produce(GUN, pbwo4_gflash(), path, seed=3, batch_size=20, progress=stop)
    assert produce(GUN, pbwo4_gflash(), path, seed=3, resume=True).resumed == 100


def test_a_run_that_ends_at_once_leaves_nothing(tmp_path: Path) -> None:
    interrupt(tmp_path / "out.h5", 0)
    assert names(tmp_path) == []


@pytest.mark.parametrize("placed", [False, True])
def test_a_run_that_ended_when_it_was_done_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, placed: bool
) -> None:
    """Killed while the whole file gets its name: before or after."""
    whole, path = tmp_path / "whole.h5", tmp_path / "out.h5"
    produce(GUN, pbwo4_gflash(), whole, seed=3)
    with monkeypatch.context() as patch:
        if placed:
            patch.setattr("caloforge.production.journal.Journal._remove", lambda _: None)
        else:
            patch.setattr("caloforge.production.journal.NewFile", _refusing())
        if placed:
            produce(GUN, pbwo4_gflash(), path, seed=3)
        else:
            with pytest.raises(KeyboardInterrupt):
                produce(GUN, pbwo4_gflash(), path, seed=3)
    assert journal_of(path).exists()
    assert path.exists() == placed
    result = produce(GUN, pbwo4_gflash(), path, seed=3, resume=True)
    assert result.resumed == len(GUN)
    assert checksum(path) == checksum(whole)
    assert names(tmp_path) == ["out.h5", "whole.h5"]


def _refusing() -> Callable[..., None]:
    """A check that is passed once, and interrupted the second time."""
    times: list[int] = []

    def check(path: Path, *, overwrite: bool) -> None:
        times.append(1)
        if len(times) > 1:
            raise KeyboardInterrupt

    return check


def test_an_output_that_comes_to_be_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"

    def meanwhile(finished: int) -> None:
        path.write_text("another's")

    with pytest.raises(OutputExistsError):
        produce(GUN, pbwo4_gflash(), path, seed=3, progress=meanwhile)
    assert path.read_text() == "another's"
    assert produce(GUN, pbwo4_gflash(), path, seed=3, resume=True, overwrite=True).resumed == 300


def test_no_particles_make_an_empty_file(tmp_path: Path) -> None:
    for name in ("out.h5", "out.npy"):
        produce(Gun(0, Fixed(1e4), 1), pbwo4_gflash(), tmp_path / name, seed=1)
        assert len(open_showers(tmp_path / name)) == 0
    assert names(tmp_path) == ["out.h5", "out.npy"]


def test_what_a_format_cannot_hold_is_said_before_anything_is_made(tmp_path: Path) -> None:
    weighted = replace(fast_showers(), weights=torch.ones(len(fast_showers())))
    with pytest.raises(FileFormatError, match=r"suffix '\.rot'"):
        produce(GUN, pbwo4_gflash(), tmp_path / "out.rot", seed=1)
    with pytest.raises(OutputError, match="cannot hold the weights"):
        copy(weighted, tmp_path / "out.npy")
    with pytest.raises(GeometryMismatchError):
        produce(GUN, SIMULATORS["gflash-par04"](), tmp_path / "out.npy", seed=1)
    assert names(tmp_path) == []


def test_strict_refuses_before_anything_is_made(tmp_path: Path) -> None:
    particles = Particles(torch.tensor([2e4, 3e4, 1e9]))
    with pytest.raises(EnergyRangeError, match=r"1 of 3 .* 100 MeV to 10 TeV; the first at index"):
        produce(particles, pbwo4_gflash(), tmp_path / "out.h5", seed=1, batch_size=1, strict=True)
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", [".h5", ".npy"])
def test_an_interrupted_copy_goes_on(tmp_path: Path, suffix: str, eager: None) -> None:
    fast, whole, parts = (tmp_path / name for name in ("fast.h5", f"w{suffix}", f"p{suffix}"))
    produce(GUN, pbwo4_gflash(), fast, seed=3)
    copy(open_showers(fast), whole)
    with pytest.raises(KeyboardInterrupt):
        copy(open_showers(fast), parts, batch_size=30, progress=Interrupting(100))
    resumed = copy(open_showers(fast), parts, resume=True).resumed
    assert resumed == (120 if suffix == ".h5" else 0)
    assert checksum(whole) == checksum(parts)
    assert torch.equal(open_showers(whole)[:].deposits, open_showers(fast)[:].deposits)


@pytest.mark.usefixtures("actor", "eager")
def test_geant4_keeps_every_finished_shower(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    particles = Particles(torch.full((20,), 100.0))
    one, two = (Geant4(load_detector("pbwo4-10x10"), "em-option1", workers=n) for n in (1, 2))
    produce(particles, one, tmp_path / "whole.h5", seed=1)
    monkeypatch.setenv("ACTOR_DIES_AT", "13")
    monkeypatch.setenv("ACTOR_LAST_WORDS", "")
    with pytest.raises(Geant4Error):
        produce(particles, one, tmp_path / "parts.h5", seed=1)
    monkeypatch.delenv("ACTOR_DIES_AT")
    assert produce(particles, two, tmp_path / "parts.h5", seed=1, resume=True).resumed == 13
    assert checksum(tmp_path / "whole.h5") == checksum(tmp_path / "parts.h5")
    with CaloChallengeFile(tmp_path / "parts.h5") as file:
        said = file.attributes
        assert file.columns == ("cpu_time_ms", "incident_energies")
    expected = {"physics": "em-option1", "cut_mm": "0.7", "seed": "1", "detector": "pbwo4-10x10"}
    assert expected.items() <= said.items()


def test_files_say_by_which_chain_they_were_made(tmp_path: Path) -> None:
    fast, refined, whole = (tmp_path / f"{name}.h5" for name in ("fast", "refined", "whole"))
    refiner = zoo.load("squirels-fast")
    produce(GUN[:20], pbwo4_gflash(), fast, seed=3)
    produce(open_showers(fast), refiner, refined, seed=3)
    chain = Chain(pbwo4_gflash(), refiner)
    produce(GUN[:20], chain, whole, seed=3)
    told = [json.loads(CaloChallengeFile(path).attributes["chain"]) for path in (refined, whole)]
    assert told[0] == told[1] == chain.describe()
    again = Chain.from_description(told[0])
    assert torch.equal(again.simulate(GUN[:20], seed=3).deposits, open_showers(refined)[:].deposits)


@pytest.mark.parametrize("said", ["by hand", "[1]", '{"refiners": 5}', "[" * 10_000, '{"a": NaN}'])
def test_what_a_file_says_of_its_origin_in_other_words_is_left_out(
    said: str, tmp_path: Path
) -> None:
    source, refined = tmp_path / "fast.h5", tmp_path / "refined.h5"
    produce(GUN[:3], pbwo4_gflash(), source, seed=3)
    with h5py.File(source, "r+") as file:
        file.attrs["chain"] = said
    produce(open_showers(source), zoo.load("squirels-fast"), refined, seed=3)
    chain = json.loads(CaloChallengeFile(refined).attributes["chain"])
    assert (chain["simulator"], len(chain["refiners"])) == (None, 1)


def test_a_damaged_journal_is_one_line_and_may_be_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    interrupt(path, 100)
    (journal_of(path) / "job.json").write_text("{")
    with pytest.raises(OutputError, match=r"out.h5: the unfinished run .*job.json\): not JSON"):
        produce(GUN, pbwo4_gflash(), path, seed=3, resume=True)
    produce(GUN, pbwo4_gflash(), path, seed=3, overwrite=True)
    assert names(tmp_path) == ["out.h5"]


def test_showers_without_energy_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gflash = pbwo4_gflash()
    assert produce(GUN, gflash, tmp_path / "lit.h5", seed=3).dark == 0
    simulate = type(gflash).simulate

    def dark(*args: Any, **how: Any) -> Showers:
        showers = simulate(*args, **how)
        showers.deposits[::3] = 0
        return showers

    monkeypatch.setattr(type(gflash), "simulate", dark)
    assert produce(GUN, gflash, tmp_path / "dark.h5", seed=3).dark == 100
