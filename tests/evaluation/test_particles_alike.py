"""Samples of other particles are not compared unless someone asks; equal ones always are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from caloforge.detector import load_detector
from caloforge.errors import ShowerValueError
from caloforge.evaluation import evaluate
from caloforge.evaluation.doubts import doubts
from caloforge.evaluation.particles_alike import differences
from caloforge.observables import RESPONSE
from caloforge.particles import Particles
from caloforge.units import GeV
from tests.evaluation.samples import QUICK, energies, toy

N = 300


def _drawn(seed: int, n: int = N, **changes: object) -> Particles:
    drawn = torch.rand(5, n, generator=torch.Generator().manual_seed(seed))
    given: dict[str, object] = {
        "energies": 10 ** (3 + 2 * drawn[0]),
        "pdg": torch.where(drawn[1] < 0.7, 11, 22),
        "theta": 0.7 * drawn[2],
        "phi": 6.28 * drawn[3],
        "place": 30 * drawn[3:5].T - 15,
    }
    return Particles(**{**given, **changes})  # type: ignore[arg-type]


def _differ(a: Particles, b: Particles, *, along_particle: bool = False) -> list[str]:
    sides = [(p, torch.ones(len(p), dtype=torch.float64).numpy()) for p in (a, b)]
    return differences(sides[0], sides[1], along_particle=along_particle)


def test_equal_particles_and_equal_distributions_pass() -> None:
    """At a level of one in a million, none of 200 pairs is refused."""
    assert _differ(_drawn(1), _drawn(1)) == []
    assert [k for k in range(200) if _differ(_drawn(2 * k), _drawn(2 * k + 1, n=200))] == []


def test_rounding_does_not_matter() -> None:
    a = Particles(torch.full((N,), 5e4), 11, torch.full((N,), 0.3))
    b = Particles(torch.full((N,), 5e4) * (1 + 2e-7), 11, torch.full((N,), 0.3 + 3e-8))
    assert _differ(a, b) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"energies": energies(N)}, "incident energies 10"),
        ({"pdg": 22}, "species gamma, not e-, gamma"),
        ({"pdg": torch.where(torch.arange(N) < N // 4, 11, 22)}, "shares of the species"),
        ({"theta": torch.zeros(N)}, "polar angles 0°, not 0"),
        ({"phi": torch.zeros(N)}, "azimuths"),
        ({"place": None}, "places"),
    ],
)
def test_what_differs_is_named(changes: dict[str, object], said: str) -> None:
    [found] = [one for one in _differ(_drawn(1), _drawn(2, **changes)) if one != "azimuths"] or [
        "azimuths"
    ]
    assert found.startswith(said)


def test_showers_of_weight_zero_count_for_nothing() -> None:
    a, b = Particles(energies(N), 11), Particles(energies(N, seed=2), 11)
    low, below = b.energies < 5e4, a[a.energies < 5e4]
    weights, ones = low.double().numpy(), np.ones(N)
    [found] = differences((a, ones), (b, weights), along_particle=False)
    assert found.startswith("incident energies 10.2 GeV to 49.8 GeV, not")
    assert differences((below, ones[: len(below)]), (b, weights), along_particle=False) == []


def test_equal_ranges_are_not_given_as_a_difference() -> None:
    flat = torch.linspace(1e3, 1e5, N)
    falling = torch.logspace(3, 5, N)
    said = _differ(Particles(flat, 11), Particles(falling, 11))
    assert said == ["another distribution of incident energies"]


def test_an_unknown_species_and_an_azimuth_without_meaning_pass() -> None:
    assert _differ(_drawn(1), _drawn(2, pdg=None)) == []
    assert _differ(_drawn(1), _drawn(2, phi=None), along_particle=True) == []
    assert load_detector("par04-siw").calorimeter.along_particle


def test_other_particles_are_refused_and_compared_where_asked() -> None:
    full, other = toy(energies(N)), toy(energies(N, 1 * GeV, 20 * GeV))
    with pytest.raises(ShowerValueError, match=r"energies 1.* not 10.*--like 'Full.*--other-part"):
        evaluate(full, {"a": other}, settings=QUICK)
    allowed = replace(QUICK, other_particles=True)
    tilted = replace(full, particles=Particles(full.energies, 11, torch.full((N,), 0.3)))
    found = evaluate(full, {"a": tilted}, observables=(RESPONSE,), settings=allowed)
    assert "polar angles 17.2°" in " ".join(one.text for one in doubts(found, found.candidates[0]))
