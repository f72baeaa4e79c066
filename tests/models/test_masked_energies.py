"""Energies of the layers as masked flows see them."""

import pytest
import torch

from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import by_generator
from caloforge.learn.training import generator
from caloforge.models.masked_energies import MaskedEnergiesStage
from tests.catalogue import name_of
from tests.models.stages import CALORIMETERS, ENERGIES, showers_of

STAGES = [name for name in ENERGIES if name.startswith("masked")]
CASES = [(name, calorimeter) for name in STAGES for calorimeter in CALORIMETERS]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{name_of(case[1])}")
def stage(request: pytest.FixtureRequest) -> MaskedEnergiesStage:
    name, calorimeter = request.param
    built: MaskedEnergiesStage = ENERGIES[name].build(calorimeter)
    built.prepare(showers_of(calorimeter))
    return built


def seen(
    stage: MaskedEnergiesStage, calorimeter: Calorimeter, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, Condition]:
    condition = Condition.of(showers_of(calorimeter))
    representation, energies = stage.representation, condition.layer_energies
    noise = by_generator(representation.noise(), len(condition), generator(seed, 0, 0))
    return energies, representation.encode(energies, condition, noise), condition


def test_what_the_flow_sees_stands_for_the_energies(stage: MaskedEnergiesStage) -> None:
    """Layers without energy come back below the least energy of a layer, which stands for none."""
    energies, values, condition = seen(stage, stage.calorimeter)
    back = stage.representation.decode(values, condition)
    empty = energies == 0
    assert empty.any()
    assert (back[empty] < stage.least).all()
    assert torch.allclose(back[~empty], energies[~empty].double(), rtol=1e-3, atol=3e-3)


def test_no_number_is_seen_again_and_again(stage: MaskedEnergiesStage) -> None:
    """A density would grow without bound there, and learn nothing else."""
    _, values, _ = seen(stage, stage.calorimeter)
    for layer in values.T:
        assert layer.isfinite().all()
        assert len(layer.unique()) > 0.98 * len(layer)


def test_another_seed_fills_otherwise(stage: MaskedEnergiesStage) -> None:
    energies, one, _ = seen(stage, stage.calorimeter)
    _, other, _ = seen(stage, stage.calorimeter, seed=1)
    assert (one != other)[energies == 0].any()
