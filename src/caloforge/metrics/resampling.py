r"""Resampling by whole showers: the one source of the errors and floors of all statistics.

Sample 1 is the full simulation, N showers of weights :math:`w_i \ge 0`; the candidate has M of
weights :math:`v_j`. The effective size is :math:`N_\mathrm{eff} = (\sum_i w_i)^2 / \sum_i w_i^2`.
The *error* of a statistic is its standard deviation over bootstrap replicas of both samples, which
draw the same rows where incident energies are shared. Its *floor* comes from random splits of the
full simulation in halves of h1 and h2: a statistic of *order* p falls as :math:`(1/N + 1/M)^p` for
equal distributions, so that of the halves is multiplied by

.. math:: s^p, \quad s = \frac{1/N_\mathrm{eff} + 1/M_\mathrm{eff}}{1/h_1 + 1/h_2} .

The floor is the mean over the splits, its error the standard deviation of *one* split. Where
energies are shared, pairs of neighbours in energy are split. Derivation: docs/theory/distances.md.
"""

__all__ = ["LEAST_FULL", "Resampling", "Trials", "effective_size", "resampling"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Real

from caloforge.errors import ShowerValueError
from caloforge.metrics.scores import Score

LEAST_FULL = 4
"""The fewest showers of a full simulation that can be split in halves worth comparing."""

Weights = Float[np.ndarray, " _"]
Rows = Float[np.ndarray, "_ _"]
Statistic = Callable[[Rows, Rows], Float[np.ndarray, " _"]]


@dataclass(frozen=True, eq=False)
class Trials:
    """A statistic of two samples, of their replicas, and of the halves of the full simulation,
    scaled to the samples' sizes.

    Arguments:
        value: The statistic of the samples.
        replicas: That of each replica, with shape (R).
        splits: That of each split, scaled, with shape (C).
    """

    value: float
    replicas: Float[np.ndarray, " replicas"]
    splits: Float[np.ndarray, " splits"]

    @property
    def score(self) -> Score:
        """The value, the spread of the replicas, and mean and spread of the splits."""
        error, spread = (float(np.std(x, ddof=1)) for x in (self.replicas, self.splits))
        return Score(self.value, error, float(np.mean(self.splits)), spread)

    @staticmethod
    def mean(parts: "Sequence[Trials]") -> "Trials":
        """The mean of several statistics of the same resamplings, with the correlations between
        them.
        """
        return Trials(
            value=float(np.mean([part.value for part in parts])),
            replicas=np.mean([part.replicas for part in parts], axis=0),
            splits=np.mean([part.splits for part in parts], axis=0),
        )


@dataclass(frozen=True, eq=False)
class Resampling:
    """How often each shower counts, in the samples as they are and in every resampling of them.

    Arguments:
        full_rows: The weights of the full simulation: as it is, of R replicas, of the first and of
            the second halves of C splits, with shape (1 + R + 2 C, N).
        candidate_rows: The weights of the candidate: as it is, and of its replicas, with shape (1 +
            R, M).
        scale: The ratio s of the module's head, of these sizes to the halves.
        paired: Whether the samples share their incident energies.
    """

    full_rows: Rows
    candidate_rows: Rows
    scale: float
    paired: bool = False

    @property
    def full(self) -> Rows:
        """The weights of the full simulation, with shape (1, N)."""
        return self.full_rows[:1]

    @property
    def candidate(self) -> Rows:
        """The weights of the candidate, with shape (1, M)."""
        return self.candidate_rows[:1]

    @property
    def replicas(self) -> tuple[Rows, Rows]:
        """The weights in the replicas of both samples, with shapes (R, N) and (R, M)."""
        return self.full_rows[1 : len(self.candidate_rows)], self.candidate_rows[1:]

    @property
    def halves(self) -> tuple[Rows, Rows]:
        """The weights of the full simulation in the first and in the second half of each split,
        with shapes (C, N).
        """
        first, second = np.split(self.full_rows[len(self.candidate_rows) :], 2)
        return first, second

    def first(self, times: int) -> "Resampling":
        """The same with at most so many replicas and splits, the first ones."""
        (a, b), (c, d) = self.replicas, self.halves
        rows = _rows(self.full, a[:times], c[:times], d[:times])
        return Resampling(rows, _rows(self.candidate, b[:times]), self.scale, self.paired)

    def score(self, between: Statistic, within: Statistic, order: float) -> Score:
        """The score of a statistic.

        Arguments:
            between: The statistic for weights of the full simulation, (T, N), and of the candidate,
                (T, M), with shape (T).
            within: The same statistic for two sets of weights of the full simulation, (T, N) each,
                with shape (T).
            order: The power of the inverse sample size with which the statistic of equal
                distributions falls: 1/2 or 1.
        """
        value = float(between(self.full, self.candidate)[0])
        return Trials(
            value, between(*self.replicas), within(*self.halves) * self.scale**order
        ).score

    def trials(self, statistic: Statistic, full: Rows, candidate: Rows, order: float) -> Trials:
        """A statistic of what each resampling makes of the samples, such as their masses on a line.

        Arguments:
            statistic: From T rows of each of two samples to T numbers, with shape (T).
            full: What each row of `full_rows` gives, with shape (1 + R + 2 C, ...).
            candidate: What each row of `candidate_rows` gives, with shape (1 + R, ...).
            order: The power of the inverse sample size with which the statistic of equal
                distributions falls: 1/2 or 1.
        """
        n = len(candidate)
        samples, (first, second) = statistic(full[:n], candidate), np.split(full[n:], 2)
        return Trials(float(samples[0]), samples[1:], statistic(first, second) * self.scale**order)


def effective_size(weights: Weights) -> float:
    r"""The effective size :math:`(\sum w)^2 / \sum w^2` of a weighted sample."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def resampling(
    full: Weights,
    candidate: Weights,
    *,
    energies: Real[np.ndarray, " _"] | None = None,
    replicas: int = 50,
    splits: int = 50,
    seed: int = 0,
) -> Resampling:
    """Draw the resamplings of two samples.

    Arguments:
        full: The weights of the N showers of the full simulation, at least 0, with shape (N).
        candidate: The weights of the M showers of the candidate, at least 0, with shape (M).
        energies: The incident energies, in MeV, with shape (N), if they are those of both samples
            row by row; else None.
        replicas: Number of bootstrap replicas, at least 2.
        splits: Number of splits of the full simulation in halves, at least 2.
        seed: The seed; the same seed gives the same numbers, and the same replicas of the full
            simulation for every candidate.

    Raises:
        ShowerValueError: There are fewer than 4 showers of the full simulation or 2 of the
            candidate with a weight above 0, or the sizes differ although the incident energies are
            said to be shared.
    """
    _check(full, candidate, energies)
    of_full, of_candidate, of_splits = (
        np.random.default_rng([seed % 2**64, stream]) for stream in range(3)
    )
    full_rows = np.empty((1 + replicas + 2 * splits, len(full)), order="F")
    candidate_rows = np.empty((1 + replicas, len(candidate)), order="F")
    full_rows[0], candidate_rows[0] = full, candidate
    for row in range(1, 1 + replicas):
        drawn = _counts(of_full, full)
        other = _counts(of_candidate, candidate, drawn if energies is not None else None)
        full_rows[row], candidate_rows[row] = drawn * full, other * candidate
    per_half = []
    for row in range(1 + replicas, 1 + replicas + splits):
        first, second = (half * full for half in _halves(of_splits, full, energies))
        full_rows[row], full_rows[row + splits] = first, second
        per_half.append(1 / effective_size(first) + 1 / effective_size(second))
    scale = (1 / effective_size(full) + 1 / effective_size(candidate)) / float(np.mean(per_half))
    return Resampling(full_rows, candidate_rows, scale, energies is not None)


def _rows(*parts: Rows) -> Rows:
    """Rows one below the other, with the numbers of each shower side by side, as sums over showers
    want them.
    """
    return np.asfortranarray(np.concatenate(parts))


def _check(full: Weights, candidate: Weights, energies: Real[np.ndarray, " _"] | None) -> None:
    n, m = np.count_nonzero(full), np.count_nonzero(candidate)
    if n < LEAST_FULL or m < 2:
        msg = (
            f"{n} showers of the full simulation, {m} of the candidate with a weight above 0: "
            f"expected at least {LEAST_FULL} and 2"
        )
        raise ShowerValueError(msg)
    if energies is not None and not len(energies) == len(full) == len(candidate):
        msg = (
            f"{len(energies)} shared incident energies for {len(full)} and {len(candidate)} "
            "showers: expected as many of each"
        )
        raise ShowerValueError(msg)


def _counts(
    rng: np.random.Generator, weights: Weights, counts: Int[np.ndarray, " n"] | None = None
) -> Int[np.ndarray, " n"]:
    """How often each shower is drawn; drawn anew as long as all that are have the weight 0."""
    n = len(weights)
    while counts is None or not counts @ weights > 0:
        counts = np.bincount(rng.integers(n, size=n), minlength=n)
    return counts


def _halves(
    rng: np.random.Generator, full: Weights, energies: Real[np.ndarray, " _"] | None
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Which showers are in the first half and which in the second, 0 or 1 each; both halves have
    some weight.
    """
    while True:
        pairs = _pairs(rng, len(full), energies)
        swap = rng.integers(2, size=(len(pairs), 1))
        halves = np.where(swap, pairs[:, ::-1], pairs).T
        if full[halves].sum(axis=1).min() > 0:
            first, second = (np.bincount(half, minlength=len(full)) for half in halves)
            return first, second


def _pairs(
    rng: np.random.Generator, n: int, energies: Real[np.ndarray, " _"] | None
) -> Int[np.ndarray, "half 2"]:
    """Showers in random pairs, or in pairs of neighbouring energy; an odd one is left out."""
    order = rng.permutation(n)
    order = order if energies is None else order[np.argsort(energies[order], kind="stable")]
    return order[: n // 2 * 2].reshape(-1, 2)
