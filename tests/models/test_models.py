"""Systems: recipes, training from end to end, saving, and the laws of refiners."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from caloforge import zoo
from caloforge.errors import (
    EnergyRangeError,
    EnergyRangeWarning,
    GeometryError,
    GeometryMismatchError,
    ModelError,
    OutputExistsError,
    RecipeError,
    ShowerValueError,
    TrainingError,
)
from caloforge.geometry import RegularGrid
from caloforge.models import (
    Bridge,
    Card,
    TrainingShowers,
    explained,
    load,
    load_recipe,
    recipe_names,
    train,
)
from caloforge.models.registry import SYSTEMS
from caloforge.particles import Particles
from caloforge.showers import Showers

TINY = {
    "squirels-fast": {
        "channels": "8",
        "blocks": "1",
        "condition": "16",
        "steps": "12",
        "batch_size": "64",
        "validation": "100",
    },
    "squirels-laptop": {
        "energy.iterations": "1",
        "energy.first_epochs": "0.01",
        "energy.epochs": "0.01",
        "energy.batch_size": "100",
        "shape.iterations": "1",
        "shape.first_epochs": "0.01",
        "shape.epochs": "0.01",
        "shape.batch_size": "100",
    },
}

pytestmark = pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")


def data(n: int = 500) -> TrainingShowers:
    return TrainingShowers(
        zoo.bundled_showers("pbwo4-geant4")[:n], zoo.bundled_showers("pbwo4-gflash")[:n]
    )


@pytest.fixture(scope="module", params=TINY)
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Bridge]:
    out = tmp_path_factory.mktemp("models") / request.param
    recipe = load_recipe(request.param, TINY[request.param])
    return request.param, out, train(recipe, out, data(), description="bundled showers")


def test_a_trained_model_says_what_it_is(trained: tuple[str, Path, Bridge]) -> None:
    name, out, model = trained
    card = Card.read(out)
    assert card == model.card
    assert card.name == name
    assert card.energy_range == (10_000.0, 100_000.0)
    assert card.data == "bundled showers"
    assert {path.name for path in out.iterdir()} == {
        "card.json",
        "weights.safetensors",
        "checkpoint.safetensors",
        "history.csv",
    }


@pytest.mark.parametrize("reverse", [False, True])
def test_refined_showers_are_physical(trained: tuple[str, Path, Bridge], reverse: bool) -> None:
    showers = zoo.bundled_showers("pbwo4-gflash")[:50]
    refined = trained[2].refine(showers, seed=3, reverse=reverse)
    assert refined.deposits.isfinite().all()
    assert (refined.deposits >= 0).all()
    assert torch.equal(refined.energies, showers.energies)
    assert not torch.equal(refined.deposits, showers.deposits)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_shower_does_not_depend_on_its_batch(
    trained: tuple[str, Path, Bridge], size: int
) -> None:
    model, showers = trained[2], zoo.bundled_showers("pbwo4-gflash")[:120]
    whole = model.refine(showers, seed=3).deposits
    starts = range(40, 120, size)
    parts = [model.refine(showers[k : k + size], seed=3, first_index=k).deposits for k in starts]
    assert torch.equal(torch.cat(parts), whole[40:])


def test_the_seed_matters(trained: tuple[str, Path, Bridge]) -> None:
    model, showers = trained[2], zoo.bundled_showers("pbwo4-gflash")[:20]
    assert not torch.equal(
        model.refine(showers, seed=1).deposits, model.refine(showers, seed=2).deposits
    )


def test_read_again_it_gives_the_same_bits(trained: tuple[str, Path, Bridge]) -> None:
    _, out, model = trained
    showers = zoo.bundled_showers("pbwo4-gflash")[:20]
    assert torch.equal(
        load(out).refine(showers, seed=4).deposits, model.refine(showers, seed=4).deposits
    )


def test_resuming_a_finished_training_gives_the_same_model(
    trained: tuple[str, Path, Bridge],
) -> None:
    name, out, model = trained
    again = train(
        load_recipe(name, TINY[name]), out, data(), description="bundled showers", resume=True
    )
    assert again.card == model.card


def test_a_card_says_which_weights_were_kept(trained: tuple[str, Path, Bridge]) -> None:
    assert trained[2].card.kept == "moving average at the last step"


def test_other_calorimeters_are_refused(trained: tuple[str, Path, Bridge]) -> None:
    grid = RegularGrid("small", (2, 2, 1), (30.0, 30.0, 240.0))
    showers = Showers(torch.ones(3, 4), Particles(torch.full((3,), 5e4)), grid)
    with pytest.raises(GeometryMismatchError, match=r"'small'.*'pbwo4-10x10'"):
        trained[2].refine(showers, seed=0)


def test_energies_outside_the_range_warn_or_are_refused(trained: tuple[str, Path, Bridge]) -> None:
    showers = zoo.bundled_showers("pbwo4-gflash")[:4]
    energies = showers.energies.clone()
    energies[2] = 2e5
    low = Showers(showers.deposits, Particles(energies), showers.calorimeter)
    message = (
        r"1 of 4 incident energies lie outside .* 10 GeV to 100 GeV; "
        r"the first that of shower 2 \(200 GeV\)"
    )
    with pytest.warns(EnergyRangeWarning, match=message):
        trained[2].refine(low, seed=0)
    with pytest.raises(EnergyRangeError, match=message):
        trained[2].refine(low, seed=0, strict=True)


def test_steps_are_checked(trained: tuple[str, Path, Bridge]) -> None:
    name, _, model = trained
    showers = zoo.bundled_showers("pbwo4-gflash")[:4]
    with pytest.raises(ModelError, match="steps asked of model"):
        model.refine(showers, seed=0, steps=0)
    if name == "squirels-laptop":
        with pytest.raises(ModelError, match="takes the 20 that it was trained with"):
            model.refine(showers, seed=0, steps=10)
    else:
        assert not torch.equal(
            model.refine(showers, seed=0, steps=1).deposits,
            model.refine(showers, seed=0, steps=5).deposits,
        )


def test_training_does_not_overwrite(trained: tuple[str, Path, Bridge]) -> None:
    name, out, _ = trained
    with pytest.raises(
        OutputExistsError, match=r"resume the training there \(--resume\), or choose another"
    ):
        train(load_recipe(name, TINY[name]), out, data(), description="")


def test_a_damaged_model_is_an_error(trained: tuple[str, Path, Bridge], tmp_path: Path) -> None:
    _, out, _ = trained
    with pytest.raises(ModelError, match="no model here"):
        load(tmp_path)
    (tmp_path / "card.json").write_bytes((out / "card.json").read_bytes())
    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        load(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes((out / "weights.safetensors").read_bytes()[:-8])
    with pytest.raises(ModelError, match="checksum"):
        load(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(ModelError, match="not a model card"):
        load(tmp_path)
    card = json.loads((out / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(card | {"system": "unheard-of"}))
    with pytest.raises(ModelError, match="system is 'unheard-of'"):
        load(tmp_path)


def test_too_little_to_train_on(tmp_path: Path) -> None:
    recipe = load_recipe("squirels-fast", TINY["squirels-fast"])
    with pytest.raises(
        TrainingError, match="the full sample has 90 showers, expected at least 100"
    ):
        train(recipe, tmp_path / "out", data(90), description="")
    full, fast = (
        zoo.bundled_showers("pbwo4-geant4-20gev")[:],
        zoo.bundled_showers("pbwo4-geant4-50gev")[:],
    )
    with pytest.raises(TrainingError, match="do not overlap"):
        train(recipe, tmp_path / "out", TrainingShowers(full, fast), description="")
    with pytest.raises(TrainingError, match="all incident energies lie near 20 GeV"):
        train(recipe, tmp_path / "out", TrainingShowers(full, full), description="")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "calorimeter", "message"),
    [
        (
            "squirels-fast",
            RegularGrid("slab", (5, 20, 1), (30.0, 30.0, 240.0)),
            "2 symmetries|4 sy",
        ),
        ("squirels-laptop", RegularGrid("tower", (5, 5, 4), (30.0, 30.0, 60.0)), "has 4 layers"),
    ],
)
def test_another_calorimeter_is_refused_with_what_the_recipe_needs(
    name: str, calorimeter: RegularGrid, message: str, tmp_path: Path
) -> None:
    recipe = load_recipe(name, TINY[name])
    sides = (replace(side, calorimeter=calorimeter) for side in (data().full, data().fast))
    with pytest.raises(GeometryError, match=message) as refusal:
        train(recipe, tmp_path / "out", TrainingShowers(*sides), description="")
    advice = f" (the recipe needs {recipe.needs}); for any layers take reweighting"
    assert str(refusal.value).endswith(advice)
    assert not (tmp_path / "out").exists()


def test_samples_that_cannot_teach_a_refiner_are_refused() -> None:
    sides = data()
    showers, fine = sides.fast, sides.full
    lit = torch.ones(500, 1)
    lit[[30, 40]] = 0
    tilted = Particles(showers.energies, theta=torch.full((500,), 0.1), phi=torch.zeros(500))
    aside = Particles(showers.energies, place=torch.ones(500, 2))
    mixed = Particles(showers.energies, pdg=torch.arange(500) % 2 * 11 + 11)
    for changed, message in (
        (replace(showers, deposits=showers.deposits * lit), "2 of 500 .* the first at index 30"),
        (replace(showers, deposits=showers.deposits / lit), "of the fast sample have no energy"),
        (replace(showers, particles=tilted), "500 of 500 training showers enter at an angle"),
        (replace(showers, particles=aside), "500 of 500 training showers enter off the centre"),
        (replace(showers, particles=mixed), "the fast sample is of e-, gamma, expected one"),
        (replace(showers, particles=Particles(showers.energies, 22)), "the fast one of gamma"),
        (replace(showers, weights=torch.ones(500)), "the training showers have weights"),
    ):
        with pytest.raises(TrainingError, match=message):
            TrainingShowers(fine, changed).check()


def test_energies_far_outside_the_range_are_refused(trained: tuple[str, Path, Bridge]) -> None:
    showers = data(3).fast
    for energy in (50.0, 1e9):
        particles = Particles(torch.tensor([5e4, energy, 5e4]))
        with pytest.raises(EnergyRangeError, match=r"1 of 3 .*shower 8 .*: are they in MeV\?"):
            trained[2].refine(replace(showers, particles=particles), seed=1, first_index=7)


def test_a_shower_without_energy_is_named_by_its_number(trained: tuple[str, Path, Bridge]) -> None:
    showers = data(5).fast
    dark = replace(showers, deposits=showers.deposits * torch.tensor([[1.0], [1], [1], [0], [1]]))
    with pytest.raises(ShowerValueError, match=r"1 of 5 showers have no energy.* at index 1503"):
        trained[2].refine(dark, seed=1, first_index=1500)


@pytest.mark.parametrize("name", recipe_names())
def test_a_summary_says_the_method_alone(name: str) -> None:
    """Any showers may train a recipe: species, calorimeter and quality are not its to claim."""
    words = load_recipe(name).summary.lower()
    claims = ("electron", "photon", "data set", "crystal", "geant4", "gflash", "quality")
    assert [claim for claim in claims if claim in words] == []


def test_recipes_of_the_package() -> None:
    assert {"squirels", "squirels-fast", "squirels-laptop"} < set(recipe_names())
    published = load_recipe("squirels")
    assert (published.gamma, published.bridge_steps, published.average) == (0.001, 20, 0.95)
    for schedule in (published.energy, published.shape):
        assert schedule.learning_rate == 1e-5
        assert schedule.first_epochs + 2 * schedule.iterations * schedule.epochs == 2000
    assert (published.energy.batch_size, published.shape.batch_size) == (16384, 8192)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stepz": "3"}, "recipe squirels-fast has no key 'stepz'"),
        ({"steps": "many"}, "steps: expected a whole number, found 'many'"),
        ({"seed": str(2**64)}, "seed: expected a number below"),
        ({"average": ".nan"}, "key 'average' is nan, expected a finite number"),
        ({"average": "1"}, "average: expected a number below 1, found 1"),
        ({"batch_size": "10000000"}, "batch_size: expected a number of at most 1e"),
        ({"steps": "1" + "0" * 30}, "steps: expected a number of at most 1e"),
        ({"blocks": "1000000000"}, "blocks: expected a number of at most 500"),
        ({"solver": "magic"}, "solver: expected 'euler', 'midpoint', 'heun' or 'rk4'"),
        ({"system": "gan"}, "system is 'gan', expected one of .*squirels"),
    ],
)
def test_recipes_are_checked(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("squirels-fast", overrides)


FOR_THE_CALORIMETER = {"species", "patch", "kernels", "strides", "pads", "validation"}
"""Whole numbers of recipes that the calorimeter, or the sample, bounds."""


def integers(schema: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The whole numbers of a schema, each with the name of the setting that holds it."""
    if isinstance(schema, dict):
        if schema.get("type") == "integer":
            yield name, schema
        for key, part in schema.items():
            named = part.items() if key == "properties" else [(name, part)]
            for inner, value in named:
                yield from integers(value, inner)
    elif isinstance(schema, list):
        for part in schema:
            yield from integers(part, name)


@pytest.mark.parametrize("system", sorted(SYSTEMS.names()))
def test_each_whole_number_of_a_recipe_is_bounded(system: str) -> None:
    """So that nothing of its size is allocated, or run for ever, before somebody looks."""
    found = list(integers(TypeAdapter(SYSTEMS[system].recipe).json_schema()))
    assert {"seed", "batch_size"} < {name for name, _ in found}
    limits = {"maximum", "exclusiveMaximum"}
    unbounded = {name for name, schema in found if not limits & schema.keys()}
    assert unbounded <= FOR_THE_CALORIMETER


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_explains_each_setting_and_is_read_back(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    text = explained(recipe)
    lines = text.splitlines()
    for before, line in pairwise(lines):
        assert "#" in before or "#" in line, line
    (tmp_path / "same.yaml").write_text(text)
    assert load_recipe(str(tmp_path / "same.yaml")) == recipe


def test_a_recipe_comes_from_another(tmp_path: Path) -> None:
    base = load_recipe("calodream-ds2-laptop")
    (tmp_path / "child.yaml").write_text(
        "from: calodream-ds2-laptop\nseed: 7\nshape: {flow: {schedule: {epochs: 3}}}\n"
    )
    (tmp_path / "grandchild.yaml").write_text("from: child.yaml\nvalidation: 5\n")
    found = load_recipe(str(tmp_path / "grandchild.yaml"), {"seed": "8"})
    changed = {"validation": "5", "seed": "8", "shape.flow.schedule.epochs": "3"}
    assert found == load_recipe("calodream-ds2-laptop", changed) != base


def test_a_group_of_another_kind_replaces_the_one_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "mixed.yaml").write_text(
        "from: caloflow-whole-laptop\nshape: {numbers: {kind: filled, width: 1.0}}\n"
    )
    with pytest.raises(RecipeError, match=r"shape\.numbers\.\w+"):
        load_recipe(str(tmp_path / "mixed.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from: circle.yaml\n", "comes from this recipe"),
        ("from: [1]\n", "expected the name or path of another recipe"),
        ("from: nowhere\n", "no recipe"),
        ("from: squirels-fast\nneighbors: 3\n", "did you mean 'neighbours'"),
    ],
)
def test_what_a_recipe_comes_from_is_checked(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "circle.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(tmp_path / "circle.yaml"))


def test_recipe_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("system: squirels-fast\nwarp: 9\n")
    with pytest.raises(RecipeError, match=r"recipe .*mine\.yaml"):
        load_recipe(str(path))
    path.write_text("- 1\n")
    with pytest.raises(RecipeError, match="expected keys and values, found a list"):
        load_recipe(str(path))
    path.write_text("a: [\n")
    with pytest.raises(RecipeError, match="not YAML"):
        load_recipe(str(path))
    with pytest.raises(
        RecipeError,
        match=r"no recipe 'nonesuch': expected one of .*, squirels, squirels-fast, squirels-laptop",
    ):
        load_recipe("nonesuch")
