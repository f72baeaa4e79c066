"""Padding of an axis that is a circle."""

__all__ = ["Circular", "wrapped"]

import torch
from jaxtyping import Float
from torch import Tensor, nn


def wrapped(x: Tensor, start: int, stop: int, dim: int) -> Tensor:
    """Positions of an axis that continues at both ends as a circle does.

    Arguments:
        x: The tensor, with n positions on the axis.
        start: The first position, at most 0.
        stop: The position behind the last one, at least n.
        dim: The axis.
    """
    n = x.shape[dim]
    before, after = -start, stop - n
    if not before and not after:
        return x
    if max(before, after) > n:
        return x.index_select(dim, torch.arange(start, stop, device=x.device) % n)
    return torch.cat([x.narrow(dim, n - before, before), x, x.narrow(dim, 0, after)], dim=dim)


class Circular(nn.Module):
    """Pads an axis that is a circle.

    Arguments:
        reach: Positions to add at each end.
        dim: The axis.
    """

    def __init__(self, reach: int, dim: int) -> None:
        super().__init__()
        self.reach, self.dim = reach, dim

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The padded tensor."""
        return wrapped(x, -self.reach, x.shape[self.dim] + self.reach, self.dim)
