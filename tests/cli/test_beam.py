"""The particles that commands ask for: species, angles and places."""

from pathlib import Path

import pytest
import torch

from caloforge.io import open_showers
from tests.cli.conftest import Caloforge
from tests.geant4 import actor

__all__ = ["actor"]

ANYWHERE = (
    *("--particle", "e-:1,gamma:1", "--theta", "0deg:30deg", "--phi", "-180deg:180deg"),
    *("--impact", "cell"),
)
GEANT4 = "simulate", "geant4", "pbwo4-10x10", "--physics", "em-option1"


def test_a_mixture_at_angles_and_places_is_simulated_and_taken_again(
    caloforge: Caloforge, actor: None, tmp_path: Path
) -> None:
    first, again = tmp_path / "first.h5", tmp_path / "again.h5"
    words = "-n", 40, "--energy", "1GeV:5GeV", *ANYWHERE, "--seed", 1
    assert caloforge(*GEANT4, *words, first).code == 0
    particles = open_showers(first).particles
    assert set(particles.species) == {11, 22}
    assert particles.theta is not None
    assert particles.phi is not None
    assert particles.place is not None
    assert 0 < particles.theta.min() < particles.theta.max() < torch.pi / 6
    assert particles.phi.abs().max() <= torch.pi
    assert particles.place.abs().amax(0) == pytest.approx([15.0, 15.0], abs=2)
    assert caloforge(*GEANT4, "--like", first, "--seed", 2, again).code == 0
    assert open_showers(again).particles == particles


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--theta", "10"), "--theta angle '10': expected a number with its unit, such as 30deg"),
        (("--phi", "2deg:1deg"), "--phi '2deg:1deg' runs downward: write LOW:HIGH"),
        (("--impact", "5mm"), "--impact '5mm': expected a place X,Y such as 1mm,-2mm"),
        (("--particle", "e-:x"), "--particle mixture 'e-:x': share 'x', expected a positive"),
        (("--particle", "elektron"), "--particle species 'elektron': expected a name such as e-"),
        (("--theta", "70deg"), "enter at an angle of 70 deg, the first that of shower 0"),
        (("--impact", "1m,0mm"), "enter 1000 mm off the centre, the first that of shower 0"),
        (("--particle", "pi+"), "have PDG number 211, the first that of shower 0"),
    ],
)
def test_what_cannot_be_is_one_line(
    caloforge: Caloforge, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    gflash = "simulate", "gflash", "-n", 3, "--energy", "5GeV", "--seed", 1
    outcome = caloforge(*gflash, *words, tmp_path / "out.h5")
    assert outcome.code == 2
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("--theta", "1deg"), ("--impact", "cell"), ("--phi", "1deg")])
def test_a_file_says_how_its_particles_arrive(
    caloforge: Caloforge, shower_file: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    outcome = caloforge(*GEANT4, "--like", shower_file, *words, "--seed", 1, tmp_path / "out.h5")
    assert outcome.code == 2
    assert f"says how particles arrive: leave out {words[0]}" in outcome.err
