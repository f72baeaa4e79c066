"""The networks of GANs: a fast transposed convolution is torch's, a local one with equal weights is
a convolution, attention mixes.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from caloforge.errors import GeometryError, ModelError
from caloforge.learn.networks import (
    FieldScore,
    LayeredCritic,
    LayeredGenerator,
    ScoreSizes,
    TransposedGenerator,
)
from caloforge.learn.networks.layered_images import LocallyConnected
from caloforge.learn.networks.transposed import Doubling

SHAPES = [(3, 16), (4, 4), (4, 2)]
SIZES = ScoreSizes((2, 3), ((3, 3, 3), (3, 3, 2)), ((2, 1, 1), (1, 2, 2)), ((1, 0, 0),) * 2, (5,))


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 1), (4, 4, 4)])
def test_a_doubling_is_a_transposed_convolution(shape: tuple[int, int, int]) -> None:
    layer, x = Doubling(3, 5), torch.randn(2, 3, *shape, requires_grad=True)
    slow = functional.conv_transpose3d(x, layer.weight, stride=2, padding=1)
    made = layer(x)
    torch.testing.assert_close(made, slow)
    weights = torch.randn_like(made)
    slopes = (torch.autograd.grad((weights * of).sum(), (x, layer.weight)) for of in (made, slow))
    for fast, reference in zip(*slopes, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(30, 30, 30), (5, 9, 4), (1, 6, 6)])
def test_a_generator_fills_any_image(shape: tuple[int, int, int]) -> None:
    generator = TransposedGenerator(shape, latent=3, condition=2, channels=2)
    made = generator(torch.randn(4, 3), torch.randn(4, 2))
    assert made.shape == (4, 1, *shape)
    assert (made >= 0).all()
    assert all(p.grad is None for p in generator.parameters())
    made.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


def test_a_score_sees_field_and_condition() -> None:
    score = FieldScore((6, 5, 4), 2, SIZES)
    field, known = torch.randn(3, 1, 6, 5, 4), torch.randn(3, 2)
    assert score(field, known).shape == (3,)
    assert not torch.equal(score(field, known), score(field, known + 1))
    assert not torch.equal(score(field, known), score(field + field**2, known))


def test_sizes_that_fit_no_score_are_refused() -> None:
    with pytest.raises(ModelError, match="2 channels, 1 kernels"):
        ScoreSizes((2, 3), ((3, 3, 3),), ((1, 1, 1),), ((0, 0, 0),), ())
    with pytest.raises(GeometryError, match=r"2 x 2 x 9 cells is too small .* kernel .3, 3, 3."):
        FieldScore((2, 2, 9), 0, SIZES)


def test_a_local_layer_of_equal_weights_is_a_convolution() -> None:
    layer = LocallyConnected((5, 7), (2, 3), (3, 2), (1, 2))
    shared = torch.randn(2 * 3 * 2, 3)
    layer.weight = nn.Parameter(shared.expand_as(layer.weight))
    x = torch.randn(4, 2, 5, 7)
    kernel = shared.T.reshape(3, 2, 3, 2)
    torch.testing.assert_close(layer(x), functional.conv2d(x, kernel, stride=(1, 2)))


def test_attention_begins_aside_and_can_take_the_layer_before() -> None:
    torch.manual_seed(1)
    generator = LayeredGenerator(SHAPES, latent=3, condition=1).eval()
    known, noise = torch.ones(5, 1), torch.randn(5, 3)
    own = [branch(noise) for branch in generator.branches]
    made = generator(noise, known).split([48, 16, 8], dim=1)
    torch.testing.assert_close(made[1], own[1].flatten(1).relu(), rtol=1e-3, atol=1e-3)
    for attention in generator.attention:
        nn.init.zeros_(attention.weights.weight)
        nn.init.constant_(attention.weights.bias[..., 1], 20.0)
    taken = generator(noise, known).split([48, 16, 8], dim=1)[1].unflatten(1, (4, 4))
    before = own[0].reshape(5, 3, 4, 4).mean(dim=3)
    torch.testing.assert_close(taken[:, [0, 3]], before[:, [0, 2]].relu())


def test_a_critic_of_layers_compares_the_showers_of_a_batch() -> None:
    critic = LayeredCritic(SHAPES, condition=1).eval()
    pixels, known = torch.rand(6, 72), torch.full((6, 1), 0.4)
    alone = critic(pixels[:1].expand(6, -1), known)
    assert critic(pixels, known).shape == (6,)
    assert not torch.equal(critic(pixels, known)[0], alone[0])
