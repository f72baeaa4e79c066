r"""A flow in one or two steps: distillation of its own trajectories.

Paths between samples that were paired at random cross, and a large step can only aim at their mean.
The trajectories of a trained flow do not cross: between their ends :math:`x_0` and :math:`x_1` the
regression has an exact solution in any number of steps (Luhman and Luhman, arXiv:2101.02388; Liu et
al., arXiv:2209.03003). With :math:`x(t)` the teacher's solution from :math:`x_0` and
:math:`n` steps of :math:`h = 1/n`, the student learns the mean velocity of each step,

.. math:: \mathcal L = \mathbb E \sum_{k < n} \Bigl\| f(\hat x_k, k h, E) - \frac{x((k + 1) h) -
          \hat x_k}{h} \Bigr\|^2,
          \qquad \hat x_0 = x_0, \quad \hat x_{k+1} = \hat x_k + h f(\hat x_k, k h, E),

along its own trajectory :math:`\hat x`, held fixed, so that a step also corrects the error of those
before it.
"""

__all__ = ["Distillation"]

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.learn.processes.flow import Network
from caloforge.learn.processes.solvers import EULER, RungeKutta, Steps, Velocity


@dataclass(frozen=True)
class Distillation:
    """The regression of a flow's own trajectories in few steps.

    The student is a network like the teacher, with the same arguments, and best starts from its
    weights; its sampler is `EULER` with as many steps. Unlike a bespoke solver it is a new network,
    and what it cannot resolve comes out as the mean: look for showers that are too smooth.

    Arguments:
        steps: The number of steps of the student, one or two as a rule.
    """

    steps: int

    @property
    def sampler(self) -> Steps:
        """What samples the student: a step, an evaluation."""
        return Steps(EULER, self.steps)

    def batches(
        self, velocity: Velocity, x: Float[Tensor, "batch ..."], *, solver: RungeKutta, steps: int
    ) -> Float[Tensor, "batch stops *shape"]:
        """The teacher's solution where the student stops, from time 0 to 1.

        Arguments:
            velocity: The teacher's velocity as a function of x and t.
            x: The start points.
            solver: The method that follows it.
            steps: The number of its steps in each of the student's.
        """
        stops, h = [x], 1 / (self.steps * steps)
        for k in range(self.steps * steps):
            x = solver.step(velocity, x, k * h, h)
            if (k + 1) % steps == 0:
                stops.append(x)
        return torch.stack(stops, dim=1)

    def loss(
        self,
        student: Network,
        batches: Float[Tensor, "batch stops *shape"],
        condition: Float[Tensor, "batch ..."],
    ) -> Float[Tensor, ""]:
        """The mean squared error of the mean velocities.

        Arguments:
            student: The network in training, a function of x, time, condition.
            batches: What the teacher made of each start point.
            condition: The condition of each point.
        """
        x, losses = batches[:, 0], []
        for k in range(self.steps):
            velocity = student(x, x.new_full((len(x),), k / self.steps), condition)
            losses.append((velocity - self.steps * (batches[:, k + 1] - x)).square().mean())
            x = x + velocity.detach() / self.steps
        return torch.stack(losses).mean()
