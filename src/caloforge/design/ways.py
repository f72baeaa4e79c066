r"""Three ways to the gradient of a full simulation, and the grid that checks them.

- *gflash*: the gradient passes through the mean field of GFlash. Its one number, k of
  `energy_moments`, is measured at the start, and again at the optimum that follows.
- *local*: in a box around the best design so far, a polynomial of the second degree is fitted to a
  few measured designs; the box follows its minimum, and shrinks where this lies inside or the fit
  is poor (a trust region, as in arXiv:2002.04632 and arXiv:2502.02152).
- *network*: a network of the parameters is fitted to designs all over the space.

The error of an optimum is half of the central 68 % of its scatter when the measured numbers are
drawn again with their errors. The *grid* is one of full showers about the optimum, with a
polynomial through it.
"""

__all__ = ["Grid", "Optimum", "Spent", "Way", "grid_about", "search"]

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import qmc
from torch import Tensor

from caloforge.design.measured import Measurement, Workbench
from caloforge.design.problem import Problem
from caloforge.design.responses import Data, GFlashResponse, Network, Polynomial, Response
from caloforge.design.space import Space
from caloforge.errors import DesignError
from caloforge.simulators.gflash.energy_moments import energy_moments

_ROUNDS = 6
_FIRST_BOX, _LAST_BOX, _SHRINK = 0.3, 0.15, 0.7
"""Half the width of the box of the local way, in parts of the range: at first, at last, and by what
it shrinks.
"""

_TRUSTED = 2.0
"""The largest chi squared per degree of freedom of a fit that is believed."""

_EDGE = 0.02
_CALIBRATION = 5
"""So many times the usual showers measure k."""

_REDRAWN = 16
_MOST_POINTS = 2000


class Way(Enum):
    """A way to the gradient."""

    GFLASH = "gflash"
    LOCAL = "local"
    NETWORK = "network"


@dataclass
class Spent:
    """What a search has measured so far."""

    points: list[Tensor] = field(default_factory=list)
    measured: list[Measurement] = field(default_factory=list)

    def measure(self, bench: Workbench, space: Space, values: Tensor, times: int = 1) -> None:
        """Measure a design more."""
        self.measured.append(bench.measure(space.detector_at(values.tolist()), times))
        self.points.append(values)

    @property
    def data(self) -> Data:
        """All of it."""
        return Data.of(self.points, self.measured)

    @property
    def showers(self) -> int:
        """How many showers."""
        return sum(one.showers for one in self.measured)

    @property
    def seconds(self) -> float:
        """The processor time that they took."""
        return sum(one.seconds for one in self.measured)


@dataclass(frozen=True)
class Optimum:
    """Where a way ended.

    Arguments:
        way: The way.
        space: The space, with what was chosen.
        values: The best values, in mm, with shape (parameters).
        errors: Their statistical errors.
        objective: What is to be least, there, as the way sees it.
        response: How the way sees designs.
        spent: What was measured.
        seconds: The processor time besides that of the showers.
    """

    way: Way
    space: Space
    values: Tensor
    errors: Tensor
    objective: float
    response: Response
    spent: Spent
    seconds: float


@dataclass(frozen=True)
class Grid:
    """Designs about an optimum, measured.

    Arguments:
        space: The space.
        spent: What was measured.
        response: The polynomial through it.
        values: The best values, with shape (parameters).
        errors: Their statistical errors.
        drawn: The best values of redrawn grids, with shape (times, parameters).
    """

    space: Space
    spent: Spent
    response: Polynomial
    values: Tensor
    errors: Tensor
    drawn: Tensor


Fit = Callable[[Data], Response]
Box = tuple[Tensor, Tensor]


def search(way: Way, problem: Problem, space: Space, bench: Workbench, seed: int) -> Optimum:
    """Find the best design of a space by one way.

    Arguments:
        way: The way.
        problem: What is to be least.
        space: The designs.
        bench: What measures them.
        seed: From which designs to measure and redrawings are drawn.

    Raises:
        DesignError: No design is within the limits, or no k of GFlash fits.
    """
    begun, spent = time.process_time(), Spent()
    best, errors, response = _WALKS[way](problem, space, bench, spent, seed)
    value = float(problem.objective(space, response, best))
    passed = time.process_time() - begun
    return Optimum(way, space, best, errors, value, response, spent, passed)


Walked = tuple[Tensor, Tensor, Response]


def _by_gflash(problem: Problem, space: Space, bench: Workbench, spent: Spent, seed: int) -> Walked:
    del seed
    best, box = space.start, (space.low, space.high)
    for _ in range(2):
        spent.measure(bench, space, best, _CALIBRATION)
        k, error = _sampling(space, best, spent.measured[-1], problem.energies)
        response = GFlashResponse(space, problem.energies, k)
        best = problem.least(space, response, *box, best)
    sides = [
        problem.least(space, GFlashResponse(space, problem.energies, max(other, k / 9)), *box, best)
        for other in (k - error, k + error)
    ]
    return best, (sides[1] - sides[0]).abs() / 2, response


def _sampling(
    space: Space, values: Tensor, measured: Measurement, energies: tuple[float, ...]
) -> tuple[float, float]:
    """The k with which GFlash has the measured widths, and its error."""
    moments = energy_moments(space.sections_at(values), values.new_tensor(energies))
    variance = torch.tensor(measured.spread).square() * moments.mean.square()
    each = (variance - moments.leaking) / moments.crossing
    errors = 2 * torch.tensor(measured.error) * variance / moments.crossing
    weights = errors**-2 / (errors**-2).sum()
    k, error = float(weights @ each), float((weights.square() @ errors.square()).sqrt())
    if k < error:
        named = ", ".join(f"{v:.3g}" for v in values.tolist())
        msg = (
            f"design: at {named} mm leakage alone is as wide as the full showers, and says nothing "
            "of sampling: start from a deeper design"
        )
        raise DesignError(msg)
    return k, error


def _by_boxes(problem: Problem, space: Space, bench: Workbench, spent: Spent, seed: int) -> Walked:
    best, half, whole = space.start, _FIRST_BOX, space.high - space.low
    number = max(5, 2 * Polynomial.terms(len(best), 2) - 1)
    for round_ in range(_ROUNDS):
        box = _box(space, best, half * whole)
        for values in _spread_out(box, number, seed + round_):
            spent.measure(bench, space, values)
        fitted = Polynomial.fitted(spent.data, *box)
        best = problem.least(space, fitted, *box, best).round(decimals=3)
        trusted, inside = fitted.excess < _TRUSTED, _inside(best, box, space)
        if trusted and inside and half <= _LAST_BOX:
            break
        if inside or not trusted:
            half = max(half * _SHRINK, _LAST_BOX)
    errors, _ = _scatter(
        problem, space, spent.data, lambda d: Polynomial.fitted(d, *box), box, fitted.excess
    )
    return best, errors, fitted


def _box(space: Space, centre: Tensor, half: Tensor) -> Box:
    """A box in the space, moved inward where it would reach out of it."""
    centre = torch.minimum(torch.maximum(centre, space.low + half), space.high - half)
    return centre - half, centre + half


def _inside(values: Tensor, box: Box, space: Space) -> bool:
    """Whether a design lies at no border of the box but the space's own."""
    low, high = box
    margin = _EDGE * (high - low)
    at_low = (values < low + margin) & (low > space.low + margin)
    at_high = (values > high - margin) & (high < space.high - margin)
    return not bool((at_low | at_high).any())


def _spread_out(box: Box, number: int, seed: int) -> Float[Tensor, "designs parameters"]:
    """Designs all over a box: a Latin hypercube."""
    low, high = box
    unit = qmc.LatinHypercube(len(low), seed=seed).random(number)
    return low + torch.tensor(unit) * (high - low)


def _by_network(
    problem: Problem, space: Space, bench: Workbench, spent: Spent, seed: int
) -> Walked:
    box, number = (space.low, space.high), 3 * Polynomial.terms(len(space.low), 3)
    for values in _spread_out(box, number, seed):
        spent.measure(bench, space, values)
    start = Network.fresh(*box, len(problem.energies), torch.Generator().manual_seed(seed))
    fitted = start.fitted(spent.data)
    best = problem.least(space, fitted, *box, space.start)
    errors, _ = _scatter(problem, space, spent.data, fitted.fitted, box)
    return best, errors, fitted


_WALKS: Mapping[Way, Callable[[Problem, Space, Workbench, Spent, int], Walked]] = {
    Way.GFLASH: _by_gflash,
    Way.LOCAL: _by_boxes,
    Way.NETWORK: _by_network,
}


def _scatter(
    problem: Problem, space: Space, data: Data, fit: Fit, box: Box, excess: float = 1.0
) -> tuple[Tensor, Tensor]:
    """How the best design scatters when the data are drawn again, and all of the redrawn.

    They may lie outside of the box, as far again: its borders shall not hide the scatter. Errors
    grow with the root of an excess of chi squared.
    """
    random, found, scale = torch.Generator().manual_seed(0), [], max(1.0, excess) ** 0.5
    middle, half = (box[0] + box[1]) / 2, (box[1] - box[0]) / 2
    box = torch.maximum(box[0] - half, space.low), torch.minimum(box[1] + half, space.high)
    for _ in range(_REDRAWN):
        try:
            found.append(problem.least(space, fit(data.shaken(random, scale)), *box, middle))
        except DesignError:
            continue
    drawn = torch.stack(found) if len(found) > 1 else middle.new_full((2, len(middle)), torch.nan)
    ends = drawn.quantile(drawn.new_tensor([0.16, 0.84]), dim=0)
    return (ends[1] - ends[0]) / 2, drawn


def grid_about(
    optima: list[Tensor],
    problem: Problem,
    space: Space,
    bench: Workbench,
    *,
    points: int,
    spacing: Mapping[str, float],
    times: int,
) -> Grid:
    """Measure a grid of designs about optima of one space.

    Arguments:
        optima: The best values by each way; the grid is about their mean.
        problem: What is to be least.
        space: The designs.
        bench: What measures them.
        points: Along each parameter.
        spacing: The distance of two points, in mm, by parameter; they lie at whole numbers of it
            above the least value.
        times: So many times the usual showers.

    Raises:
        DesignError: The grid has too many designs, or none within the limits.
    """
    steps = space.low.new_tensor([spacing[name] for name in space.parameters])
    axes = _axes(space, torch.stack(optima).mean(0), steps, points)
    number = int(np.prod([len(axis) for axis in axes]))
    if number > _MOST_POINTS:
        msg = f"check: a grid of {number:,} designs, expected at most {_MOST_POINTS:,}: take fewer"
        raise DesignError(msg)
    spent = Spent()
    for values in product(*(axis.tolist() for axis in axes)):
        spent.measure(bench, space, space.low.new_tensor(values), times)
    box = (torch.stack([axis[0] for axis in axes]), torch.stack([axis[-1] for axis in axes]))
    degree = 3 if min(map(len, axes)) > 4 else 2
    fitted = Polynomial.fitted(spent.data, *box, degree)
    best = problem.least(space, fitted, *box, torch.stack(optima).mean(0))
    errors, drawn = _scatter(
        problem,
        space,
        spent.data,
        lambda d: Polynomial.fitted(d, *box, degree),
        box,
        fitted.excess,
    )
    return Grid(space, spent, fitted, best, errors, drawn)


def _axes(space: Space, centre: Tensor, steps: Tensor, points: int) -> list[Tensor]:
    """Along each parameter, the points of the grid, moved into the range."""
    axes = []
    for low, high, middle, step in zip(space.low, space.high, centre, steps, strict=True):
        last = int((high - low) / step + 1e-9)
        first = int(((middle - low) / step).round()) - points // 2
        first = max(0, min(first, last - points + 1))
        axes.append(low + step * torch.arange(first, min(first + points, last + 1)))
    return axes
