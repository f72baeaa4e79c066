"""A calorimeter says where the cells are.

A `Calorimeter` is a table of cells (layer, centre, volume) with the answers that physics asks of
it. `RegularGrid` and `LayeredGrid` are boxes, `CylinderGrid` is voxels around the shower axis,
`LayeredCells` layers of hexagons or staggered boxes, `CellTable` any list of cells. Those of the
public data sets have names, see `named_calorimeters`.
"""

__all__ = [
    "Boxes",
    "Calorimeter",
    "CellLayer",
    "CellTable",
    "CylinderGrid",
    "CylinderLayer",
    "GridLayer",
    "Hexagons",
    "LayeredCells",
    "LayeredGrid",
    "RegularGrid",
    "Rings",
    "Slices",
    "Staggered",
    "calochallenge_1_photons",
    "calochallenge_1_pions",
    "calochallenge_2",
    "calochallenge_3",
    "ild_ecal",
    "named_calorimeters",
    "pbwo4_crystals",
]

from caloforge.geometry.calorimeter import Calorimeter
from caloforge.geometry.cell_table import CellTable
from caloforge.geometry.cylinder import CylinderGrid, CylinderLayer
from caloforge.geometry.divisions import Boxes, Rings, Slices
from caloforge.geometry.grids import GridLayer, LayeredGrid, RegularGrid
from caloforge.geometry.layered_cells import CellLayer, LayeredCells
from caloforge.geometry.patterns import Hexagons, Staggered
from caloforge.geometry.published import (
    calochallenge_1_photons,
    calochallenge_1_pions,
    calochallenge_2,
    calochallenge_3,
    ild_ecal,
    named_calorimeters,
    pbwo4_crystals,
)
