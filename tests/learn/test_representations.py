"""Representations: invertible, energy-conserving, fitted on purpose, safe for any numbers."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from caloforge import streams, zoo
from caloforge.errors import RepresentationWarning, ShowerValueError, TrainingError
from caloforge.geometry import RegularGrid
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import by_address
from caloforge.learn.representations import (
    EMPTY,
    REACH,
    Gaussianised,
    Representation,
    StandardisedShape,
    StandardisedSum,
    shower_sums,
)
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.simulators import pbwo4_gflash
from caloforge.units import GeV
from tests.learn.conditions import known

SAMPLES = ["pbwo4-geant4", "pbwo4-gflash"]


def sample(name: str) -> Showers:
    return zoo.bundled_showers(name)[:2000]


def fit(representation: Representation[torch.Tensor], showers: Showers) -> Gaussianised:
    return representation.fit(showers.deposits, Condition.of(showers))


def encoded(representation: Gaussianised, showers: Showers, seed: int = 0) -> torch.Tensor:
    key = streams.keys(seed, torch.arange(len(showers)), 0)
    noise = by_address(representation.noise(), key)
    return representation.encode(showers.deposits, Condition.of(showers), noise)


@pytest.fixture(scope="module", params=SAMPLES)
def fitted(request: pytest.FixtureRequest) -> tuple[Gaussianised, Showers]:
    showers = sample(request.param)
    return fit(Gaussianised(showers.calorimeter), showers), showers


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
def test_gaussianised_round_trip(fitted: tuple[Gaussianised, Showers]) -> None:
    """Filled cells come back to 1e-3, empty ones to less than what is empty where cells may be, and
    the sum to 1e-6.
    """
    representation, showers = fitted
    y = encoded(representation, showers)
    back = representation.decode(y, Condition.of(showers))
    inside = (y[:, :100].abs() < REACH) & (showers.deposits >= EMPTY)
    torch.testing.assert_close(back[inside], showers.deposits[inside], rtol=2e-3, atol=0)
    can_be_empty = representation.empty_logit[representation.orbits.orbit, 0].isfinite()
    assert (back[(showers.deposits < EMPTY) & can_be_empty] == 0).all()
    torch.testing.assert_close(back.sum(dim=1), showers.deposits.sum(dim=1), rtol=1e-6, atol=0)


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
def test_gaussianised_is_standard_normal_at_every_energy(
    fitted: tuple[Gaussianised, Showers],
) -> None:
    representation, showers = fitted
    y = encoded(representation, showers)
    for part in showers.energies.argsort().chunk(3):
        for group in representation.group.unique():
            like = y[part][:, representation.group == group]
            assert like.mean().abs() < 0.12
            assert like.std().item() == pytest.approx(1, abs=0.12)


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
def test_gaussianised_leaves_its_input_and_needs_no_more_than_its_state(
    fitted: tuple[Gaussianised, Showers],
) -> None:
    representation, showers = fitted
    before = showers.deposits.clone()
    y = encoded(representation, showers)
    assert torch.equal(showers.deposits, before)
    copy = Gaussianised(showers.calorimeter)
    copy.load_state_dict(representation.state_dict())
    assert torch.equal(encoded(copy, showers), y)
    assert not torch.equal(encoded(representation, showers, seed=1), y)


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
def test_gaussianised_commutes_with_the_symmetries(fitted: tuple[Gaussianised, Showers]) -> None:
    representation, showers = fitted
    filled = (showers.deposits >= EMPTY).all(dim=1)
    showers = showers[filled][:20]
    y = encoded(representation, showers)
    for image in showers.calorimeter.symmetries:
        turned = Showers(showers.deposits[:, image], showers.particles, showers.calorimeter)
        torch.testing.assert_close(
            encoded(representation, turned)[:, :100],
            y[:, :100][:, image],
            rtol=1e-5,
            atol=1e-5,
        )


@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
def test_gaussianised_core_may_be_one_cell() -> None:
    """Where the beam enters in the middle of a cell, the core has no width."""
    grid = RegularGrid("odd", (5, 5, 1), (30.0, 30.0, 240.0))
    simulator = replace(pbwo4_gflash(), calorimeter=grid)
    energies = torch.linspace(10, 100, 300) * GeV
    showers = simulator.simulate(Particles(energies), seed=1)
    representation = fit(Gaussianised(grid), showers)
    assert representation.core.sum() == 1
    back = representation.decode(encoded(representation, showers), Condition.of(showers))
    torch.testing.assert_close(back.sum(dim=1), showers.deposits.sum(dim=1), rtol=1e-6, atol=0)
    core = representation.core
    torch.testing.assert_close(back[:, core], showers.deposits[:, core], rtol=2e-3, atol=0)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0, 30), energy=st.floats(1e3, 1e6), seed=st.integers(0, 1000))
@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
def test_gaussianised_inverse_is_physical_for_any_numbers(
    fitted: tuple[Gaussianised, Showers], scale: float, energy: float, seed: int
) -> None:
    values = scale * torch.randn(8, 102, generator=torch.Generator().manual_seed(seed))
    energies = torch.full((8,), energy)
    deposits = fitted[0].decode(values, known(incident=energies))
    assert deposits.isfinite().all()
    assert (deposits >= 0).all()
    assert (deposits.sum(dim=1) <= energies * (1 + 1e-6)).all()


def test_gaussianised_counts_what_is_out_of_reach(fitted: tuple[Gaussianised, Showers]) -> None:
    values = torch.zeros(2, 102)
    values[1, 3] = 50.0
    with pytest.warns(
        RepresentationWarning,
        match="1 of 204 numbers of refined showers lie more than 6 standard deviations",
    ):
        fitted[0].decode(values, known(incident=torch.full((2,), 5e4)))


@pytest.mark.parametrize("name", SAMPLES)
def test_standardised_round_trip(name: str) -> None:
    showers = sample(name)
    condition, sums = Condition.of(showers), shower_sums(showers.deposits)
    shape = StandardisedShape(100).fit(showers.deposits, condition)
    total = StandardisedSum().fit(sums, condition)
    values, response = shape.encode(showers.deposits, condition), total.encode(sums, condition)
    torch.testing.assert_close(values.mean(dim=0), torch.zeros(100), atol=1e-4, rtol=0)
    torch.testing.assert_close(response.std(), torch.tensor(1.0), atol=1e-4, rtol=0)
    back = shape.decode(values, condition.given(total.decode(response, condition)[:, None]))
    torch.testing.assert_close(back, showers.deposits, rtol=1e-4, atol=0.5)
    torch.testing.assert_close(back.sum(dim=1), showers.deposits.sum(dim=1), rtol=1e-6, atol=0)


def test_a_cell_that_is_never_hit_stays_finite_and_empty() -> None:
    showers = sample("pbwo4-geant4")
    deposits = showers.deposits * (torch.arange(100) != 7)
    condition, sums = Condition.of(showers), shower_sums(deposits)
    shape = StandardisedShape(100).fit(deposits, condition)
    values = shape.encode(deposits, condition)
    assert values.isfinite().all()
    assert torch.equal(values[:, 7], torch.zeros(len(values)))
    back = shape.decode(values, condition.given(sums[:, None]))
    torch.testing.assert_close(back, deposits, rtol=1e-4, atol=0.5)


def test_a_response_that_never_varies_stays_finite() -> None:
    sums = torch.full((9,), 4e4, dtype=torch.float64)
    condition = known(incident=torch.full((9,), 5e4))
    total = StandardisedSum().fit(sums, condition)
    torch.testing.assert_close(total.decode(total.encode(sums, condition), condition), sums)


def test_gaussianised_refuses_cells_that_are_never_hit() -> None:
    showers = sample("pbwo4-geant4")
    corners = torch.ones(100)
    corners[[0, 9, 90, 99]] = 0
    with pytest.raises(
        TrainingError, match="cell 0 and those like it by symmetry have energy in 0"
    ):
        Gaussianised(showers.calorimeter).fit(showers.deposits * corners, Condition.of(showers))


@pytest.mark.parametrize("energy", [1e-3, 1.0, 50.0, 1e7, 1e12])
@pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")
def test_gaussianised_is_finite_at_any_energy(
    fitted: tuple[Gaussianised, Showers], energy: float
) -> None:
    condition = known(incident=torch.full((3,), energy))
    values = torch.tensor([-6.0, 0.0, 6.0])[:, None].expand(-1, 102)
    assert fitted[0].decode(values, condition).isfinite().all()


def test_a_shower_without_energy_is_an_error() -> None:
    showers = sample("pbwo4-geant4")[:5]
    dark = Showers(
        showers.deposits * torch.tensor([1.0, 1, 0, 1, 0])[:, None],
        showers.particles,
        showers.calorimeter,
    )
    with pytest.raises(
        ShowerValueError, match="2 of 5 showers have no energy in any cell, the first at index 2"
    ):
        StandardisedShape(100).fit(dark.deposits, Condition.of(dark))
