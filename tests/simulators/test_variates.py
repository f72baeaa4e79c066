import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from caloforge import streams
from caloforge.simulators.gflash import variates

DRAWS = 20_000


def address(draws: int = DRAWS, stream: int = 1) -> tuple[Tensor, Tensor]:
    return streams.keys(11, torch.arange(draws), stream), torch.zeros(draws, dtype=torch.int64)


def filled(value: float, draws: int = DRAWS) -> Tensor:
    return torch.full((draws,), float(value), dtype=torch.float64)


@pytest.mark.parametrize(
    ("n", "q"),
    [
        (1, 0.5),
        (7, 0.01),
        (40, 0.3),
        (40, 0.7),
        (150, 0.04),
        (150, 0.999),
        (5000, 0.3),
        (5000, 0.6),
        (3, 0.0),
        (3, 1.0),
    ],
)
def test_binomial_numbers_follow_the_binomial_law(n: int, q: float) -> None:
    found = variates.binomial(filled(n), filled(q), *address()).numpy()
    assert found.min() >= 0
    assert found.max() <= n
    values = np.arange(n + 1)
    expected = stats.binom.pmf(values, n, q) * DRAWS
    counts = np.bincount(found.astype(int), minlength=n + 1)
    often = expected > 5
    counts, expected = (np.append(x[often], x[~often].sum()) for x in (counts, expected))
    keep = expected > 0
    assert counts[~keep].sum() == 0
    statistic = ((counts - expected)[keep] ** 2 / expected[keep]).sum()
    assert stats.chi2.sf(statistic, max(1, keep.sum() - 1)) > 1e-3


@pytest.mark.parametrize("shape", [0.02, 0.5, 1.0, 3.3, 8000.0])
def test_gamma_numbers_follow_the_gamma_law(shape: float) -> None:
    found = variates.gamma(filled(shape), *address()).numpy()
    assert stats.kstest(found, "gamma", args=(shape,)).pvalue > 1e-3


def test_a_draw_depends_on_its_address_alone() -> None:
    n, q = torch.arange(300.0, dtype=torch.float64), torch.linspace(0, 1, 300, dtype=torch.float64)
    key, counter = address(300)
    for draw in (
        lambda k: variates.binomial(n[k], q[k], key[k], counter[k]),
        lambda k: variates.gamma(n[k] + 0.1, key[k], counter[k]),
    ):
        together = draw(torch.arange(300))
        assert torch.equal(together, torch.cat([draw(torch.tensor([i])) for i in range(300)]))
        assert torch.equal(together.flip(0), draw(torch.arange(300).flip(0)))


def test_different_counters_give_independent_draws() -> None:
    key, counter = address()
    one, other = (
        variates.binomial(filled(100), filled(0.3), key, counter + j * variates.SPACING)
        for j in (0, 1)
    )
    assert abs(np.corrcoef(one.numpy(), other.numpy())[0, 1]) < 4 / np.sqrt(DRAWS)


def test_popcount_counts_the_ones() -> None:
    words = torch.cat([address(500)[0], torch.tensor([0, -1, 1, -(2**63), 2**63 - 1])])
    assert variates.popcount(words).tolist() == [
        (w & (2**64 - 1)).bit_count() for w in words.tolist()
    ]


def test_unit_numbers_stay_inside_the_open_interval() -> None:
    ends = variates.unit(torch.tensor([-(2**63), 2**63 - 1]))
    assert ends.tolist() == [2.0**-53, 1 - 2.0**-53]
