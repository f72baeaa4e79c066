"""The vision transformer: patches, the published networks, a slow reference, independence of the
batch.
"""

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from caloforge.errors import ModelError
from caloforge.learn.networks import VisionTransformer
from caloforge.learn.networks.vision import FASTEST, patched, unpatched

Grid = tuple[int, int, int]
Inputs = tuple[Tensor, Tensor, Tensor]

GRIDS: list[tuple[Grid, Grid, int]] = [
    ((6, 8, 3), (3, 8, 1), 1),
    ((6, 10, 4), (3, 5, 2), 1),
    ((4, 3, 3), (2, 1, 1), 2),
    ((1, 4, 4), (1, 2, 2), 3),
    ((2, 2, 2), (2, 2, 2), 1),
]
"""Shapes, patches and channels."""


def shaken(network: VisionTransformer) -> VisionTransformer:
    """The network with no parameter at zero."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


def small(shape: Grid, patch: Grid, channels: int = 1) -> VisionTransformer:
    return VisionTransformer(
        shape, patch, channels=channels, dim=16, heads=2, hidden=24, blocks=2, condition=5
    )


def inputs(shape: Grid, channels: int = 1, batch: int = 3) -> Inputs:
    return torch.randn(batch, channels, *shape), torch.rand(batch), torch.rand(batch, 5)


def normal(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def attention(block: nn.Module, x: Tensor) -> Tensor:
    """Head by head, with the softmax written out."""
    query, key, value = block.query_key_value(x).chunk(3, dim=-1)
    width = x.shape[-1] // block.heads
    heads = []
    for k in range(block.heads):
        q, u, v = (part[..., k * width : (k + 1) * width] for part in (query, key, value))
        score = (q @ u.transpose(1, 2) / math.sqrt(width)).exp()
        heads.append(score / score.sum(-1, keepdim=True) @ v)
    return block.mix(torch.cat(heads, dim=-1))


def gelu(x: Tensor) -> Tensor:
    return x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def position(network: VisionTransformer, patch: tuple[int, ...]) -> Tensor:
    n_patches = [n // p for n, p in zip(network.shape, network.patch, strict=True)]
    frequencies = network.transformer.positions.frequencies
    axes = [3 * k // len(frequencies) for k in range(len(frequencies))]
    centres = torch.tensor([(patch[a] + 0.5) / n_patches[a] for a in axes]).to(frequencies)
    phase = 2 * math.pi * frequencies * centres
    return torch.cat([phase.sin(), phase.cos()])


def slow(network: VisionTransformer, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
    """The same network patch by patch, block by block, as the head of the module and eq. 11 state
    it.
    """
    spans = [range(0, n, p) for n, p in zip(network.shape, network.patch, strict=True)]
    corners = list(product(*spans))
    regions = [
        (..., *(slice(c, c + p) for c, p in zip(corner, network.patch, strict=True)))
        for corner in corners
    ]
    h = torch.stack(
        [
            network.transformer.embedding(x[region].flatten(1))
            + position(network, tuple(c // p for c, p in zip(corner, network.patch, strict=True)))
            for corner, region in zip(corners, regions, strict=True)
        ],
        dim=1,
    )
    angles = FASTEST * time[:, None] * torch.tensor([1e4 ** (-k / 127) for k in range(128)]).to(x)
    embedded = network.time(torch.cat([angles.sin(), angles.cos()], dim=1)) + network.condition(
        condition
    )
    modulation = network.transformer.modulation(embedded * embedded.sigmoid())[:, None].split(
        h.shape[-1], dim=-1
    )
    for k, block in enumerate(network.transformer.blocks):
        beta, alpha, gamma, beta_2, alpha_2, gamma_2 = modulation[6 * k : 6 * k + 6]
        h = h + gamma * attention(block, (1 + alpha) * normal(h) + beta)
        h = h + gamma_2 * block.narrow(gelu(block.widen((1 + alpha_2) * normal(h) + beta_2)))
    beta, alpha = modulation[-2:]
    out = torch.zeros_like(x)
    for n, region in enumerate(regions):
        patch = network.transformer.final((1 + alpha[:, 0]) * normal(h[:, n]) + beta[:, 0])
        out[region] = patch.unflatten(1, (x.shape[1], *network.patch))
    return out


@pytest.mark.parametrize(("shape", "patch", "channels"), GRIDS)
def test_patches_put_together_again_are_the_field(shape: Grid, patch: Grid, channels: int) -> None:
    x = torch.randn(4, channels, *shape)
    assert torch.equal(unpatched(patched(x, patch), shape, patch), x)


@pytest.mark.parametrize(("shape", "patch", "channels"), GRIDS)
def test_each_voxel_is_in_the_patch_it_belongs_to(shape: Grid, patch: Grid, channels: int) -> None:
    """Label each voxel by the number of its patch, counted along the axes: then a patch is all one
    label.
    """
    n_patches = [n // p for n, p in zip(shape, patch, strict=True)]
    label = torch.zeros(1, channels, *shape)
    for a, b, c in product(*map(range, shape)):
        i, j, k = a // patch[0], b // patch[1], c // patch[2]
        label[:, :, a, b, c] = (i * n_patches[1] + j) * n_patches[2] + k
    patches = patched(label, patch)
    assert patches.shape == (1, math.prod(n_patches), channels * math.prod(patch))
    assert torch.equal(
        patches, torch.arange(float(math.prod(n_patches)))[None, :, None].expand_as(patches)
    )


def test_published_numbers_of_parameters() -> None:
    with torch.device("meta"):
        dataset_2 = VisionTransformer(
            (45, 16, 9), (3, 16, 1), dim=480, heads=6, hidden=1920, blocks=6, condition=46
        )
        dataset_3 = VisionTransformer(
            (45, 50, 18), (3, 5, 2), dim=240, heads=6, hidden=720, blocks=6, condition=46
        )
    counts = [sum(p.numel() for p in network.parameters()) for network in (dataset_2, dataset_3)]
    assert counts == [26_042_688, 5_868_870]


@pytest.mark.parametrize(("shape", "patch", "channels"), GRIDS)
def test_a_new_network_is_at_rest_and_its_blocks_are_identities(
    shape: Grid, patch: Grid, channels: int
) -> None:
    network = small(shape, patch, channels)
    x, time, condition = inputs(shape, channels)
    assert torch.equal(network(x, time, condition), torch.zeros_like(x))
    nn.init.eye_(network.transformer.final.weight)
    tokens = network.transformer.embedding(patched(x, patch)) + network.transformer.positions()
    expected = network.transformer.final(
        nn.functional.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)
    )
    torch.testing.assert_close(patched(network(x, time, condition), patch), expected)


@pytest.mark.parametrize(("shape", "patch", "channels"), GRIDS)
def test_agrees_with_the_slow_reference(shape: Grid, patch: Grid, channels: int) -> None:
    network, given = shaken(small(shape, patch, channels)), inputs(shape, channels)
    torch.testing.assert_close(network(*given), slow(network, *given), rtol=1e-4, atol=1e-5)
    doubles = tuple(i.double() for i in given)
    torch.testing.assert_close(
        network.double()(*doubles), slow(network, *doubles), rtol=1e-4, atol=1e-5
    )


def test_the_exact_gelu_is_near_its_approximation() -> None:
    network, given = shaken(small((6, 8, 3), (3, 8, 1))), inputs((6, 8, 3))
    exact = VisionTransformer(
        (6, 8, 3), (3, 8, 1), dim=16, heads=2, hidden=24, blocks=2, condition=5, exact_gelu=True
    )
    exact.load_state_dict(network.state_dict())
    difference = (exact(*given) - network(*given)).abs().max()
    assert 0 < difference < 1e-2


def test_latent_fields_of_two_channels() -> None:
    network = shaken(small((15, 9, 9), (3, 1, 1), 2))
    given = inputs((15, 9, 9), 2, batch=2)
    torch.testing.assert_close(network(*given), slow(network, *given), rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient_two_steps_off_zero() -> None:
    """The first step moves the end alone, the second the modulations; then all blocks take part."""
    network, given = small((6, 10, 4), (3, 5, 2)), inputs((6, 10, 4), batch=16)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        (network(*given) - torch.randn_like(given[0])).square().mean().backward()
        optimiser.step()
    assert [
        name for name, p in network.named_parameters() if p.grad is None or not (p.grad != 0).any()
    ] == []


def test_a_row_has_the_same_bits_in_every_batch() -> None:
    network, given = shaken(small((6, 8, 3), (3, 8, 1))), inputs((6, 8, 3), batch=64)
    with torch.inference_mode():
        whole = network(*given)
        for size in (16, 32):
            parts = [
                network(*(i[start : start + size] for i in given)) for start in range(0, 64, size)
            ]
            assert torch.equal(torch.cat(parts), whole)


def test_patches_know_where_they_are_and_time_and_condition_matter() -> None:
    network = shaken(small((6, 8, 3), (3, 8, 1)))
    x, time, condition = inputs((6, 8, 3), batch=1)
    out = network(x, time, condition)
    for changed in ((x, time + 0.01, condition), (x, time, condition + 0.1)):
        assert (network(*changed) - out).abs().max() > 1e-3
    assert (network(x.roll(3, 2), time, condition) - out.roll(3, 2)).abs().max() > 1e-3


def test_without_positions_a_permutation_of_patches_is_a_symmetry() -> None:
    network = shaken(small((6, 8, 3), (3, 4, 1)))
    nn.init.zeros_(network.transformer.positions.frequencies)
    x, time, condition = inputs((6, 8, 3))
    for shift, axis in ((3, 2), (4, 3), (1, 4)):
        torch.testing.assert_close(
            network(x.roll(shift, axis), time, condition),
            network(x, time, condition).roll(shift, axis),
            rtol=1e-4,
            atol=1e-4,
        )


def test_runs_in_half_precision() -> None:
    network, given = shaken(small((6, 8, 3), (3, 8, 1))), inputs((6, 8, 3))
    exact = network(*given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(*given)
    assert (rough - exact).norm() < 0.05 * exact.norm()
    rough.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(
    ("patch", "where", "divisors"),
    [
        ((2, 16, 1), "axis 0, 45", "1, 3, 5, 9, 15, 45"),
        ((3, 5, 1), "axis 1, 16", "1, 2, 4, 8, 16"),
        ((3, 16, 0), "axis 2, 9", "1, 3, 9"),
    ],
)
def test_a_patch_that_does_not_divide_is_refused(patch: Grid, where: str, divisors: str) -> None:
    with pytest.raises(ModelError, match="does not divide") as caught:
        small((45, 16, 9), patch)
    assert all(part in str(caught.value) for part in (str(patch), "(45, 16, 9)", where, divisors))


@pytest.mark.parametrize(("dim", "heads"), [(4, 2), (15, 3), (16, 3), (16, 0)])
def test_a_width_that_does_not_fit_is_refused(dim: int, heads: int) -> None:
    with pytest.raises(ModelError, match=f"dim {dim} with {heads} heads"):
        VisionTransformer(
            (6, 8, 3), (3, 8, 1), dim=dim, heads=heads, hidden=8, blocks=1, condition=1
        )
