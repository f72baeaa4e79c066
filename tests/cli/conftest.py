"""The command line as a person meets it: words in, exit code and two streams out."""

from pathlib import Path

import pytest
import torch

from caloforge.cli import main
from caloforge.zoo import bundled_showers
from tests.cli.samples import Caloforge, Outcome, random_showers, write


def run(*words: object) -> int:
    """Run the command line in this process, and undo its choice of threads; the exit code."""
    threads = torch.get_num_threads()
    try:
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
    finally:
        torch.set_num_threads(threads)
    code = end.value.code
    return code if isinstance(code, int) else int(code is not None)


@pytest.fixture
def caloforge(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Caloforge:
    """Run the command line in this process, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "200")

    def outcome(*words: object) -> Outcome:
        capsys.readouterr()
        return Outcome(run(*words), *capsys.readouterr())

    return outcome


@pytest.fixture
def shower_file(tmp_path: Path) -> Path:
    """A good file of 30 showers."""
    return write(tmp_path / "showers.h5", random_showers(30))


@pytest.fixture(scope="session")
def full_and_fast(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of 300 full and 300 fast showers."""
    directory = tmp_path_factory.mktemp("showers")
    full, fast = (write(directory / f"{name}.h5", bundled_showers(name)[:300]) for name in ("pbwo4-geant4", "pbwo4-gflash"))
    return full, fast


@pytest.fixture(scope="session")
def model(full_and_fast: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has hardly been trained."""
    full, fast = full_and_fast
    directory = tmp_path_factory.mktemp("models") / "short"
    settings = (
        "--set",
        "steps=3",
        "--set",
        "validation=50",
        "--set",
        "batch_size=32",
        "--set",
        "channels=8",
        "--set",
        "condition=8",
    )
    assert run("train", "squirels-fast", "--out", directory, "--full", full, "--fast", fast, *settings) == 0
    return directory
