r"""A transformer for numbers of cells that lie anywhere, in layers that are divided unlike.

A layer is halved across its longer side, again and again, until its parts have at most p cells:
compact *patches*, however the cells are shaped. A patch is a token of p numbers, 0 where it has
fewer cells. Tokens attend to each other under an embedded time and condition as in
`caloforge.learn.networks.vision`; their positions are layer, x and y of their centres.
"""

__all__ = ["CellTransformer", "compact_patches"]

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from caloforge.learn.networks.vision import PatchTransformer


def compact_patches(
    layer_of_cell: Int64[Tensor, " cells"], places: Float[Tensor, "cells 2"], most: int
) -> list[Int64[Tensor, " _"]]:
    """The cells of each layer in compact groups of at most so many, of equal number but for one.

    Arguments:
        layer_of_cell: The layer of each cell.
        places: Where each cell lies in it.
        most: The most cells of a group, at least 1.
    """
    return [
        patch
        for layer in range(int(layer_of_cell.max()) + 1)
        for patch in _halved((layer_of_cell == layer).nonzero()[:, 0], places, most)
    ]


def _halved(
    cells: Int64[Tensor, " some"], places: Float[Tensor, "cells 2"], most: int
) -> list[Int64[Tensor, " _"]]:
    parts = -(-len(cells) // most)
    if parts == 1:
        return [cells]
    across = places[cells]
    axis = int((across.amax(dim=0) - across.amin(dim=0)).argmax())
    ordered = cells[across[:, axis].argsort(stable=True)]
    end = len(cells) * (parts // 2) // parts
    return _halved(ordered[:end], places, most) + _halved(ordered[end:], places, most)


class CellTransformer(PatchTransformer):
    """A velocity of one number a cell, by attention between patches of cells.

    Arguments:
        layer_of_cell: The layer of each cell, with shape (cells).
        places: Where each cell lies in it, with shape (cells, 2).
        patch: The most cells of a patch.
        dim: Width of a patch's vector, even, at least 6 and a multiple of heads.
        heads: Heads of the attention.
        hidden: Width inside the dense networks.
        blocks: Blocks.
        condition: Width of the condition.

    Raises:
        ModelError: The width does not fit.
    """

    cells: Tensor
    entry: Tensor

    def __init__(
        self,
        layer_of_cell: Int64[Tensor, " cells"],
        places: Float[Tensor, "cells 2"],
        patch: int,
        *,
        dim: int,
        heads: int,
        hidden: int,
        blocks: int,
        condition: int,
    ) -> None:
        patches = compact_patches(layer_of_cell, places, patch)
        table = nn.utils.rnn.pad_sequence(patches, batch_first=True, padding_value=-1)
        centres = _centres(layer_of_cell, places, patches)
        sizes = {"dim": dim, "heads": heads, "hidden": hidden, "blocks": blocks}
        super().__init__(centres, table.shape[1], condition, **sizes, exact_gelu=False)
        self.register_buffer("cells", table, persistent=False)
        self.register_buffer("entry", _entries(table, len(places)), persistent=False)

    def forward(
        self,
        x: Float[Tensor, "batch 1 cells"],
        time: Float[Tensor, " batch"],
        condition: Float[Tensor, "batch condition"],
    ) -> Float[Tensor, "batch 1 cells"]:
        """The velocity at x.

        Arguments:
            x: The numbers of the cells.
            time: The time, in [0, 1].
            condition: Numbers of order 1.
        """
        tokens = torch.where(self.cells < 0, 0.0, x[:, 0, self.cells])
        return self.moved(tokens, time, condition).flatten(1)[:, None, self.entry]


def _entries(table: Int64[Tensor, "patches most"], cells: int) -> Int64[Tensor, " cells"]:
    """Where each cell stands in the flat table."""
    entry = torch.empty(cells, dtype=torch.int64)
    flat = table.flatten()
    entry[flat[flat >= 0]] = (flat >= 0).nonzero()[:, 0]
    return entry


def _centres(
    layer_of_cell: Int64[Tensor, " cells"],
    places: Float[Tensor, "cells 2"],
    patches: list[Int64[Tensor, " _"]],
) -> Float[Tensor, "patches 3"]:
    """Layer, x and y of the patches, each scaled to (0, 1)."""
    layer = (layer_of_cell + 0.5) / (layer_of_cell.max() + 1)
    low, high = places.amin(dim=0), places.amax(dim=0)
    across = (places - low) / (high - low).clamp_min(torch.finfo(places.dtype).tiny)
    where = torch.cat([layer[:, None], across], dim=1).float()
    return torch.stack([where[patch].mean(dim=0) for patch in patches])
