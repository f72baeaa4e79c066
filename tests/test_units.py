"""The one convention of units."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caloforge.errors import UnitError
from caloforge.units import GeV, MeV, TeV, cm, format_energy, keV, m, mm, parse_energy


def test_energies_are_in_mev_and_lengths_in_mm() -> None:
    assert (MeV, mm) == (1.0, 1.0)
    assert (1000 * keV, 1e-3 * GeV, 1e-6 * TeV) == (MeV, MeV, MeV)
    assert (10 * mm, 1000 * mm) == (cm, m)


@pytest.mark.parametrize(
    ("text", "energy"),
    [
        ("50GeV", 50e3),
        ("300 MeV", 300.0),
        (" 1.5TeV ", 1.5e6),
        ("15.15keV", 0.01515),
        ("1e3MeV", 1e3),
        ("2E-1GeV", 200.0),
        (".5GeV", 500.0),
    ],
)
def test_an_energy_is_read_with_its_unit(text: str, energy: float) -> None:
    assert parse_energy(text) == pytest.approx(energy, rel=1e-15)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "50",
        "GeV",
        "50 gev",
        "50Gev",
        "-5GeV",
        "0GeV",
        "nanGeV",
        "infGeV",
        "1e999GeV",
        "1.2.3GeV",
        ".GeV",
        "5eV",
        "5GeV:6GeV",
    ],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(
        UnitError, match="expected a positive number with its unit, such as 50GeV"
    ) as raised:
        parse_energy(text)
    assert f"'{text}'" in str(raised.value)


@given(st.floats(1e-6, 1e12))
def test_a_written_energy_reads_back_to_six_digits(energy: float) -> None:
    assert math.isclose(parse_energy(format_energy(energy)), energy, rel_tol=5.0001e-6)


@pytest.mark.parametrize(
    ("energy", "text"),
    [
        (5e4, "50 GeV"),
        (999.0, "999 MeV"),
        (1000.0, "1 GeV"),
        (0.5, "500 keV"),
        (1e-4, "0.1 keV"),
        (3.2e6, "3.2 TeV"),
    ],
)
def test_an_energy_is_written_in_the_unit_that_reads_best(energy: float, text: str) -> None:
    assert format_energy(energy) == text
