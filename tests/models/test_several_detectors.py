"""One model of several detectors of a mesh, known by their matter."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caloforge.chain import describe, from_description
from caloforge.detector import Detector, EqualRings, Layers, Matter, Role, Slab
from caloforge.errors import GeometryMismatchError, ModelError, TrainingError
from caloforge.gun import Gun, LogUniform
from caloforge.models import FullShowers, InDetector, Surrogate, load, train
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.simulators import gflash_of
from caloforge.units import GeV
from tests.models import stages

RINGS = EqualRings(2, 20.0, 4)


def detector(name: str, absorber: float, active: float, cells: EqualRings = RINGS) -> Detector:
    """Six layers of lead and scintillator."""
    slabs = (
        Slab("G4_Pb", absorber, Role.ABSORBER),
        Slab("G4_POLYSTYRENE", active, Role.ACTIVE),
    )
    return Detector(name, (Layers(6, slabs, cells),), (400.0, 400.0))


THIN, THICK, MIDDLE = detector("thin", 10, 10), detector("thick", 10, 3), detector("mid", 10, 6)


def showers_in(one: Detector, n: int = 200, seed: int = 1) -> Showers:
    particles = Gun(n, LogUniform(1 * GeV, 10 * GeV), seed)[:]
    return gflash_of(one).simulate(particles, seed=seed)


@pytest.fixture(scope="module")
def data() -> FullShowers:
    return FullShowers.of_detectors([(showers_in(one), one) for one in (THIN, THICK)])


@pytest.fixture(scope="module")
def trained(data: FullShowers, tmp_path_factory: pytest.TempPathFactory) -> Surrogate:
    out = tmp_path_factory.mktemp("several") / "model"
    plan = stages.recipe_of(energy=stages.MASKED_ENERGIES, shape=stages.SHAPES["vision"])
    longer = replace(stages.SCHEDULE, epochs=40, batch_size=50, learning_rate=5e-3)
    recipe = replace(
        plan,
        beam=replace(plan.beam, detector=True),
        energy=replace(stages.MASKED_ENERGIES, schedule=longer),
    )
    train(recipe, out, data, description="GFlash in two detectors")
    model = load(out)
    assert isinstance(model, Surrogate)
    return model


def test_the_matter_of_one_material_is_its_own() -> None:
    block = Detector("block", (Layers(4, (Slab("G4_W", 7.0, Role.ACTIVE),), RINGS),), (400, 400))
    matter, tungsten = Matter.of(block), block.material("G4_W")
    assert matter.radiation_length == pytest.approx(tungsten.radiation_length)
    assert matter.moliere_radius == pytest.approx(tungsten.moliere_radius)
    assert matter.layer_depth == pytest.approx(7.0 / tungsten.radiation_length)
    assert matter.sampling_fraction == matter.response == 1


def test_the_matter_of_slabs_does_not_depend_on_how_they_are_cut() -> None:
    halves = tuple(Slab(s.material, s.thickness / 2, s.role) for s in THIN.layers[0].each_slab)
    fine = replace(THIN, layers=(Layers(12, halves, RINGS),))
    assert Matter.of(fine).radiation_length == pytest.approx(Matter.of(THIN).radiation_length)
    assert Matter.of(fine).layer_depth == pytest.approx(Matter.of(THIN).layer_depth / 2)


def test_deposits_divided_by_the_sampling_fraction_are_a_larger_response() -> None:
    calibrated = replace(THIN, sampling_fraction=0.1)
    assert Matter.of(calibrated).response == pytest.approx(10 * Matter.of(THIN).response)


def test_each_shower_knows_what_it_enters(data: FullShowers) -> None:
    matter = data.full.particles.matter
    assert matter is not None
    for rows, one in ((slice(0, 200), THIN), (slice(200, 400), THICK)):
        assert matter[rows].tolist() == torch.tensor(Matter.of(one).numbers).repeat(200, 1).tolist()
    assert [one.name for one in data.detectors] == ["thin", "thick"]


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
def test_a_model_learns_what_matter_does(trained: Surrogate) -> None:
    """The response of each detector."""
    particles = Gun(300, LogUniform(1 * GeV, 10 * GeV), 7)[:]
    for one in (THIN, THICK):
        made = InDetector.of(trained, one).simulate(particles, seed=2)
        assert made.calorimeter == one.calorimeter
        assert made.particles == particles
        found, expected = (
            float((s.deposits.sum(dim=1) / s.energies).mean()) for s in (made, showers_in(one))
        )
        assert found == pytest.approx(expected, rel=0.1)


def test_the_card_holds_the_detectors_of_the_training(trained: Surrogate) -> None:
    assert list(trained.card.detectors) == ["thin", "thick"]
    known = InDetector(trained, "thick", trained.card.detectors["thick"])
    assert known.was_trained
    assert not InDetector.of(trained, MIDDLE).was_trained
    assert known.calorimeter == THICK.calorimeter
    particles = Particles(torch.full((5,), 5e3))
    same = InDetector.of(trained, THICK).simulate(particles, seed=3)
    assert torch.equal(known.simulate(particles, seed=3).deposits, same.deposits)


def test_a_model_in_a_detector_is_described_and_made_again(trained: Surrogate) -> None:
    within = InDetector.of(trained, MIDDLE)
    again = from_description(describe(within))
    assert isinstance(again, InDetector)
    assert again.known == within.known
    assert again.name == "mid"


def test_which_detector_is_asked_for(trained: Surrogate) -> None:
    with pytest.raises(ModelError, match="what the particles enter is not known"):
        trained.simulate(Particles(torch.full((5,), 5e3)), seed=1)


def test_other_meshes_are_refused(trained: Surrogate) -> None:
    other = detector("other", 10, 3, EqualRings(2, 20.0, 8))
    with pytest.raises(GeometryMismatchError, match="'other' has another mesh than 'thin'"):
        InDetector.of(trained, other)
    with pytest.raises(GeometryMismatchError, match="'other' has another mesh than 'thin'"):
        FullShowers.of_detectors([(showers_in(one, 5), one) for one in (THIN, other)])


def test_a_sample_of_another_detector_is_refused() -> None:
    wide = detector("wide", 10, 3, EqualRings(2, 25.0, 4))
    with pytest.raises(GeometryMismatchError, match="detector 'wide'"):
        FullShowers.of_detectors([(showers_in(THIN, 5), wide)])


def test_two_detectors_of_one_name_are_refused() -> None:
    twin = replace(THICK, name="thin")
    with pytest.raises(TrainingError, match="two detectors have the name 'thin'"):
        FullShowers.of_detectors([(showers_in(one, 5), one) for one in (THIN, twin)])


def test_training_asks_for_what_the_recipe_says(tmp_path: Path) -> None:
    plan = stages.recipe_of()
    several = replace(plan, beam=replace(plan.beam, detector=True))
    with pytest.raises(TrainingError, match="the detectors of the training showers are not known"):
        train(several, tmp_path / "m", FullShowers(showers_in(THIN)), description="")


def test_a_model_of_one_detector_is_not_asked_for_another(tmp_path: Path) -> None:
    out = tmp_path / "model"
    model = train(stages.recipe_of(), out, FullShowers(showers_in(THIN)), description="")
    assert isinstance(model, Surrogate)
    with pytest.raises(ModelError, match="makes showers of calorimeter 'thin' alone"):
        InDetector.of(model, THICK)
