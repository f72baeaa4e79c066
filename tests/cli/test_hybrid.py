"""`caloforge simulate hybrid`: events from words to a file."""

from pathlib import Path

import pytest
import torch

from caloforge.io import CaloChallengeFile
from tests.cli.samples import Caloforge
from tests.geant4 import actor

__all__ = ["actor"]

HYBRID = ("simulate", "hybrid", "par04-lowgran", "--physics", "em-option1", "--seed", 1)
EVENTS = (*HYBRID, "-n", 3, "--each", 4, "--energy", "1GeV:9GeV")


def test_events_in_which_all_is_replaced(caloforge: Caloforge, tmp_path: Path) -> None:
    """Batches change nothing; of one particle each, events are the showers of GFlash."""
    one, two, alone = (tmp_path / f"{name}.h5" for name in ("one", "two", "alone"))
    outcome = caloforge(*EVENTS, "--with", "gflash", one)
    assert (outcome.code, outcome.err) == (0, "")
    assert "3 events of 4" in outcome.out
    assert "12 showers by the surrogate" in outcome.out
    assert caloforge(*EVENTS, "--with", "gflash", "--batch-size", 2, two).code == 0
    single = ("-n", 3, "--energy", "1GeV:9GeV", "--seed", 1)
    assert caloforge(*HYBRID, *single, "--with", "gflash", alone).code == 0
    fast = tmp_path / "fast.h5"
    assert caloforge("simulate", "gflash", "par04-lowgran", *single, fast).code == 0
    files = [CaloChallengeFile(path)[:] for path in (one, two, alone, fast)]
    assert torch.equal(files[0].deposits, files[1].deposits)
    assert torch.equal(files[2].deposits, files[3].deposits)
    assert files[0].energies.min() > 4e3


def test_nothing_was_replaced(actor: None, caloforge: Caloforge, tmp_path: Path) -> None:
    """A person is told so, and by which options that changes."""
    words = ("simulate", "hybrid", "pbwo4-10x10", "--physics", "em-option1", "-n", 2)
    few = ("--energy", "1GeV", "--with", "gflash", "--above", "5GeV")
    outcome = caloforge(*words, *few, tmp_path / "out.h5")
    assert outcome.code == 0
    assert "no particle was replaced" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--above", "5GeV"), "name it by --with"),
        (("--with", "gflash", "--replace", "e-,foton"), "--replace"),
        (("--with", "gflash", "--replace", "pi+"), "the surrogate is not made for pi+"),
        (("--with", "gflash", "--within", "1deg"), "such as 1deg,2mm"),
        (("--with", "gflash", "--front", "G4_Al"), "such as G4_Al:20mm"),
        (("--with", "gflash", "--front", "G4_Al:20mm"), "is no plane"),
        (("--with", "squirels-fast"), "makes showers from showers"),
        (("--with", "nobody"), "no model 'nobody'"),
        (("--with", "gflash+squirels-fast"), "refiner of a chain"),
    ],
)
def test_mistakes_are_one_line(
    caloforge: Caloforge, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    outcome = caloforge(*EVENTS, *words, tmp_path / "out.h5")
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
