"""Processes against closed forms: order of solvers, flow and bridge between normal laws."""

import math

import pytest
import torch
from torch import Tensor

from caloforge import streams
from caloforge.learn.processes import SOLVERS, FlowBridge, Linear, Path, RungeKutta, SchroedingerBridge, Trigonometric, integrate

PATHS = [Linear(), Trigonometric()]


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_solver_shows_its_order(solver: RungeKutta) -> None:
    """dx/dt = -2 t x^2 from x(0) = 1, whose solution is 1 / (1 + t^2)."""
    x = torch.ones(1, 1, dtype=torch.float64)
    coarse, fine = (abs(integrate(lambda x, t: -2 * t * x * x, x, solver=solver, steps=n).item() - 0.5) for n in (32, 64))
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


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_flow_carries_one_normal_law_into_another(path: Path) -> None:
    velocity = normal_velocity(path, (1.0, -2.0), (0.5, 1.5))
    x = 1.0 + 0.5 * torch.randn(20_000, 1, dtype=torch.float64)
    bridge, condition = FlowBridge(path), torch.zeros(len(x), dtype=torch.float64)
    end = bridge.transport(velocity, x, condition, solver=SOLVERS["rk4"], steps=20)
    torch.testing.assert_close(end, -2.0 + 3.0 * (x - 1.0), atol=1e-3, rtol=1e-3)
    back = bridge.transport(velocity, end, condition, solver=SOLVERS["rk4"], steps=20, reverse=True)
    torch.testing.assert_close(back, x, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_the_exact_velocity_minimises_the_loss(path: Path) -> None:
    exact, bridge = normal_velocity(path, (1.0, -2.0), (0.5, 1.5)), FlowBridge(path)
    ends = (1.0 + 0.5 * torch.randn(50_000, 1), -2.0 + 1.5 * torch.randn(50_000, 1))
    condition, time = torch.zeros(50_000), torch.rand(50_000)

    def off(shift: float, stretch: float) -> float:
        return bridge.loss(lambda x, t, c: (1 + stretch) * exact(x, t, c) + shift, ends, condition, time).item()

    best = off(0, 0)
    assert all(off(*change) > best for change in ((0.2, 0.0), (-0.2, 0.0), (0.0, 0.1), (0.0, -0.1)))


def test_between_standard_normal_ends_the_trigonometric_path_stands_still() -> None:
    velocity = normal_velocity(Trigonometric(), (0.0, 0.0), (1.0, 1.0))
    assert velocity(torch.randn(10, 1), torch.rand(10), torch.zeros(10)).abs().max() < 1e-6


class StepwiseLinear:
    """A displacement linear in x with coefficients of its own for each step: contains the exact bridge of normal laws."""

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
            self.coefficients[step] = torch.linalg.lstsq(design, targets[numbers == step]).solution[:, 0]


def test_iterative_proportional_fitting_reaches_both_normal_laws() -> None:
    """Half-bridges by exact regression, between N(0.5, 0.8^2) and N(-0.5, 1.2^2); the chain's own error is of order gamma."""
    bridge = SchroedingerBridge(gamma=0.0125, steps=80)
    generator = torch.Generator().manual_seed(3)
    n, condition = 4000, torch.zeros(4000, dtype=torch.float64)
    fast, full = (m + s * torch.randn(n, 1, generator=generator, dtype=torch.float64) for m, s in ((0.5, 0.8), (-0.5, 1.2)))
    refine, coarsen = StepwiseLinear(80), StepwiseLinear(80)

    def noise() -> Tensor:
        return torch.randn(80, n, 1, generator=generator, dtype=torch.float64)

    refine.learn(*bridge.teach(bridge.ornstein_uhlenbeck, full, condition, noise()))
    for _ in range(4):
        coarsen.learn(*bridge.teach(refine, fast, condition, noise()))
        refine.learn(*bridge.teach(coarsen, full, condition, noise()))
    key = streams.keys(0, torch.arange(n), 0)
    for drift, start, mean, width in ((refine, fast, -0.5, 1.2), (coarsen, full, 0.5, 0.8)):
        end = bridge.transport(drift, start, condition, key)
        assert end.mean().item() == pytest.approx(mean, abs=0.04)
        assert end.var().item() + 2 * bridge.gamma == pytest.approx(width**2, rel=0.05)


def test_lessons_are_those_of_equation_4() -> None:
    bridge, x = SchroedingerBridge(gamma=0.02, steps=3), torch.randn(4, 2)

    def teacher(x: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        del condition
        return 0.1 * x + step[:, None]

    noise = torch.randn(3, 4, 2)
    points, numbers, targets = bridge.teach(teacher, x, torch.zeros(4), noise)
    mean = x + teacher(x, torch.zeros(4), torch.zeros(4))
    first = mean + 0.2 * noise[0]
    torch.testing.assert_close(points[:4], first)
    assert numbers.tolist() == [2.0] * 4 + [1.0] * 4 + [0.0] * 4
    backward = first + mean - (first + teacher(first, torch.zeros(4), torch.zeros(4)))
    torch.testing.assert_close(first + targets[:4], backward)


def test_the_last_step_of_a_chain_adds_no_noise() -> None:
    bridge, key = SchroedingerBridge(gamma=0.5, steps=1), streams.keys(0, torch.arange(5), 0)
    x = torch.randn(5, 2)
    assert torch.equal(bridge.transport(lambda x, k, c: 0 * x, x, torch.zeros(5), key), x)
