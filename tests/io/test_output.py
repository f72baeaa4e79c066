"""An output appears whole or not at all."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from caloforge.errors import DiskFullError, OutputError, OutputExistsError
from caloforge.io import NewFile
from caloforge.io.output import held_back
from tests.io.samples import names_in


def write_until(path: Path, error: type[BaseException], *, overwrite: bool = False) -> None:
    with NewFile(path, overwrite=overwrite) as partial:
        partial.write_text("half of")
        raise error


def write_beside_a_rival(path: Path) -> None:
    with NewFile(path) as partial:
        partial.write_text("mine")
        path.write_text("theirs")


def test_a_file_appears_when_all_has_gone_well(tmp_path: Path) -> None:
    with NewFile(tmp_path / "out.txt") as partial:
        partial.write_text("all of it")
        assert not (tmp_path / "out.txt").exists()
        assert partial.parent == tmp_path
    assert names_in(tmp_path) == ["out.txt"]
    assert (tmp_path / "out.txt").read_text() == "all of it"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_nothing_is_left_when_something_goes_wrong(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        write_until(tmp_path / "out.txt", error)
    assert names_in(tmp_path) == []


def test_what_stood_there_stays_when_its_replacement_fails(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_until(tmp_path / "out.txt", KeyboardInterrupt, overwrite=True)
    assert names_in(tmp_path) == ["out.txt"]
    assert (tmp_path / "out.txt").read_text() == "old"


def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """And nothing of a process that is at work, of another output or another machine."""
    script = (
        "import os, signal, sys\n"
        "from caloforge.io import NewFile\n"
        "with NewFile(sys.argv[1]) as partial:\n"
        "    partial.write_text('half of')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for name in ("out[1].txt", "other.txt"):
        subprocess.run([sys.executable, "-c", script, tmp_path / name], check=False)
    elsewhere = f".out[1].txt.00000000-{2**22 + 1}-abcd.partial"
    (tmp_path / elsewhere).touch()
    with NewFile(tmp_path / "out[1].txt") as at_work:
        with NewFile(tmp_path / "out[1].txt") as partial:
            partial.write_text("all of it")
        left = set(names_in(tmp_path)) - {at_work.name, "out[1].txt", elsewhere}
        assert [name.startswith(".other.txt.") for name in left] == [True]
        (tmp_path / "out[1].txt").unlink()


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_the_mode_of_a_file_follows_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with NewFile(tmp_path / "weights.safetensors") as partial:
            save_file({"w": torch.zeros(3)}, partial)
    finally:
        os.umask(before)
    assert (tmp_path / "weights.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask


def test_overwriting_replaces(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("old")
    with NewFile(tmp_path / "out.txt", overwrite=True) as partial:
        partial.write_text("new")
    assert (tmp_path / "out.txt").read_text() == "new"


def test_an_existing_path_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("old")
    with pytest.raises(
        OutputExistsError,
        match=r"out\.txt: exists already: choose another path, or overwrite it \(--overwrite\)",
    ):
        NewFile(tmp_path / "out.txt")


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError):
        write_beside_a_rival(tmp_path / "out.txt")
    assert names_in(tmp_path) == ["out.txt"]
    assert (tmp_path / "out.txt").read_text() == "theirs"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere.*does not exist: make the folder first"):
        NewFile(tmp_path / "nowhere" / "out.txt")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder, expected the path of a file to write"):
        NewFile(tmp_path, overwrite=True)


def test_a_folder_closed_to_writing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="closed to writing: choose another folder"):
        NewFile(tmp_path / "out.txt")


def test_a_missing_folder_comes_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        NewFile(tmp_path / "a" / "b" / "out.txt")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_a_link_or_a_pipe_stays(tmp_path: Path, kind: str, overwrite: bool) -> None:
    path, other = tmp_path / "out.txt", tmp_path / "other.txt"
    if kind == "link":
        other.write_text("old")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(other)
    before = names_in(tmp_path)
    with pytest.raises(OutputError, match=r"exists already|is a link to|is a pipe"):
        NewFile(path, overwrite=overwrite)
    assert names_in(tmp_path) == before


def test_a_full_disk_has_a_name_whatever_library_says_so(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    says = SafetensorError(f"I/O error: {os.strerror(errno.ENOSPC)} (os error 28)")
    found = pytest.raises(DiskFullError, match=r"out\.txt: cannot be written: No space")
    with found, NewFile(path):
        raise says
    assert names_in(tmp_path) == []


INTERRUPTIONS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM]


@pytest.mark.parametrize("number", INTERRUPTIONS, ids=str)
def test_an_interruption_waits_until_hdf5_has_written(number: signal.Signals) -> None:
    """The alarm, too, by which one that an object of C has lost is sent again."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def write() -> None:
        with held_back():
            signal.raise_signal(number)
            steps.append("written")

    before, steps = signal.signal(number, interrupt), list[str]()
    try:
        with pytest.raises(KeyboardInterrupt):
            write()
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    assert steps == ["written"]
