"""Shapes by normalizing flows: what they see, what they keep, exact densities, students; and
energies of layers by flows.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from caloforge import streams
from caloforge.errors import ModelError, RepresentationWarning
from caloforge.geometry import Calorimeter, CylinderGrid, CylinderLayer
from caloforge.learn import training
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import by_address
from caloforge.learn.representations.voxels import layer_sums
from caloforge.models.layer_groups import FilledRecipe, LayerGroupStage
from caloforge.models.stages import Stage
from caloforge.observables import layer_energies
from caloforge.showers import Showers
from caloforge.systems.caloflow import MaskedShapeRecipe
from tests.catalogue import name_of
from tests.models.stages import (
    CALORIMETERS,
    CAUSAL,
    CONVOLUTIONAL,
    CYLINDER,
    LAYER_BY_LAYER,
    MASKED_ENERGIES,
    MASKED_RATIOS,
    showers_of,
)

over_shapes = pytest.mark.parametrize("name", CAUSAL)
over_calorimeters = pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
over_energies = pytest.mark.parametrize(
    "recipe", [MASKED_ENERGIES, MASKED_RATIOS], ids=["energies", "ratios"]
)


def shaken(network: torch.nn.Module) -> None:
    """No parameter at zero."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)


def fitted(name: str, calorimeter: Calorimeter = CYLINDER) -> tuple[LayerGroupStage, Showers]:
    """A stage, its flows as they are drawn."""
    stage, showers = CAUSAL[name].build(calorimeter), showers_of(calorimeter)
    shaken(stage.flows)
    stage.prepare(showers)
    return stage.eval(), showers


def sampled(stage: LayerGroupStage, showers: Showers, seed: int = 0) -> Tensor:
    with torch.no_grad():
        return stage.sample(
            Condition.of(showers), noise_of(stage, torch.arange(len(showers)), seed)
        )


def wide_noise(stage: Stage, index: Tensor) -> dict[str, Tensor]:
    """Numbers twice as wide as normal ones, so that some showers deposit too much."""
    return {name: 2 * numbers for name, numbers in noise_of(stage, index).items()}


def noise_of(stage: Stage, index: Tensor, seed: int = 0) -> dict[str, Tensor]:
    return by_address(stage.noise(), streams.keys(seed, index, 65))


@over_shapes
@over_calorimeters
def test_a_shape_keeps_the_energies_of_the_layers(name: str, calorimeter: Calorimeter) -> None:
    stage, showers = fitted(name, calorimeter)
    deposits, energies = sampled(stage, showers), layer_energies(showers)
    threshold = float(showers.deposits[showers.deposits > 0].min())
    assert (deposits[deposits != 0] >= 0.999 * threshold).all()
    found = layer_sums(deposits, calorimeter.layer_of_cell, calorimeter.n_layers)
    torch.testing.assert_close(
        found, torch.where(energies >= threshold, energies, 0.0), rtol=1e-5, atol=1e-5
    )


@over_shapes
def test_a_shape_depends_on_its_key_its_energies_and_nothing_else(name: str) -> None:
    stage, showers = fitted(name)
    whole = sampled(stage, showers)
    order = torch.randperm(len(showers))
    with torch.no_grad():
        turned_round = stage.sample(Condition.of(showers)[order], noise_of(stage, order))
    assert torch.equal(turned_round, whole[order])
    assert not torch.equal(sampled(stage, showers, seed=1), whole)


@over_shapes
def test_the_losses_are_the_negative_log_likelihood(name: str) -> None:
    """Slab by group: their sum is that of the showers, by the same random numbers where all groups
    are seen at once.
    """
    stage, showers = fitted(name)
    some = showers[:32]
    whole = stage.log_likelihood(some, training.generator(1, 2, 3))
    assert whole.shape == (32,)
    losses = [
        stage.loss(number, some, training.generator(1, 2, 3)) for number in range(len(stage.flows))
    ]
    if stage.order.shared:
        torch.testing.assert_close(
            -whole.mean() / CYLINDER.n_cells, losses[0], rtol=1e-4, atol=1e-4
        )
    else:
        assert -whole.mean().item() / CYLINDER.n_cells == pytest.approx(
            torch.stack(losses).mean().item(), abs=0.3
        )


@over_shapes
def test_each_flow_gets_a_gradient_from_its_loss(name: str) -> None:
    stage, showers = fitted(name)
    for number, flow in enumerate(stage.flows):
        stage.loss(number, showers[:32], training.generator(1, 2, 3)).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in flow.parameters())
        assert all(
            p.grad is None for other in list(stage.flows)[number + 1 :] for p in other.parameters()
        )


@over_shapes
def test_a_group_does_not_see_what_comes_after_it(name: str) -> None:
    """With other noise for the last group, the numbers of all others stay as they are."""
    stage, showers = fitted(name)
    context = stage.context(Condition.of(showers))
    numbers = stage.numbers(showers, training.generator(1, 2, 3), 0, stage.groups)
    changed = numbers.clone()
    changed[:, -1] += 1
    for group in range(stage.groups):
        one, other = (stage._window(n, context, group) for n in (numbers, changed))
        assert torch.equal(one.former, other.former)
        assert one.former.shape[1] == stage.order.seen(group)


def test_a_window_holds_the_groups_before_the_nearest_last() -> None:
    stage, showers = fitted("convolutional-shared")
    numbers, window = stage.examples(0, showers[:5], training.generator(1, 2, 3))
    numbers, former = (part.unflatten(0, (5, 6)) for part in (numbers.flatten(1), window.former))
    assert torch.equal(former[:, 0], torch.zeros_like(former[:, 0]))
    assert torch.equal(former[:, 1, 1], numbers[:, 0])
    assert torch.equal(former[:, 4, 0], numbers[:, 2])
    assert torch.equal(former[:, 4, 1], numbers[:, 3])


def test_flows_of_their_own_train_apart_and_a_shared_one_does_not() -> None:
    objectives = {
        name: fitted(name)[0].objectives(showers_of(CYLINDER), showers_of(CYLINDER, 40), 1, 1)
        for name in CAUSAL
    }
    assert [(p.name, p.independent) for p in objectives["convolutional"]] == [
        (f"shape-{k}", True) for k in range(6)
    ]
    assert [(p.name, p.independent) for p in objectives["convolutional-shared"]] == [
        ("shape-0", False)
    ]
    assert [(p.name, p.independent) for p in objectives["masked"]] == [
        ("shape-0", False),
        ("student-0", False),
    ]
    assert [p.name for p in objectives["masked-groups"]] == [
        "shape-0",
        "shape-1",
        "student-0",
        "student-1",
    ]


def test_a_student_comes_nearer_to_its_teacher_and_is_what_samples() -> None:
    stage, showers = fitted("masked")
    (sampler,), (student,) = stage.samplers(), stage.students
    z, condition = torch.randn(5, student.features), torch.randn(5, student.condition)
    assert sampler.inverse(z, condition).equal(student.inverse(z, condition))
    *_, objective = stage.objectives(showers, showers[:40], 1, 1)
    before = objective.players[0].loss(999).item()
    optimiser = torch.optim.Adam(objective.players[0].network.parameters(), lr=0.01)
    for step in range(60):
        optimiser.zero_grad()
        objective.players[0].loss(step).backward()
        optimiser.step()
    assert objective.players[0].loss(999).item() < 0.7 * before


def test_groups_that_do_not_divide_the_layers_are_refused() -> None:
    with pytest.raises(
        ModelError, match="groups of 4 layers do not divide 6 layers: give one of 1, 2, 3, 6"
    ):
        replace(LAYER_BY_LAYER, layer_group=4).build(CYLINDER)


def test_a_convolutional_flow_that_sees_no_layer_has_no_embedding() -> None:
    flows = CONVOLUTIONAL.build(CYLINDER).flows
    assert [flow.embedding is None for flow in flows] == [True, False, False, False, False, False]


@over_energies
@over_calorimeters
def test_energies_of_layers_by_a_flow(recipe: object, calorimeter: Calorimeter) -> None:
    """Finite, none below the least seen, a function of energy and key alone, and none beyond the
    veto.
    """
    stage, showers = recipe.build(calorimeter), showers_of(calorimeter)
    shaken(stage)
    stage.prepare(showers)
    noise = wide_noise(stage, torch.arange(len(showers)))
    condition, incident = Condition(showers.particles), showers.energies.double()
    with pytest.warns(
        RepresentationWarning,
        match=f"of {len(showers)} showers deposit a larger part of their energy",
    ):
        energies = stage.sample(condition, noise)
    assert energies.dtype == torch.float64
    assert energies.isfinite().all()
    assert (
        energies[energies > 0].min() >= layer_energies(showers)[layer_energies(showers) > 0].min()
    )
    assert (energies.sum(dim=1) <= stage.most * incident * (1 + 1e-9)).all()
    order = torch.randperm(len(showers))
    with pytest.warns(RepresentationWarning):
        again = stage.sample(condition[order], wide_noise(stage, order))
    assert torch.equal(again, energies[order])


@over_energies
def test_the_loss_of_the_energies_is_the_negative_log_likelihood(recipe: object) -> None:
    stage, showers = recipe.build(CYLINDER), showers_of(CYLINDER)
    shaken(stage)
    stage.prepare(showers)
    loss, density = (
        stage.loss(showers, training.generator(1, 0, 0)),
        stage.log_likelihood(showers, training.generator(1, 0, 0)),
    )
    torch.testing.assert_close(loss, -density.mean() / CYLINDER.n_layers)


UNEVEN = CylinderGrid(
    "uneven",
    (
        CylinderLayer((0, 1, 3), 4, 2.0),
        CylinderLayer((0, 2), 1, 2.0, 1),
        CylinderLayer((0, 1, 2, 5), 2, 2.0, 2),
    ),
)
BY_LAYER = replace(LAYER_BY_LAYER, shared=False)
WHOLE = replace(LAYER_BY_LAYER, layer_group=3, former=0, shared=False)
over_uneven = pytest.mark.parametrize(
    "recipe",
    [
        BY_LAYER,
        WHOLE,
        replace(WHOLE, numbers=FilledRecipe(kind="filled", relative=True), mapped=True),
    ],
    ids=["layer by layer", "whole", "filled"],
)


def uneven(recipe: MaskedShapeRecipe) -> tuple[LayerGroupStage, Showers]:
    stage, showers = recipe.build(UNEVEN), showers_of(UNEVEN)
    shaken(stage.flows)
    stage.prepare(showers)
    return stage.eval(), showers


@over_uneven
def test_layers_of_different_shapes_keep_their_energies(recipe: MaskedShapeRecipe) -> None:
    stage, showers = uneven(recipe)
    deposits, energies = sampled(stage, showers), layer_energies(showers)
    threshold = float(showers.deposits[showers.deposits > 0].min())
    found = layer_sums(deposits, UNEVEN.layer_of_cell, UNEVEN.n_layers)
    expected = torch.where(energies >= threshold, energies, 0.0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@over_uneven
def test_padding_carries_neither_likelihood_nor_loss(recipe: MaskedShapeRecipe) -> None:
    """A flow has as many numbers as its group has cells, and what stands for them is theirs."""
    stage, showers = uneven(recipe)
    cells = [flow.features for flow in stage.flows]
    sizes = [8, 1, 6]
    assert cells == (sizes if len(cells) > 1 else [sum(sizes)])
    points, _ = stage.examples(0, showers, training.generator(1, 2, 3))
    assert points.shape == (len(showers), cells[0])
    before = stage.log_likelihood(showers, training.generator(1, 2, 3))
    padded = stage.table.cell.numel() - UNEVEN.n_cells
    assert padded > 0
    assert before.isfinite().all()
    for objective in stage.objectives(showers, showers[:40], 1, 0):
        assert objective.validation is not None
        assert objective.validation() < float("inf")


def test_representing_an_uneven_calorimeter_and_going_back() -> None:
    stage, showers = uneven(WHOLE)
    layers = stage.table.layers(showers.deposits)
    assert torch.equal(stage.table.cells(layers), showers.deposits)
    assert not layers[:, ~stage.table.real].any()


def test_groups_of_different_sizes_cannot_share_a_flow() -> None:
    with pytest.raises(ModelError, match="groups of layers have 8, 1, 6 cells, and cannot share"):
        LAYER_BY_LAYER.build(UNEVEN)
