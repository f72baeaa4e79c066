"""The moments of the energy estimate: those of the expected deposits, and of many drawn showers."""

import pytest
import torch

from caloforge.detector import load_detector
from caloforge.particles import Particles
from caloforge.simulators import gflash_of
from caloforge.simulators.gflash.energy_moments import _constants, energy_moments, sections_of
from caloforge.simulators.gflash.longitudinal import increments
from caloforge.simulators.gflash.parametrisation import profile

ENERGIES = torch.tensor([1e4, 5e4], dtype=torch.float64)


@pytest.mark.parametrize("name", ["ild-ecal-30", "hgcal-si", "par04-siw"])
def test_the_constants_are_those_of_the_medium(name: str) -> None:
    detector = load_detector(name)
    found, medium = _constants(sections_of(detector)), gflash_of(detector).medium.constants
    for field in ("z", "radiation_length", "critical_energy", "period", "mismatch"):
        assert float(getattr(found, field)) == pytest.approx(getattr(medium, field), rel=1e-12)


def test_the_mean_is_the_sum_of_the_expected_deposits() -> None:
    """But for what falls beside the cells, and the last 100 MeV of a shower."""
    detector = load_detector("par04-siw")
    simulator = gflash_of(detector)
    whole = simulator.mean(Particles(ENERGIES), nodes=7).sum(1) / ENERGIES
    mean = energy_moments(sections_of(detector), ENERGIES).mean
    assert (mean > whole).all()
    torch.testing.assert_close(mean, whole, rtol=0.03, atol=0)


def test_the_variances_are_those_of_many_showers() -> None:
    detector = load_detector("ild-ecal-30")
    sections, simulator = sections_of(detector), gflash_of(detector)
    moments = energy_moments(sections, ENERGIES, nodes=11)
    z = torch.randn(40_000, 2, dtype=torch.float64)
    edges = torch.tensor([0.0, *simulator.depths], dtype=torch.float64).cumsum(0)
    for energy, leaking, mean in zip(ENERGIES, moments.leaking, moments.mean, strict=True):
        incident = energy.expand(len(z), 1)
        shower = profile(_constants(sections), simulator.used_tuning, incident, z)
        held = increments(shower.alpha, shower.maximum, edges).sum(1)
        assert float(held.mean()) == pytest.approx(float(mean), rel=2e-3)
        assert float(held.std()) == pytest.approx(float(leaking) ** 0.5, rel=0.1)


def test_sampling_alone_goes_as_the_root_of_the_energy() -> None:
    sections = sections_of(load_detector("par04-siw"))
    energies = torch.tensor([1e3, 4e3], dtype=torch.float64)
    low, high = energy_moments(sections, energies).spread(1.0)
    assert float(low / high) == pytest.approx(2.0, rel=0.01)
