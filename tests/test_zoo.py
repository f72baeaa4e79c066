"""What comes with the package: whole, small, and as good as the cards say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from caloforge import zoo
from caloforge.detector import Matter, load_detector
from caloforge.errors import ModelError
from caloforge.evaluation import Evaluation, Settings, evaluate
from caloforge.geometry import Calorimeter, calochallenge_2, pbwo4_crystals
from caloforge.io import CaloChallengeFile
from caloforge.observables import centre_z
from caloforge.particles import Particles
from caloforge.simulators import pbwo4_gflash
from caloforge.species import ELECTRON, PHOTON

pytestmark = pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")

SURROGATES = {
    "caloclouds-laptop": 0.8,
    "calodream-ds2-laptop": 0.7,
    "caloflow-laptop": 0.8,
    "l2lflows-ds2-laptop": 0.8,
}
"""The AUC that each stays below, for the classifiers that `evaluate` takes by default."""

MESH = "calodream-mesh-laptop"
"""Of electrons and photons at any angle, in a mesh along the particle."""

FLOORS = 3
"""The distance that is close, in floors."""


def test_the_default_comes_first() -> None:
    others = sorted([*SURROGATES, MESH, "squirels-laptop"])
    assert zoo.names() == ("squirels-fast", *others)


def calorimeter_of(name: str) -> Calorimeter:
    if name == MESH:
        return load_detector("par04-siw").calorimeter
    return calochallenge_2() if name in SURROGATES else pbwo4_crystals()


@pytest.mark.parametrize("name", zoo.names())
def test_a_model_is_whole_and_its_card_tells_all(name: str) -> None:
    surrogate = name in {*SURROGATES, MESH}
    card, model = zoo.card(name), zoo.load_surrogate(name) if surrogate else zoo.load(name)
    assert model.card == card
    assert card.name == name
    assert card.energy_range == (1000.0 if surrogate else 10_000.0, 100_000.0)
    assert model.calorimeter == calorimeter_of(name)
    assert card.metrics
    assert all((card.summary, card.data, card.licence, card.sha256))


MADE = """
import torch
from caloforge import zoo
from caloforge.particles import Particles
model, particles = zoo.load_surrogate("calodream-ds2-laptop"), Particles(torch.logspace(3, 5, 20))
for threads, size in ((1, 20), (1, 7), (2, 20)):
    torch.set_num_threads(threads)
    parts = [
        model.simulate(particles[i : i + size], seed=1, first_index=i).deposits
        for i in range(0, 20, size)
    ]
    print(hash(torch.cat(parts).numpy().tobytes()))
"""


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="needs Intel's library")
def test_strict_kernels_give_the_same_bits_with_any_threads_and_batches() -> None:
    """As docs/theory/randomness.md says; without them two threads change the last bits."""
    sleepy = {"GOMP_SPINCOUNT": "0", "PYTHONHASHSEED": "0"}
    strict = os.environ | {"MKL_CBWR": "AVX2,STRICT"} | sleepy
    run = subprocess.run(
        [sys.executable, "-c", MADE], env=strict, capture_output=True, text=True, check=True
    )
    assert len(run.stdout.split()) == 3
    assert len(set(run.stdout.split())) == 1


@pytest.mark.parametrize("name", zoo.shower_names())
def test_bundled_showers_say_their_calorimeter_and_their_time(name: str) -> None:
    showers = zoo.bundled_showers(name)
    assert isinstance(showers, CaloChallengeFile)
    assert showers.calorimeter == (
        calochallenge_2() if name.startswith("par04") else pbwo4_crystals()
    )
    assert "calorimeter" in showers.attributes
    assert (showers.column("cpu_time_ms") > 0).all()
    assert showers[:].deposits.isfinite().all()


def test_all_that_is_bundled_is_small() -> None:
    files = [
        path
        for path in Path(zoo.__file__).parent.rglob("*")
        if path.suffix in {".h5", ".safetensors"}
    ]
    assert sum(path.stat().st_size for path in files) < 42_000_000


@pytest.mark.parametrize("call", [zoo.card, zoo.load, zoo.bundled_showers])
def test_an_unknown_name_is_answered_with_the_known(call: object) -> None:
    with pytest.raises(ModelError, match="'nonesuch': expected"):
        call("nonesuch")  # type: ignore[operator]


def compared(name: str, settings: Settings) -> Evaluation:
    full = zoo.bundled_showers(name)[:1000]
    refined = zoo.load("squirels-fast").refine(
        pbwo4_gflash().simulate(full.particles, seed=11), seed=12
    )
    return evaluate(full, {"refined": refined}, full_name="Geant4", settings=settings)


@pytest.mark.parametrize(
    "name", [name for name in zoo.shower_names() if name.startswith("pbwo4-geant4")]
)
def test_the_default_model_makes_geant4_of_gflash(name: str) -> None:
    evaluation = compared(name, Settings(classifiers=(), neighbour_showers=0, replicas=2))
    for observable, comparison in evaluation.comparisons["refined"].items():
        assert comparison.distance.ratio_to_floor < FLOORS, observable


def test_a_classifier_cannot_tell_them_apart() -> None:
    evaluation = compared(
        "pbwo4-geant4", Settings(trainings=2, replicas=2, splits=2, neighbour_showers=0)
    )
    for separation in evaluation.classifiers["refined"].values():
        assert separation.auc.value < 0.6


@pytest.mark.parametrize("name", SURROGATES)
def test_the_surrogate_makes_geant4_of_particles(name: str) -> None:
    full = zoo.bundled_showers("par04-geant4")[:]
    made = zoo.load_surrogate(name).simulate(full.particles, seed=13)
    settings = Settings(neighbour_showers=0, replicas=2, splits=2, trainings=2)
    evaluation = evaluate(full, {"made": made}, full_name="Geant4", settings=settings)
    for observable in ("response", "u_ratios"):
        assert evaluation.comparisons["made"][observable].distance.ratio_to_floor < FLOORS, (
            observable
        )
    for separation in evaluation.classifiers["made"].values():
        assert separation.auc.value < SURROGATES[name]


def test_photons_lie_deeper_than_electrons_by_the_length_of_their_conversion() -> None:
    """By 7/9 radiation lengths, to a third of one, if the same particles change their species."""
    model, n = zoo.load_surrogate(MESH), 400
    layer = Matter.of(load_detector("par04-siw")).layer_depth
    radiation_lengths = layer / model.calorimeter.known_thicknesses[0]
    theta = torch.linspace(0, 0.7, n)
    depths = []
    for pdg in (ELECTRON, PHOTON):
        particles = Particles(torch.logspace(3.5, 5, n), pdg, theta, torch.pi / 2 + 0 * theta)
        depths.append(centre_z(model.simulate(particles, seed=3)).mean() * radiation_lengths)
    assert float(depths[1] - depths[0]) == pytest.approx(7 / 9, abs=1 / 3)
