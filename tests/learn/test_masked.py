"""Masked autoregressive flows: bijections with the Jacobian that they say, triangular in their
order, in steps as in passes.
"""

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from zuko.transforms import MonotonicRQSTransform

from caloforge.errors import ModelError
from caloforge.learn.networks import MaskedFlow, OnePass, RationalQuadraticSpline
from caloforge.learn.networks.masked import MaskedNetwork
from caloforge.learn.processes import NormalizingFlow

WAYS = [*OnePass]
KINDS = list(product(WAYS, [None, 5]))


def make(
    features: int, one_pass: OnePass, bins: int | None, *, blocks: int = 3, spread: float = 0.3
) -> MaskedFlow:
    """A flow away from the identity, of two numbers of condition."""
    flow = MaskedFlow(
        features, 2, blocks=blocks, hidden=(24, 18), one_pass=one_pass, bins=bins, bound=4.0
    )
    for block in flow.blocks:
        nn.init.normal_(block.network.layers[-1].weight, std=spread)
        nn.init.normal_(block.network.layers[-1].bias, std=spread)
    return flow


def points(batch: int, features: int) -> tuple[Tensor, Tensor]:
    return 1.5 * torch.randn(batch, features), torch.randn(batch, 2)


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Of each row, with shape (batch, outputs, inputs)."""
    return torch.autograd.functional.jacobian(lambda x: function(x).sum(0), x).transpose(0, 1)


@pytest.mark.parametrize(("one_pass", "bins"), KINDS)
def test_a_flow_begins_as_the_identity(one_pass: OnePass, bins: int | None) -> None:
    flow = MaskedFlow(6, 2, blocks=3, hidden=(8,), one_pass=one_pass, bins=bins)
    x, condition = points(5, 6)
    z, log_det = flow(x, condition)
    torch.testing.assert_close(z, x)
    torch.testing.assert_close(log_det, torch.zeros(5), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("one_pass", "bins"), KINDS)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-4), (torch.float64, 1e-11)])
def test_the_inverse(one_pass: OnePass, bins: int | None, dtype: torch.dtype, error: float) -> None:
    flow = make(20, one_pass, bins).to(dtype)
    x, condition = (part.to(dtype) for part in points(500, 20))
    with torch.no_grad():
        z, _ = flow(x, condition)
        torch.testing.assert_close(flow.inverse(z, condition), x, atol=error, rtol=0)
    assert (z - x).abs().max() > 0.5


@pytest.mark.parametrize(("one_pass", "bins"), KINDS)
@pytest.mark.parametrize("features", [1, 5])
def test_the_determinant_is_that_of_the_jacobian(
    one_pass: OnePass, bins: int | None, features: int
) -> None:
    flow = make(features, one_pass, bins).double()
    x, condition = (part.double() for part in points(7, features))
    matrix = jacobian(lambda x: flow(x, condition)[0], x)
    torch.testing.assert_close(flow(x, condition)[1], matrix.det().abs().log())


@pytest.mark.parametrize(("one_pass", "bins"), KINDS)
def test_the_jacobian_of_a_block_is_triangular_in_its_order(
    one_pass: OnePass, bins: int | None
) -> None:
    flow = make(6, one_pass, bins, blocks=1)
    order = flow.blocks[0].order
    x, condition = points(200, 6)
    matrix = jacobian(lambda x: flow(x, condition)[0], x)[:, order][:, :, order]
    assert (matrix.triu(1) == 0).all()
    assert (matrix.abs().sum(0).tril() > 0).equal(torch.ones(6, 6).tril().bool())


@pytest.mark.parametrize("hidden", [(3,), (9, 9), (20, 4), (5, 17, 11)])
def test_numbers_depend_on_all_features_before_and_on_the_condition(
    hidden: tuple[int, ...],
) -> None:
    """Narrow layers merge steps of features, but the last feature sees all but those of its own
    step.
    """
    network = MaskedNetwork(9, 2, hidden=hidden, numbers=2)
    for layer in network.layers:
        nn.init.uniform_(layer.weight, 0.1, 1.0)
    x, condition = torch.rand(3, 9), torch.rand(3, 2)
    seen = jacobian(lambda x: network(x, condition)[..., 0], x).abs().sum(0) > 0
    by_condition = jacobian(lambda c: network(x, c)[..., 0], condition).abs().sum(0) > 0
    first_of_step = torch.tensor(
        [step.first for step in network.steps for _ in range(step.first, step.last)]
    )
    assert by_condition.all()
    assert not (seen & (torch.arange(9) >= first_of_step[:, None])).any()
    if min(hidden) >= 9:
        assert seen.equal(torch.ones(9, 9).tril(-1).bool())
    assert seen[-1, : network.steps[-1].first].any()


@pytest.mark.parametrize("hidden", [(3,), (9, 9), (20, 4), (5, 17, 11)])
def test_steps_are_the_pass(hidden: tuple[int, ...]) -> None:
    network = MaskedNetwork(9, 2, hidden=hidden, numbers=4).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    x, condition = torch.randn(5, 9).double(), torch.randn(5, 2).double()
    units, embedding, parts = network.begin(condition), network.embed(condition), []
    for step in network.steps:
        numbers, units = network.advance(step, units, x[:, : step.first], embedding)
        parts.append(numbers)
    torch.testing.assert_close(torch.cat(parts, dim=1), network(x, condition))
    assert [state.shape[1] for state in units] == list(hidden)


@pytest.mark.parametrize("bins", [None, 5])
def test_sampling_in_steps_is_that_in_passes(bins: int | None) -> None:
    """The slow reference: a pass of all blocks' networks a feature, each of which settles one more
    of them.
    """
    flow = make(11, OnePass.DENSITY, bins).double()
    z, condition = (part.double() for part in points(6, 11))
    x = z
    with torch.no_grad():
        for block in reversed(flow.blocks):
            given, x = x[:, block.order], torch.zeros_like(x)
            for _ in range(11):
                x = block.univariate(block.network(x, condition)).inv(given)
            x = x[:, block.order.argsort()]
        torch.testing.assert_close(flow.inverse(z, condition), x)


@pytest.mark.parametrize("bins", [None, 5])
def test_the_density_in_steps_is_that_in_passes(bins: int | None) -> None:
    flow = make(11, OnePass.SAMPLES, bins).double()
    x, condition = (part.double() for part in points(6, 11))
    z = x
    with torch.no_grad():
        for block in flow.blocks:
            given, z = z[:, block.order], torch.zeros_like(z)
            for _ in range(11):
                z = block.univariate(block.network(z, condition))(given)
            z = z[:, block.order.argsort()]
        torch.testing.assert_close(flow(x, condition)[0], z)


@pytest.mark.parametrize("one_pass", WAYS)
def test_one_way_is_one_evaluation_of_each_network(one_pass: OnePass) -> None:
    flow, (x, condition) = make(7, one_pass, 4), points(3, 7)
    calls: list[nn.Module] = []
    for block in flow.blocks:
        block.network.register_forward_hook(lambda module, *_: calls.append(module))
    fast, slow = (flow, flow.inverse) if one_pass is OnePass.DENSITY else (flow.inverse, flow)
    fast(x, condition)
    assert len(calls) == len(set(calls)) == len(flow.blocks)
    slow(x, condition)
    assert len(calls) == len(flow.blocks)


@pytest.mark.parametrize(("one_pass", "bins"), KINDS)
@pytest.mark.parametrize("features", [1, 2])
def test_the_density_integrates_to_one(one_pass: OnePass, bins: int | None, features: int) -> None:
    flow = make(features, one_pass, bins).double()
    axis = torch.linspace(-12, 12, 241 if features == 2 else 4001, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * features).view(-1, features)
    with torch.no_grad():
        density = (
            NormalizingFlow()
            .log_likelihood(flow, grid, torch.full((len(grid), 2), 0.4).double())
            .exp()
        )
    assert density.sum().item() * (axis[1] - axis[0]).item() ** features == pytest.approx(
        1, abs=2e-3
    )
    assert (
        density - torch.exp(-grid.square().sum(1) / 2) / (2 * torch.pi) ** (features / 2)
    ).abs().max() > 0.02


def correlated(mean: float, width: float, slope: float) -> MaskedFlow:
    """Set by hand: x_0 normal with mean c_0 and width 1, x_1 with mean ``mean`` + ``slope`` x_0 and
    width ``width``.

    A difference of two rectified units is a linear one; the log of the width is bounded by that of
    ``slope`` of the flow.
    """
    flow = MaskedFlow(2, 1, blocks=1, hidden=(4,), bins=None, slope=1e-3).double()
    network, bound = flow.blocks[0].network, -math.log(1e-3)
    log_scale = -math.log(width)
    with torch.no_grad():
        flow.blocks[0].order.copy_(torch.tensor([0, 1]))
        for parameter in network.parameters():
            parameter.zero_()
        network.layers[0].weight[2:, 0] = torch.tensor([1.0, -1.0])
        network.condition.weight[0] = 1
        network.layers[1].weight[0, 0] = -1
        network.layers[1].weight[2, 2:] = torch.tensor([-slope, slope], dtype=torch.float64) / width
        network.layers[1].bias[2] = -mean / width
        network.layers[1].bias[3] = log_scale / (1 - abs(log_scale) / bound)
    return flow


def test_the_density_of_a_normal_law() -> None:
    flow, condition = correlated(mean=0.7, width=0.4, slope=-1.3), torch.full((50, 1), 0.5).double()
    covariance = torch.tensor([[1.0, -1.3], [-1.3, 1.3**2 + 0.4**2]], dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(
        torch.tensor([0.5, 0.7 - 1.3 * 0.5], dtype=torch.float64), covariance
    )
    x = normal.sample((50,))
    torch.testing.assert_close(
        NormalizingFlow().log_likelihood(flow, x, condition), normal.log_prob(x), atol=1e-9, rtol=0
    )


def test_samples_of_a_normal_law_have_its_moments_and_density() -> None:
    flow, condition = (
        correlated(mean=0.7, width=0.4, slope=-1.3),
        torch.full((20_000, 1), 0.5).double(),
    )
    z = torch.randn(20_000, 2).double()
    x = NormalizingFlow().sample(flow, z, condition)
    torch.testing.assert_close(x.mean(0), torch.tensor([0.5, 0.05]).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(
        x.mT.cov(), torch.tensor([[1.0, -1.3], [-1.3, 1.85]]).double(), atol=0.06, rtol=0
    )
    truth = torch.distributions.Normal(0, 1).log_prob(z).sum(1) - math.log(0.4)
    torch.testing.assert_close(
        NormalizingFlow().log_likelihood(flow, x, condition), truth, atol=1e-9, rtol=0
    )


@pytest.mark.parametrize(("one_pass", "bins"), KINDS)
def test_a_folded_flow_has_the_same_bits(one_pass: OnePass, bins: int | None) -> None:
    flow = make(20, one_pass, bins)
    x, condition = points(7, 20)
    folded = flow.folded()
    with torch.no_grad():
        assert folded.inverse(x, condition).equal(flow.inverse(x, condition))
        for given, expected in zip(folded(x, condition), flow(x, condition), strict=True):
            assert given.equal(expected)
    assert not any(parameter.requires_grad for parameter in folded.parameters())


@pytest.mark.parametrize("one_pass", WAYS)
def test_a_walk_ends_where_the_flow_does_and_is_the_walk_back(one_pass: OnePass) -> None:
    flow = make(5, one_pass, 4).double()
    x, condition = (part.double() for part in points(6, 5))
    walk, numbers = flow.walk(x, condition)
    assert walk.shape == (6, 4, 5)
    assert numbers.shape == (6, 3, 5, 11)
    assert torch.equal(walk[:, 0], x)
    assert torch.equal(walk[:, -1], flow(x, condition)[0])
    for mine, its in zip(flow.walk_back(walk[:, -1], condition), (walk, numbers), strict=True):
        torch.testing.assert_close(mine, its)


@pytest.mark.parametrize("one_pass", WAYS)
def test_a_student_has_the_orders_and_the_other_way(one_pass: OnePass) -> None:
    flow = make(9, one_pass, 4).double()
    student = flow.student(hidden=(7,))
    assert student.one_pass is not one_pass
    assert student.features == 9
    assert all(
        torch.equal(a.order, b.order) for a, b in zip(flow.blocks, student.blocks, strict=True)
    )
    assert {p.dtype for p in student.parameters()} == {torch.float64}
    assert flow.student().state_dict().keys() == flow.state_dict().keys()
    assert flow.student().student().one_pass is one_pass


def test_orders_follow_the_seed_and_are_stored() -> None:
    flow, (x, condition) = make(12, OnePass.DENSITY, 4), points(4, 12)
    orders = [block.order for block in flow.blocks]
    assert not torch.equal(orders[0], orders[1])
    torch.manual_seed(5)
    first = make(12, OnePass.DENSITY, 4)
    torch.manual_seed(5)
    again = make(12, OnePass.DENSITY, 4)
    assert torch.equal(again(x, condition)[0], first(x, condition)[0])
    again.load_state_dict(flow.state_dict())
    assert torch.equal(again(x, condition)[0], flow(x, condition)[0])
    assert not [name for name in flow.state_dict() if "mask" in name]


@pytest.mark.parametrize(("features", "parameters"), [(45, 447_042), (30, 306_732)])
def test_the_published_energy_flow_has_its_number_of_parameters(
    features: int, parameters: int
) -> None:
    """What nflows counts for six blocks of 64 units, one hidden layer and eight bins
    (arXiv:2405.20407, and its code).
    """
    with torch.device("meta"):
        flow = MaskedFlow(features, 1, blocks=6, hidden=(64, 64), bins=8, bound=13.8)
    assert sum(p.numel() for p in flow.parameters()) == parameters


@pytest.mark.parametrize(("one_pass", "bins"), KINDS)
def test_every_parameter_gets_a_gradient(one_pass: OnePass, bins: int | None) -> None:
    flow, (x, condition) = make(6, one_pass, bins), points(64, 6)
    NormalizingFlow().loss(flow, x, condition, torch.Generator()).backward()
    flow.inverse(x, condition).square().sum().backward()
    for name, parameter in flow.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("one_pass", "bins"), KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zeros_edges_and_far_points_are_finite(
    one_pass: OnePass, bins: int | None, dtype: torch.dtype
) -> None:
    flow = make(6, one_pass, bins).to(dtype)
    edge = torch.nextafter(torch.tensor(4.0), torch.tensor(5.0)).item()
    values = [0.0, -0.0, 4.0, -4.0, edge, -edge, 3.9999, 13.8, 1e6, -1e6]
    x = torch.tensor(values, dtype=dtype)[:, None].expand(-1, 6).clone().requires_grad_()
    condition = torch.randn(len(values), 2).to(dtype)
    z, log_det = flow(x, condition)
    inputs = [x, *flow.parameters()]
    for result in (z, log_det, flow.inverse(x, condition)):
        assert result.isfinite().all()
        gradients = torch.autograd.grad(
            result.sum(), inputs, retain_graph=True, materialize_grads=True
        )
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(("one_pass", "bins"), KINDS)
@pytest.mark.parametrize("rows", [16, 48])
def test_a_row_does_not_depend_on_its_batch(one_pass: OnePass, bins: int | None, rows: int) -> None:
    flow, (x, condition) = make(20, one_pass, bins, blocks=2), points(96, 20)
    with torch.no_grad():
        for way in (lambda x, c: flow(x, c)[0], lambda x, c: flow(x, c)[1], flow.inverse):
            parts = [way(a, c) for a, c in zip(x.split(rows), condition.split(rows), strict=True)]
            assert torch.equal(torch.cat(parts), way(x, condition))


@pytest.mark.parametrize(("one_pass", "bins"), KINDS)
def test_a_row_does_not_depend_on_its_place(one_pass: OnePass, bins: int | None) -> None:
    flow, (x, condition) = make(20, one_pass, bins, blocks=2), points(96, 20)
    order = torch.randperm(96)
    with torch.no_grad():
        for way in (lambda x, c: flow(x, c)[0], flow.inverse):
            assert torch.equal(way(x[order], condition[order]), way(x, condition)[order])


@pytest.mark.parametrize(
    "sizes", [{"blocks": 0}, {"hidden": ()}, {"hidden": (8, 0)}, {"features": 0}, {"bins": -1}]
)
def test_sizes_that_are_not_positive_are_errors(sizes: dict[str, int]) -> None:
    given = {"features": 3, "condition": 1, "blocks": 2, "hidden": (8,), **sizes}
    with pytest.raises(ModelError, match="expected a positive number"):
        MaskedFlow(given.pop("features"), given.pop("condition"), **given)


def splines(
    spread: float, dtype: torch.dtype, count: int = 20_000
) -> tuple[RationalQuadraticSpline, MonotonicRQSTransform]:
    numbers = [(spread * torch.randn(count, bins)).to(dtype) for bins in (8, 8, 7)]
    return tuple(
        kind(*numbers, bound=13.8) for kind in (RationalQuadraticSpline, MonotonicRQSTransform)
    )  # type: ignore[return-value]


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_the_splines_inverse_is_zukos_in_double_precision(spread: float) -> None:
    ours, zukos = splines(spread, torch.float64)
    y = torch.linspace(-15, 15, 20_000, dtype=torch.float64)
    torch.testing.assert_close(ours.inv(y), zukos.inv(y), atol=1e-6, rtol=0)


@pytest.mark.parametrize("spread", [1.0, 20.0, 1e6])
def test_the_splines_inverse_is_exact_in_single_precision(spread: float) -> None:
    """Up to a few roundings of the interval's size, seen from the side that is less stretched;
    zuko's gives NaN.
    """
    ours, zukos = splines(spread, torch.float32)
    y = ours(torch.linspace(-15, 15, 20_000))
    x = ours.inv(y)
    again, log_slope = ours.call_and_ladj(x)
    assert x.isfinite().all()
    assert ((again - y).abs() / log_slope.exp().clamp(min=1)).max() < 1e-5
    assert zukos.inv(y).isnan().any() or spread == 1.0
