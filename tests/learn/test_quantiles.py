"""Quantile tables against laws whose quantiles are known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from caloforge.learn.quantiles import QuantileTables

ROWS = 40_000


@pytest.fixture(scope="module")
def fitted() -> QuantileTables:
    """Group 0: exponential with mean exp(q / 4); group 1: uniform in [0, 1 + q / 8]."""
    generator = torch.Generator().manual_seed(5)
    q = 4 * torch.rand(ROWS, generator=generator, dtype=torch.float64) - 2
    u = torch.rand(2, ROWS, generator=generator, dtype=torch.float64)
    tables = QuantileTables(2)
    tables.fit_nodes(q)
    tables.fit_group(0, q, -u[0].log() * (q / 4).exp())
    tables.fit_group(1, q, u[1] * (1 + q / 8))
    return tables


@pytest.mark.parametrize("q", [-1.5, -0.3, 0.8, 1.9])
def test_quantiles_are_those_of_the_law(fitted: QuantileTables, q: float) -> None:
    p = torch.tensor([0.02, 0.2, 0.5, 0.8, 0.98], dtype=torch.float64)
    y = torch.special.ndtri(p)[:, None].expand(-1, 2)
    z = fitted.inverse(y, torch.full((5, 1), q, dtype=torch.float64), torch.tensor([0, 1]))
    exact = torch.stack([-(-p).log1p() * torch.tensor(q / 4).exp(), p * (1 + q / 8)], dim=1)
    torch.testing.assert_close(z, exact.to(z), atol=0.03, rtol=0.06)


@settings(max_examples=50, deadline=None)
@given(y=st.floats(-7, 7), q=st.floats(-3, 3), group=st.integers(0, 1))
def test_both_directions_undo_each_other_inside_and_beyond_the_table(
    fitted: QuantileTables, y: float, q: float, group: int
) -> None:
    at, column = torch.tensor([[q]], dtype=torch.float64), torch.tensor([group])
    z = fitted.inverse(torch.tensor([[y]], dtype=torch.float64), at, column)
    assert fitted(z, at, column).item() == pytest.approx(y, abs=1e-6)


def test_values_rise_with_the_normal_number(fitted: QuantileTables) -> None:
    y = torch.linspace(-7, 7, 2001, dtype=torch.float64)[:, None].expand(-1, 2)
    z = fitted.inverse(y, torch.full((2001, 1), 0.37, dtype=torch.float64), torch.tensor([0, 1]))
    assert (z.diff(dim=0) > 0).all()


def test_equal_numbers_have_an_inverse_too() -> None:
    tables = QuantileTables(1)
    q = torch.linspace(0, 1, 300, dtype=torch.float64)
    tables.fit_nodes(q)
    tables.fit_group(0, q, torch.ones_like(q))
    y = tables(torch.tensor([[1.0]], dtype=torch.float64), q[:1, None], torch.tensor([0]))
    assert y.isfinite().all()
