"""The classifier against laws whose best AUC is known."""

import math

import pytest
import torch
from scipy.stats import norm

from caloforge.calorimeter import pbwo4_crystals
from caloforge.errors import GeometryMismatchError, ShowerValueError
from caloforge.metrics import Network, area, classify, shower_auc
from caloforge.metrics.classifier import _Standard, features
from caloforge.showers import Particles, Showers
from tests.catalogue import GRIDS

QUICK = Network(widths=(32,), epochs=15)


def gaussians(n: int, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, generator=generator)
    x[:, 3] += shift
    return x


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    full, candidate = torch.randint(5, (30,)).float(), torch.randint(4, (20,)).float()
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in full.tolist() for b in candidate.tolist()]
    assert area(full, candidate) == pytest.approx(sum(pairs) / len(pairs))
    assert area(candidate, full) == pytest.approx(1 - area(full, candidate))


def test_scores_in_perfect_order_have_area_one() -> None:
    assert area(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])) == 1.0


def test_one_law_is_at_chance() -> None:
    auc = classify(gaussians(1500), gaussians(1500, seed=1), network=QUICK)
    assert abs(auc.value - 0.5) < 4 * math.sqrt(1 / (6 * 1500))


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_shifted_gaussians_are_told_apart_as_well_as_they_can_be(shift: float) -> None:
    auc = classify(gaussians(1500), gaussians(1500, shift, seed=1), network=QUICK)
    best = norm.cdf(shift / math.sqrt(2))
    assert best - 0.04 < auc.value < best + 0.02


def test_a_difference_in_correlation_alone_is_found() -> None:
    x, y = gaussians(1500), gaussians(1500, seed=1)
    y[:, 1] = 0.9 * y[:, 0] + math.sqrt(1 - 0.81) * y[:, 1]
    assert classify(x, y, network=Network(widths=(32, 32), epochs=30)).value > 0.75


def test_energies_in_common_are_no_clue() -> None:
    labels = torch.arange(400, dtype=torch.float32)[:, None].expand(-1, 10)
    auc = classify(labels, labels.clone(), network=QUICK)
    assert auc.value == 0.5


def test_a_feature_that_never_varies_does_no_harm() -> None:
    x, y = gaussians(300), gaussians(300, 2.0, seed=1)
    x[:, 0] = y[:, 0] = 1e4
    assert 0.8 < classify(x, y, network=QUICK).value < 1


def test_a_runaway_value_does_no_harm() -> None:
    x, y = gaussians(300), gaussians(300, 2.0, seed=1)
    x[7, 0] = 3e38
    assert 0.8 < classify(x, y, network=QUICK).value < 1
    seen = _Standard(y)(x)
    assert seen[7, 0] == seen.max() == 10


def test_the_seed_alone_decides_and_the_global_state_is_left_alone() -> None:
    x, y = gaussians(100), gaussians(120, 1.0, seed=1)
    state = torch.get_rng_state()
    first = classify(x, y, seed=-4, network=QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert classify(x, y, seed=-4, network=QUICK) == first
    assert classify(x, y, seed=5, network=QUICK).trainings != first.trainings


def test_the_error_is_the_spread_of_the_trainings() -> None:
    auc = classify(gaussians(100), gaussians(120, 1.0, seed=1), trainings=7, network=QUICK)
    spread = torch.tensor(auc.trainings, dtype=torch.float64)
    assert len(spread) == 7
    assert auc.value == pytest.approx(spread.mean().item())
    assert auc.error == pytest.approx(spread.std().item() / math.sqrt(7))
    assert (auc.n_full, auc.n_candidate) == (100, 120)


def test_features_see_cells_total_and_energy() -> None:
    deposits = torch.zeros(2, 100)
    deposits[0, 5], deposits[1, 6] = 100.0, 1e-5
    seen = features(Showers(deposits, Particles(torch.tensor([1000.0, 2000.0])), pbwo4_crystals()))
    assert seen.shape == (2, 202)
    assert seen[0, 5] == 2
    assert (seen[1, :100] == -3).all()
    assert seen[0, 105] == pytest.approx(0.1)
    assert seen[0, 200] == pytest.approx(0.1)
    assert seen[1, 201] == pytest.approx(math.log(2000))


def test_showers_of_two_calorimeters_are_refused() -> None:
    tower = GRIDS[-1]
    a, b = (Showers(torch.rand(60, g.n_cells), Particles(torch.ones(60)), g) for g in (pbwo4_crystals(), tower))
    with pytest.raises(GeometryMismatchError, match="the candidate is of calorimeter 'tower'"):
        shower_auc(a, b)


def test_too_few_showers_are_refused() -> None:
    with pytest.raises(ShowerValueError, match="at least 50"):
        classify(gaussians(100), gaussians(49))
