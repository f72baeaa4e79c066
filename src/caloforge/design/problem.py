r"""What is to be least, within which limits, and the step that finds it.

With :math:`r(E) = \frac{\sigma(E)}{\mu(E)} \sqrt{E / \mathrm{GeV}}` and the mean over the energies,

.. math:: f(\theta) = w_r \langle r \rangle + w_l \langle \mathrm{leakage} \rangle
                      + w_d\, \mathrm{depth} + w_c\, \mathrm{cost}

is made least by sequential quadratic programming (scipy's SLSQP) on the gradients of torch.
"""

__all__ = ["Goal", "Limits", "Problem"]

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat
from scipy.optimize import minimize
from torch import Tensor

from caloforge.design.responses import Response
from caloforge.design.space import Space
from caloforge.errors import DesignError
from caloforge.units import GeV

_TOLERANCE = 1e-4
"""By so much of itself may a limit be exceeded."""

_STEPS = 50

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Goal:
    """The weights of the objective.

    Arguments:
        resolution: Of the mean relative width times the root of the energy in GeV.
        leakage: Of the mean share that leaks at the rear.
        depth: Of the depth in mm.
        cost: Of the cost of a square metre of face.
    """

    resolution: NonNegativeFloat = 1.0
    leakage: NonNegativeFloat = 0.0
    depth: NonNegativeFloat = 0.0
    cost: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        if not any((self.resolution, self.leakage, self.depth, self.cost)):
            msg = "all weights are 0, expected one above 0, such as resolution: 1"
            raise ValueError(msg)


@dataclass(frozen=True)
class Limits:
    """What a design may be at most; None for no limit.

    Arguments:
        leakage: The mean share that leaks at the rear, at each energy.
        depth: The depth, in mm.
        cost: The cost of a square metre of face.
    """

    leakage: PositiveFloat | None = None
    depth: PositiveFloat | None = None
    cost: PositiveFloat | None = None


@dataclass(frozen=True)
class Problem:
    """What is to be least.

    Arguments:
        energies: The incident energies, in MeV.
        goal: The weights.
        limits: The limits.
    """

    energies: tuple[float, ...]
    goal: Goal = field(default_factory=Goal)
    limits: Limits = field(default_factory=Limits)

    @property
    def catches(self) -> bool:
        """Whether leakage matters."""
        return self.goal.leakage > 0 or self.limits.leakage is not None

    def objective(self, space: Space, response: Response, values: Tensor) -> Float[Tensor, ""]:
        """What is to be least, as `Response` sees the design."""
        logs, leakage = response(values)
        scale = logs.new_tensor(self.energies).div(GeV).sqrt()
        goal = self.goal
        total: Tensor = goal.resolution * (logs.exp() * scale).mean()
        total = total + goal.leakage * leakage.mean()
        if goal.depth:
            total = total + goal.depth * space.depth(values)
        if goal.cost:
            total = total + goal.cost * space.cost(values)
        return total

    def _slacks(self, space: Space, response: Response) -> Iterator[Function]:
        """What is not negative within each limit, in parts of it."""
        limits = self.limits
        if (leakage := limits.leakage) is not None:
            yield lambda values: (1 - response(values)[1] / leakage).min()
        if (depth := limits.depth) is not None:
            yield lambda values: 1 - space.depth(values) / depth
        if (cost := limits.cost) is not None:
            yield lambda values: 1 - space.cost(values) / cost

    def least(
        self, space: Space, response: Response, low: Tensor, high: Tensor, start: Tensor
    ) -> Float[Tensor, " parameters"]:
        """The best design in a box, from the start or, where that fails, from the middle.

        Raises:
            DesignError: No design in the box is within the limits.
        """
        slacks = [*self._slacks(space, response)]
        for begin in (start.clamp(low, high), (low + high) / 2):
            values = self._from(space, response, slacks, (low, high), begin)
            if all(float(slack(values)) >= -_TOLERANCE for slack in slacks):
                return values
        named = ", ".join(f"{v:.3g}" for v in values.tolist())
        msg = (
            f"design: no design within the limits is found (best at {named} mm): loosen the "
            "limits, or widen the ranges of the parameters"
        )
        raise DesignError(msg)

    def _from(
        self,
        space: Space,
        response: Response,
        slacks: list[Function],
        box: tuple[Tensor, Tensor],
        start: Tensor,
    ) -> Tensor:
        low, width = box[0], box[1] - box[0]

        def scaled(function: Function) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
            def both(x: np.ndarray) -> tuple[float, np.ndarray]:
                unit = torch.tensor(x, requires_grad=True)
                value = function(low + unit * width)
                (gradient,) = torch.autograd.grad(value, unit)
                return value.item(), gradient.numpy()

            return both

        def split(function: Function) -> dict[str, object]:
            both = scaled(function)
            return {"type": "ineq", "fun": lambda x: both(x)[0], "jac": lambda x: both(x)[1]}

        found = minimize(
            scaled(lambda values: self.objective(space, response, values)),
            ((start - low) / width).numpy(),
            jac=True,
            method="SLSQP",
            bounds=[(0.0, 1.0)] * len(low),
            constraints=[split(slack) for slack in slacks],
            options={"maxiter": _STEPS, "ftol": 1e-8},
        )
        return low + torch.tensor(found.x).clamp(0, 1) * width
