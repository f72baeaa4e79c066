"""How a run ends: on a full disk, by a signal."""

import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.cli.samples import random_showers, write

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
