"""Energies by the exact density of a flow: closed forms, calibration, the truth of intervals."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from caloforge import streams
from caloforge.errors import ShowerValueError
from caloforge.geometry import RegularGrid
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Noise, by_address
from caloforge.learn.representations import (
    EnergyRepresentation,
    LayerEnergies,
    LayerRatios,
    SoftRatios,
)
from caloforge.models.masked_energies import MaskedSizes
from caloforge.models.stages import Schedule
from caloforge.particles import Particles
from caloforge.reconstruction import energy_posterior, resolution
from caloforge.showers import Showers
from caloforge.spectra import LogUniform, Uniform
from caloforge.streams import Stream
from caloforge.systems.caloflow import RatiosRecipe, RatiosStage
from caloforge.systems.l2lflows import EnergiesRecipe, EnergiesStage
from tests.learn.shaken import shaken

GRID = RegularGrid("small", (2, 2, 6), (1.0, 1.0, 1.0))
LOW, HIGH, SPREAD = 1000.0, 50_000.0, 0.05


class Normal:
    """One layer, whose ln E is normal about that of the particle, and said to be of some width."""

    encoding_noise: Mapping[str, Noise] = {}

    def __init__(self, width: float) -> None:
        self.width = width

    def log_density(self, condition: Condition, noise: Mapping[str, Tensor]) -> Tensor:
        del noise
        off = condition.layer_energies[:, 0].log() - condition.incident_energies.log()
        return -0.5 * (off / self.width).square()


def smeared(n: int, seed: int) -> tuple[Condition, Tensor]:
    """Showers of `Normal`, and their energies."""
    random = torch.Generator().manual_seed(seed)
    true = LogUniform(LOW, HIGH).energies(torch.rand(n, generator=random, dtype=torch.float64))
    layers = true * (SPREAD * torch.randn(n, generator=random, dtype=torch.float64)).exp()
    return Condition(Particles(torch.full((n,), LOW), 11), layers[:, None]), true


@pytest.mark.parametrize("level", [0.3, 0.68, 0.95])
@pytest.mark.parametrize(("prior", "shift"), [(LogUniform, 0.0), (Uniform, SPREAD**2)])
def test_a_normal_density_has_normal_intervals(
    prior: type[LogUniform] | type[Uniform], shift: float, level: float
) -> None:
    """A prior uniform in E is one of ln E that rises as E, and shifts by the variance."""
    seen = torch.tensor([[5000.0], [20_000.0]], dtype=torch.float64)
    condition = Condition(Particles(torch.full((2,), LOW), 11), seen)
    found = energy_posterior(Normal(SPREAD), condition, prior(LOW, HIGH))
    reach = SPREAD * math.sqrt(2) * torch.special.erfinv(torch.tensor(level)).item()
    expected = (seen[:, 0] * math.exp(shift - reach), seen[:, 0] * math.exp(shift + reach))
    for given, right in zip(found.interval(level), expected, strict=True):
        torch.testing.assert_close(given, right, rtol=0.02 * SPREAD, atol=0)
    at = found.log_density(seen[:, 0] * math.exp(shift))
    expected_peak = torch.full((2,), -math.log(SPREAD * math.sqrt(2 * math.pi)))
    torch.testing.assert_close(at, expected_peak.double(), rtol=2e-3, atol=0)


@pytest.mark.parametrize("said", [0.5, 2.0])
def test_a_density_too_sure_or_not_sure_enough_is_calibrated(said: float) -> None:
    prior = LogUniform(LOW, HIGH)
    condition, true = smeared(2000, 1)
    found = energy_posterior(Normal(said * SPREAD), condition, prior)
    sharpness = found.sharpness_for(true)
    assert sharpness == pytest.approx(said**2, rel=0.08)
    condition, true = smeared(2000, 2)
    low, high = (
        energy_posterior(Normal(said * SPREAD), condition, prior)
        .calibrated(sharpness)
        .interval(0.68)
    )
    inside = ((low <= true) & (true <= high)).double().mean()
    assert float(inside) == pytest.approx(0.68, abs=4 * math.sqrt(0.68 * 0.32 / 2000))


REPRESENTATIONS = [LayerRatios(6, 2.0), SoftRatios(6, 2.0), LayerEnergies(6, scale=2000.0)]


@pytest.mark.parametrize("kind", REPRESENTATIONS, ids=lambda kind: type(kind).__name__)
def test_the_stretch_follows_the_jacobian(kind: EnergyRepresentation) -> None:
    """As a function of the incident energy."""
    random = torch.Generator().manual_seed(1)
    x = 100 + 900 * torch.rand(5, 6, generator=random, dtype=torch.float64)
    particles = Particles(torch.full((5,), 9000.0, dtype=torch.float64), 11)
    kind.fit(x, Condition(particles, x))
    noise = by_address(kind.noise(), torch.arange(5))

    def found(energy: float) -> tuple[Tensor, Tensor]:
        condition = Condition(replace(particles, energies=torch.full((5,), energy)), x)
        whole = torch.autograd.functional.jacobian(
            lambda x: kind.encode(x, condition, noise).double().sum(0), x
        )
        jacobian = whole.transpose(0, 1)
        return torch.linalg.slogdet(jacobian)[1], kind.log_stretch(x, condition)

    (one, said_one), (two, said_two) = found(9000.0), found(20_000.0)
    torch.testing.assert_close(two - one, said_two - said_one, rtol=1e-4, atol=1e-5)


def test_more_than_all_energy_is_impossible() -> None:
    x = torch.full((1, 6), 400.0)
    condition = Condition(Particles(torch.tensor([1000.0]), 11), x)
    for kind in (LayerRatios(6, 2.0), SoftRatios(6, 2.0)):
        assert kind.log_stretch(x, condition).tolist() == [-torch.inf]


SIZES = MaskedSizes(blocks=2, hidden=(16,))
SCHEDULE = Schedule(1, 16, 0.001)


def stages() -> list[RatiosStage | EnergiesStage]:
    """Stages that draw no shower again, however large a part of its energy it deposits."""
    ratios = RatiosRecipe(
        stage="masked-ratios", network=SIZES, schedule=SCHEDULE, scale=2.0, veto=2.0
    )
    energies = EnergiesRecipe(stage="masked-energies", network=SIZES, schedule=SCHEDULE, veto=99.0)
    return [RatiosStage(GRID, ratios), EnergiesStage(GRID, energies)]


@pytest.mark.parametrize("number", [0, 1])
def test_the_truth_is_anywhere_in_its_posterior_alike(number: int) -> None:
    """Energies from the prior, showers from the flow: the posterior of the true energy below it is
    uniform (Talts et al., arXiv:1804.06788).
    """
    torch.manual_seed(3)
    stage, prior, n = stages()[number], LogUniform(LOW, HIGH), 400
    true = prior.energies(torch.rand(n, dtype=torch.float64))
    deposits = true[:, None] * (0.02 + 0.02 * torch.rand(n, GRID.n_cells, dtype=torch.float64))
    particles = Particles(true.float(), 11)
    stage.prepare(Showers(deposits.float(), particles, GRID))
    stage.least.zero_()
    shaken(stage.network, 0.5)
    keys = streams.keys(1, torch.arange(n), Stream.LAYER_ENERGIES)
    condition = Condition(particles)
    layers = stage.sample(condition, by_address(stage.noise(), keys))
    found = energy_posterior(stage, condition.given(layers), prior)
    levels = np.linspace(0.005, 0.995, 199)
    below = torch.stack([found.quantile(p) < particles.energies for p in levels])
    assert kstest(below.double().mean(dim=0).numpy(), "uniform").pvalue > 1e-3


def test_what_is_impossible_at_any_energy_is_said() -> None:
    torch.manual_seed(1)
    stage = stages()[0]
    particles = Particles(torch.tensor([2000.0, 3000.0]), 11)
    deposits = torch.rand(2, GRID.n_cells)
    stage.prepare(Showers(deposits, particles, GRID))
    condition = Condition(particles, torch.tensor([[10.0] * 6, [1e6] * 6]))
    with pytest.raises(ShowerValueError, match="shower 8 deposits more than the model allows"):
        energy_posterior(stage, condition, LogUniform(LOW, HIGH), first_index=7)


def test_bias_resolution_and_coverage_of_normal_estimates() -> None:
    random = np.random.default_rng(1)
    true = random.uniform(1e4, 1e5, 20_000)
    estimates = true * (1.02 + 0.03 * random.standard_normal(len(true)))
    interval = estimates / 1.02 / 1.03, estimates / 1.02 / 0.97
    found = resolution(estimates, true, {0.68: interval})
    assert found.bias == pytest.approx(0.02, abs=0.002)
    assert found.width == pytest.approx(0.03, abs=4 * found.width_error)
    assert found.coverage[0.68] == pytest.approx(0.683, abs=4 * found.coverage_error(0.68))
