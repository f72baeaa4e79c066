"""Surrogates: training from end to end, saving, interruption, and the laws of the showers that they
make.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from caloforge.errors import (
    EnergyRangeError,
    EnergyRangeWarning,
    GeometryError,
    ModelError,
    ShowerValueError,
    TrainingError,
)
from caloforge.geometry import calochallenge_1_photons
from caloforge.learn import training
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Numbers
from caloforge.learn.processes import EULER, Steps
from caloforge.learn.representations.voxels import layer_sums
from caloforge.models import FullShowers, Surrogate, TrainingShowers, load, load_recipe, train
from caloforge.models import recipe_of as recipe_in
from caloforge.models.flow_stage import FlowStage
from caloforge.observables import layer_energies
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.catalogue import name_of
from tests.models.stages import (
    CALORIMETERS,
    CAUSAL,
    CYLINDER,
    ENERGIES,
    ENERGY,
    GRID,
    LOCAL,
    SHAPES,
    SOLVERS,
    STUDENT,
    VISION,
    flowing,
    recipe_of,
    showers_of,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*drawn again:caloforge.errors.RepresentationWarning"
)
"""Energies of flows that have hardly been trained are refused now and then."""

over_shapes = pytest.mark.parametrize("name", SHAPES)


class StopError(Exception):
    pass


Trained = tuple[Path, Surrogate]


PAIRS = [
    *((shape, "transfusion", calorimeter) for shape in SHAPES for calorimeter in CALORIMETERS),
    ("convolutional", "masked-energies", CYLINDER),
    ("convolutional-shared", "transfusion", GRID),
    ("masked", "masked-ratios", GRID),
    ("masked-groups", "transfusion", CYLINDER),
    ("hit-autoencoder", "masked-ratios", CYLINDER),
]
"""Stages of one system go with those of another."""


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: "-".join([*pair[:2], pair[2].name]))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    shape, energy, calorimeter = request.param
    out = tmp_path_factory.mktemp("models") / f"{shape}-{energy}-{name_of(calorimeter)}"
    bespoke = LOCAL if calorimeter is GRID else None
    recipe = recipe_of(
        CAUSAL[shape] if shape in CAUSAL else flowing(SHAPES[shape], bespoke=bespoke),
        ENERGIES[energy],
    )
    return out, train(recipe, out, FullShowers(showers_of(calorimeter)), description="made up")


def particles(n: int, low: float = 1e3, high: float = 9e4) -> Particles:
    return Particles(torch.linspace(low, high, n))


def weights(directory: Path) -> dict[str, Tensor]:
    return load_file(directory / "weights.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def stop_at(monkeypatch: pytest.MonkeyPatch, phase: int, step: int) -> None:
    """Have the training raise where it asks for the random numbers of a step."""
    generator = training.generator

    def stopping(
        seed: int, number: int, at: int, device: torch.device | str = "cpu"
    ) -> torch.Generator:
        if (number, at) == (phase, step):
            raise StopError
        return generator(seed, number, at, device)

    monkeypatch.setattr(training, "generator", stopping)


def test_a_trained_model_says_what_it_is(trained: Trained) -> None:
    out, model = trained
    card = model.card
    assert (card.name, card.system, card.data, card.pdg) == (out.name, "surrogate", "made up", 11)
    assert card.energy_range[0] <= 1.1e3
    assert card.energy_range[1] >= 9e4
    assert {path.name for path in out.iterdir()} == {
        "card.json",
        "weights.safetensors",
        "checkpoint.safetensors",
        "history.csv",
    }
    assert not model.training


def test_made_showers_are_physical(trained: Trained) -> None:
    """Finite, at least 0, nothing below the threshold of the training showers, no more energy than
    the scale allows.
    """
    model = trained[1]
    made, taught = model.simulate(particles(60), seed=3), showers_of(model.calorimeter)
    assert made.calorimeter == model.calorimeter
    assert torch.equal(made.energies, particles(60).energies)
    assert made.deposits.dtype == torch.float32
    assert made.deposits.isfinite().all()
    assert (made.deposits >= 0).all()
    assert (
        made.deposits[made.deposits > 0].min() >= 0.999 * taught.deposits[taught.deposits > 0].min()
    )
    assert (made.deposits.double().sum(dim=1) <= ENERGY.scale * made.energies * (1 + 1e-6)).all()


def test_made_showers_have_the_energies_of_the_first_stage(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, made_energies = trained[1], []
    sample = model.energy.sample

    def listening(condition: Condition, noise: Numbers) -> Tensor:
        made_energies.append(sample(condition, noise))
        return made_energies[-1]

    monkeypatch.setattr(model.energy, "sample", listening)
    made, cells = model.simulate(particles(60), seed=3), model.calorimeter.layer_of_cell
    energies, threshold = (
        torch.cat(made_energies)[:60],
        float(made.deposits[made.deposits > 0].min()),
    )
    below = layer_sums((made.deposits == 0).double(), cells, model.calorimeter.n_layers) * threshold
    assert ((energies - layer_energies(made)).abs() <= below + 1e-5 * energies).all()


@pytest.fixture(scope="module")
def many(trained: Trained) -> Tensor:
    return trained[1].simulate(particles(270), seed=3).deposits


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_shower_does_not_depend_on_its_batch(trained: Trained, many: Tensor, size: int) -> None:
    """Nor on where a run was taken up again, nor on what it is made beside."""
    model, first = trained[1], 270 - max(14, size)
    parts = [
        model.simulate(particles(270)[k : k + size], seed=3, first_index=k).deposits
        for k in range(first, 270, size)
    ]
    assert torch.equal(torch.cat(parts), many[first:])


def test_the_order_of_making_does_not_matter(trained: Trained) -> None:
    model, all_particles = trained[1], particles(40)
    late = model.simulate(all_particles[20:], seed=3, first_index=20).deposits
    early = model.simulate(all_particles[:20], seed=3).deposits
    assert torch.equal(torch.cat([early, late]), model.simulate(all_particles, seed=3).deposits)


def test_the_seed_matters(trained: Trained) -> None:
    first, second = (trained[1].simulate(particles(20), seed=seed).deposits for seed in (1, 2))
    assert (first != second).any(dim=1).all()


def test_like_particles_make_unlike_showers(trained: Trained) -> None:
    made = trained[1].simulate(Particles(torch.full((20,), 2e4)), seed=0).deposits
    assert len(made.unique(dim=0)) == 20


def test_no_particles_make_no_showers(trained: Trained) -> None:
    assert len(trained[1].simulate(particles(5)[:0], seed=0)) == 0


def test_read_again_it_gives_the_same_bits(trained: Trained) -> None:
    out, model = trained
    assert torch.equal(
        load(out).simulate(particles(20), seed=4).deposits,
        model.simulate(particles(20), seed=4).deposits,
    )


def test_energies_outside_the_range_warn_or_are_refused(trained: Trained) -> None:
    message = (
        r"2 of 6 incident energies lie outside the range of model .*; "
        r"the first that of shower 4 \(500 GeV\)"
    )
    beyond = Particles(torch.tensor([2e3, 3e3, 4e3, 5e3, 5e5, 5e5]))
    with pytest.warns(EnergyRangeWarning, match=message):
        made = trained[1].simulate(beyond, seed=0)
    assert made.deposits.isfinite().all()
    with pytest.raises(EnergyRangeError, match=message):
        trained[1].simulate(beyond, seed=0, strict=True)


def test_other_particles_are_refused(trained: Trained) -> None:
    model, energies = trained[1], particles(4).energies
    with pytest.raises(
        ShowerValueError, match=r"model .* particles have PDG number 22, .* expected e- \(11\)"
    ):
        model.simulate(Particles(energies, pdg=22), seed=0)
    with pytest.raises(ShowerValueError, match="particles enter at an angle"):
        model.simulate(
            Particles(energies, theta=torch.tensor([0.0, 0.0, 0.1, 0.0]), phi=torch.zeros(4)),
            seed=0,
        )
    along = Particles(energies, theta=torch.zeros(4), phi=torch.zeros(4))
    assert torch.equal(
        model.simulate(along, seed=0).deposits, model.simulate(Particles(energies), seed=0).deposits
    )


def test_resuming_a_finished_training_gives_the_same_model(trained: Trained) -> None:
    out, model = trained
    recipe = recipe_in(model.card)
    again = train(
        recipe, out, FullShowers(showers_of(model.calorimeter)), description="made up", resume=True
    )
    assert again.card == model.card


@over_shapes
def test_training_is_a_function_of_recipe_and_showers(tmp_path: Path, name: str) -> None:
    data = FullShowers(showers_of(CYLINDER))
    for out in ("one", "two"):
        train(recipe_of(SHAPES[name]), tmp_path / out, data, description="")
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    train(recipe_of(SHAPES[name], seed=2), tmp_path / "three", data, description="")
    one, three = weights(tmp_path / "one"), weights(tmp_path / "three")
    assert any(not torch.equal(one[key], three[key]) for key in one)


LONG = replace(ENERGY, schedule=replace(ENERGY.schedule, epochs=21.0))
"""210 steps on 200 showers: a checkpoint lies within them."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "whole"
    train(
        recipe_of(flowing(VISION, bespoke=LOCAL), LONG),
        out,
        FullShowers(showers_of(CYLINDER)),
        description="",
    )
    return out


@pytest.mark.parametrize("stop", [(0, 205), (1, 3), (2, 2)])
def test_an_interrupted_training_resumes_to_the_same_bits(
    tmp_path: Path, uninterrupted: Path, stop: tuple[int, int]
) -> None:
    data, recipe = (
        FullShowers(showers_of(CYLINDER)),
        recipe_of(flowing(VISION, bespoke=LOCAL), LONG),
    )
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, *stop)
        with pytest.raises(StopError):
            train(recipe, tmp_path / "broken", data, description="")
    with pytest.raises(ModelError, match="no model here"):
        load(tmp_path / "broken")
    train(recipe, tmp_path / "broken", data, description="", resume=True)
    assert_same_weights(uninterrupted, tmp_path / "broken")
    assert (uninterrupted / "history.csv").read_text() == (
        tmp_path / "broken/history.csv"
    ).read_text()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    """The training can be resumed from there, to what it would have been."""
    data, recipe, losses = FullShowers(showers_of(CYLINDER)), recipe_of(VISION), []
    loss: Callable[..., Tensor] = FlowStage.loss

    def failing(stage: FlowStage, showers: Showers, random: torch.Generator) -> Tensor:
        losses.append(loss(stage, showers, random))
        return losses[-1] * (torch.nan if len(losses) == 4 else 1)

    train(recipe, tmp_path / "whole", data, description="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlowStage, "loss", failing)
        with pytest.raises(
            TrainingError,
            match=r"phase shape, step 3: the loss is nan; the last good state is in .*checkpoint",
        ):
            train(recipe, tmp_path / "broken", data, description="")
    good = load_file(tmp_path / "broken/checkpoint.safetensors")
    assert all(value.isfinite().all() for value in good.values())
    train(recipe, tmp_path / "broken", data, description="", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize("solver", SOLVERS)
@over_shapes
def test_a_solver_made_for_the_flow_is_saved_and_samples(
    tmp_path: Path, name: str, solver: str
) -> None:
    """In full precision, unlike the weights of the networks."""
    data, out = FullShowers(showers_of(CYLINDER)), tmp_path / "model"
    model = train(
        recipe_of(flowing(SHAPES[name], bespoke=SOLVERS[solver])), out, data, description=""
    )
    learned = {
        key: value for key, value in weights(out).items() if key.startswith("shape.bespoke.")
    }
    assert (
        sum(value.numel() for value in learned.values())
        == LOCAL.evaluations * (LOCAL.evaluations + 5) // 2 - 1
    )
    assert all(value.dtype == torch.float32 for value in learned.values())
    assert model.shape.sampler is model.shape.bespoke
    made = model.simulate(particles(20), seed=0).deposits
    model.shape.bespoke = SHAPES[name].build(CYLINDER).bespoke
    assert not torch.equal(model.simulate(particles(20), seed=0).deposits, made)


def test_a_card_of_another_version_is_an_error(trained: Trained, tmp_path: Path) -> None:
    card = json.loads((trained[0] / "card.json").read_text())
    card["recipe"]["shape"]["stage"] = "unheard-of"
    (tmp_path / "card.json").write_text(json.dumps(card))
    shutil.copy(trained[0] / "weights.safetensors", tmp_path)
    with pytest.raises(
        ModelError,
        match=r"the recipe of the card is not one of this version: shape.stage: 'unheard-of'",
    ):
        load(tmp_path)


def refused(
    tmp_path: Path, data: Any, message: str, error: type[Exception] = TrainingError, **changes: Any
) -> None:
    with pytest.raises(error, match=message):
        train(recipe_of(replace(VISION, **changes)), tmp_path / "out", data, description="")


def test_showers_that_cannot_teach_are_refused(tmp_path: Path) -> None:
    showers = showers_of(CYLINDER)
    refused(
        tmp_path,
        FullShowers(showers[:90]),
        "the full sample has 90 showers, expected at least 100 to train on",
    )
    lit = torch.ones(240, 1)
    lit[[30, 40]] = 0
    dark = replace(showers, deposits=showers.deposits * lit)
    refused(
        tmp_path,
        FullShowers(dark),
        "2 of 240 training showers of the full sample have no energy, .* at index 30: remove them",
    )
    broken = replace(showers, deposits=showers.deposits / lit)
    refused(
        tmp_path,
        FullShowers(broken),
        "2 of 240 training showers of the full sample have no energy, or one that is not finite",
    )
    tilted = replace(
        showers,
        particles=replace(showers.particles, theta=torch.full((240,), 0.1), phi=torch.zeros(240)),
    )
    refused(tmp_path, FullShowers(tilted), "240 of 240 training showers enter at an angle")
    weighted = replace(showers, weights=torch.ones(240))
    refused(tmp_path, FullShowers(weighted), "the training showers have weights")
    assert not (tmp_path / "out").exists()


def test_showers_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    showers = showers_of(CYLINDER)
    refused(
        tmp_path,
        TrainingShowers(showers, showers),
        "system 'surrogate' learns from FullShowers, got TrainingShowers",
    )
    with pytest.raises(
        TrainingError, match="system 'squirels-fast' learns from TrainingShowers, got FullShowers"
    ):
        train(load_recipe("squirels-fast"), tmp_path / "out", FullShowers(showers), description="")


def test_a_network_that_does_not_fit_the_calorimeter_is_refused(tmp_path: Path) -> None:
    data = FullShowers(showers_of(CYLINDER))
    refused(
        tmp_path,
        data,
        r"patch \(3, 3, 1\) does not divide shape \(6, 4, 3\): along axis 1",
        ModelError,
        patch=(3, 3, 1),
    )
    uneven = FullShowers(showers_of(calochallenge_1_photons()))
    refused(
        tmp_path,
        uneven,
        "'calochallenge-1-photons' is no image, .*; for any layers take .*, caloflow-whole-laptop$",
        GeometryError,
    )
    assert not (tmp_path / "out/card.json").exists()


def test_a_training_at_one_energy(tmp_path: Path) -> None:
    showers = showers_of(CYLINDER)
    data = FullShowers(replace(showers, particles=Particles(torch.full((240,), 5e4))))
    model = train(recipe_of(), tmp_path / "out", data, description="")
    assert model.card.energy_range == (5e4, 5e4)
    assert (
        model.simulate(Particles(torch.full((3,), 5e4)), seed=0, strict=True)
        .deposits.isfinite()
        .all()
    )


@over_shapes
def test_a_student_is_saved_and_samples(tmp_path: Path, name: str) -> None:
    """In as many evaluations as the recipe says; a sampler chosen by hand follows the
    flow itself.
    """
    model = train(
        recipe_of(flowing(SHAPES[name], student=STUDENT)),
        tmp_path / "m",
        FullShowers(showers_of(CYLINDER)),
        description="",
    )
    calls: list[int] = []
    for network in (model.shape.network, model.shape.student):
        network.register_forward_hook(lambda module, *_: calls.append(id(module)))
    by_student = model.simulate(particles(16), seed=0).deposits
    assert calls == [id(model.shape.student)] * STUDENT.evaluations
    model.shape.sample_by(Steps(EULER, 3))
    assert not torch.equal(model.simulate(particles(16), seed=0).deposits, by_student)
    assert calls[STUDENT.evaluations :] == [id(model.shape.network)] * 3
