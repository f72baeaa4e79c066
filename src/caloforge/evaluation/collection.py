"""Reading a sample once, a batch at a time: all that distances and figures need, in memory that
does not grow with its cells.

Of a shower are kept its observables and high-level features, some hundred numbers; cell energies
are counted by energy in the sample and in each of its resamplings at once
(`caloforge.metrics.measures.CellCounts`), whatever the number of cells.
"""

__all__ = ["Collected", "Plan", "collect", "example", "weights_of"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from caloforge.evaluation.findings import Example, Sample, same_energies
from caloforge.io.input import require_deposits
from caloforge.metrics.bins import Bins
from caloforge.metrics.correlations import layer_correlation
from caloforge.metrics.measures import CellCounts, Masses, Rows
from caloforge.observables import Entry, Observable, high_level_features, layer_energies
from caloforge.showers import Showers, ShowerSource, spans

_FEATURES, _LAYERS = "high-level features", "energies of layers"
_EXAMPLES_AT = (0.02, 0.25, 0.5, 0.75, 0.98)


@dataclass(frozen=True)
class Plan:
    """What to keep of every sample.

    Arguments:
        observables: The observables.
        threshold: The energy at or below which a cell counts as empty in the high-level features,
            in MeV.
        cell_bins: The exact bins in which cell energies are counted, too; None for none.
        batch_size: Number of showers read at a time.
    """

    observables: tuple[Observable, ...]
    threshold: float
    cell_bins: Bins | None
    batch_size: int


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


@dataclass(frozen=True, eq=False)
class Collected:
    """A sample as read.

    Arguments:
        sample: What the evaluation keeps.
        cells: The cells by code, for each of the given sets of weights.
        binned: The cells in the plan's bins, for each of the given sets of weights; empty without
            such bins.
    """

    sample: Sample
    cells: tuple[Masses, ...]
    binned: tuple[Masses, ...]


def weights_of(source: ShowerSource) -> Float[np.ndarray, " showers"]:
    """The weight of each shower, 1 each where the source carries none."""
    weights = source.weights
    return np.ones(len(source)) if weights is None else weights.double().cpu().numpy()


def collect(
    name: str,
    source: ShowerSource,
    plan: Plan,
    rows: Sequence[Rows],
    kept: int,
    like: Sample | None = None,
) -> Collected:
    """Read a sample.

    Arguments:
        name: Its name.
        source: The showers.
        plan: What to keep.
        rows: Sets of weights of its showers in which cells are counted, with shape (T, N) each.
        kept: Of the first set, how many rows the sample keeps for figures.
        like: The sample whose example showers are matched in energy; None to choose them.

    Raises:
        ShowerValueError: A deposit is not finite and at least 0.
    """
    counts = [CellCounts(weights) for weights in rows]
    binned = (
        [] if plan.cell_bins is None else [CellCounts(weights, plan.cell_bins) for weights in rows]
    )
    total, kept_of_showers, weights = (
        np.zeros(source.calorimeter.n_cells),
        _Columns(len(source)),
        weights_of(source),
    )
    for span, batch in zip(
        spans(len(source), plan.batch_size), source.batches(plan.batch_size), strict=True
    ):
        require_deposits(batch.deposits, f"sample '{name}'", range(span.start, span.stop))
        for count in (*counts, *binned):
            count.add(batch.deposits)
        total += weights[span] @ batch.deposits.double().cpu().numpy()
        for observable in plan.observables:
            if observable.entry is not Entry.CELL:
                kept_of_showers.put(observable.name, span, observable.function(batch))
        kept_of_showers.put(_FEATURES, span, high_level_features(batch, plan.threshold))
        kept_of_showers.put(_LAYERS, span, layer_energies(batch))
    energies, values = source.energies.double().cpu().numpy(), kept_of_showers.values
    sample = Sample(
        name=name,
        calorimeter=source.calorimeter,
        species=source.particles.species,
        energies=energies,
        weights=weights,
        weighted=source.weights is not None,
        values={key: column for key, column in values.items() if key not in (_FEATURES, _LAYERS)},
        cells=counts[0].masses[:kept],
        features=values[_FEATURES],
        correlation=layer_correlation(values[_LAYERS], weights),
        mean=total / weights.sum(),
        examples=tuple(example(source, int(row)) for row in _example_rows(energies, like)),
    )
    return Collected(sample, tuple(c.masses for c in counts), tuple(b.masses for b in binned))


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


def example(source: ShowerSource, row: int) -> Example:
    """One shower of a source, by its row."""
    shower: Showers = source[row : row + 1]
    deposits = shower.deposits[0].double().cpu().numpy()
    cells = np.flatnonzero(deposits)
    return Example(row, float(shower.energies[0]), cells, deposits[cells])
