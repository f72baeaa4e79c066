r"""The symmetry of a calorimeter as a network and a representation use it.

A symmetry group :math:`G` of permutations :math:`\pi_g` of the cells splits the cells into
*orbits*: cells that some symmetry maps onto each other. One cell of each orbit, its representative,
stands for all. *Lifting* reads a shower :math:`x` along the group,

.. math:: f_o(g) = x_{\pi_g(o)},

so that a permuted shower :math:`x' = x \circ \pi_h` has :math:`f'(g) = f(h g)`: the group acts on
lifted fields by translation, whatever the size of the orbit. *Lowering* goes back and averages over
the group elements that meet in one cell.
"""

__all__ = ["Orbits"]

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Orbits(nn.Module):
    """The orbits of the cells under a group of permutations, with lifting and lowering.

    Arguments:
        symmetries: The group, identity first: int64 permutations with shape (group, cells).
    """

    members: Tensor
    orbit: Tensor
    _multiplicity: Tensor

    def __init__(self, symmetries: Int[Tensor, "group cells"]) -> None:
        super().__init__()
        representatives = torch.unique(symmetries.min(dim=0).values)
        members = symmetries[:, representatives]
        orbit = torch.empty(symmetries.shape[1], dtype=torch.int64)
        orbit[members] = torch.arange(len(representatives)).expand_as(members)
        multiplicity = torch.bincount(members.flatten(), minlength=symmetries.shape[1])
        self.register_buffer("members", members, persistent=False)
        self.register_buffer("orbit", orbit, persistent=False)
        self.register_buffer("_multiplicity", multiplicity[:, None].float(), persistent=False)

    @property
    def n_orbits(self) -> int:
        """Number of orbits."""
        return self.members.shape[1]

    def lift(self, cells: Float[Tensor, "showers cells"]) -> Float[Tensor, "group showers orbits"]:
        """Read one value a cell along the group."""
        return cells.t()[self.members].transpose(1, 2)

    def lower(self, field: Float[Tensor, "group showers orbits"]) -> Float[Tensor, "showers cells"]:
        """Average a lifted field back to one value a cell."""
        rows = field.transpose(1, 2).reshape(-1, field.shape[1])
        cells = rows.new_zeros(len(self._multiplicity), field.shape[1])
        return (cells.index_add(0, self.members.flatten(), rows) / self._multiplicity).t()
