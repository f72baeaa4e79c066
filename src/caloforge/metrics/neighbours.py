r"""Precision, recall, density and coverage: do two samples lie in the same places of the space of
all voxels?

A ball around each of N showers :math:`x_i`, and of M showers :math:`y_j` of the candidate, reaches
to but does not include its k-th nearest neighbour in its own sample. With :math:`b_{ij} = 1` where
:math:`y_j` is in the ball of :math:`x_i`, and weights that sum to 1 (arXiv:1904.06991;
arXiv:2002.09797, eqs. 1-4): precision :math:`\sum_j v_j \max_i b_{ij}`; recall, the reverse;
density :math:`\frac{N}{k} \sum_{ij} w_i v_j b_{ij}`; coverage :math:`\sum_i w_i \max_j b_{ij}`.
What a perfect candidate has, and all errors, follow from the full simulation: see
docs/theory/distances.md.

Squared distances are taken in blocks, :math:`|x|^2 + |y|^2 - 2 x \cdot y`, in single precision; all
that decides is computed anew from the differences.
"""

__all__ = ["Neighbours", "Share", "log_voxels", "neighbours"]

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.metrics.resampling import Resampling, effective_size
from caloforge.metrics.scores import SIGMAS
from caloforge.units import MeV

CUTS = 20
"""Cuts are used up to this number."""

SPREAD = 1000
"""The most showers of a sample that are split in halves."""

SPARE = 2
"""Showers beyond the nearest that are measured in double precision, lest rounding has changed the
order.
"""

ROUNDING = 2.0**-16
"""A bound of the rounding of a squared distance, in units of the sum of the squared norms;
measured: 2**-19.
"""

BLOCK = 8 * 2**20
"""Bytes of a block of distances."""

PAIRS = 32
"""Pairs whose differences are held at a time."""

Quantities = Float[np.ndarray, " 4"]
Rows = Int[np.ndarray, " _"]


@dataclass(frozen=True)
class Share:
    """A number that neither large nor small values make good, beside what a second sample of the
    full simulation would give.

    Arguments:
        value: The number for all showers of both samples.
        error: Its standard deviation.
        expected: The mean of this number for a candidate of the distribution of the full simulation
            and of the candidate's size.
        expected_error: How far *one* such number would scatter about that.
    """

    value: float
    error: float
    expected: float
    expected_error: float

    @property
    def difference(self) -> float:
        """The value less the one expected."""
        return self.value - self.expected

    @property
    def resolved(self) -> bool:
        """Whether the value is farther from the one expected, on either side, than chance
        makes it.
        """
        return abs(self.difference) > SIGMAS * self.expected_error


@dataclass(frozen=True)
class Neighbours:
    """Precision, recall, density and coverage, from the k nearest neighbours; see the module's
    head.
    """

    precision: Share
    recall: Share
    density: Share
    coverage: Share
    k: int


def log_voxels(
    deposits: Float[Tensor, "showers voxels"], floor: float = 0.1 * MeV
) -> Float[Tensor, "showers voxels"]:
    """The decimal logarithms of deposits in MeV, empty voxels set to the floor, with shape
    (showers, voxels).

    Arguments:
        deposits: Energies of the voxels, at least 0, in MeV, with shape (showers, voxels).
        floor: The energy that stands for 0, positive, in MeV; 0.1 MeV in the CaloChallenge.
    """
    return torch.where(deposits > 0, deposits, floor).log10()


def neighbours(
    full: Float[Tensor, "n features"],
    candidate: Float[Tensor, "m features"],
    resampling: Resampling,
    k: int = 5,
) -> Neighbours:
    """Precision, recall, density and coverage of two samples in Euclidean distance.

    The distances are held a block at a time: 10,000 showers against 10,000 take less memory than a
    copy of both samples.

    Arguments:
        full: The vectors of the full simulation, finite, with shape (N, F).
        candidate: The vectors of the candidate, with shape (M, F).
        resampling: The weights of both samples, of which those with weight 0 are left out; the
            first 20 splits are used.
        k: The number of neighbours, at least 1.

    Raises:
        ShowerValueError: A sample has not as many rows as the resampling has showers, or fewer than
            2 k + 4 with a weight, or a feature is not finite.
    """
    pair = _pair(full, candidate, resampling, k)
    values, expected = _whole(pair, k)
    errors, expected_errors = (
        np.maximum(s, _least(pair, q))
        for s, q in zip(_spread(pair, k), (values, expected), strict=True)
    )
    rows = zip(values, errors, expected, expected_errors, strict=True)
    precision, recall, density, coverage = (Share(*map(float, row)) for row in rows)
    return Neighbours(precision, recall, density, coverage, k)


class _Points:
    """Vectors, a copy of them about a centre in single precision, and their weights."""

    def __init__(
        self,
        x: Float[Tensor, "rows features"],
        centre: Float[Tensor, " features"],
        weights: np.ndarray,
    ) -> None:
        self.x, self.centre, self.weights = x, centre, weights
        self.centred = (x - centre).float()
        self.norms = torch.linalg.vector_norm(self.centred, dim=1).square()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Int[np.ndarray, " rows"]) -> "_Points":
        return _Points(
            self.x[torch.from_numpy(rows).to(self.x.device)], self.centre, self.weights[rows]
        )

    @property
    def shares(self) -> Float[np.ndarray, " rows"]:
        """The weights, of sum 1."""
        return _shares(self.weights)


@dataclass(frozen=True, eq=False)
class _Pair:
    """The showers of both samples that count, and which of the full simulation are in each half of
    each split.
    """

    full: _Points
    candidate: _Points
    halves: tuple[Bool[np.ndarray, "splits n"], Bool[np.ndarray, "splits n"]]


@dataclass(frozen=True, eq=False)
class _Graph:
    """The nearest neighbours within a sample: squared radii of the balls, and who is in a ball that
    left it out.

    Arguments:
        radii: Squared distances to the k-th neighbour, with shape (N).
        rows: The neighbours in increasing distance, with shape (N, at least k).
        inside: Whether these are in the ball once it is made without them, with shape (N, at least
            k).
    """

    radii: Float[Tensor, " n"]
    rows: Int[Tensor, "n neighbours"]
    inside: Bool[Tensor, "n neighbours"]


def _shares(weights: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    return np.asarray(weights / weights.sum())


def _pair(full: Tensor, candidate: Tensor, resampling: Resampling, k: int) -> _Pair:
    weights = [resampling.full[0], resampling.candidate[0]]
    if [len(full), len(candidate)] != [len(w) for w in weights]:
        msg = (
            f"{len(full)} and {len(candidate)} vectors for {len(weights[0])} and "
            f"{len(weights[1])} showers: expected as many"
        )
        raise ShowerValueError(msg)
    kept = [np.flatnonzero(w) for w in weights]
    if min(map(len, kept)) < 2 * k + 4:
        msg = (
            f"{len(kept[0])} and {len(kept[1])} showers with a weight: {k} neighbours need at "
            f"least {2 * k + 4}"
        )
        raise ShowerValueError(msg)
    centre = full.mean(dim=0)
    points = [
        _points(x, centre, w, rows)
        for x, w, rows in zip((full, candidate), weights, kept, strict=True)
    ]
    return _Pair(
        points[0],
        points[1],
        (resampling.halves[0][:CUTS, kept[0]] > 0, resampling.halves[1][:CUTS, kept[0]] > 0),
    )


def _points(
    x: Tensor, centre: Tensor, weights: np.ndarray, rows: Int[np.ndarray, " rows"]
) -> _Points:
    points = _Points(
        x if len(rows) == len(x) else x[torch.from_numpy(rows).to(x.device)], centre, weights[rows]
    )
    if not bool(torch.isfinite(points.norms).all()):
        msg = (
            f"the vector of shower {int(rows[int((~torch.isfinite(points.norms)).nonzero()[0])])} "
            "is not finite"
        )
        raise ShowerValueError(msg)
    return points


def _whole(pair: _Pair, k: int) -> tuple[Quantities, Quantities]:
    """The four numbers for all showers, and those expected."""
    full, candidate = pair.full, pair.candidate
    own, other = _graph(full, k), _graph(candidate, k)
    tally = _Tally(full.shares, candidate.shares, k)
    step = _step(len(candidate))
    for start in range(0, len(full), step):
        rows = slice(start, start + step)
        tally.add(rows, *_inside(full, candidate, rows, own.radii, other.radii))
    return tally.quantities, _expected(
        own, full.shares, len(candidate), _recalled(full, own, len(candidate), k), k
    )


def _recalled(full: _Points, own: _Graph, size: int, k: int) -> float:
    """The recall expected of a candidate of some size."""
    if size + 1 >= len(full):
        return _left_out_hit(own, full.shares)
    few = full[np.random.default_rng(size).permutation(len(full))[: size + 1]]
    return _left_out_hit(_graph(few, k), few.shares)


def _expected(
    graph: _Graph, shares: Float[np.ndarray, " n"], size: int, recall: float, k: int
) -> Quantities:
    """What to expect of a perfect candidate of some size, by the module's head."""
    n = len(shares)
    empty = math.prod((n - 1 - i) / (n + size - 1 - i) for i in range(k))
    there = _numpy(graph.radii > 0)
    held = (shares[_numpy(graph.rows)] * _numpy(graph.inside)).sum(axis=1)
    return np.array(
        [
            _left_out_hit(graph, shares),
            recall,
            n / k * (shares @ held),
            (1 - empty) * (shares @ there),
        ]
    )


def _left_out_hit(graph: _Graph, shares: Float[np.ndarray, " n"]) -> float:
    """The share of showers that are in a ball of the others."""
    return float(shares[np.unique(_numpy(graph.rows[graph.inside]))].sum())


class _Tally:
    """Counts who is in whose ball, a block of the full simulation at a time."""

    def __init__(
        self, full: Float[np.ndarray, " n"], candidate: Float[np.ndarray, " m"], k: int
    ) -> None:
        self.full, self.candidate, self.k = full, candidate, k
        self.hit = np.zeros(len(candidate), dtype=bool)
        self.recall = self.density = self.coverage = 0.0

    def add(
        self, rows: slice, in_full: Bool[Tensor, "rows m"], in_candidate: Bool[Tensor, "rows m"]
    ) -> None:
        """Count some showers of the full simulation against all of the candidate."""
        shares, m = self.full[rows], len(self.candidate)
        held = (
            _numpy(in_full.double() @ torch.as_tensor(self.candidate * m, device=in_full.device))
            / m
        )
        self.hit |= _numpy(in_full.any(dim=0))
        self.recall += float(shares @ _numpy(in_candidate.any(dim=1)))
        self.density += float(shares @ held) * len(self.full) / self.k
        self.coverage += float(shares @ _numpy(in_full.any(dim=1)))

    @property
    def quantities(self) -> Quantities:
        """Precision, recall, density and coverage."""
        return np.array([self.candidate @ self.hit, self.recall, self.density, self.coverage])


def _numpy(x: Tensor) -> np.ndarray:
    return np.asarray(x.cpu().numpy())


def _squared(a: _Points, b: _Points, rows: slice, columns: slice) -> Float[Tensor, "rows columns"]:
    squared = torch.addmm(b.norms[columns], a.centred[rows], b.centred[columns].T, alpha=-2)
    return squared.add_(a.norms[rows, None])


def _step(columns: int) -> int:
    return max(1, BLOCK // (4 * columns))


def _graph(points: _Points, k: int) -> _Graph:
    rows = _candidates(points, k + 1 + SPARE)
    own = torch.arange(len(points), device=rows.device)[:, None].expand_as(rows)
    squared = _exact(points, points, own.flatten(), rows.flatten()).view(rows.shape)
    return _Graph(*_closest(squared, rows, k))


def _candidates(points: _Points, count: int) -> Int[Tensor, "n count"]:
    """The nearest others of each, as far as single precision tells; each pair is taken once."""
    n = len(points)
    nearest = _Nearest(n, min(count, n - 1), points.norms)
    for start in range(0, n, _step(n)):
        rows = slice(start, min(start + _step(n), n))
        squared = _squared(points, points, rows, slice(start, n)).fill_diagonal_(torch.inf)
        nearest.add(rows, squared, start)
        nearest.add(slice(rows.stop, n), squared[:, rows.stop - start :].T, start)
    return nearest.rows


class _Nearest:
    """The nearest found so far, n lists of some length."""

    def __init__(self, n: int, count: int, like: Tensor) -> None:
        self.squared = like.new_full((n, count), torch.inf)
        self.rows = torch.zeros((n, count), dtype=torch.int64, device=like.device)

    def add(self, lists: slice, squared: Float[Tensor, "lists others"], start: int) -> None:
        """Offer others, numbered from a start, to some lists."""
        count = self.rows.shape[1]
        new = squared.topk(min(count, squared.shape[1]), largest=False)
        rows = torch.cat([self.rows[lists], new.indices + start], dim=1)
        self.squared[lists], order = torch.cat([self.squared[lists], new.values], dim=1).topk(
            count, largest=False
        )
        self.rows[lists] = rows.gather(1, order)


def _closest(
    squared: Float[Tensor, "n c"], rows: Int[Tensor, "n c"], k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Radii, neighbours and whether they are in the ball without them, from the squared distances
    to some others.
    """
    squared, order = squared.sort(dim=1, stable=True)
    return squared[:, k - 1], rows.gather(1, order)[:, :k], squared[:, :k] < squared[:, k, None]


def _exact(
    a: _Points, b: _Points, i: Int[Tensor, " pairs"], j: Int[Tensor, " pairs"]
) -> Float[Tensor, " pairs"]:
    """Squared distances of pairs, from their differences in double precision."""
    squared = i.new_zeros(len(i), dtype=torch.float64)
    for start in range(0, len(i), PAIRS):
        pairs = slice(start, start + PAIRS)
        difference = a.x[i[pairs]] - b.x[j[pairs]]
        squared[pairs] = torch.linalg.vector_norm(difference, dim=1, dtype=torch.float64).square_()
    return squared


def _inside(
    full: _Points,
    candidate: _Points,
    rows: slice,
    full_radii: Float[Tensor, " n"],
    candidate_radii: Float[Tensor, " m"],
) -> tuple[Bool[Tensor, "rows m"], Bool[Tensor, "rows m"]]:
    """Who of the candidate is in the balls of some of the full simulation, and these in the balls
    of the candidate.
    """
    squared = _squared(full, candidate, rows, slice(None))
    rounding = ROUNDING * (full.norms[rows, None] + candidate.norms)
    bounds = full_radii[rows, None], candidate_radii[None]
    inside = []
    for bound in bounds:
        single = bound.float()
        within = squared < single
        i, j = (((squared - single).abs_() <= rounding) & (single > 0)).nonzero(as_tuple=True)
        within &= single > 0
        within[i, j] = (
            _exact(full, candidate, i + rows.start, j) < bound.expand(squared.shape)[i, j]
        )
        inside.append(within)
    return inside[0], inside[1]


@dataclass(frozen=True, eq=False)
class _Few:
    """Some showers of both samples with all their squared distances, 0 where that is rounding,
    infinite to themselves.

    Arguments:
        full: Their weights in the full simulation, with shape (n).
        candidate: Their weights in the candidate, with shape (m).
        within_full: Squared distances, with shape (n, n).
        within_candidate: As before, with shape (m, m).
        between: As before, with shape (n, m).
    """

    full: Float[np.ndarray, " n"]
    candidate: Float[np.ndarray, " m"]
    within_full: Float[Tensor, "n n"]
    within_candidate: Float[Tensor, "m m"]
    between: Float[Tensor, "n m"]


@dataclass(frozen=True, eq=False)
class _Split:
    """Showers of one split.

    Arguments:
        full: A half of the full simulation.
        candidate: A half of the candidate.
        own: A half of the full simulation, or so many of it that `own` and `other` are in the ratio
            of the samples' sizes.
        other: Of the other half of the full simulation.
    """

    full: Rows
    candidate: Rows
    own: Rows
    other: Rows


def _spread(pair: _Pair, k: int) -> tuple[Quantities, Quantities]:
    """The errors of the four numbers and of those expected, from splits in halves."""
    few, splits = _few(pair, k)
    values = [_value(few, split, k) for split in splits]
    misses = [_miss(few, split, k) for split in splits]
    whole = _inverse_size(pair.full.weights) + _inverse_size(pair.candidate.weights)
    size = _inverse_size(few.full) + _inverse_size(few.candidate)
    parts = np.mean(
        [
            _inverse_size(few.full[split.own]) + _inverse_size(few.full[split.other])
            for split in splits
        ]
    )
    error, scatter = (np.std(numbers, axis=0, ddof=1) for numbers in (values, misses))
    return error * math.sqrt(whole / size), scatter * math.sqrt(whole / parts)


def _least(pair: _Pair, quantities: Quantities) -> Quantities:
    """The errors of shares of independent showers; the density is none."""
    full, candidate = _inverse_size(pair.full.weights), _inverse_size(pair.candidate.weights)
    p = quantities.clip(0, 1)
    return np.asarray(np.sqrt(p * (1 - p) * [candidate, full, 0, full]))


def _inverse_size(weights: Float[np.ndarray, " n"]) -> float:
    return 1 / effective_size(weights)


def _few(pair: _Pair, k: int) -> tuple[_Few, list[_Split]]:
    """Random showers of both samples in the ratio of their sizes, the same rows where there are as
    many of each, and splits.
    """
    rng = np.random.default_rng(len(pair.full))
    n, m = len(pair.full), len(pair.candidate)
    part = min(1.0, SPREAD / max(n, m))
    rows = rng.permutation(n)[: max(round(part * n), 2 * k + 4)]
    others = rows if n == m else rng.permutation(m)[: max(round(part * m), 2 * k + 4)]
    full, candidate = pair.full[rows], pair.candidate[others]
    within = [_apart(x, x).fill_diagonal_(torch.inf) for x in (full, candidate)]
    few = _Few(full.weights, candidate.weights, within[0], within[1], _apart(full, candidate))
    return few, _splits(rng, [half[:, rows] for half in pair.halves], len(others), k)


def _splits(
    rng: np.random.Generator, halves: list[Bool[np.ndarray, "splits n"]], m: int, k: int
) -> list[_Split]:
    """Which showers are in the halves, given m showers of the candidate."""
    n = halves[0].shape[1]
    size = min(int(half.sum(axis=1).min()) for half in halves)
    if size < k + 2:
        msg = (
            f"a half of the full simulation has {size} showers with a weight: {k} neighbours need "
            f"at least {k + 2}"
        )
        raise ShowerValueError(msg)
    own, other = (max(k + 2, round(size * min(1.0, ratio))) for ratio in (n / m, m / n))
    splits = []
    for first, second in zip(*halves, strict=True):
        a, b = np.flatnonzero(first)[:size], np.flatnonzero(second)[:size]
        splits.append(_Split(a, a if n == m else rng.permutation(m)[: m // 2], a[:own], b[:other]))
    return splits


def _apart(a: _Points, b: _Points) -> Float[Tensor, "n m"]:
    """All squared distances in single precision, 0 where they are rounding."""
    squared = _squared(a, b, slice(None), slice(None))
    return squared.masked_fill_(squared <= ROUNDING * (a.norms[:, None] + b.norms), 0.0)


def _value(few: _Few, split: _Split, k: int) -> Quantities:
    """The numbers for a half of each sample."""
    own = _near(_part(few.within_full, split.full, split.full), k)
    other = _near(_part(few.within_candidate, split.candidate, split.candidate), k)
    shares = _shares(few.full[split.full]), _shares(few.candidate[split.candidate])
    return _quantities(_part(few.between, split.full, split.candidate), own, other, *shares, k)


def _miss(few: _Few, split: _Split, k: int) -> Quantities:
    """The numbers for two parts of the full simulation, less what these let expect."""
    own, other = (_near(_part(few.within_full, rows, rows), k) for rows in (split.own, split.other))
    a, b = _shares(few.full[split.own]), _shares(few.full[split.other])
    found = _quantities(_part(few.within_full, split.own, split.other), own, other, a, b, k)
    return np.asarray(found - _expected(own, a, len(b), _left_out_hit(other, b), k))


def _part(squared: Float[Tensor, "n m"], rows: Rows, columns: Rows) -> Float[Tensor, "a b"]:
    i, j = (torch.from_numpy(x).to(squared.device) for x in (rows, columns))
    return squared[i][:, j]


def _near(squared: Float[Tensor, "n n"], k: int) -> _Graph:
    nearest = squared.topk(k + 1, largest=False)
    return _Graph(*_closest(nearest.values, nearest.indices, k))


def _quantities(
    squared: Tensor,
    own: _Graph,
    other: _Graph,
    full: Float[np.ndarray, " n"],
    candidate: Float[np.ndarray, " m"],
    k: int,
) -> Quantities:
    """The four numbers from all squared distances at once."""
    tally = _Tally(full, candidate, k)
    tally.add(slice(0, len(full)), squared < own.radii[:, None], squared < other.radii)
    return tally.quantities
