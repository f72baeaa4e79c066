r"""Simulation-free bridges: flow matching between two samples.

Let :math:`x_0 \sim p_0(\cdot | E)` and :math:`x_1 \sim p_1(\cdot | E)` be paired at the same
condition :math:`E`. A path :math:`x_t = a(t) x_0 + b(t) x_1` with :math:`a(0) = b(1) = 1`,
:math:`a(1) = b(0) = 0` joins them, and the velocity that minimises

.. math:: \mathcal L = \mathbb E_{t, x_0, x_1} \bigl\| v(x_t, t, E) - \dot a(t)\, x_0 - \dot b(t)\,
          x_1 \bigr\|^2

carries :math:`p_0` into :math:`p_1` (Lipman et al., arXiv:2210.02747, eq. 9; Albergo and
Vanden-Eijnden, arXiv:2209.15571, eq. 7). The density is carried along
:math:`\dot x = v(x, t)` (Chen et al., arXiv:1806.07366, eq. 8),

.. math:: \log p_1(x(1)) = \log p_0(x(0)) - \int_0^1 \nabla \cdot v(x(t), t)\, dt .
"""

__all__ = [
    "PATHS",
    "FlowBridge",
    "Linear",
    "Network",
    "Path",
    "SquaredTrigonometric",
    "Trigonometric",
    "VariancePreserving",
    "random_signs",
    "standard_normal",
]

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from caloforge import streams
from caloforge.learn.processes.solvers import MIDPOINT, Sampler, Steps, Velocity

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A velocity as a function of x with shape (batch, ...), time with shape (batch), condition with
shape (batch, ...).
"""


class Path(ABC):
    r"""A path :math:`x_t = a(t) x_0 + b(t) x_1` between two points; all four are in the public code
    of CaloDREAM.
    """

    @abstractmethod
    def weights(self, t: Float[Tensor, "batch ..."]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r"""The weights :math:`a, b` and their derivatives :math:`\dot a, \dot b` at t in [0, 1]."""


class Linear(Path):
    r"""The straight line, :math:`b = t`, :math:`a = 1 - t` (arXiv:2405.09629, eq. 8)."""

    def weights(self, t: Float[Tensor, "batch ..."]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the straight line."""
        one = torch.ones_like(t)
        return 1 - t, t, -one, one


class Trigonometric(Path):
    r"""The quarter circle, :math:`b = \sin(\pi t / 2)`, :math:`a = \cos(\pi t / 2)`
    (arXiv:2209.15571).

    As :math:`a^2 + b^2 = 1`, independent standard normal ends stay standard normal at every t, and
    the velocity is zero.
    """

    def weights(self, t: Float[Tensor, "batch ..."]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the quarter circle."""
        angle = t * (math.pi / 2)
        a, b = angle.cos(), angle.sin()
        return a, b, -b * (math.pi / 2), a * (math.pi / 2)


class SquaredTrigonometric(Path):
    r"""The straight line, begun and ended at rest: :math:`b = \sin^2(\pi t / 2)`,
    :math:`a = \cos^2(\pi t / 2)`.
    """

    def weights(self, t: Float[Tensor, "batch ..."]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r"""Of :math:`\cos^2, \sin^2`, whose derivatives are :math:`\mp (\pi / 2) \sin(\pi t)`."""
        angle = t * (math.pi / 2)
        speed = (t * math.pi).sin() * (math.pi / 2)
        return angle.cos().square(), angle.sin().square(), -speed, speed


@dataclass(frozen=True)
class VariancePreserving(Path):
    r"""The path of a variance preserving diffusion from data (time 1) to noise (time 0): with
    :math:`T(s) = \beta_0 s + \beta_1 s^2 / 2`, :math:`b = e^{-T(1 - t) / 2}` and
    :math:`a = \sqrt{1 - b^2}`.

    The diffusion is that of Song et al., arXiv:2011.13456, as in arXiv:2210.02747. The derivatives
    in the public code of CaloDREAM are not those of this path; here they are. The path only nearly
    begins at :math:`x_0`: :math:`b(0) = e^{-(\beta_0 + \beta_1 / 2) / 2}` is 0.0066
    as a rule. At its end :math:`\dot a` grows beyond all bounds, so that times above 1 - ``rest``
    count as that.

    Arguments:
        floor: The rate :math:`\beta_0` of the diffusion at the data.
        slope: Its increase :math:`\beta_1` towards the noise.
        rest: The last part of the path, left out.
    """

    floor: float = 0.1
    slope: float = 19.9
    rest: float = 1e-5

    def weights(self, t: Float[Tensor, "batch ..."]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r"""Of the diffusion: :math:`\dot b = b (\beta_0 + \beta_1 (1 - t)) / 2` and
        :math:`\dot a = -b \dot b / a`.
        """
        left = (1 - t).clamp(min=self.rest)
        integral = left * (self.floor + self.slope / 2 * left)
        a, b = (-torch.expm1(-integral)).sqrt(), (-integral / 2).exp()
        speed = b * (self.floor + self.slope * left) / 2
        return a, b, -b * speed / a, speed


PATHS: Mapping[str, Path] = {
    "linear": Linear(),
    "trigonometric": Trigonometric(),
    "squared-trigonometric": SquaredTrigonometric(),
    "variance-preserving": VariancePreserving(),
}


def standard_normal(x: Float[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
    """The logarithm of the standard normal density."""
    flat = x.flatten(1)
    return -0.5 * (flat.square().sum(1) + flat.shape[1] * math.log(2 * math.pi))


def random_signs(
    key: Int64[Tensor, " batch"], probes: int, shape: tuple[int, ...]
) -> Float[Tensor, "probes batch *shape"]:
    r"""Numbers +1 or -1 with equal probability, for the estimate of a divergence.

    With random signs :math:`\epsilon` the mean of :math:`\epsilon \cdot (\partial v / \partial x)\,
    \epsilon` is :math:`\nabla \cdot v` (Grathwohl et al., arXiv:1810.01367).

    Arguments:
        key: A key of `caloforge.streams` a point.
        probes: How many for each number of a point.
        shape: The shape of a point.
    """
    bits = streams.words(key[:, None], torch.arange(probes * math.prod(shape), device=key.device))
    signs = torch.where(bits < 0, -1.0, 1.0)
    return signs.view(len(key), probes, *shape).transpose(0, 1)


def _exact_divergence(v: Tensor, x: Tensor) -> Tensor:
    flat = v.flatten(1)
    terms = [
        torch.autograd.grad(flat[:, d].sum(), x, retain_graph=True, materialize_grads=True)[
            0
        ].flatten(1)[:, d]
        for d in range(flat.shape[1])
    ]
    return torch.stack(terms, dim=1).sum(1)


def _estimated_divergence(v: Tensor, x: Tensor, noise: Tensor) -> Tensor:
    terms = [
        (torch.autograd.grad(v, x, probe, retain_graph=True, materialize_grads=True)[0] * probe)
        .flatten(1)
        .sum(1)
        for probe in noise.to(v)
    ]
    return torch.stack(terms).mean(0)


def _with_divergence(velocity: Velocity, shape: tuple[int, ...], noise: Tensor | None) -> Velocity:
    """The velocity of points with their log density as one more coordinate."""

    def extended(points: Tensor, t: float) -> Tensor:
        with torch.enable_grad():
            x = points[:, :-1].detach().reshape(-1, *shape).requires_grad_()
            v = velocity(x, t)
            divergence = (
                _exact_divergence(v, x) if noise is None else _estimated_divergence(v, x, noise)
            )
        return torch.cat([v.detach().flatten(1), divergence.detach()[:, None]], dim=1)

    return extended


def _velocity(network: Network, condition: Tensor) -> Velocity:
    def velocity(x: Tensor, t: float) -> Tensor:
        return network(x, x.new_full((x.shape[0],), t), condition)

    return velocity


Ends = tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]]
"""Paired samples at time 0 and 1."""


@dataclass(frozen=True)
class FlowBridge:
    """Flow matching between two samples along a path.

    Arguments:
        path: The path.
        sampler: How to follow the velocity, and which way.
    """

    path: Path
    sampler: Sampler = Steps(MIDPOINT, 8)  # noqa: RUF009 frozen

    def loss(
        self,
        network: Network,
        z: Ends,
        condition: Float[Tensor, "batch ..."],
        random: torch.Generator,
    ) -> Float[Tensor, ""]:
        """The mean squared error of the velocity.

        Arguments:
            network: The velocity as a function of x, time, condition.
            z: The paired samples at time 0 and 1.
            condition: The condition that the pairs share.
            random: Where the times come from.
        """
        start, end = z
        time = torch.rand(len(end), generator=random, device=end.device)
        a, b, da, db = self.path.weights(time.view(-1, *[1] * (start.ndim - 1)))
        error = network(a * start + b * end, time, condition) - (da * start + db * end)
        return error.square().mean()

    def sample(
        self,
        network: Network,
        noise: Float[Tensor, "batch ..."],
        condition: Shaped[Tensor, "batch ..."],
    ) -> Float[Tensor, "batch ..."]:
        """Carry points from one sample's distribution to the other's.

        Arguments:
            network: The velocity as a function of x, time, condition.
            noise: The points to carry.
            condition: The condition of each point.
        """
        end: Tensor = self.sampler(_velocity(network, condition), noise)
        return end

    def log_likelihood(
        self,
        network: Network,
        x: Float[Tensor, "batch ..."],
        condition: Float[Tensor, "batch ..."],
        steps: Steps,
        *,
        base: Callable[[Tensor], Tensor] = standard_normal,
        noise: Float[Tensor, "probes batch *shape"] | None = None,
    ) -> Float[Tensor, " batch"]:
        """The logarithm of the density that the flow gives to points at time 1; without a gradient.

        Arguments:
            network: The velocity as a function of x, time, condition, differentiable in x.
            x: The points.
            condition: The condition of each point.
            steps: How to follow the velocity; always from time 1 to 0.
            base: The logarithm of the density at time 0.
            noise: Random signs for the estimate of the divergence; None computes it exactly, one
                gradient a dimension.
        """
        points = torch.cat([x.flatten(1), x.new_zeros(len(x), 1)], dim=1)
        velocity = _with_divergence(_velocity(network, condition), tuple(x.shape[1:]), noise)
        start = Steps(steps.solver, steps.steps, reverse=True)(velocity, points)
        return base(start[:, :-1].reshape(x.shape)) + start[:, -1]


@dataclass(frozen=True)
class FlowMatching(FlowBridge):
    """A flow from standard normal numbers to a sample."""

    def loss(
        self,
        network: Network,
        z: Float[Tensor, "batch ..."],  # type: ignore[override]
        condition: Float[Tensor, "batch ..."],
        random: torch.Generator,
    ) -> Float[Tensor, ""]:
        """The mean squared error of the velocity.

        Arguments:
            network: The velocity as a function of x, time, condition.
            z: The sample, at time 1.
            condition: Its condition.
            random: Where normal numbers and times come from.
        """
        start = torch.randn(z.shape, generator=random, device=z.device)
        return super().loss(network, (start, z), condition, random)
