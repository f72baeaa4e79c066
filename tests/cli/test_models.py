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


def test_an_unknown_model_is_one_line(caloforge: Caloforge) -> None:
    outcome = caloforge("models", "squirrels")
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 1
