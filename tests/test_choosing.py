"""The page that says which recipe fits which calorimeter is right."""

import re
from collections.abc import Mapping
from dataclasses import asdict

import pytest

from caloforge.errors import CaloforgeError
from caloforge.geometry import Calorimeter, named_calorimeters
from caloforge.models import Card, load_recipe, recipe_names
from caloforge.models.registry import SYSTEMS
from tests.test_docs import ROOT

ROW = re.compile(r"^\| (`[a-z0-9-]+`(?:, `[a-z0-9-]+`)*) \| .* \| ([^|]*) \|$", re.MULTILINE)
SECTION = "## What a recipe can be trained for"
NAMES = {
    "crystals": "pbwo4-10x10",
    "set 1": "calochallenge-1-photons",
    "set 1 (pions)": "calochallenge-1-pions",
    "set 2": "calochallenge-2",
    "set 3": "calochallenge-3",
    "ILD": "ild-ecal-30",
}
"""What the page calls the published calorimeters; it names none that no recipe fits."""

SMALLER = {
    "calodream-": {"shape.network.dim": "12", "shape.network.hidden": "12"},
    "l2lflows-": {"shape.hidden": "2", "shape.blocks": "1", "shape.shared": "true"},
    "caloflow-whole-laptop": {"shape.network.hidden": "[2]", "shape.network.blocks": "1"},
    "squirels-fast": {"channels": "8", "blocks": "1", "condition": "8"},
}
"""Settings that make the networks small and leave what they fit alone."""


def documented() -> dict[str, set[str]]:
    page = (ROOT / "docs/choosing.md").read_text()
    rows = ROW.findall(page.split(SECTION)[1].split("\n## ")[0])
    return {
        recipe: {NAMES[what] for what in fits.strip().split(", ")}
        for recipes, fits in rows
        for recipe in re.findall(r"`(.*?)`", recipes)
    }


def smaller(recipe: str) -> Mapping[str, str]:
    return next((some for name, some in SMALLER.items() if recipe.startswith(name)), {})


def fits(recipe: str, calorimeter: Calorimeter) -> bool:
    settings = load_recipe(recipe, smaller(recipe) if "ds2-laptop" not in recipe else {})
    card = Card(
        name=recipe,
        system=settings.system,
        summary="",
        recipe=asdict(settings),
        calorimeter=calorimeter.describe(),
        energy_range=(1e3, 1e5),
        data="",
        licence="",
        version="",
    )
    try:
        SYSTEMS[settings.system].kind(card)
    except CaloforgeError:
        return False
    return True


def needs() -> dict[str, str]:
    page = (ROOT / "docs/choosing.md").read_text()
    rows = re.findall(
        r"^\| (`[^|]*`) \| (.*) \| [^|]* \|$",
        page.split(SECTION)[1].split("\n## ")[0],
        re.MULTILINE,
    )
    return {
        recipe: words.replace(r"\times", "x").replace("\\", "").replace("$", "")
        for recipes, words in rows
        for recipe in re.findall(r"`(.*?)`", recipes)
    }


def test_each_recipe_says_what_the_page_says_that_it_needs() -> None:
    assert needs() == {recipe: load_recipe(recipe).needs for recipe in recipe_names()}


def test_the_page_names_every_recipe() -> None:
    assert set(documented()) == set(recipe_names())


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipe_fits_what_the_page_says(recipe: str) -> None:
    found = {name for name, one in named_calorimeters().items() if fits(recipe, one)}
    assert found == documented()[recipe]
