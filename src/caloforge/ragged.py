r"""Rows that belong to showers, as many to each as it has.

The rows of shower i are :math:`o_i \le h < o_{i+1}` of some columns, the offsets :math:`o` first.
"""

__all__ = [
    *("chosen_rows", "joined_offsets", "kept_offsets", "offsets_of"),
    *("require_offsets", "shower_of_row"),
]

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.particles import Rows


def require_offsets(offsets: Tensor, showers: int, rows: int, what: str) -> None:
    """Check that offsets cut rows into showers.

    Arguments:
        offsets: The row of each shower's first, and behind the last the number of all, int64, with
            shape (showers + 1).
        showers: The number of showers.
        rows: The number of all rows.
        what: What a row is, in the plural, for the message.

    Raises:
        ShowerValueError: They do not.
    """
    good = offsets.dtype == torch.int64 and tuple(offsets.shape) == (showers + 1,)
    if not good or offsets[0] != 0 or offsets[-1] != rows or bool((offsets.diff() < 0).any()):
        msg = (
            f"offsets of {what} have shape {tuple(offsets.shape)} and type {offsets.dtype}, "
            f"expected ({showers + 1},) and torch.int64, ascending from 0 to {rows}, the number of "
            f"{what}"
        )
        raise ShowerValueError(msg)


def offsets_of(numbers: Int64[Tensor, " showers"]) -> Int64[Tensor, " offsets"]:
    """The offsets of showers that have so many rows each."""
    return torch.cat([numbers.new_zeros(1), numbers.cumsum(dim=0)])


def chosen_rows(offsets: Tensor, index: Rows) -> tuple[Rows, Tensor]:
    """The rows of some showers, a slice of them where the showers are one, and the offsets among
    these rows.
    """
    if isinstance(index, slice) and (some := range(len(offsets) - 1)[index]).step == 1:
        ends = offsets[some.start : max(some.start, some.stop) + 1]
        return slice(int(ends[0]), int(ends[-1])), ends - ends[0]
    first, number = offsets[:-1][index], offsets.diff()[index]
    chosen = offsets_of(number)
    rows = torch.repeat_interleave(first - chosen[:-1], number)
    return rows + torch.arange(len(rows), device=rows.device), chosen


def shower_of_row(offsets: Tensor) -> Int64[Tensor, " rows"]:
    """The number of each row's shower."""
    showers = torch.arange(len(offsets) - 1, device=offsets.device)
    return torch.repeat_interleave(showers, offsets.diff(), output_size=int(offsets[-1]))


def kept_offsets(offsets: Tensor, kept: Bool[Tensor, " rows"]) -> Tensor:
    """The offsets among the rows that are kept."""
    return offsets_of(kept.long())[offsets]


def joined_offsets(parts: Sequence[Tensor]) -> Tensor:
    """The offsets of samples, one after the other."""
    return offsets_of(torch.cat([offsets.diff() for offsets in parts]))
