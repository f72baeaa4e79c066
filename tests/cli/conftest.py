"""The command line as a person meets it: words in, exit code and two streams out."""

from pathlib import Path

import pytest
import torch

from caloforge.cli import main
from caloforge.zoo import bundled_showers
from tests.cli.samples import (
    TINY_SURROGATE,
    Caloforge,
    Outcome,
    random_cylinder_showers,
    random_showers,
    settings,
    write,
)


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
    full, fast = (
        write(directory / f"{name}.h5", bundled_showers(name)[:300])
        for name in ("pbwo4-geant4", "pbwo4-gflash")
    )
    return full, fast


@pytest.fixture(scope="session")
def model(full_and_fast: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has hardly been trained."""
    full, fast = full_and_fast
    directory = tmp_path_factory.mktemp("models") / "short"
    tiny = settings({"steps": 3, "validation": 50, "batch_size": 32, "channels": 8, "condition": 8})
    assert (
        run("train", "squirels-fast", "--out", directory, "--full", full, "--fast", fast, *tiny)
        == 0
    )
    return directory


@pytest.fixture(scope="session")
def cylinder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 300 showers of 1 to 100 GeV in the small cylinder."""
    return write(tmp_path_factory.mktemp("showers") / "cylinder.h5", random_cylinder_showers(300))


@pytest.fixture(scope="session")
def surrogate(cylinder_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A surrogate that has hardly been trained."""
    directory = tmp_path_factory.mktemp("models") / "tiny"
    assert (
        run(
            "train",
            "calodream-ds2",
            "--out",
            directory,
            "--data",
            cylinder_file,
            *settings(TINY_SURROGATE),
        )
        == 0
    )
    return directory
