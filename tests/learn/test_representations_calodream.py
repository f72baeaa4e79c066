"""CaloDREAM's representations: inverted they give the shower back, layers keep their energy,
moments are those of all images.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import Condition, LogEnergy
from caloforge.learn.representations import (
    LayerRatios,
    LayerShares,
    Standardisation,
    inverse_logit,
    logit,
)
from caloforge.learn.representations.layers import layer_energies_of
from caloforge.learn.representations.voxels import layer_sums, shares_of
from caloforge.learn.symmetry import Orbits
from caloforge.observables import layer_energies
from caloforge.observables.energies import energy_ratios
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.catalogue import CALORIMETERS, name_of
from tests.learn.conditions import known

ALPHA = 1e-6
CUT = 1e-7
SCALE = 1 / 0.35

over_calorimeters = pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
any_seed = given(seed=st.integers(0, 2**31))
few_examples = settings(max_examples=6)


def random_showers(calorimeter: Calorimeter, seed: int, n: int = 24) -> Showers:
    """Showers with empty cells, layers with one cell and with none, and up to twice as much energy
    as their particle.
    """
    random = torch.Generator().manual_seed(seed)
    deposits = 10 ** (3 * torch.rand(n, calorimeter.n_cells, generator=random) - 1)
    deposits *= torch.rand(deposits.shape, generator=random) < torch.rand(n, 1, generator=random)
    lit = torch.rand(n, calorimeter.n_layers, generator=random) < 0.8
    deposits *= lit[:, calorimeter.layer_of_cell]
    lone = int(torch.randint(calorimeter.n_cells, (), generator=random))
    deposits[: n // 4] *= (calorimeter.layer_of_cell != calorimeter.layer_of_cell[lone]) | (
        torch.arange(calorimeter.n_cells) == lone
    )
    deposits[:, lone] += 0.2
    energies = deposits.double().sum(dim=1).float() * (0.5 + 2 * torch.rand(n, generator=random))
    return Showers(deposits, Particles(energies), calorimeter)


def fitted(showers: Showers, cut: float = CUT) -> LayerShares:
    return LayerShares(showers.calorimeter, cut).fit(showers.deposits, Condition.to_fit(showers))


def seen(shares: LayerShares, showers: Showers) -> Tensor:
    return shares.encode(showers.deposits, known())


@given(
    x=st.lists(st.floats(0, 1), min_size=1, max_size=20),
    alpha=st.sampled_from([1e-8, 1e-6, 1e-2, 0.3]),
)
def test_logit_round_trip(x: list[float], alpha: float) -> None:
    numbers = torch.tensor(x, dtype=torch.float64)
    y = logit(numbers, alpha)
    assert (y.abs() <= math.log((1 - alpha) / alpha) * (1 + 1e-9)).all()
    torch.testing.assert_close(inverse_logit(y, alpha), numbers, rtol=0, atol=1e-12)


def test_logit_is_that_of_the_paper() -> None:
    """Eq. 3 by hand: at the middle 0, at the ends the logit of the regularisation, odd about the
    middle.
    """
    y = logit(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]), ALPHA)
    end = math.log(ALPHA / (1 - ALPHA))
    torch.testing.assert_close(
        y, torch.tensor([end, -math.log(3), 0.0, math.log(3), -end]).double(), rtol=1e-5, atol=1e-9
    )
    assert torch.equal(
        inverse_logit(torch.tensor([-50.0, 50.0]), ALPHA), torch.tensor([0.0, 1.0]).double()
    )


@given(energies=st.lists(st.floats(1.0, 1e7), min_size=1, max_size=20))
def test_log_energy_is_in_the_unit_interval_on_its_sample(energies: list[float]) -> None:
    sample = torch.tensor(energies)
    scaled = LogEnergy().adapt(known(incident=sample))(known(incident=sample))
    assert scaled.shape == (len(energies), 1)
    assert ((scaled >= 0) & (scaled <= 1)).all()
    assert scaled.min() == 0


def test_log_energy_by_hand() -> None:
    log_energy = LogEnergy().adapt(known(incident=torch.tensor([1e3, 1e6, 2e4])))
    values = log_energy(known(incident=torch.tensor([1e3, 1e4, 1e6, 1e7])))[:, 0]
    torch.testing.assert_close(values, torch.tensor([0.0, 1 / 3, 1.0, 4 / 3]))


@given(seed=st.integers(0, 2**31), offset=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3))
@settings(max_examples=20)
def test_standardisation(seed: int, offset: float, scale: float) -> None:
    """Mean 0 and variance 1 on its sample, whatever the sample; a constant number becomes 0."""
    x = offset + scale * torch.randn(
        50, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    x[:, 3] = offset
    standardisation = Standardisation(4).adapt(x)
    y = standardisation(x)
    torch.testing.assert_close(y.mean(dim=0), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.std(dim=0), torch.tensor([1.0, 1, 1, 0]), rtol=0, atol=1e-5)
    torch.testing.assert_close(standardisation.inverse(y), x, rtol=1e-6, atol=1e-5 * scale)


def test_moments_of_parts_are_those_of_the_whole() -> None:
    x = 50 + torch.randn(103, 4) * torch.tensor([1.0, 10, 0.1, 0])
    whole, parts = Standardisation(4).adapt(x), Standardisation(4).adapt_parts(x.split(10))
    for found, expected in (
        (parts.mean, x.double().mean(dim=0)),
        (parts.width[:3], x.double().std(dim=0)[:3]),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(whole.mean, parts.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(whole.width, parts.width, rtol=1e-12, atol=0)


def test_moments_of_all_images_are_those_of_the_images_side_by_side() -> None:
    """A number that never changes counts with no width, not with the width 1 that it would have
    alone.
    """
    x = torch.randn(2000, 5, dtype=torch.float64) * torch.tensor(
        [3.0, 1, 0.1, 0, 0]
    ) + torch.tensor([1.0, 2, 3, 4, 5])
    images = torch.tensor([[0, 1, 2, 3, 4], [1, 0, 3, 2, 4]])
    pooled = Standardisation(5).adapt(x, images)
    side_by_side = Standardisation(5).adapt(torch.cat([x[:, image] for image in images]))
    torch.testing.assert_close(pooled.mean, side_by_side.mean)
    torch.testing.assert_close(pooled.width, side_by_side.width, rtol=1e-3, atol=0)
    assert torch.equal(pooled.width[images[1]], pooled.width)


@over_calorimeters
@few_examples
@any_seed
def test_ratios_round_trip(calorimeter: Calorimeter, seed: int) -> None:
    showers = random_showers(calorimeter, seed)
    energies, incident = layer_energies(showers), showers.energies
    total = energies.sum(dim=1, keepdim=True)
    exact = layer_energies_of(energy_ratios(energies, incident, SCALE), incident, SCALE)
    assert ((exact - energies).abs() <= 1e-11 * total).all()
    condition = Condition.of(showers)
    ratios = LayerRatios(calorimeter.n_layers, SCALE).fit(energies, condition)
    back = ratios.decode(ratios.encode(energies, condition), condition)
    assert ((back - energies).abs() <= 1e-4 * total).all()


@given(seed=st.integers(0, 2**31), layers=st.integers(1, 45), spread=st.floats(0.1, 100))
def test_any_ratios_conserve_the_energy(seed: int, layers: int, spread: float) -> None:
    """The sum over the layers is what the first ratio says, whatever the others are; no layer is
    below 0.
    """
    random = torch.Generator().manual_seed(seed)
    ratios = spread * torch.randn(30, layers, generator=random, dtype=torch.float64) + 0.5
    incident = 1e3 + 1e6 * torch.rand(30, generator=random)
    energies = layer_energies_of(ratios, incident, SCALE)
    assert (energies >= 0).all()
    total = SCALE * incident.double() * ratios[:, 0].clamp_min(0)
    torch.testing.assert_close(energies.sum(dim=1), total, rtol=1e-12, atol=0)


@over_calorimeters
@few_examples
@given(seed=st.integers(0, 2**31), spread=st.floats(0, 1e4))
def test_any_numbers_are_energies_of_layers(
    calorimeter: Calorimeter, seed: int, spread: float
) -> None:
    showers = random_showers(calorimeter, seed)
    condition = Condition.of(showers)
    ratios = LayerRatios(calorimeter.n_layers, SCALE).fit(condition.layer_energies, condition)
    values = spread * torch.randn(
        len(showers), calorimeter.n_layers, generator=torch.Generator().manual_seed(seed)
    )
    energies = ratios.decode(values, condition)
    assert energies.isfinite().all()
    assert (energies >= 0).all()
    assert (energies.sum(dim=1) <= SCALE * showers.energies.double() * (1 + 1e-9)).all()


@over_calorimeters
@few_examples
@any_seed
def test_shares_round_trip(calorimeter: Calorimeter, seed: int) -> None:
    """Deposits come back, the least one too; empty cells stay empty."""
    showers = random_showers(calorimeter, seed)
    shares = fitted(showers)
    back = shares.decode(seen(shares, showers), Condition.of(showers))
    torch.testing.assert_close(back, showers.deposits, rtol=2e-4, atol=0)
    assert torch.equal(back == 0, showers.deposits == 0)


@over_calorimeters
@few_examples
@any_seed
def test_shares_of_a_layer_add_up_to_one(calorimeter: Calorimeter, seed: int) -> None:
    showers = random_showers(calorimeter, seed)
    shares = shares_of(showers.deposits, calorimeter.layer_of_cell, calorimeter.n_layers)
    assert ((shares >= 0) & (shares <= 1 + 1e-12)).all()
    lit = (layer_energies(showers) > 0).double()
    torch.testing.assert_close(
        layer_sums(shares, calorimeter.layer_of_cell, calorimeter.n_layers), lit
    )


@over_calorimeters
@few_examples
@given(
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([0.0, 0.3, 3.0, 100.0]),
    cut=st.sampled_from([0.0, CUT, 0.3]),
)
def test_any_numbers_keep_the_energy_of_a_layer(
    calorimeter: Calorimeter, seed: int, spread: float, cut: float
) -> None:
    """Up to what falls below the threshold; nothing is left between it and 0."""
    showers = random_showers(calorimeter, seed)
    shares, energies = fitted(showers, cut), layer_energies(showers)
    values = spread * torch.randn(
        showers.deposits.shape, generator=torch.Generator().manual_seed(seed)
    )
    deposits = shares.decode(values, known(layers=energies))
    assert deposits.isfinite().all()
    assert (deposits[deposits != 0] >= shares.threshold * (1 - 1e-6)).all()
    left = energies - layer_sums(deposits, calorimeter.layer_of_cell, calorimeter.n_layers)
    below = (
        layer_sums((deposits == 0).double(), calorimeter.layer_of_cell, calorimeter.n_layers)
        * shares.threshold
    )
    assert (left.abs() <= below + 1e-6 * energies).all()


def test_a_layer_without_a_share_above_the_cut_keeps_its_energy() -> None:
    """In the cell that comes nearest."""
    showers = random_showers(CALORIMETERS[3], 3)
    shares, layers = fitted(showers), showers.calorimeter.layer_of_cell
    faint = shares.standardisation(
        torch.full_like(showers.deposits.double(), 2 * logit(torch.zeros(1), ALPHA).item())
    )
    nearest = int((layers == 1).nonzero()[5, 0])
    faint[:, nearest] += 1e-3
    energies = torch.full((len(showers), showers.calorimeter.n_layers), 50.0, dtype=torch.float64)
    deposits = shares.decode(faint, known(layers=energies))
    assert (deposits[:, nearest] == 50).all()
    assert (deposits[:, layers == 1].count_nonzero(dim=1) == 1).all()


@over_calorimeters
@settings(max_examples=2)
@any_seed
def test_moments_are_those_of_the_sample_seen_from_all_sides(
    calorimeter: Calorimeter, seed: int
) -> None:
    """Over all cells of an orbit: mean 0, and mean square 1 or, if they never change, 0."""
    showers = random_showers(calorimeter, seed, n=200)
    shares, orbits = fitted(showers), Orbits(calorimeter.symmetries)
    values = seen(shares, showers).double()
    cells = torch.bincount(orbits.orbit).double()
    mean, square = (
        torch.zeros_like(cells).index_add_(0, orbits.orbit, x.mean(dim=0)) / cells
        for x in (values, values.square())
    )
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-4)
    torch.testing.assert_close(square, (square > 0.5).double(), rtol=0, atol=0.02)
    for moment in (shares.standardisation.mean, shares.standardisation.width):
        assert torch.allclose(moment[calorimeter.symmetries], moment, rtol=1e-12)


@over_calorimeters
def test_shares_commute_with_the_symmetries(calorimeter: Calorimeter) -> None:
    showers = random_showers(calorimeter, 5, n=10)
    shares = fitted(showers)
    values = seen(shares, showers)
    for image in calorimeter.symmetries[:8]:
        turned = Showers(showers.deposits[:, image], showers.particles, calorimeter)
        torch.testing.assert_close(seen(shares, turned), values[:, image], rtol=1e-5, atol=1e-5)
