"""`caloforge simulate`: a shower is a function of the seed, its index and its energy alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caloforge.detector import load_detector, write_detector
from caloforge.io import open_showers
from caloforge.showers import Showers
from caloforge.simulators import pbwo4_gflash
from tests.cli.samples import Caloforge, random_showers, write


def simulated(caloforge: Caloforge, path: Path, *words: object) -> Showers:
    outcome = caloforge("simulate", "gflash", *words, path)
    assert outcome.code == 0, outcome.err
    return open_showers(path)[:]


def same(a: Showers, b: Showers) -> bool:
    return torch.equal(a.deposits, b.deposits) and torch.equal(a.energies, b.energies)


def test_energies_fill_the_range(caloforge: Caloforge, tmp_path: Path) -> None:
    energies = simulated(
        caloforge, tmp_path / "a.h5", "-n", 400, "--energy", "10GeV:0.1TeV", "--seed", 1
    ).energies
    assert 10_000 <= energies.min() < 12_000
    assert 98_000 < energies.max() <= 100_000
    assert energies.mean() == pytest.approx(55_000, rel=0.1)


def test_one_energy_is_the_energy_of_all(caloforge: Caloforge, tmp_path: Path) -> None:
    assert (
        simulated(
            caloforge, tmp_path / "a.h5", "-n", 5, "--energy", "50GeV", "--seed", 1
        ).energies.tolist()
        == [50_000.0] * 5
    )


def test_a_shower_depends_on_seed_and_index_alone(caloforge: Caloforge, tmp_path: Path) -> None:
    options = ("--energy", "10GeV:100GeV", "--seed", 7)
    whole = simulated(caloforge, tmp_path / "whole.h5", "-n", 20, *options)
    assert same(
        simulated(caloforge, tmp_path / "parts.h5", "-n", 20, *options, "--batch-size", 3), whole
    )
    assert same(
        simulated(caloforge, tmp_path / "short.h5", "-n", 11, *options, "--threads", 1), whole[:11]
    )


def test_another_seed_gives_other_showers(caloforge: Caloforge, tmp_path: Path) -> None:
    a, b = (
        simulated(
            caloforge, tmp_path / f"{s}.h5", "-n", 20, "--energy", "10GeV:100GeV", "--seed", s
        )
        for s in (1, 2)
    )
    assert not torch.isclose(a.energies, b.energies).any()


def test_like_takes_the_energies_of_a_file(
    caloforge: Caloforge, shower_file: Path, tmp_path: Path
) -> None:
    given = open_showers(shower_file)[:].energies
    assert torch.equal(
        simulated(caloforge, tmp_path / "all.h5", "--like", shower_file, "--seed", 1).energies,
        given,
    )
    assert torch.equal(
        simulated(
            caloforge, tmp_path / "few.h5", "--like", shower_file, "-n", 4, "--seed", 1
        ).energies,
        given[:4],
    )


def test_energies_and_deposits_are_independent(caloforge: Caloforge, tmp_path: Path) -> None:
    showers = simulated(
        caloforge, tmp_path / "a.h5", "-n", 2000, "--energy", "49GeV:51GeV", "--seed", 3
    )
    fraction = showers.deposits.double().sum(1) / showers.energies
    correlation = torch.corrcoef(torch.stack([fraction, showers.energies.double()]))[0, 1]
    assert abs(correlation) < 0.1


def test_an_empty_file_makes_an_empty_file(caloforge: Caloforge, tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.h5", random_showers(0))
    assert len(simulated(caloforge, tmp_path / "out.h5", "--like", empty, "--seed", 1)) == 0


@pytest.mark.parametrize(
    "words",
    [(), ("pbwo4-10x10",), ("pbwo4-10x10", "--response", 1), ("--detector", "pbwo4-10x10")],
)
def test_the_crystals_are_the_detector_without_another(
    caloforge: Caloforge, tmp_path: Path, words: tuple[object, ...]
) -> None:
    showers = simulated(
        caloforge, tmp_path / "a.h5", "-n", 6, "--energy", "5GeV", "--seed", 1, *words
    )
    assert torch.equal(
        showers.deposits, pbwo4_gflash().simulate(showers.particles, seed=1).deposits
    )


def test_showers_are_of_the_detector_asked_for(caloforge: Caloforge, tmp_path: Path) -> None:
    options = ("-n", 5, "--energy", "10GeV", "--seed", 2)
    own = tmp_path / "own.yaml"
    write_detector(own, replace(load_detector("par04-lowgran"), name="own"))
    whole = simulated(caloforge, tmp_path / "whole.h5", *options, "par04-lowgran")
    half = simulated(caloforge, tmp_path / "half.h5", *options, own, "--response", 0.5)
    assert whole.calorimeter == half.calorimeter == load_detector("par04-lowgran").calorimeter
    assert half.deposits.sum() == pytest.approx(float(whole.deposits.sum()) / 2, rel=1e-3)
    assert half.deposits[half.deposits > 0].min() >= load_detector("par04-lowgran").threshold


def test_a_detector_or_a_response_that_cannot_be_is_one_line(
    caloforge: Caloforge, tmp_path: Path
) -> None:
    for words, told in (
        (("nowhere",), "no detector 'nowhere'"),
        (("par04-siw", "pbwo4-10x10"), "2 detectors, 'par04-siw', 'pbwo4-10x10': expected one"),
        (("--response", -1), "response is -1"),
    ):
        outcome = caloforge(
            "simulate",
            "gflash",
            "-n",
            5,
            "--energy",
            "10GeV",
            "--seed",
            2,
            *words,
            tmp_path / "a.h5",
        )
        assert outcome.code != 0
        assert told in outcome.err
        assert "Traceback" not in outcome.err
