r"""What a design gives, as a differentiable function of its parameters.

A `Response` maps the values of the parameters, in mm, to two rows of numbers, a column an energy:
:math:`\ln(\sigma / \mu)` of the energy estimate and the mean share that leaks. `GFlashResponse` is
the mean field of GFlash with its fluctuations (`energy_moments`). `Polynomial` and `Network` are
fitted to measured designs, each number weighed by its error: the first in a box in which a few
terms are enough, the second in the whole space. All is float64.
"""

__all__ = ["Data", "GFlashResponse", "Network", "Polynomial", "Response"]

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations_with_replacement
from math import comb
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor
from typing_extensions import Protocol, runtime_checkable

from caloforge.design.measured import Measurement
from caloforge.design.space import Space
from caloforge.gradients import differentiable
from caloforge.simulators.gflash.energy_moments import energy_moments

_HIDDEN = 10
_SHRINKAGE = 0.05
"""The inverse variance of the prior of a network's weights."""

_FITTING_STEPS = 150


@runtime_checkable
class Response(Protocol):
    """What a design gives."""

    def __call__(self, values: Float[Tensor, " parameters"]) -> Float[Tensor, "2 energies"]:
        r""":math:`\ln(\sigma / \mu)` and the mean leakage at each energy."""


class Data(NamedTuple):
    """Measured designs."""

    points: Tensor
    """The values of the parameters, with shape (designs, parameters)."""
    values: Tensor
    """What `Response` gives there, flat, with shape (designs, 2 energies)."""
    errors: Tensor
    """Their statistical errors; 1 for what was not measured."""

    @staticmethod
    def of(points: Sequence[Tensor], measured: Sequence[Measurement]) -> "Data":
        """The data of designs and what was measured of each."""
        values = [np.concatenate([np.log(m.spread), m.leakage]) for m in measured]
        errors = [np.concatenate([m.error, m.leakage_error]) for m in measured]
        error = torch.tensor(np.stack(errors))
        return Data(
            torch.stack([*points]), torch.tensor(np.stack(values)), error.where(error > 0, 1.0)
        )

    def shaken(self, random: torch.Generator, scale: float = 1.0) -> "Data":
        """The same with other statistical errors, of so many times the size."""
        normal = torch.randn(self.values.shape, generator=random, dtype=torch.float64)
        moved = scale * self.errors * normal * (self.errors < 1)
        return self._replace(values=self.values + moved)

    def within(self, low: Tensor, high: Tensor) -> "Data":
        """The designs in a box."""
        inside = ((self.points >= low - 1e-6) & (self.points <= high + 1e-6)).all(1)
        return Data(self.points[inside], self.values[inside], self.errors[inside])


@dataclass(frozen=True)
class GFlashResponse:
    """The mean field of GFlash with its fluctuations.

    Arguments:
        space: The designs.
        energies: The incident energies, in MeV.
        sampling: The number k of `energy_moments`.
    """

    space: Space
    energies: tuple[float, ...]
    sampling: float

    @differentiable
    def __call__(self, values: Float[Tensor, " parameters"]) -> Float[Tensor, "2 energies"]:
        """The response, differentiable in the values."""
        moments = energy_moments(
            self.space.sections_at(values), values.new_tensor(self.energies, dtype=torch.float64)
        )
        return torch.stack([moments.spread(self.sampling).log(), 1 - moments.mean])


@dataclass(frozen=True)
class Polynomial:
    """A polynomial in each number.

    Arguments:
        centre: The centre of its box, in mm, with shape (parameters).
        scale: Half the width of its box.
        degree: Its degree.
        coefficients: Of each term, with shape (terms, 2 energies).
        misfit: Chi squared.
        freedom: The degrees of freedom of the fit.
    """

    centre: Tensor
    scale: Tensor
    degree: int
    coefficients: Tensor
    misfit: float = 0.0
    freedom: int = 0

    @differentiable
    def __call__(self, values: Float[Tensor, " parameters"]) -> Float[Tensor, "2 energies"]:
        """The response, differentiable in the values."""
        terms = _terms((values[None] - self.centre) / self.scale, self.degree)
        return (terms @ self.coefficients).view(2, -1)

    @property
    def excess(self) -> float:
        """Chi squared per degree of freedom."""
        return self.misfit / max(1, self.freedom)

    @staticmethod
    def terms(parameters: int, degree: int) -> int:
        """How many terms there are."""
        return comb(parameters + degree, degree)

    @staticmethod
    def fitted(data: Data, low: Tensor, high: Tensor, degree: int = 2) -> "Polynomial":
        """The polynomial that fits the designs in a box best, by least squares."""
        chosen, centre, scale = data.within(low, high), (low + high) / 2, (high - low) / 2
        terms = _terms((chosen.points - centre) / scale, degree)
        columns, misfit = [], 0.0
        for values, errors in zip(chosen.values.T, chosen.errors.T, strict=True):
            weighed = terms / errors[:, None]
            columns.append(torch.linalg.lstsq(weighed, values / errors).solution)
            misfit += float((weighed @ columns[-1] - values / errors).square().sum())
        measured = int((chosen.errors < 1).any(0).sum())
        freedom = measured * (len(terms) - terms.shape[1])
        return Polynomial(centre, scale, degree, torch.stack(columns, dim=1), misfit, freedom)


def _terms(x: Float[Tensor, "designs parameters"], degree: int) -> Float[Tensor, "designs terms"]:
    """All monomials up to a degree."""
    each = [
        reduce(torch.mul, (x[:, k] for k in chosen), torch.ones_like(x[:, 0]))
        for order in range(degree + 1)
        for chosen in combinations_with_replacement(range(x.shape[1]), order)
    ]
    return torch.stack(each, dim=1)


@dataclass(frozen=True)
class Network:
    """A network of one hidden layer, for the whole space.

    Arguments:
        low: The least values of the parameters, with shape (parameters).
        high: The largest.
        outputs: How many numbers it gives, twice the energies.
        weights: All its weights, flat.
        centre: What is added to its outputs.
    """

    low: Tensor
    high: Tensor
    outputs: int
    weights: Tensor
    centre: Tensor

    @differentiable
    def __call__(self, values: Float[Tensor, " parameters"]) -> Float[Tensor, "2 energies"]:
        """The response, differentiable in the values."""
        return self._at(values[None], self.weights)[0].view(2, -1)

    def _at(
        self, points: Float[Tensor, "designs parameters"], weights: Tensor
    ) -> Float[Tensor, "designs outputs"]:
        x = 2 * (points - self.low) / (self.high - self.low) - 1
        first = (x.shape[1] + 1) * _HIDDEN
        inner, outer = weights[:first].view(-1, _HIDDEN), weights[first:].view(-1, self.outputs)
        hidden: Tensor = (x @ inner[1:] + inner[0]).tanh()
        return self.centre + hidden @ outer[1:] + outer[0]

    @staticmethod
    def fresh(low: Tensor, high: Tensor, energies: int, random: torch.Generator) -> "Network":
        """An untrained one."""
        number = (len(low) + 1) * _HIDDEN + (_HIDDEN + 1) * 2 * energies
        weights = torch.randn(number, generator=random, dtype=torch.float64)
        return Network(low, high, 2 * energies, weights, low.new_zeros(2 * energies))

    def fitted(self, data: Data) -> "Network":
        """The most probable weights, given the designs and a normal prior, from these on."""
        centre = data.values.mean(0)
        start = Network(self.low, self.high, self.outputs, self.weights, centre)

        def loss(numbers: np.ndarray) -> tuple[float, np.ndarray]:
            weights = torch.tensor(numbers, requires_grad=True)
            pull = (start._at(data.points, weights) - data.values) / data.errors
            value = pull.square().sum() / 2 + _SHRINKAGE * weights.square().sum() / 2
            (gradient,) = torch.autograd.grad(value, weights)
            return value.item(), gradient.numpy()

        options = {"maxiter": _FITTING_STEPS}
        found = minimize(loss, self.weights.numpy(), jac=True, method="L-BFGS-B", options=options)
        return Network(self.low, self.high, self.outputs, torch.tensor(found.x), centre)
