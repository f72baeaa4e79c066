r"""Mean and spread of a number that change with two conditions, as tables.

At nodes :math:`(p_i, q_j)` of each group stand the mean and the standard deviation of the numbers
seen nearby; between nodes they are bilinear, beyond them constant. A node near which few numbers of
a group lie leans on all groups, and where these are few, too, on all numbers.
"""

__all__ = ["MomentTables", "place_nodes"]

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

_FEW = 20.0
"""Numbers of all groups that weigh as much as those of a group, near a node."""

_NARROWEST = 0.05
"""The least spread of a node, in spreads of all numbers."""


def place_nodes(seen: Float[Tensor, " n"], number: int) -> Float[Tensor, " nodes"]:
    """Nodes at the conditions seen where these are few; or else at quantiles of them, evenly.

    Arguments:
        seen: The conditions.
        number: The number of nodes, at least 2.
    """
    values: Tensor = torch.unique(seen)
    if len(values) > number:
        rows = torch.linspace(0, len(seen) - 1, number, dtype=torch.float64).long()
        values = torch.unique(seen.sort().values[rows])
    beyond = values[-1] + 1 + torch.arange(number - len(values)).to(values)
    return torch.cat([values, beyond])


class MomentTables(nn.Module):
    """Mean and spread by group, p and q.

    Arguments:
        groups: The number of groups.
        p: The number of nodes in p, at least 2.
        q: The number of nodes in q, at least 2.
    """

    p: Tensor
    q: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, groups: int, p: int, q: int) -> None:
        super().__init__()
        self.register_buffer("p", torch.arange(p, dtype=torch.float64))
        self.register_buffer("q", torch.arange(q, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(groups, p, q, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(groups, p, q, dtype=torch.float64))

    def adapt(
        self,
        x: Float[Tensor, " n"],
        group: Int64[Tensor, " n"],
        p: Float[Tensor, " n"],
        q: Float[Tensor, " n"],
    ) -> "MomentTables":
        """Place the nodes and take the moments.

        Arguments:
            x: The numbers.
            group: The group of each.
            p: Its first condition.
            q: Its second condition.
        """
        self.p.copy_(place_nodes(p, len(self.p)))
        self.q.copy_(place_nodes(q, len(self.q)))
        self.take(x, group, p, q)
        return self

    def take(
        self,
        x: Float[Tensor, " n"],
        group: Int64[Tensor, " n"],
        p: Float[Tensor, " n"],
        q: Float[Tensor, " n"],
    ) -> None:
        """Take the moments at the nodes as they are; the arguments are those of `adapt`."""
        x = x.double()
        powers = torch.stack([torch.ones_like(x), x, x.square()], dim=1)
        sums = self.sums(powers, group, p, q)
        overall = powers.sum(dim=0)
        everywhere = overall / overall[:1].clamp_min(1e-300)
        pooled = sums.sum(dim=0, keepdim=True) + _FEW * everywhere
        sums = sums + _FEW * pooled / pooled[..., :1]
        mean = sums[..., 1] / sums[..., 0]
        variance = sums[..., 2] / sums[..., 0] - mean.square()
        least = _NARROWEST * (everywhere[2] - everywhere[1].square()).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.spread.copy_(variance.clamp_min(0).sqrt().clamp_min(least.clamp_min(1e-12)))

    def sums(
        self,
        x: Float[Tensor, "n k"],
        group: Int64[Tensor, " n"],
        p: Float[Tensor, " n"],
        q: Float[Tensor, " n"],
    ) -> Float[Tensor, "groups p q k"]:
        """The sums of numbers near each node, by nearness; the other arguments are those of
        `adapt`.
        """
        corner, weight = self._corners(group, p, q)
        sums = x.new_zeros(self.mean.numel(), x.shape[1])
        for k in range(4):
            sums.index_add_(0, corner[:, k], weight[:, k, None] * x)
        return sums.view(*self.mean.shape, -1)

    def _corners(
        self, group: Int64[Tensor, " n"], p: Float[Tensor, " n"], q: Float[Tensor, " n"]
    ) -> tuple[Int64[Tensor, "n 4"], Float[Tensor, "n 4"]]:
        """The four nodes around each number, and their weights."""
        (i, u), (j, v) = _placed(self.p, p), _placed(self.q, q)
        base = (group * len(self.p) + i) * len(self.q) + j
        steps = torch.tensor([0, 1, len(self.q), len(self.q) + 1], device=base.device)
        weights = [(1 - u) * (1 - v), (1 - u) * v, u * (1 - v), u * v]
        return base[:, None] + steps, torch.stack(weights, dim=1)

    def at(
        self, group: Int64[Tensor, " n"], p: Float[Tensor, " n"], q: Float[Tensor, " n"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Mean and spread at conditions; the arguments are those of `adapt`."""
        return self.between(self.mean, group, p, q), self.between(self.spread, group, p, q)

    def between(
        self,
        values: Float[Tensor, "groups p q"],
        group: Int64[Tensor, " n"],
        p: Float[Tensor, " n"],
        q: Float[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """Values known at the nodes, at conditions; the arguments are those of `adapt`."""
        corner, weight = self._corners(group, p, q)
        return (values.flatten()[corner] * weight).sum(dim=1)


def _placed(
    nodes: Float[Tensor, " nodes"], at: Float[Tensor, " n"]
) -> tuple[Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """The node below each condition, and how far on the way to the next."""
    below = torch.searchsorted(nodes, at.double().contiguous(), right=True)
    below = below.clamp(1, len(nodes) - 1) - 1
    left, right = nodes[below], nodes[below + 1]
    return below, ((at - left) / (right - left)).clamp(0, 1)
