r"""Mean profiles of showers in slices of incident energy; GFlash's constants are fitted to them.

With the deposits :math:`e_{ic}` of shower i, of incident energy :math:`E_i`, and weights
:math:`w_i`, a bin b of cells holds the share

.. math:: \mu_b = \frac{\sum_i w_i x_{ib}}{\sum_i w_i}, \qquad
          x_{ib} = \frac{1}{E_i} \sum_{c \in b} e_{ic}, \qquad
          \sigma_b^2 = \frac{n}{n - 1} \frac{\sum_i w_i^2 (x_{ib} - \mu_b)^2}{(\sum_i w_i)^2},

the mean over the n showers of a slice, and its standard error. The *longitudinal* bins are the
layers, the *radial* ones rings around the axis, and the bins *in depth* rings in each of a few
segments, groups of successive layers. Two energies stand for a slice, :math:`e^{m \pm s}` with mean
m and standard deviation s of :math:`\ln E_i`: the mean over both is the mean over the slice for
whatever is quadratic in :math:`\ln E`.
"""

__all__ = ["Binning", "Profiles", "Slices", "binned", "cut"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from caloforge.errors import ShowerValueError, TrainingError
from caloforge.geometry import Boxes, Calorimeter
from caloforge.particles import Particles
from caloforge.showers import Showers, ShowerSource

_LEAST_SHOWERS = 20
"""In a slice: fewer do not tell the standard errors."""

_BATCH = 500


class Profiles(NamedTuple):
    """Shares of the incident energy, float64: of one slice, or with the slices as
    first dimension.
    """

    total: Tensor
    """In all cells, with shape (..., 1)."""
    longitudinal: Tensor
    """In each layer, with shape (..., layers)."""
    radial: Tensor
    """In each ring, with shape (..., rings)."""
    in_depth: Tensor
    """In each segment and ring, with shape (..., segments, rings)."""


@dataclass(frozen=True, eq=False)
class Binning:
    """Which bins a cell belongs to.

    In a regular grid a ring is as wide as the larger side of a cell, and a cell belongs to the ring
    of its centre; otherwise each radius at which there are centres is a ring.

    Arguments:
        layer: The layer of each cell, with shape (cells).
        segment: The segment of each cell, with shape (cells).
        ring: The ring of each cell, with shape (cells).
    """

    layer: Int[Tensor, " cells"]
    segment: Int[Tensor, " cells"]
    ring: Int[Tensor, " cells"]

    @staticmethod
    def of(
        calorimeter: Calorimeter, longitudinal: Float[Tensor, " layers"], segments: int
    ) -> "Binning":
        """The bins of a calorimeter, its layers grouped such that segments hold nearly equal shares
        of a longitudinal profile.
        """
        middle = longitudinal.cumsum(0) - longitudinal / 2
        group = (middle / longitudinal.sum() * segments).long().clamp(0, segments - 1)
        _, group = torch.unique(group, return_inverse=True)
        return Binning(
            calorimeter.layer_of_cell, group[calorimeter.layer_of_cell], _rings(calorimeter)
        )

    def shares(
        self, deposits: Float[Tensor, "showers cells"], energies: Float[Tensor, " showers"]
    ) -> Profiles:
        """The profiles of each shower."""
        deposits = deposits.double() / energies.double()[:, None]
        rings = int(self.ring.max()) + 1
        longitudinal = _summed(deposits, self.layer)
        in_depth = _summed(deposits, self.segment * rings + self.ring).reshape(
            len(deposits), -1, rings
        )
        return Profiles(longitudinal.sum(1, keepdim=True), longitudinal, in_depth.sum(1), in_depth)


def _rings(calorimeter: Calorimeter) -> Int[Tensor, " cells"]:
    radius = calorimeter.transverse.norm(dim=1)
    match tuple(set(calorimeter.divisions)):
        case (Boxes(size=size),):
            radius = (radius / max(size)).floor()
        case ():
            return calorimeter.rings().of_cell
    ring: Tensor = torch.unique((radius * 1e6).round(), return_inverse=True)[1]
    return ring


def _summed(
    deposits: Float[Tensor, "showers cells"], bins: Int[Tensor, " cells"]
) -> Float[Tensor, "showers bins"]:
    bins = bins.to(deposits.device)
    return deposits.new_zeros(len(deposits), int(bins.max()) + 1).index_add(1, bins, deposits)


@dataclass(frozen=True, eq=False)
class Slices:
    """Mean profiles in slices of incident energy, each with the slices as first dimension.

    Arguments:
        binning: The bins.
        points: The two energies that stand for each slice, in MeV, with shape (slices, 2).
        counts: The number of showers in each slice.
        weights: The sum of their weights, as a share of all.
        mean: The mean profiles.
        error: The standard error of each bin.
    """

    binning: Binning
    points: Tensor
    counts: Tensor
    weights: Tensor
    mean: Profiles
    error: Profiles

    def __len__(self) -> int:
        return len(self.points)

    def expected(self, mean: Callable[[Particles], Tensor], slice_: int) -> Profiles:
        """The profiles that a simulator expects in a slice, given its expected deposits of
        particles.
        """
        particles = Particles(self.points[slice_])
        each = self.binning.shares(mean(particles), particles.energies)
        return Profiles(*(profile.mean(0) for profile in each))


def cut(energies: Float[Tensor, " showers"], most: int) -> list[float]:
    """The energies between which slices lie: of about as many showers each, no energy in two.

    Arguments:
        energies: The incident energies, in MeV.
        most: The largest number of slices.

    Raises:
        TrainingError: There are fewer than 20 showers.
    """
    n = len(energies)
    if n < _LEAST_SHOWERS:
        msg = (
            f"mean profiles: {n} showers, expected at least {_LEAST_SHOWERS}, better several "
            "hundred"
        )
        raise TrainingError(msg)
    ordered, edges, start = energies.sort().values, [], 0
    for k in range(1, most):
        first = int(torch.searchsorted(ordered, ordered[n * k // most]))
        if min(first - start, n - first) >= _LEAST_SHOWERS:
            edges.append(float(ordered[first]))
            start = first
    return edges


class _Sums(NamedTuple):
    """Sums over the showers of each slice."""

    weight: Tensor
    squared_weight: Tensor
    first: Tensor
    first_squared_weight: Tensor
    second: Tensor


def binned(
    full: ShowerSource,
    binning: Binning,
    edges: Sequence[float],
    require: Callable[[Particles], None],
) -> Slices:
    """Measure mean profiles, a batch of showers in memory at a time.

    Arguments:
        full: The showers.
        binning: The bins.
        edges: The incident energies between which slices lie, as `cut` gives them, in MeV.
        require: Told the particles of each batch, to refuse those that will not do.

    Raises:
        ShowerValueError: A deposit is not finite, or there is no energy.
    """
    energies = full.energies.double()
    number = torch.bucketize(energies, energies.new_tensor(edges), right=True)
    n = len(edges) + 1
    points = torch.stack([_points(energies[number == k]) for k in range(n)])
    counts = torch.bincount(number, minlength=n)
    sums, shapes = _sums(full, binning, number, n, require)
    mean, error = _mean_and_error(sums, counts)
    return Slices(
        binning,
        points,
        counts,
        sums.weight[:, 0] / sums.weight.sum(),
        _split(mean, shapes),
        _split(error, shapes),
    )


def _points(energies: Float[Tensor, " showers"]) -> Float[Tensor, " 2"]:
    logs = energies.log()
    mean, spread = logs.mean(), logs.std(correction=0)
    return torch.stack([mean - spread, mean + spread]).exp()


def _sums(
    full: ShowerSource,
    binning: Binning,
    number: Tensor,
    slices: int,
    require: Callable[[Particles], None],
) -> tuple[_Sums, list[torch.Size]]:
    parts: list[_Sums] = []
    start = 0
    for batch in full.batches(_BATCH):
        require(batch.particles)
        profiles = binning.shares(_finite(batch, start), batch.energies)
        part, shapes = (
            torch.cat([p.flatten(1) for p in profiles], 1),
            [p.shape[1:] for p in profiles],
        )
        weights = (
            torch.ones(len(batch), dtype=torch.float64)
            if batch.weights is None
            else batch.weights.double()
        )
        sums = _slice_sums(part, weights, number[start : start + len(batch)], slices)
        parts = (
            [sums] if not parts else [_Sums(*(a + b for a, b in zip(parts[0], sums, strict=True)))]
        )
        start += len(batch)
    if not parts[0].first.any():
        msg = f"mean profiles: none of the {start} showers holds energy"
        raise ShowerValueError(msg)
    return parts[0], shapes


def _finite(batch: Showers, start: int) -> Tensor:
    bad = ~batch.deposits.isfinite().all(1)
    if bad.any():
        first = start + int(bad.nonzero()[0, 0])
        msg = (
            f"mean profiles: shower {first} holds a deposit that is not finite, expected numbers "
            "of at least 0 MeV"
        )
        raise ShowerValueError(msg)
    return batch.deposits


def _slice_sums(shares: Tensor, weights: Tensor, number: Tensor, slices: int) -> _Sums:
    w = weights[:, None]
    terms = (w, w.square(), w * shares, w.square() * shares, w.square() * shares.square())
    return _Sums(*(t.new_zeros(slices, t.shape[1]).index_add(0, number, t) for t in terms))


def _mean_and_error(sums: _Sums, counts: Tensor) -> tuple[Tensor, Tensor]:
    mean = sums.first / sums.weight
    squares = (
        sums.second - 2 * mean * sums.first_squared_weight + mean.square() * sums.squared_weight
    )
    correction = (counts / (counts - 1))[:, None]
    return mean, (squares.clamp(min=0) * correction).sqrt() / sums.weight


def _split(flat: Float[Tensor, "slices bins"], shapes: list[torch.Size]) -> Profiles:
    parts = torch.split(flat, [shape.numel() for shape in shapes], dim=1)
    return Profiles(*(part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)))
