r"""Tuning: the constants of GFlash fitted to showers of a full simulation, by gradient descent
through its mean-field mode.

With the mean profiles :math:`\mu_b \pm \sigma_b` of the full showers in slices of incident energy
(`shower_profiles`), and the profiles :math:`m_b(\theta)` that GFlash expects (`GFlash.mean`), the
constants :math:`\theta` minimise

.. math:: \mathcal{L}(\theta) = \frac12 \sum_b r_b^2 + \frac12 \sum_k x_k^2, \qquad
          r_b^2 = \frac{(m_b - \mu_b)^2}{\sigma_b^2 + f^2 \nu_b^2}, \qquad
          x_k = \frac{\theta_k - \hat\theta_k}{q |\hat\theta_k|}.

The floor f says how well a formula may describe a shower at best; the second sum is a weak prior at
the constants :math:`\hat\theta` from which the fit starts. The *misfit* is the mean of
:math:`r_b^2`.
"""

__all__ = ["DEFAULT_CONSTANTS", "Departure", "Fitted", "departures", "fit_tuning"]

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from caloforge.errors import TrainingError
from caloforge.particles import Particles
from caloforge.showers import ShowerSource
from caloforge.simulators.gflash.parametrisation import Tuning
from caloforge.simulators.gflash.shower_profiles import Binning, Profiles, Slices, binned, cut
from caloforge.simulators.gflash.simulator import GFlash

RESPONSE = "response"

DEFAULT_CONSTANTS = (
    *("maximum_1", "alpha_1", "alpha_2"),
    *("core_1", "core_2", "core_3"),
    *("tail_1", "tail_3", "tail_4", "tail_5", "tail_6"),
    *("weight_1", "weight_3", "weight_5", "weight_6"),
    RESPONSE,
)
"""The constants that mean profiles determine: of those that one medium cannot tell apart, such as
alpha_2 and alpha_3, one.
"""

_FLOORS = Profiles(*torch.tensor([0.1, 1.0, 1.0, 5.0], dtype=torch.float64))
"""Of the total, the layers, the rings, and the rings in depth, in units of f."""

_BULK = 0.99
_DIM = 3.0
_NODES = 3

_TOLERANCE = 1e-3
"""The fit ends when an iteration lowers the loss by less."""

_FIT_STEP = 0.25
"""The length of a step during a fit, in radiation lengths: it and three nodes misplace less than
0.2 % of the energy.
"""

_SHIFT = 1e-4
"""By which slopes are estimated, in widths of the prior."""


@dataclass(frozen=True, eq=False)
class Departure:
    """How far a mean profile is from that of the full simulation, over all showers.

    Arguments:
        profile: Which one: total, longitudinal or radial.
        expected: The share of the incident energy in each bin that the simulator expects, with
            shape (bins).
        full: That of the full simulation, with shape (bins).
        error: Its standard error, with shape (bins).
    """

    profile: str
    expected: Float[Tensor, " bins"]
    full: Float[Tensor, " bins"]
    error: Float[Tensor, " bins"]

    @property
    def bulk(self) -> Bool[Tensor, " bins"]:
        """The brightest bins that hold 99 % of the energy, as a mask, with shape (bins)."""
        return _bulk(self.full)

    @property
    def relative(self) -> Float[Tensor, " bins"]:
        """The departure of each bin, as a part of the full simulation's share, with
        shape (bins).
        """
        return self.expected / self.full - 1

    @property
    def worst(self) -> int:
        """The bin of the bulk where the relative departure is largest."""
        return int(torch.where(self.bulk, self.relative.abs(), -1.0).argmax())

    @property
    def largest(self) -> float:
        """The departure there, relative."""
        return float(self.relative[self.worst])

    @property
    def largest_error(self) -> float:
        """The standard error there, relative."""
        return float((self.error / self.full)[self.worst])

    @property
    def average(self) -> float:
        """The mean of the relative departures, without sign, weighted with the energy."""
        return float((self.expected - self.full).abs().sum() / self.full.sum())


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit has found.

    Arguments:
        simulator: The tuned GFlash.
        constants: The fitted constants, by name.
        misfit_before: The misfit at the start.
        misfit: The misfit in the end.
        before: The departures at the start, from the showers that were fitted.
        after: The departures in the end.
        showers: The number of showers.
        energies: The least and the largest incident energy, in MeV.
        evaluations: How often the loss was computed.
    """

    simulator: GFlash
    constants: dict[str, float]
    misfit_before: float
    misfit: float
    before: tuple[Departure, ...]
    after: tuple[Departure, ...]
    showers: int
    energies: tuple[float, float]
    evaluations: int


@dataclass(frozen=True, eq=False)
class _Problem:
    """The loss as a function of the departures x of the constants from their start, in widths of
    the prior.
    """

    start: GFlash
    names: Sequence[str]
    full: Slices
    floor: float
    prior: float

    @property
    def origin(self) -> Float[Tensor, " constants"]:
        """The x from which the fit starts."""
        return torch.zeros(len(self.names), dtype=torch.float64)

    def values(self, x: Float[Tensor, " constants"]) -> Float[Tensor, " constants"]:
        """The constants."""
        tuning = self.start.used_tuning
        each = [
            float(self.start.response if name == RESPONSE else getattr(tuning, name))
            for name in self.names
        ]
        start = x.new_tensor(each)
        return start + self.prior * torch.where(start == 0, 1.0, start.abs()) * x

    def simulator(self, values: Iterable[float] | Iterable[Tensor]) -> GFlash:
        """GFlash with these values of the constants."""
        given: dict[str, Any] = dict(zip(self.names, values, strict=True))
        response = given.pop(RESPONSE, self.start.response)
        return replace(
            self.start, tuning=replace(self.start.used_tuning, **given), response=response
        )

    def residuals(self, x: Float[Tensor, " constants"], slice_: int) -> Float[Tensor, " bins"]:
        """The r of one slice of incident energy."""
        simulator = self.simulator(self.values(x))
        expected = self.full.expected(
            lambda particles: simulator.mean(particles, nodes=_NODES), slice_
        )
        parts = zip(expected, self.full.mean, self.full.error, _FLOORS, strict=True)
        return torch.cat(
            [
                (
                    (m - mean[slice_]) * _precision(mean[slice_], error[slice_], self.floor * f)
                ).flatten()
                for m, mean, error, f in parts
            ]
        )

    def all_residuals(self, x: Float[Tensor, " constants"]) -> Float[Tensor, " bins"]:
        """The r of all slices, without gradients."""
        with torch.no_grad():
            return torch.cat([self.residuals(x, k) for k in range(len(self.full))])

    def misfit(self, x: Float[Tensor, " constants"]) -> float:
        """The mean square of the r."""
        return float(self.all_residuals(x).square().mean())

    def whitening(self) -> Float[Tensor, "constants constants"]:
        """The matrix W (Gauss and Newton)."""
        start, one = (
            self.all_residuals(self.origin),
            torch.eye(len(self.names), dtype=torch.float64),
        )
        slopes = torch.stack(
            [(self.all_residuals(shift) - start) / _SHIFT for shift in _SHIFT * one]
        )
        whitening: Tensor = torch.linalg.inv(torch.linalg.cholesky(slopes @ slopes.T + one)).T
        return whitening

    def loss(
        self, x: Float[Tensor, " constants"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " constants"]]:
        """The loss and its gradient; the graph of one slice is in memory at a time."""
        x = x.detach().requires_grad_()
        loss, gradient = x.detach().square().sum() / 2, x.detach()
        for k in range(len(self.full)):
            part = self.residuals(x, k).square().sum() / 2
            gradient = gradient + torch.autograd.grad(part, x)[0]
            loss = loss + part.detach()
        return loss, gradient


def fit_tuning(
    simulator: GFlash,
    full: ShowerSource,
    *,
    constants: Sequence[str] = DEFAULT_CONSTANTS,
    slices: int = 4,
    segments: int = 6,
    floor: float = 0.01,
    prior: float = 0.5,
    iterations: int = 60,
    progress: Callable[[int, float], None] = lambda done, loss: None,
) -> Fitted:
    r"""Fit constants of GFlash to full showers.

    The floor is relative, :math:`\nu_b = \mu_b`, in the *bulk*, the brightest bins that hold 99 %
    of a profile's energy, and absolute elsewhere, :math:`\nu_b` being three times the share of the
    dimmest bin of the bulk: there the parametrisation has not the form of a shower, and there are
    many such bins. Without it, the few bins of the core, known to a thousandth, would bend all
    others to themselves. For the total it is a tenth, for the rings in depth five times as wide.

    A mean over showers of different depth depends on how they differ, so the expectation is over
    that too, with three nodes in each direction. The widths of the fluctuations are not fitted
    unless asked for.

    Arguments:
        simulator: GFlash of their calorimeter, with the constants to start from.
        full: The full showers, of electrons or positrons along the beam, in memory or in a file.
        constants: Which constants of `Tuning` to fit, by name; ``response`` is that of `GFlash`.
        slices: The largest number of slices of incident energy.
        segments: The largest number of segments in depth in which rings are taken.
        floor: The floor f, positive.
        prior: The width q of the prior, relative to the constants, positive.
        iterations: The largest number of iterations.
        progress: Told, after each evaluation, how many there were and what the loss is.

    Raises:
        EnergyRangeError: An energy is out of GFlash's range.
        GeometryMismatchError: The showers are of another calorimeter.
        ShowerValueError: The particles are none that GFlash simulates, a deposit is not finite, or
            there is no energy.
        TrainingError: There are too few showers, a constant is unknown, or the loss is not finite.
    """
    _require_constants(constants)
    measured = _measured(simulator, full, slices, segments)
    problem = _Problem(
        replace(simulator, step=max(simulator.step, _FIT_STEP)), constants, measured, floor, prior
    )
    x, evaluations = _minimised(problem, iterations, progress)
    values = problem.values(x).tolist()
    tuned = replace(problem.simulator(values), step=simulator.step)
    return Fitted(
        simulator=tuned,
        constants=dict(zip(constants, values, strict=True)),
        misfit_before=problem.misfit(problem.origin),
        misfit=problem.misfit(x),
        before=_departures(simulator, measured),
        after=_departures(tuned, measured),
        showers=len(full),
        energies=(float(full.energies.min()), float(full.energies.max())),
        evaluations=evaluations,
    )


def departures(simulator: GFlash, full: ShowerSource) -> tuple[Departure, ...]:
    """How far the total and the longitudinal and radial profiles are from those of full showers.

    Arguments:
        simulator: GFlash of their calorimeter.
        full: The full showers, in memory or in a file.

    Raises:
        CaloforgeError: As for `fit_tuning`.
    """
    return _departures(simulator, _measured(simulator, full, slices=6, segments=1))


def _require_constants(names: Sequence[str]) -> None:
    known = [field.name for field in fields(Tuning)] + [RESPONSE]
    if not names or len(set(names)) < len(names) or not set(names) <= set(known):
        unknown = [name for name in names if name not in known]
        found = f"'{unknown[0]}'" if unknown else f"'{', '.join(names)}'"
        msg = (
            f"constants to fit: found {found}, expected one or more of {', '.join(known)}, each "
            "once"
        )
        raise TrainingError(msg)


def _measured(simulator: GFlash, full: ShowerSource, slices: int, segments: int) -> Slices:
    """The mean profiles of full showers; layers are grouped by the profile that the simulator
    expects.
    """
    calorimeter, energies = simulator.calorimeter, full.energies.double()
    calorimeter.require(full.calorimeter, "the full simulation")
    edges = cut(energies, slices)
    simulator.require_mean(Particles(energies))
    middle = energies.log().mean().exp()[None]
    with torch.no_grad():
        deposits = simulator.mean(Particles(middle))[0]
    longitudinal = deposits.new_zeros(calorimeter.n_layers).index_add(
        0, calorimeter.layer_of_cell, deposits
    )
    return binned(
        full, Binning.of(calorimeter, longitudinal, segments), edges, simulator.require_mean
    )


def _minimised(
    problem: _Problem, iterations: int, progress: Callable[[int, float], None]
) -> tuple[Float[Tensor, " constants"], int]:
    """The x of the minimum, and how often the loss was computed.

    The descent is that of limited-memory BFGS in coordinates y with x = W y, where W whitens the
    curvature at the start, estimated by differences; it is deterministic.
    """
    whitening = problem.whitening()
    y = problem.origin.requires_grad_()
    optimiser = torch.optim.LBFGS(
        [y], max_iter=iterations, line_search_fn="strong_wolfe", tolerance_change=_TOLERANCE
    )
    done = 0

    def closure() -> Tensor:
        nonlocal done
        loss, gradient = problem.loss(whitening @ y.detach())
        y.grad, done = whitening.T @ gradient, done + 1
        progress(done, float(loss))
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    x = whitening @ y.detach()
    if not x.isfinite().all() or not problem.all_residuals(x).isfinite().all():
        msg = (
            f"the fit has left the range of the formulas after {done} evaluations: narrow the "
            "prior, or fit fewer constants"
        )
        raise TrainingError(msg)
    return x, done


def _departures(simulator: GFlash, full: Slices) -> tuple[Departure, ...]:
    with torch.no_grad():
        parts = [
            full.expected(lambda particles: simulator.mean(particles, nodes=_NODES), k)
            for k in range(len(full))
        ]
    expected, w = Profiles(*(torch.stack(part) for part in zip(*parts, strict=True))), full.weights
    whole = {
        name: (getattr(expected, name), getattr(full.mean, name), getattr(full.error, name))
        for name in Profiles._fields[:3]
    }
    return tuple(
        Departure(name, w @ m, w @ mu, (w.square() @ s.square()).sqrt())
        for name, (m, mu, s) in whole.items()
    )


def _precision(mean: Tensor, error: Tensor, floor: Tensor) -> Tensor:
    """The inverse of the departure that is allowed in each bin."""
    bulk = _bulk(mean.flatten()).reshape(mean.shape)
    allowed = torch.where(bulk, mean, _DIM * mean[bulk].min())
    return (error.square() + (floor * allowed).square()).rsqrt()


def _bulk(shares: Float[Tensor, " bins"]) -> Bool[Tensor, " bins"]:
    """The brightest bins that hold 99 % of the energy."""
    order = shares.argsort(descending=True, stable=True)
    before = shares[order].cumsum(0) - shares[order]
    return torch.zeros_like(shares, dtype=torch.bool).index_put(
        (order,), before < _BULK * shares.sum()
    )
