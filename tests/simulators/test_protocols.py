"""Simulators and refiners: one signature, and a shower that depends on nothing but its address."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from caloforge.errors import CaloforgeError, EnergyRangeError, EnergyRangeWarning, ShowerValueError
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.simulators import Refiner, Simulator, Validity
from tests.geant4 import actor
from tests.makers import REFINERS, SIMULATORS, electrons, fast_showers

__all__ = ["actor"]

Made = Callable[..., Showers]

pytestmark = pytest.mark.usefixtures("actor")


@pytest.fixture(params=[*SIMULATORS, *REFINERS])
def maker(request: pytest.FixtureRequest) -> Simulator | Refiner:
    """Each simulator and each refiner."""
    return (SIMULATORS | REFINERS)[request.param]()


def verb(maker: Simulator | Refiner) -> Made:
    return maker.simulate if isinstance(maker, Simulator) else maker.refine


def material(maker: Simulator | Refiner) -> Particles | Showers:
    return electrons() if isinstance(maker, Simulator) else fast_showers()


def test_all_have_one_signature(maker: Simulator | Refiner) -> None:
    """`seed` has no default; what one of them takes beside the protocol has one."""
    assert isinstance(maker, Simulator) != isinstance(maker, Refiner)
    protocol = Simulator.simulate if isinstance(maker, Simulator) else Refiner.refine
    expected = list(inspect.signature(protocol).parameters.values())[1:]
    found = list(inspect.signature(verb(maker)).parameters.values())
    named = {parameter.name: parameter for parameter in found}
    assert found[0].name == expected[0].name
    for parameter in expected[1:]:
        assert named[parameter.name] == parameter
    beside = set(named) - {parameter.name for parameter in expected}
    assert all(named[name].default is not inspect.Parameter.empty for name in beside)


@pytest.mark.parametrize("size", [1, 8, 20])
def test_a_shower_is_the_same_in_any_batch(maker: Simulator | Refiner, size: int) -> None:
    given, make = material(maker), verb(maker)
    whole = make(given, seed=3, first_index=7)
    starts = range(0, len(given), size)
    parts = Showers.cat([make(given[k : k + size], seed=3, first_index=7 + k) for k in starts])
    assert torch.equal(parts.deposits, whole.deposits)
    assert (whole.weights is None) == (parts.weights is None)
    if whole.weights is not None and parts.weights is not None:
        assert torch.equal(parts.weights, whole.weights)
    assert whole.calorimeter == maker.calorimeter
    assert torch.equal(whole.energies, electrons().energies)


def test_the_seed_and_the_index_matter(maker: Simulator | Refiner) -> None:
    given, make = material(maker), verb(maker)
    made = [make(given, seed=s, first_index=i) for s, i in ((3, 0), (4, 0), (3, 1))]
    numbers = [shower.deposits if shower.weights is None else shower.weights for shower in made]
    assert not any(torch.equal(numbers[0], other) for other in numbers[1:])


def test_progress_adds_up(maker: Simulator | Refiner) -> None:
    finished: list[int] = []
    verb(maker)(material(maker), seed=1, progress=finished.append)
    assert sum(finished) == len(electrons())
    assert min(finished) > 0


def test_no_particles_make_no_showers(maker: Simulator | Refiner) -> None:
    empty = material(maker)[:0]
    assert len(verb(maker)(empty, seed=1)) == 0


def changed(maker: Simulator | Refiner, particles: Particles) -> Particles | Showers:
    if isinstance(maker, Simulator):
        return particles
    return replace(fast_showers(len(particles)), particles=particles)


@pytest.mark.parametrize("name", SIMULATORS)
def test_what_a_simulator_is_not_made_for_it_refuses(name: str) -> None:
    maker = SIMULATORS[name]()
    validity, energies = maker.validity, electrons(3).energies
    if validity.species:
        with pytest.raises(CaloforgeError, match="PDG number 2212"):
            maker.simulate(Particles(energies, 2212), seed=1)
    steep = torch.full((3,), validity.largest_angle + 0.01)
    with pytest.raises(ShowerValueError):
        maker.simulate(Particles(energies, theta=steep, phi=torch.zeros(3)), seed=1)


@pytest.mark.parametrize("beyond", ["below", "above"])
def test_energies_outside_are_an_error_or_a_warning(
    maker: Simulator | Refiner, beyond: str
) -> None:
    validity = maker.validity
    energy = validity.lowest / 1.1 if beyond == "below" else validity.highest * 1.1
    if not 0 < energy < torch.inf:
        pytest.skip("made for all energies")
    given = changed(maker, Particles(torch.full((3,), energy)))
    either = (EnergyRangeError, EnergyRangeWarning)
    with pytest.raises(either, match="3 of 3 incident energies"):
        verb(maker)(given, seed=1)


def test_at_the_ends_of_their_range_all_work(maker: Simulator | Refiner) -> None:
    validity = maker.validity
    ends = [max(validity.lowest, 1.0), min(validity.highest, 1e7)]
    made = verb(maker)(changed(maker, Particles(torch.tensor(ends, dtype=torch.float64))), seed=1)
    assert made.deposits.isfinite().all()


def test_two_ranges_have_in_common_what_is_in_both() -> None:
    one, other = Validity(1.0, 10.0, (11, 22), 0.3), Validity(2.0, 20.0, (-11, 11), 0.1)
    assert one & other == other & one == Validity(2.0, 10.0, (11,), 0.1)
    assert one & Validity() == one
    with pytest.raises(ShowerValueError, match="no species"):
        one & Validity(species=(211,))


SIMULATES = """
import sys, torch
from caloforge.particles import Particles
from caloforge.simulators import pbwo4_gflash
pbwo4_gflash().simulate(Particles(torch.full((1,), 5e4)), seed=1)
sys.exit("particle" in sys.modules)
"""


def test_particles_that_fit_cost_no_table_of_all_species() -> None:
    """Names are for messages: the table takes half a second to read."""
    subprocess.run([sys.executable, "-c", SIMULATES], check=True)
