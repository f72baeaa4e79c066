"""Codes of energies are fine and ordered; masses are those of plain weighted counting; nothing
depends on batches.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from caloforge.geometry import pbwo4_crystals
from caloforge.hits import Hits
from caloforge.metrics import Bins, CellCounts, compare_lines, resampling
from caloforge.metrics.bins import equal_bins
from caloforge.metrics.measures import decode, encode, histograms, of_cells
from caloforge.particles import Particles
from caloforge.showers import Showers


def shower_like(rng: np.random.Generator, n: int, cells: int = 100) -> torch.Tensor:
    """Cells over ten orders of magnitude, a third of them empty."""
    return torch.tensor(
        10 ** rng.uniform(-5, 4.5, size=(n, cells)) * (rng.random((n, cells)) < 0.67),
        dtype=torch.float32,
    )


def test_every_code_stands_for_one_energy() -> None:
    codes = np.arange(65536)
    energies = decode(codes)
    assert (np.diff(energies) > 0).all()
    assert (encode(torch.tensor(energies)[None, :])[0] == codes).all()


@given(st.floats(min_value=1.0, max_value=2.0**63, exclude_max=True, width=32))
def test_an_energy_moves_by_at_most_half_a_step(electronvolts: float) -> None:
    energy = float(np.float32(electronvolts) * np.float32(2.0**-20))
    [[coded]] = decode(encode(torch.tensor([[energy]])))
    assert abs(coded - energy) <= energy * 2**-11


def test_less_than_an_electronvolt_is_nothing() -> None:
    assert encode(torch.tensor([[0.0, 1e-30, 5e-7]])).tolist() == [[0, 0, 0]]
    assert encode(torch.tensor([[1e30]])).tolist() == [[65535]]


def test_the_masses_are_those_of_plain_counting() -> None:
    rng = np.random.default_rng(0)
    cells, rows = shower_like(rng, 12, 5), rng.random((3, 12))
    expected = np.zeros((3, 65536))
    for i, codes in enumerate(encode(cells)):
        for code in codes:
            expected[:, code] += rows[:, i]
    counts = CellCounts(rows)
    counts.add(cells)
    np.testing.assert_allclose(counts.masses, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bins", [None, Bins(np.geomspace(1e-3, 1e3, 30), flow=False)])
def test_hits_count_as_the_cells_they_are_in(bins: Bins | None) -> None:
    rng = np.random.default_rng(2)
    rows, particles = rng.random((4, 30)), Particles(torch.ones(30))
    showers = Showers(shower_like(rng, 30), particles, pbwo4_crystals())
    dense, sparse = CellCounts(rows, bins), CellCounts(rows, bins)
    dense.add(showers.deposits)
    sparse.add(Hits.of(showers[:7]))
    sparse.add(Hits.of(showers[7:]))
    np.testing.assert_allclose(sparse.masses, dense.masses, rtol=1e-12)
    again = CellCounts(rows, bins)
    again.add(Hits.of(showers))
    assert np.array_equal(again.masses, dense.masses)


def test_counting_in_parts_makes_no_difference() -> None:
    rng = np.random.default_rng(1)
    cells, rows = shower_like(rng, 30), rng.random((4, 30))
    whole, parts = CellCounts(rows), CellCounts(rows)
    whole.add(cells)
    for part in cells.split(7):
        parts.add(part)
    np.testing.assert_allclose(parts.masses, whole.masses, rtol=1e-12)


def test_given_bins_are_counted_exactly() -> None:
    rng = np.random.default_rng(2)
    cells, edges = shower_like(rng, 40), np.geomspace(1e-3, 1e3, 20)
    counts = CellCounts(np.ones((1, 40)), Bins(edges, flow=False))
    counts.add(cells)
    assert counts.masses[0, 1:].tolist() == np.histogram(cells.numpy(), bins=edges)[0].tolist()
    assert counts.masses.sum() == cells.numel()


def test_the_spectrum_is_scipys_to_the_stated_precision() -> None:
    rng = np.random.default_rng(2)
    a, b = shower_like(rng, 200), 1.3 * shower_like(rng, 150)
    pair = resampling(np.ones(200), np.ones(150), replicas=2, splits=2)
    counts = [CellCounts(rows) for rows in (pair.full_rows, pair.candidate_rows)]
    for count, cells in zip(counts, (a, b), strict=True):
        count.add(cells)
    line = of_cells(*(count.masses for count in counts))
    for part, on_line, bound in (
        (line, lambda x: x.flatten(), 2**-11 * float(a.mean() + b.mean())),
        (line.above(1e-3).in_decades(), lambda x: x[x > 1e-3].log10(), 2 * 2**-11 / np.log(10)),
    ):
        exact = stats.wasserstein_distance(on_line(a).numpy(), on_line(b).numpy())
        found = compare_lines(part, pair, equal_bins(part.positions)).comparison.distance.value
        assert abs(found - exact) < bound


def test_cells_of_one_shower_are_one_piece_of_evidence() -> None:
    values = torch.tensor(np.random.default_rng(6).random((300, 1)), dtype=torch.float32)
    pair = resampling(np.ones(300), np.ones(300))
    found = []
    for k in (1, 100):
        counts = [CellCounts(rows) for rows in (pair.full_rows, pair.candidate_rows)]
        for count in counts:
            count.add(values.expand(-1, k))
        line = of_cells(*(count.masses for count in counts))
        found.append(compare_lines(line, pair, equal_bins(line.positions)).comparison.distance)
    assert found[0].floor == pytest.approx(found[1].floor, rel=1e-9)
    assert found[0].error == pytest.approx(found[1].error, rel=1e-9)


def test_a_line_without_entries_is_empty() -> None:
    pair = resampling(np.ones(4), np.ones(4))
    counts = [CellCounts(rows) for rows in (pair.full_rows, pair.candidate_rows)]
    counts[0].add(torch.ones(4, 3))
    counts[1].add(torch.zeros(4, 3))
    line = of_cells(*(count.masses for count in counts))
    assert not line.empty
    assert line.above(0.5).empty


@given(st.lists(st.integers(min_value=0, max_value=7), min_size=1, max_size=30))
def test_histograms_are_numpys_and_leave_out_what_is_beyond(bins: list[int]) -> None:
    index, weights = np.array(bins), np.arange(1.0, len(bins) + 1)
    first, second = histograms(weights[None], (index, 5), (7 - index, 8))
    assert first[0].tolist() == np.bincount(index, weights, minlength=8)[:5].tolist()
    assert second[0].tolist() == np.bincount(7 - index, weights, minlength=8).tolist()
