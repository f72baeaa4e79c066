"""The published systems, each assembled from shared parts in one short file, and their training.

A *recipe* is a YAML file that names a system and gives every setting of its training. `load_recipe`
reads a named one or a file, checks each value, and refuses unknown keys; `train` runs it; `load`
reads back what it made.
"""

__all__ = [
    "SYSTEMS",
    "Card",
    "FullShowers",
    "Model",
    "Recipe",
    "Refiner",
    "Surrogate",
    "TrainingShowers",
    "load",
    "load_recipe",
    "recipe_names",
    "train",
]

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails

from caloforge import __version__
from caloforge.errors import ModelError, OutputExistsError, RecipeError, TrainingError
from caloforge.learn import training
from caloforge.learn.team import Team
from caloforge.systems import squirels, squirels_fast, surrogate
from caloforge.systems.data import FullShowers, TrainingShowers
from caloforge.systems.model import Card, Course, Model
from caloforge.systems.refiner import Refiner
from caloforge.systems.surrogate import Surrogate

Recipe = squirels.SquirelsRecipe | squirels_fast.SquirelsFastRecipe | surrogate.SurrogateRecipe


@dataclass(frozen=True)
class System:
    """A system: the type of its recipe, its model, what it learns from, and how."""

    recipe: type[Any]
    model: type[Model]
    data: type[FullShowers | TrainingShowers]
    course: Callable[..., Course]


SYSTEMS: Mapping[str, System] = {
    "squirels": System(
        squirels.SquirelsRecipe, squirels.Squirels, TrainingShowers, squirels.course
    ),
    "squirels-fast": System(
        squirels_fast.SquirelsFastRecipe,
        squirels_fast.SquirelsFast,
        TrainingShowers,
        squirels_fast.course,
    ),
    "surrogate": System(surrogate.SurrogateRecipe, Surrogate, FullShowers, surrogate.course),
}


def recipe_names() -> tuple[str, ...]:
    """The names of the recipes that come with the package."""
    return tuple(sorted(path.stem for path in _recipes().glob("*.yaml")))


def _recipes() -> Path:
    return Path(str(resources.files("caloforge"))) / "recipes"


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
        msg = f"recipe {name}: system is '{system}', expected one of {', '.join(SYSTEMS)}"
        raise RecipeError(msg)
    return _checked(name, SYSTEMS[system].recipe, values)


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


def _checked(name: str, kind: type[Any], values: Mapping[str, Any]) -> Recipe:
    strict = with_config(ConfigDict(extra="forbid"))(kind)
    try:
        recipe: Recipe = TypeAdapter(strict).validate_python(values)
    except ValidationError as error:
        msg = f"recipe {name}: {_complaint(error.errors()[0], values)}"
        raise RecipeError(msg) from error
    return recipe


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


def train(
    recipe: Recipe,
    out: Path,
    data: FullShowers | TrainingShowers,
    *,
    description: str,
    resume: bool = False,
    progress: training.Progress | None = None,
    speed: training.Speed = training.Speed(),  # noqa: B008 frozen
    team: Team = Team(),  # noqa: B008 frozen
) -> Model:
    """Train a model and save it.

    Arguments:
        recipe: What to train.
        out: The model's directory; the checkpoint and the history of the training are kept there
            too.
        data: The training showers: `FullShowers` for a surrogate, `TrainingShowers` for a refiner.
        description: Where they come from, in words, for the card.
        resume: Go on from the checkpoint in ``out``.
        progress: Told the progress.
        speed: What to do for speed.
        team: The processes that train together; each calls this with the same showers on its
            device.

    Returns:
        The model as saved.

    Raises:
        GeometryMismatchError: The two samples are of different calorimeters.
        OutputExistsError: There is a training or a model in ``out``, and ``resume`` was not asked
            for.
        TrainingError: The loss is not finite, or the showers are not of the kind that the system
            learns from.
    """
    system = SYSTEMS[recipe.system]
    if not isinstance(data, system.data):
        msg = (
            f"system '{recipe.system}' learns from {system.data.__name__}, got "
            f"{type(data).__name__}"
        )
        raise TrainingError(msg)
    data.check()
    if out.exists() and any(out.iterdir()) and not resume:
        msg = (
            f"{out} exists and is not empty: resume the training there, or choose another directory"
        )
        raise OutputExistsError(msg)
    team.wait()
    card = Card(
        name=out.name,
        system=recipe.system,
        summary=recipe.summary,
        recipe=asdict(recipe),
        calorimeter=data.full.calorimeter.describe(),
        energy_range=data.energy_range,
        data=description,
        licence="BSD-3-Clause",
        version=__version__,
        pdg=data.full.particles.one_species(),
    )
    course = system.course(recipe, card, data)
    training.run(
        course.phases,
        course.networks,
        out,
        resume=resume,
        checkpoint_every=course.checkpoint_every,
        progress=progress,
        speed=speed,
        team=team,
    )
    if team.leads:
        course.last()
        course.model.save(out)
    team.wait()
    return load(out)


def load(directory: Path) -> Model:
    """Read a trained model: a `Refiner` or a `Surrogate`.

    Raises:
        ModelError: There is no model, it is damaged, or its system is unknown.
    """
    card = Card.read(directory)
    if card.system not in SYSTEMS:
        msg = (
            f"{directory}: system is '{card.system}', expected one of {', '.join(SYSTEMS)}: made "
            "by a newer caloforge?"
        )
        raise ModelError(msg)
    model = SYSTEMS[card.system].model(card)
    model.load_weights(directory)
    return model.eval()
