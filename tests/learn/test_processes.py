"""Processes against closed forms: order of solvers, flow and bridge between normal laws."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from caloforge import streams
from caloforge.learn.processes import (
    RK4,
    SOLVERS,
    FlowBridge,
    Linear,
    Path,
    RungeKutta,
    Sampler,
    SchroedingerBridge,
    SquaredTrigonometric,
    Steps,
    Trigonometric,
    VariancePreserving,
    integrate,
    random_signs,
    trace,
)
from caloforge.learn.processes.solvers import hermite_weights
from tests.learn.mixtures import MEANS, SHARES, WIDTHS, MixtureFlow, sample

SHORT_PATHS = [Linear(), Trigonometric(), SquaredTrigonometric()]
PATHS = [*SHORT_PATHS, VariancePreserving()]
EXACT_PATHS = [*SHORT_PATHS, VariancePreserving(rest=1e-10)]
"""All of each path: what the variance preserving one leaves out as a rule would hide the order of a
good solver.
"""


def name_of(path: Path) -> str:
    return type(path).__name__


def test_steps_are_a_sampler() -> None:
    assert isinstance(Steps(RK4, 3), Sampler)
    assert Steps(RK4, 3).evaluations == 12


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_a_path_joins_its_ends(path: Path) -> None:
    """The variance preserving one only nearly: by 0.7 % at the noise, and by the part left out at
    the data.
    """
    a, b, _, _ = path.weights(torch.tensor([0.0, 1.0], dtype=torch.float64))
    near = 0.0066 if isinstance(path, VariancePreserving) else 1e-12
    torch.testing.assert_close(a, torch.tensor([1.0, 0.0], dtype=torch.float64), atol=near, rtol=0)
    torch.testing.assert_close(b, torch.tensor([0.0, 1.0], dtype=torch.float64), atol=near, rtol=0)


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_the_derivatives_of_a_path_are_its_derivatives(path: Path) -> None:
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64, requires_grad=True)
    a, b, da, db = path.weights(t)
    torch.testing.assert_close(torch.autograd.grad(a.sum(), t, retain_graph=True)[0], da)
    torch.testing.assert_close(torch.autograd.grad(b.sum(), t)[0], db)


@pytest.mark.parametrize("path", [Trigonometric(), VariancePreserving()], ids=name_of)
def test_a_path_that_preserves_the_variance_does(path: Path) -> None:
    a, b, _, _ = path.weights(torch.linspace(0, 1, 50, dtype=torch.float64))
    torch.testing.assert_close(a**2 + b**2, torch.ones_like(a))


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_solver_shows_its_order(solver: RungeKutta) -> None:
    """dx/dt = -2 t x^2 from x(0) = 1, whose solution is 1 / (1 + t^2)."""
    x = torch.ones(1, 1, dtype=torch.float64)
    coarse, fine = (
        abs(integrate(lambda x, t: -2 * t * x * x, x, solver=solver, steps=n).item() - 0.5)
        for n in (32, 64)
    )
    assert math.log2(coarse / fine) == pytest.approx(solver.order, abs=0.1)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_reverse_undoes_forward(solver: RungeKutta) -> None:
    x = torch.randn(4, 3, dtype=torch.float64)
    there = integrate(lambda x, t: torch.sin(x + t), x, solver=solver, steps=400)
    back = integrate(lambda x, t: torch.sin(x + t), there, solver=solver, steps=400, reverse=True)
    torch.testing.assert_close(back, x, atol=5e-3, rtol=0)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_solver_counts_its_evaluations(solver: RungeKutta) -> None:
    calls: list[float] = []
    integrate(lambda x, t: calls.append(t) or x, torch.zeros(1, 1), solver=solver, steps=3)  # type: ignore[func-returns-value]
    assert len(calls) == 3 * solver.evaluations


def normal_velocity(path: Path, means: tuple[float, float], widths: tuple[float, float]) -> object:
    """The exact velocity between two independent normal laws: a linear function of x."""

    def velocity(x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        del condition
        a, b, da, db = path.weights(time[:, None])
        mean, speed = a * means[0] + b * means[1], da * means[0] + db * means[1]
        variance = (a * widths[0]) ** 2 + (b * widths[1]) ** 2
        covariance = a * da * widths[0] ** 2 + b * db * widths[1] ** 2
        return speed + covariance / variance * (x - mean)

    return velocity


@pytest.mark.parametrize("path", SHORT_PATHS, ids=name_of)
def test_flow_carries_one_normal_law_into_another(path: Path) -> None:
    velocity = normal_velocity(path, (1.0, -2.0), (0.5, 1.5))
    x = 1.0 + 0.5 * torch.randn(20_000, 1, dtype=torch.float64)
    condition = torch.zeros(len(x), dtype=torch.float64)
    end = FlowBridge(path, Steps(RK4, 20)).sample(velocity, x, condition)
    torch.testing.assert_close(end, -2.0 + 3.0 * (x - 1.0), atol=1e-3, rtol=1e-3)
    back = FlowBridge(path, Steps(RK4, 20, reverse=True)).sample(velocity, end, condition)
    torch.testing.assert_close(back, x, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("path", SHORT_PATHS, ids=name_of)
def test_the_exact_velocity_minimises_the_loss(path: Path) -> None:
    exact, bridge = normal_velocity(path, (1.0, -2.0), (0.5, 1.5)), FlowBridge(path)
    ends = (1.0 + 0.5 * torch.randn(50_000, 1), -2.0 + 1.5 * torch.randn(50_000, 1))
    condition = torch.zeros(50_000)

    def off(shift: float, stretch: float) -> float:
        random = torch.Generator().manual_seed(1)
        return bridge.loss(
            lambda x, t, c: (1 + stretch) * exact(x, t, c) + shift, ends, condition, random
        ).item()

    best = off(0, 0)
    assert all(off(*change) > best for change in ((0.2, 0.0), (-0.2, 0.0), (0.0, 0.1), (0.0, -0.1)))


@pytest.mark.parametrize("path", [Trigonometric(), VariancePreserving()], ids=name_of)
def test_between_standard_normal_ends_a_path_that_preserves_the_variance_stands_still(
    path: Path,
) -> None:
    velocity = normal_velocity(path, (0.0, 0.0), (1.0, 1.0))
    x, time = torch.randn(10, 1, dtype=torch.float64), torch.rand(10, dtype=torch.float64)
    assert velocity(x, time, time).abs().max() < 1e-9


def test_a_flow_takes_points_and_conditions_of_any_shape() -> None:
    """Fields are carried, and judged, as the vectors of their numbers."""
    field, condition, steps = torch.randn(5, 2, 3, 4), torch.randn(5, 7, 2), Steps(RK4, 3)
    bridge = FlowBridge(Linear(), steps)

    def network(x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        return (x.flatten(1) * condition.mean((1, 2))[:, None] + time[:, None]).sin().view(x.shape)

    flat = bridge.sample(network, field.flatten(1), condition)
    assert torch.equal(bridge.sample(network, field, condition), flat.view(field.shape))
    ends = (field, field.flip(0))
    rows = (ends[0].flatten(1), ends[1].flatten(1))
    expected = bridge.loss(network, rows, condition, torch.Generator().manual_seed(1))
    found = bridge.loss(network, ends, condition, torch.Generator().manual_seed(1))
    assert torch.equal(found, expected)
    density = bridge.log_likelihood(network, field, condition, steps)
    assert torch.equal(density, bridge.log_likelihood(network, field.flatten(1), condition, steps))


FINE = {"euler": 200, "midpoint": 160, "heun": 160, "rk4": 50}
"""Steps after which a solver's error on the mixture is small."""


@pytest.mark.parametrize("path", EXACT_PATHS, ids=name_of)
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_solver_shows_its_order_on_the_mixture(path: Path, solver: RungeKutta) -> None:
    flow, x = MixtureFlow(path), torch.randn(8, 2, dtype=torch.float64)
    exact = integrate(flow.velocity, x, solver=RK4, steps=160)
    n = FINE[solver.name] // 2
    coarse, fine = (
        (Steps(solver, k)(flow.velocity, x) - exact).square().mean().sqrt().item()
        for k in (n, 2 * n)
    )
    assert math.log2(coarse / fine) == pytest.approx(solver.order, abs=0.3)


@pytest.mark.parametrize("path", EXACT_PATHS, ids=name_of)
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_samples_follow_the_mixture(path: Path, solver: RungeKutta) -> None:
    """The first two moments, and the law of the projection on each axis."""
    x = torch.randn(4000, 2, dtype=torch.float64)
    end = FlowBridge(path, Steps(solver, FINE[solver.name] // 2)).sample(MixtureFlow(path), x, x)
    mean = SHARES @ MEANS
    torch.testing.assert_close(end.mean(0), mean, atol=0.06, rtol=0)
    moment = torch.einsum("k,ki,kj->ij", SHARES, MEANS, MEANS) + SHARES @ WIDTHS**2 * torch.eye(2)
    torch.testing.assert_close(end.t() @ end / len(end), moment, atol=0.08, rtol=0)
    for axis in range(2):
        law = torch.distributions.Normal(MEANS[:, axis], WIDTHS)
        assert (
            kstest(
                end[:, axis].numpy(),
                lambda v, law=law: (law.cdf(torch.as_tensor(v)[:, None]) @ SHARES).numpy(),
            ).pvalue
            > 0.01
        )


@pytest.mark.parametrize("path", EXACT_PATHS, ids=name_of)
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_likelihood_is_the_density_of_the_mixture(path: Path, solver: RungeKutta) -> None:
    flow, side = MixtureFlow(path), torch.linspace(-1, 1, 3, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    density = FlowBridge(path).log_likelihood(
        flow,
        x,
        x,
        Steps(solver, FINE[solver.name]),
        base=lambda start: flow.log_density(start, 0.0),
    )
    close = 3e-2 if solver.order == 1 else 1e-4
    torch.testing.assert_close(density, flow.log_density(x, 1.0), atol=close, rtol=0)


def test_likelihood_of_a_flow_that_stands_still_is_standard_normal() -> None:
    x = torch.randn(10, 3, dtype=torch.float64)
    density = FlowBridge(Linear()).log_likelihood(
        lambda x, t, c: torch.zeros_like(x) + 0 * x, x, x, Steps(RK4, 1)
    )
    torch.testing.assert_close(density, torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1))


def test_likelihood_by_random_signs_is_unbiased() -> None:
    """Off-diagonal derivatives average out; from signs (1, 1) and (1, -1) in equal parts they
    cancel.
    """
    flow, x = MixtureFlow(Linear()), sample(20)
    bridge, steps = FlowBridge(Linear()), Steps(RK4, 8)
    exact = bridge.log_likelihood(flow, x, x, steps)
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0]])[:, None, :].expand(2, len(x), 2)
    torch.testing.assert_close(bridge.log_likelihood(flow, x, x, steps, noise=signs), exact)
    off = bridge.log_likelihood(flow, x, x, steps, noise=signs[:1]) - exact
    assert off.abs().max() > 1e-2
    probes = random_signs(streams.keys(1, torch.arange(len(x)), 0), 32, (2,))
    drawn = bridge.log_likelihood(flow, x, x, steps, noise=probes) - exact
    assert drawn.abs().max() < 6 * off.abs().max() / math.sqrt(32)


def test_random_signs_belong_to_their_point() -> None:
    key = streams.keys(5, torch.arange(64), 0)
    signs = random_signs(key, 16, (3, 4))
    assert signs.shape == (16, 64, 3, 4)
    assert torch.equal(signs.abs(), torch.ones_like(signs))
    assert abs(signs.mean().item()) < 4 / math.sqrt(signs.numel())
    assert torch.equal(random_signs(key[7:9], 16, (3, 4)), signs[:, 7:9])


def test_a_trajectory_ends_where_the_integral_ends_and_is_exact_at_its_nodes() -> None:
    flow, x = MixtureFlow(Linear()), torch.randn(5, 2, dtype=torch.float64)
    trajectory = trace(flow.velocity, x, solver=RK4, steps=8)
    assert torch.equal(trajectory.states[:, -1], integrate(flow.velocity, x, solver=RK4, steps=8))
    nodes = torch.linspace(0, 1, 9, dtype=torch.float64)
    state, slope = hermite_weights(nodes, 9)
    torch.testing.assert_close(
        torch.einsum("tp,bpd->btd", state, trajectory.points), trajectory.states
    )
    torch.testing.assert_close(
        torch.einsum("tp,bpd->btd", slope, trajectory.points), trajectory.velocities
    )


def test_the_interpolant_of_a_trajectory_is_exact_for_cubics_and_has_its_slope() -> None:
    """Of t^3 - t, between the nodes; the slope is the derivative of the state."""
    times = torch.rand(40, dtype=torch.float64, requires_grad=True)
    state, slope = hermite_weights(times, 4)
    nodes = torch.linspace(0, 1, 4, dtype=torch.float64)
    points = torch.cat([nodes**3 - nodes, 3 * nodes**2 - 1])
    torch.testing.assert_close(state @ points, times**3 - times)
    torch.testing.assert_close(slope @ points, 3 * times**2 - 1)
    torch.testing.assert_close(
        torch.autograd.grad((state @ points).sum(), times)[0], (slope @ points).detach()
    )


class StepwiseLinear:
    """A displacement linear in x with coefficients of its own for each step: contains the exact
    bridge of normal laws.
    """

    def __init__(self, steps: int) -> None:
        self.coefficients = torch.zeros(steps, 2, dtype=torch.float64)

    def __call__(self, x: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        del condition
        slope, shift = self.coefficients[step.long()].unbind(-1)
        return slope[:, None] * x + shift[:, None]

    def learn(self, points: Tensor, numbers: Tensor, targets: Tensor) -> None:
        for step in range(len(self.coefficients)):
            x = points[numbers == step]
            design = torch.cat([x, torch.ones_like(x)], dim=1)
            self.coefficients[step] = torch.linalg.lstsq(design, targets[numbers == step]).solution[
                :, 0
            ]


def test_iterative_proportional_fitting_reaches_both_normal_laws() -> None:
    """Half-bridges by exact regression, between N(0.5, 0.8^2) and N(-0.5, 1.2^2); the chain's own
    error is of order gamma.
    """
    bridge = SchroedingerBridge(gamma=0.0125, steps=80)
    generator = torch.Generator().manual_seed(3)
    n, condition = 4000, torch.zeros(4000, dtype=torch.float64)
    fast, full = (
        m + s * torch.randn(n, 1, generator=generator, dtype=torch.float64)
        for m, s in ((0.5, 0.8), (-0.5, 1.2))
    )
    refine, coarsen = StepwiseLinear(80), StepwiseLinear(80)

    def noise() -> Tensor:
        return torch.randn(80, n, 1, generator=generator, dtype=torch.float64)

    refine.learn(*bridge.chains(full, condition, noise()))
    for _ in range(4):
        coarsen.learn(*replace(bridge, teacher=refine).chains(fast, condition, noise()))
        refine.learn(*replace(bridge, teacher=coarsen).chains(full, condition, noise()))
    moves = torch.randn(n, 79, 1, generator=generator, dtype=torch.float64)
    for drift, start, mean, width in ((refine, fast, -0.5, 1.2), (coarsen, full, 0.5, 0.8)):
        end = bridge.sample(drift, (start, moves), condition)
        assert end.mean().item() == pytest.approx(mean, abs=0.04)
        assert end.var().item() + 2 * bridge.gamma == pytest.approx(width**2, rel=0.05)


def test_chains_are_those_of_equation_4() -> None:
    bridge, x = SchroedingerBridge(gamma=0.02, steps=3), torch.randn(4, 2)

    def teacher(x: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        del condition
        return 0.1 * x + step[:, None]

    noise = torch.randn(3, 4, 2)
    points, numbers, targets = replace(bridge, teacher=teacher).chains(x, torch.zeros(4), noise)
    mean = x + teacher(x, torch.zeros(4), torch.zeros(4))
    first = mean + 0.2 * noise[0]
    torch.testing.assert_close(points[:4], first)
    assert numbers.tolist() == [2.0] * 4 + [1.0] * 4 + [0.0] * 4
    backward = first + mean - (first + teacher(first, torch.zeros(4), torch.zeros(4)))
    torch.testing.assert_close(first + targets[:4], backward)


def test_the_last_step_of_a_chain_adds_no_noise() -> None:
    bridge, start = (
        SchroedingerBridge(gamma=0.5, steps=1),
        (torch.randn(5, 2), torch.empty(5, 0, 2)),
    )
    assert torch.equal(bridge.sample(lambda x, k, c: 0 * x, start, torch.zeros(5)), start[0])
