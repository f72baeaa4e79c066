"""What the networks share: dense stacks and the padding of a circle."""

import pytest
import torch
from torch import nn

from caloforge.learn.networks.circular import Circular, wrapped
from caloforge.learn.networks.dense import dense


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (-2, 6), (-5, 10), (0, 7), (-7, 12), (-11, 5)])
@pytest.mark.parametrize("dim", [0, 2])
def test_a_circle_continues_at_both_ends(start: int, stop: int, dim: int) -> None:
    x = torch.rand(2, 3, 5).movedim(2, dim)
    expected = torch.stack([x.select(dim, k % 5) for k in range(start, stop)], dim=dim)
    assert torch.equal(wrapped(x, start, stop, dim), expected)


def test_turning_a_circle_turns_what_a_convolution_makes_of_it() -> None:
    layer = nn.Sequential(Circular(2, dim=2), nn.Conv1d(1, 4, 5))
    x = torch.rand(3, 1, 8)
    torch.testing.assert_close(layer(x.roll(3, dims=2)), layer(x).roll(3, dims=2))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_dense_network_ends_in_a_linear_layer(dropout: float) -> None:
    network = dense((3, 7, 5, 2), nn.SiLU, dropout)
    kinds = [nn.Linear, nn.SiLU, nn.Dropout] if dropout else [nn.Linear, nn.SiLU]
    assert [type(layer) for layer in network] == [*kinds, *kinds, nn.Linear]
    assert [p.shape[0] for p in network.parameters()] == [7, 7, 5, 5, 2, 2]
    assert network(torch.rand(4, 3)).shape == (4, 2)
