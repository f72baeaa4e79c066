"""Species, direction and place as conditions of a refiner."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from caloforge import zoo
from caloforge.errors import ShowerValueError, TrainingError
from caloforge.learn.conditions import Beam
from caloforge.models import Bridge, TrainingShowers, load_recipe, train
from caloforge.particles import ELECTRON, Particles
from caloforge.showers import Showers

pytestmark = pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")

PHOTON, PION = 22, 211
BEAM = Beam((ELECTRON, PHOTON), direction=True, place=True)
TINY = {"channels": "4", "blocks": "1", "condition": "8", "steps": "4", "validation": "100"}
NUMBER = 600


def sides() -> TrainingShowers:
    """Full and fast showers of the same particles, made to differ in all that a beam says."""
    random = torch.Generator().manual_seed(1)
    full = zoo.bundled_showers("pbwo4-geant4")[:NUMBER]
    fast = zoo.bundled_showers("pbwo4-gflash")[:NUMBER]
    particles = Particles(
        full.energies,
        torch.where(torch.rand(NUMBER, generator=random) < 0.5, ELECTRON, PHOTON),
        0.3 * torch.rand(NUMBER, generator=random),
        3 * torch.rand(NUMBER, generator=random),
        10 * torch.rand(NUMBER, 2, generator=random) - 5,
    )
    return TrainingShowers(
        *(replace(side, particles=particles, deposits=below(side, full)) for side in (full, fast))
    )


def below(showers: Showers, like: Showers) -> torch.Tensor:
    """Deposits that stay below the energies of other showers."""
    ratio = like.energies / showers.energies
    return showers.deposits * ratio[:, None]


@pytest.fixture(scope="module")
def data() -> TrainingShowers:
    return sides()


def trained(data: TrainingShowers, out: Path, beam: Beam) -> Bridge:
    recipe: Any = replace(load_recipe("squirels-fast", TINY), beam=beam)
    model = train(recipe, out, data, description="made up")
    assert isinstance(model, Bridge)
    return model


@pytest.fixture(scope="module")
def model(data: TrainingShowers, tmp_path_factory: pytest.TempPathFactory) -> Bridge:
    return trained(data, tmp_path_factory.mktemp("refiner") / "model", BEAM)


def test_a_refined_shower_depends_on_its_own_particle_alone(
    model: Bridge, data: TrainingShowers
) -> None:
    whole = model.refine(data.fast[:80], seed=2)
    part = model.refine(data.fast[7:30], seed=2, first_index=7)
    assert torch.equal(part.deposits, whole.deposits[7:30])
    assert whole.deposits.isfinite().all()
    assert whole.particles == data.fast[:80].particles


def test_species_direction_and_place_matter(model: Bridge, data: TrainingShowers) -> None:
    fast, model = data.fast[:40], deepcopy(model)
    given = fast.particles
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(3))
    assert given.theta is not None
    assert given.place is not None
    before = model.refine(fast, seed=1).deposits
    changes: list[dict[str, Any]] = [
        {"pdg": ELECTRON + PHOTON - torch.as_tensor(given.pdg)},
        {"theta": 0.3 - given.theta},
        {"place": -given.place},
    ]
    for change in changes:
        other = replace(fast, particles=replace(given, **change))
        assert not torch.allclose(model.refine(other, seed=1).deposits, before, rtol=1e-3)


def test_a_refiner_says_for_which_particles_it_is(model: Bridge, data: TrainingShowers) -> None:
    assert model.validity.species == (ELECTRON, PHOTON)
    pions = replace(data.fast, particles=replace(data.fast.particles, pdg=PION))
    with pytest.raises(ShowerValueError, match="have PDG number 211"):
        model.refine(pions, seed=1)


def test_both_sides_are_of_the_same_particles(data: TrainingShowers, tmp_path: Path) -> None:
    shuffled = TrainingShowers(data.full, data.fast[torch.arange(NUMBER).flip(0)])
    with pytest.raises(TrainingError, match="full and fast sample are of different particles"):
        trained(shuffled, tmp_path / "out", BEAM)


def test_a_refiner_that_is_not_told_refuses(data: TrainingShowers, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"enter at an angle.*'beam: \{direction: true\}'"):
        trained(data, tmp_path / "out", Beam(BEAM.species, place=True))
