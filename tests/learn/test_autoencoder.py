"""The convolutional autoencoder: shapes, the circle, independence of showers, gradients, named
errors.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import GeometryError, ModelError
from caloforge.learn.networks import ConvolutionalAutoencoder
from caloforge.learn.networks.autoencoder import _Convolution, _Level, _Transposed

ONE, NONE = (1, 1, 1), (0, 0, 0)
DATASET_2, DATASET_3 = (45, 16, 9), (45, 50, 18)
FIELD = (7, 8, 5)


def small(
    pad: int = 1, shape: tuple[int, int, int] = FIELD, condition: int = 3
) -> ConvolutionalAutoencoder:
    """Two levels, the first of which halves alpha; a padding of 1 makes one copy."""
    return ConvolutionalAutoencoder(
        shape,
        condition=condition,
        channels=(8, 4, 2),
        kernels=((3, 2, 1), ONE),
        strides=((3, 2, 1), ONE),
        pads=((0, pad, 0), NONE),
        embedding=6,
    )


def shaken(network: ConvolutionalAutoencoder) -> ConvolutionalAutoencoder:
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network


def inputs(
    network: ConvolutionalAutoencoder, batch: int, field: tuple[int, int, int] = FIELD
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.rand(batch, 1, *field),
        torch.randn(batch, *network.latent_shape),
        torch.randn(batch, 3),
    )


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "pad", "latent"),
    [
        (DATASET_2, (3, 2, 1), (3, 2, 1), (0, 1, 0), (2, 15, 9, 9)),
        (DATASET_2, (3, 2, 1), (3, 2, 1), NONE, (2, 15, 8, 9)),
        (DATASET_3, (5, 2, 3), (5, 2, 1), (0, 1, 0), (2, 9, 26, 16)),
        (DATASET_3, (5, 2, 3), (2, 2, 1), (0, 1, 0), (2, 21, 26, 16)),
    ],
    ids=["dataset 2", "dataset 2 without copy", "dataset 3", "dataset 3 as printed"],
)
def test_latent_shapes_of_the_paper(
    shape: tuple[int, int, int],
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int],
    pad: tuple[int, int, int],
    latent: tuple[int, int, int, int],
) -> None:
    network = ConvolutionalAutoencoder(
        shape,
        condition=46,
        channels=(4, 4, 2),
        kernels=(kernel, ONE),
        strides=(stride, ONE),
        pads=(pad, NONE),
        embedding=4,
    )
    x, condition = torch.rand(1, 1, *shape), torch.rand(1, 46)
    mean, log_variance = network.encode(x, condition)
    assert network.latent_shape == latent == mean.shape[1:] == log_variance.shape[1:]
    assert network.decode(mean, condition).shape == x.shape


@st.composite
def levels(draw: st.DrawFn) -> _Level:
    """Any level that fits: the circle is a multiple of the stride and at least the kernel."""
    kernel, stride = (draw(st.tuples(*[st.integers(1, 4)] * 3)) for _ in range(2))
    pad = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    circle = stride[1] * draw(st.integers(-(-kernel[1] // stride[1]), 6))
    layers, r = (draw(st.integers(max(1, kernel[i] - 2 * pad[i]), 9)) for i in (0, 2))
    return _Level((layers, circle, r), kernel, stride, pad)


@given(level=levels())
def test_decoded_fields_have_the_shape_of_encoded_ones(level: _Level) -> None:
    network = ConvolutionalAutoencoder(
        level.fine,
        condition=3,
        channels=(2, 3),
        kernels=(level.kernel,),
        strides=(level.stride,),
        pads=(level.pad,),
        embedding=2,
    )
    x, z, condition = inputs(network, 2, level.fine)
    mean, log_variance = network.encode(x, condition)
    assert mean.shape == log_variance.shape == z.shape
    assert network.decode(z, condition).shape == x.shape


@given(level=levels())
def test_transposed_convolution_is_the_adjoint(level: _Level) -> None:
    """With one kernel for both, <convolution(x), z> = <x, transposed(z)>, whatever wraps around."""
    down, up = _Convolution(level, 1, 1).double(), _Transposed(level, 1, 1).double()
    weight = torch.randn_like(down.convolution.weight)
    weight[:, 1:] = 0
    with torch.no_grad():
        for convolution in (down.convolution, up.convolution):
            convolution.weight.copy_(
                weight if convolution is down.convolution else weight.transpose(0, 1)
            )
            convolution.bias.zero_()
    x, z = torch.randn(1, 1, *level.fine).double(), torch.randn(1, 1, *level.coarse).double()
    torch.testing.assert_close((down(x) * z).sum(), (x * up(z)).sum())


@settings(max_examples=30)
@given(level=levels())
def test_wrapped_convolution_is_that_of_the_field_repeated(level: _Level) -> None:
    """The slow way: three turns of alpha side by side, the windows of the middle one."""
    layer, n, pad = _Convolution(level, 1, 1), level.fine[1], level.pad
    x = torch.randn(1, 1, *level.fine)
    turns = layer.coordinates(x).repeat(1, 1, 1, 3, 1)[:, :, :, n - pad[1] :]
    weight, bias = layer.convolution.weight, layer.convolution.bias
    slow = functional.conv3d(turns, weight, bias, level.stride, (pad[0], 0, pad[2]))
    torch.testing.assert_close(
        layer(x), slow[:, :, :, : n // level.stride[1]], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("pad", [0, 1])
def test_turning_a_field_turns_its_code_and_back(pad: int) -> None:
    network = shaken(small(pad)).double()
    x, z, condition = (t.double() for t in inputs(network, 2))
    circle = FIELD[1] // 2
    for straight, turned in zip(
        network.encode(x, condition), network.encode(x.roll(2, 3), condition), strict=True
    ):
        torch.testing.assert_close(turned[:, :, :, :circle], straight[:, :, :, :circle].roll(1, 3))
        assert torch.equal(straight[:, :, :, circle:], straight[:, :, :, :pad])
    once = z[:, :, :, :circle]
    closed, turned = (torch.cat([t, t[:, :, :, :pad]], dim=3) for t in (once, once.roll(1, 3)))
    torch.testing.assert_close(
        network.decode(turned, condition), network.decode(closed, condition).roll(2, 3)
    )


def test_a_position_and_its_copy_are_averaged() -> None:
    network = shaken(small())
    _, z, condition = inputs(network, 2)
    swapped = z.clone()
    swapped[:, :, :, 0], swapped[:, :, :, -1] = z[:, :, :, -1], z[:, :, :, 0]
    assert torch.equal(network.decode(swapped, condition), network.decode(z, condition))


@pytest.mark.parametrize("layer", [_Convolution, _Transposed])
def test_depth_and_radius_are_told_apart(layer: type[nn.Module]) -> None:
    """A uniform field becomes different at each depth and radius, and stays alike at each angle."""
    out = layer(_Level(FIELD, ONE, ONE, NONE), 1, 1)(torch.full((1, 1, *FIELD), 0.3))
    assert out.diff(dim=2).abs().min() > 1e-4
    assert out.diff(dim=4).abs().min() > 1e-4
    assert out.diff(dim=3).abs().max() < 1e-6


@pytest.mark.parametrize("pad", [0, 1])
def test_every_parameter_gets_a_gradient(pad: int) -> None:
    network = shaken(small(pad))
    x, z, condition = inputs(network, 4)
    mean, log_variance = network.encode(x, condition)
    (network.decode(z + mean, condition).square().sum() + log_variance.square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_a_shower_does_not_see_its_companions(training: bool) -> None:
    network = shaken(small()).train(training)
    x, z, condition = inputs(network, 16)
    others = [torch.cat([t[:1], torch.randn_like(t[1:]).abs()]) for t in (x, z, condition)]
    assert torch.equal(
        network.encode(x, condition)[0][0], network.encode(others[0], others[2])[0][0]
    )
    assert torch.equal(network.decode(z, condition)[0], network.decode(others[1], others[2])[0])
    torch.testing.assert_close(
        network.decode(z, condition)[:3], network.decode(z[:3], condition[:3]), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("width", [1, 2, 8])
def test_both_halves_see_the_condition(width: int) -> None:
    """Even where a group of channels is one channel, whose mean is normalised away."""
    level = {"kernels": (ONE,), "strides": (ONE,), "pads": (NONE,)}
    network = shaken(
        ConvolutionalAutoencoder(FIELD, condition=3, channels=(width, 2), embedding=6, **level)
    )
    x, z, condition = inputs(network, 2)
    assert not torch.allclose(network.encode(x, condition)[0], network.encode(x, condition + 1)[0])
    assert not torch.allclose(network.decode(z, condition), network.decode(z, condition + 1))


def test_saved_and_loaded_it_gives_the_same_bits() -> None:
    one, other = shaken(small()), small()
    other.load_state_dict(one.state_dict())
    x, z, condition = inputs(one, 2)
    assert torch.equal(one.encode(x, condition)[1], other.encode(x, condition)[1])
    assert torch.equal(one.decode(z, condition), other.decode(z, condition))


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "told"),
    [
        ((8, 2, 1), ONE, NONE, "level 0, axis layers of 7 positions: kernel 8"),
        ((1, 2, 6), ONE, NONE, "level 0, axis r of 5 positions: kernel 6"),
        ((1, 9, 1), ONE, NONE, "level 0, axis alpha of 8 positions: kernel 9"),
        (
            (1, 3, 1),
            (1, 3, 1),
            NONE,
            "axis alpha of 8 positions: kernel 3, stride 3.*divides the circle",
        ),
        (ONE, (1, 1, 0), NONE, "axis r of 5 positions: kernel 1, stride 0"),
        ((3, 1, 1), ONE, (3, 0, 0), "axis layers of 7 positions: kernel 3, stride 1, padding 3"),
        (ONE, ONE, (0, 0, -1), "axis r of 5 positions: kernel 1, stride 1, padding -1"),
    ],
)
def test_what_does_not_fit_is_named_with_its_axis(
    kernel: tuple[int, int, int], stride: tuple[int, int, int], pad: tuple[int, int, int], told: str
) -> None:
    with pytest.raises(GeometryError, match=told):
        ConvolutionalAutoencoder(
            FIELD, condition=3, channels=(2, 2), kernels=(kernel,), strides=(stride,), pads=(pad,)
        )


def test_the_level_that_does_not_fit_is_named() -> None:
    with pytest.raises(GeometryError, match="level 1, axis layers of 2 positions: kernel 3"):
        ConvolutionalAutoencoder(
            FIELD,
            condition=3,
            channels=(2, 2, 2),
            kernels=((3, 2, 1), (3, 1, 1)),
            strides=((3, 2, 1), ONE),
            pads=(NONE, NONE),
        )


def test_more_than_one_copy_of_the_circle_is_refused() -> None:
    level = {"kernels": ((1, 8, 1),) * 2, "strides": (ONE, ONE), "pads": ((0, 7, 0),) * 2}
    with pytest.raises(
        GeometryError, match="axis alpha: padding makes 22 latent positions of a circle of 8"
    ):
        ConvolutionalAutoencoder(FIELD, condition=3, channels=(2, 2, 2), **level)


@pytest.mark.parametrize(
    ("channels", "condition", "told"),
    [
        ((2, 2, 2), 3, "3 numbers of channels, 1 kernels, 1 strides, 1 pads"),
        ((2,), 3, "1 numbers of channels"),
        ((2, 0), 3, r"channels \(2, 0\)"),
        ((2, 2), 0, r"condition and embedding \(0, 100\)"),
    ],
)
def test_widths_that_do_not_agree_are_refused(
    channels: tuple[int, ...], condition: int, told: str
) -> None:
    with pytest.raises(ModelError, match=told):
        ConvolutionalAutoencoder(
            FIELD,
            condition=condition,
            channels=channels,
            kernels=(ONE,),
            strides=(ONE,),
            pads=(NONE,),
        )
