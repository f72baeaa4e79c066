r"""The incident energy of a shower from the energies x that it leaves in the layers.

A flow has the density :math:`p_\phi(x \mid E)` exactly. With a prior :math:`\pi` follows

.. math:: p(E \mid x) \propto p_\phi(x \mid E)^\beta\, \pi(E) ,

here on a grid of :math:`\ln E` for each shower: a coarse one over the range of the prior, then a
fine one where the coarse leaves more than :math:`e^{-25}` of the maximum. :math:`\beta = 1` is
Bayes' theorem. A flow that was fitted to few showers is too sure of itself: the :math:`\beta` that
maximises the mean :math:`\ln p(E_\mathrm{true} \mid x)` of held-out showers *calibrates* it, the
inverse of the temperature of Guo et al. (arXiv:1706.04599).
"""

__all__ = ["Density", "EnergyPosterior", "energy_posterior"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from scipy.optimize import minimize_scalar
from torch import Tensor
from typing_extensions import Protocol, runtime_checkable

from caloforge import streams
from caloforge.errors import ShowerValueError
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Noise, Numbers, by_address
from caloforge.showers import spans
from caloforge.spectra import LogUniform, Uniform
from caloforge.streams import Stream

_COARSE, _FINE = 64, 96
"""Energies of the two grids of a shower."""

_FAINTEST = -25.0
"""The log of a density over its maximum below which a shower is not looked at any closer."""

_LEAST = -80.0
"""The least log of a density over its maximum."""

_AT_A_TIME = 128
_SHARPEST = 3.0
"""The calibration stays between exp(-3) and exp(3)."""


@runtime_checkable
class Density(Protocol):
    """What is asked of the energies of a surrogate; a `MaskedEnergiesStage` has it."""

    @property
    def encoding_noise(self) -> Mapping[str, Noise]:
        """The random numbers that it takes to see the energies of the layers."""

    def log_density(self, condition: Condition, noise: Numbers) -> Float[Tensor, " showers"]:
        """The log density of the energies of the layers given the particles, in nats, up to what
        depends on these energies alone.
        """


@dataclass(frozen=True, eq=False)
class EnergyPosterior:
    """The distributions of the incident energies of showers, each on a grid of its own.

    Arguments:
        energies: The grids, in MeV, upward, with shape (showers, points).
        log_likelihood: The log likelihoods there, up to a number a shower.
        log_prior: The log of the prior there, up to a number.
        sharpness: The power of the likelihood, beta.
    """

    energies: Float[Tensor, "showers points"]
    log_likelihood: Float[Tensor, "showers points"]
    log_prior: Float[Tensor, "showers points"]
    sharpness: float = 1.0

    @staticmethod
    def cat(parts: "Sequence[EnergyPosterior]") -> "EnergyPosterior":
        """Posteriors of one sharpness in a row, at least one."""
        first = parts[0]
        return EnergyPosterior(
            torch.cat([part.energies for part in parts]),
            torch.cat([part.log_likelihood for part in parts]),
            torch.cat([part.log_prior for part in parts]),
            first.sharpness,
        )

    def __len__(self) -> int:
        return len(self.energies)

    def quantile(self, p: float) -> Float[Tensor, " showers"]:
        """The energies, in MeV, below which lies p of the posterior.

        Arguments:
            p: In [0, 1].
        """
        below = self._below()
        k = torch.searchsorted(below, below.new_full((len(self), 1), p)).clamp(
            1, below.shape[1] - 1
        )
        ends = torch.cat([k - 1, k], dim=1)
        (p0, p1), (e0, e1) = (v.gather(1, ends).unbind(1) for v in (below, self.energies))
        part = ((p - p0) / (p1 - p0).clamp_min(torch.finfo(p0.dtype).tiny)).clamp(0, 1)
        return e0 * (e1 / e0) ** part

    @property
    def median(self) -> Float[Tensor, " showers"]:
        """The medians, in MeV."""
        return self.quantile(0.5)

    def interval(self, level: float) -> tuple[Float[Tensor, " showers"], Float[Tensor, " showers"]]:
        """The central intervals, in MeV, that hold so much of the posteriors.

        Arguments:
            level: In ]0, 1[, such as 0.68.
        """
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def log_density(self, energies: Float[Tensor, " showers"]) -> Float[Tensor, " showers"]:
        """The log of the posterior density of ln E at an energy a shower; that of its nearest end
        outside of the grid.

        Arguments:
            energies: In MeV.
        """
        x, values = self.energies.log(), self._logs() - self._log_norm()
        at = energies.double().log()[:, None].clamp(x[:, :1], x[:, -1:])
        k = torch.searchsorted(x, at).clamp(1, x.shape[1] - 1)
        ends = torch.cat([k - 1, k], dim=1)
        (x0, x1), (v0, v1) = (v.gather(1, ends).unbind(1) for v in (x, values))
        return v0 + (v1 - v0) * (at[:, 0] - x0) / (x1 - x0)

    def calibrated(self, sharpness: float) -> "EnergyPosterior":
        """The same with another power of the likelihood, as `sharpness_for` finds it on held-out
        showers.
        """
        return replace(self, sharpness=sharpness)

    def sharpness_for(self, energies: Float[Tensor, " showers"]) -> float:
        """The power of the likelihood that makes the true energies of these showers most likely.

        Arguments:
            energies: The true energies, in MeV.
        """

        def loss(log_sharpness: float) -> float:
            return -float(self.calibrated(math.exp(log_sharpness)).log_density(energies).mean())

        found = minimize_scalar(loss, bounds=(-_SHARPEST, _SHARPEST), method="bounded")
        return math.exp(found.x)

    def _logs(self) -> Float[Tensor, "showers points"]:
        """The log of the density of ln E, its largest value 0, its least one finite."""
        logs = self.sharpness * self.log_likelihood + self.log_prior + self.energies.log()
        return (logs - logs.amax(dim=1, keepdim=True)).clamp_min(_LEAST)

    def _steps(self) -> Float[Tensor, "showers steps"]:
        """The integral over each step of the grid, of the exponential of `_logs`."""
        density, x = self._logs().exp(), self.energies.log()
        return (density[:, 1:] + density[:, :-1]) / 2 * x.diff(dim=1)

    def _log_norm(self) -> Float[Tensor, "showers 1"]:
        return self._steps().sum(dim=1, keepdim=True).log()

    def _below(self) -> Float[Tensor, "showers points"]:
        """How much lies below each point, from 0 to 1."""
        below = self._steps().cumsum(dim=1)
        return torch.nn.functional.pad(below / below[:, -1:], (1, 0))


@torch.no_grad()
def energy_posterior(
    density: Density, condition: Condition, prior: Uniform | LogUniform, *, first_index: int = 0
) -> EnergyPosterior:
    """The posteriors of the incident energies of showers. The time grows as the number of showers:
    160 evaluations of the flow each.

    Arguments:
        density: What knows how energies of layers are distributed.
        condition: The energies of the layers of the showers; their particles but for the energies,
            which are not looked at.
        prior: The distribution from which the energies come, in MeV.
        first_index: The number of the first shower; random numbers that stand in empty layers are a
            function of it.

    Raises:
        ShowerValueError: No energy of the prior could make a shower.
    """
    parts = [
        _some(density, condition[span], prior, first_index + span.start)
        for span in spans(len(condition), _AT_A_TIME)
    ]
    return EnergyPosterior.cat(parts)


def _some(
    density: Density, condition: Condition, prior: Uniform | LogUniform, first: int
) -> EnergyPosterior:
    layers = condition.layer_energies
    index = torch.arange(len(layers), device=layers.device) + first
    noise = by_address(density.encoding_noise, streams.keys(0, index, Stream.RECONSTRUCTION))
    ends = torch.tensor([prior.low, prior.high], dtype=torch.float64, device=layers.device).log()
    coarse = _between(ends.expand(len(layers), 2), _COARSE)
    logs = _on(density, condition, noise, coarse)
    _require_possible(logs, first)
    fine = _between(_worthwhile(coarse, logs + prior.log_density(coarse.exp())), _FINE)
    energies = fine.exp()
    likelihood = _on(density, condition, noise, fine)
    return EnergyPosterior(energies, likelihood, prior.log_density(energies))


def _between(ends: Float[Tensor, "showers 2"], points: int) -> Float[Tensor, "showers points"]:
    part = torch.linspace(0, 1, points, dtype=ends.dtype, device=ends.device)
    return ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * part


def _on(
    density: Density,
    condition: Condition,
    noise: Numbers,
    logs: Float[Tensor, "showers points"],
) -> Float[Tensor, "showers points"]:
    """The log likelihood of each shower on its grid of ln E."""
    rows: Int64[Tensor, " all"] = torch.arange(len(logs), device=logs.device)
    rows = rows.repeat_interleave(logs.shape[1])
    all_of, repeated = condition[rows], {name: values[rows] for name, values in noise.items()}
    particles = replace(all_of.particles, energies=logs.flatten().exp())
    found = density.log_density(replace(all_of, particles=particles), repeated)
    return found.reshape(logs.shape)


def _worthwhile(
    grid: Float[Tensor, "showers points"], logs: Float[Tensor, "showers points"]
) -> Float[Tensor, "showers 2"]:
    """Where a density is not negligible, and a step of the grid on either side."""
    worth: Bool[Tensor, "showers points"] = logs - logs.amax(dim=1, keepdim=True) > _FAINTEST
    last = grid.shape[1] - 1
    first_of, last_of = worth.int().argmax(dim=1), last - worth.flip(1).int().argmax(dim=1)
    ends = torch.stack([(first_of - 1).clamp_min(0), (last_of + 1).clamp_max(last)], dim=1)
    return grid.gather(1, ends)


def _require_possible(logs: Float[Tensor, "showers points"], first: int) -> None:
    possible = logs.isfinite().any(dim=1)
    if not possible.all():
        wrong = int((~possible).nonzero()[0, 0]) + first
        msg = (
            f"shower {wrong} deposits more than the model allows at any energy of the prior: "
            "give a prior that reaches higher, or look at the units of the file"
        )
        raise ShowerValueError(msg)
