r"""Flow matching of a sequence, number by number (CaloDREAM, arXiv:2405.09629, section 3.1).

The density of :math:`u_0, \dots, u_{L-1}` given a condition :math:`E` is the product of the
densities of each number given those before it. Each is the image of a standard normal one under

.. math:: \dot x = v(x, t, c_i), \qquad x(0) \sim N(0, 1), \quad x(1) = u_i, \qquad
          c_i = c(u_0, \dots, u_{i-1}, E),

with an embedding :math:`c_i` of what is known and one velocity :math:`v` for all. On a path
:math:`x_t = a x_0 + b u_i` (`caloforge.learn.processes.flow`) it is learned at all positions at
once; samples are drawn position by position. The equations are scalar, so the density is exact:

.. math:: \log p(u \mid E) = \sum_i \Bigl[ \log N(x_i(0)) - \int_0^1
          \frac{\partial v}{\partial x}(x_i(t), t, c_i)\, dt \Bigr] \quad (6, 7)
"""

__all__ = ["AutoregressiveFlow", "AutoregressiveNetwork", "LoopedNetwork"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.learn.graph_loops import GraphLoop, graph_loop
from caloforge.learn.processes.flow import Path, standard_normal
from caloforge.learn.processes.solvers import MIDPOINT, RungeKutta, Velocity, integrate

State = TypeVar("State")


@runtime_checkable
class AutoregressiveNetwork(Protocol[State]):
    """What the process asks of a network; batch rows must not mix."""

    def embed(self, values: Tensor, condition: Tensor, /) -> Tensor:
        """Embeddings (batch, length, dim) of a known sequence (batch, length); each sees the
        numbers before its position.
        """

    def velocity(self, x: Tensor, time: Tensor, embedding: Tensor, /) -> Tensor:
        """The velocity at x (...), with times that broadcast to it and embeddings (..., dim)."""

    def field(self, embedding: Tensor, clocks: dict[float, Tensor], /) -> Velocity:
        """The same velocity as a function of x (batch, 1) and of one time, given embeddings (batch,
        dim).

        What depends on the time alone may be kept in ``clocks``, which is empty at first and passed
        from position to position.
        """

    def begin(self, condition: Tensor, /) -> State:
        """The state before the first position."""

    def advance(self, state: State, previous: Tensor | None, /) -> tuple[Tensor, State]:
        """The embedding (batch, dim) of the next position after the number ``previous``, and the
        state after it.
        """


@runtime_checkable
class LoopedNetwork(Protocol):
    """What the process asks of a network where a graph is traced."""

    def repeated(
        self,
        loop: GraphLoop,
        starts: Tensor,
        condition: Tensor,
        carry: Callable[[Velocity, Tensor], Tensor],
        /,
    ) -> Tensor:
        """All numbers (batch, length), given where each starts, position by position in a loop of a
        graph; ``carry`` takes a number from its start along a velocity.
        """


@dataclass(frozen=True)
class AutoregressiveFlow:
    """Flow matching of each number given those before it.

    Arguments:
        path: The path from the standard normal distribution to the data.
        solver: The method that solves each equation.
        steps: Its steps.
    """

    path: Path
    solver: RungeKutta = MIDPOINT
    steps: int = 12

    def loss(
        self,
        network: AutoregressiveNetwork[State],
        z: Float[Tensor, "batch length"],
        condition: Tensor,
        random: torch.Generator,
    ) -> Float[Tensor, ""]:
        """The mean squared error of the velocity (eq. 8), of all numbers.

        Arguments:
            network: The network.
            z: The sequences.
            condition: Their conditions, with shape (batch, ...).
            random: Where the time and the start of each number come from.
        """
        time = torch.rand(z.shape, generator=random, device=z.device)
        noise = torch.randn(z.shape, generator=random, device=z.device)
        a, b, da, db = (w.view_as(time) for w in self.path.weights(time.reshape(-1, 1)))
        velocity = network.velocity(a * noise + b * z, time, network.embed(z, condition))
        return (velocity - da * noise - db * z).square().mean()

    def sample(
        self,
        network: AutoregressiveNetwork[State],
        noise: Float[Tensor, "batch length"],
        condition: Tensor,
    ) -> Float[Tensor, "batch length"]:
        """Draw sequences, position by position; a gradient is not kept.

        Arguments:
            network: The network.
            noise: Standard normal numbers.
            condition: The conditions, with shape (batch, ...).
        """
        loop = graph_loop()
        if loop is not None and isinstance(network, LoopedNetwork):
            return network.repeated(loop, noise, condition, self._carried)
        clocks: dict[float, Tensor] = {}
        values: list[Tensor] = []
        with torch.no_grad():
            state = network.begin(condition)
            for start in noise[:, :, None].unbind(dim=1):
                embedding, state = network.advance(state, values[-1][:, 0] if values else None)
                velocity = network.field(embedding, clocks)
                values.append(self._carried(velocity, start))
        return torch.cat(values, dim=1)

    def _carried(self, velocity: Velocity, start: Tensor) -> Tensor:
        return integrate(velocity, start, solver=self.solver, steps=self.steps)

    def log_likelihood(
        self,
        network: AutoregressiveNetwork[State],
        values: Float[Tensor, "batch length"],
        condition: Tensor,
        solver: RungeKutta,
        steps: int,
    ) -> Float[Tensor, " batch"]:
        """The log density of sequences, by all equations in parallel, each backwards; a gradient is
        not kept.

        Arguments:
            network: The network.
            values: The sequences.
            condition: Their conditions, with shape (batch, ...).
            solver: The method that solves the equations of the points and of their log densities.
            steps: Its steps.
        """
        with torch.inference_mode(mode=False), torch.no_grad():
            values = values.clone()
            embedding = network.embed(values, condition.clone())

            def velocity(state: Tensor, t: float) -> Tensor:
                x, _ = state.chunk(2, dim=1)
                return torch.cat(
                    _with_divergence(network, x, x.new_full((1, 1), t), embedding), dim=1
                )

            start = torch.cat([values, torch.zeros_like(values)], dim=1)
            x, change = integrate(velocity, start, solver=solver, steps=steps, reverse=True).chunk(
                2, dim=1
            )
        return standard_normal(x) + change.sum(dim=1)


def _with_divergence(
    network: AutoregressiveNetwork[State], x: Tensor, time: Tensor, embedding: Tensor
) -> tuple[Tensor, Tensor]:
    r"""The velocity and :math:`\partial v / \partial x`, number by number: no number's velocity
    depends on another's x.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        velocity = network.velocity(x, time, embedding)
        (divergence,) = torch.autograd.grad(velocity.sum(), x)
    return velocity.detach(), divergence
