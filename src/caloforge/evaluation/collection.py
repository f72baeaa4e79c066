"""Reading a sample once, a batch at a time: all that distances, classifiers and figures need.

Of every shower are kept its observables, its high-level features and its layer energies, some
hundred to some thousand numbers, and its weight in each resampling: with R replicas and C splits
2 + 2 R + 2 C numbers for a pair of showers. Cell energies are counted by energy in the sample and
in each of its resamplings at once (`caloforge.metrics.measures.CellCounts`), whatever the number of
cells. Whole showers are kept of the first ones alone, at most `Plan.kept` of a sample, and of five
examples.
"""

__all__ = ["Collected", "Plan", "collect", "example", "weights_of"]

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from caloforge.evaluation.copies import fingerprints
from caloforge.evaluation.findings import Example, Sample, Settings, same_energies
from caloforge.hits import AnyShowers, Hits, batches_of, joined
from caloforge.io.input import require_deposits, require_hits
from caloforge.metrics.bins import Bins
from caloforge.metrics.correlations import layer_correlation
from caloforge.metrics.measures import CellCounts, Masses, Rows
from caloforge.observables import (
    Entry,
    Observable,
    Scale,
    high_level_features,
    layer_energies,
)
from caloforge.published import Preset
from caloforge.showers import ShowerSource, spans

_FEATURES, _LAYERS = "high-level features", "energies of layers"
_FINGERPRINTS = "fingerprints"
_EXAMPLES_AT = (0.02, 0.25, 0.5, 0.75, 0.98)


@dataclass(frozen=True)
class Plan:
    """What to keep of every sample, and how to compare.

    Arguments:
        observables: The observables.
        threshold: The energy at or below which a cell counts as empty in the high-level features,
            in MeV.
        cell_bins: The exact bins in which cell energies are counted, too; None for none.
        preset: The benchmark whose bins are taken where it has some; None for the standard ones.
        settings: How carefully to compare.
    """

    observables: tuple[Observable, ...]
    threshold: float
    cell_bins: Bins | None
    preset: Preset | None
    settings: Settings

    @property
    def of_showers(self) -> tuple[Observable, ...]:
        """The observables with one value a shower, on a linear scale."""
        return tuple(
            o for o in self.observables if o.entry is Entry.SHOWER and o.scale is Scale.LINEAR
        )

    @property
    def kept(self) -> int:
        """The number of showers, from the first on, that classifiers and neighbours see whole."""
        settings = self.settings
        return max(
            settings.classifier_showers if settings.classifiers else 0, settings.neighbour_showers
        )


@dataclass(frozen=True, eq=False)
class Collected:
    """A sample as read, with its cells counted in one set of weights.

    Arguments:
        sample: What the evaluation keeps.
        first: The first `Plan.kept` showers, whole, sparse where the source is.
        cells: The cells by code.
        binned: The cells in the plan's bins; None without such bins.
    """

    sample: Sample
    first: AnyShowers
    cells: Masses
    binned: Masses | None


class _Columns:
    """What is kept of each of n showers, filled in batch by batch, so that nothing is
    held twice.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self.values: dict[str, np.ndarray] = {}

    def put(self, name: str, rows: slice, found: Tensor) -> None:
        """Keep what was found in some showers."""
        part = found.cpu().numpy()
        if name not in self.values:
            self.values[name] = np.empty((self._n, *part.shape[1:]), part.dtype)
        self.values[name][rows] = part


@dataclass(eq=False)
class _Whole:
    """The showers that are kept whole: examples by their rows, and the first ones."""

    rows: Int[np.ndarray, " examples"]
    kept: int
    found: dict[int, Example] = field(default_factory=dict)
    parts: list[AnyShowers] = field(default_factory=list)

    def put(self, span: slice, batch: AnyShowers) -> None:
        """Keep what is wanted of the showers of these rows."""
        for row in self.rows[(self.rows >= span.start) & (self.rows < span.stop)]:
            self.found[int(row)] = example(batch, int(row), span.start)
        if span.start <= self.kept:
            some = slice(self.kept - span.start)
            self.parts.append(batch.sparse(some) if isinstance(batch, Hits) else batch[some])

    @property
    def examples(self) -> tuple[Example, ...]:
        """The examples, in the order of their rows."""
        return tuple(self.found[int(row)] for row in self.rows)

    @property
    def first(self) -> AnyShowers:
        """The first showers."""
        return joined(self.parts)


def weights_of(source: ShowerSource) -> Float[np.ndarray, " showers"]:
    """The weight of each shower, 1 each where the source carries none."""
    weights = source.weights
    return np.ones(len(source)) if weights is None else weights.double().cpu().numpy()


def collect(
    name: str,
    source: ShowerSource,
    plan: Plan,
    rows: Sequence[Rows],
    like: Sample | None = None,
) -> tuple[Collected, ...]:
    """Read a sample, once.

    Arguments:
        name: Its name.
        source: The showers.
        plan: What to keep.
        rows: Sets of weights of its showers in which cells are counted, with shape (T, N) each; of
            the first set the sample keeps the rows of the replicas for figures.
        like: The sample whose example showers are matched in energy; None to choose them.

    Returns:
        The sample with its cells counted in each set of weights.

    Raises:
        ShowerValueError: A deposit is not finite and at least 0.
    """
    particles, counts = source.particles, [CellCounts(weights) for weights in rows]
    bins = plan.cell_bins
    binned = [] if bins is None else [CellCounts(weights, bins) for weights in rows]
    energies, weights = source.energies.double().cpu().numpy(), weights_of(source)
    whole = _Whole(_example_rows(energies, like), plan.kept)
    columns, total = _Columns(len(source)), np.zeros(source.calorimeter.n_cells)
    size = plan.settings.batch_size
    for span, batch in zip(spans(len(source), size), batches_of(source, size), strict=True):
        _require_energies(batch, f"sample '{name}'", range(span.start, span.stop))
        for count in (*counts, *binned):
            count.add(batch if isinstance(batch, Hits) else batch.deposits)
        total += _weighted_sum(batch, weights[span])
        whole.put(span, batch)
        _observe(columns, span, batch, plan)
    layers, features, prints = (
        columns.values.pop(key) for key in (_LAYERS, _FEATURES, _FINGERPRINTS)
    )
    sample = Sample(
        name=name,
        calorimeter=source.calorimeter,
        species=particles.species,
        energies=energies,
        weights=weights,
        weighted=source.weights is not None,
        values=columns.values,
        cells=counts[0].masses[: 1 + plan.settings.replicas],
        features=features,
        fingerprints=prints,
        correlation=layer_correlation(layers, weights),
        mean=total / weights.sum(),
        examples=whole.examples,
        particles=particles,
    )
    first = whole.first
    return tuple(
        Collected(sample, first, count.masses, of_bins.masses if of_bins else None)
        for count, of_bins in zip_longest(counts, binned)
    )


def _require_energies(batch: AnyShowers, where: str, rows: range) -> None:
    if isinstance(batch, Hits):
        require_hits(batch.hit_energies, batch.offsets, where, rows)
    else:
        require_deposits(batch.deposits, where, rows)


def _weighted_sum(
    batch: AnyShowers, weights: Float[np.ndarray, " showers"]
) -> Float[np.ndarray, " cells"]:
    """The energy of each cell, summed over weighted showers."""
    if not isinstance(batch, Hits):
        weighted: np.ndarray = weights @ batch.deposits.double().cpu().numpy()
        return weighted
    hits, n_cells = batch.to("cpu"), batch.calorimeter.n_cells
    energies = hits.hit_energies.double().numpy() * weights[hits.shower_of_hit.numpy()]
    return np.bincount(hits.cells.numpy(), energies, n_cells)


def _observe(columns: _Columns, span: slice, batch: AnyShowers, plan: Plan) -> None:
    """Keep the observables, the features and the layer energies of some showers."""
    for observable in plan.observables:
        if observable.entry is not Entry.CELL:
            columns.put(observable.name, span, observable.function(batch))
    columns.put(_FEATURES, span, high_level_features(batch, plan.threshold))
    columns.put(_LAYERS, span, layer_energies(batch))
    columns.put(_FINGERPRINTS, span, fingerprints(batch))


def _example_rows(
    energies: Float[np.ndarray, " showers"], like: Sample | None
) -> Int[np.ndarray, " examples"]:
    """Showers at fixed quantiles of the energy; for a candidate the same rows, or else those
    nearest in energy.
    """
    if like is None:
        return np.argsort(energies, kind="stable")[[int(q * len(energies)) for q in _EXAMPLES_AT]]
    if same_energies(energies, like.energies):
        return np.array([example.row for example in like.examples])
    return np.array(
        [int(np.argmin(np.abs(energies - example.energy))) for example in like.examples]
    )


def example(showers: AnyShowers, row: int, first: int = 0) -> Example:
    """One shower of a sample.

    Arguments:
        showers: Showers of the sample, one after the other.
        row: The shower's row in the sample.
        first: The row of the first of ``showers``.
    """
    shower = showers[row - first : row - first + 1]
    deposits = shower.deposits[0].double().cpu().numpy()
    cells = np.flatnonzero(deposits)
    return Example(row, float(shower.energies[0]), cells, deposits[cells])
