"""A calorimeter whose layers are cut alike, seen as an image."""

__all__ = ["image_cells"]

import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry.calorimeter import Calorimeter
from caloforge.geometry.cylinder import CylinderGrid
from caloforge.geometry.grids import RegularGrid


def image_cells(calorimeter: Calorimeter) -> Tensor:
    """The flat index of each cell in an image, with shape (layers, alpha, r) or, for boxes, (z, y,
    x).

    Raises:
        GeometryError: The layers differ, or cells are neither boxes nor rings.
    """
    cells = torch.arange(calorimeter.n_cells)
    if isinstance(calorimeter, RegularGrid):
        return cells.reshape(calorimeter.image_shape).permute(
            *(calorimeter.order.index(axis) for axis in "zyx")
        )
    cuts = (
        {(la.n_alpha, la.n_r) for la in calorimeter.cylinder_layers}
        if isinstance(calorimeter, CylinderGrid)
        else set()
    )
    if len(cuts) != 1:
        msg = (
            f"calorimeter '{calorimeter.name}' is no image, its layers are not cut alike: "
            "choose a dense network for it, not one that sees images"
        )
        raise GeometryError(msg)
    return cells.reshape(calorimeter.n_layers, *cuts.pop())
