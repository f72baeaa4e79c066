r"""Statistics between two samples on one line: distances and tests of their distributions.

Distribution functions are F and G, shares in bins b are :math:`f_b` and :math:`g_b`:

- Wasserstein distance of order 1, :math:`W = \int |F(x) - G(x)| \, dx`; *standardised*, divided by
  the standard deviation of the full simulation; order 1/2;
- separation power :math:`S = \frac12 \sum_b (f_b - g_b)^2 / (f_b + g_b)`, in [0, 1]; order 1, floor
  :math:`\frac{B - 1}{4}(1/N + 1/M)` for B populated bins;
- Kolmogorov-Smirnov test of :math:`\max |F - G|`, and :math:`\chi^2` test of
  :math:`\sum_b (f_b - g_b)^2 / (\sigma^2_{f_b} + \sigma^2_{g_b})` over bins joined until each holds
  ten showers: for independent showers of one value each.

Errors and floors come from `caloforge.metrics.resampling`.
"""

__all__ = [
    "Batched",
    "Comparison",
    "Trio",
    "batched_wasserstein",
    "chi2_probability",
    "compare_lines",
    "compare_points",
    "kolmogorov",
    "ks_probability",
    "separation_power",
    "wasserstein",
]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int, Real
from scipy import special, stats

from caloforge.errors import ShowerValueError
from caloforge.metrics.bins import Bins
from caloforge.metrics.measures import Line, Masses, Ranked, histograms, ranked
from caloforge.metrics.resampling import Resampling, Trials, effective_size
from caloforge.metrics.scores import Score

LEAST_IN_BIN = 10
"""A bin of the chi2 test holds at least so many showers."""


@dataclass(frozen=True)
class Batched:
    """The standardised Wasserstein distance over disjoint batches of both samples.

    Arguments:
        mean: The mean over the batches.
        spread: The standard deviation over the batches.
        batches: The number of batches.
        size: The number of showers of each sample in a batch.
    """

    mean: float
    spread: float
    batches: int
    size: int


@dataclass(frozen=True)
class Comparison:
    """A candidate against the full simulation in one distribution.

    Arguments:
        distance: The Wasserstein distance, in the unit of the line.
        standardised: The same in standard deviations of the full simulation.
        separation: The separation power.
        ks: The probability of the Kolmogorov-Smirnov test; None where it does not apply.
        chi2: The probability of the chi2 test; None where it does not apply.
        batched: The standardised distance in batches; None where it does not apply.
        parts: For an observable with several distributions, of which this is the mean, the
            comparison at each label.
    """

    distance: Score
    standardised: Score
    separation: Score
    ks: float | None
    chi2: float | None
    batched: Batched | None = None
    parts: "Mapping[str, Comparison]" = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trio:
    """The statistics of a `Comparison` before they are summed up, so that those of several
    distributions can be averaged.
    """

    distance: Trials
    standardised: Trials
    separation: Trials
    ks: float | None
    chi2: float | None

    @property
    def comparison(self) -> Comparison:
        """The scores."""
        return Comparison(
            self.distance.score, self.standardised.score, self.separation.score, self.ks, self.chi2
        )

    @staticmethod
    def mean(parts: "Sequence[Trio]") -> "Trio":
        """The mean over several distributions; of the probabilities the least, times
        their number.
        """
        return Trio(
            distance=Trials.mean([part.distance for part in parts]),
            standardised=Trials.mean([part.standardised for part in parts]),
            separation=Trials.mean([part.separation for part in parts]),
            ks=_least([part.ks for part in parts]),
            chi2=_least([part.chi2 for part in parts]),
        )


def _least(probabilities: Sequence[float | None]) -> float | None:
    """The probability that the least of several is so small (Bonferroni)."""
    known = [p for p in probabilities if p is not None]
    return min(1.0, min(known) * len(known)) if known else None


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
    u, v = (
        np.ones(len(x)) if w is None else w.astype(np.float64)
        for x, w in ((a, a_weights), (b, b_weights))
    )
    if not min(float(u.sum()), float(v.sum())) > 0:
        msg = "the weights of a sample sum to 0: no distance can be taken"
        raise ShowerValueError(msg)
    line = ranked(a, b)
    return _integral(line, line.difference(u, v))


def _integral(line: Ranked, difference: Float[np.ndarray, " values"]) -> float:
    return float(np.abs(difference[:-1]) @ np.diff(line.values))


def separation_power(
    full: Real[np.ndarray, "..."], candidate: Real[np.ndarray, "..."]
) -> Real[np.ndarray, "..."]:
    """Separation power of histograms, which need not be normalised, over their last axis; 1 if just
    one of them is empty.

    Arguments:
        full: The contents of the bins, at least 0, of the full simulation.
        candidate: Those of the candidate.
    """
    f, g = _normalised(full), _normalised(candidate)
    both = f + g
    power = 0.5 * np.divide((f - g) ** 2, both, out=np.zeros_like(both), where=both > 0).sum(
        axis=-1
    )
    return np.where((f.sum(axis=-1) > 0) == (g.sum(axis=-1) > 0), power, 1.0)


def ks_probability(
    full: Real[np.ndarray, " n"],
    candidate: Real[np.ndarray, " m"],
    full_weights: Float[np.ndarray, " n"],
    candidate_weights: Float[np.ndarray, " m"],
) -> float:
    """Probability of the two-sample Kolmogorov-Smirnov test with effective sizes, to some 0.002
    (Stephens's approximation).

    Arguments:
        full: The values of the full simulation, with shape (n).
        candidate: Those of the candidate, with shape (m).
        full_weights: The weights, with shape (n).
        candidate_weights: The weights, with shape (m).
    """
    difference = ranked(full, candidate).difference(full_weights, candidate_weights)
    sizes = effective_size(full_weights), effective_size(candidate_weights)
    return kolmogorov(float(np.abs(difference).max()), *sizes)


def kolmogorov(distance: float, n: float, m: float) -> float:
    """Probability of a largest difference of two distribution functions, to some 0.002.

    Arguments:
        distance: The largest difference, in [0, 1].
        n: The effective size of one sample.
        m: That of the other.
    """
    root = (n * m / (n + m)) ** 0.5
    return float(special.kolmogorov((root + 0.12 + 0.11 / root) * distance))


def chi2_probability(
    full: Int[np.ndarray, " n"],
    candidate: Int[np.ndarray, " m"],
    full_weights: Float[np.ndarray, " n"],
    candidate_weights: Float[np.ndarray, " m"],
) -> float:
    """Probability of the two-sample chi2 test; 1 if all showers are in one bin.

    Arguments:
        full: The bin of each shower of the full simulation, with shape (n).
        candidate: That of each shower of the candidate, with shape (m).
        full_weights: The weights, with shape (n).
        candidate_weights: The weights, with shape (m).
    """
    n = int(max(full.max(), candidate.max())) + 1
    joined = _joined(np.bincount(full, minlength=n) + np.bincount(candidate, minlength=n))
    (f, f_variance), (g, g_variance) = (
        _shares(joined[index], weights, int(joined.max()) + 1)
        for index, weights in ((full, full_weights), (candidate, candidate_weights))
    )
    variance = f_variance + g_variance
    used = variance > 0
    if used.sum() < 2:
        return 1.0
    return float(stats.chi2.sf(np.sum((f - g)[used] ** 2 / variance[used]), used.sum() - 1))


def _joined(counts: Int[np.ndarray, " _"]) -> Int[np.ndarray, " _"]:
    """For each bin the number of the joined bin it belongs to; the rest at the end joins the last
    full one.
    """
    numbers, number, held = np.zeros(len(counts), dtype=np.int64), 0, 0
    for k, count in enumerate(counts):
        numbers[k] = number
        held += int(count)
        if held >= LEAST_IN_BIN:
            number, held = number + 1, 0
    return np.minimum(numbers, max(number - 1, 0))


def _shares(
    bins: Int[np.ndarray, " n"], weights: Float[np.ndarray, " n"], n_bins: int
) -> tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]:
    """The share of the weight in each bin, and its variance."""
    total = float(weights.sum())
    return np.bincount(bins, weights, n_bins) / total, np.bincount(
        bins, weights**2, n_bins
    ) / total**2


def _normalised(masses: Real[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Masses that sum to 1 over the last axis; all 0 if there are none."""
    total = masses.sum(axis=-1, keepdims=True)
    normalised: Float[np.ndarray, ...] = np.divide(
        masses, total, out=np.zeros(masses.shape), where=total > 0
    )
    return normalised


def compare_points(
    full: Real[np.ndarray, " n"],
    candidate: Real[np.ndarray, " m"],
    resampling: Resampling,
    bins: Bins,
) -> Trio:
    """Compare two samples with one value a shower.

    Arguments:
        full: The values of the full simulation, finite, with shape (N).
        candidate: The values of the candidate, finite, with shape (M).
        resampling: The resamplings of these showers.
        bins: The bins of the separation power and of the chi2 test.
    """
    f, g = resampling.full[0], resampling.candidate[0]
    line, i, j = ranked(full, candidate), bins.index(full), bins.index(candidate)
    lumped, difference = line.lumped(), line.difference(f, g)
    n = len(lumped.values)
    masses, contents = histograms(resampling.full_rows, (lumped.full, n), (i, len(bins)))
    of_candidate = histograms(resampling.candidate_rows, (lumped.candidate, n), (j, len(bins)))
    rough = _wasserstein(Line(lumped.values, masses, of_candidate[0]), resampling)
    distance = replace(rough, value=_integral(line, difference))
    return Trio(
        distance=distance,
        standardised=_standardised(distance, _deviation(full.astype(np.float64), f)),
        separation=resampling.trials(separation_power, contents, of_candidate[1], order=1),
        ks=kolmogorov(float(np.abs(difference).max()), effective_size(f), effective_size(g)),
        chi2=chi2_probability(i, j, f, g),
    )


def compare_lines(line: Line, resampling: Resampling, bins: Bins) -> Trio:
    """Compare two samples of many values a shower.

    Arguments:
        line: The line, not empty.
        resampling: The resamplings from which it was made.
        bins: The bins of the separation power, on the line.
    """
    distance, index = _wasserstein(line, resampling), bins.index(line.positions)
    [contents], [of_candidate] = (
        histograms(masses, (index, len(bins))) for masses in (line.full, line.candidate)
    )
    return Trio(
        distance=distance,
        standardised=_standardised(distance, _deviation(line.positions, line.full[0])),
        separation=resampling.trials(separation_power, contents, of_candidate, order=1),
        ks=None,
        chi2=None,
    )


def _wasserstein(line: Line, resampling: Resampling) -> Trials:
    gaps = np.diff(line.positions)

    def statistic(f: Masses, g: Masses) -> Float[np.ndarray, " times"]:
        differences: Masses = np.abs(np.cumsum(_normalised(f) - _normalised(g), axis=1)[:, :-1])
        return differences @ gaps

    return resampling.trials(statistic, line.full, line.candidate, order=0.5)


def _standardised(distance: Trials, deviation: float) -> Trials:
    """A distance in standard deviations; where the full simulation does not vary at all, in the
    unit of the line.
    """
    scale = deviation if deviation > 0 else 1.0
    return Trials(distance.value / scale, distance.replicas / scale, distance.splits / scale)


def _deviation(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> float:
    mean = np.average(values, weights=weights)
    return float(np.average((values - mean) ** 2, weights=weights) ** 0.5)


def batched_wasserstein(
    full: Real[np.ndarray, " n"],
    candidate: Real[np.ndarray, " m"],
    full_weights: Float[np.ndarray, " n"],
    candidate_weights: Float[np.ndarray, " m"],
    *,
    batches: int = 10,
) -> Batched:
    """Standardised Wasserstein distance over disjoint batches, as arXiv:2405.20407, figure 9, with
    10 batches of 10,000.

    Arguments:
        full: The values of the full simulation, with shape (n).
        candidate: The values of the candidate, with shape (m).
        full_weights: The weights, with shape (n).
        candidate_weights: The weights, with shape (m).
        batches: The number of batches, at least 2, at most the number of showers of the smaller
            sample.
    """
    size = min(len(full), len(candidate)) // batches
    scale = _deviation(full.astype(np.float64), full_weights) or 1.0
    parts = [slice(k * size, (k + 1) * size) for k in range(batches)]
    found = [
        wasserstein(full[p], candidate[p], full_weights[p], candidate_weights[p]) / scale
        for p in parts
    ]
    return Batched(float(np.mean(found)), float(np.std(found, ddof=1)), batches, size)
