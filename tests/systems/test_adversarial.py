"""GANs of whole showers: published sizes, and a training that ends in showers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from caloforge.detector import load_detector
from caloforge.errors import CaloforgeError, GeometryError
from caloforge.geometry import Calorimeter, GridLayer, LayeredGrid, RegularGrid, ild_ecal
from caloforge.learn.conditions import Condition
from caloforge.models import FullShowers, StageRecipe, load, load_recipe, train
from caloforge.models.stages import Schedule
from caloforge.models.surrogate import Surrogate, SurrogateRecipe
from caloforge.models.whole_shower import DuelRecipe, NoEnergiesRecipe
from caloforge.particles import Particles
from caloforge.systems.calogan import CaloganRecipe
from caloforge.systems.wgan import ConvolutionSizes, WganRecipe
from tests.models.stages import CYLINDER, VISION, recipe_of, showers_of

SMALL = ConvolutionSizes((2, 3), ((3, 2, 2),) * 2, ((2, 1, 1),) * 2, ((1, 1, 1),) * 2, (8,))
DUEL = DuelRecipe(
    steps=3, batch_size=8, learning_rate=1e-3, critic_learning_rate=1e-3, critic_moves=2
)
WGAN = WganRecipe(
    stage="wgan",
    latent=4,
    channels=2,
    critic=SMALL,
    constrainer=SMALL,
    penalty=5.0,
    constraint=0.01,
    constrainer_schedule=Schedule(epochs=0.2, batch_size=8, learning_rate=1e-3),
    duel=DUEL,
    softening=0.1,
    relative=True,
)
CALOGAN = CaloganRecipe(stage="calogan", latent=4, constraint=0.05, duel=DUEL)
SMALL_LAYERS = LayeredGrid(
    "small-layers",
    tuple(GridLayer(*one) for one in [((6, 2), (1.0, 3.0), 5.0), ((4, 4), (1.5, 1.5), 9.0)]),
)
GANS: dict[str, tuple[StageRecipe, Calorimeter]] = {
    "wgan": (WGAN, CYLINDER),
    "wgan-linear": (replace(WGAN, softening=None, relative=False), CYLINDER),
    "calogan": (CALOGAN, SMALL_LAYERS),
}

GETTING_HIGH = {"generator": 3_655_520, "critic": 253_919, "constrainer": 224_473}
"""The parameters in the public code, in the paper 3.7 M, 250 k and 220 k."""


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def whole(shape: StageRecipe, seed: int = 1) -> SurrogateRecipe:
    return recipe_of(shape, NoEnergiesRecipe("none"), seed)


@pytest.fixture(scope="module", params=GANS)
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SurrogateRecipe, FullShowers, Path]:
    shape, calorimeter = GANS[request.param]
    out, data = tmp_path_factory.mktemp("gan") / "model", FullShowers(showers_of(calorimeter, 120))
    train(whole(shape), out, data, description="")
    return whole(shape), data, out


def model_of(trained: tuple[SurrogateRecipe, FullShowers, Path]) -> Surrogate:
    model = load(trained[2])
    assert isinstance(model, Surrogate)
    return model


def test_the_networks_of_getting_high_have_the_published_number_of_parameters() -> None:
    stage = load_recipe("wgan-gettinghigh").shape.build(ild_ecal())
    assert {name: parameters(getattr(stage, name)) for name in GETTING_HIGH} == GETTING_HIGH


def test_the_networks_of_calogan_have_the_number_of_parameters_of_the_public_code() -> None:
    """Counted by hand from its layers; the paper gives no number."""
    shapes = [(3, 96), (12, 12), (12, 6)]
    generator = critic = 0
    for rows, columns in shapes:
        wide = (rows + 2) * (columns + 2)
        generator += (1024 + 1) * 36 * wide + (4 * 36 + 1) * 16 + 2 * 16
        generator += (rows + 1) * (columns + 1) * (4 * 16 + 1) * 6 + rows * columns * 4 * 6
        local = (rows * columns // 2, (rows + 1) * (columns // 2 + 1))
        last = (rows + 2) * ((columns // 2 + 1) // 2 + 1)
        critic += 5 * 64 + local[0] * (9 * 64 + 1) * 16 + local[1] * (4 * 16 + 1) * 8
        critic += last * (4 * 8 + 1) * 8 + 2 * (16 + 8 + 8)
        critic += (8 * last + 1) * 100 + 2 * 100 + 8 * last + 21
    generator += sum((9 * 2 + 1) * 2 * rows * columns for rows, columns in shapes[1:])
    critic += 4 * 100 + 3 + 3 + 10 + 1
    stage = load_recipe("calogan").shape.build(load_detector("calogan-3layer").calorimeter)
    assert parameters(stage.generator) == generator
    assert parameters(stage.critic) == critic


def test_a_training_ends_in_showers(trained: tuple[SurrogateRecipe, FullShowers, Path]) -> None:
    model, full = model_of(trained), trained[1].full
    showers = model.simulate(full.particles[:40], seed=1)
    assert showers.deposits.isfinite().all()
    least = full.deposits[full.deposits > 0].min()
    assert (showers.deposits[showers.deposits != 0] >= 0.998 * least).all()
    assert (showers.deposits > 0).any()
    lines = (trained[2] / "history.csv").read_text().splitlines()[1:]
    assert {"showers: critic", "showers: generator"} <= {line.split(",")[0] for line in lines}
    assert all("nan" not in line for line in lines if line.startswith("showers"))


@pytest.mark.parametrize("size", [1, 7])
def test_a_shower_does_not_depend_on_its_batch(
    trained: tuple[SurrogateRecipe, FullShowers, Path], size: int
) -> None:
    model, particles = model_of(trained), Particles(torch.linspace(2e3, 9e4, 40))
    together = model.simulate(particles, seed=3).deposits
    parts = [
        model.simulate(particles[k : k + size], seed=3, first_index=k).deposits
        for k in range(20, 40, size)
    ]
    assert torch.equal(torch.cat(parts), together[20:])


def test_the_same_training_gives_the_same_bits(
    trained: tuple[SurrogateRecipe, FullShowers, Path], tmp_path: Path
) -> None:
    recipe, data, out = trained
    train(recipe, tmp_path / "again", data, description="")
    weights = (
        (folder / "weights.safetensors").read_bytes() for folder in (out, tmp_path / "again")
    )
    assert next(weights) == next(weights)


@pytest.mark.parametrize("name", GANS)
def test_cells_return_from_what_is_seen(name: str) -> None:
    """Also where the generator makes just what the networks see of a shower."""
    recipe, calorimeter = GANS[name]
    stage, showers = recipe.build(calorimeter), showers_of(calorimeter, 120)
    stage.prepare(showers)
    seen = stage.seen(showers)
    stage.generator.forward = lambda latent, features: seen
    made = stage.sample(
        Condition(showers.particles), {"latent": torch.zeros(len(showers), stage.latent)}
    )
    torch.testing.assert_close(made, showers.deposits, rtol=1e-4, atol=1e-5)


def test_a_shape_that_asks_for_energies_is_refused_without() -> None:
    with pytest.raises(CaloforgeError, match=r"'none' gives no energies .* 'vision' asks"):
        train(
            recipe_of(VISION, NoEnergiesRecipe("none")),
            Path("nowhere"),
            FullShowers(showers_of(CYLINDER)),
            description="",
        )


def test_the_published_critic_refuses_a_small_image() -> None:
    recipe = load_recipe("wgan-gettinghigh").shape
    with pytest.raises(GeometryError, match="image of 20 x 30 x 30 cells is too small"):
        recipe.build(RegularGrid("shallow", (30, 30, 20), (1.0, 1.0, 1.0)))
