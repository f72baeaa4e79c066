"""`caloforge train`: settings reach the recipe, mistakes leave nothing, a resumed training is the same."""

import json
from pathlib import Path

import pytest

from tests.cli.samples import Caloforge

Pair = tuple[Path, Path]


def test_settings_reach_the_card(model: Path) -> None:
    card = json.loads((model / "card.json").read_text())
    assert card["recipe"]["steps"] == 3
    assert card["recipe"]["channels"] == 8
    assert "300 showers" in card["data"]


def test_a_training_is_told_where_nobody_watches(caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path) -> None:
    full, fast = full_and_fast
    words = ("--set", "steps=2", "--set", "validation=50", "--set", "channels=8", "--set", "batch_size=32")
    outcome = caloforge("train", "squirels-fast", "--out", tmp_path / "m", "--full", full, "--fast", fast, *words)
    assert outcome.code == 0, outcome.err
    assert "2 of 2 steps, loss" in outcome.err
    assert f"caloforge refine {tmp_path / 'm'}" in outcome.out


def test_without_files_it_trains_on_what_comes_with_the_package(caloforge: Caloforge, tmp_path: Path) -> None:
    words = ("--set", "steps=1", "--set", "channels=8", "--set", "batch_size=32")
    outcome = caloforge("train", "squirels-fast", "--out", tmp_path / "m", *words)
    assert outcome.code == 0, outcome.err
    card = json.loads((tmp_path / "m/card.json").read_text())
    assert card["data"] == "bundled Geant4 showers (4,000 showers) and GFlash of the same energies (4,000 showers)"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("squirels-fast", "--set", "steps"), "KEY=VALUE"),
        (("squirels-fast", "--set", "pace=3"), "pace"),
        (("squirels-fast", "--set", "steps=many"), "many"),
        (("squirrels",), "squirels-fast"),
        (("no-such-recipe.yaml",), "no-such-recipe.yaml"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    full, fast = full_and_fast
    outcome = caloforge("train", *words, "--out", tmp_path / "m", "--full", full, "--fast", fast)
    assert outcome.code == 2
    [line] = outcome.err.splitlines()
    assert line.startswith("caloforge: error: ")
    assert expected in line
    assert not (tmp_path / "m").exists()


def test_a_trained_directory_is_not_trained_over(caloforge: Caloforge, full_and_fast: Pair, model: Path) -> None:
    full, fast = full_and_fast
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    assert caloforge("train", "squirels-fast", "--out", model, "--full", full, "--fast", fast).code == 2
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
