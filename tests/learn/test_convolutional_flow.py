"""The convolutional flow: determinant, inverse, density, the circle, published sizes, independence
of the batch.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from caloforge.errors import GeometryError, ModelError
from caloforge.learn.networks import ConvolutionalFlow, UNetDesign, group_norm
from caloforge.learn.networks.invertible import ActNorm, InvertibleConvolution
from caloforge.learn.processes import Bijection, NormalizingFlow
from tests.learn.shaken import shaken, turned

ALPHA, R, CONDITION = 8, 6, 3
TURN = 4
NORMALISATIONS = [nn.BatchNorm2d, group_norm]
PUBLISHED_ENERGY_FLOW = 447_042
Normalisation = Callable[[int], nn.Module]


def small(
    normalisation: Normalisation = group_norm, embedding: int | None = 4
) -> ConvolutionalFlow:
    design = UNetDesign(8, ((2, 1), (1, 3)), normalisation=normalisation)
    return ConvolutionalFlow(
        (ALPHA, R),
        condition=CONDITION,
        design=design,
        blocks=3,
        embedding=embedding,
        bins=5,
        bound=6.0,
    )


def images(batch: int = 3, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return 2 * torch.randn(batch, 1, ALPHA, R, dtype=dtype), torch.randn(
        batch, CONDITION, ALPHA, R, dtype=dtype
    )


def test_it_is_a_bijection() -> None:
    assert isinstance(small(), Bijection)


@pytest.mark.parametrize("embedding", [None, 4])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_determinant_is_that_of_the_jacobian(
    normalisation: Normalisation, embedding: int | None
) -> None:
    flow, (x, condition) = shaken(small(normalisation, embedding).double()), images(1)
    _, log_det = flow(x, condition)
    jacobian = torch.autograd.functional.jacobian(lambda row: flow(row, condition)[0], x)
    torch.testing.assert_close(
        log_det[0], torch.linalg.slogdet(jacobian.view(ALPHA * R, -1)).logabsdet
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-11)])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_inverse_gives_the_data_back(
    normalisation: Normalisation, dtype: torch.dtype, tolerance: float
) -> None:
    flow, (x, condition) = shaken(small(normalisation).to(dtype)), images(32, dtype)
    z, _ = flow(x, condition)
    assert z.shape == x.shape
    torch.testing.assert_close(flow.inverse(z, condition), x, rtol=0, atol=tolerance)


def test_a_fresh_flow_moves_no_value() -> None:
    x, condition = images()
    z, log_det = small().double()(x, condition)
    torch.testing.assert_close(z.flatten(1).sort().values, x.flatten(1).sort().values)
    torch.testing.assert_close(log_det, torch.zeros(3, dtype=torch.float64))


def test_in_two_blocks_a_fresh_flow_moves_each_channel_once() -> None:
    for halves in (1, 2, 6):
        design = UNetDesign(2, ((1, 1),))
        flow = ConvolutionalFlow(
            (halves, 2), condition=1, design=design, squeeze=(halves, 2), blocks=2, embedding=None
        )
        first, second = (
            step.permutation for step in flow.steps if isinstance(step, InvertibleConvolution)
        )
        assert sorted(first[:halves].tolist()) == list(range(halves, 2 * halves))
        assert sorted(second.tolist()) == list(range(2 * halves))


@pytest.mark.parametrize("value", [0.0, 6.0, -6.0, 1e6, -1e6])
def test_no_value_makes_nan(value: float) -> None:
    flow, (_, condition) = shaken(small()), images(dtype=torch.float32)
    x = torch.full((3, 1, ALPHA, R), value)
    z, log_det = flow(x, condition)
    NormalizingFlow().loss(flow, x, condition, torch.Generator()).backward()
    gradients = [parameter.grad for parameter in flow.parameters()]
    for numbers in (z, log_det, flow.inverse(x, condition), *gradients):
        assert numbers is not None
        assert numbers.isfinite().all()
    torch.testing.assert_close(flow.inverse(z, condition), x, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_turning_data_and_condition_turns_the_latent(normalisation: Normalisation) -> None:
    flow, (x, condition) = shaken(small(normalisation).double()), images()
    z, log_det = flow(x, condition)
    turned_z, turned_log_det = flow(turned(x, TURN), turned(condition, TURN))
    torch.testing.assert_close(turned_z, turned(z, TURN))
    torch.testing.assert_close(turned_log_det, log_det)


def test_turning_a_condition_by_a_tile_turns_its_embedding() -> None:
    flow, (_, condition) = shaken(small().double()), images()
    assert flow.embedding is not None
    torch.testing.assert_close(
        flow.embedding(turned(condition, 2)), turned(flow.embedding(condition), 1)
    )


def test_without_an_embedding_the_first_pixel_of_each_tile_is_the_condition() -> None:
    flow, (x, condition) = shaken(small(embedding=None).double()), images()
    other = torch.randn_like(condition)
    other[:, :, ::2, ::2] = condition[:, :, ::2, ::2]
    assert torch.equal(flow(x, other)[0], flow(x, condition)[0])
    assert not torch.equal(flow(x, condition.flip(2))[0], flow(x, condition)[0])


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_an_image_does_not_depend_on_its_batch(normalisation: Normalisation) -> None:
    flow, (x, condition) = shaken(small(normalisation)), images(48, torch.float32)
    part = slice(16, 32)
    for whole, alone in zip(flow(x, condition), flow(x[part], condition[part]), strict=True):
        assert torch.equal(whole[part], alone)
    assert torch.equal(flow.inverse(x, condition)[part], flow.inverse(x[part], condition[part]))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_every_parameter_gets_a_gradient(normalisation: Normalisation) -> None:
    flow, (x, condition) = shaken(small(normalisation)), images(16, torch.float32)
    NormalizingFlow().loss(flow, x, condition, torch.Generator()).backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in flow.parameters()
    )


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_a_folded_flow_is_the_same_map(normalisation: Normalisation) -> None:
    flow, (x, condition) = shaken(small(normalisation).double()), images()
    folded = flow.folded()
    for given, expected in zip(folded(x, condition), flow(x, condition), strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(
        folded.inverse(x, condition), flow.inverse(x, condition), rtol=1e-11, atol=1e-11
    )
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert all(parameter.requires_grad for parameter in flow.parameters())


def test_initialising_brings_each_place_of_a_tile_to_mean_0_and_variance_1() -> None:
    flow, (x, condition) = small(nn.BatchNorm2d).double(), images(20)
    flow.initialise(5 * x + 3, condition)
    z = flow.squeeze(flow(5 * x + 3, condition)[0])
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(z.square().mean((0, 2, 3)), torch.ones(4, dtype=torch.float64))


def test_initialising_is_no_step_of_training() -> None:
    flow, (x, condition) = small(nn.BatchNorm2d), images(20, torch.float32)
    before = {key: value.clone() for key, value in flow.state_dict().items()}
    flow.initialise(5 * x + 3, condition)
    norms = [f"steps.{k}" for k, step in enumerate(flow.steps) if isinstance(step, ActNorm)]
    changed = {
        key for key, value in flow.state_dict().items() if not torch.equal(value, before[key])
    }
    assert changed <= {f"{norm}.{name}" for norm in norms for name in ("log_scale", "shift")}
    assert changed >= {"steps.0.log_scale", "steps.0.shift"}
    assert flow.training


def test_a_state_holds_all_that_the_map_depends_on() -> None:
    flow, (x, condition) = shaken(small(nn.BatchNorm2d)), images(dtype=torch.float32)
    other = small(nn.BatchNorm2d).eval()
    other.load_state_dict(flow.state_dict())
    for given, expected in zip(other(x, condition), flow(x, condition), strict=True):
        assert torch.equal(given, expected)


def toy(blocks: int = 4) -> ConvolutionalFlow:
    design = UNetDesign(4, ((1, 1),), cyclic=False, normalisation=nn.Identity)
    return ConvolutionalFlow(
        (2, 1),
        condition=1,
        design=design,
        squeeze=(2, 1),
        blocks=blocks,
        embedding=None,
        bins=6,
        bound=5.0,
    )


def grid(end: float, n: int) -> tuple[Tensor, float]:
    axis = torch.linspace(-end, end, n, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis).view(-1, 1, 2, 1), (2 * end / (n - 1)) ** 2


def test_the_density_integrates_to_one() -> None:
    flow = shaken(toy(), 0.2).double()
    points, area = grid(9.0, 301)
    with torch.no_grad():
        log_density = NormalizingFlow().log_likelihood(flow, points, torch.full_like(points, 0.3))
    assert math.isclose(log_density.exp().sum().item() * area, 1, abs_tol=5e-4)


def mixture(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points around (-2, 1) or (2, -1), and their exact negative log density."""
    side = 2.0 * torch.randint(0, 2, (batch, 1), generator=generator) - 1
    points = side * torch.tensor([2.0, -1.0]) + 0.5 * torch.randn(batch, 2, generator=generator)
    centres = torch.tensor([[2.0, -1.0], [-2.0, 1.0]])
    squares = ((points[:, None] - centres) / 0.5).square().sum(dim=2) / 2
    return points.view(batch, 1, 2, 1), -(-squares).logsumexp(dim=1) + math.log(
        2 * 2 * math.pi * 0.25
    )


def test_training_finds_a_density_of_two_peaks() -> None:
    flow, process, generator = toy(2), NormalizingFlow(), torch.Generator().manual_seed(1)
    flow.initialise(mixture(512, generator)[0], torch.zeros(512, 1, 2, 1))
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-2)
    for _ in range(100):
        points, _ = mixture(128, generator)
        optimiser.zero_grad()
        process.loss(flow, points, torch.zeros_like(points), torch.Generator()).backward()
        optimiser.step()
    points, exact = mixture(4000, generator)
    found = -process.log_likelihood(flow, points, torch.zeros_like(points))
    assert -0.01 < (found - exact).mean() < 0.25


def published(layers: int, shape: tuple[int, int], design: UNetDesign) -> list[ConvolutionalFlow]:
    """The flow of each layer; from the sixth on they are alike, and one module stands for all."""
    with torch.device("meta"):
        flows = [
            ConvolutionalFlow(shape, condition=k + 2, design=design, embedding=8 if k else None)
            for k in range(6)
        ]
    return flows[:5] + (layers - 5) * flows[5:]


def parameters(flows: list[ConvolutionalFlow]) -> int:
    return sum(parameter.numel() for flow in flows for parameter in flow.parameters())


def test_45_flows_and_the_energy_flow_have_the_published_number_of_parameters() -> None:
    flows = published(45, (50, 18), UNetDesign(32, ((5, 3), (5, 3))))
    assert parameters(flows) + PUBLISHED_ENERGY_FLOW == 194_964_482


def test_the_states_of_30_flows_hold_the_published_number_of_numbers() -> None:
    """The published state counts four channel numbers of each coupling and a flag of each
    activation norm besides.
    """
    flows = published(30, (30, 30), UNetDesign(32, ((3, 3), (5, 5)), cyclic=False))
    couplings = sum(isinstance(step, ActNorm) for flow in flows for step in flow.steps)
    state = sum(tensor.numel() for flow in flows for tensor in flow.state_dict().values())
    assert state + couplings * (4 + 1) == 163_269_320
    assert parameters(flows) == 163_096_520


@pytest.mark.parametrize("shape", [(9, 6), (8, 5), (10, 6), (8, 8), (0, 6)])
def test_axes_that_tiles_and_downsamples_do_not_divide_are_named(shape: tuple[int, int]) -> None:
    axis = "alpha" if shape[0] != 8 else "r"
    with pytest.raises(
        GeometryError,
        match=f"axis {axis} of {min(shape) if 0 in shape else shape[axis == 'r']} positions",
    ):
        ConvolutionalFlow(shape, condition=1, design=UNetDesign(4, ((2, 3),)))


@pytest.mark.parametrize(
    "wrong", [{"squeeze": (1, 1)}, {"blocks": 0}, {"condition": 0}, {"embedding": -1}]
)
def test_sizes_that_are_none_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(
        ModelError, match="expected positive numbers, and tiles of at least two pixels"
    ):
        ConvolutionalFlow((8, 6), **({"condition": 1, "design": UNetDesign(4, ((2, 3),))} | wrong))
