"""`caloforge models`: what the zoo holds, and the card of each."""

from pathlib import Path

import pytest

from caloforge import zoo
from tests.cli.samples import Caloforge


def test_every_model_is_listed(caloforge: Caloforge) -> None:
    outcome = caloforge("models")
    assert outcome.code == 0, outcome.err
    assert [name for name in zoo.names() if name not in outcome.out] == []


@pytest.mark.parametrize("name", zoo.names())
def test_every_card_is_shown(caloforge: Caloforge, name: str) -> None:
    outcome = caloforge("models", name)
    assert outcome.code == 0, outcome.err
    assert zoo.card(name).sha256 in outcome.out


def test_the_card_of_a_directory_is_shown(caloforge: Caloforge, model: Path) -> None:
    assert "steps: 3" in caloforge("models", model).out


def test_a_model_says_what_it_is_used_by(
    caloforge: Caloforge, model: Path, surrogate: Path
) -> None:
    assert "caloforge refine" in caloforge("models", model).out
    outcome = caloforge("models", surrogate)
    assert "caloforge generate" in outcome.out
    assert "patch: [1, 2, 1]" in outcome.out
    assert "schedule: epochs 1, batch_size 64" in outcome.out


def test_a_listing_tells_refiners_from_surrogates(
    caloforge: Caloforge, monkeypatch: pytest.MonkeyPatch, model: Path, surrogate: Path
) -> None:
    cards = {"short": zoo.card(str(model)), "tiny": zoo.card(str(surrogate))}
    monkeypatch.setattr("caloforge.zoo.names", lambda: tuple(cards))
    monkeypatch.setattr("caloforge.zoo.card", cards.__getitem__)
    lines = {
        line.split()[0]: line.split()[1:4]
        for line in caloforge("models").out.splitlines()
        if line.split()[0] in cards
    }
    assert lines == {
        "short": ["refine", "pbwo4-10x10", "10"],
        "tiny": ["generate", "small-cylinder", "1"],
    }


def test_an_unknown_model_is_one_line(caloforge: Caloforge) -> None:
    outcome = caloforge("models", "squirrels")
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 1
