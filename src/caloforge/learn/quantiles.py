r"""Distributions that change with a condition, as tables of quantiles.

The law of a number :math:`z` at condition :math:`q` is held as its quantile function of a standard normal number,
:math:`z(y; q)` with :math:`P(z \le z(y; q)) = \Phi(y)`. At each of `NODES` nodes in q a table holds it at `KNOTS`
knots, equally spaced over the reach :math:`[y_-, y_+]` of the numbers seen there. Between knots and between nodes the
tables are linear; beyond the reach they go on with the mean slope of the table. Both directions are exact inverses of
each other: from y to z by index, from z to y by bisection of the interpolated table.
"""

__all__ = ["KNOTS", "NODES", "QuantileTables"]

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

KNOTS = 257
"""Knots of a table: a power of two, plus one."""

NODES = 9
"""Conditions at which there is a table."""

_EDGE = 8
"""Knots at either end that the slope beyond the table leaves out, as they are few numbers' chance."""


class QuantileTables(nn.Module):
    """Quantile tables of several groups of numbers.

    Arguments:
        groups: The number of groups.
    """

    nodes: Tensor
    reach: Tensor
    table: Tensor

    def __init__(self, groups: int) -> None:
        super().__init__()
        reach = torch.tensor([-6.0, 6.0], dtype=torch.float64)
        self.register_buffer("nodes", torch.linspace(-3, 3, NODES, dtype=torch.float64))
        self.register_buffer("reach", reach.repeat(NODES, groups, 1))
        self.register_buffer("table", torch.linspace(-6, 6, KNOTS, dtype=torch.float64).repeat(NODES, groups, 1))

    def fit_nodes(self, q: Float[Tensor, " n"]) -> None:
        """Place the nodes among the conditions seen, closer where they are low: the laws change with the log of the energy."""
        places = torch.linspace(0, 1, NODES, dtype=torch.float64, device=q.device) ** 1.5
        self.nodes.copy_(torch.quantile(q, places))

    def fit_group(self, group: int, q: Float[Tensor, " n"], z: Float[Tensor, " n"]) -> None:
        """Make the tables of a group; a number counts for the nodes on either side of its condition, by nearness."""
        z, order = z.sort()
        node, weight = self._place(q[order])
        for k in range(NODES):
            nearness = torch.where(node == k, 1 - weight, 0.0) + torch.where(node + 1 == k, weight, 0.0)
            near = nearness > 0
            self._fit_table(k, group, z[near], nearness[near])

    def _fit_table(self, node: int, group: int, z: Float[Tensor, " n"], weights: Float[Tensor, " n"]) -> None:
        below = weights.cumsum(0) - weights / 2
        y = torch.special.ndtri(below / weights.sum())
        knots = torch.linspace(y[0].item(), y[-1].item(), KNOTS).to(y)
        self.reach[node, group] = y[[0, -1]]
        self.table[node, group] = _increasing(_interpolate(knots, y, z))

    def _place(self, q: Float[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
        """The node below each condition, and how far on the way to the next."""
        node = torch.searchsorted(self.nodes, q, right=True).clamp(1, NODES - 1) - 1
        left, right = self.nodes[node], self.nodes[node + 1]
        return node, ((q - left) / (right - left)).clamp(0, 1)

    def forward(self, z: Float[Tensor, "n dim"], q: Float[Tensor, " n"], group: Int[Tensor, " dim"]) -> Float[Tensor, "n dim"]:
        """The standard normal numbers with the quantiles of z.

        Arguments:
            z: The numbers.
            q: The condition of each row.
            group: The group of each column.
        """
        rows = _Rows(self, *self._place(q), group)
        knot = torch.zeros_like(z, dtype=torch.int64)
        step = (KNOTS - 1) // 2
        while step:
            knot = torch.where(rows.at(knot + step) <= z, knot + step, knot)
            step //= 2
        left, right = rows.at(knot), rows.at(knot + 1)
        y = rows.low + (knot + ((z - left) / (right - left)).clamp(0, 1)) * rows.spacing
        return y + (z - z.clamp(rows.first, rows.last)) / rows.slope

    def inverse(self, y: Float[Tensor, "n dim"], q: Float[Tensor, " n"], group: Int[Tensor, " dim"]) -> Float[Tensor, "n dim"]:
        """The numbers with the quantiles of standard normal y; the inverse of ``forward``."""
        rows = _Rows(self, *self._place(q), group)
        inside = y.clamp(rows.low, rows.low + (KNOTS - 1) * rows.spacing)
        position = (inside - rows.low) / rows.spacing
        knot = position.floor().clamp(0, KNOTS - 2).long()
        return torch.lerp(rows.at(knot), rows.at(knot + 1), position - knot) + (y - inside) * rows.slope


class _Rows:
    """The tables as each row and column sees them, interpolated to the row's condition, read at chosen knots only."""

    def __init__(
        self, tables: QuantileTables, node: Int[Tensor, " n"], weight: Float[Tensor, " n"], group: Int[Tensor, " dim"]
    ) -> None:
        groups = tables.table.shape[1]
        self._flat, self._next, self._weight = tables.table.flatten(), groups * KNOTS, weight[:, None]
        self._base = (node[:, None] * groups + group) * KNOTS
        ends = torch.lerp(tables.reach[node], tables.reach[node + 1], weight[:, None, None])[:, group]
        self.low, self.spacing = ends[..., 0], (ends[..., 1] - ends[..., 0]) / (KNOTS - 1)
        self.first, self.last = (self.at(torch.full_like(self._base, k)) for k in (0, KNOTS - 1))
        inner = [self.at(torch.full_like(self._base, k)) for k in (_EDGE, KNOTS - 1 - _EDGE)]
        self.slope = (inner[1] - inner[0]) / (self.spacing * (KNOTS - 1 - 2 * _EDGE))

    def at(self, knot: Int[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """The tables at a knot of each row and column."""
        place = self._base + knot
        return torch.lerp(self._flat[place], self._flat[place + self._next], self._weight)


def _interpolate(at: Float[Tensor, " k"], x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> Float[Tensor, " k"]:
    """Piecewise linear interpolation of increasing x, within their range."""
    upper = torch.searchsorted(x, at).clamp(1, len(x) - 1)
    fraction = ((at - x[upper - 1]) / (x[upper] - x[upper - 1])).clamp(0, 1)
    return torch.lerp(y[upper - 1], y[upper], fraction)


def _increasing(table: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """The table with equal neighbours set apart, so that it has an inverse."""
    return table.cummax(dim=0).values + 1e-9 * torch.arange(len(table)).to(table)
