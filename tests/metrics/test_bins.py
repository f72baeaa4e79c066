"""Bins hold what numpy's histograms hold; the largest value is inside whatever the rounding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caloforge.metrics import Bins
from caloforge.metrics.bins import BINS, each_position, equal_bins, up_to_largest

VALUES = st.lists(st.floats(min_value=-100, max_value=100, width=32), min_size=1, max_size=50)


@given(VALUES)
def test_without_flow_it_is_numpys_histogram(values: list[float]) -> None:
    bins = Bins(np.linspace(-50, 50, 21), flow=False)
    counts = np.bincount(bins.index(np.array(values)), minlength=len(bins) + 1)
    assert len(bins) == 20
    assert counts[:20].tolist() == np.histogram(values, bins=bins.edges)[0].tolist()


@given(VALUES)
def test_with_flow_nothing_is_lost(values: list[float]) -> None:
    bins = Bins(np.linspace(-50, 50, 21))
    index = bins.index(np.array(values))
    assert len(bins) == 22
    assert ((index >= 0) & (index < 22)).all()
    assert ((index == 0) == (np.array(values) < -50)).all()
    assert ((index == 21) == (np.array(values) > 50)).all()


@given(st.floats(min_value=0.02, max_value=1e6))
def test_the_largest_value_is_in_the_last_bin(largest: float) -> None:
    edges = up_to_largest(0.0151515, np.array([0.02, largest]), 40)
    assert len(edges) == 40
    assert Bins(edges, flow=False).index(np.array([largest])) == 38
    assert edges[-1] == pytest.approx(largest, rel=1e-12)


def test_values_below_the_threshold_alone_still_give_bins() -> None:
    bins = Bins(up_to_largest(1.0, np.zeros(5), BINS + 1))
    assert (np.diff(bins.edges) >= 0).all()
    assert bins.index(np.zeros(5)).tolist() == [0] * 5


def test_whole_numbers_get_bins_of_whole_width() -> None:
    bins = equal_bins(np.arange(7))
    assert bins.index(np.arange(7)).tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_a_constant_gets_bins_around_it() -> None:
    for constant in (0.0, 3.0, -2.0):
        bins = equal_bins(np.full(10, constant))
        assert bins.edges[0] < constant < bins.edges[-1]


def test_every_position_has_its_own_bin() -> None:
    positions = np.array([-1.0, 0.0, 10.0])
    assert each_position(positions).index(positions).tolist() == [0, 1, 2]
