r"""Explicit Runge-Kutta methods for :math:`\dot x = v(x, t)`.

A method of :math:`s` stages is its tableau :math:`a, b` with nodes :math:`c_i = \sum_j a_{ij}`: with step :math:`h`,

.. math:: k_i = v\Bigl(x + h \sum_{j<i} a_{ij} k_j,\; t + c_i h\Bigr), \qquad x \leftarrow x + h \sum_i b_i k_i,

and the error of a solution at a fixed time is :math:`O(h^p)`, :math:`p` the order.
"""

__all__ = ["EULER", "HEUN", "MIDPOINT", "RK4", "SOLVERS", "RungeKutta", "Velocity", "integrate"]

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]


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

    def step(self, velocity: Velocity, x: Float[Tensor, "batch dim"], t: float, h: float) -> Float[Tensor, "batch dim"]:
        """One step from t to t + h; h may be negative."""
        stages: list[Tensor] = []
        for row in self.a:
            stages.append(velocity(_combine(x, h, row, stages), t + sum(row) * h))
        return _combine(x, h, self.b, stages)


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
    x: Float[Tensor, "batch dim"],
    *,
    solver: RungeKutta,
    steps: int,
    reverse: bool = False,
) -> Float[Tensor, "batch dim"]:
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
