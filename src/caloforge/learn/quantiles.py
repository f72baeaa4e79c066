r"""Distributions that change with a condition, as tables of quantiles.

The distribution of a number :math:`z` at condition :math:`q` is held as its quantile function of a
standard normal number, :math:`z(y; q)` with :math:`P(z \le z(y; q)) = \Phi(y)`. At each of some
nodes in q (`NODES` as a rule) a table holds it at some knots (`KNOTS` as a rule), equally spaced
over the reach :math:`[y_-, y_+]` of the numbers seen there. Between knots and between nodes the
tables are linear; beyond the reach they go on with the mean slope of the table. Both directions are
exact inverses of each other: from y to z by index, from z to y by bisection of the interpolated
table. Where a group has few numbers near a node, all of the group stand in for them.
"""

__all__ = ["KNOTS", "NODES", "QuantileTables"]

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from caloforge.learn.moments import place_nodes

KNOTS = 257
"""Knots of a table: a power of two, plus one."""

NODES = 9
"""Conditions at which there is a table."""

_EDGE = 32
"""Of so many knots one at either end is left out of the slope beyond the table, as they are few
numbers' chance.
"""

_FEWEST = 20

_LOW = 0.03
"""The quantile below which one node has to do."""


class QuantileTables(nn.Module):
    """Quantile tables of several groups of numbers.

    Arguments:
        groups: The number of groups.
        nodes: The number of nodes, at least 2.
        knots: The number of knots, a power of two plus one.
    """

    nodes: Tensor
    reach: Tensor
    table: Tensor

    def __init__(self, groups: int, nodes: int = NODES, knots: int = KNOTS) -> None:
        super().__init__()
        reach = torch.tensor([-6.0, 6.0], dtype=torch.float64)
        self.register_buffer("nodes", torch.linspace(-3, 3, nodes, dtype=torch.float64))
        self.register_buffer("reach", reach.repeat(nodes, groups, 1))
        self.register_buffer(
            "table", torch.linspace(-6, 6, knots, dtype=torch.float64).repeat(nodes, groups, 1)
        )

    def fit_nodes(self, q: Float[Tensor, " n"]) -> None:
        """Place the nodes among the conditions seen, closer where they are low: the distributions
        change with the log of the energy.
        """
        places = torch.linspace(0, 1, len(self.nodes), dtype=torch.float64, device=q.device) ** 1.5
        self.nodes.copy_(torch.quantile(q, places))

    def spread_nodes(self, q: Float[Tensor, " n"]) -> None:
        """Place the first node at the least condition seen, the others evenly from a low quantile
        to the greatest.
        """
        order = q.sort().values
        low = order[int(_LOW * (len(q) - 1))]
        self.nodes.copy_(
            torch.cat(
                [
                    order[:1],
                    torch.linspace(float(low), float(order[-1]), len(self.nodes) - 1).to(order),
                ]
            )
        )

    def place_nodes(self, q: Float[Tensor, " n"]) -> None:
        """Place the nodes at the conditions seen, where these are few, or else at quantiles."""
        self.nodes.copy_(place_nodes(q, len(self.nodes)))

    def fit_group(self, group: int, q: Float[Tensor, " n"], z: Float[Tensor, " n"]) -> None:
        """Make the tables of a group; a number counts for the nodes on either side of its
        condition, by nearness.
        """
        if len(z) < _FEWEST:
            return
        z, order = z.sort()
        for k, nearness in enumerate(self.nearness(q[order])):
            near = nearness > 0
            few = int(near.sum()) < _FEWEST
            self._fit_table(
                k, group, *((z, torch.ones_like(z)) if few else (z[near], nearness[near]))
            )

    def nearness(self, q: Float[Tensor, " n"]) -> Float[Tensor, "nodes n"]:
        """How much each condition counts for each node: its distance from the other node beside it,
        over their distance.
        """
        node, weight = self._place(q)
        nodes = torch.arange(len(self.nodes), device=q.device)[:, None]
        return torch.where(node == nodes, 1 - weight, 0.0) + torch.where(
            node + 1 == nodes, weight, 0.0
        )

    def between(
        self, values: Float[Tensor, "nodes groups"], q: Float[Tensor, "n groups"]
    ) -> Float[Tensor, "n groups"]:
        """Numbers known at the nodes, one a group, interpolated to the condition of each row and
        group.
        """
        node, weight = self._place(q)
        groups = torch.arange(values.shape[1], device=q.device)
        return torch.lerp(values[node, groups], values[node + 1, groups], weight)

    def _fit_table(
        self, node: int, group: int, z: Float[Tensor, " n"], weights: Float[Tensor, " n"]
    ) -> None:
        below = weights.cumsum(0) - weights / 2
        y = torch.special.ndtri(below / weights.sum())
        knots = torch.linspace(y[0].item(), y[-1].item(), self.table.shape[-1]).to(y)
        self.reach[node, group] = y[[0, -1]]
        self.table[node, group] = _increasing(_interpolate(knots, y, z))

    def _place(
        self, q: Float[Tensor, "*shape"]
    ) -> tuple[Int[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """The node below each condition, and how far on the way to the next."""
        node = torch.searchsorted(self.nodes, q, right=True).clamp(1, len(self.nodes) - 1) - 1
        left, right = self.nodes[node], self.nodes[node + 1]
        return node, ((q - left) / (right - left)).clamp(0, 1)

    def forward(
        self, z: Float[Tensor, "*shape"], q: Float[Tensor, "*#shape"], group: Int[Tensor, "*#shape"]
    ) -> Float[Tensor, "*shape"]:
        """The standard normal numbers with the quantiles of z.

        Arguments:
            z: The numbers.
            q: The condition of each.
            group: The group of each.
        """
        rows = _Rows(self, *self._place(q), group)
        knot = torch.zeros_like(z, dtype=torch.int64)
        step = rows.intervals // 2
        while step:
            knot = torch.where(rows.at(knot + step) <= z, knot + step, knot)
            step //= 2
        left, right = rows.at(knot), rows.at(knot + 1)
        y = rows.low + (knot + ((z - left) / (right - left)).clamp(0, 1)) * rows.spacing
        return y + (z - z.clamp(rows.first, rows.last)) / rows.slope

    def inverse(
        self, y: Float[Tensor, "*shape"], q: Float[Tensor, "*#shape"], group: Int[Tensor, "*#shape"]
    ) -> Float[Tensor, "*shape"]:
        """The numbers with the quantiles of standard normal y; the inverse of ``forward``."""
        rows = _Rows(self, *self._place(q), group)
        inside = y.clamp(rows.low, rows.low + rows.intervals * rows.spacing)
        position = (inside - rows.low) / rows.spacing
        knot = position.long().clamp(0, rows.intervals - 1)
        return (
            torch.lerp(rows.at(knot), rows.at(knot + 1), position - knot)
            + (y - inside) * rows.slope
        )


class _Rows:
    """The tables as each number sees them, interpolated to its condition, read at chosen knots
    only.
    """

    def __init__(
        self,
        tables: QuantileTables,
        node: Int[Tensor, "*#shape"],
        weight: Float[Tensor, "*#shape"],
        group: Int[Tensor, "*#shape"],
    ) -> None:
        _, groups, knots = tables.table.shape
        self.intervals = knots - 1
        self._flat, self._next, self._weight = tables.table.flatten(), groups * knots, weight
        self._base = (node * groups + group) * knots
        ends = torch.lerp(
            tables.reach[node, group], tables.reach[node + 1, group], weight[..., None]
        )
        self.low, self.spacing = ends[..., 0], (ends[..., 1] - ends[..., 0]) / self.intervals
        self.first, self.last = (
            self.at(torch.full_like(self._base, k)) for k in (0, self.intervals)
        )
        edge = self.intervals // _EDGE
        inner = [self.at(torch.full_like(self._base, k)) for k in (edge, self.intervals - edge)]
        self.slope = (inner[1] - inner[0]) / (self.spacing * (self.intervals - 2 * edge))

    def at(self, knot: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The tables at a knot of each number."""
        place = self._base + knot
        return torch.lerp(self._flat[place], self._flat[place + self._next], self._weight)


def _interpolate(
    at: Float[Tensor, " k"], x: Float[Tensor, " n"], y: Float[Tensor, " n"]
) -> Float[Tensor, " k"]:
    """Piecewise linear interpolation of increasing x, within their range."""
    upper = torch.searchsorted(x, at).clamp(1, len(x) - 1)
    fraction = ((at - x[upper - 1]) / (x[upper] - x[upper - 1])).clamp(0, 1)
    return torch.lerp(y[upper - 1], y[upper], fraction)


def _increasing(table: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """The table with equal neighbours set apart, so that it has an inverse."""
    return table.cummax(dim=0).values + 1e-9 * torch.arange(len(table)).to(table)
