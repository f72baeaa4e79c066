r"""Which start of a flow goes with which end: optimal transport within groups (Tong et al.,
arXiv:2302.00482; layer by layer in AllShowers, arXiv:2601.11716).

Points of a cloud have no order. Paired so that the sum of squared distances is least, starts and
ends are joined by paths that hardly cross, and the velocity is easier to learn.
"""

__all__ = ["coupled"]

import torch
from jaxtyping import Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor

_MOST = 256
"""Points that are paired at a time: of a larger group some with some."""


def coupled(
    start: Float[Tensor, "points numbers"],
    end: Float[Tensor, "points numbers"],
    group: Int64[Tensor, " points"],
) -> Float[Tensor, "points numbers"]:
    """The starts in the order of their ends, each group's among themselves.

    Arguments:
        start: The starts, random in order.
        end: The ends, random in order or in groups of at most 256.
        group: The group of each, ascending.
    """
    sizes = torch.unique_consecutive(group, return_counts=True)[1].tolist()
    parts = zip(torch.split(start, sizes), torch.split(end, sizes), strict=True)
    pieces = [
        _paired(*some)
        for part in parts
        for some in zip(*(torch.split(side, _MOST) for side in part), strict=True)
    ]
    return torch.cat([start[:0], *pieces])


def _paired(
    start: Float[Tensor, "some numbers"], end: Float[Tensor, "some numbers"]
) -> Float[Tensor, "some numbers"]:
    cost = (end[:, None] - start).square().sum(dim=2)
    _, column = linear_sum_assignment(cost.detach().cpu().numpy())
    return start[torch.from_numpy(column).to(start.device)]
