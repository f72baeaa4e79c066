"""Scores of cells: what they conserve, that they are nearly standard normal, and what becomes of
any numbers.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from caloforge.learn.representations import CellScores
from tests.learn.conditions import known
from tests.learn.test_hits import CELLS, LAYERS, ORBIT, THRESHOLD, made_up


@pytest.fixture(scope="module")
def scores() -> CellScores:
    return CellScores(ORBIT).fit(made_up(4000), known(threshold=THRESHOLD))


def spread(deposits: Tensor, seed: int = 3) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {"empty": torch.rand(deposits.shape, generator=random, dtype=torch.float64)}


def seen(scores: CellScores, deposits: Tensor) -> Tensor:
    return scores.encode(deposits, known(), spread(deposits))


def test_showers_come_back(scores: CellScores) -> None:
    deposits = made_up(300, seed=5)
    before = deposits.clone()
    back = scores.decode(seen(scores, deposits), known(layers=deposits.double().sum(dim=2)))
    assert torch.equal(back > 0, deposits > 0)
    torch.testing.assert_close(back, deposits, rtol=1e-2, atol=1e-2)
    assert torch.equal(deposits, before)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.floats(0, 20), scale=st.floats(0.1, 8))
def test_any_numbers_make_showers_that_keep_the_energy_of_each_layer(
    scores: CellScores, seed: int, width: float, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    energies = (scale * torch.randn(20, LAYERS, generator=generator)).exp().double()
    numbers = width * torch.randn(20, LAYERS, CELLS, generator=generator)
    deposits = scores.decode(numbers, known(layers=energies))
    lit = energies >= THRESHOLD
    torch.testing.assert_close(
        deposits.double().sum(2), torch.where(lit, energies, 0.0), rtol=1e-5, atol=1e-6
    )
    assert (deposits[deposits > 0] >= THRESHOLD * (1 - 1e-6)).all()


def test_the_scores_are_nearly_standard_normal(scores: CellScores) -> None:
    deposits = made_up(4000, seed=6)
    lit = deposits.sum(dim=2) > 0
    found = seen(scores, deposits)[lit]
    assert found.mean().item() == pytest.approx(0, abs=0.03)
    assert found.std().item() == pytest.approx(1, abs=0.03)


def test_normal_numbers_have_the_hits_of_the_sample(scores: CellScores) -> None:
    deposits = made_up(4000, seed=7)
    numbers = torch.randn(deposits.shape, generator=torch.Generator().manual_seed(8))
    made = scores.decode(numbers, known(layers=deposits.double().sum(dim=2)))
    torch.testing.assert_close(
        (made > 0).double().mean(dim=0), (deposits > 0).double().mean(dim=0), rtol=0, atol=0.03
    )
