"""Energies from showers on the command line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from caloforge import zoo
from tests.cli.conftest import caloforge
from tests.cli.samples import Caloforge, write

__all__ = ["caloforge"]

MODEL = "caloflow-laptop"


@pytest.fixture(scope="module")
def showers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Showers of Geant4."""
    path = tmp_path_factory.mktemp("showers") / "in.h5"
    write(path, zoo.bundled_showers("par04-geant4")[:120])
    return path


def test_intervals_hold_the_truth_whatever_the_batch(
    caloforge: Caloforge, showers: Path, tmp_path: Path
) -> None:
    """Bits of matrix products may depend on the batch; energies agree to single precision."""
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    done = caloforge("reconstruct", MODEL, showers, one)
    assert done.code == 0
    assert "120" in done.out
    assert caloforge("reconstruct", MODEL, showers, two, "--batch-size", "50").code == 0
    found, again = (np.loadtxt(path, delimiter=",", skiprows=1) for path in (one, two))
    np.testing.assert_allclose(found, again, rtol=1e-5)
    true, energy, low, high, lowest, highest = found.T
    assert (np.diff([lowest, low, energy, high, highest], axis=0) > 0).all()
    assert 0.85 < np.mean((lowest < true) & (true < highest)) <= 1.0


def test_held_out_showers_set_the_widths(
    caloforge: Caloforge, showers: Path, tmp_path: Path
) -> None:
    done = caloforge("reconstruct", MODEL, showers, tmp_path / "o.csv", "--calibrate", showers)
    assert done.code == 0
    assert "calibration: likelihoods to the power" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("calodream-ds2-laptop", "{in}", "o.csv"), "has no exact density"),
        (("squirels-fast", "{in}", "o.csv"), "makes showers from showers"),
        ((MODEL, "{in}", "o.h5"), "o.h5: expected a name that ends in .csv"),
        ((MODEL, "{in}", "o.csv", "--prior", "3GeV"), "expected a range, such as 10GeV:100GeV"),
        ((MODEL, "{in}", "o.csv", "--prior", "1MeV:2MeV"), "give a prior that reaches higher"),
        ((MODEL, "{few}", "o.csv", "--calibrate", "{few}"), "expected at least 100 to calibrate"),
        ((MODEL, "{crystals}", "o.csv"), "calochallenge-2"),
    ],
)
def test_a_mistake_is_one_line(
    caloforge: Caloforge, showers: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    few, crystals = tmp_path / "few.h5", tmp_path / "crystals.h5"
    write(few, zoo.bundled_showers("par04-geant4")[:3])
    write(crystals, zoo.bundled_showers("pbwo4-geant4")[:3])
    known = {"in": str(showers), "few": str(few), "crystals": str(crystals)}
    done = caloforge("reconstruct", *(word.format_map(known) for word in words))
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not Path("o.csv").exists()


def test_no_showers_have_no_energies(caloforge: Caloforge, tmp_path: Path) -> None:
    write(tmp_path / "none.h5", zoo.bundled_showers("par04-geant4")[torch.arange(0)])
    out = tmp_path / "o.csv"
    assert caloforge("reconstruct", MODEL, tmp_path / "none.h5", out).code == 0
    assert out.read_text().count("\n") == 1
