r"""A dense network whose every layer is scaled and shifted by the condition: concat-squash, as in
CaloClouds (Buhmann et al., arXiv:2309.05704, after Luo and Hu, arXiv:2103.01458).

With :math:`c` the condition and the embedded time, a layer is

.. math:: h \leftarrow \mathrm{act}\bigl((W h + b) \odot \sigma(G c + g) + B c\bigr),

without the activation in the last one. Gates and shifts do not depend on :math:`h`: where many
points share a condition, they are computed once for all of them.
"""

__all__ = ["SquashedNetwork"]

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_FREQUENCY = 1.0
"""The standard deviation of the frequencies of the time's embedding, in turns."""

_SEED = 0

Modulations = tuple[Tensor, Tensor]
"""The gates and the shifts of all layers, one after the other, a row a condition."""


class SquashedNetwork(nn.Module):
    """The velocity of points with few numbers each, all alike and independent of each other.

    Arguments:
        numbers: Numbers in a point.
        widths: The widths of the hidden layers.
        condition: Numbers in the condition.
        time: The even number of components of the embedded time.
    """

    frequencies: Tensor

    def __init__(
        self, numbers: int, widths: Sequence[int], condition: int, *, time: int = 64
    ) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(_SEED)
        frequencies = _FREQUENCY * torch.randn(time // 2, generator=random)
        self.register_buffer("frequencies", frequencies)
        self.time = nn.Linear(time, time)
        ends = list(pairwise((numbers, *widths, numbers)))
        self.layers = nn.ModuleList([nn.Linear(*pair) for pair in ends])
        self.ends = [after for _, after in ends]
        self.gate = nn.Linear(condition + time, sum(self.ends))
        self.shift = nn.Linear(condition + time, sum(self.ends), bias=False)
        self._begin_at_rest()

    @torch.no_grad()
    def _begin_at_rest(self) -> None:
        """Make the velocity 0: between nearly normal ends it stays small."""
        for part in self.layers[-1].parameters():
            nn.init.zeros_(part)
        nn.init.zeros_(self.shift.weight[-self.ends[-1] :])

    def forward(
        self,
        x: Float[Tensor, "points numbers"],
        t: Float[Tensor, " points"],
        condition: Float[Tensor, "points condition"],
    ) -> Float[Tensor, "points numbers"]:
        """The velocity of points, each with a time and a condition of its own."""
        return self._squashed(x, *self.modulations(t, condition))

    def sharing(
        self, conditions: Float[Tensor, "rows condition"]
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """The same for points of one time that share conditions, of which each gives the number in
        place of its own.

        Arguments:
            conditions: The conditions.
        """

        def velocity(x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
            gates, shifts = self.modulations(t[:1].expand(len(conditions)), conditions)
            return self._squashed(x, gates[rows], shifts[rows])

        return velocity

    def modulations(
        self, t: Float[Tensor, " rows"], condition: Float[Tensor, "rows condition"]
    ) -> Modulations:
        """The gates and shifts of all layers, each one product: the bits of narrow products depend
        on the place of a row.
        """
        phase = 2 * math.pi * t[:, None] * self.frequencies
        time = self.time(torch.cat([phase.cos(), phase.sin()], dim=1))
        c = torch.cat([time, condition], dim=1)
        return self.gate(c).sigmoid(), self.shift(c)

    def _squashed(
        self,
        x: Float[Tensor, "points numbers"],
        gates: Float[Tensor, "points all"],
        shifts: Float[Tensor, "points all"],
    ) -> Float[Tensor, "points numbers"]:
        each = torch.split(gates, self.ends, dim=1), torch.split(shifts, self.ends, dim=1)
        last = len(self.ends) - 1
        for k, (layer, gate, shift) in enumerate(zip(self.layers, *each, strict=True)):
            x = torch.addcmul(shift, layer(x), gate)
            x = functional.leaky_relu(x) if k < last else x
        return x
