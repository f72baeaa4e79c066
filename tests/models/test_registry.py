"""A stage of one's own: one file registers it, one recipe names it, and all else finds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from jaxtyping import Float
from torch import Tensor, nn

from caloforge import zoo
from caloforge.errors import ModelError
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import Beam, Condition, LogEnergy
from caloforge.learn.noise import Noise, Numbers
from caloforge.models import (
    STAGES,
    SYSTEMS,
    EnergyStage,
    FullShowers,
    ShapeStage,
    StageRecipe,
    load,
    load_recipe,
    recipe_of,
    train,
)
from caloforge.models.recipes import Width
from caloforge.models.stages import Batches, Schedule
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.models.stages import CYLINDER, showers_of


@dataclass(frozen=True)
class ToyRecipe(StageRecipe):
    width: Width
    schedule: Schedule


@STAGES.register("toy", ToyRecipe, aliases=("plaything",))
class ToyStage(EnergyStage):
    """Mean logs of the energies of the layers, smeared by a tenth."""

    def __init__(self, calorimeter: Calorimeter, recipe: ToyRecipe, beam: Beam) -> None:
        super().__init__(calorimeter)
        self.schedule, self.log_energy = recipe.schedule, LogEnergy(beam)
        layers = calorimeter.n_layers
        self.network = nn.Sequential(
            nn.Linear(beam.width, recipe.width), nn.SiLU(), nn.Linear(recipe.width, layers)
        )

    def prepare(self, showers: Showers) -> None:
        self.log_energy.adapt(Condition.of(showers))

    def loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        del random
        condition = Condition.of(showers)
        logs = self.network(self.log_energy(condition))
        return (logs - condition.layer_energies.float().log1p()).square().mean()

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        batches, held_out = Batches(train, seed, first), Batches(validation, seed, first)
        return [self.schedule.objective("toy", self.network, self.loss, batches, held_out)]

    def noise(self) -> Mapping[str, Noise]:
        return {"smear": Noise("normal", (self.calorimeter.n_layers,))}

    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "showers layers"]:
        logs = self.network(self.log_energy(condition)) + 0.1 * noise["smear"]
        return logs.expm1().clamp_min(0).double()


def recipe_file(folder: Path, stage: str = "toy") -> Path:
    """The laptop's CaloFlow with the toy in place of its energies."""
    values = yaml.safe_load(Path(recipes(), "caloflow-laptop.yaml").read_text())
    values["energy"] = {
        "stage": stage,
        "width": 8,
        "schedule": {"epochs": 1, "batch_size": 20, "learning_rate": 0.01},
    }
    values["shape"]["network"] = {"blocks": 2, "hidden": [16], "bins": None}
    for schedule in ("schedule", "student"):
        values["shape"][schedule]["epochs"] = 0.2
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def recipes() -> Path:
    return Path(zoo.__file__).parents[1] / "systems"


def test_a_stage_of_ones_own_trains_saves_loads_and_samples(tmp_path: Path) -> None:
    recipe = load_recipe(str(recipe_file(tmp_path)))
    model = train(
        recipe, tmp_path / "model", FullShowers(showers_of(CYLINDER)), description="made up"
    )
    assert isinstance(model.energy, ToyStage)
    assert (tmp_path / "model/history.csv").read_text().splitlines()[1].startswith("toy,")
    particles = Particles(torch.linspace(2e3, 9e4, 20))
    made = model.simulate(particles, seed=3).deposits
    assert (made.sum(dim=1) > 0).any()
    assert torch.equal(load(tmp_path / "model").simulate(particles, seed=3).deposits, made)


def test_a_former_name_is_understood(tmp_path: Path) -> None:
    assert load_recipe(str(recipe_file(tmp_path, "plaything"))).energy.stage == "plaything"
    assert STAGES["plaything"] == STAGES["toy"]
    assert "plaything" not in STAGES.names()
    assert isinstance(
        load_recipe(str(recipe_file(tmp_path, "plaything"))).energy.build(CYLINDER), ToyStage
    )


def test_the_same_class_registers_again_and_another_does_not() -> None:
    """As where a cell of a notebook runs twice."""
    assert STAGES.register("toy", ToyRecipe)(ToyStage) is ToyStage
    with pytest.raises(ModelError, match=r"two stages are called 'toy', .*ToyStage and .*Other"):

        @STAGES.register("toy", ToyRecipe)
        class Other(ToyStage):
            pass


def test_an_unknown_name_is_answered_with_the_known() -> None:
    with pytest.raises(ModelError, match=r"stage is 'nonesuch', expected one of .*, vision"):
        STAGES["nonesuch"]
    assert "nonesuch" not in SYSTEMS


def test_the_package_registers_its_own() -> None:
    assert {"squirels", "squirels-fast", "surrogate"} <= set(SYSTEMS.names())
    energies, shapes = STAGES.of_kind(EnergyStage), STAGES.of_kind(ShapeStage)
    assert {"transfusion", "masked-energies", "masked-ratios", "none"} <= set(energies)
    assert {"vision", "latent", "convolutional", "masked", "wgan", "calogan"} <= set(shapes)
    assert not set(energies) & set(shapes)


@pytest.mark.parametrize("name", zoo.names())
def test_the_recipes_of_bundled_cards_are_read(name: str) -> None:
    """Those of earlier versions, too: their names for stages and keys are aliases."""
    card = zoo.card(name)
    recipe = recipe_of(card)
    assert (recipe.system, recipe.seed) == (card.system, card.recipe["seed"])
    if name == "calodream-ds2-laptop":
        assert card.recipe["shape"]["stage"] == "hurdle"
        assert recipe.shape.layer_group == card.recipe["shape"]["slab"] == 3
    if name == "caloflow-laptop":
        assert recipe.shape.layer_group == card.recipe["shape"]["slab"] == 1
