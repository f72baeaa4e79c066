"""Networks: symmetry, numbers of parameters, gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from caloforge.geometry import RegularGrid, pbwo4_crystals
from caloforge.learn.networks import (
    DihedralLinear,
    DihedralNetwork,
    SquashedNetwork,
    SquirelsEnergyNetwork,
    SquirelsShapeNetwork,
    sinusoids,
)
from caloforge.learn.networks.dihedral import fourier_matrix


def rotations(grid: RegularGrid) -> Tensor:
    plane = grid.centres[:, :2]
    return torch.stack(
        [torch.linalg.lstsq(plane, plane[image]).solution.t() for image in grid.symmetries]
    ).round()


def dihedral(grid: RegularGrid) -> DihedralNetwork:
    return DihedralNetwork(
        grid.symmetries, rotations(grid), scalars=2, channels=8, blocks=2, condition=16
    )


def conditioned(grid: RegularGrid) -> DihedralNetwork:
    return DihedralNetwork(
        grid.symmetries,
        grid.symmetry_matrices,
        scalars=2,
        channels=8,
        blocks=2,
        condition=16,
        invariants=3,
        vectors=2,
    )


def shaken(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "squashed": (
        lambda: SquashedNetwork(3, (8, 16), 4, time=8),
        (torch.randn(5, 3), torch.rand(5), torch.randn(5, 4)),
    ),
    "dihedral": (
        lambda: dihedral(pbwo4_crystals()),
        (torch.randn(5, 102), torch.rand(5), torch.randn(5)),
    ),
    "dihedral, conditioned": (
        lambda: conditioned(pbwo4_crystals()),
        (torch.randn(5, 102), torch.rand(5), torch.randn(5, 8)),
    ),
    "squirels-energy": (
        SquirelsEnergyNetwork,
        (torch.randn(5, 1), torch.arange(5.0), torch.rand(5, 1)),
    ),
    "squirels-shape": (
        lambda: SquirelsShapeNetwork((10, 10)),
        (torch.randn(5, 100), torch.arange(5.0), torch.rand(5, 3)),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gives_what_it_takes_and_every_parameter_gets_a_gradient(name: str) -> None:
    make, inputs = NETWORKS[name]
    network = shaken(make())
    out = network(*inputs)
    assert out.shape == inputs[0].shape
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_do_not_mix(name: str) -> None:
    make, inputs = NETWORKS[name]
    network = shaken(make())
    torch.testing.assert_close(
        network(*inputs)[3:], network(*(i[3:] for i in inputs)), rtol=1e-3, atol=1e-3
    )


def test_published_numbers_of_parameters() -> None:
    counts = [
        sum(p.numel() for p in n.parameters())
        for n in (SquirelsEnergyNetwork(), SquirelsShapeNetwork((10, 10)))
    ]
    assert counts == [691_969, 173_280]


@pytest.mark.parametrize(
    "grid", [pbwo4_crystals(), RegularGrid("odd", (5, 5, 2), (1.0, 1.0, 2.0))], ids=lambda g: g.name
)
def test_dihedral_network_commutes_with_the_symmetries(grid: RegularGrid) -> None:
    network = shaken(dihedral(grid)).double()
    x, time, condition = (
        torch.randn(3, grid.n_cells + 2).double(),
        torch.rand(3).double(),
        torch.randn(3).double(),
    )
    cells, scalars = x[:, : grid.n_cells], x[:, grid.n_cells :]
    straight = network(x, time, condition)
    for image in grid.symmetries:
        turned = network(torch.cat([cells[:, image], scalars], dim=1), time, condition)
        torch.testing.assert_close(turned[:, : grid.n_cells], straight[:, : grid.n_cells][:, image])
        torch.testing.assert_close(turned[:, grid.n_cells :], straight[:, grid.n_cells :])


def test_fourier_matrix_is_orthogonal_and_block_diagonalises() -> None:
    """Every map that commutes with the translations is one of the layer's: 4 + 4 numbers a pair of
    channels.
    """
    matrix = fourier_matrix(rotations(pbwo4_crystals()))
    torch.testing.assert_close(matrix @ matrix.t(), torch.eye(8).double())
    layer = DihedralLinear(matrix, 1, 1)
    assert layer.scalar.numel() + layer.vector.numel() == 8


def test_sinusoids_tell_neighbouring_steps_apart() -> None:
    embedded = sinusoids(torch.arange(20.0), 128)
    assert torch.cdist(embedded, embedded)[~torch.eye(20, dtype=torch.bool)].min() > 1


def test_a_field_turns_with_the_shower_and_its_condition() -> None:
    grid = pbwo4_crystals()
    network = shaken(conditioned(grid))
    x, time, condition = torch.randn(5, 102), torch.rand(5), torch.randn(5, 8)
    before = network(x, time, condition)
    for cells, matrix in zip(grid.symmetries, grid.symmetry_matrices.float(), strict=True):
        pairs = condition[:, 4:].reshape(5, 2, 2) @ matrix
        turned = torch.cat([condition[:, :4], pairs.flatten(1)], dim=1)
        after = network(torch.cat([x[:, cells], x[:, 100:]], dim=1), time, turned)
        expected = torch.cat([before[:, cells], before[:, 100:]], dim=1)
        torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-4)
        alone = network(torch.cat([x[:, cells], x[:, 100:]], dim=1), time, condition)
        assert torch.equal(cells, grid.symmetries[0]) or not torch.allclose(alone, expected, 1e-3)
