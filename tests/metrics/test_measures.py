"""Measures: codes of energies are fine and ordered, masses are those of plain weighted counting."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caloforge.calorimeter import pbwo4_crystals
from caloforge.errors import ShowerValueError
from caloforge.metrics import Measure, common_measures, decode, encode
from caloforge.observables import LOG_SPECTRUM, N_HITS, PROFILE_X, SPECTRUM, Scale

CRYSTALS = pbwo4_crystals()


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


def test_the_mass_is_that_of_plain_counting() -> None:
    rng = np.random.default_rng(0)
    index, weights, counts = rng.integers(6, size=(20, 3)), rng.random((20, 3)), rng.integers(3, size=20)
    expected = np.zeros(6)
    for i in range(20):
        for k in range(3):
            expected[index[i, k]] += counts[i] * weights[i, k]
    mass = Measure(np.arange(6.0), index, weights).mass(counts)
    np.testing.assert_allclose(mass, expected / expected.sum(), rtol=1e-12)


def test_counting_in_parts_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    measure = Measure(np.arange(9.0), rng.integers(9, size=(50, 4)), rng.random((50, 4)))
    counts = rng.integers(3, size=50)
    whole = measure.mass(counts)
    monkeypatch.setattr("caloforge.metrics.measures._ENTRIES_AT_ONCE", 13)
    np.testing.assert_allclose(measure.mass(counts), whole, rtol=1e-12)


def test_entries_off_the_line_are_not_counted() -> None:
    measure = Measure(np.array([10.0, 20.0]), np.array([[0, 1], [2, 3], [1, 2]]), start=1)
    assert measure.mass().tolist() == [2 / 4, 2 / 4]


def test_no_entry_on_the_line_is_an_error() -> None:
    with pytest.raises(ShowerValueError, match="none of 2 showers"):
        Measure(np.array([1.0]), np.array([[0], [0]]), start=1).mass()


def test_samples_of_different_size_get_common_positions() -> None:
    a, b = common_measures(N_HITS, CRYSTALS, [np.array([3, 5, 3]), np.array([4, 5])])
    assert a.positions is b.positions
    assert a.positions.tolist() == [3, 4, 5]
    assert a.mass().tolist() == [2 / 3, 0, 1 / 3]
    assert b.mass().tolist() == [0, 1 / 2, 1 / 2]


def test_the_linear_spectrum_counts_empty_cells_and_the_logarithmic_one_does_not() -> None:
    cells = torch.tensor([[0.0, 0.0005, 1.0, 100.0]])
    [linear] = common_measures(SPECTRUM, CRYSTALS, [encode(cells)])
    [log] = common_measures(LOG_SPECTRUM, CRYSTALS, [encode(cells)])
    assert linear.positions @ linear.mass() == pytest.approx(float(cells.mean()), rel=2**-11)
    assert log.positions @ log.mass() == pytest.approx(1.0)


def test_a_logarithmic_line_needs_a_value_above_its_threshold() -> None:
    with pytest.raises(ShowerValueError, match=r"no value exceeds 0\.001 MeV"):
        common_measures(LOG_SPECTRUM, CRYSTALS, [encode(torch.zeros(3, 100))])


def test_on_a_logarithmic_line_a_value_must_exceed_the_threshold() -> None:
    observable = replace(N_HITS, scale=Scale.LOG, threshold=4.0)
    [measure] = common_measures(observable, CRYSTALS, [np.array([3, 4, 4, 10, 100, 100])])
    assert measure.positions.tolist() == [1.0, 2.0]
    assert measure.mass().tolist() == [1 / 3, 2 / 3]


def test_a_profile_weights_positions_with_energies() -> None:
    energies = np.zeros((2, 10))
    energies[0, 2], energies[1, 7] = 3.0, 1.0
    [profile] = common_measures(PROFILE_X, CRYSTALS, [energies])
    assert profile.positions.tolist() == [30 * i - 135 for i in range(10)]
    assert profile.positions @ profile.mass() == pytest.approx((3 * -75 + 75) / 4)
