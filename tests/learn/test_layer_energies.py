"""Energies of layers, as they are and as softened ratios: they come back, and made-up numbers stand
for energies as well.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.learn.conditions import Condition, IncidentFeatures, LayerFeatures
from caloforge.learn.representations import LayerEnergies, SoftRatios, inverse_logit
from tests.learn.conditions import known

LAYERS, FAINTEST, NOISE = 5, 0.01515, 1e-3


def made_up(n: int, seed: int = 1) -> Tensor:
    """The energies of layers, a fifth of them without."""
    random = torch.Generator().manual_seed(seed)
    energies = FAINTEST * 10 ** (5 * torch.rand(n, LAYERS, generator=random, dtype=torch.float64))
    return energies * (torch.rand(n, LAYERS, generator=random) < 0.8)


def normals(n: int, seed: int = 2) -> Tensor:
    return torch.randn(
        n, LAYERS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@pytest.fixture(scope="module")
def layer_energies() -> LayerEnergies:
    return LayerEnergies(LAYERS).fit(made_up(2000), known())


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_energies_come_back(layer_energies: LayerEnergies, seed: int) -> None:
    energies = made_up(100, seed)
    bright = energies.clamp_max(float(layer_energies.scale) - 2 * NOISE)
    n = normals(100, seed)
    for noise in (n, torch.zeros_like(n)):
        back = layer_energies.decode(
            layer_energies.encode(bright, known(), {"smear": noise}), known()
        )
        assert back.dtype == torch.float64
        assert ((back - bright).abs() <= 0.2 * NOISE * noise.abs() + 2e-5 * bright + 1e-7).all()
        assert torch.equal(back == 0, bright == 0)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), spread=st.sampled_from([0.0, 1.0, 1e4]))
def test_any_numbers_are_energies_of_layers(
    layer_energies: LayerEnergies, seed: int, spread: float
) -> None:
    energies = layer_energies.decode(spread * normals(100, seed).float(), known())
    assert energies.isfinite().all()
    assert (energies[energies != 0] >= layer_energies.threshold).all()
    assert (energies <= layer_energies.scale).all()


def test_numbers_by_hand() -> None:
    """Eq. B.3: with 63.6 GeV as the largest energy, and none of the noise's spread."""
    module = LayerEnergies(3, scale=63.6e3, standardised=False).fit(torch.ones(2, 3), known())
    energies = torch.tensor([[0.0, 63.6e3 / 2, 1e5]])
    values = module.encode(energies, known(), {"smear": torch.zeros(1, 3)})
    end = math.log((1 - 1e-6) / 1e-6)
    torch.testing.assert_close(
        values,
        torch.tensor([[-end + math.log1p(1e-3 / 63.6e3 / 1e-6), 0.0, end]]),
        rtol=1e-5,
        atol=1e-6,
    )


def test_numbers_are_standardised_if_asked_for(layer_energies: LayerEnergies) -> None:
    energies = made_up(2000)
    noise = {"smear": torch.randn(2000, LAYERS, generator=torch.Generator().manual_seed(0))}
    values = layer_energies.encode(energies, known(), noise)
    torch.testing.assert_close(values.mean(dim=0), torch.zeros(LAYERS), rtol=0, atol=1e-5)
    torch.testing.assert_close(values.std(dim=0), torch.ones(LAYERS), rtol=0, atol=1e-5)
    plain = LayerEnergies(LAYERS, standardised=False).fit(energies, known())
    back = plain.standardisation.inverse(plain.encode(energies, known(), noise))
    torch.testing.assert_close(
        back, layer_energies.standardisation.inverse(values), rtol=1e-5, atol=1e-5
    )
    assert torch.equal(plain.standardisation.width, torch.ones(LAYERS, dtype=torch.float64))


def test_what_is_given_is_not_fitted() -> None:
    energies = made_up(100)
    assert LayerEnergies(LAYERS, scale=7e3).fit(energies, known()).scale == 7e3
    assert LayerEnergies(LAYERS).fit(energies, known()).scale == energies.max()


def test_showers_without_energy_cannot_be_fitted() -> None:
    with pytest.raises(ShowerValueError, match="none of the 3 training showers"):
        LayerEnergies(LAYERS).fit(torch.zeros(3, LAYERS), known())


@given(low=st.floats(1, 1e5), decades=st.floats(0.1, 5))
def test_features_are_of_order_one_over_any_range(low: float, decades: float) -> None:
    sample = torch.logspace(math.log10(low), math.log10(low) + decades, 100)[:, None]
    condition = known(incident=sample[:, 0])
    values = IncidentFeatures().adapt(condition)(condition)
    assert values.mean().item() == pytest.approx(0, abs=1e-4)
    assert values.std().item() == pytest.approx(1, abs=1e-4)
    assert (values.diff(dim=0) > 0).all()
    assert values.abs().max() < 2


def test_features_of_a_single_energy_and_of_layers_without_any() -> None:
    energies = torch.tensor([[50.0, 0.0], [50.0, 10.0], [50.0, 0.0]])
    features = LayerFeatures(2).adapt(known(layers=energies))
    values = features(known(layers=energies[:2]))
    assert values.isfinite().all()
    torch.testing.assert_close(values[:, 0], torch.zeros(2), rtol=0, atol=1e-6)
    assert values[1, 1] > 0 > values[0, 1]


SCALE = 1 / 0.35
ROUNDING = 1e-6
"""Of the energy of a layer, in MeV, where a shower has none at all."""

INCIDENT = 4e5
"""More than any shower of these deposits, in MeV."""


@pytest.fixture(scope="module")
def soft_ratios() -> SoftRatios:
    return SoftRatios(LAYERS, SCALE).fit(made_up(2000), incident(2000))


def incident(n: int) -> Condition:
    return known(incident=torch.full((n,), INCIDENT))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_softened_ratios_come_back(soft_ratios: SoftRatios, seed: int) -> None:
    energies = made_up(100, seed)
    values = soft_ratios.encode(energies, incident(100), {"empty": normals(100, seed)})
    back = soft_ratios.decode(values, incident(100))
    assert torch.equal(back < ROUNDING, energies == 0)
    torch.testing.assert_close(back, energies, rtol=2e-5, atol=2e-5 * float(soft_ratios.softening))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), spread=st.sampled_from([0.0, 1.0, 30.0]))
def test_softened_ratios_conserve_the_total(
    soft_ratios: SoftRatios, seed: int, spread: float
) -> None:
    """Whatever the numbers: the first alone says how much there is."""
    values = spread * normals(100, seed).float()
    energies = soft_ratios.decode(values, incident(100))
    first = inverse_logit(soft_ratios.standardisation.inverse(values).double()[:, 0], 1e-6)
    assert (energies >= 0).all()
    torch.testing.assert_close(energies.sum(dim=1), SCALE * INCIDENT * first, rtol=1e-9, atol=1e-9)


def test_the_sum_of_softened_energies_is_that_of_a_search(soft_ratios: SoftRatios) -> None:
    """The largest S of which the layers beyond c hold no more than the total, found by halving."""
    values = normals(50).float()
    energies = soft_ratios.decode(values, incident(50))
    c, logits = (
        float(soft_ratios.softening),
        soft_ratios.standardisation.inverse(values).double()[:, 1:],
    )
    left = torch.cat([torch.ones(50, 1), (1 - logits.sigmoid()).cumprod(1)], dim=1)
    shares = left * torch.cat([logits.sigmoid(), torch.ones(50, 1)], dim=1)
    low, high = (
        torch.zeros(50, 1, dtype=torch.float64),
        torch.full((50, 1), 1e9, dtype=torch.float64),
    )
    for _ in range(200):
        middle = (low + high) / 2
        beyond = (shares * middle - c).clamp_min(0).sum(dim=1, keepdim=True) > energies.sum(
            dim=1, keepdim=True
        )
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    torch.testing.assert_close(energies, (shares * low - c).clamp_min(0), rtol=1e-6, atol=1e-6)


def test_layers_without_energy_are_no_outliers(soft_ratios: SoftRatios) -> None:
    noise = {"empty": torch.randn(2000, LAYERS, generator=torch.Generator().manual_seed(0))}
    values = soft_ratios.encode(made_up(2000), incident(2000), noise)
    assert values.abs().max() < 8
    torch.testing.assert_close(values.std(dim=0), torch.ones(LAYERS), rtol=0, atol=1e-5)


def test_the_softening_is_the_energy_of_a_faint_layer(soft_ratios: SoftRatios) -> None:
    lit = made_up(2000)
    share = float((lit[lit > 0] < soft_ratios.softening).double().mean())
    assert share == pytest.approx(0.02, abs=1e-3)
    assert SoftRatios(LAYERS, SCALE, 7.0).fit(lit, incident(2000)).softening == 7


def test_softened_ratios_of_nothing() -> None:
    with pytest.raises(ShowerValueError, match="none of the 3 training showers"):
        SoftRatios(LAYERS, SCALE).fit(torch.zeros(3, LAYERS), incident(3))
    module = SoftRatios(LAYERS, SCALE, 1.0)
    values = module.encode(torch.zeros(3, LAYERS), incident(3), {"empty": normals(3)})
    back = module.decode(values, incident(3))
    assert torch.equal(back, torch.zeros(3, LAYERS, dtype=torch.float64))
