"""Bespoke solvers: their numbers, what they contain, their losses, and what training gains on a
known flow.
"""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from caloforge.errors import RecipeError
from caloforge.learn import training
from caloforge.learn.processes import (
    EULER,
    MIDPOINT,
    RK4,
    SOLVERS,
    BespokeSolver,
    Linear,
    RungeKutta,
    Sampler,
    Steps,
    global_truncation,
    gram,
    integrate,
    local_truncation,
    trace,
)
from tests.learn.mixtures import MixtureFlow

FLOW = MixtureFlow(Linear())
RALSTON = RungeKutta("ralston", 2, ((), (2 / 3,)), (1 / 4, 3 / 4))


def scattered(evaluations: int) -> BespokeSolver:
    """A solver with arbitrary numbers."""
    solver = BespokeSolver(evaluations).double()
    for parameter in solver.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return solver


@pytest.mark.parametrize("n", range(1, 17))
def test_a_solver_has_the_papers_number_of_parameters(n: int) -> None:
    assert sum(p.numel() for p in BespokeSolver(n).parameters()) == n * (n + 5) // 2 - 1


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_a_solver_is_a_sampler_that_starts_as_euler(n: int) -> None:
    x, solver = torch.randn(6, 2, dtype=torch.float64), BespokeSolver(n)
    calls: list[float] = []

    def velocity(x: Tensor, t: float) -> Tensor:
        calls.append(t)
        return FLOW.velocity(x, t)

    end = solver(velocity, x)
    assert isinstance(solver, Sampler)
    assert len(calls) == solver.evaluations == n
    assert not end.requires_grad
    torch.testing.assert_close(
        end, integrate(FLOW.velocity, x, solver=EULER, steps=n), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("method", [*SOLVERS.values(), RALSTON], ids=lambda m: m.name)
def test_a_solver_can_be_any_runge_kutta_method(method: RungeKutta) -> None:
    """Where stages share a time, only nearly: times of a solver are distinct."""
    x, solver = torch.randn(6, 2, dtype=torch.float64), BespokeSolver(8, method)
    expected = integrate(FLOW.velocity, x, solver=method, steps=8 // method.evaluations)
    torch.testing.assert_close(solver(FLOW.velocity, x), expected, atol=3e-6, rtol=0)


def test_a_solver_set_by_hand_to_two_midpoint_steps_is_these() -> None:
    """And to one two-step Adams-Bashforth method after an Euler step, which no Runge-Kutta method
    is.
    """
    x, solver = torch.randn(6, 2, dtype=torch.float64), BespokeSolver(4).double()
    solver.set(
        [1.0] * 4, [[0.25], [0, 0.5], [0, 0.5, 0.25], [0, 0.5, 0, 0.5]], [0, 0.25, 0.5, 0.75, 1]
    )
    expected = integrate(FLOW.velocity, x, solver=MIDPOINT, steps=2)
    torch.testing.assert_close(solver(FLOW.velocity, x), expected, atol=1e-12, rtol=0)
    pair = BespokeSolver(2).double()
    pair.set([1.0, 1.0], [[0.5], [0.25, 0.75]], [0, 0.5, 1])
    first = FLOW.velocity(x, 0.0)
    second = FLOW.velocity(x + first / 2, 0.5)
    torch.testing.assert_close(
        pair(FLOW.velocity, x), x + first / 4 + 3 * second / 4, atol=1e-12, rtol=0
    )


def test_times_are_ordered_whatever_the_parameters_and_come_back() -> None:
    solver = BespokeSolver(9).double()
    solver.log_gaps.data = 5 * torch.randn(8, dtype=torch.float64)
    times = solver.times
    assert times[0] == 0
    assert times[-1] == 1
    assert (times.diff() > 0).all()
    again = BespokeSolver(9).double()
    again.set([1.0] * 9, [[0.0] * (i + 1) for i in range(9)], times.tolist())
    torch.testing.assert_close(again.times, times, atol=1e-6, rtol=0)


def test_the_differentiable_solution_is_the_sampled_one() -> None:
    solver, x = scattered(6), torch.randn(5, 2, dtype=torch.float64)
    rolled = solver.rollout(FLOW, x, x)
    torch.testing.assert_close(rolled.detach(), solver(FLOW.velocity, x), atol=1e-12, rtol=0)
    rolled.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in solver.parameters())


def test_a_point_is_carried_as_if_it_were_alone() -> None:
    solver, x = scattered(5), torch.randn(64, 4)
    velocity = lambda x, t: (x * 1.3 + t).sin()  # noqa: E731
    assert torch.equal(solver(velocity, x)[17:18], solver(velocity, x[17:18]))


def test_the_local_error_equals_a_slow_loop_over_steps() -> None:
    """The reference between its nodes is the cubic with its states and velocities; here by solving
    for the coefficients.
    """
    solver, x = scattered(5), torch.randn(7, 2, 3, dtype=torch.float64)
    trajectory = trace(lambda x, t: (2 * x + t).cos(), x, solver=RK4, steps=10)

    def at(t: float) -> tuple[Tensor, Tensor]:
        k = min(int(t * 10), 9)
        left, right = k / 10, (k + 1) / 10
        powers = torch.tensor(
            [
                f(s)
                for s in (left, right)
                for f in (lambda s: [1, s, s**2, s**3], lambda s: [0, 1, 2 * s, 3 * s**2])
            ],
            dtype=torch.float64,
        )
        points = [trajectory.states[:, k], trajectory.velocities[:, k]]
        points += [trajectory.states[:, k + 1], trajectory.velocities[:, k + 1]]
        c = torch.linalg.solve(powers, torch.stack(points).flatten(1)).view(4, *x.shape)
        return c[0] + c[1] * t + c[2] * t**2 + c[3] * t**3, c[1] + 2 * c[2] * t + 3 * c[3] * t**2

    times, a, b = solver.times.tolist(), solver.from_start.tolist(), solver.weights.tolist()
    errors = torch.zeros(7, dtype=torch.float64)
    for i in range(5):
        step = a[i] * x + sum(b[i][j] * at(times[j])[1] for j in range(i + 1))
        errors += (step - at(times[i + 1])[0]).flatten(1).square().mean(1).sqrt()
    torch.testing.assert_close(local_truncation(solver, gram(trajectory)), errors.mean())


def test_the_local_error_of_a_straight_flow_is_none() -> None:
    x = torch.randn(5, 3, dtype=torch.float64)
    trajectory = trace(lambda x, t: torch.ones_like(x), x, solver=EULER, steps=4)
    loss = local_truncation(BespokeSolver(6).double(), gram(trajectory))
    loss.backward()
    assert loss.item() < 1e-6


def _root_mean_square(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


@pytest.mark.parametrize("n", [4, 8])
def test_training_beats_the_classic_methods_at_the_same_evaluations(n: int, tmp_path: Path) -> None:
    """First the local, then the global error: the end point ten, then fifty times closer than by
    Euler's method.
    """
    solver = BespokeSolver(n).double()
    trajectory = trace(
        FLOW.velocity, torch.randn(512, 2, dtype=torch.float64), solver=RK4, steps=12
    )
    products, ends = gram(trajectory), (trajectory.states[:, 0], trajectory.states[:, -1])

    def chosen(step: int) -> Tensor:
        return torch.randint(512, (64,), generator=training.generator(1, n, step))

    def globally(step: int) -> Tensor:
        i = chosen(step)
        return global_truncation(solver, FLOW, (ends[0][i], ends[1][i]), ends[0][i])

    phases = [
        training.minimise(
            name,
            solver,
            loss,
            steps=steps,
            adam=training.Adam(rate),
            schedule=training.WarmCosine(),
        )
        for name, loss, steps, rate in (
            ("local", lambda step: local_truncation(solver, products[chosen(step)]), 200, 2e-2),
            ("global", globally, 80, 1e-2),
        )
    ]
    x = torch.randn(1000, 2, dtype=torch.float64)
    exact = integrate(FLOW.velocity, x, solver=RK4, steps=50)
    euler, midpoint = (
        _root_mean_square(Steps(m, n // m.evaluations)(FLOW.velocity, x) - exact)
        for m in (EULER, MIDPOINT)
    )
    training.run(phases[:1], {"solver": solver}, tmp_path)
    local = _root_mean_square(solver(FLOW.velocity, x) - exact)
    training.run(phases[1:], {"solver": solver}, tmp_path)
    both = _root_mean_square(solver(FLOW.velocity, x) - exact)
    assert local < min(euler / 10, midpoint)
    assert both < min(euler / 50, midpoint / 4)


def test_a_trained_solver_comes_back_from_its_state() -> None:
    solver, again = scattered(7), BespokeSolver(7).double()
    again.load_state_dict(solver.state_dict())
    x = torch.randn(4, 2, dtype=torch.float64)
    assert torch.equal(solver(FLOW.velocity, x), again(FLOW.velocity, x))


@pytest.mark.parametrize(("n", "start"), [(0, EULER), (5, MIDPOINT), (6, RK4)])
def test_a_start_that_does_not_fit_is_an_error(n: int, start: RungeKutta) -> None:
    with pytest.raises(RecipeError, match=f"of {n} evaluations cannot start as '{start.name}'"):
        BespokeSolver(n, start)


def test_more_evaluations_are_better_even_untrained() -> None:
    x = torch.randn(50, 2, dtype=torch.float64)
    exact = integrate(FLOW.velocity, x, solver=RK4, steps=50)
    errors = [_root_mean_square(BespokeSolver(n)(FLOW.velocity, x) - exact) for n in (4, 8, 16)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.3)
    assert errors[1] > errors[2]
