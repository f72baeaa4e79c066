"""`caloforge simulate`: a shower is a function of the seed, its index and its energy alone."""

from pathlib import Path

import pytest
import torch

from caloforge.io import open_showers
from caloforge.showers import Showers
from tests.cli.samples import Caloforge, random_showers, write


def simulated(caloforge: Caloforge, path: Path, *words: object) -> Showers:
    outcome = caloforge("simulate", "gflash", *words, path)
    assert outcome.code == 0, outcome.err
    return open_showers(path)[:]


def same(a: Showers, b: Showers) -> bool:
    return torch.equal(a.deposits, b.deposits) and torch.equal(a.energies, b.energies)


def test_energies_fill_the_range(caloforge: Caloforge, tmp_path: Path) -> None:
    energies = simulated(caloforge, tmp_path / "a.h5", "-n", 400, "--energy", "10GeV:0.1TeV", "--seed", 1).energies
    assert 10_000 <= energies.min() < 12_000
    assert 98_000 < energies.max() <= 100_000
    assert energies.mean() == pytest.approx(55_000, rel=0.1)


def test_one_energy_is_the_energy_of_all(caloforge: Caloforge, tmp_path: Path) -> None:
    assert simulated(caloforge, tmp_path / "a.h5", "-n", 5, "--energy", "50GeV", "--seed", 1).energies.tolist() == [50_000.0] * 5


def test_a_shower_depends_on_seed_and_index_alone(caloforge: Caloforge, tmp_path: Path) -> None:
    options = ("--energy", "10GeV:100GeV", "--seed", 7)
    whole = simulated(caloforge, tmp_path / "whole.h5", "-n", 20, *options)
    assert same(simulated(caloforge, tmp_path / "parts.h5", "-n", 20, *options, "--batch-size", 3), whole)
    assert same(simulated(caloforge, tmp_path / "short.h5", "-n", 11, *options, "--threads", 1), whole[:11])


def test_another_seed_gives_other_showers(caloforge: Caloforge, tmp_path: Path) -> None:
    a, b = (simulated(caloforge, tmp_path / f"{s}.h5", "-n", 20, "--energy", "10GeV:100GeV", "--seed", s) for s in (1, 2))
    assert not torch.isclose(a.energies, b.energies).any()


def test_like_takes_the_energies_of_a_file(caloforge: Caloforge, shower_file: Path, tmp_path: Path) -> None:
    given = open_showers(shower_file)[:].energies
    assert torch.equal(simulated(caloforge, tmp_path / "all.h5", "--like", shower_file, "--seed", 1).energies, given)
    assert torch.equal(simulated(caloforge, tmp_path / "few.h5", "--like", shower_file, "-n", 4, "--seed", 1).energies, given[:4])


def test_energies_and_deposits_are_independent(caloforge: Caloforge, tmp_path: Path) -> None:
    showers = simulated(caloforge, tmp_path / "a.h5", "-n", 2000, "--energy", "49GeV:51GeV", "--seed", 3)
    fraction = showers.deposits.double().sum(1) / showers.energies
    correlation = torch.corrcoef(torch.stack([fraction, showers.energies.double()]))[0, 1]
    assert abs(correlation) < 0.1


def test_an_empty_file_makes_an_empty_file(caloforge: Caloforge, tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.h5", random_showers(0))
    assert len(simulated(caloforge, tmp_path / "out.h5", "--like", empty, "--seed", 1)) == 0
