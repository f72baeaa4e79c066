"""Hit patterns: what they conserve, what they forget, and that scores are nearly
standard normal.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from caloforge.learn.representations import HitPattern
from tests.learn.conditions import known

LAYERS, CELLS, THRESHOLD = 3, 8, 0.5
ORBIT = torch.arange(LAYERS)[:, None] * 2 + (torch.arange(CELLS) % 2)


def made_up(n: int, seed: int = 1) -> Tensor:
    """Showers whose layers hold anything from nothing to all cells."""
    generator = torch.Generator().manual_seed(seed)
    brightness = 4 * torch.rand(n, LAYERS, 1, generator=generator) - 1
    deposits = (brightness + torch.randn(n, LAYERS, CELLS, generator=generator)).exp()
    kept = torch.rand(n, LAYERS, CELLS, generator=generator) < 0.2 + 0.7 * torch.rand(
        n, LAYERS, 1, generator=generator
    )
    return torch.where(kept & (deposits > THRESHOLD), deposits, 0.0)


@pytest.fixture(scope="module")
def pattern() -> HitPattern:
    return HitPattern(ORBIT).fit(made_up(4000), known(threshold=THRESHOLD))


def test_showers_come_back(pattern: HitPattern) -> None:
    deposits = made_up(300, seed=5)
    before = deposits.clone()
    hits = pattern.encode(deposits, known())
    back = pattern.placed(hits.hit.float(), hits.scores, hits.numbers, hits.energies)
    torch.testing.assert_close(back, deposits, rtol=1e-4, atol=1e-3)
    assert torch.equal(pattern.decode(hits, known(layers=hits.energies)), back)
    assert torch.equal(deposits, before)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 8))
def test_any_numbers_make_showers_that_keep_the_energy_of_each_layer(
    pattern: HitPattern, seed: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    energies = (scale * torch.randn(20, LAYERS, generator=generator)).exp().double()
    priority, scores = (
        scale * torch.randn(20, LAYERS, CELLS, generator=generator) for _ in range(2)
    )
    numbers = pattern.numbers_of(scale * torch.randn(20, LAYERS, generator=generator), energies)
    deposits = pattern.placed(priority, scores, numbers, energies)
    lit = energies >= pattern.threshold
    torch.testing.assert_close(
        deposits.double().sum(2), torch.where(lit, energies, 0.0), rtol=1e-5, atol=1e-6
    )
    assert torch.equal((deposits > 0).sum(2), numbers.long())
    assert (deposits[deposits > 0] >= pattern.threshold * (1 - 1e-6)).all()
    assert (numbers[lit] >= 1).all()


def test_the_cells_of_highest_priority_are_hit(pattern: HitPattern) -> None:
    priority = torch.randn(10, LAYERS, CELLS, generator=torch.Generator().manual_seed(3))
    energies = torch.full((10, LAYERS), 50.0, dtype=torch.float64)
    hit = (
        pattern.placed(
            priority, torch.zeros_like(priority), torch.full((10, LAYERS), 3.0), energies
        )
        > 0
    )
    lowest_hit = priority.masked_fill(~hit, torch.inf).amin(2)
    assert (lowest_hit > priority.masked_fill(hit, -torch.inf).amax(2)).all()


def test_scores_are_nearly_standard_normal(pattern: HitPattern) -> None:
    hits = pattern.hits(made_up(4000, seed=6))
    shares = hits.scores[hits.hit & (hits.numbers > 1)[:, :, None]]
    u = torch.rand(hits.numbers.shape, generator=torch.Generator().manual_seed(4))
    for scores in (shares, pattern.number_scores(hits, u)):
        assert scores.mean().item() == pytest.approx(0, abs=0.05)
        assert scores.std().item() == pytest.approx(1, abs=0.05)


def test_numbers_of_hits_come_back_whatever_spreads_them(pattern: HitPattern) -> None:
    hits = pattern.hits(made_up(500, seed=7))
    for u in (1e-6, 0.3, 1 - 1e-6):
        scores = pattern.number_scores(hits, torch.full(hits.numbers.shape, u))
        assert torch.equal(pattern.numbers_of(scores, hits.energies), hits.numbers)


def test_occupancies_are_those_of_the_sample(pattern: HitPattern) -> None:
    deposits = made_up(4000)
    hits = pattern.hits(deposits)
    expected = pattern.occupancy_logits(hits.energies).sigmoid()
    lit = hits.numbers > 0
    for orbit in ORBIT.unique().tolist():
        cells = (orbit == ORBIT) & lit[:, :, None]
        assert expected[cells].mean().item() == pytest.approx(
            hits.hit[cells].float().mean().item(), abs=0.03
        )


def test_what_lies_below_the_threshold_is_no_hit(pattern: HitPattern) -> None:
    deposits = made_up(50, seed=8)
    faint = torch.where(deposits == 0, 0.9 * float(pattern.threshold), deposits)
    assert torch.equal(pattern.hits(faint).hit, pattern.hits(deposits).hit)
