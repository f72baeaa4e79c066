r"""How far the showers of an exported graph are from the model's, for the same inputs.

With :math:`x_{ic}` the model's deposits and :math:`y_{ic}` those of the exported graph, the
difference of shower :math:`i` is

.. math:: d_i = \sum_c |x_{ic} - y_{ic}| \Big/ \sum_c x_{ic},

the part of its energy that lies elsewhere. Other kernels round otherwise, which moves
:math:`d_i` to some 1e-6. Where rounding decides whether a cell is hit, a shower differs in that one
cell: such *flips* are counted apart, and may be one in a thousand.
"""

__all__ = ["LARGEST", "Parity", "parity"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.errors import ExportError

LARGEST = 1e-4
"""The largest difference of a shower."""

_FLIPS = 1e-3
_LEAST = 1e-12


@dataclass(frozen=True)
class Parity:
    """The comparison of an exported graph with its model.

    Arguments:
        showers: How many were compared.
        difference: The largest difference :math:`d_i` of showers without a flip.
        flips: The number of showers with a flip.
        sums: The largest relative difference of an energy sum.
    """

    showers: int
    difference: float
    flips: int
    sums: float

    def __str__(self) -> str:
        flips = f", {self.flips} with a cell that rounding decides" if self.flips else ""
        return f"{self.difference:.1e} over {self.showers} showers{flips}"

    def require(self, what: str) -> None:
        """Check that both agree.

        Raises:
            ExportError: A shower differs by more than `LARGEST`, or too many have flips.
        """
        if max(self.difference, self.sums) > LARGEST or self.flips > _FLIPS * self.showers + 1:
            msg = (
                f"{what}: its showers differ from the model's by {self}, in their sums by "
                f"{self.sums:.1e}; expected at most {LARGEST:g}: it is not written"
            )
            raise ExportError(msg)


def parity(
    model: Callable[..., Tensor],
    exported: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    at_a_time: int = 50,
) -> Parity:
    """Compare an exported graph with its model.

    Arguments:
        model: The graph of the model, in torch.
        exported: What runs the exported one.
        inputs: The inputs of both.
        at_a_time: How many showers a batch holds.
    """
    with torch.no_grad():
        parts = [
            _differences(model(*some), exported(*some))
            for some in zip(*(_parts(tensor, at_a_time) for tensor in inputs), strict=True)
        ]
    difference, sums, flipped = (torch.cat(found) for found in zip(*parts, strict=True))
    rest = difference[~flipped]
    return Parity(
        len(difference),
        float(rest.max()) if len(rest) else 0.0,
        int(flipped.sum()),
        float(sums.max()),
    )


def _parts(tensor: Tensor, size: int) -> Sequence[Tensor]:
    return [tensor[start : start + size] for start in range(0, len(tensor), size)]


def _differences(
    x: Float[Tensor, "showers cells"], y: Float[Tensor, "showers cells"]
) -> tuple[Tensor, Tensor, Tensor]:
    x, y = x.double().flatten(1), y.double().flatten(1)
    total = x.sum(dim=1).clamp_min(_LEAST)
    y = torch.where(y.isfinite(), y, torch.inf)
    difference, sums = (x - y).abs().sum(dim=1) / total, (x.sum(dim=1) - y.sum(dim=1)).abs() / total
    flipped = (((x > 0) != (y > 0)).any(dim=1)) & (difference > LARGEST)
    return difference, sums, flipped
