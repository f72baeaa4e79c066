"""`caloforge tune`: from full showers to a tuned simulator."""

from pathlib import Path

import pytest
import torch

from caloforge.io import CaloChallengeFile
from caloforge.particles import Particles
from caloforge.simulators import load_gflash
from tests.cli.samples import Caloforge, random_cylinder_showers, write

FEW = ("--constants", "core_1,tail_1,response")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tuned") / "tuned.yaml"


def test_a_tuned_simulator_is_one_like_any_other(
    caloforge: Caloforge, full_and_fast: tuple[Path, Path], tuned: Path, tmp_path: Path
) -> None:
    full, fast = full_and_fast
    outcome = caloforge("tune", "gflash", "--to", full, "--check", fast, *FEW, tuned)
    assert (outcome.code, outcome.err) == (0, "")
    assert "300 showers" in outcome.out
    rows = [line.split() for line in outcome.out.splitlines() if line.startswith("  radial")]
    assert float(rows[0][2]) < float(rows[0][1])
    assert float(rows[1][2]) > float(rows[1][1])
    assert (
        caloforge(
            "simulate",
            "gflash",
            "-n",
            3,
            "--energy",
            "50GeV",
            "--seed",
            4,
            "--tuned",
            tuned,
            tmp_path / "a.h5",
        ).code
        == 0
    )
    with CaloChallengeFile(tmp_path / "a.h5") as file:
        expected = load_gflash(tuned).simulate(Particles(torch.full((3,), 5e4)), seed=4)
        assert torch.equal(file[:].deposits, expected.deposits)
        assert file.calorimeter.name == "pbwo4-10x10"
    before = tuned.read_bytes()
    outcome = caloforge("tune", "gflash", "--to", full, *FEW, tuned)
    assert (outcome.code, tuned.read_bytes()) == (2, before)
    assert "exists already" in outcome.err
    assert (
        caloforge(
            "tune", "gflash", "--to", full, *FEW, "--overwrite", "--detector", "pbwo4-10x10", tuned
        ).code
        == 0
    )
    assert tuned.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--to", "FULL", "--constants", "core_9"), "found 'core_9'"),
        (("--to", "FULL", "--detector", "pbwo5"), "no detector 'pbwo5'"),
        (("--to", "none.h5"), "none.h5"),
        (("--to", "CYLINDER"), "--detector"),
        (("--to", "CYLINDER", "--detector", "pbwo4-10x10"), "small-cylinder"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    caloforge: Caloforge, shower_file: Path, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    files = {
        "FULL": shower_file,
        "CYLINDER": write(tmp_path / "cylinder.h5", random_cylinder_showers(30)),
    }
    outcome = caloforge(
        "tune", "gflash", *(files.get(word, word) for word in words), tmp_path / "out.yaml"
    )
    assert outcome.code == 2
    [line] = outcome.err.splitlines()
    assert line.startswith("caloforge: error: ")
    assert expected in line
    assert not (tmp_path / "out.yaml").exists()


def test_a_file_that_is_no_tuned_simulator_is_one_clear_line(
    caloforge: Caloforge, shower_file: Path, tmp_path: Path
) -> None:
    words = (
        "simulate",
        "gflash",
        "-n",
        3,
        "--energy",
        "50GeV",
        "--seed",
        4,
        "--tuned",
        shower_file,
        tmp_path / "out.h5",
    )
    outcome = caloforge(*words)
    assert outcome.code == 2
    [line] = outcome.err.splitlines()
    assert "expected a file that 'caloforge tune gflash' has written" in line
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("words", [("pbwo4-10x10",), ("--response", 0.9)])
def test_the_file_alone_says_detector_and_response(
    caloforge: Caloforge, tmp_path: Path, words: tuple[object, ...]
) -> None:
    (tmp_path / "tuned.yaml").touch()
    given = ("--tuned", tmp_path / "tuned.yaml", *words)
    outcome = caloforge(
        "simulate", "gflash", "-n", 3, "--energy", "50GeV", "--seed", 4, *given, tmp_path / "out.h5"
    )
    assert outcome.code == 2
    [line] = outcome.err.splitlines()
    assert "leave out DETECTOR and --response" in line
