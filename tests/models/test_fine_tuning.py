"""A training that starts from a trained model: what it keeps, what it changes, what it needs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from caloforge import streams
from caloforge.errors import ModelError, RecipeError
from caloforge.geometry import CylinderGrid, CylinderLayer
from caloforge.hits import Hits
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition
from caloforge.learn.noise import by_address
from caloforge.learn.processes import BespokeSolver
from caloforge.models import (
    FullShowers,
    Model,
    Start,
    Surrogate,
    Tuning,
    recipe_from,
    train,
)
from caloforge.models.fine_tuning import give
from caloforge.models.stages import Stage, StageRecipe
from caloforge.showers import Showers
from tests.models import stages
from tests.models.beams import BEAM, STAGES
from tests.models.beams import showers_of as of_beam
from tests.models.stages import CYLINDER, showers_of

RECIPES = {
    "flow matching": stages.recipe_of(stages.flowing(stages.HITS, bespoke=stages.LOCAL)),
    "masked": stages.recipe_of(stages.LAYER_BY_LAYER, stages.MASKED_RATIOS),
    "convolutional": stages.recipe_of(stages.CAUSAL["convolutional-shared"]),
}

over_tunings = pytest.mark.parametrize("tuning", Tuning)


def others() -> Showers:
    """Showers of a calorimeter with the same cells, half as bright."""
    showers = showers_of(CYLINDER, 120, seed=5)
    other = replace(CYLINDER, name="another")
    return replace(showers, deposits=showers.deposits / 2, calorimeter=other)


@pytest.fixture(scope="module", params=RECIPES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    out = tmp_path_factory.mktemp("start") / "model"
    return train(RECIPES[request.param], out, FullShowers(showers_of(CYLINDER)), description="")


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Model:
    out = tmp_path_factory.mktemp("vision") / "model"
    return train(stages.recipe_of(), out, FullShowers(showers_of(CYLINDER)), description="")


def tuned(model: Model, start: Start, out: Path, **words: object) -> Model:
    recipe = recipe_from(model.card, {})
    return train(recipe, out, FullShowers(others()), description="", start=start, **words)


def changed(before: Model, after: Model) -> dict[str, Tensor]:
    """The parameters that training has changed beyond the rounding of a stored model."""
    there = dict(before.named_parameters())
    return {
        name: parameter
        for name, parameter in after.named_parameters()
        if not torch.allclose(parameter, there[name], rtol=2e-3, atol=1e-6)
    }


def solvers(model: Model) -> set[str]:
    """Numbers of a solver are made anew for every flow."""
    return {
        f"{name}.{own}"
        for name, module in model.named_modules()
        if isinstance(module, BespokeSolver)
        for own, _ in module.named_parameters()
    }


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
@over_tunings
def test_what_is_not_tuned_stays_and_the_rest_is_a_model_like_any_other(
    trained: Model, tuning: Tuning, tmp_path: Path
) -> None:
    after = tuned(trained, Start(trained, tuning), tmp_path / "out")
    moved = changed(trained, after)
    own = {name: parameter for name, parameter in moved.items() if name not in solvers(after)}
    assert own
    if tuning is Tuning.BIAS:
        assert all(parameter.ndim < 2 for parameter in own.values())
    if tuning is Tuning.LORA:
        assert all(name.endswith("weight") for name in own)
    if tuning is Tuning.HEAD:
        assert 0 < len(own) < len(dict(after.named_parameters())) / 2
    assert all(parameter.requires_grad for parameter in after.parameters())
    assert {*after.state_dict()} == {*trained.state_dict()}
    assert after.card.start.startswith(f"{trained.card.name} ({trained.card.sha256[:12]})")
    assert after.calorimeter.name == "another"
    assert isinstance(after, Surrogate)
    assert after.simulate(others().particles[:20], seed=1).deposits.isfinite().all()


def test_additions_of_low_rank_have_low_rank(trained: Model, tmp_path: Path) -> None:
    start = Start(trained, Tuning.LORA, rank=2)
    model = type(trained).new(trained.card, seed=3)
    start.begin(model)
    for module in model.modules():
        if nn.utils.parametrize.is_parametrized(module):
            for addition in module.parametrizations["weight"]:
                nn.init.normal_(addition.b)
    start.finish(model)
    there = dict(trained.named_parameters())
    for name, parameter in model.named_parameters():
        change = (parameter - there[name]).detach()
        if name.endswith("weight") and parameter.ndim > 1:
            flat = change.flatten(1)
            assert torch.linalg.matrix_rank(flat, rtol=1e-3) == min(2, *flat.shape)
        else:
            assert not change.any()


def test_before_the_first_step_the_weights_are_those_of_the_start(trained: Model) -> None:
    for tuning in Tuning:
        model = type(trained).new(trained.card, seed=3)
        Start(trained, tuning).begin(model)
        Start(trained, tuning).finish(model)
        there = dict(trained.named_parameters())
        assert all(torch.equal(p, there[name]) for name, p in model.named_parameters())


def test_an_interrupted_tuning_resumes_to_the_same_bits(vision: Model, tmp_path: Path) -> None:

    class StopError(Exception):
        pass

    def stop(report: object) -> None:
        del report
        raise StopError

    start, out = Start(vision, Tuning.LORA), tmp_path / "parts"
    whole = tuned(vision, start, tmp_path / "whole")
    with pytest.raises(StopError):
        tuned(vision, start, out, progress=stop)
    resumed = tuned(vision, start, out, resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_a_model_of_other_sizes_is_refused(vision: Model, tmp_path: Path) -> None:
    deeper = CylinderGrid(
        "deeper", tuple(CylinderLayer((0, 1, 3, 6), 4, 2.0, k) for k in range(12))
    )
    with pytest.raises(ModelError, match="does not fit the recipe and calorimeter 'deeper'"):
        train(
            recipe_from(vision.card, {}),
            tmp_path / "out",
            FullShowers(showers_of(deeper)),
            description="",
            start=Start(vision),
        )
    assert not (tmp_path / "out" / "card.json").exists()


def test_bad_words_are_refused(vision: Model) -> None:
    with pytest.raises(RecipeError, match="rank 0: expected at least 1"):
        Start(vision, Tuning.LORA, rank=0)
    with pytest.raises(RecipeError, match=r"recipe of model .* has no key 'sede'.*'seed'"):
        recipe_from(vision.card, {"sede": "3"})


def new_stage(recipe: StageRecipe, beam: Beam, seed: int) -> Stage:
    """A stage that never saw a shower but in its representations."""
    torch.manual_seed(seed)
    stage, showers = recipe.build(CYLINDER, beam), of_beam(beam)
    stage.prepare(showers if stage.learns_from is Showers else Hits.of(showers))
    for parameter in stage.parameters():
        nn.init.normal_(parameter, std=0.2)
    return stage.eval()


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
@pytest.mark.parametrize("name", [*STAGES, "layer-numbers"])
def test_what_a_start_did_not_know_has_no_part_in_the_first_showers(name: str) -> None:
    """Not so for the token of a `Transfusion`, in which each number has a place of its own."""
    recipe = {**STAGES, "layer-numbers": stages.NUMBERS}[name]
    before, after = new_stage(recipe, ENERGY_ALONE, 1), new_stage(recipe, BEAM, 2)
    assert give(before, after, BEAM.width - 1) == ""
    condition = Condition.counted(Hits.of(of_beam(BEAM)[:16]))
    keys = streams.keys(1, torch.arange(16), 65)
    with torch.no_grad():
        known, same = (
            one.sample(condition, by_address(one.noise(), keys)) for one in (before, after)
        )
    if name != "transfusion":
        torch.testing.assert_close(same, known, rtol=1e-3, atol=1e-4)
