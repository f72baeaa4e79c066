"""The command line as a whole: help, version, speed of the start, interruption, pipes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from caloforge import __version__
from caloforge.cli._app import app
from tests.cli.samples import Caloforge

COMMANDS = [
    ("demo",),
    ("simulate", "gflash"),
    ("tune", "gflash"),
    ("generate",),
    ("refine",),
    ("evaluate",),
    ("bench",),
    ("train",),
    ("show",),
    ("convert",),
    ("models",),
    ("data", "geant4"),
]
SCRIPT = (sys.executable, "-c", "from caloforge.cli import main; main()")


def test_help_lists_every_command_in_the_order_of_use(caloforge: Caloforge) -> None:
    outcome = caloforge("--help")
    assert outcome.code == 0
    places = [outcome.out.index(f"│ {words[0]} ") for words in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_examples(
    caloforge: Caloforge, words: tuple[str, ...]
) -> None:
    outcome = caloforge(*words, "--help")
    assert outcome.code == 0
    assert f"caloforge {' '.join(words)}" in outcome.out.split("Examples:")[1]


def test_version(caloforge: Caloforge) -> None:
    assert caloforge("--version").out == f"caloforge {__version__}\n"


def test_the_start_is_light() -> None:
    script = (
        "import sys, caloforge.cli; sys.exit(bool({'torch', 'numpy', 'h5py', 'matplotlib'} & "
        "set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    """Also where the tests run in the background of a shell, which has its children ignore
    interruptions.
    """
    words = (
        "simulate",
        "gflash",
        "-n",
        "100000000",
        "--energy",
        "50GeV",
        "--seed",
        "1",
        "--threads",
        "1",
        str(tmp_path / "out.h5"),
    )
    heedful = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from "
        "caloforge.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", heedful, *words], stderr=subprocess.PIPE, text=True
    ) as process:
        while not any(tmp_path.iterdir()) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_quiet(shower_file: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [*SCRIPT, "show", str(shower_file)],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert result.stderr == ""


def test_threads_are_those_asked_for(
    caloforge: Caloforge,
    full_and_fast: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", asked.append)
    like = ("simulate", "gflash", "--like", full_and_fast[0], "-n", "2", "--seed", "1")
    assert caloforge(*like, tmp_path / "a.h5", "--threads", "3").code == 0
    assert 3 in asked
    asked.clear()
    assert caloforge(*like, tmp_path / "b.h5").code == 0
    assert 3 not in asked


def test_paragraphs_of_help_are_broken_by_the_terminal_alone() -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    commands = [group, *group.commands.values()]
    commands += [c for g in group.commands.values() for c in getattr(g, "commands", {}).values()]
    texts = [paragraph for c in commands for paragraph in (c.help or "").split("\n\n")]
    assert len(texts) > len(commands)
    assert [text for text in texts if "\n" in text and "\b" not in text] == []
