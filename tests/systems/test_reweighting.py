"""Reweighting: weights against a ratio of densities in closed form, and the laws of refiners."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caloforge.chain import Chain, describe, from_description
from caloforge.errors import RepresentationWarning, TrainingError
from caloforge.geometry import RegularGrid
from caloforge.metrics import Dilution
from caloforge.models import LearnedRefiner, TrainingShowers, load, load_recipe, train
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.simulators import Refiner
from caloforge.systems.reweighting import Reweighting
from tests.makers import ByEnergy

GRID = RegularGrid("four", (2, 2, 1), (10.0, 10.0, 100.0))
FULL, FAST = 5.0, 4.0
TINY = {
    "inputs": "cells",
    "network.widths": "[16]",
    "network.dropout": "0",
    "weight_decay": "0.01",
    "epochs": "12",
    "validation": "1000",
}


def gammas(shape: float, n: int, seed: int, scale: float = 10.0) -> Showers:
    """Showers whose deposits are independent Gamma variates: of two shapes k and k - 1 the ratio of
    densities is the product of the deposits, up to a constant.
    """
    random = torch.Generator().manual_seed(seed)
    uniforms = torch.rand(int(shape), n, 4, generator=random, dtype=torch.float64)
    deposits = -scale * uniforms.log().sum(dim=0)
    return Showers(deposits.float(), Particles(torch.full((n,), 1000.0), 11), GRID)


def data(n: int = 4000) -> TrainingShowers:
    return TrainingShowers(gammas(FULL, n, 1), gammas(FAST, n, 2))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Reweighting:
    out = tmp_path_factory.mktemp("weights") / "model"
    made = train(load_recipe("reweighting", TINY), out, data(), description="gammas")
    assert isinstance(made, Reweighting)
    return made


def true_logs(showers: Showers) -> torch.Tensor:
    """The logarithm of the ratio of densities: prod x_c / (scale (k - 1))."""
    return (showers.deposits.double() / (10.0 * FAST)).log().sum(dim=1)


def test_weights_are_the_ratio_of_densities(model: Reweighting) -> None:
    fast = gammas(FAST, 4000, 3)
    found, true = model.log_weights(fast), true_logs(fast)
    assert torch.corrcoef(torch.stack([found, true]))[0, 1] > 0.97
    assert (found - true).abs().median() < 0.15


def test_the_weighted_sample_is_the_full_one(model: Reweighting) -> None:
    fast = gammas(FAST, 4000, 3)
    weights = model.refine(fast, seed=1).weights
    assert weights is not None
    dilution = Dilution.of(weights.numpy())
    total = fast.deposits.sum(dim=1)
    mean = (weights * total).sum() / weights.sum()
    error = 10.0 * (4 * FULL / dilution.effective) ** 0.5
    assert abs(mean - 40.0 * FULL) < 4 * error < abs(40.0 * (FULL - FAST))
    assert dilution.mean == pytest.approx(1.0, abs=0.1)
    assert dilution.share == pytest.approx(1 / (1 + 1 / FAST) ** 4, abs=0.08)


def test_the_card_says_what_the_weights_are_worth(model: Reweighting) -> None:
    found = model.card.metrics["held-out showers"]
    assert found["effective_share"] == pytest.approx(1 / (1 + 1 / FAST) ** 4, abs=0.08)
    assert 0.5 < found["auc"] < 0.9
    assert f"effective size {found['effective_share']:.1%}" in model.remark


def test_a_weight_does_not_depend_on_the_batch(model: Reweighting) -> None:
    fast = gammas(FAST, 100, 4)
    whole = model.refine(fast, seed=1).weights
    parts = [model.refine(fast[k : k + 7], seed=2, first_index=k).weights for k in range(0, 100, 7)]
    assert whole is not None
    assert torch.equal(torch.cat([part for part in parts if part is not None]), whole)
    assert torch.equal(model.refine(fast, seed=1).deposits, fast.deposits)


def test_read_again_it_gives_the_same_weights(model: Reweighting) -> None:
    assert model.directory is not None
    again, fast = load(model.directory), gammas(FAST, 20, 5)
    assert isinstance(again, LearnedRefiner)
    weights = [one.refine(fast, seed=1).weights for one in (again, model)]
    assert torch.equal(*(w for w in weights if w is not None))


def test_a_finished_training_resumes_to_the_same_model(model: Reweighting) -> None:
    assert model.directory is not None
    recipe = load_recipe("reweighting", TINY)
    again = train(recipe, model.directory, data(), description="gammas", resume=True)
    assert again.card.sha256 == model.card.sha256


def test_it_stands_in_a_chain_and_weights_multiply(model: Reweighting) -> None:
    fast = gammas(FAST, 10, 6)
    before = ByEnergy(GRID).refine(fast, seed=1)
    alone, behind = model.refine(fast, seed=1).weights, model.refine(before, seed=1).weights
    assert alone is not None
    assert behind is not None
    assert before.weights is not None
    assert torch.allclose(behind, alone * before.weights)
    again = from_description(describe(model))
    assert isinstance(again, Refiner)
    assert not isinstance(again, Chain)


def test_larger_weights_than_allowed_are_counted(tmp_path: Path) -> None:
    recipe = load_recipe("reweighting", TINY | {"largest_weight": "1.5", "epochs": "2"})
    model = train(recipe, tmp_path / "model", data(1500), description="gammas")
    assert isinstance(model, Reweighting)
    with pytest.warns(RepresentationWarning, match=r"of 500 weights are above 1.5 and were set"):
        weights = model.refine(gammas(FAST, 500, 7), seed=1).weights
    assert weights is not None
    assert weights.max() == 1.5


def test_samples_without_overlap_are_told(tmp_path: Path) -> None:
    apart = TrainingShowers(gammas(FULL, 800, 1), gammas(FULL, 800, 2, scale=200.0))
    recipe = load_recipe("reweighting", TINY | {"epochs": "5", "validation": "200"})
    model = train(recipe, tmp_path / "model", apart, description="gammas")
    assert "hardly overlap, no weights make one of the other" in model.remark


def test_particles_that_differ_are_refused(tmp_path: Path) -> None:
    full, fast = data(300).full, data(300).fast
    energies = torch.linspace(1000, 2000, 300)
    spread = [
        replace(s, particles=Particles(e, 11))
        for s, e in ((full, energies), (fast, energies**1.02))
    ]
    with pytest.raises(TrainingError, match=r"distributed differently .*--like the full one"):
        train(
            load_recipe("reweighting", TINY),
            tmp_path / "out",
            TrainingShowers(*spread),
            description="",
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("polar", [False, True])
def test_a_convolution_sees_images(polar: bool, tmp_path: Path) -> None:
    from caloforge import zoo

    showers = (
        zoo.bundled_showers("par04-geant4") if polar else zoo.bundled_showers("pbwo4-geant4")
    )[:120]
    settings = {"epochs": "0.5", "validation": "20", "network.channels": "2", "batch_size": "16"}
    recipe = load_recipe("reweighting-cnn", settings)
    model = train(recipe, tmp_path / "model", TrainingShowers(showers, showers), description="one")
    assert isinstance(model, Reweighting)
    weights = model.refine(showers[:3], seed=1).weights
    assert weights is not None
    assert weights.isfinite().all()
