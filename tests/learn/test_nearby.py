"""The transformer of points that see those nearby, beside one that sees all through a mask; and the
pairs of a flow by optimal transport.
"""

from itertools import permutations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from caloforge.learn.networks import NearbyTransformer, windows
from caloforge.learn.networks.nearby import _Block
from caloforge.learn.processes import coupled

NUMBERS = torch.tensor([[3, 0, 9, 1, 20], [0, 0, 0, 0, 0], [1, 17, 0, 0, 2]])


def group_of_point() -> tuple[Tensor, Tensor]:
    rows = torch.arange(NUMBERS.numel()).repeat_interleave(NUMBERS.flatten())
    return rows // NUMBERS.shape[1], rows % NUMBERS.shape[1]


@pytest.mark.parametrize("reach", [1, 2, 9])
def test_points_see_all_of_the_layers_nearby_and_no_others(reach: int) -> None:
    shower, layer = group_of_point()
    near = (layer[:, None] - layer).abs() <= reach
    expected = near & (shower[:, None] == shower)
    sees = torch.zeros_like(expected)
    for window in windows(NUMBERS, reach):
        for asking, seen in zip(window.asking, window.seen, strict=True):
            sees[asking[asking >= 0][:, None], seen[seen >= 0]] = True
    assert torch.equal(sees, expected)


@torch.no_grad()
def test_attention_in_windows_is_that_through_a_mask() -> None:
    torch.manual_seed(0)
    block, (shower, layer) = _Block(8, 2, 16).double(), group_of_point()
    h = torch.randn(len(shower), 8, dtype=torch.float64)
    near = ((layer[:, None] - layer).abs() <= 1) & (shower[:, None] == shower)
    q, k, v = block.projections(block.before_attention(h)).chunk(3, dim=1)
    heads = [part.unflatten(1, (2, 4)).transpose(0, 1) for part in (q, k, v)]
    scores = (heads[0] @ heads[1].transpose(1, 2) / 2).masked_fill(~near, -torch.inf)
    seen = (functional.softmax(scores, dim=2) @ heads[2]).transpose(0, 1).flatten(1)
    expected = h + seen + block.dense(block.before_dense(h))
    torch.testing.assert_close(block(h, windows(NUMBERS, 1)), expected)


def test_a_shower_moves_as_if_it_were_alone() -> None:
    torch.manual_seed(0)
    network = NearbyTransformer(3, 2, 5, dim=8, heads=2, hidden=16, blocks=2, counts=4)
    torch.nn.init.normal_(network.leave.weight)
    shower, layer = group_of_point()
    x, known = torch.randn(len(shower), 3), torch.randn(len(shower), 2)

    def velocity(which: Tensor, numbers: Tensor) -> Tensor:
        own = torch.unique_consecutive(shower[which], return_inverse=True)[1]
        context = network.context(known[which], layer[which], own, numbers)
        time = torch.full((int(which.sum()),), 0.3)
        moved: Tensor = network(x[which], time, context, windows(numbers, 2))
        return moved

    whole = velocity(shower >= 0, NUMBERS[[0, 2]])
    for number in (0, 2):
        alone = velocity(shower == number, NUMBERS[[number]])
        torch.testing.assert_close(alone, whole[shower == number])


def test_starts_go_with_the_nearest_ends() -> None:
    """The best of all orders, in each group."""
    random = torch.Generator().manual_seed(1)
    start, end = torch.randn(2, 9, 3, generator=random)
    group = torch.tensor([0] * 4 + [3] * 5)
    found = coupled(start, end, group)
    for own in (group == 0, group == 3):
        orders = [list(order) for order in permutations(range(int(own.sum())))]
        best = min((start[own][order] - end[own]).square().sum() for order in orders)
        torch.testing.assert_close((found[own] - end[own]).square().sum(), best)
        assert torch.equal(found[own].sort(dim=0).values, start[own].sort(dim=0).values)
