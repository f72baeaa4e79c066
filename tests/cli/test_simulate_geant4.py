"""`caloforge simulate geant4`: from a name and an energy to a file."""

from pathlib import Path

import pytest
import torch

from caloforge.detector import load_detector, write_detector
from caloforge.io import CaloChallengeFile
from caloforge.production import journal_of
from tests.cli.samples import Caloforge
from tests.geant4 import actor, needs_geant4

__all__ = ["actor"]

RUN = ("-n", 12, "--energy", "100MeV:200MeV:log", "--seed", 1, "--physics", "em-option1")


@needs_geant4
def test_a_file_of_showers_from_a_name(caloforge: Caloforge, tmp_path: Path) -> None:
    one, two = tmp_path / "one.h5", tmp_path / "two.h5"
    assert caloforge("simulate", "geant4", "pbwo4-10x10", *RUN, one).code == 0
    outcome = caloforge("simulate", "geant4", "pbwo4-10x10", *RUN, "--workers", 2, two)
    assert (outcome.code, outcome.err) == (0, "")
    assert "12 Geant4 showers" in outcome.out
    with CaloChallengeFile(one) as a, CaloChallengeFile(two) as b:
        assert torch.equal(a[:].deposits, b[:].deposits)
        assert torch.equal(a.energies, b.energies)
        assert (a.column("cpu_time_ms") > 0).all()
        assert a.calorimeter.name == "pbwo4-10x10"


def test_a_detector_of_ones_own_and_the_energies_of_a_file(
    actor: None, caloforge: Caloforge, tmp_path: Path
) -> None:
    write_detector(tmp_path / "own.yaml", load_detector("pbwo4-10x10"))
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    assert caloforge("simulate", "geant4", tmp_path / "own.yaml", *RUN, first).code == 0
    like = ("--like", first, "--seed", 2, "--physics", "em-option2", "--particle", "gamma")
    assert caloforge("simulate", "geant4", tmp_path / "own.yaml", *like, second).code == 0
    with CaloChallengeFile(first) as a, CaloChallengeFile(second) as b:
        assert torch.equal(a.energies, b.energies)
        assert b[:].particles.pdg == 22


def test_an_interrupted_run_can_be_resumed(
    actor: None, caloforge: Caloforge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.h5"
    monkeypatch.setenv("ACTOR_DIES_AT", "5")
    monkeypatch.setenv("ACTOR_LAST_WORDS", "")
    outcome = caloforge("simulate", "geant4", "pbwo4-10x10", *RUN, path)
    assert outcome.code == 2
    assert "--resume" in outcome.err
    assert "a worker of Geant4 has died" in outcome.err
    assert journal_of(path).exists()
    monkeypatch.delenv("ACTOR_DIES_AT")
    outcome = caloforge("simulate", "geant4", "pbwo4-10x10", *RUN, "--resume", path)
    assert outcome.code == 0
    assert "5 of them from before" in outcome.out
    assert [file.name for file in tmp_path.glob("*out.h5*")] == ["out.h5"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("simulate", "geant4", "pbwo5", *RUN, "OUT"), "pbwo4-10x10"),
        (("simulate", "geant4", "pbwo4-10x10", *RUN, "--physics", "em", "OUT"), "em-option1"),
        (
            ("simulate", "geant4", "pbwo4-10x10", *RUN, "--physics", "FTFP_BERT", "OUT"),
            "G4SAIDDATA",
        ),
        (("simulate", "geant4", "pbwo4-10x10", *RUN, "--particle", "pi+", "OUT"), "FTFP_BERT"),
        (("simulate", "geant4", "pbwo4-10x10", *RUN, "--particle", "kaon", "OUT"), "gamma"),
        (
            ("simulate", "geant4", "pbwo4-10x10", *RUN, "--data", "no-such-folder", "OUT"),
            "no-such-folder",
        ),
        (("simulate", "geant4", "pbwo4-10x10", *RUN, "--cut", "0mm", "OUT"), "cut"),
        (("simulate", "geant4", "pbwo4-10x10", *RUN, "--cut", "0.7", "OUT"), "0.7mm"),
        (("simulate", "geant4", "pbwo4-10x10", *RUN, "--cut-in", "lead=1mm", "OUT"), "active=, "),
        (("simulate", "geant4", "pbwo4-10x10", *RUN, "--cut-in", "active=1", "OUT"), "0.7mm"),
        (("simulate", "geant4", "pbwo4-10x10", *RUN, "--record", "all", "OUT"), "cells or hits"),
    ],
    ids=lambda value: (
        " ".join(str(word) for word in value[10:]) if isinstance(value, tuple) else ""
    ),
)
def test_what_cannot_be_is_one_clear_line(
    actor: None, caloforge: Caloforge, tmp_path: Path, words: tuple[object, ...], expected: str
) -> None:
    outcome = caloforge(*(tmp_path / "out.h5" if word == "OUT" else word for word in words))
    assert outcome.code == 2
    [line] = outcome.err.splitlines()
    assert line.startswith("caloforge: error: ")
    assert expected in line
    assert list(tmp_path.glob("*out.h5*")) == []
