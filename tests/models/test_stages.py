"""The stages of surrogates: fields and cells, what a shape keeps of the energies, batches, solvers
made for a flow.
"""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from caloforge import streams
from caloforge.errors import CaloforgeError, GeometryError, ModelError
from caloforge.geometry import Calorimeter, calochallenge_1_photons
from caloforge.learn import training
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import by_address
from caloforge.learn.processes import MIDPOINT, Steps
from caloforge.learn.representations.voxels import layer_sums
from caloforge.models.flow_stage import FlowStage
from caloforge.models.stages import Batches, Schedule, Stage, turned
from caloforge.observables import layer_energies
from caloforge.showers import Showers
from tests.catalogue import CALORIMETERS as CATALOGUE
from tests.catalogue import name_of
from tests.learn.test_cell_transformer import UNEVEN
from tests.models.stages import (
    CALORIMETERS,
    CYLINDER,
    ENERGY,
    GRID,
    SHAPES,
    SOLVERS,
    VISION,
    flowing,
    showers_of,
)

over_calorimeters = pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
over_shapes = pytest.mark.parametrize("name", SHAPES)


def fitted(name: str, calorimeter: Calorimeter, **changes: Any) -> tuple[FlowStage, Showers]:
    """A shape stage, its networks as they are drawn, with no parameter at zero."""
    stage, showers = flowing(SHAPES[name], **changes).build(calorimeter), showers_of(calorimeter)
    for parameter in stage.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    stage.prepare(showers)
    return stage, showers


def sampled(stage: FlowStage, showers: Showers, seed: int = 0) -> Tensor:
    with torch.no_grad():
        return stage.sample(
            Condition.of(showers), noise_of(stage, torch.arange(len(showers)), seed)
        )


def noise_of(stage: Stage, index: Tensor, seed: int = 0) -> dict[str, Tensor]:
    return by_address(stage.noise(), streams.keys(seed, index, 65))


@over_shapes
@over_calorimeters
def test_fields_and_cells_are_inverse(name: str, calorimeter: Calorimeter) -> None:
    stage, cells = SHAPES[name].build(calorimeter), torch.randn(5, calorimeter.n_cells)
    field = stage.field(cells)
    assert torch.equal(stage.cells(field), cells)
    for layer in range(calorimeter.n_layers if field.ndim == 5 else 0):
        in_layer = cells[:, calorimeter.layer_of_cell == layer].sort(dim=1).values
        assert torch.equal(field[:, 0, layer].flatten(1).sort(dim=1).values, in_layer)


def test_a_field_of_a_cylinder_has_alpha_before_r() -> None:
    r, alpha = CYLINDER.r_alpha.unbind(-1)
    stage = VISION.build(CYLINDER)
    for values, axis in ((alpha, 3), (r, 4)):
        field = stage.field(values.float()[None])
        assert (field.diff(dim=axis) > 0).all()
        assert (field.diff(dim=7 - axis).abs() < 1e-6).all()


def test_a_field_of_boxes_has_the_axes_z_y_x() -> None:
    field = VISION.build(GRID).field(GRID.centres.t().float())
    for axis, values in ((4, field[0]), (3, field[1]), (2, field[2])):
        assert (values[None].diff(dim=axis) > 0).all()


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
@pytest.mark.parametrize(
    ("name", "calorimeter"),
    [*product(SHAPES, CALORIMETERS), *product(["cell-vision"], UNEVEN)],
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_a_shape_keeps_the_energies_of_the_layers(name: str, calorimeter: Calorimeter) -> None:
    """Up to what falls below the threshold, the least deposit of the training; there is nothing
    between it and 0.
    """
    stage, showers = fitted(name, calorimeter)
    deposits, energies = sampled(stage, showers), layer_energies(showers)
    threshold = float(showers.deposits[showers.deposits > 0].min())
    assert deposits.isfinite().all()
    assert (deposits[deposits != 0] >= 0.999 * threshold).all()
    left = energies - layer_sums(deposits, calorimeter.layer_of_cell, calorimeter.n_layers)
    below = (
        layer_sums((deposits == 0).double(), calorimeter.layer_of_cell, calorimeter.n_layers)
        * threshold
    )
    assert (left.abs() <= below + 1e-5 * energies).all()


@over_shapes
def test_layers_without_energy_stay_dark(name: str) -> None:
    stage, showers = fitted(name, CYLINDER)
    energies = layer_energies(showers)
    energies[:, 2] = 0
    condition = Condition(showers.particles, energies)
    deposits = stage.sample(condition, noise_of(stage, torch.arange(len(showers))))
    assert (deposits[:, CYLINDER.layer_of_cell == 2] == 0).all()
    assert deposits.isfinite().all()


@over_shapes
def test_a_shape_depends_on_its_key_its_energies_and_nothing_else(name: str) -> None:
    stage, showers = fitted(name, CYLINDER)
    whole = sampled(stage, showers)
    order = torch.randperm(len(showers))
    with torch.no_grad():
        turned_round = stage.sample(Condition.of(showers)[order], noise_of(stage, order))
    assert torch.equal(turned_round, whole[order])
    assert not torch.equal(sampled(stage, showers, seed=1), whole)


@over_shapes
def test_the_condition_is_what_the_fit_makes_it(name: str) -> None:
    """Standardised ratios, then the incident energy from 0 to 1."""
    stage, showers = fitted(name, CYLINDER)
    condition = stage.features(Condition.of(showers))
    assert condition.shape == (len(showers), CYLINDER.n_layers + 1)
    torch.testing.assert_close(condition[:, :-1].mean(dim=0), torch.zeros(6), rtol=0, atol=1e-4)
    torch.testing.assert_close(condition[:, :-1].std(dim=0), torch.ones(6), rtol=1e-4, atol=0)
    assert (condition[:, -1].min(), condition[:, -1].max()) == (0, 1)


@over_shapes
def test_the_loss_is_a_function_of_showers_and_random_numbers(name: str) -> None:
    stage, showers = fitted(name, CYLINDER)
    kept = showers.deposits.clone()
    first, again, other = (
        stage.loss(showers, training.generator(1, 2, step)) for step in (3, 3, 4)
    )
    assert first == again != other
    assert torch.equal(showers.deposits, kept)
    first.backward()
    assert all(parameter.grad is not None for parameter in stage.network.parameters())


def test_the_energies_of_the_layers() -> None:
    """Finite, at least 0, no more in all than the scale allows; a function of energy and
    key alone.
    """
    stage, showers = ENERGY.build(CYLINDER), showers_of(CYLINDER)
    stage.prepare(showers)
    condition = Condition(showers.particles)
    energies = stage.sample(condition, noise_of(stage, torch.arange(len(showers))))
    assert energies.dtype == torch.float64
    assert energies.isfinite().all()
    assert (energies >= 0).all()
    assert (energies.sum(dim=1) <= ENERGY.scale * showers.energies.double() * (1 + 1e-9)).all()
    order = torch.randperm(len(showers))
    assert torch.equal(stage.sample(condition[order], noise_of(stage, order)), energies[order])


@pytest.mark.parametrize("local", SOLVERS)
@over_shapes
def test_a_solver_is_made_for_the_flow(name: str, local: str) -> None:
    """Its objective lowers its error, leaves the network as it is, and what it learned is
    what samples.
    """
    stage, showers = fitted(name, CYLINDER, bespoke=replace(SOLVERS[local], steps=40))
    for parameter in stage.network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    network = {key: value.clone() for key, value in stage.network.state_dict().items()}
    euler = sampled(stage, showers)
    plain = flowing(SHAPES[name], bespoke=None, solver="euler", solver_steps=4).build(CYLINDER)
    plain.load_state_dict(
        {key: value for key, value in stage.state_dict().items() if not key.startswith("bespoke.")}
    )
    torch.testing.assert_close(sampled(plain, showers), euler, rtol=1e-3, atol=1e-2)
    _, objective = stage.flow_objectives(showers, showers[:40], 1, 3)
    optimiser = torch.optim.Adam(objective.players[0].network.parameters(), lr=0.01)
    errors = [objective.players[0].loss(7).item()]
    for step in range(objective.steps):
        optimiser.zero_grad()
        objective.players[0].loss(step).backward()
        optimiser.step()
    errors.append(objective.players[0].loss(7).item())
    assert errors[1] < 0.9 * errors[0]
    assert stage.sampler is stage.bespoke
    assert not torch.equal(sampled(stage, showers), euler)
    assert all(
        torch.equal(value, network[key]) for key, value in stage.network.state_dict().items()
    )


@over_shapes
def test_without_a_solver_of_its_own_there_is_no_phase_for_it(name: str) -> None:
    stage, showers = fitted(name, CYLINDER)
    names = [objective.name for objective in stage.objectives(showers, showers[:40], 1, 1)]
    assert names[-1] == "shape"
    bespoke, _ = fitted(name, CYLINDER, bespoke=SOLVERS["local"])
    assert [objective.name for objective in bespoke.objectives(showers, showers[:40], 1, 1)] == [
        *names,
        "bespoke solver",
    ]
    assert stage.sampler == Steps(MIDPOINT, 2)


def test_a_patch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(
        ModelError, match=r"patch \(4, 2, 1\) does not divide shape \(6, 4, 3\): along axis 0"
    ):
        replace(VISION, patch=(4, 2, 1)).build(CYLINDER)
    with pytest.raises(CaloforgeError, match=r"patch .* does not divide shape"):
        replace(SHAPES["latent"], patch=(1, 1, 2)).build(CYLINDER)
    with pytest.raises(CaloforgeError, match="groups of 4 layers"):
        replace(SHAPES["hit-autoencoder"], layer_group=4).build(CYLINDER)


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "cell-vision"])
def test_a_calorimeter_that_is_no_image_is_refused(name: str) -> None:
    with pytest.raises(
        GeometryError,
        match="'calochallenge-1-photons' is no image, its layers are not divided alike",
    ):
        SHAPES[name].build(calochallenge_1_photons())


@over_calorimeters
def test_a_batch_is_a_function_of_seed_objective_and_step(calorimeter: Calorimeter) -> None:
    showers = showers_of(calorimeter)
    batch, random = Batches(showers, 5, 2).draw(11, 30)
    again, same = Batches(showers, 5, 2).draw(11, 30)
    assert len(batch) == 30
    assert torch.equal(batch.deposits, again.deposits)
    assert torch.equal(batch.energies, again.energies)
    assert torch.equal(torch.rand(3, generator=random), torch.rand(3, generator=same))
    for seed, objective, step in ((6, 2, 11), (5, 3, 11), (5, 2, 12)):
        assert not torch.equal(
            Batches(showers, seed, objective).draw(step, 30)[0].energies, batch.energies
        )


@pytest.mark.parametrize("calorimeter", CATALOGUE, ids=name_of)
def test_turning_keeps_the_energies_of_the_layers(calorimeter: Calorimeter) -> None:
    """Each turned shower is the shower seen through one of the symmetries, and all of
    these occur.
    """
    deposits = torch.rand(200, calorimeter.n_cells)
    showers = replace(showers_of(GRID, 200), deposits=deposits, calorimeter=calorimeter)
    image = turned(showers, training.generator(1, 2, 3))
    torch.testing.assert_close(layer_energies(image), layer_energies(showers), rtol=1e-9, atol=0)
    assert torch.equal(image.energies, showers.energies)
    seen = torch.stack(
        [
            (deposits[:, symmetry] == image.deposits).all(dim=1)
            for symmetry in calorimeter.symmetries
        ]
    )
    assert seen.any(dim=0).all()
    assert seen.any(dim=1).all()


def test_a_schedule_is_counted_in_showers() -> None:
    showers, network = showers_of(CYLINDER), torch.nn.Linear(1, 1)
    schedule = Schedule(
        epochs=2.5, batch_size=50, learning_rate=0.1, weight_decay=0.2, average=0.3, clip=4.0
    )
    seen = []

    def loss(batch: Showers, random: torch.Generator) -> Tensor:
        seen.append(len(batch))
        return torch.rand((), generator=random)

    objective = schedule.objective(
        "lines", network, loss, Batches(showers, 1, 0), Batches(showers[:40], 1, 0)
    )
    [player] = objective.players
    assert (objective.steps, player.adam.learning_rate, player.adam.weight_decay) == (12, 0.1, 0.2)
    assert (player.average, player.clip) == (0.3, 4.0)
    assert objective.validation is not None
    assert objective.validation() == objective.validation()
    player.loss(3)
    assert set(seen) == {50}
