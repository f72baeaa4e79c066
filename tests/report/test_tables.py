"""Tables and words: rounding, levels, what is said and what must be said."""

import math

import pytest
import torch

from caloforge.metrics import Auc, Distance, Network
from caloforge.report import COLUMNS, Evaluation, Settings, evaluate, remarks, table, title, verdict
from caloforge.report.tables import Level, auc_level, level, number, overall, rows, with_error
from caloforge.report.words import energy_range
from caloforge.showers import Particles, Showers
from caloforge.units import GeV
from tests.report.samples import QUICK, energies, judged, toy


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (76.816, 3.42, "77 ± 3"),
        (0.0019057, 0.000056, "0.00191 ± 0.00006"),
        (12.3, 0.14, "12.30 ± 0.14"),
        (496.3, 10.4, "496 ± 10"),
        (12345.0, 234.0, "12300 ± 200"),
        (0.5, 0.0996, "0.500 ± 0.100"),
        (0.0, 0.2, "0.0 ± 0.2"),
        (1.5, 0.0, "1.5 ± 0"),
    ],
)
def test_a_value_is_rounded_to_its_error(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.12"), (0.96, "1.0"), (3.14, "3.1"), (9.96, "10"), (1234.5, "1234"), (math.inf, "inf")]
)
def test_a_ratio_is_short(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "expected"), [(0.5, Level.FLOOR), (1.29, Level.FLOOR), (1.31, Level.CLOSE), (3.0, Level.CLOSE), (3.1, Level.APART)]
)
def test_the_levels_of_a_distance(value: float, expected: Level) -> None:
    assert level(Distance(value, 0.1, 1.0, 0.1, 100, 100)) is expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.49, Level.FLOOR), (0.52, Level.FLOOR), (0.59, Level.CLOSE), (0.61, Level.APART)]
)
def test_the_levels_of_an_auc(value: float, expected: Level) -> None:
    assert auc_level(Auc(value, 0.005, (), 2000, 2000)) is expected


def trained() -> Evaluation:
    energy = energies(100)
    settings = Settings(replicas=4, cuts=4, trainings=2, network=Network(widths=(8,), epochs=2))
    return evaluate(toy(energy), {"wide": toy(energy, width=30, seed=2), "a": toy(energy, seed=3)}, settings=settings)


def test_the_table_has_each_observable_with_each_candidate_and_the_classifier() -> None:
    evaluation = trained()
    lines = table(evaluation)
    assert {len(line) for line in lines} == {len(COLUMNS)}
    assert [line[1] for line in lines] == ["wide", "a"] * (len(evaluation.observables) + 1)
    assert lines[0][0] == "Total energy [MeV]"
    assert [line[0] for line in lines[-2:]] == ["Classifier AUC"] * 2
    assert lines[0][-1] == ""
    assert lines[1][-1] == number(evaluation.gain(evaluation.candidates[1], evaluation.observables[0]))
    assert rows(evaluation)[1].cells == lines[1]


def test_a_candidate_is_as_good_as_its_worst_number() -> None:
    evaluation = judged()
    assert overall(evaluation, evaluation.candidates[0]) is Level.APART


def test_the_title_says_energy_particles_and_calorimeter() -> None:
    assert title(judged(20)) == "50 GeV electrons in pbwo4-10x10"
    assert title(judged(300, low=10 * GeV, high=100 * GeV)).startswith("10")
    energy = torch.full((10,), 500.0)
    full = Showers(toy(energy).deposits, Particles(energy, pdg=22), toy(energy).calorimeter)
    assert title(evaluate(full, {"a": full}, settings=QUICK)) == "500 MeV photons in pbwo4-10x10"


def test_a_range_of_energies_is_given_to_three_digits() -> None:
    evaluation = evaluate(toy(torch.tensor([10020.0, 5e4, 99994.31, 7e4])), {"a": toy(energies(9))}, settings=QUICK)
    assert energy_range(evaluation.full) == "10 GeV to 100 GeV"


def test_the_verdict_counts_levels_and_names_the_worst() -> None:
    evaluation = trained()
    wide, other = evaluation.candidates
    said = verdict(evaluation, wide)
    distances = evaluation.distances["wide"]
    worst = max(evaluation.observables, key=lambda o: distances[o.name].ratio_to_floor)
    assert worst.title in said
    assert f"{sum(level(d) is Level.APART for d in distances.values())} of 9 more than 3" in said
    assert "AUC" in said
    assert "closer than" not in said
    assert "closer than wide" in verdict(evaluation, other)


def test_large_samples_that_share_their_energies_need_no_remark() -> None:
    assert remarks(judged(500)) == []
    assert remarks(judged(500, low=10 * GeV, high=100 * GeV)) == []


def test_small_samples_need_a_remark() -> None:
    notes = remarks(judged(60))
    assert len(notes) == 3
    assert "Full has only 60 showers" in notes[0]
    assert "one shower in 60" in notes[0]
    assert "left out" in remarks(judged(20))[0]


def test_energies_of_their_own_need_a_remark() -> None:
    full = toy(energies(500))
    [note] = remarks(evaluate(full, {"a": toy(energies(500, seed=7))}, settings=QUICK))
    assert "do not share their incident energies" in note
    [note] = remarks(evaluate(full, {"a": toy(energies(500, high=50 * GeV))}, settings=QUICK))
    assert "has other incident energies (10 GeV to 50 GeV)" in note


def test_more_showers_of_one_energy_need_no_remark() -> None:
    fixed = torch.full((1100,), 50 * GeV)
    assert remarks(evaluate(toy(fixed[:500]), {"a": toy(fixed, seed=2)}, settings=QUICK)) == []
