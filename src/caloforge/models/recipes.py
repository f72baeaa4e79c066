"""A recipe is a YAML file that names a system and gives every setting of its training.

Each key is checked, and unknown ones are refused. A recipe with a key ``from`` has all that the
recipe of that name or path has, but for the keys that it gives itself; of a group these may be some
alone. The card of a model keeps its recipe, whole.
"""

__all__ = [
    "Batch",
    "Decay",
    "Depth",
    "Epochs",
    "Evaluations",
    "Recipe",
    "Width",
    "explained",
    "load_recipe",
    "recipe_from",
    "recipe_names",
    "recipe_of",
]

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from inspect import cleandoc
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any, ClassVar, cast

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from caloforge.bundled import RECIPES
from caloforge.documents import complaint, near, quoted, read_yaml, yaml_value
from caloforge.errors import GeometryError, ModelError, RecipeError
from caloforge.models.card import Card
from caloforge.models.registry import SYSTEMS

_FROM = "from"
_KINDS = ("system", "stage", "kind")
"""The keys that say which others a group has."""

_WIDTH = 90

_ANY = "any layers"
"""How the needs begin of a recipe that takes all."""

Batch = Annotated[int, Field(gt=0, le=1_000_000)]
"""Showers in a step of the optimiser."""

Count = Annotated[int, Field(gt=0, le=1_000_000_000)]
"""What is counted and never held at once: steps of an optimiser, showers to draw from."""

Epochs = Annotated[float, Field(gt=0, le=1_000_000)]
"""How often each training shower is seen, on average."""

Decay = Annotated[float, Field(ge=0, lt=1)]
"""The decay of a moving average of weights."""

Width = Annotated[int, Field(gt=0, le=16_384)]
"""The width of a layer of a network: channels, heads, bins."""

Depth = Annotated[int, Field(gt=0, le=500)]
"""The number of layers or blocks of a network."""

Former = Annotated[int, Field(ge=0, le=500)]
"""The number of groups of layers before one that its network sees."""

Evaluations = Annotated[int, Field(gt=0, le=1_000)]
"""The steps of a solver, or how often it evaluates the network."""


@dataclass(frozen=True)
class Recipe:
    """What the recipes of all systems have.

    Arguments:
        system: The name of the system.
        summary: What the model does, in a sentence.
        seed: The seed of the training.
        needs: Which calorimeters it can be trained for, in words; empty where it is not said.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    system: str
    summary: str
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)]
    needs: str = field(default="", kw_only=True)


def recipe_names() -> tuple[str, ...]:
    """The names of the recipes that come with the package."""
    return RECIPES.names()


def unfit(recipe: Recipe, error: GeometryError) -> GeometryError:
    """An error of a calorimeter that a recipe cannot be trained for, with what it needs, and with
    the recipes of the package that learn from such samples and take any layers.
    """
    learns_from = SYSTEMS[recipe.system].kind.learns_from
    recipes = {one: load_recipe(one) for one in recipe_names()}
    any_layers = [
        name
        for name, one in recipes.items()
        if one.needs.startswith(_ANY) and SYSTEMS[one.system].kind.learns_from is learns_from
    ]
    needs = f" (the recipe needs {recipe.needs})" if recipe.needs else ""
    return GeometryError(f"{error}{needs}; for {_ANY} take {', '.join(any_layers)}")


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
        ModelError: It is of another system than the card, or not one of this version.
    """
    system = str(card.recipe.get("system"))
    if system not in SYSTEMS or SYSTEMS[system] is not SYSTEMS[card.system]:
        msg = (
            f"the recipe of the card is of system {quoted(system)}, expected '{card.system}', that "
            "of the card: train the model again"
        )
        raise ModelError(msg)
    try:
        return _checked(card.recipe)
    except ValidationError as error:
        found = complaint(error, card.recipe, _schema(system))
        msg = f"the recipe of the card is not one of this version: {found}"
        raise ModelError(msg) from error


def _schema(system: str) -> Callable[[], Any]:
    kind: type[Any] = SYSTEMS[system].recipe
    return lambda: TypeAdapter(kind).json_schema()


def _checked(values: Mapping[str, Any]) -> Recipe:
    kind = SYSTEMS[str(values["system"])].recipe
    return cast("Recipe", TypeAdapter(kind).validate_python(dict(values)))


def _read(name: str, heirs: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = RECIPES.find(name)
    values = read_yaml(path, f"recipe {name}", RecipeError)
    if _FROM not in values:
        return values
    base = values.pop(_FROM)
    if not isinstance(base, str) or path.resolve() in heirs:
        wrong = f"{quoted(base)} comes from this recipe" if heirs else f"found {quoted(base)}"
        msg = f"recipe {name}: {_FROM}: {wrong}, expected the name or path of another recipe"
        raise RecipeError(msg)
    near_by = base if base in recipe_names() else str(path.parent / base)
    return _merged(_read(near_by, (*heirs, path.resolve())), values)


def _merged(base: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both, group by group; a group of another kind replaces what was there."""
    merged = dict(base)
    for key, value in own.items():
        before = base.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            alike = all(value.get(k, before.get(k)) == before.get(k) for k in _KINDS)
            merged[key] = _merged(before, value) if alike else value
        else:
            merged[key] = value
    return merged


def explained(recipe: Recipe) -> str:
    """A recipe as YAML, with the meaning of each key above it.

    Example:
        >>> print(explained(load_recipe("squirels-fast"))[:85])
        # The name of the system.
        system: squirels-fast
        # What the model does, in a sentence.
    """
    return "\n".join(_lines(recipe, ""))


def _lines(record: Any, indent: str) -> Iterator[str]:
    meanings = _meanings(type(record))
    for one in fields(record):
        value = getattr(record, one.name)
        for line in wrap(meanings.get(one.name, ""), _WIDTH - len(indent)):
            yield f"{indent}# {line}"
        if is_dataclass(value):
            yield f"{indent}{one.name}:"
            yield from _lines(value, indent + "  ")
        else:
            plain = json.loads(json.dumps(value))
            text = yaml.safe_dump(plain, default_flow_style=True, width=10_000)
            yield f"{indent}{one.name}: {text.removesuffix('...' + chr(10)).strip()}"


def _meanings(kind: type[Any]) -> dict[str, str]:
    """What the docstrings of a record and its bases say of its fields."""
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__):
        _, _, arguments = cleandoc(part.__doc__ or "").partition("Arguments:\n")
        entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE)
        found |= {name: " ".join(words.split()) for name, words in entries}
    return found


def _override(values: dict[str, Any], key: str, text: str, what: str) -> None:
    *groups, last = key.split(".")
    for group in groups:
        values = values.get(group, {}) if isinstance(values, dict) else {}
    if not isinstance(values, dict) or last not in values:
        known = values if isinstance(values, dict) else {}
        msg = f"{what} has no key '{key}'{near(last, known)}"
        raise RecipeError(msg)
    values[last] = yaml_value(text, f"{what}, key '{key}'", RecipeError)
