"""A recipe is a YAML file that names a system and gives every setting of its training.

Each key is checked, and unknown ones are refused. The card of a model keeps its recipe.
"""

__all__ = ["Recipe", "load_recipe", "recipe_from", "recipe_names", "recipe_of"]

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from caloforge.bundled import RECIPES
from caloforge.documents import complaint, near, read_yaml, yaml_value
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
    return RECIPES.names()


def load_recipe(name: str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe.

    Arguments:
        name: The name of a recipe of the package, or the path of a YAML file.
        overrides: New values as text, by key; a key inside a group is written ``group.key``.

    Raises:
        RecipeError: There is no such recipe, or it has an unknown key, lacks one, or a value has
            the wrong type.
    """
    return _changed(_read(name), overrides or {}, f"recipe {name}")


def recipe_from(card: Card, overrides: Mapping[str, str]) -> Recipe:
    """The recipe that a card holds, with changes, to train on from there.

    Arguments:
        card: The card.
        overrides: New values as text, by key, as of `load_recipe`.

    Raises:
        RecipeError: An override is of an unknown key, or of the wrong type.
    """
    values: dict[str, Any] = json.loads(json.dumps(asdict(recipe_of(card))))
    return _changed(values, overrides, f"recipe of model {card.name}")


def _changed(values: dict[str, Any], overrides: Mapping[str, str], what: str) -> Recipe:
    for key, text in overrides.items():
        _override(values, key, text, what)
    system = str(values.get("system"))
    if system not in SYSTEMS:
        msg = f"{what}: system is '{system}', expected one of {', '.join(SYSTEMS.names())}"
        raise RecipeError(msg)
    try:
        return _checked(values)
    except ValidationError as error:
        msg = f"{what}: {complaint(error, values, _schema(system))}"
        raise RecipeError(msg) from error


def recipe_of(card: Card) -> Recipe:
    """The recipe that a card holds.

    Raises:
        ModelError: It is not one of this version.
    """
    try:
        return _checked(card.recipe)
    except ValidationError as error:
        found = complaint(error, card.recipe, _schema(str(card.recipe["system"])))
        msg = f"the recipe of the card is not one of this version: {found}"
        raise ModelError(msg) from error


def _schema(system: str) -> Callable[[], Any]:
    kind: type[Any] = SYSTEMS[system].recipe
    return lambda: TypeAdapter(kind).json_schema()


def _checked(values: Mapping[str, Any]) -> Recipe:
    kind = SYSTEMS[str(values["system"])].recipe
    return cast("Recipe", TypeAdapter(kind).validate_python(dict(values)))


def _read(name: str) -> dict[str, Any]:
    return read_yaml(RECIPES.find(name), f"recipe {name}", RecipeError)


def _override(values: dict[str, Any], key: str, text: str, what: str) -> None:
    *groups, last = key.split(".")
    for group in groups:
        values = values.get(group, {}) if isinstance(values, dict) else {}
    if not isinstance(values, dict) or last not in values:
        known = values if isinstance(values, dict) else {}
        msg = f"{what} has no key '{key}'{near(last, known)}"
        raise RecipeError(msg)
    values[last] = yaml_value(text, f"{what}, key '{key}'", RecipeError)
