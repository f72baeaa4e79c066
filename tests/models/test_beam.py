"""Species, direction and place as conditions: over every stage and both encoders."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from caloforge import streams
from caloforge.errors import ModelError, ShowerValueError, TrainingError
from caloforge.hits import AnyShowers, Hits
from caloforge.learn.conditions import (
    Beam,
    BeamFeatures,
    Condition,
    Encoder,
    IncidentFeatures,
    LogEnergy,
)
from caloforge.learn.noise import by_address
from caloforge.models import FullShowers, Surrogate, load, recipe_of, train
from caloforge.models.stages import Stage, turned
from caloforge.observables import layer_energies
from caloforge.particles import ELECTRON, Particles
from caloforge.showers import Showers
from caloforge.units import deg
from tests.models import stages
from tests.models.beams import BEAM, BEAMS, PHOTON, PION, STAGES, particles, showers_of

INVARIANT = set(stages.ENERGIES)
"""Stages of what no turn changes."""
UNTOLD = {*INVARIANT, "latent"}
"""Stages whose losses do not tell, beyond rounding, how a particle was turned: that of codes does
not before it is trained.
"""

over_stages = pytest.mark.parametrize("name", STAGES)
over_beams = pytest.mark.parametrize("beam", BEAMS, ids=str)
over_encoders = pytest.mark.parametrize("encoder", [LogEnergy, IncidentFeatures])


@over_beams
@over_encoders
def test_an_encoder_gives_as_many_numbers_as_the_beam_is_wide(
    encoder: type[Encoder], beam: Beam
) -> None:
    condition = Condition(showers_of(beam).particles)
    values = encoder(beam).adapt(condition)(condition)  # type: ignore[call-arg]
    assert values.shape == (len(condition), beam.width)
    assert values.isfinite().all()
    assert values.square().mean() < 2


def test_features_of_a_turned_particle_are_the_turned_features() -> None:
    given = particles()
    encoder = BeamFeatures(BEAM).adapt(Condition(given))
    before = encoder(Condition(given))
    for matrix in stages.GRID.symmetry_matrices.double():
        after = encoder(Condition(given.rotated(matrix)))
        assert torch.equal(after[:, :-5], before[:, :-5])
        for pair in (slice(-4, -2), slice(-2, None)):
            turned_pair = (matrix.float() @ before[:, pair, None])[..., 0]
            torch.testing.assert_close(after[:, pair], turned_pair, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(after[:, -5], before[:, -5])


def test_augmentation_turns_the_particle_with_its_shower() -> None:
    """A shower whose only hit lies where its particle flies to stays so."""
    calorimeter = stages.CYLINDER
    x, y = calorimeter.transverse.double().T
    cell = torch.arange(calorimeter.n_cells)[x.hypot(y) > 0.5]
    deposits = torch.zeros(len(cell), calorimeter.n_cells)
    deposits[torch.arange(len(cell)), cell] = 1.0
    aimed = Particles(torch.full((len(cell),), 1e3), theta=x[cell], phi=torch.atan2(y, x)[cell])
    made = turned(Showers(deposits, aimed, calorimeter), torch.Generator().manual_seed(1))
    hit = made.deposits.argmax(dim=1)
    assert not torch.equal(hit, cell)
    assert made.particles.phi is not None
    off = made.particles.phi.double() - torch.atan2(y, x)[hit]
    assert off.sin().abs().max() < 1e-5
    assert off.cos().min() > 0


def built(name: str, beam: Beam) -> tuple[Stage, Showers]:
    torch.manual_seed(0)
    stage, showers = (
        {**STAGES, **stages.CLOUDS}[name].build(stages.CYLINDER, beam),
        showers_of(beam),
    )
    stage.prepare(showers if stage.learns_from is Showers else Hits.of(showers))
    for parameter in stage.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return stage.eval(), showers


def sampled(stage: Stage, condition: Condition) -> Tensor:
    keys = streams.keys(1, torch.arange(len(condition)), 65)
    with torch.no_grad():
        return stage.sample(condition, by_address(stage.noise(), keys))


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
@over_stages
@pytest.mark.parametrize("beam", [BEAMS[1], BEAM], ids=["energy", "all"])
def test_a_stage_learns_and_samples(name: str, beam: Beam) -> None:
    stage, showers = built(name, beam)
    for objective in stage.objectives(showers, showers[:40], 1, 0)[:1]:
        assert objective.validation is not None
        assert math.isfinite(objective.validation())
    made = sampled(stage, Condition.of(showers)[:16])
    assert made.isfinite().all()
    assert (made >= 0).all()


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
@over_stages
@pytest.mark.parametrize("what", ["species", "direction", "place", "detector"])
def test_a_sample_depends_on_what_the_beam_says(name: str, what: str) -> None:
    stage, showers = built(name, BEAM)
    condition = Condition.of(showers)[:32]
    known = condition.particles
    assert known.theta is not None
    assert known.place is not None
    assert known.matter is not None
    others: dict[str, dict[str, Any]] = {
        "species": {"pdg": ELECTRON + PHOTON - torch.as_tensor(known.pdg)},
        "direction": {"theta": known.theta + 0.3},
        "place": {"place": known.place + 2.0},
        "detector": {"matter": 2 * known.matter},
    }
    other = replace(condition, particles=replace(known, **others[what]))
    assert not torch.allclose(sampled(stage, condition), sampled(stage, other), rtol=1e-4)


def test_a_species_that_is_not_known_is_asked_for() -> None:
    encoder = LogEnergy(BEAM).adapt(Condition(particles()))
    with pytest.raises(ModelError, match="the species of the particles is not known"):
        encoder(Condition(replace(particles(), pdg=None)))
    with pytest.raises(ModelError, match="species 211: expected one that the model was trained on"):
        encoder(Condition(replace(particles(), pdg=PION)))
    with pytest.raises(ModelError, match="what the particles enter is not known"):
        encoder(Condition(replace(particles(), matter=None)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Surrogate:
    out = tmp_path_factory.mktemp("beam") / "model"
    recipe = replace(stages.recipe_of(), beam=BEAM)
    model = train(recipe, out, FullShowers(showers_of(BEAM)), description="made up")
    assert isinstance(model, Surrogate)
    return model


def test_the_card_says_for_which_particles_a_model_is(trained: Surrogate) -> None:
    assert trained.directory is not None
    read = load(trained.directory)
    recipe: Any = recipe_of(read.card)
    assert recipe.beam == BEAM
    assert asdict(recipe)["beam"]["species"] == (ELECTRON, PHOTON)
    validity = read.validity
    assert validity.species == (ELECTRON, PHOTON)
    given = showers_of(BEAM).particles
    assert given.theta is not None
    assert given.place is not None
    assert float(given.theta.max()) <= validity.largest_angle <= float(given.theta.max()) + deg
    assert float(given.place.norm(dim=1).max()) <= validity.largest_offset < 6


def test_a_shower_depends_on_its_own_particle_alone(trained: Surrogate) -> None:
    given = particles(40)
    whole = trained.simulate(given, seed=2)
    part = trained.simulate(given[7:20], seed=2, first_index=7)
    assert torch.equal(part.deposits, whole.deposits[7:20])
    assert whole.particles == given


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pdg": PION}, r"have PDG number 211, the first .* expected e- \(11\) or gamma \(22\)"),
        ({"theta": torch.full((5,), 0.9)}, "enter at an angle of 51.57 deg.*at most 4[01] deg"),
        ({"place": torch.full((5, 2), 9.0)}, "enter 12.7279 mm off the centre.*at most"),
    ],
)
def test_particles_outside_the_training_are_refused(
    trained: Surrogate, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ShowerValueError, match=message):
        trained.simulate(replace(particles(5), **changes), seed=1)


@pytest.mark.parametrize(
    ("beam", "message"),
    [
        (Beam(BEAM.species, place=True), "enter at an angle.*'beam: {direction: true}'"),
        (Beam(BEAM.species, direction=True), "enter off the centre.*'beam: {place: true}'"),
        (replace(BEAM, species=()), r"is of gamma, e-|is of e-, gamma.*'beam: {species: \[e-"),
        (replace(BEAM, species=(ELECTRON, PION)), r"expected e- and pi\+"),
    ],
)
def test_showers_that_differ_in_what_the_recipe_does_not_say_are_refused(
    tmp_path: Path, beam: Beam, message: str
) -> None:
    recipe = replace(stages.recipe_of(), beam=beam)
    with pytest.raises(TrainingError, match=message):
        train(recipe, tmp_path / "out", FullShowers(showers_of(BEAM)), description="made up")


def test_turned_showers_keep_the_energies_of_their_layers() -> None:
    showers = showers_of(BEAM)
    made = turned(showers, torch.Generator().manual_seed(2))
    torch.testing.assert_close(layer_energies(made), layer_energies(showers))


def losses(stage: Stage) -> list[Callable[[Any, torch.Generator], Tensor]]:
    """All that a stage learns by; flows of single layers by that of the first."""
    found = [getattr(stage, name, None) for name in ("loss", "code_loss")]
    bound = [one for one in found if one is not None]
    return [partial(one, 0) if len(signature(one).parameters) > 2 else one for one in bound]


def over_all_turns(stage: Stage, showers: AnyShowers) -> list[float]:
    """The sum of each loss over all turns of the showers, with the same random numbers."""
    number = len(showers.calorimeter.symmetries)
    turns = [showers.turned(torch.full((len(showers),), k)) for k in range(number)]
    with torch.no_grad():
        return [
            sum(float(loss(turn, torch.Generator().manual_seed(5))) for turn in turns)
            for loss in losses(stage)
        ]


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
@pytest.mark.parametrize("name", [*STAGES, *stages.CLOUDS])
def test_what_a_stage_learns_does_not_depend_on_how_a_shower_was_turned(name: str) -> None:
    r"""Over all turns g, :math:`\sum_g L(g x, g c)` is the same for (x, c) and for (h x, h c): in
    training, a condition turns with its shower, in every stage.
    """
    stage, dense = built(name, BEAM)
    some = dense[:24] if stage.learns_from is Showers else Hits.of(dense[:24])
    once = some.turned(torch.arange(24) % len(stages.CYLINDER.symmetries))
    assert over_all_turns(stage, once) == pytest.approx(over_all_turns(stage, some), rel=1e-5)
    lost = replace(once, particles=some.particles)
    if name not in UNTOLD:
        assert over_all_turns(stage, lost) != pytest.approx(over_all_turns(stage, some), rel=1e-5)
