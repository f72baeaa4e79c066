r"""The kernel physics distance (KPD): the squared maximum mean discrepancy of two samples.

On F features, scaled as in `caloforge.metrics.frechet` (Kansal et al., arXiv:2211.10295, eq. 4),
:math:`k(x, y) = (x \cdot y / F + 1)^4`. The published protocol (jetnet 0.2.5) draws 10 batches of m
showers with replacement, and takes the median of

.. math:: \frac{a^T K_{xx} a - \sum_i a_i K_{ii}}{m (m - 1)} + \frac{b^T K_{yy} b - \sum_j b_j
          K_{jj}}{m (m - 1)}
          - \frac{2 a^T K_{xy} b}{m^2} ,

where a batch holds shower i :math:`a_i` times and shower j :math:`b_j` times. So each matrix K is
computed once, in blocks, for all batches. The *floor* is that of halves of the full simulation:
their discrepancy :math:`(p - q)^T K (p - q)` scaled to the sizes, plus the noise of the batches.
"""

__all__ = ["kernel_distance"]

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import iqr

from caloforge.metrics.frechet import normalised, require_rows
from caloforge.metrics.resampling import Resampling, effective_size
from caloforge.metrics.scores import Score

BATCHES = 10
QUANTILES = (16.275, 83.725)
CUTS = 10
"""Cuts are used up to this number."""

THIN = 5000
"""The floor is taken from at most so many showers, and scaled from them."""

BLOCK = 64 * 2**20
"""Bytes of a block of a kernel matrix."""

Rows = Float[np.ndarray, "rows features"]
Others = Float[np.ndarray, "others features"]
Counts = Float[np.ndarray, "times rows"]
OtherCounts = Float[np.ndarray, "times others"]


def kernel_distance(
    full: Float[np.ndarray, "n features"],
    candidate: Float[np.ndarray, "m features"],
    resampling: Resampling,
    *,
    batch_size: int = 10_000,
    seed: int = 42,
) -> Score:
    """The kernel physics distance by the published protocol, with a floor of order 1; it can be
    negative.

    Arguments:
        full: The features of the full simulation, finite, with shape (N, F).
        candidate: The features of the candidate, finite, with shape (M, F).
        resampling: The weights of both samples; the first 10 splits are used.
        batch_size: Showers in a batch, at least 2; 10,000 in the CaloChallenge.
        seed: The seed of the batches.

    Returns:
        The median over the batches, without unit, with the error of the protocol.

    Raises:
        ShowerValueError: A feature is not finite, or a sample has not as many rows as the
            resampling has showers.
    """
    require_rows(full, candidate, resampling)
    x, y = normalised(full, candidate)
    batches = _discrepancies(
        x, y, *_batches(resampling.full[0], resampling.candidate[0], batch_size, seed), batch_size
    )
    floor, floor_error = _floor(x, resampling, batch_size, seed)
    return Score(
        float(np.median(batches)), float(iqr(batches, rng=QUANTILES) / 2), floor, floor_error
    )


def _batches(
    full: Float[np.ndarray, " n"], candidate: Float[np.ndarray, " m"], size: int, seed: int
) -> tuple[Float[np.ndarray, "batches n"], Float[np.ndarray, "batches m"]]:
    """How often each batch draws each shower."""
    pairs = []
    for batch in range(BATCHES):
        rng = np.random.default_rng(seed + 1000 * batch)
        pairs.append([_draw(rng, weights, size) for weights in (full, candidate)])
    first, second = (np.stack(part) for part in zip(*pairs, strict=True))
    return first, second


def _draw(
    rng: np.random.Generator, weights: Float[np.ndarray, " rows"], size: int
) -> Float[np.ndarray, " rows"]:
    """Counts of the showers drawn; equal weights draw the numbers that the published code draws."""
    equal = bool((weights == weights[0]).all())
    chosen = rng.choice(len(weights), size=size, p=None if equal else weights / weights.sum())
    return np.bincount(chosen, minlength=len(weights)).astype(np.float64)


def _discrepancies(
    x: Rows, y: Others, a: Counts, b: OtherCounts, size: int
) -> Float[np.ndarray, " times"]:
    """The unbiased squared discrepancy of each batch."""
    within = _pairs(x, a) + _pairs(y, b)
    return np.asarray(within / (size * (size - 1)) - 2 * _mixed_form(x, y, a, b) / size**2)


def _pairs(x: Rows, a: Counts) -> Float[np.ndarray, " times"]:
    """The sum of the kernel over the pairs of different draws."""
    return np.asarray(_form(x, a) - a @ _diagonal(x))


def _form(x: Rows, a: Counts) -> Float[np.ndarray, " times"]:
    """The quadratic forms a^T K a, from the blocks on and right of the diagonal of the
    symmetric K.
    """
    total = np.zeros(len(a))
    for start, stop in _blocks(len(x), len(x)):
        k = _kernel(x[start:stop], x[start:])
        right = 2 * a[:, start:]
        right[:, : stop - start] /= 2
        total += np.einsum("ti,it->t", a[:, start:stop], k @ right.T)
    return total


def _mixed_form(x: Rows, y: Others, a: Counts, b: OtherCounts) -> Float[np.ndarray, " times"]:
    """The forms a^T K b."""
    parts = (
        np.einsum("ti,it->t", a[:, i:j], _kernel(x[i:j], y) @ b.T)
        for i, j in _blocks(len(x), len(y))
    )
    return np.asarray(np.sum(list(parts), axis=0))


def _kernel(x: Rows, y: Others) -> Float[np.ndarray, "rows others"]:
    k = np.asarray(x @ y.T)
    k /= x.shape[1]
    k += 1
    k *= k
    k *= k
    return k


def _diagonal(x: Rows) -> Float[np.ndarray, " rows"]:
    return np.asarray((np.square(x).sum(axis=1) / x.shape[1] + 1) ** 4)


def _blocks(rows: int, columns: int) -> list[tuple[int, int]]:
    step = max(1, BLOCK // (8 * columns))
    return [(i, min(i + step, rows)) for i in range(0, rows, step)]


def _floor(x: Rows, resampling: Resampling, size: int, seed: int) -> tuple[float, float]:
    """Mean and standard deviation of the statistic of two samples of the full simulation, of the
    sizes of both samples.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(x))[:THIN] if len(x) > THIN else np.arange(len(x))
    halves = [h[:CUTS, rows] for h in resampling.halves]
    limits, noise = _halves(x[rows], (halves[0], halves[1]), size, rng)
    sizes = [1 / effective_size(w[0]) for w in (resampling.full, resampling.candidate)]
    here = [1 / effective_size(a) + 1 / effective_size(b) for a, b in zip(*halves, strict=True)]
    scaled = limits * sum(sizes) / np.array(here)
    return float(np.mean(scaled + noise)), math.hypot(np.std(scaled, ddof=1), np.std(noise, ddof=1))


def _halves(
    x: Rows, halves: tuple[Counts, Counts], size: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " splits"], Float[np.ndarray, " splits"]]:
    """The discrepancy of the halves of each split, and what the protocol's batches add to it."""
    p, q = (h / h.sum(axis=1, keepdims=True) for h in halves)
    a, b = (
        rng.multinomial(size, np.repeat(share, BATCHES, axis=0)).astype(np.float64)
        for share in (p, q)
    )
    aa, bb, difference, limits = np.split(
        _form(x, np.concatenate([a, b, a - b, p - q])), np.cumsum([len(a)] * 3)
    )
    within = (aa + bb - (a + b) @ _diagonal(x)) / (size * (size - 1))
    batches = within - (aa + bb - difference) / size**2
    return limits, np.median(batches.reshape(-1, BATCHES), axis=1) - limits
