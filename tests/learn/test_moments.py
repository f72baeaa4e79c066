"""Tables of mean and spread by group and two conditions."""

import torch

from caloforge.learn.moments import MomentTables, place_nodes


def test_tables_are_the_moments_of_a_bilinear_truth() -> None:
    random = torch.Generator().manual_seed(1)
    n = 200_000
    p, q, e = torch.rand(3, n, generator=random, dtype=torch.float64)
    group = torch.randint(2, (n,), generator=random)
    mean = group + 0.4 * p - 0.2 * q + 0.2 * p * q
    x = mean + (0.1 + 0.3 * p) * (12**0.5) * (e - 0.5)
    tables = MomentTables(2, 9, 9).adapt(x, group, p, q)
    found, spread = tables.at(group, p, q)
    inner = (p > 0.1) & (p < 0.9) & (q > 0.1) & (q < 0.9)
    torch.testing.assert_close(found[inner], mean[inner], rtol=0, atol=0.03)
    torch.testing.assert_close(spread[inner], (0.1 + 0.3 * p)[inner], rtol=0, atol=0.05)


def test_a_node_without_numbers_leans_on_the_others() -> None:
    x, zero = torch.tensor([1.0, 3.0]).repeat(500), torch.zeros(1000, dtype=torch.int64)
    tables = MomentTables(2, 2, 2).adapt(x, zero, zero.double(), zero.double())
    mean, spread = tables.at(zero[:1] + 1, torch.tensor([5.0]), torch.tensor([-5.0]))
    torch.testing.assert_close(mean, torch.tensor([2.0], dtype=torch.float64))
    torch.testing.assert_close(spread, torch.tensor([1.0], dtype=torch.float64))


def test_nodes_are_the_few_conditions_seen_or_quantiles() -> None:
    few = place_nodes(torch.tensor([2.0, 1.0, 2.0, 5.0]), 4)
    assert few[:3].tolist() == [1, 2, 5]
    assert (few.diff() > 0).all()
    many = place_nodes(torch.arange(101.0), 5)
    assert many.tolist() == [0, 25, 50, 75, 100]
