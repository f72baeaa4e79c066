"""Tables and words: rounding, levels, what is said and what must be said."""

import math
from dataclasses import replace
from functools import lru_cache

import pytest
import torch

from caloforge.classifiers import DEFAULT_CLASSIFIERS, Classifier
from caloforge.evaluation import Evaluation, Settings, evaluate
from caloforge.evaluation.significance import (
    Significance,
    overall,
    significance,
    significance_of,
    significance_of_auc,
)
from caloforge.metrics import Score
from caloforge.particles import Particles
from caloforge.published import PRESETS
from caloforge.report import COLUMNS, remarks, table, title, verdict
from caloforge.report.tables import number, rows, with_error
from caloforge.report.words import energy_range, largest
from caloforge.showers import Showers
from caloforge.units import GeV
from tests.evaluation.samples import QUICK, compared, energies, toy


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
        (1.0000000000000007, 2e-16, "1 ± 0"),
    ],
)
def test_a_value_is_rounded_to_its_error(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1234, "0.12"),
        (0.96, "1.0"),
        (3.14, "3.1"),
        (9.96, "10"),
        (1234.5, "1234"),
        (math.inf, "inf"),
    ],
)
def test_a_ratio_is_short(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, Significance.FLOOR),
        (1.29, Significance.FLOOR),
        (1.31, Significance.CLOSE),
        (3.0, Significance.CLOSE),
        (3.1, Significance.FAR),
    ],
)
def test_the_levels_of_a_distance(value: float, expected: Significance) -> None:
    assert significance(Score(value, 0.1, 1.0, 0.1)) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.49, Significance.FLOOR),
        (0.52, Significance.FLOOR),
        (0.59, Significance.CLOSE),
        (0.61, Significance.FAR),
    ],
)
def test_the_levels_of_an_auc(value: float, expected: Significance) -> None:
    separation = trained().classifiers["a"]["low-level"]
    assert significance_of_auc(replace(separation, auc=Score(value, 0.005, 0.5, 0.009))) is expected


SHORT: tuple[Classifier, ...] = tuple(
    replace(j, training=replace(j.training, epochs=2)) for j in DEFAULT_CLASSIFIERS[:1]
)


@lru_cache
def trained() -> Evaluation:
    energy = energies(100)
    settings = Settings(replicas=4, splits=4, trainings=2, classifiers=SHORT, neighbour_showers=100)
    return evaluate(
        toy(energy),
        {"wide": toy(energy, width=30, seed=2), "a": toy(energy, seed=3)},
        settings=settings,
    )


def test_the_table_has_each_quantity_with_each_candidate() -> None:
    evaluation = trained()
    lines = table(evaluation)
    assert {len(line) for line in lines} == {len(COLUMNS)}
    feature_rows = 3 + 4
    assert [line[1] for line in lines] == ["wide", "a"] * (
        len(evaluation.observables) + feature_rows + 1
    )
    assert lines[0][0] == "Total energy [MeV]"
    assert [line[0] for line in lines[-2:]] == ["AUC, classifier on all cells"] * 2
    gain = COLUMNS.index("gain")
    assert lines[0][gain] == ""
    assert lines[1][gain] == number(
        evaluation.gain(evaluation.candidates[1], evaluation.observables[0]) or 0
    )
    assert rows(evaluation)[1].cells == lines[1]


def test_a_series_unfolds_into_its_labels() -> None:
    [row] = [
        r
        for r in rows(compared(60))
        if r.observable.startswith("Share of the brightest cells") and r.candidate == "wide"
    ]
    assert row.observable == "Share of the brightest cells, mean of 6"
    assert len(row.parts) == 6
    assert all(part.candidate == "wide" and part.parts == () for part in row.parts)


def test_what_is_not_known_is_said() -> None:
    full = toy(energies(60))
    dark = Showers(torch.zeros_like(full.deposits), full.particles, full.calorimeter)
    evaluation = evaluate(full, {"dark": dark}, settings=QUICK)
    [line] = [line for line in table(evaluation) if line[0].startswith("Cell energies above 1 keV")]
    assert line[2] == "not known"
    assert any("nothing above 0.001 MeV" in note for note in remarks(evaluation))


def test_weights_need_a_remark() -> None:
    full = toy(energies(600))
    weighted = Showers(full.deposits, full.particles, full.calorimeter, weights=torch.rand(600))
    notes = remarks(evaluate(full, {"a": weighted}, settings=QUICK))
    assert any("a is weighted: its 600 showers know as much as" in note for note in notes)


def test_a_candidate_is_as_good_as_its_worst_number() -> None:
    evaluation = compared()
    assert overall(evaluation, evaluation.candidates[0]) is Significance.FAR


def test_the_title_says_energy_particles_and_calorimeter() -> None:
    assert title(compared(20)) == "50 GeV e- showers in pbwo4-10x10"
    assert title(compared(300, low=10 * GeV, high=100 * GeV)).startswith("10")
    energy = torch.full((10,), 500.0)
    full = Showers(toy(energy).deposits, Particles(energy, pdg=22), toy(energy).calorimeter)
    assert (
        title(evaluate(full, {"a": full}, settings=QUICK)) == "500 MeV gamma showers in pbwo4-10x10"
    )


def test_a_species_that_nothing_says_is_unknown_and_else_that_of_the_benchmark() -> None:
    known = compared(20)
    silent = replace(known, full=replace(known.full, species=()))
    unknown = "50 GeV showers of particles of unknown species in pbwo4-10x10"
    assert title(silent) == unknown
    photons = replace(silent, preset=PRESETS["calochallenge-1-photons"])
    assert title(photons) == "50 GeV gamma showers in pbwo4-10x10"


def test_a_range_of_energies_is_given_to_three_digits() -> None:
    evaluation = evaluate(
        toy(torch.tensor([10020.0, 5e4, 99994.31, 7e4])), {"a": toy(energies(9))}, settings=QUICK
    )
    assert energy_range(evaluation.full) == "10 GeV to 100 GeV"


def test_the_verdict_counts_levels_and_names_the_worst() -> None:
    evaluation = trained()
    wide, other = evaluation.candidates
    said = verdict(evaluation, wide)
    known = evaluation.comparisons["wide"]
    assert f"{number(largest(evaluation, wide)[1])} floors ({largest(evaluation, wide)[0]})" in said
    assert (
        f"{sum(significance_of(c) is Significance.FAR for c in known.values())} of "
        f"{len(known)} more than 3 floors" in said
    )
    assert "not resolvable with 100 showers" in verdict(evaluation, other)
    assert "AUC" in said
    assert "closer than" not in said
    assert "closer than wide" in verdict(evaluation, other)


def test_the_verdict_tells_of_energies_left_out_and_of_amplification() -> None:
    energy = energies(1200)
    samples = toy(energy), {"a": toy(energy, seed=2)}
    evaluation = evaluate(
        *samples,
        training=toy(energies(100, seed=5), seed=6),
        settings=replace(QUICK, left_out=(4e4, 6e4)),
    )
    said = verdict(evaluation, evaluation.candidates[0])
    assert "At the energies left out of its training the distances are" in said
    assert "Its 1,200 showers know the whole-shower distributions as well as" in said
    assert any(
        "looks like more real showers than it is worth" in note for note in remarks(evaluation)
    )


def test_large_samples_that_share_their_energies_need_no_remark() -> None:
    assert remarks(compared(500)) == []
    assert remarks(compared(500, low=10 * GeV, high=100 * GeV)) == []


def test_small_samples_need_a_remark() -> None:
    notes = remarks(compared(60))
    assert len(notes) == 3
    assert "Full has only 60 showers" in notes[0]
    assert "one shower in 60" in notes[0]


def test_energies_of_their_own_need_a_remark() -> None:
    full = toy(energies(500))
    [note] = remarks(evaluate(full, {"a": toy(energies(500, seed=7))}, settings=QUICK))
    assert "do not share their incident energies" in note
    allowed = replace(QUICK, other_particles=True)
    [note] = remarks(evaluate(full, {"a": toy(energies(500, high=50 * GeV))}, settings=allowed))
    assert "has other incident energies (10 GeV to 50 GeV)" in note


def test_more_showers_of_one_energy_need_no_remark() -> None:
    fixed = torch.full((1100,), 50 * GeV)
    assert remarks(evaluate(toy(fixed[:500]), {"a": toy(fixed, seed=2)}, settings=QUICK)) == []
