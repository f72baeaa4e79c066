"""A GPU makes the showers of the CPU but for rounding, and trains every stage; left out where there
is none.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caloforge import zoo
from caloforge.evaluation import Settings, evaluate
from caloforge.models import Bridge, FullShowers, Surrogate, load_recipe, train
from caloforge.models.surrogate import SurrogateRecipe
from caloforge.showers import Showers
from caloforge.simulators import GFlash, pbwo4_gflash
from tests.makers import electrons, fast_showers, par04
from tests.models import stages, test_models

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning"),
]

FLOWS = {**stages.SHAPES, **stages.CAUSAL}


def assert_alike(there: Showers, here: Showers) -> None:
    """Rounding decides now and then whether a cell lies above the threshold, and what is made after
    it follows: the typical shower is the same to one part in a thousand.
    """
    assert there.deposits.device.type == "cuda"
    deposits, expected = there.to("cpu").deposits.double(), here.deposits.double()
    moved = (deposits - expected).abs().sum(dim=1) / expected.sum(dim=1)
    assert moved.median() < 1e-3
    ratio = deposits.sum(dim=1) / expected.sum(dim=1)
    assert (ratio - 1).abs().median() < 1e-4


@pytest.mark.parametrize("name", ["calodream-ds2-laptop", "caloflow-laptop", "l2lflows-ds2-laptop"])
def test_a_surrogate_makes_the_same_showers(name: str) -> None:
    model = zoo.load_surrogate(name)
    here = model.simulate(electrons(), seed=3)
    assert_alike(model.to("cuda").simulate(electrons().to("cuda"), seed=3), here)


@pytest.mark.parametrize("name", ["squirels-fast", "squirels-laptop"])
def test_a_refiner_makes_the_same_showers(name: str) -> None:
    model, showers = zoo.load(name), fast_showers()
    here = model.refine(showers, seed=3)
    assert_alike(model.to("cuda").refine(showers.to("cuda"), seed=3), here)


@pytest.mark.parametrize("make", [pbwo4_gflash, par04])
def test_gflash_makes_the_same_showers(make: Callable[[], GFlash]) -> None:
    here = make().simulate(electrons(), seed=3)
    assert_alike(make().simulate(electrons().to("cuda"), seed=3), here)


@pytest.mark.parametrize("energy", stages.ENERGIES)
def test_energy_stages_train(energy: str, tmp_path: Path) -> None:
    made = trained(stages.recipe_of(energy=stages.ENERGIES[energy]), tmp_path)
    assert made.deposits.isfinite().all()


@pytest.mark.parametrize("shape", FLOWS)
def test_shape_stages_train(shape: str, tmp_path: Path) -> None:
    made = trained(stages.recipe_of(FLOWS[shape]), tmp_path)
    assert made.deposits.isfinite().all()


def trained(recipe: SurrogateRecipe, folder: Path) -> Showers:
    """Showers of a surrogate that has been trained for half an epoch."""
    showers = stages.showers_of(stages.CYLINDER).to("cuda")
    model = train(recipe, folder / "model", FullShowers(showers), description="made up")
    assert isinstance(model, Surrogate)
    return model.to("cuda").simulate(showers.particles[:16], seed=1)


@pytest.mark.parametrize("name", test_models.TINY)
def test_refiners_train(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, test_models.TINY[name])
    data = test_models.data().to("cuda")
    model = train(recipe, tmp_path / "model", data, description="bundled showers")
    assert isinstance(model, Bridge)
    made = model.to("cuda").refine(data.fast[:16], seed=1)
    assert made.deposits.isfinite().all()


def test_an_evaluation_gives_the_same_numbers() -> None:
    full = zoo.bundled_showers("pbwo4-geant4")[:300]
    fast = zoo.bundled_showers("pbwo4-gflash")[:300]
    few = Settings(replicas=4, splits=4, trainings=2)
    here, there = (
        evaluate(full, {"GFlash": fast}, settings=replace(few, device=device))
        for device in ("cpu", "cuda")
    )
    ours, theirs = (e.features["GFlash"] for e in (here, there))
    assert ours.kernel is not None
    assert theirs.kernel is not None
    assert theirs.kernel.value == pytest.approx(ours.kernel.value, rel=1e-3)
    for name, one in here.classifiers["GFlash"].items():
        other = there.classifiers["GFlash"][name]
        assert other.auc.value == pytest.approx(one.auc.value, abs=0.1)
