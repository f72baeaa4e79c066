"""How a run ends: on a full disk, by a signal."""

import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.cli.samples import Caloforge, random_showers, write

SCRIPT = (sys.executable, "-c", "from caloforge.cli import main; main()")
PARTICLES = ("-n", "3000", "--energy", "50GeV", "--seed", "1")
ROOM = 60_000


@pytest.mark.parametrize(
    "words",
    [
        ("simulate", "gflash", *PARTICLES, "out.h5"),
        ("simulate", "gflash", *PARTICLES, "out.npy"),
        ("convert", "in.h5", "out.h5"),
        ("convert", "in.h5", "out.npy"),
    ],
    ids=" ".join,
)
def test_a_full_disk_is_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    """Python at its end, too, is silent: HDF5 has nothing left that it could not write."""
    write(tmp_path / "in.h5", random_showers(1000))
    done = subprocess.run(
        [*SCRIPT, *words],
        cwd=tmp_path,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (ROOM, ROOM)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    expected = f"caloforge: error: {words[-1]}: cannot be written: File too large: make room"
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.h5"]


HEEDFUL = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "from caloforge.cli import main; main()"
)
ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
LONG = ("-n", "100000000", "--energy", "50GeV", "--seed", "1", "--threads", "1")


SIMULATE = ("simulate", "gflash", *LONG, "out.h5")
CONVERT = ("convert", "in.h5", "out.h5", "--batch-size", "1")
KEPT = (
    "caloforge: note: out.h5: the finished showers are kept in .out.h5.unfinished; "
    "--resume goes on with them\n"
)


@pytest.mark.parametrize(
    ("words", "number"),
    [(SIMULATE, signal.SIGHUP), (SIMULATE, signal.SIGTERM), (CONVERT, signal.SIGINT)],
    ids=str,
)
def test_a_signal_ends_a_run(
    words: tuple[str, ...], number: signal.Signals, tmp_path: Path
) -> None:
    """What is finished is kept, and said; a signal amid the writing of the first leaves nothing."""
    write(tmp_path / "in.h5", random_showers(5000))
    said = _ended_by(number, words, tmp_path)
    left = {path.name for path in tmp_path.iterdir()} - {"in.h5"}
    ended = "" if number == signal.SIGINT else f"caloforge: ended by {number.name}\n"
    assert said in ({ended} if not left else {KEPT + ended, ended + KEPT})
    assert left <= {".out.h5.unfinished"}


def test_an_interruption_that_dies_with_an_object_comes_again() -> None:
    """As where h5py's objects die."""
    script = (
        "import signal, time\n"
        "from caloforge.cli._ending import ending\n"
        "class Dying:\n"
        "    def __del__(self): signal.raise_signal(signal.SIGTERM)\n"
        "with ending():\n"
        "    Dying()\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (143, "caloforge: ended by SIGTERM\n")


def _ended_by(number: signal.Signals, words: tuple[str, ...], folder: Path) -> str:
    """What a command says that is ended as soon as it writes."""
    with subprocess.Popen(
        [sys.executable, "-c", HEEDFUL, *words], cwd=folder, stderr=subprocess.PIPE, text=True
    ) as process:
        while not any(folder.glob(".out.h5.unfinished/*")) and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.2)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == ENDS[number], said
    return said


GFLASH = ("simulate", "gflash", "--energy", "50GeV", "out.h5")
EVALUATE = ("evaluate", "in.h5", "in.h5", "--labels", "a,b")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*GFLASH, "-n", "2", "--seed", str(2**64)), "--seed"),
        ((*GFLASH, "-n", str(2**63), "--seed", "1"), "-n"),
        ((*GFLASH, "-n", "2", "--seed", "1", "--threads", "100000"), "--threads"),
        (("bench", "gflash", "--threads", "100000"), "--threads"),
        ((*EVALUATE, "--out", "r", "--device", "meta"), "--device 'meta' cannot be used here"),
        (
            (*EVALUATE, "--out", "r", "--device", "cuda:99"),
            "cuda:99' cannot be used here: expected cpu",
        ),
        ((*EVALUATE, "--out", "r", "--seed", str(2**64)), "--seed"),
        (("train", "squirels-fast", "--out", "m", "--seed", str(2**64)), "--seed"),
        (("train", "squirels-fast", "--out", "m", "--seed", "1", "--set", "seed=2"), "given twice"),
        ((*EVALUATE, "--out", "r", "--device", "abacus"), "--device 'abacus' cannot be used here"),
        ((*EVALUATE, "--out", "in.h5/r"), "is a file, expected a folder"),
        (("train", "squirels-fast", "--out", "in.h5"), "is a file, expected a folder"),
        (("data", "samples", "--out", "nowhere/x"), "is a link to nothing, expected a folder"),
    ],
    ids=lambda words: " ".join(words[-2:]) if isinstance(words, tuple) else "",
)
def test_what_cannot_be_is_refused_before_the_work(
    caloforge: Caloforge,
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.h5", random_showers(5))
    (tmp_path / "nowhere").symlink_to("gone")
    outcome = caloforge(*words)
    assert outcome.code == 2
    assert said in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.h5", "nowhere"]


@pytest.mark.parametrize("words", [(), ("simulate", "gflash"), ("convert",)], ids=" ".join)
def test_help_has_a_short_name(caloforge: Caloforge, words: tuple[str, ...]) -> None:
    assert caloforge(*words, "-h") == caloforge(*words, "--help")


def test_a_name_that_is_too_long_is_one_line(caloforge: Caloforge, tmp_path: Path) -> None:
    name = "n" * 245 + ".h5"
    outcome = caloforge(*GFLASH[:-1], "-n", "2", "--seed", "1", tmp_path / name)
    said = " ".join(outcome.err.split())
    assert outcome.code == 2
    assert said.startswith(f"caloforge: error: {tmp_path}/.nnn")
    assert said.endswith("nnn.h5.unfinished: File name too long")
