"""The Gaussian copula: independent normal numbers of correlated ones, and back."""

import torch

from caloforge.learn.copula import GaussianCopula


def correlated(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers whose marginals and correlations change with q."""
    random = torch.Generator().manual_seed(1)
    q = torch.rand(n, generator=random, dtype=torch.float64)
    first, second = torch.randn(2, n, generator=random, dtype=torch.float64)
    rho = 0.4 + 0.3 * q
    other = rho * first + (1 - rho.square()).sqrt() * second
    return torch.stack([(first * (1 + q)).exp(), 2 * other + q], dim=1), q


def test_numbers_become_independent_and_normal_at_each_condition() -> None:
    x, q = correlated(40_000)
    z = GaussianCopula(2).adapt(x, q)(x, q)
    for low in (0.1, 0.5, 0.8):
        some = z[(q > low) & (q < low + 0.1)]
        torch.testing.assert_close(some.T.cov(), torch.eye(2).double(), rtol=0, atol=0.1)


def test_it_has_an_inverse_row_by_row() -> None:
    x, q = correlated(2000)
    copula = GaussianCopula(2).adapt(x, q)
    z = copula(x, q)
    torch.testing.assert_close(copula.inverse(z, q), x, rtol=1e-6, atol=1e-9)
    assert torch.equal(copula.inverse(z[3:9], q[3:9]), copula.inverse(z, q)[3:9])


def test_one_condition_alone_will_do() -> None:
    x, q = correlated(2000)
    single = torch.full_like(q, 3.0)
    copula = GaussianCopula(2).adapt(x, single)
    torch.testing.assert_close(copula.inverse(copula(x, single), single), x, rtol=1e-6, atol=1e-9)
