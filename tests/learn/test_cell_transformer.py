"""The transformer of cells: compact patches that hold each cell once, whatever the layers."""

import pytest
import torch
from torch import Tensor

from caloforge.detector import load_detector
from caloforge.geometry import (
    Calorimeter,
    CellLayer,
    Hexagons,
    LayeredCells,
    calochallenge_1_photons,
    ild_ecal,
)
from caloforge.learn.networks import CellTransformer
from caloforge.learn.networks.cell_transformer import compact_patches
from tests.catalogue import CALORIMETERS, name_of
from tests.models import stages

HEXAGONS = LayeredCells("hexagons", (CellLayer(Hexagons(8.0, 3)), CellLayer(Hexagons(12.0, 2))))
UNEVEN = [load_detector("calogan-3layer").calorimeter, calochallenge_1_photons(), HEXAGONS]
over_calorimeters = pytest.mark.parametrize("calorimeter", [*CALORIMETERS, *UNEVEN], ids=name_of)


def patches_of(calorimeter: Calorimeter, most: int) -> list[Tensor]:
    return compact_patches(calorimeter.layer_of_cell, calorimeter.transverse, most)


def network_of(calorimeter: Calorimeter, patch: int = 5) -> CellTransformer:
    torch.manual_seed(0)
    network = CellTransformer(
        calorimeter.layer_of_cell,
        calorimeter.transverse,
        patch,
        dim=12,
        heads=2,
        hidden=16,
        blocks=1,
        condition=3,
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


@over_calorimeters
@pytest.mark.parametrize("most", [1, 5, 12])
def test_patches_hold_each_cell_once_in_one_layer(calorimeter: Calorimeter, most: int) -> None:
    patches = patches_of(calorimeter, most)
    assert torch.equal(torch.cat(patches).sort().values, torch.arange(calorimeter.n_cells))
    for patch in patches:
        assert len(patch) <= most
        assert len(calorimeter.layer_of_cell[patch].unique()) == 1


def test_patches_are_compact() -> None:
    """Sixteen square cells of a layer of 8 x 8 are a square of 4 x 4."""
    grid = ild_ecal()
    places = grid.transverse[grid.layer_of_cell == 0]
    side = round(len(places) ** 0.5)
    size = float(places[:, 0].unique().diff()[0])
    most = (side // 2) ** 2
    for patch in compact_patches(torch.zeros(len(places), dtype=torch.int64), places, most):
        width = places[patch].amax(dim=0) - places[patch].amin(dim=0)
        assert width.tolist() == pytest.approx([size * (side // 2 - 1)] * 2)


@pytest.mark.parametrize("calorimeter", [stages.CYLINDER, *UNEVEN], ids=name_of)
def test_a_velocity_has_one_number_a_cell(calorimeter: Calorimeter) -> None:
    network, n = network_of(calorimeter), calorimeter.n_cells
    x, time, condition = torch.randn(4, 1, n), torch.rand(4), torch.randn(4, 3)
    velocity = network(x, time, condition)
    assert velocity.shape == x.shape
    assert velocity.std() > 0
    torch.testing.assert_close(network(x[1:3], time[1:3], condition[1:3]), velocity[1:3])


def test_each_cell_feels_every_other() -> None:
    """Also those in patches that are not full."""
    calorimeter = HEXAGONS
    network = network_of(calorimeter)
    x = torch.randn(1, 1, calorimeter.n_cells, requires_grad=True)
    last = network(x, torch.rand(1), torch.randn(1, 3))[0, 0, -1]
    (gradient,) = torch.autograd.grad(last, x)
    assert (gradient != 0).all()
