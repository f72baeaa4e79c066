r"""Bespoke non-stationary solvers: a solver made for one flow.

Shaul et al., arXiv:2403.01329; CaloDREAM, arXiv:2405.09629, section 3.4. A flow
:math:`\dot x = u(x, t)` is followed in :math:`n` steps between free times
:math:`0 = t_0 < t_1 < \dots < t_n = 1`, with one evaluation a step,

.. math:: x_{i+1} = a_i x_0 + \sum_{j \le i} b_{ij} u_j, \qquad u_j = u(x_j, t_j) . \quad (15)

Two errors can be minimised, with a reference solution :math:`x^*(t)` of velocity :math:`u^*(t)`:

.. math:: \mathcal L_\mathrm{global} &= \mathbb E\, \| x_n - x^*(1) \|^2 \quad (16), \\
          \mathcal L_\mathrm{local} &= \mathbb E \sum_i \Bigl\| a_i x_0 + \sum_{j \le i} b_{ij}
          u^*(t_j) - x^*(t_{i+1}) \Bigr\| \quad (17),

with the root mean square over components as the norm. The local one needs no network (`gram`).
"""

__all__ = ["BespokeSolver", "global_truncation", "gram", "local_truncation"]

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.errors import RecipeError
from caloforge.gradients import differentiable
from caloforge.learn.processes.flow import Network
from caloforge.learn.processes.solvers import (
    EULER,
    RungeKutta,
    Trajectory,
    Velocity,
    hermite_weights,
)

_COINCIDENT = 1e-6
"""The gap, relative to the mean gap, that stands for none: times of the solver are distinct."""

_RESOLUTION = 1e-18
"""Squared local errors below this are rounding of the inner products."""


class BespokeSolver(nn.Module):
    r"""A bespoke non-stationary solver: a sampler with :math:`n (n + 5) / 2 - 1` numbers to learn.

    They are :math:`a_i`, :math:`n b_{ij}` and the logarithms of the gaps :math:`t_{i+1} - t_i`
    relative to the first: all are of order one, and the times keep their order. Every Runge-Kutta
    and multistep method is one of these solvers.

    Arguments:
        evaluations: The number of steps :math:`n`, each one evaluation, at least 1.
        start: The Runge-Kutta method that it equals before it is trained; its stages must divide
            ``evaluations``.

    Raises:
        RecipeError: The start does not fit the number of evaluations.
    """

    def __init__(self, evaluations: int, start: RungeKutta = EULER) -> None:
        if evaluations < 1 or evaluations % start.evaluations:
            msg = (
                f"a bespoke solver of {evaluations} evaluations cannot start as '{start.name}'; "
                f"expected a positive multiple of the {start.evaluations} that a step of it takes"
            )
            raise RecipeError(msg)
        super().__init__()
        self.evaluations = evaluations
        self.from_start = nn.Parameter(torch.ones(evaluations))
        self.from_velocities = nn.Parameter(torch.ones(evaluations * (evaluations + 1) // 2))
        self.log_gaps = nn.Parameter(torch.zeros(evaluations - 1))
        nodes, rows = _unrolled(start, evaluations)
        self.set([1.0] * evaluations, rows, nodes)

    @torch.no_grad()
    def set(
        self,
        from_start: Sequence[float],
        weights: Sequence[Sequence[float]],
        times: Sequence[float],
    ) -> None:
        r"""Replace all numbers.

        Arguments:
            from_start: The :math:`a_i`.
            weights: The :math:`b_{ij}`, a row for each i of length i + 1.
            times: The times from 0 to 1, n + 1 of them; those that coincide are set apart by a
                millionth of 1 / n.
        """
        n = self.evaluations
        gaps = torch.tensor(times, dtype=torch.float64).diff().clamp(min=_COINCIDENT / n)
        self.from_start.copy_(torch.tensor(from_start))
        self.from_velocities.copy_(
            torch.tensor([n * b for row in weights for b in row], dtype=torch.float64)
        )
        self.log_gaps.copy_((gaps[1:] / gaps[0]).log())

    @property
    def times(self) -> Float[Tensor, " nodes"]:
        """The times :math:`t_0, ..., t_n`."""
        zero = self.log_gaps.new_zeros(1)
        gaps = torch.cat([zero, self.log_gaps]).softmax(0)
        return torch.cat([zero, gaps[:-1].cumsum(0), zero + 1])

    @property
    def weights(self) -> Float[Tensor, "steps steps"]:
        """The weights :math:`b_{ij}`, a lower triangular matrix."""
        n = self.evaluations
        rows, columns = torch.tril_indices(n, n, device=self.from_velocities.device)
        return self.from_velocities.new_zeros(n, n).index_put(
            (rows, columns), self.from_velocities / n
        )

    def forward(
        self, velocity: Velocity, x: Float[Tensor, "batch ..."]
    ) -> Float[Tensor, "batch ..."]:
        """Carry points from time 0 to 1, without a gradient with respect to the solver."""
        states = x
        velocities: list[Tensor] = []
        for t, a, row in zip(
            self.times.tolist()[:-1], self.from_start.tolist(), self.weights.tolist(), strict=True
        ):
            velocities.append(velocity(states, t))
            states = _combine(x, a, row, velocities)
        return states

    @differentiable
    def rollout(
        self, network: Network, x: Float[Tensor, "batch ..."], condition: Float[Tensor, "batch ..."]
    ) -> Float[Tensor, "batch ..."]:
        """Carry points from time 0 to 1, differentiable with respect to the solver and to all else.

        Arguments:
            network: The velocity as a function of x, time, condition.
            x: The points to carry.
            condition: The condition of each point.
        """
        states = x
        velocities: list[Tensor] = []
        for t, a, row in zip(self.times[:-1], self.from_start, self.weights, strict=True):
            velocities.append(network(states, t.to(x.dtype).expand(x.shape[0]), condition))
            states = _combine(x, a, row, velocities)
        return states

    def residual_weights(self, nodes: int) -> Float[Tensor, "steps points"]:
        """The weights :math:`C` of a trajectory's points in the local error of each step.

        Arguments:
            nodes: The nodes of the trajectory.
        """
        state, slope = hermite_weights(self.times.double(), nodes)
        start = torch.zeros_like(state[1:])
        start[:, 0] = 1
        return self.from_start[:, None] * start + self.weights.double() @ slope[:-1] - state[1:]


def _combine(
    x: Tensor, a: float | Tensor, row: Sequence[float] | Tensor, velocities: list[Tensor]
) -> Tensor:
    y = a * x
    for b, velocity in zip(row, velocities, strict=False):
        y = y + b * velocity
    return y


def _unrolled(method: RungeKutta, evaluations: int) -> tuple[list[float], list[list[float]]]:
    """Times of all evaluations and the end, and the weights of the evaluations so far in the next
    point.
    """
    steps = evaluations // method.evaluations
    inner, whole = [*method.a, method.b], [b / steps for b in method.b]
    times = [(k + sum(row)) / steps for k in range(steps) for row in method.a]
    rows = [whole * k + [w / steps for w in row] for k in range(steps) for row in inner[1:]]
    return [*times, 1.0], rows


def gram(trajectory: Trajectory) -> Float[Tensor, "batch points points"]:
    r"""The inner products of a trajectory's points, per component: all that the local error needs
    of it.

    The times move in training, but the reference is not solved anew: as a cubic Hermite interpolant
    it is, at every time, a weighted sum of its states and velocities on a fixed grid,
    :math:`p = (x^*_0, \dots, x^*_m, u^*_0, \dots, u^*_m)`. So is the error of step :math:`i`,
    :math:`\sum_k C_{ik} p_k`, with weights that depend on the solver alone, and

    .. math:: \Bigl\| \sum_k C_{ik} p_k \Bigr\|^2 = \sum_{kl} C_{ik}\, G_{kl}\, C_{il}, \qquad
              G_{kl} = p_k \cdot p_l ,

    with gradients with respect to the times too. :math:`G` has :math:`(2m + 2)^2` numbers, whatever
    the dimension of :math:`x`: training needs neither the network nor the showers.
    """
    points = trajectory.points.flatten(2).double()
    return points @ points.mT / points.shape[2]


@differentiable
def local_truncation(
    solver: BespokeSolver, products: Float[Tensor, "batch points points"]
) -> Float[Tensor, ""]:
    """The local truncation error (eq. 17): the sum over steps of the root mean square over
    components, differentiable in the solver. Each step starts on the reference, so that all are
    evaluated at once.

    Arguments:
        solver: The solver in training.
        products: What `gram` makes of reference trajectories.
    """
    weights = solver.residual_weights(products.shape[1] // 2)
    squares = torch.einsum("ik,bkl,il->bi", weights, products, weights)
    return squares.clamp(min=_RESOLUTION).sqrt().sum(1).mean()


@differentiable
def global_truncation(
    solver: BespokeSolver,
    network: Network,
    ends: tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]],
    condition: Float[Tensor, "batch ..."],
) -> Float[Tensor, ""]:
    """The global truncation error (eq. 16): the mean square error of the end point; differentiable
    in the solver, through all evaluations of the network.

    Arguments:
        solver: The solver in training.
        network: The velocity; its weights should be frozen (``network.requires_grad_(False)``).
        ends: Start points, and their end points in the reference solution.
        condition: The condition of each point.
    """
    start, end = ends
    return (solver.rollout(network, start, condition) - end).square().mean()
