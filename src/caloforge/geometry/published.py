"""The calorimeters of the public data sets, by name."""

__all__ = [
    "calochallenge_1_photons",
    "calochallenge_1_pions",
    "calochallenge_2",
    "calochallenge_3",
    "ild_ecal",
    "named_calorimeters",
    "pbwo4_crystals",
]

from caloforge.geometry.calorimeter import Calorimeter
from caloforge.geometry.cylinder import CylinderGrid, CylinderLayer
from caloforge.geometry.grids import RegularGrid


def pbwo4_crystals() -> RegularGrid:
    """The benchmark of SQuIRELS (arXiv:2308.12339, section III): 10 x 10 crystals of 30 x 30 x 240
    mm^3, index 10 ix + iy.
    """
    return RegularGrid("pbwo4-10x10", shape=(10, 10, 1), cell_size=(30.0, 30.0, 240.0), order="zxy")


def calochallenge_1_photons() -> CylinderGrid:
    """CaloChallenge dataset 1, photons: 368 voxels in 5 layers of the ATLAS calorimeter,
    `binning_dataset_1_photons.xml`_.

    Layers without voxels are left out; the files do not hold the thickness of the others.

    .. _binning_dataset_1_photons.xml: https://github.com/CaloChallenge/homepage/blob/main/code/binning_dataset_1_photons.xml
    """
    layers = (
        CylinderLayer((0, 5, 10, 30, 50, 100, 200, 400, 600), 1, id=0),
        CylinderLayer((0, 2, 4, 6, 8, 10, 12, 15, 20, 30, 40, 50, 70, 90, 120, 150, 200), 10, id=1),
        CylinderLayer(
            (0, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 130, 160, 200, 250, 300, 350, 400),
            10,
            id=2,
        ),
        CylinderLayer((0, 50, 100, 200, 400, 600), 1, id=3),
        CylinderLayer((0, 100, 200, 400, 1000, 2000), 1, id=12),
    )
    return CylinderGrid("calochallenge-1-photons", layers)


def calochallenge_1_pions() -> CylinderGrid:
    """CaloChallenge dataset 1, pions: 533 voxels in 7 layers of the ATLAS calorimeter,
    `binning_dataset_1_pions.xml`_.

    Layers without voxels are left out; the files do not hold the thickness of the others.

    .. _binning_dataset_1_pions.xml: https://github.com/CaloChallenge/homepage/blob/main/code/binning_dataset_1_pions.xml
    """
    far = (0, 10, 20, 30, 50, 80, 100, 130, 160, 200, 250, 300, 350, 400)
    layers = (
        CylinderLayer((0, 5, 10, 30, 50, 100, 200, 400, 600), 1, id=0),
        CylinderLayer((0, 1, 4, 7, 10, 15, 30, 50, 90, 150, 200), 10, id=1),
        CylinderLayer((0, 5, 10, 20, 30, 50, 80, 130, 200, 300, 400), 10, id=2),
        CylinderLayer((0, 50, 100, 200, 400, 600), 1, id=3),
        CylinderLayer((*far, 1000, 2000), 10, id=12),
        CylinderLayer((*far, 600, 1000, 2000), 10, id=13),
        CylinderLayer((0, 50, 100, 150, 200, 250, 300, 400, 600, 1000, 2000), 1, id=14),
    )
    return CylinderGrid("calochallenge-1-pions", layers)


def calochallenge_2() -> CylinderGrid:
    """CaloChallenge dataset 2, the Par04 detector: 45 layers of 3.4 mm, 16 bins in alpha, 9 of 4.65
    mm in r: 6,480 voxels.
    """
    return _par04("calochallenge-2", n_r=9, n_alpha=16, width=4.65)


def calochallenge_3() -> CylinderGrid:
    """CaloChallenge dataset 3, the Par04 detector: 45 layers of 3.4 mm, 50 bins in alpha, 18 of
    2.325 mm in r: 40,500 voxels.
    """
    return _par04("calochallenge-3", n_r=18, n_alpha=50, width=2.325)


def _par04(name: str, n_r: int, n_alpha: int, width: float) -> CylinderGrid:
    """A layer is two plates of 1.4 mm tungsten and 0.3 mm silicon each."""
    r_edges = tuple(width * i for i in range(n_r + 1))
    return CylinderGrid(name, tuple(CylinderLayer(r_edges, n_alpha, 3.4, k) for k in range(45)))


def ild_ecal() -> RegularGrid:
    """The 30 x 30 x 30 cells of 5 x 5 mm^2 cut out of the ILD's calorimeter (arXiv:2005.05334),
    index (layer, y, x).

    The layers are 5.25 mm deep (20 with 2.1 mm of tungsten), then 7.35 mm (10 with 4.2 mm). A
    regular grid has one depth for all: the mean, 5.95 mm. Positions in depth are therefore those of
    layer numbers, in units of 5.95 mm.
    """
    return RegularGrid("ild-ecal-30", shape=(30, 30, 30), cell_size=(5.0, 5.0, 5.95), order="zyx")


def named_calorimeters() -> dict[str, Calorimeter]:
    """The calorimeters that the package knows by name."""
    known = (
        *(pbwo4_crystals(), calochallenge_1_photons(), calochallenge_1_pions()),
        *(calochallenge_2(), calochallenge_3(), ild_ecal()),
    )
    return {calorimeter.name: calorimeter for calorimeter in known}
