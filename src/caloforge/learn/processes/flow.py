r"""Simulation-free bridges: flow matching between two samples.

Let :math:`x_0 \sim p_0(\cdot | E)` and :math:`x_1 \sim p_1(\cdot | E)` be paired at the same condition :math:`E`. A
path :math:`x_t = a(t) x_0 + b(t) x_1` with :math:`a(0) = b(1) = 1`, :math:`a(1) = b(0) = 0` joins them, and the
velocity that minimises

.. math:: \mathcal L = \mathbb E_{t, x_0, x_1} \bigl\| v(x_t, t, E) - \dot a(t)\, x_0 - \dot b(t)\, x_1 \bigr\|^2

carries :math:`p_0` into :math:`p_1` (Lipman et al., arXiv:2210.02747, eq. 9; Albergo and Vanden-Eijnden,
arXiv:2209.15571, eq. 7).

`Linear` has :math:`a = 1 - t,\ b = t` (CaloDREAM, arXiv:2405.09629, eq. 11). `Trigonometric` has :math:`a = \cos(\pi t
/ 2),\ b = \sin(\pi t / 2)`, so :math:`a^2 + b^2 = 1`: where both ends are standard normal and independent, so is
:math:`x_t` at every t, and the velocity is zero. Between samples made nearly normal (`Gaussianised`) it only has to
carry what differs, and a few steps suffice.
"""

__all__ = ["FlowBridge", "Linear", "Path", "Trigonometric"]

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.learn.processes.solvers import RungeKutta, integrate

Network = Callable[[Tensor, Tensor, Tensor], Tensor]


class Path(ABC):
    """A path between two points."""

    @abstractmethod
    def weights(self, t: Float[Tensor, "batch 1"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r"""The weights :math:`a, b` and their derivatives :math:`\dot a, \dot b` at t in [0, 1]."""


class Linear(Path):
    """The straight line."""

    def weights(self, t: Float[Tensor, "batch 1"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the straight line."""
        one = torch.ones_like(t)
        return 1 - t, t, -one, one


class Trigonometric(Path):
    """The quarter circle, which keeps the variance of independent ends of equal variance."""

    def weights(self, t: Float[Tensor, "batch 1"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the quarter circle."""
        angle = t * (math.pi / 2)
        a, b = angle.cos(), angle.sin()
        return a, b, -b * (math.pi / 2), a * (math.pi / 2)


@dataclass(frozen=True)
class FlowBridge:
    """Flow matching between two samples along a path."""

    path: Path

    def loss(
        self,
        network: Network,
        ends: tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]],
        condition: Float[Tensor, " batch"],
        time: Float[Tensor, " batch"],
    ) -> Float[Tensor, ""]:
        """The mean squared error of the velocity.

        Arguments:
            network: The velocity as a function of x, time, condition.
            ends: The paired samples at time 0 and 1.
            condition: The condition that the pairs share.
            time: A time in [0, 1] a pair.
        """
        start, end = ends
        a, b, da, db = self.path.weights(time[:, None])
        error = network(a * start + b * end, time, condition) - (da * start + db * end)
        return error.square().mean()

    def transport(
        self,
        network: Network,
        x: Float[Tensor, "batch dim"],
        condition: Float[Tensor, " batch"],
        *,
        solver: RungeKutta,
        steps: int,
        reverse: bool = False,
    ) -> Float[Tensor, "batch dim"]:
        """Carry points from one sample's law to the other's; see `integrate`."""

        def velocity(x: Tensor, t: float) -> Tensor:
            return network(x, torch.full_like(condition, t), condition)

        return integrate(velocity, x, solver=solver, steps=steps, reverse=reverse)
