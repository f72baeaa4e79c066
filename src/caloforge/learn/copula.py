r"""Correlated numbers made independent normal ones, as far as a Gaussian copula can.

Each number is made standard normal at its condition by quantile tables, :math:`y_i`. Their
correlations are taken at some nodes of the condition q, with Cholesky factors :math:`C = L L^T`
that are linear between nodes, and

.. math:: z = L(q)^{-1} y .

What is left for a flow to learn is what correlations cannot say.
"""

__all__ = ["GaussianCopula"]

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.learn.quantiles import QuantileTables

_NODES, _KNOTS = 5, 129
_SHRINKAGE = 0.02
"""The share of the unit matrix in each matrix of correlations."""


class GaussianCopula(nn.Module):
    """The map between numbers and independent normal ones, given a condition.

    Arguments:
        n: How many numbers.
    """

    factors: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        self.tables = QuantileTables(n, _NODES, _KNOTS)
        self.register_buffer("factors", torch.eye(n, dtype=torch.float64).repeat(_NODES, 1, 1))

    def adapt(self, x: Float[Tensor, "rows n"], q: Float[Tensor, " rows"]) -> "GaussianCopula":
        """Make the tables and take the correlations.

        Arguments:
            x: The numbers.
            q: The condition of each row.
        """
        self.tables.spread_nodes(q)
        self.tables.nodes += torch.arange(_NODES, device=q.device) * 1e-9  # for a single condition
        for k in range(x.shape[1]):
            self.tables.fit_group(k, q, x[:, k].double())
        y, unit = self._normal(x, q), torch.eye(x.shape[1], dtype=torch.float64, device=q.device)
        for node, near in enumerate(self.tables.nearness(q)):
            some = y * near.sqrt()[:, None]
            total = near.sum()
            covariance = (some.T @ some + unit) / (total + 1)
            self.factors[node] = torch.linalg.cholesky(torch.lerp(covariance, unit, _SHRINKAGE))
        return self

    def _normal(
        self, x: Float[Tensor, "rows n"], q: Float[Tensor, " rows"]
    ) -> Float[Tensor, "rows n"]:
        y: Tensor = self.tables(x.double(), q[:, None], self._groups)
        return y

    @property
    def _groups(self) -> Tensor:
        return torch.arange(self.factors.shape[1], device=self.factors.device)[None]

    def _factor(self, q: Float[Tensor, " rows"]) -> Float[Tensor, "rows n n"]:
        near = self.tables.nearness(q)
        return (near.T[..., None, None] * self.factors).sum(dim=1)

    def forward(
        self, x: Float[Tensor, "rows n"], q: Float[Tensor, " rows"]
    ) -> Float[Tensor, "rows n"]:
        """The normal numbers, in double precision; the arguments are those of `adapt`."""
        y = self._normal(x, q)
        z: Tensor = torch.linalg.solve_triangular(self._factor(q), y[..., None], upper=False)
        return z[..., 0]

    def inverse(
        self, z: Float[Tensor, "rows n"], q: Float[Tensor, " rows"]
    ) -> Float[Tensor, "rows n"]:
        """The numbers, in double precision; row after row, so that none depends on others."""
        y = torch.zeros_like(z, dtype=torch.float64)
        for row, factor in enumerate(self._factor(q)):
            y[row] = factor @ z[row].double()
        return self.tables.inverse(y, q[:, None], self._groups)
