"""A model that was changed by hand or by an attack is refused in one line, at once."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from caloforge import zoo
from caloforge.bundled import MODELS
from caloforge.errors import CaloforgeError, FileFormatError, ModelError
from caloforge.io.input import checksum
from caloforge.learn.networks import DihedralNetwork
from caloforge.models import load
from caloforge.models.room import Room

Change = Callable[[dict[str, Any]], Any]

CARDS: dict[str, tuple[Change, str]] = {
    "no recipe": (lambda card: card["recipe"].clear(), "recipe of the card is of system 'None'"),
    "recipe of another": (
        lambda card: card.update(system="squirels"),
        "of system 'squirels-fast', expected 'squirels', that of the card",
    ),
    "surrogate": (lambda card: card.update(system="surrogate"), "expected 'surrogate'"),
    "no cells": (lambda card: card["calorimeter"].clear(), "kind is None, expected one of"),
    "NUL": (lambda card: card.update(name="a\0b"), "name has a character that is none: 'a.b'"),
    "half of a pair": (lambda card: card.update(name="\ud800"), "name has a character that is"),
    "key": (lambda card: card["recipe"].update({"\0": 1}), "has a character that is none"),
    "long": (lambda card: card.update(name="n" * 10**6), "a text of at most 80 characters"),
    "deep": (lambda card: card["recipe"].update(blocks=10**5), "blocks: .* of at most 500"),
    "endless": (lambda card: card["recipe"].update(blocks=10**9), "blocks: .* of at most 500"),
    "slow": (lambda card: card["recipe"].update(solver_steps=10**9), "solver_steps: .* most 1000"),
    "wide": (lambda card: card["recipe"].update(channels=10**6), "channels: .* of at most 16384"),
    "reversed": (lambda card: card["energy_range"].reverse(), "energy_range: .* lowest first"),
    "no energy": (lambda card: card.update(energy_range=[0, 1]), "energy_range: .* found 0 and 1"),
    "large": (lambda card: card["recipe"].update(channels=16_384), "too small for the networks"),
}


def copied(folder: Path) -> Path:
    """The refiner of the package, to be changed."""
    shutil.copytree(MODELS.find("squirels-fast"), folder)
    return folder


@pytest.mark.parametrize("case", CARDS)
def test_a_card_that_describes_no_model_is_refused(case: str, tmp_path: Path) -> None:
    change, message = CARDS[case]
    model = copied(tmp_path / "model")
    card = json.loads((model / "card.json").read_text())
    change(card)
    (model / "card.json").write_text(json.dumps(card))
    with pytest.raises(CaloforgeError, match=message) as refusal:
        load(model)
    assert str(refusal.value).startswith(str(model))
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400 + len(str(model))


def test_sizes_that_fit_no_network_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unfit(*_: object, **__: object) -> None:
        message = "mat1 and mat2\nshapes cannot be multiplied"
        raise RuntimeError(message)

    model = copied(tmp_path / "model")
    monkeypatch.setattr(DihedralNetwork, "__init__", unfit)
    with pytest.raises(ModelError, match=r"its card \(RuntimeError: mat1 and mat2 shapes cannot"):
        load(model)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing"])
def test_weights_are_a_file(kind: str, tmp_path: Path) -> None:
    weights = copied(tmp_path / "model") / "weights.safetensors"
    weights.unlink()
    made = {"pipe": os.mkfifo, "folder": os.mkdir, "device": lambda to: to.symlink_to("/dev/zero")}
    made.get(kind, lambda to: None)(weights)
    for read, refusal in ((load, ModelError), (lambda _: checksum(weights), FileFormatError)):
        with pytest.raises(refusal, match=r"safetensors: .*, expected a file to read"):
            read(weights.parent)


def test_networks_are_built_where_they_have_room() -> None:
    with Room(3_000, "too large"):
        torch.nn.Linear(50, 50)
    wide, deep = lambda: torch.nn.Linear(10**9, 10**9), lambda: [torch.zeros(9) for _ in range(999)]
    for large in (wide, deep):
        with pytest.raises(ModelError, match="too large"), Room(3_000, "too large"):
            large()


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
def test_a_model_that_makes_no_numbers_says_so() -> None:
    refiner = zoo.load("squirels-fast")
    with torch.no_grad():
        for values in (*refiner.parameters(), *refiner.buffers()):
            values.zero_()
    with pytest.raises(ModelError, match="50 showers with deposits that are not finite, the first"):
        refiner.refine(zoo.bundled_showers("pbwo4-gflash")[:50], seed=1)
