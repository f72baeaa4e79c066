"""Histograms of observables hold what the observables are, with weights."""

from pathlib import Path

import hist
import numpy as np
import pytest
import torch

from caloforge import zoo
from caloforge.hits import Hits
from caloforge.io import convert, open_showers
from caloforge.observables import (
    ENERGY_SUM,
    N_HITS,
    PROFILE_R,
    SPECTRUM,
    Entry,
    Observable,
    Scale,
    catalogue,
)
from caloforge.showers import Showers

SHOWERS = zoo.bundled_showers("par04-geant4")[:40]
OBSERVABLES = catalogue(SHOWERS.calorimeter)


def weighted() -> Showers:
    return Showers(
        SHOWERS.deposits, SHOWERS.particles, SHOWERS.calorimeter, torch.linspace(0, 2, 40)
    )


@pytest.mark.parametrize("observable", OBSERVABLES, ids=lambda o: o.name)
def test_nothing_is_lost_or_invented(observable: Observable) -> None:
    showers, n_cells = weighted(), SHOWERS.calorimeter.n_cells
    found = observable.histogram(showers, 20)
    values = observable.function(showers).double().numpy()
    weights = showers.weights.double().numpy()  # type: ignore[union-attr]
    totals = {
        Entry.SHOWER: weights.sum(),
        Entry.SERIES: weights.sum() * len(observable.labels_of(showers.calorimeter)),
        Entry.CELL: weights.sum() * n_cells,
        Entry.POSITION: (weights[:, None] * values).sum() if values.ndim == 2 else 0.0,
    }
    expected = totals[observable.entry]
    if observable.scale is Scale.LOG:
        rows = np.broadcast_to(weights.reshape(-1, *[1] * (values.ndim - 1)), values.shape)
        expected = rows[values > observable.threshold].sum()
    assert isinstance(found, hist.Hist)
    assert found.sum().value == pytest.approx(expected, rel=1e-6)
    assert found.axes[-1].name == observable.name
    assert observable.title in found.axes[-1].label


def test_the_bins_are_those_of_numpy_and_errors_those_of_weights() -> None:
    showers, edges = weighted(), np.linspace(0, 2e5, 7)
    found = ENERGY_SUM.histogram(showers, list(edges))
    values, weights = ENERGY_SUM.function(showers).numpy(), showers.weights.numpy()  # type: ignore[union-attr]
    assert found.values() == pytest.approx(np.histogram(values, edges, weights=weights)[0])
    assert found.variances() == pytest.approx(np.histogram(values, edges, weights=weights**2)[0])


def test_a_profile_is_the_energy_at_each_position() -> None:
    found = PROFILE_R.histogram(SHOWERS)
    expected = PROFILE_R.function(SHOWERS).sum(dim=0).numpy()
    assert found.values() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("observable", [N_HITS, SPECTRUM], ids=lambda o: o.name)
def test_a_file_and_hits_give_the_same(observable: Observable, tmp_path: Path) -> None:
    convert(SHOWERS, tmp_path / "a.h5")
    expected = observable.histogram(SHOWERS)
    for source in (open_showers(tmp_path / "a.h5"), Hits.of(SHOWERS)):
        assert observable.histogram(source) == expected


def test_no_showers_and_no_spread_have_bins() -> None:
    assert ENERGY_SUM.histogram(SHOWERS[:0]).sum().value == 0
    assert ENERGY_SUM.histogram(SHOWERS[:1]).sum().value == 1


def test_an_observable_is_shown_in_a_line() -> None:
    for observable in OBSERVABLES:
        assert observable.title in repr(observable)
        assert len(repr(observable)) < 120
        assert observable._repr_html_().startswith("<table>")
