"""`caloforge bench`: the table, the file, and a newcomer's mistakes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from caloforge.io import CaloChallengeWriter
from caloforge.timing import Skipped, _Job
from tests.cli.samples import Caloforge, random_showers

QUICK = ("--batch-sizes", "2", "--threads", "1", "-n", "4", "--repeats", "2")


@pytest.fixture
def timed_file(tmp_path: Path) -> Path:
    """Ten showers that took 100 ms each."""
    showers = random_showers(10)
    with CaloChallengeWriter(tmp_path / "full.h5", showers.calorimeter) as writer:
        writer.append(showers, {"cpu_time_ms": torch.full((10,), 100.0)})
    return tmp_path / "full.h5"


def test_the_simulator_alone(caloforge: Caloforge, tmp_path: Path) -> None:
    out = tmp_path / "times.json"
    outcome = caloforge("bench", "gflash", "--energy", "1GeV", "--json", out, *QUICK)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    title, _, heading, row = outcome.out.splitlines()[:4]
    assert title.startswith("gflash: times in ms a shower, incident energies 1 GeV")
    assert heading.split() == ["stage", "threads", "batch", "best", "median", "spread", "memory"]
    assert row.split()[:3] == ["GFlash", "1", "2"]
    record = json.loads(out.read_text())
    assert list(record) == [
        *("schema", "model", "energies", "device", "repeats", "load_before"),
        *("timings", "skipped", "reference", "machine", "versions"),
    ]
    assert (record["schema"], record["model"], record["energies"], record["repeats"]) == (
        1,
        "gflash",
        "1 GeV",
        2,
    )
    [timing] = record["timings"]
    keys = [
        "stage",
        "threads",
        "batch_size",
        "showers",
        "best_ms",
        "median_ms",
        "spread_ms",
        "peak_bytes",
    ]
    assert list(timing) == keys
    assert [timing[key] for key in keys[:4]] == ["GFlash", 1, 2, 4]
    assert record["reference"] is None


def test_a_model_is_timed_with_its_fast_simulation_beside_the_full_one(
    caloforge: Caloforge, model: Path, timed_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "times.json"
    outcome = caloforge("bench", model, "--like", timed_file, "--json", out, *QUICK)
    assert outcome.code == 0, outcome.err
    assert "speed-up over its 100 ms a shower" in " ".join(outcome.out.split())
    record = json.loads(out.read_text())
    assert record["reference"] == {
        "source": str(timed_file),
        "column": "cpu_time_ms",
        "mean_ms": 100.0,
    }
    assert [timing["stage"] for timing in record["timings"]] == ["GFlash", "refine short", "sum"]
    for timing in record["timings"]:
        assert timing["speed_up"] == pytest.approx(100 / timing["median_ms"])


def test_a_surrogate_is_timed_alone_over_its_range(
    caloforge: Caloforge, surrogate: Path, tmp_path: Path
) -> None:
    out = tmp_path / "times.json"
    outcome = caloforge("bench", surrogate, "--json", out, *QUICK)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    record = json.loads(out.read_text())
    assert record["energies"] == "1 GeV to 100 GeV, log-uniform"
    assert [timing["stage"] for timing in record["timings"]] == ["tiny"]


@pytest.mark.parametrize(
    ("kind", "expected"), [("gflash", [1, 100, 1000, 10_000]), ("surrogate", [1, 100])]
)
def test_the_batches_suit_what_is_timed(
    caloforge: Caloforge,
    surrogate: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    expected: list[int],
) -> None:
    seen: list[int] = []

    def apart(job: _Job) -> Skipped:
        seen.append(job.batch_size)
        return Skipped(job.threads, job.batch_size, "a test")

    monkeypatch.setattr("caloforge.timing._apart", apart)
    assert caloforge("bench", surrogate if kind == "surrogate" else kind, "--threads", 1).code == 0
    assert seen == expected


@pytest.mark.parametrize(("load", "busy"), [(0.0, False), (1e6, True)])
def test_a_machine_at_work_is_told(
    caloforge: Caloforge, monkeypatch: pytest.MonkeyPatch, load: float, busy: bool
) -> None:
    """And so is a configuration that was left out."""
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(
        "caloforge.timing._apart", lambda job: Skipped(job.threads, job.batch_size, "a reason")
    )
    out = caloforge("bench", "gflash", *QUICK).out
    assert ("the machine was at work already (load 1000000.0" in out) == busy
    assert "left out: 1 threads, batches of 2: a reason" in out


def test_bundled_showers_serve_by_their_name(caloforge: Caloforge, tmp_path: Path) -> None:
    out = tmp_path / "times.json"
    assert (
        caloforge("bench", "gflash", "--like", "pbwo4-geant4-20gev", "--json", out, *QUICK).code
        == 0
    )
    assert json.loads(out.read_text())["energies"] == "those of pbwo4-geant4-20gev"


def test_energies_out_of_the_model_s_range_are_told_once(caloforge: Caloforge, model: Path) -> None:
    outcome = caloforge("bench", model, "--energy", "1GeV", *QUICK)
    assert outcome.code == 0
    [line] = outcome.err.splitlines()
    assert line.startswith(
        "caloforge: warning: 10000 of 10000 incident energies lie outside the range of model"
    )


MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown model": (
        ("no-such-model",),
        "no model 'no-such-model': expected one of squirels-fast",
    ),
    "batch of none": (
        ("gflash", "--batch-sizes", "1,0"),
        "--batch-sizes '1,0': expected whole numbers of at least 1",
    ),
    "batch of words": (("gflash", "--batch-sizes", "ten"), "--batch-sizes 'ten'"),
    "no batch": (("gflash", "--batch-sizes", ""), "--batch-sizes ''"),
    "no threads": (("gflash", "--threads", "0"), "--threads '0'"),
    "threads of words": (("gflash", "--threads", "1,most"), "--threads 'most'"),
    "two origins": (
        ("gflash", "--energy", "1GeV", "--like", "a.h5"),
        "give either --energy or --like, not both",
    ),
    "no law": (
        ("gflash", "--energy", "1GeV:2GeV:lin"),
        "--energy '1GeV:2GeV:lin': expected an energy E, a range LOW:HIGH",
    ),
    "no unit": (
        ("gflash", "--energy", "50"),
        "energy '50': expected a positive number with its unit",
    ),
    "no such file": (("gflash", "--like", "nowhere.h5"), "nowhere.h5: no such file"),
    "no such device": (("gflash", "--device", "abacus"), "--device 'abacus' cannot be used here"),
    "no such folder": (
        ("gflash", "--json", "nowhere/times.json"),
        "its folder 'nowhere' does not exist",
    ),
    "a folder": (("gflash", "--json", "."), ".: exists already: choose another path"),
    "a folder to replace": (
        ("gflash", "--json", ".", "--overwrite"),
        ".: is a folder, expected the path of a file to write",
    ),
    "beyond GFlash": (
        ("gflash", "--energy", "1MeV", *QUICK),
        "GFlash: 2 of 2 incident energies are out of range",
    ),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_line(caloforge: Caloforge, words: tuple[str, ...], message: str) -> None:
    outcome = caloforge("bench", *words)
    assert outcome.code == 2
    assert outcome.out == ""
    [line] = outcome.err.splitlines()
    assert line.startswith("caloforge: error: ")
    assert message in line


def test_an_existing_file_is_refused_before_anything_is_measured(
    caloforge: Caloforge, tmp_path: Path
) -> None:
    out = tmp_path / "times.json"
    out.write_text("precious")
    outcome = caloforge("bench", "gflash", "--json", out, *QUICK)
    assert outcome.code == 2
    assert "exists already" in outcome.err
    assert out.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["times.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="interruptions are those of POSIX")
def test_an_interruption_ends_all_processes_quietly(tmp_path: Path) -> None:
    """The whole group is interrupted, as by a terminal; nothing is said and nothing is left."""
    heedful = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from "
        "caloforge.cli import main; main()"
    )
    words = (
        "bench",
        "gflash",
        "--threads",
        "1",
        "--batch-sizes",
        "1",
        "--repeats",
        "100000",
        "--json",
        str(tmp_path / "t.json"),
    )
    command = [sys.executable, "-c", heedful, *words]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while not (children := _children(process.pid)) and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def _children(pid: int) -> list[int]:
    """The measuring processes of a process, by what `ps` says."""
    listed = subprocess.run(
        ["ps", "-wweo", "pid=,ppid=,args="], check=True, capture_output=True, text=True
    ).stdout
    rows = (line.split(maxsplit=2) for line in listed.splitlines())
    return [
        int(child)
        for child, parent, command in rows
        if int(parent) == pid and "spawn_main" in command
    ]
