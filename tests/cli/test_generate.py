"""`caloforge generate`: a shower is a function of model, seed, index and energy alone; energies out
of range are told.
"""

import json
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from caloforge.io import open_showers
from caloforge.models import Surrogate
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.cli.samples import Caloforge, random_cylinder_showers, small_cylinder, write

LOG = ("--energy", "1GeV:100GeV:log")


def generated(caloforge: Caloforge, model: Path, path: Path, *words: object) -> Showers:
    outcome = caloforge("generate", model, *words, path)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    return open_showers(path)[:]


def same(a: Showers, b: Showers) -> bool:
    return torch.equal(a.deposits, b.deposits) and torch.equal(a.energies, b.energies)


def test_showers_are_physical_and_the_file_says_who_made_them(
    caloforge: Caloforge, surrogate: Path, tmp_path: Path
) -> None:
    showers = generated(caloforge, surrogate, tmp_path / "a.h5", "-n", 50, *LOG, "--seed", 3)
    assert showers.calorimeter == small_cylinder()
    assert showers.deposits.isfinite().all()
    assert (showers.deposits >= 0).all()
    assert (showers.deposits.sum(1) > 0).all()
    with h5py.File(tmp_path / "a.h5") as file:
        found = {name: file.attrs[name] for name in ("model", "model_sha256", "seed", "pdg")}
    card = json.loads((surrogate / "card.json").read_text())
    assert found == {
        "model": "tiny",
        "model_sha256": card["sha256"],
        "seed": "3",
        "pdg": card["pdg"],
    }


def test_a_shower_depends_on_seed_index_and_energy_alone(
    caloforge: Caloforge, surrogate: Path, tmp_path: Path
) -> None:
    whole = generated(caloforge, surrogate, tmp_path / "whole.h5", "-n", 50, *LOG, "--seed", 7)
    parts = generated(
        caloforge, surrogate, tmp_path / "parts.h5", "-n", 50, *LOG, "--seed", 7, "--batch-size", 7
    )
    short = generated(
        caloforge, surrogate, tmp_path / "short.h5", "-n", 11, *LOG, "--seed", 7, "--threads", 1
    )
    again = generated(
        caloforge, surrogate, tmp_path / "again.h5", "--like", tmp_path / "whole.h5", "--seed", 7
    )
    other = generated(
        caloforge, surrogate, tmp_path / "other.h5", "--like", tmp_path / "whole.h5", "--seed", 8
    )
    assert same(parts, whole)
    assert same(short, whole[:11])
    assert same(again, whole)
    assert torch.equal(other.energies, whole.energies)
    assert not torch.isclose(other.deposits, whole.deposits).all(dim=1).any()


def test_like_takes_the_first_energies_of_a_file(
    caloforge: Caloforge, surrogate: Path, cylinder_file: Path, tmp_path: Path
) -> None:
    energies = generated(
        caloforge, surrogate, tmp_path / "a.h5", "--like", cylinder_file, "-n", 30
    ).energies
    assert torch.equal(energies, open_showers(cylinder_file)[:30].energies)


def test_an_empty_file_makes_an_empty_file(
    caloforge: Caloforge, surrogate: Path, tmp_path: Path
) -> None:
    empty = write(tmp_path / "empty.h5", random_cylinder_showers(0))
    assert len(generated(caloforge, surrogate, tmp_path / "out.h5", "--like", empty)) == 0


def test_an_energy_out_of_range_is_a_warning_that_names_the_range(
    caloforge: Caloforge, surrogate: Path, tmp_path: Path
) -> None:
    outcome = caloforge("generate", surrogate, "-n", 5, "--energy", "1TeV", tmp_path / "out.h5")
    assert outcome.code == 0
    [line] = outcome.err.splitlines()
    assert line.startswith(
        "caloforge: warning: 5 of 5 incident energies lie outside the range of model 'tiny', 1 "
        "GeV to 100 GeV"
    )
    assert len(open_showers(tmp_path / "out.h5")) == 5


def test_strict_makes_it_an_error_that_leaves_nothing(
    caloforge: Caloforge, surrogate: Path, tmp_path: Path
) -> None:
    """All energies are looked at before the first batch is made."""
    energies = torch.full((30,), 5e4)
    energies[25] = 1e6
    showers = Showers(
        torch.zeros(30, small_cylinder().n_cells), Particles(energies), small_cylinder()
    )
    like = write(tmp_path / "like.h5", showers)
    outcome = caloforge(
        "generate", surrogate, "--like", like, tmp_path / "out.h5", "--strict", "--batch-size", 10
    )
    assert outcome.code == 2
    [line] = outcome.err.splitlines()
    assert line.startswith(
        "caloforge: error: 1 of 30 incident energies lie outside the range of 'tiny'"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["like.h5"]


def test_an_interrupted_run_is_gone_on_with(
    caloforge: Caloforge, surrogate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    words = ("generate", surrogate, "-n", 30, *LOG)
    assert caloforge(*words, whole).code == 0
    simulate = Surrogate.simulate

    def interrupted(model: Surrogate, particles: Particles, **how: Any) -> Showers:
        if how["first_index"] == 20:
            raise KeyboardInterrupt
        return simulate(model, particles, **how)

    monkeypatch.setattr(Surrogate, "simulate", interrupted)
    outcome = caloforge(*words, parts, "--batch-size", 10)
    assert outcome.code == 130
    [line] = [line for line in outcome.err.splitlines() if "--resume" in line]
    assert "the finished showers are kept in .parts.h5.unfinished" in line
    assert not parts.exists()
    monkeypatch.undo()
    assert "unfinished run of it is there" in caloforge(*words, parts).err
    assert "another seed" in caloforge(*words, parts, "--resume", "--seed", 5).err
    outcome = caloforge(*words, parts, "--resume")
    assert outcome.out == f"{parts}: 30 showers generated by tiny, 20 of them from before\n"
    assert parts.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.h5", "whole.h5"]


def test_both_names_make_the_same_file(
    caloforge: Caloforge, surrogate: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.h5", tmp_path / "two.h5"
    assert caloforge("generate", surrogate, "-n", 5, *LOG, one).code == 0
    assert caloforge("simulate", surrogate, "-n", 5, *LOG, two).code == 0
    assert one.read_bytes() == two.read_bytes()
    outcome = caloforge("simulate", "no-such-model", "-n", 5, *LOG, tmp_path / "three.h5")
    assert outcome.code == 2
    assert "no model 'no-such-model'" in outcome.err


def test_each_kind_of_model_has_its_command(
    caloforge: Caloforge, model: Path, surrogate: Path, cylinder_file: Path, tmp_path: Path
) -> None:
    """And the others say which."""
    wrong = {
        "refiner to generate": (
            ("generate", model, "--like", cylinder_file, tmp_path / "out.h5"),
            "use 'caloforge refine'",
        ),
        "surrogate to refine": (
            ("refine", surrogate, cylinder_file, tmp_path / "out.h5"),
            "use 'caloforge generate'",
        ),
        "surrogate to demo": (
            ("demo", "--model", surrogate, "--out", tmp_path / "demo"),
            "use 'caloforge generate'",
        ),
    }
    for words, expected in wrong.values():
        outcome = caloforge(*words)
        assert outcome.code == 2
        [line] = outcome.err.splitlines()
        assert line.startswith("caloforge: error: ")
        assert expected in line
    assert list(tmp_path.iterdir()) == []
