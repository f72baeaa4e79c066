"""What training, saving and loading do to a model: the file holds the model that was trained, its
matrices in half precision, and nothing else changes.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from caloforge import streams, zoo
from caloforge.errors import ModelError
from caloforge.io.input import checksum
from caloforge.learn.conditions import Condition
from caloforge.models import Bridge, FullShowers, Model, Surrogate, load, load_recipe, train
from caloforge.particles import Particles
from tests.models.stages import CAUSAL, CYLINDER, ENERGIES, SHAPES, recipe_of, showers_of
from tests.models.test_models import TINY, data

pytestmark = pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")

MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    **{name: lambda name=name: (load_recipe(name, TINY[name]), data()) for name in TINY},
    **{
        f"{energy}-{shape}": lambda energy=energy, shape=shape: (
            recipe_of({**SHAPES, **CAUSAL}[shape], ENERGIES[energy]),
            FullShowers(showers_of(CYLINDER)),
        )
        for energy, shape in (
            ("transfusion", "vision"),
            ("transfusion", "latent"),
            ("transfusion", "hit-autoencoder"),
            ("masked-energies", "convolutional"),
            ("masked-ratios", "masked"),
        )
    },
}

ENERGY_SUM, MOVED = 0.01, 0.1
"""How much of a shower's energy rounding may change, and how much it may move between cells; small
models trained for a few steps change more than the bundled ones.
"""


@pytest.fixture(scope="module", params=MODELS)
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Model, Tensor, Tensor]:
    """Where a model lies, what it was in memory when it was saved, and the states of torch's own
    generator before and after its training.
    """
    recipe, showers = MODELS[request.param]()
    out, kept, save = tmp_path_factory.mktemp("models") / "model", [], Model.save

    def keeping(model: Model, directory: Path) -> Any:
        kept.append(copy.deepcopy(model).eval())
        return save(model, directory)

    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "save", keeping)
        train(recipe, out, showers, description="made up")
    return out, kept[0], before, torch.random.get_rng_state()


def made_by(model: Model) -> Tensor:
    """Showers, at random numbers of their own."""
    if isinstance(model, Bridge):
        return model.refine(zoo.bundled_showers("pbwo4-gflash")[:30], seed=4).deposits
    assert isinstance(model, Surrogate)
    return model.simulate(Particles(torch.linspace(2e3, 9e4, 30)), seed=4).deposits


def test_loaded_it_is_the_model_in_memory_with_matrices_in_half_precision(
    trained: tuple[Path, Model, Tensor, Tensor],
) -> None:
    out, model, *_ = trained
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in rounded.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half())
    assert torch.equal(made_by(load(out)), made_by(rounded))


def test_what_half_precision_changes_is_small(
    trained: tuple[Path, Model, Tensor, Tensor],
) -> None:
    out, model, *_ = trained
    loaded, exact = made_by(load(out)).double(), made_by(model).double()
    assert not torch.equal(loaded, exact)
    total = exact.sum(dim=1)
    assert ((loaded.sum(dim=1) - total).abs() / total).mean() < ENERGY_SUM
    assert ((loaded - exact).abs().sum(dim=1) / (2 * total)).mean() < MOVED


def test_training_leaves_the_generator_of_torch_alone(
    trained: tuple[Path, Model, Tensor, Tensor],
) -> None:
    _, _, before, after = trained
    assert torch.equal(before, after)


def test_with_its_noise_given_a_model_needs_no_seed(
    trained: tuple[Path, Model, Tensor, Tensor],
) -> None:
    """The same random numbers make the same showers, whatever torch's own generator does."""
    model = load(trained[0])
    key = streams.keys(9, torch.arange(16), 0)
    noise = {name: part.at(key) for name, part in stage_of(model).noise().items()}
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made.append(sampled(model, noise))
    assert torch.equal(*made)
    other = {name: numbers.flip(0) for name, numbers in noise.items()}
    assert not torch.equal(sampled(model, other), made[0])


def stage_of(model: Model) -> Any:
    return model.shape if isinstance(model, Surrogate) else model


@torch.no_grad()
def sampled(model: Model, noise: dict[str, Tensor]) -> Tensor:
    if isinstance(model, Bridge):
        showers = zoo.bundled_showers("pbwo4-gflash")[:16]
        return model.transport(showers, noise, steps=model.default_steps, reverse=False)
    return stage_of(model).sample(Condition.of(showers_of(CYLINDER)[:16]), noise)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(
    bad: float, tmp_path: Path
) -> None:
    model = zoo.load("squirels-fast")
    name, weights = next(iter(model.named_parameters()))
    with torch.no_grad():
        weights.view(-1)[0] = bad
    message = f"1 of {weights.numel()} numbers of tensor '{name}' are not finite"
    with pytest.raises(ModelError, match=f"is not saved: {message}"):
        model.save(tmp_path)
    path = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), path)
    model.card = replace(model.card, sha256=checksum(path))
    with pytest.raises(ModelError, match=rf"weights\.safetensors: {message}"):
        model.load_weights(tmp_path)


def test_a_weight_beyond_half_precision_is_kept(tmp_path: Path) -> None:
    model = zoo.load("squirels-fast")
    name = next(name for name, weights in model.named_parameters() if weights.ndim > 1)
    with torch.no_grad():
        model.get_parameter(name).view(-1)[0] = 1e6
    model.save(tmp_path)
    assert load(tmp_path).get_parameter(name).detach().view(-1)[0] == 1e6
