r"""Explicit Runge-Kutta methods for :math:`\dot x = v(x, t)`.

A method of :math:`s` stages is its tableau :math:`a, b` with nodes :math:`c_i = \sum_j a_{ij}`:
with step :math:`h`,

.. math:: k_i = v\Bigl(x + h \sum_{j<i} a_{ij} k_j,\; t + c_i h\Bigr), \qquad
          x \leftarrow x + h \sum_i b_i k_i,

and the error of a solution at a fixed time is :math:`O(h^p)`, :math:`p` the order.

A *sampler* carries points along a flow from time 0 to 1 for a fixed number of evaluations: `Steps`
of a Runge-Kutta method, or a solver that was made for the flow (`BespokeSolver`).
"""

__all__ = [
    "EULER",
    "HEUN",
    "MIDPOINT",
    "RK4",
    "SOLVERS",
    "RungeKutta",
    "Sampler",
    "Steps",
    "Trajectory",
    "Velocity",
    "hermite_weights",
    "integrate",
    "trace",
]

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Protocol, runtime_checkable

from caloforge.gradients import differentiable

Velocity = Callable[[Tensor, float], Tensor]


@runtime_checkable
class Sampler(Protocol):
    """Carries points along a flow."""

    @property
    def evaluations(self) -> int:
        """Evaluations of the velocity that it takes."""

    def __call__(self, velocity: Velocity, x: Tensor) -> Tensor:
        """Carry points from time 0 to 1, each as if it were alone.

        Arguments:
            velocity: The velocity as a function of x and t.
            x: The points to carry, with shape (batch, ...).
        """


@dataclass(frozen=True)
class RungeKutta:
    """An explicit Runge-Kutta method.

    Arguments:
        name: Its name.
        order: Its order of convergence.
        a: Weights of the former stages in each stage, lower triangular, the first row empty.
        b: Weights of the stages in the step.
    """

    name: str
    order: int
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]

    @property
    def evaluations(self) -> int:
        """Evaluations of the velocity a step."""
        return len(self.b)

    def step(
        self, velocity: Velocity, x: Float[Tensor, "batch ..."], t: float, h: float
    ) -> Float[Tensor, "batch ..."]:
        """One step from t to t + h; h may be negative."""
        return self.step_and_velocity(velocity, x, t, h)[0]

    def step_and_velocity(
        self, velocity: Velocity, x: Float[Tensor, "batch ..."], t: float, h: float
    ) -> tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]]:
        """One step, and the velocity where it started."""
        stages: list[Tensor] = []
        for row in self.a:
            stages.append(velocity(_combine(x, h, row, stages), t + sum(row) * h))
        return _combine(x, h, self.b, stages), stages[0]


def _combine(x: Tensor, h: float, weights: tuple[float, ...], stages: list[Tensor]) -> Tensor:
    for weight, stage in zip(weights, stages, strict=True):
        x = torch.add(x, stage, alpha=h * weight) if weight else x
    return x


EULER = RungeKutta("euler", 1, ((),), (1.0,))
MIDPOINT = RungeKutta("midpoint", 2, ((), (0.5,)), (0.0, 1.0))
HEUN = RungeKutta("heun", 2, ((), (1.0,)), (0.5, 0.5))
RK4 = RungeKutta("rk4", 4, ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
SOLVERS = {solver.name: solver for solver in (EULER, MIDPOINT, HEUN, RK4)}


def integrate(
    velocity: Velocity,
    x: Float[Tensor, "batch ..."],
    *,
    solver: RungeKutta,
    steps: int,
    reverse: bool = False,
) -> Float[Tensor, "batch ..."]:
    """Carry x from time 0 to 1, or back from 1 to 0, in equal steps.

    Arguments:
        velocity: The velocity as a function of x and t.
        x: The points to carry.
        solver: The method.
        steps: How many steps, at least 1.
        reverse: From 1 to 0.
    """
    h = (-1 if reverse else 1) / steps
    for k in range(steps):
        x = solver.step(velocity, x, float(reverse) + k * h, h)
    return x


@dataclass(frozen=True)
class Steps:
    """The sampler that takes equal steps of a Runge-Kutta method.

    Arguments:
        solver: The method.
        steps: How many steps, at least 1.
        reverse: From time 1 to 0 instead.
    """

    solver: RungeKutta
    steps: int
    reverse: bool = False

    @property
    def evaluations(self) -> int:
        """Evaluations of the velocity in all."""
        return self.steps * self.solver.evaluations

    def __call__(
        self, velocity: Velocity, x: Float[Tensor, "batch ..."]
    ) -> Float[Tensor, "batch ..."]:
        """Carry points; see `integrate`."""
        return integrate(velocity, x, solver=self.solver, steps=self.steps, reverse=self.reverse)


@dataclass(frozen=True)
class Trajectory:
    r"""Solutions at equidistant times from 0 to 1, with their velocities.

    Both together make a solution a function of all times. Between neighbouring nodes a distance
    :math:`h` apart, at :math:`t = t_k + s h`, it is the cubic Hermite polynomial

    .. math:: x(t) = (1 + 2s)(1 - s)^2 x_k + s (1 - s)^2 h v_k + s^2 (3 - 2s)\, x_{k+1}
              - s^2 (1 - s)\, h v_{k+1},

    whose error is :math:`O(h^4)`, that of its derivative :math:`O(h^3)`.

    Arguments:
        states: The points.
        velocities: The velocities there.
    """

    states: Float[Tensor, "batch nodes *shape"]
    velocities: Float[Tensor, "batch nodes *shape"]

    @property
    def points(self) -> Float[Tensor, "batch points *shape"]:
        """States, then velocities: what `hermite_weights` weigh."""
        return torch.cat([self.states, self.velocities], dim=1)


def trace(
    velocity: Velocity, x: Float[Tensor, "batch ..."], *, solver: RungeKutta, steps: int
) -> Trajectory:
    """The whole solution from time 0 to 1, for one evaluation more than `integrate` takes.

    The first stage of a step is the velocity at its start: velocities at the nodes come with it.

    Arguments:
        velocity: The velocity as a function of x and t.
        x: The points to carry.
        solver: The method.
        steps: How many steps, at least 1; the trajectory has a node more.
    """
    h, states, velocities = 1 / steps, [x], []
    for k in range(steps):
        x, v = solver.step_and_velocity(velocity, x, k * h, h)
        states.append(x)
        velocities.append(v)
    velocities.append(velocity(x, 1.0))
    return Trajectory(torch.stack(states, dim=1), torch.stack(velocities, dim=1))


@differentiable
def hermite_weights(
    times: Float[Tensor, " times"], nodes: int
) -> tuple[Float[Tensor, "times points"], Float[Tensor, "times points"]]:
    """The weights of a trajectory's points in its states and in its velocities at any times, in
    which they are differentiable.

    Arguments:
        times: Times in [0, 1].
        nodes: The nodes of the trajectory.

    Returns:
        Weights of `Trajectory.points` whose sums are the states, and the velocities, at the times.
    """
    h = 1 / (nodes - 1)
    left = (times.detach() / h).floor().long().clamp(0, nodes - 2)
    s = times / h - left
    r = 1 - s
    state = torch.stack(
        [(1 + 2 * s) * r**2, s**2 * (3 - 2 * s), h * s * r**2, -h * s**2 * r], dim=1
    )
    slope = torch.stack([-6 * s * r / h, 6 * s * r / h, r * (1 - 3 * s), s * (3 * s - 2)], dim=1)
    columns = torch.stack([left, left + 1, left + nodes, left + nodes + 1], dim=1)
    empty = times.new_zeros(len(times), 2 * nodes)
    return empty.scatter(1, columns, state), empty.scatter(1, columns, slope)
