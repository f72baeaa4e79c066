"""What is made of a network is kept as long as its weights stay."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from caloforge.learn.networks.folding import WhileSame


def moved(network: nn.Module) -> None:
    network.double()


def trained(network: nn.Module) -> None:
    network(torch.ones(4, 2)).sum().backward()
    torch.optim.SGD(network.parameters(), 0.1).step()


def normalised(network: nn.Module) -> None:
    network(torch.ones(4, 2))


def loaded(network: nn.Module) -> None:
    network.load_state_dict(copy.deepcopy(network.state_dict()))


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize("change", [moved, trained, normalised, loaded])
def test_a_change_of_the_network_is_noticed(change: Callable[[nn.Module], None]) -> None:
    network, kept, made = make(), WhileSame[int](), iter(range(9))
    assert [kept(network, made.__next__) for _ in range(3)] == [0, 0, 0]
    change(network)
    assert [kept(network, made.__next__) for _ in range(2)] == [1, 1]


def test_what_is_kept_can_be_differentiated_though_it_was_made_for_inference() -> None:
    network, kept = make(), WhileSame[nn.Module]()
    with torch.inference_mode():
        kept(network, lambda: copy.deepcopy(network))
    x = torch.ones(4, 2, requires_grad=True)
    kept(network, make)(x).sum().backward()
    assert x.grad is not None
