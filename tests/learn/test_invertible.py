"""The steps of a convolutional flow: inverse, determinant, identity at first, edges of the spline,
gradients.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.learn.networks import UNetDesign, group_norm
from caloforge.learn.networks.invertible import (
    ActNorm,
    InvertibleConvolution,
    SplineCoupling,
    Squeeze,
    Step,
)
from tests.learn.shaken import shaken

ALPHA, R = 4, 3
CHANNELS, CONDITION = 4, 2
BOUND = 5.0
DESIGN = UNetDesign(8, ((2, 1), (2, 3)), normalisation=group_norm)
PLAIN = {"ActNorm", "FixedConvolution", "InvertibleConvolution", "SplineCoupling"}


def fresh(name: str, channels: int = CHANNELS) -> Step:
    match name:
        case "ActNorm":
            return ActNorm(channels)
        case "SplineCoupling":
            return SplineCoupling(channels, CONDITION, DESIGN, bins=6, bound=BOUND)
        case _:
            return InvertibleConvolution(torch.randperm(channels))


def step(name: str, dtype: torch.dtype = torch.float64, channels: int = CHANNELS) -> Step:
    made = shaken(fresh(name, channels).to(dtype))
    return made.folded() if name == "FixedConvolution" else made


def images(
    batch: int = 3, dtype: torch.dtype = torch.float64, channels: int = CHANNELS
) -> tuple[Tensor, Tensor]:
    shape = (ALPHA, R)
    return 2 * torch.randn(batch, channels, *shape, dtype=dtype), torch.randn(
        batch, CONDITION, *shape, dtype=dtype
    )


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_the_determinant_is_that_of_the_jacobian(name: str, channels: int) -> None:
    bijection, (x, condition) = step(name, channels=channels), images(1, channels=channels)
    _, log_det = bijection(x, condition)
    jacobian = torch.autograd.functional.jacobian(lambda image: bijection(image, condition)[0], x)
    torch.testing.assert_close(
        log_det[0], torch.linalg.slogdet(jacobian.view(x.numel(), -1)).logabsdet
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_the_inverse_gives_the_data_back(name: str, dtype: torch.dtype, tolerance: float) -> None:
    bijection, (x, condition) = step(name, dtype), images(16, dtype)
    z, _ = bijection(x, condition)
    assert (z - x).abs().max() > 0.1
    torch.testing.assert_close(bijection.inverse(z, condition), x, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", sorted(PLAIN - {"FixedConvolution"}))
def test_a_fresh_step_moves_no_value(name: str) -> None:
    x, condition = images()
    z, log_det = fresh(name).double()(x, condition)
    torch.testing.assert_close(z.sort(dim=1).values, x.sort(dim=1).values)
    torch.testing.assert_close(log_det, torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("name", sorted(PLAIN - {"FixedConvolution"}))
def test_every_parameter_gets_a_gradient(name: str) -> None:
    bijection, (x, condition) = step(name), images()
    z, log_det = bijection(x, condition)
    (z.square().sum() - log_det.sum()).backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in bijection.parameters()
    )


@pytest.mark.parametrize(
    "value", [0.0, BOUND, -BOUND, 1e6, -1e6, BOUND * (1 - 1e-7), BOUND * (1 + 1e-7)]
)
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_no_value_makes_nan(name: str, value: float) -> None:
    bijection, (_, condition) = step(name, torch.float32), images(dtype=torch.float32)
    x = torch.full((3, CHANNELS, ALPHA, R), value, requires_grad=True)
    z, log_det = bijection(x, condition)
    back = bijection.inverse(x, condition)
    (z.sum() + log_det.sum() + back.sum()).backward()
    assert all(numbers.isfinite().all() for numbers in (z, log_det, back, x.grad))
    torch.testing.assert_close(bijection.inverse(z, condition), x, rtol=1e-5, atol=1e-4)


def test_activation_norm_brings_each_channel_to_mean_0_and_variance_1() -> None:
    norm, (x, condition) = ActNorm(CHANNELS).double(), images(50)
    x = x * torch.tensor([0.1, 1, 10, 100])[:, None, None] + torch.arange(CHANNELS)[:, None, None]
    norm.initialise(x)
    z, _ = norm(x, condition)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(CHANNELS, dtype=torch.float64))
    torch.testing.assert_close(
        z.square().mean((0, 2, 3)), torch.ones(CHANNELS, dtype=torch.float64)
    )


def test_activation_norm_bears_a_channel_that_never_varies() -> None:
    norm, (x, condition) = ActNorm(CHANNELS).double(), images()
    norm.initialise(torch.full_like(x, 7.0))
    z, log_det = norm(torch.full_like(x, 7.0), condition)
    assert log_det.isfinite().all()
    torch.testing.assert_close(z, torch.zeros_like(z), rtol=0, atol=1e-10)


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_the_matrix_of_a_1x1_convolution_is_l_u_p(channels: int) -> None:
    convolution = step("InvertibleConvolution", channels=channels)
    lower, upper, permutation = (
        torch.zeros(channels, channels, dtype=torch.float64) for _ in range(3)
    )
    below = iter(convolution.lower)
    above = iter(convolution.upper)
    for i in range(channels):
        lower[i, i], upper[i, i] = 1, convolution.log_diagonal[i].exp()
        permutation[i, convolution.permutation[i]] = 1
        for j in range(i):
            lower[i, j] = next(below)
        for j in range(i + 1, channels):
            upper[i, j] = next(above)
    x, condition = images(channels=channels)
    expected = torch.einsum("ij,bjar->biar", lower @ upper @ permutation, x) + convolution.bias
    torch.testing.assert_close(convolution(x, condition)[0], expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_a_folded_1x1_convolution_is_the_same_map(dtype: torch.dtype, tolerance: float) -> None:
    convolution, (x, condition) = step("InvertibleConvolution", dtype), images(dtype=dtype)
    folded = convolution.folded()
    for given, expected in zip(folded(x, condition), convolution(x, condition), strict=True):
        torch.testing.assert_close(given, expected, rtol=tolerance, atol=5 * tolerance)
    torch.testing.assert_close(
        folded.inverse(x, condition),
        convolution.inverse(x, condition),
        rtol=tolerance,
        atol=5 * tolerance,
    )
    assert not list(folded.parameters())


def test_a_coupling_leaves_the_second_half_as_it_is_and_sees_nothing_else() -> None:
    coupling, (x, condition) = step("SplineCoupling"), images()
    z, _ = coupling(x, condition)
    assert torch.equal(z[:, 2:], x[:, 2:])
    other = x.clone()
    other[:, 0, 0, 0] += 0.5
    changed = (coupling(other, condition)[0] != z).nonzero()
    assert changed[:, 1:].unique(dim=0).tolist() == [[0, 0, 0]]


def test_beyond_the_bound_a_coupling_is_the_identity() -> None:
    coupling, (x, condition) = step("SplineCoupling"), images()
    x[:, :2] = torch.where(x[:, :2] > 0, x[:, :2] + BOUND + 0.01, x[:, :2] - BOUND - 0.01)
    z, log_det = coupling(x, condition)
    assert torch.equal(z, x)
    assert torch.equal(coupling.inverse(x, condition), x)
    assert not log_det.any()


def test_a_coupling_is_monotone() -> None:
    coupling, (_, condition) = step("SplineCoupling"), images(1)
    x = torch.zeros(200, CHANNELS, ALPHA, R, dtype=torch.float64)
    x[:, :2] = torch.linspace(-BOUND - 1, BOUND + 1, 200)[:, None, None, None]
    z, _ = coupling(x, condition.expand(200, -1, -1, -1))
    assert (z[:, :2].diff(dim=0) > 0).all()


def test_splines_and_mixing_stay_in_single_precision_under_autocast() -> None:
    x, condition = images(dtype=torch.float32)
    for name in sorted(PLAIN - {"SplineCoupling"}):
        bijection = step(name, torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z, _ = bijection(x, condition)
        assert torch.equal(z, bijection(x, condition)[0])
    coupling = step("SplineCoupling", torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z, log_det = coupling(x, condition)
        assert z.dtype == log_det.dtype == torch.float32
        torch.testing.assert_close(coupling.inverse(z, condition), x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("factors", [(1, 2), (2, 1), (2, 3), (4, 3)])
def test_squeezing_rearranges(factors: tuple[int, int]) -> None:
    squeeze, x = Squeeze(factors), torch.randn(2, 1, 8, 6)
    tiles = squeeze(x)
    a, b = factors
    for i in range(a):
        for j in range(b):
            assert torch.equal(tiles[:, i * b + j], x[:, 0, i::a, j::b])
    assert torch.equal(squeeze.inverse(tiles), x)


def test_squeezing_squares_is_pixel_unshuffling() -> None:
    x = torch.randn(2, 3, 8, 6)
    assert torch.equal(Squeeze((2, 2))(x), functional.pixel_unshuffle(x, 2))


def test_steps_are_modules_with_the_names_that_checkpoints_hold() -> None:
    names = {
        name: [key for key, _ in step(name).named_parameters()]
        for name in PLAIN - {"SplineCoupling"}
    }
    assert names["ActNorm"] == ["log_scale", "shift"]
    assert names["InvertibleConvolution"] == ["lower", "upper", "log_diagonal", "bias"]
    assert isinstance(step("SplineCoupling"), nn.Module)
