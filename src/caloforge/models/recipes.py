"""A recipe is a YAML file that names a system and gives every setting of its training.

Each key is checked, and unknown ones are refused. The card of a model keeps its recipe.
"""

__all__ = ["Recipe", "load_recipe", "recipe_names", "recipe_of"]

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, cast

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from caloforge.errors import ModelError, RecipeError
from caloforge.models.card import Card
from caloforge.models.registry import SYSTEMS


@dataclass(frozen=True)
class Recipe:
    """What the recipes of all systems have.

    Arguments:
        system: The name of the system.
        summary: What the model does, in a sentence.
        seed: The seed of the training.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    system: str
    summary: str
    seed: int


def recipe_names() -> tuple[str, ...]:
    """The names of the recipes that come with the package."""
    return tuple(sorted(path.stem for path in _recipes().glob("*.yaml")))


def _recipes() -> Path:
    return Path(str(resources.files("caloforge"))) / "systems"


def load_recipe(name: str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe.

    Arguments:
        name: The name of a recipe of the package, or the path of a YAML file.
        overrides: New values as text, by key; a key inside a group is written ``group.key``.

    Raises:
        RecipeError: There is no such recipe, or it has an unknown key, lacks one, or a value has
            the wrong type.
    """
    values = _read(name)
    for key, text in (overrides or {}).items():
        _override(values, key, text, name)
    system = str(values.get("system"))
    if system not in SYSTEMS:
        msg = f"recipe {name}: system is '{system}', expected one of {', '.join(SYSTEMS.names())}"
        raise RecipeError(msg)
    try:
        return _checked(values)
    except ValidationError as error:
        msg = f"recipe {name}: {_complaint(error.errors()[0], values)}"
        raise RecipeError(msg) from error


def recipe_of(card: Card) -> Recipe:
    """The recipe that a card holds.

    Raises:
        ModelError: It is not one of this version.
    """
    try:
        return _checked(card.recipe)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        msg = (
            f"the recipe of the card is not one of this version: {where}: "
            f"{error.errors()[0]['msg'].lower()}"
        )
        raise ModelError(msg) from error


def _checked(values: Mapping[str, Any]) -> Recipe:
    kind = SYSTEMS[str(values["system"])].recipe
    return cast("Recipe", TypeAdapter(kind).validate_python(dict(values)))


def _read(name: str) -> dict[str, Any]:
    path = Path(name) if name.endswith((".yaml", ".yml")) else _recipes() / f"{name}.yaml"
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        msg = (
            f"no recipe '{name}': expected one of {', '.join(recipe_names())}, or the path of a "
            ".yaml file"
        )
        raise RecipeError(msg) from error
    except yaml.YAMLError as error:
        msg = f"recipe {name}: not YAML ({' '.join(str(error).split())})"
        raise RecipeError(msg) from error
    if not isinstance(values, dict):
        msg = f"recipe {name}: expected keys and values, found {type(values).__name__}"
        raise RecipeError(msg)
    return values


def _override(values: dict[str, Any], key: str, text: str, name: str) -> None:
    *groups, last = key.split(".")
    for group in groups:
        values = values.get(group, {}) if isinstance(values, dict) else {}
    if not isinstance(values, dict) or last not in values:
        msg = f"recipe {name} has no key '{key}'"
        raise RecipeError(msg)
    values[last] = yaml.safe_load(text)


def _complaint(error: ErrorDetails, values: Any) -> str:
    """What is wrong with which key, as the file writes it: the kind of a group is no part of its
    key.
    """
    keys = []
    for part in error["loc"]:
        if isinstance(values, dict) and part in values.values() and part not in values:
            continue
        keys.append(str(part))
        values = values.get(part) if isinstance(values, dict) else None
    given = error["input"]
    if error["type"] == "union_tag_invalid":
        keys.append(error["ctx"]["discriminator"].strip("'"))
        given = error["ctx"]["tag"]
    return f"{'.'.join(keys)}: {error['msg'].lower()} (found {given!r})"
