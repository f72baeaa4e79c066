"""The symmetry group of a calorimeter's cells, see `caloforge.geometry.calorimeter`."""

__all__ = ["Symmetries"]

from typing import NamedTuple

import torch
from torch import Tensor


class Symmetries(NamedTuple):
    """A symmetry group, identity first: permutations of the cells, each with its matrix."""

    permutations: Tensor
    """With shape (group, cells)."""
    matrices: Tensor
    """In the transverse plane, orthogonal, float64, with shape (group, 2, 2)."""

    @staticmethod
    def distinct(permutations: list[Tensor], matrices: list[Tensor]) -> "Symmetries":
        """Each permutation once, with the first of its matrices; the identity comes first because
        it is the least of all in lexical order.
        """
        unique, which = torch.unique(torch.stack(permutations), dim=0, return_inverse=True)
        first = [which.tolist().index(g) for g in range(len(unique))]
        return Symmetries(unique, torch.stack(matrices)[first])
