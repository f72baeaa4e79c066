r"""Distances between two samples of showers, each with its uncertainty and its floor.

The Wasserstein distance of order 1 (earth mover's distance) between two laws on a line, with distribution functions F and G, is

.. math:: W = \int |F(x) - G(x)| \, dx ,

in the unit of the line: the shift that would turn one sample into the other. It is computed exactly on the measures of
`caloforge.metrics.measures`, one cumulative sum over their common positions. N showers of the full simulation stand against M of
a candidate.

*Uncertainty.* Both samples are resampled by showers, with replacement, the cells of one shower staying together; the error is the
standard deviation of W over the replicas. Where shower i of both samples has the same incident energy the two belong together,
and both samples draw the same rows.

*Floor.* Two samples of the same law are a distance apart, too: no candidate can be told from the full simulation below it. Only
one sample of the full simulation is at hand, so it is cut at random into two halves of h = floor(N/2) showers, many times. Since
F(x) - G(x) of independent samples has variance :math:`F (1 - F) (1/N + 1/M)`, their expected distance is proportional to
:math:`\sqrt{1/N + 1/M}` (for N = M to :math:`N^{-1/2}`), so the distance of halves times

.. math:: s = \sqrt{\frac{1/N + 1/M}{2/h}} \qquad (= 1/\sqrt{2} \text{ for } M = N)

is that of two independent samples of N and M showers. The floor is the mean over the cuts. Its error is the standard deviation
of *one* cut, times s: how far the distance of a perfect candidate would scatter about the floor. Where the samples share their
incident energies a perfect candidate would share them, too, and so the halves do: showers are put in pairs of neighbouring
energy, and each pair is split at random. Neighbours differ a little in energy: where showers are so few that this difference
exceeds the resolution, such a floor is too high.
"""

__all__ = ["LEAST_FULL", "Distance", "distance", "wasserstein"]

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Real

from caloforge.errors import ShowerValueError
from caloforge.metrics.measures import Measure

LEAST_FULL = 4
"""The fewest showers of a full simulation that can be cut in halves worth comparing."""


@dataclass(frozen=True)
class Distance:
    """A distance between a candidate and the full simulation, in the unit of the observable's line.

    Arguments:
        value: The distance.
        error: Its standard deviation over bootstrap replicas of both samples.
        floor: The expected distance between two samples of the full simulation of these sizes.
        floor_error: The standard deviation of such a distance.
        n_full: Number of showers of the full simulation.
        n_candidate: Number of showers of the candidate.
    """

    value: float
    error: float
    floor: float
    floor_error: float
    n_full: int
    n_candidate: int

    @property
    def ratio_to_floor(self) -> float:
        """The distance in units of the floor; 1 if both are 0, infinite if only the floor is."""
        if self.floor > 0:
            return self.value / self.floor
        return 1.0 if self.value == 0 else math.inf


def wasserstein(
    a: Real[np.ndarray, " n"],
    b: Real[np.ndarray, " m"],
    a_weights: Real[np.ndarray, " n"] | None = None,
    b_weights: Real[np.ndarray, " m"] | None = None,
) -> float:
    """Wasserstein distance of order 1 between two weighted lists of numbers, exact.

    Arguments:
        a: The first numbers, with shape (n).
        b: The second numbers, with shape (m).
        a_weights: Their weights, at least 0, with shape (n); None for equal weights.
        b_weights: As ``a_weights``, for b, with shape (m).

    Raises:
        ShowerValueError: The weights of a sample sum to 0.
    """
    positions, index = np.unique(np.concatenate([a, b]), return_inverse=True)
    halves = zip(np.split(index, [len(a)]), (a_weights, b_weights), strict=True)
    masses = [Measure(positions.astype(np.float64), part[:, None]).mass(weights) for part, weights in halves]
    return _wasserstein(positions, masses[0], masses[1])


def distance(
    full: Measure,
    candidate: Measure,
    *,
    energies: Real[np.ndarray, " showers"] | None = None,
    replicas: int = 50,
    cuts: int = 50,
    seed: int = 0,
) -> Distance:
    """Wasserstein distance of order 1 of a candidate to the full simulation, with error and floor.

    Arguments:
        full: The full simulation, N showers.
        candidate: The candidate, M showers, on the same positions.
        energies: The incident energies, in MeV, with shape (N), if they are those of both samples row by row; else None.
        replicas: Number of bootstrap replicas, at least 2.
        cuts: Number of cuts of the full simulation in halves, at least 2.
        seed: The seed of the resampling; the same seed gives the same numbers.

    Returns:
        The distance.

    Raises:
        ShowerValueError: There are fewer than 4 showers of the full simulation or 2 of the candidate, or the sizes differ
            although the incident energies are said to be shared.
    """
    _check(full, candidate, energies)
    rng = np.random.default_rng(seed % 2**64)
    pairs = (_replica(rng, full, candidate, shared=energies is not None) for _ in range(replicas))
    boot = [_wasserstein(full.positions, f, c) for f, c in pairs]
    halves = [_wasserstein(full.positions, f, c) for f, c in _cuts(rng, full, energies, cuts)]
    scale = math.sqrt((1 / len(full) + 1 / len(candidate)) / (2 / (len(full) // 2)))
    return Distance(
        value=_wasserstein(full.positions, full.mass(), candidate.mass()),
        error=float(np.std(boot, ddof=1)),
        floor=float(np.mean(halves)) * scale,
        floor_error=float(np.std(halves, ddof=1)) * scale,
        n_full=len(full),
        n_candidate=len(candidate),
    )


def _check(full: Measure, candidate: Measure, energies: Real[np.ndarray, " showers"] | None) -> None:
    if len(full) < LEAST_FULL or len(candidate) < 2:
        msg = (
            f"{len(full)} showers of the full simulation, {len(candidate)} of the candidate: expected at least {LEAST_FULL} and 2"
        )
        raise ShowerValueError(msg)
    if energies is not None and not len(energies) == len(full) == len(candidate):
        msg = f"{len(energies)} shared incident energies for {len(full)} and {len(candidate)} showers: expected as many of each"
        raise ShowerValueError(msg)


def _wasserstein(
    positions: Real[np.ndarray, " positions"], a: Float[np.ndarray, " positions"], b: Float[np.ndarray, " positions"]
) -> float:
    return float(np.abs(np.cumsum(a - b)[:-1]) @ np.diff(positions))


Masses = tuple[Float[np.ndarray, " positions"], Float[np.ndarray, " positions"]]


def _replica(rng: np.random.Generator, full: Measure, candidate: Measure, *, shared: bool) -> Masses:
    counts = _resample(rng, len(full))
    return full.mass(counts), candidate.mass(counts if shared else _resample(rng, len(candidate)))


def _resample(rng: np.random.Generator, n: int) -> Int[np.ndarray, " n"]:
    return np.bincount(rng.integers(n, size=n), minlength=n)


def _cuts(rng: np.random.Generator, full: Measure, energies: Real[np.ndarray, " showers"] | None, cuts: int) -> Iterator[Masses]:
    n = len(full)
    for _ in range(cuts):
        pairs = _pairs(rng, n, energies)
        swap = rng.integers(2, size=(len(pairs), 1))
        first, second = np.where(swap, pairs[:, ::-1], pairs).T
        yield full.mass(np.bincount(first, minlength=n)), full.mass(np.bincount(second, minlength=n))


def _pairs(rng: np.random.Generator, n: int, energies: Real[np.ndarray, " showers"] | None) -> Int[np.ndarray, "half 2"]:
    """Showers in random pairs, or in pairs of neighbouring energy; an odd one is left out."""
    order = rng.permutation(n)
    order = order if energies is None else order[np.argsort(energies[order], kind="stable")]
    return order[: n // 2 * 2].reshape(-1, 2)
