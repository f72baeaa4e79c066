r"""Correlated numbers made independent normal ones, as far as a Gaussian copula can.

Each number is made standard normal at its condition by quantile tables, :math:`y_i`. Their
correlations are taken at some nodes of the condition q, with Cholesky factors :math:`C = L L^T`
whose inverses :math:`M = L^{-1}` are linear between nodes, and

.. math:: z = M(q) y .

What is left for a flow to learn is what correlations cannot say.
"""

__all__ = ["GaussianCopula"]

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.learn.quantiles import QuantileTables

_NODES, _KNOTS = 17, 65
_SHRINKAGE = 0.02
"""The share of the unit matrix in each matrix of correlations."""

_POOLED = 0.3
"""Rows of all conditions that weigh as much as those near a node, for each number in a row."""


class GaussianCopula(nn.Module):
    """The map between numbers and independent normal ones, given a condition.

    Arguments:
        n: How many numbers.
    """

    inverses: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        self.tables = QuantileTables(n, _NODES, _KNOTS)
        self.register_buffer("inverses", torch.eye(n, dtype=torch.float64).repeat(_NODES, 1, 1))

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
        pooled, few = (y.T @ y + unit) / (len(y) + 1), _POOLED * x.shape[1]
        for node, near in enumerate(self.tables.nearness(q)):
            covariance = ((y * near[:, None]).T @ y + few * pooled) / (near.sum() + few)
            factor = torch.linalg.cholesky(torch.lerp(covariance, unit, _SHRINKAGE))
            self.inverses[node] = torch.linalg.solve_triangular(factor, unit, upper=False)
        return self

    def _normal(
        self, x: Float[Tensor, "rows n"], q: Float[Tensor, " rows"]
    ) -> Float[Tensor, "rows n"]:
        y: Tensor = self.tables(x.double(), q[:, None], self._groups)
        return y

    @property
    def _groups(self) -> Tensor:
        return torch.arange(self.inverses.shape[1], device=self.inverses.device)[None]

    def forward(
        self, x: Float[Tensor, "rows n"], q: Float[Tensor, " rows"]
    ) -> Float[Tensor, "rows n"]:
        """The normal numbers, in double precision; the arguments are those of `adapt`."""
        at_nodes = self._normal(x, q) @ self.inverses.mT
        z: Tensor = (self.tables.nearness(q)[..., None] * at_nodes).sum(dim=0)
        return z

    def inverse(
        self, z: Float[Tensor, "rows n"], q: Float[Tensor, " rows"]
    ) -> Float[Tensor, "rows n"]:
        """The numbers, in double precision; row after row, so that none depends on others."""
        y = torch.zeros_like(z, dtype=torch.float64)
        for row, near in enumerate(self.tables.nearness(q).T):
            beside = near.nonzero()[:, 0]
            inverse = (near[beside, None, None] * self.inverses[beside]).sum(dim=0)
            solved = torch.linalg.solve_triangular(inverse, z[row, :, None].double(), upper=False)
            y[row] = solved[:, 0]
        return self.tables.inverse(y, q[:, None], self._groups)
