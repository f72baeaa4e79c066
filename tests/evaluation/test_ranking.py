"""Where a candidate ranks among the published results: ranks, comparability, warnings."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from caloforge.classifiers import CLASSIFIERS, DEFAULT_CLASSIFIERS
from caloforge.classifiers.calibration import Curve
from caloforge.classifiers.results import (
    FALSE_POSITIVE,
    Repeated,
    Roc,
    Separation,
    ShowerWeights,
)
from caloforge.evaluation.caveats import caveats
from caloforge.evaluation.findings import Evaluation, Features, Sample, Settings
from caloforge.evaluation.quantities import QUANTITIES, Aim
from caloforge.evaluation.ranking import RankingRow, published_rows, ranking
from caloforge.geometry import Calorimeter, named_calorimeters
from caloforge.metrics import Comparison, Score
from caloforge.metrics.neighbours import Neighbours, Share
from caloforge.published import PRESETS, Preset

POWERS = {
    "sep E total": "response",
    "sep E layer": "layer_energy",
    "sep cell": "cell_energy_log",
    "sep EC eta": "layer_centre_x",
    "sep EC phi": "layer_centre_y",
    "sep EC r": "layer_centre_r",
    "sep EC eta std": "layer_width_x",
    "sep EC phi std": "layer_width_y",
    "sep EC r std": "layer_width_r",
    "sep sparsity": "sparsity",
}
COLUMNS = {
    "binary cls low": "low-level",
    "binary cls high": "high-level",
    "binary cls cnn": "resnet",
}
NAME = "ours"

every_preset = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)


@cache
def calorimeter_of(preset: str) -> Calorimeter:
    return named_calorimeters()[PRESETS[preset].calorimeter]


def sample(name: str, preset: Preset, showers: int) -> Sample:
    calorimeter = calorimeter_of(preset.name)
    return Sample(
        name=name,
        calorimeter=calorimeter,
        species=(preset.pdg,),
        energies=np.geomspace(*preset.energies, showers),
        weights=np.ones(showers),
        weighted=False,
        values={},
        cells=np.zeros((1, 1)),
        features=np.zeros((showers, 1)),
        fingerprints=np.zeros(showers, dtype=np.int64),
        correlation=np.eye(calorimeter.n_layers),
        mean=np.zeros(calorimeter.n_cells),
        examples=(),
    )


def comparison(separation: Score) -> Comparison:
    nothing = Score(0.0, 0.0, 0.0, 0.0)
    return Comparison(nothing, nothing, separation, None, None)


def separation(name: str, auc: float, showers: int) -> Separation:
    grid, once, curve = (
        FALSE_POSITIVE,
        Repeated((auc,)),
        Curve(np.array([0.5]), np.array([0.5]), np.array([1])),
    )
    side = ShowerWeights(np.array([0]), np.zeros(1), np.ones(1))
    roc, jsd = Roc(grid, grid, 0 * grid), Score(0.0, 0.0, 0.0, 0.0)
    score = Score(auc, 0.003, 0.5, 0.003)
    return Separation(
        name,
        name,
        showers,
        showers,
        once,
        once,
        once,
        once,
        score,
        jsd,
        roc,
        curve,
        curve,
        side,
        side,
    )


def features(numbers: Mapping[str, float], floors: Mapping[str, float], showers: int) -> Features:
    fpd, kpd = (
        Score(numbers[key] / 1e3, 1e-5, floors[key] / 1e3, 1e-5)
        for key in ("FPD * 1e3", "KPD * 1e3")
    )
    shares = (
        Share(numbers[key], 0.01, floors[key], 0.01)
        for key in ("precision", "recall", "density", "coverage")
    )
    return Features(fpd, None, kpd, Neighbours(*shares, k=5), None, showers)


def copied(preset: Preset, submission: str, showers: int | None = None) -> Evaluation:
    """An evaluation whose candidate scores what a submission has published, and its floors what
    Geant4 has.
    """
    n = preset.showers if showers is None else showers
    numbers = next(p.numbers for p in preset.published if p.name == submission)
    floors = preset.published[0].numbers
    return Evaluation(
        full=sample("Geant4", preset, n),
        candidates=(sample(NAME, preset, n),),
        observables=(),
        comparisons={
            NAME: {
                o: comparison(Score(numbers[c], 1e-5, floors[c], 1e-5)) for c, o in POWERS.items()
            }
        },
        gaps={NAME: {}},
        features={NAME: features(numbers, floors, n)},
        classifiers={
            NAME: {j: separation(j, numbers[c], n) for c, j in COLUMNS.items() if c in numbers}
        },
        slices={NAME: ()},
        amplifications={},
        times={NAME: numbers["time CPU 100"]} if "time CPU 100" in numbers else {},
        settings=Settings(classifiers=CLASSIFIERS[preset.classifiers]),
        preset=preset,
    )


def rows_of(evaluation: Evaluation) -> dict[str, RankingRow]:
    return {row.quantity.column: row for row in ranking(evaluation, NAME).rows}


@every_preset
def test_what_has_the_numbers_of_a_submission_has_its_rank(preset: Preset) -> None:
    tables = {p.name: rows_of(copied(preset, p.name)) for p in preset.published[1:]}
    for column in next(iter(tables.values())):
        ranks = {
            name: rank for name, table in tables.items() if (rank := table[column].rank) is not None
        }
        row = tables["CaloDiffusion"][column]
        assert len(ranks) == row.submissions
        assert ranks[row.best_name] == 1
        assert all(
            rank == 1 + sum(other < rank for other in ranks.values()) for rank in ranks.values()
        )


@every_preset
def test_numbers_are_shown_as_the_published_ones(preset: Preset) -> None:
    table = published_rows(preset)
    for row in ranking(copied(preset, "CaloDiffusion"), NAME).rows:
        assert row.own is not None
        assert row.own.value == pytest.approx(table["CaloDiffusion"][row.title], rel=1e-12)
        assert row.best == table[row.best_name][row.title]
        assert row.geant4 == table["GEANT4"].get(row.title)
        if row.geant4 is not None and "AUC" not in row.title:
            assert row.own.floor == pytest.approx(row.geant4, rel=1e-12)


@every_preset
def test_with_as_many_showers_of_the_same_kind_all_but_times_can_be_compared(
    preset: Preset,
) -> None:
    rows = rows_of(copied(preset, "CaloDiffusion"))
    assert {column for column, row in rows.items() if not row.comparable} == {"time CPU 100"}


def test_geant4_stands_before_all_others_in_fpd_and_separation_powers_of_dataset_2() -> None:
    rows = rows_of(copied(PRESETS["calochallenge-2"], "GEANT4"))
    for column in ("FPD * 1e3", "binary cls low", "binary cls high", *POWERS):
        assert rows[column].rank == 1


def test_ranks_subtract_the_floor_of_the_own_sample_size() -> None:
    few = copied(PRESETS["calochallenge-2"], "CaloDREAM", showers=1000)
    shifted = {
        o: comparison(
            replace(c.separation, value=c.separation.value + 0.05, floor=c.separation.floor + 0.05)
        )
        for o, c in few.comparisons[NAME].items()
    }
    rows, before = rows_of(replace(few, comparisons={NAME: shifted})), rows_of(few)
    assert [rows[c].rank for c in POWERS] == [before[c].rank for c in POWERS]
    assert all(row.own is not None and row.own.value > 50 for row in (rows[c] for c in POWERS))


@pytest.mark.parametrize(
    ("aim", "better", "worse"),
    [
        (Aim.LEAST, 0.5, 0.6),
        (Aim.LEAST_EXCESS, 0.1, 0.3),
        (Aim.NEAR_ZERO, -0.1, 0.2),
        (Aim.NEAR_FLOOR, 0.9, 0.6),
    ],
)
def test_aims(aim: Aim, better: float, worse: float) -> None:
    assert aim.gap(better, floor=0.8) < aim.gap(worse, floor=0.8)


def test_the_best_precision_is_that_nearest_to_geant4s() -> None:
    rows = rows_of(copied(PRESETS["calochallenge-1-photons"], "CaloGraph"))
    assert (rows["density"].best_name, rows["coverage"].best_name) == ("CaloGraph", "CaloForest")


def test_the_best_kernel_distance_is_that_nearest_to_zero() -> None:
    assert (
        rows_of(copied(PRESETS["calochallenge-1-photons"], "CaloGraph"))["KPD * 1e3"].best_name
        == "CaloScore"
    )


def test_the_published_best_of_dataset_2() -> None:
    rows = rows_of(copied(PRESETS["calochallenge-2"], "CaloINN"))
    assert rows["FPD * 1e3"].best == 24.6488
    assert {rows[c].best_name for c in ("FPD * 1e3", "binary cls low", "binary cls high")} == {
        "CaloDREAM"
    }
    assert rows["sep cell"].best_name == "iCaloFlow teacher"


def test_dataset_1_has_no_resnet() -> None:
    assert "binary cls cnn" not in rows_of(copied(PRESETS["calochallenge-1-pions"], "CaloINN"))


def test_what_the_evaluation_does_not_know_has_no_rank() -> None:
    bare = replace(
        copied(PRESETS["calochallenge-2"], "CaloINN"),
        comparisons={NAME: {}},
        features={},
        classifiers={},
        times={},
    )
    assert {(row.own, row.rank, row.comparable) for row in ranking(bare, NAME).rows} == {
        (None, None, False)
    }
    assert len(ranking(bare, NAME).rows) == len(QUANTITIES)


def test_without_a_preset_there_is_nothing_to_say() -> None:
    alone = replace(copied(PRESETS["calochallenge-2"], "CaloINN"), preset=None)
    assert ranking(alone, NAME).rows == ()
    assert caveats(alone) == []


def said(evaluation: Evaluation) -> str:
    return " ".join(caveats(evaluation))


def test_a_benchmark_as_it_should_be_has_only_the_warnings_that_always_hold() -> None:
    evaluation = replace(copied(PRESETS["calochallenge-2"], "CaloINN"), times={})
    assert [
        sentence for sentence in caveats(evaluation) if "not in the published code" not in sentence
    ] == []


def test_few_showers_are_said_and_only_kpd_is_compared() -> None:
    few = copied(PRESETS["calochallenge-2"], "CaloINN", showers=1200)
    assert "1,200 showers" in said(few)
    assert "100,000" in said(few)
    assert "Classifiers saw as few as 1,200 showers" in said(few)
    assert {column for column, row in rows_of(few).items() if row.comparable} == {"KPD * 1e3"}


def test_few_neighbours_are_said_and_not_compared() -> None:
    evaluation = copied(PRESETS["calochallenge-2"], "CaloINN")
    fewer = replace(evaluation, features={NAME: replace(evaluation.features[NAME], showers=5000)})
    assert "coverage are of as few as 5,000 showers" in said(fewer)
    rows = rows_of(fewer)
    assert {
        c
        for c in ("precision", "recall", "density", "coverage", "KPD * 1e3", "FPD * 1e3")
        if rows[c].comparable
    } == {
        "KPD * 1e3",
        "FPD * 1e3",
    }


def test_a_weighted_sample_counts_by_its_effective_size() -> None:
    preset = PRESETS["calochallenge-1-photons"]
    evaluation = copied(preset, "CaloINN")
    weights = np.where(np.arange(preset.showers) < preset.showers // 2, 1.0, 0.0)
    weighted = replace(
        evaluation, candidates=(replace(evaluation.candidates[0], weights=weights, weighted=True),)
    )
    assert "60,500 showers" in said(weighted)


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("species", (22,), "particles are gamma, those of the published results e-"),
        (
            "energies",
            np.geomspace(1e3, 1e5, 100_000),
            "1 GeV to 100 GeV, those of the published results 1 GeV to 1 TeV",
        ),
        ("calorimeter", named_calorimeters()["calochallenge-3"], "'calochallenge-3'"),
    ],
)
def test_other_showers_are_said_and_nothing_is_compared(
    field: str, value: object, word: str
) -> None:
    evaluation = copied(PRESETS["calochallenge-2"], "CaloINN")
    other = replace(evaluation, full=replace(evaluation.full, **{field: value}))
    assert word in said(other)
    assert not any(row.comparable for row in rows_of(other).values())


def test_other_classifiers_are_said_and_not_compared() -> None:
    evaluation = copied(PRESETS["calochallenge-2"], "CaloINN")
    other = replace(
        evaluation, settings=replace(evaluation.settings, classifiers=DEFAULT_CLASSIFIERS)
    )
    assert "not those of the benchmark" in said(other)
    rows = rows_of(other)
    assert not any(rows[column].comparable for column in COLUMNS)
    assert rows["FPD * 1e3"].comparable


def test_the_threshold_of_a_classifier_does_not_make_it_another() -> None:
    evaluation = copied(PRESETS["calochallenge-1-photons"], "CaloINN")
    classifiers = tuple(one.above(1.0) for one in CLASSIFIERS["calochallenge"])
    assert rows_of(
        replace(evaluation, settings=replace(evaluation.settings, classifiers=classifiers))
    )["binary cls low"].comparable


def test_the_floor_of_the_pions_is_said() -> None:
    assert "0.61 (low-level) and 0.56 (high-level)" in said(
        copied(PRESETS["calochallenge-1-pions"], "CaloINN")
    )
    assert "can be told apart" not in said(copied(PRESETS["calochallenge-1-photons"], "CaloINN"))


def test_times_of_other_machines_are_said() -> None:
    assert "other machines" in said(copied(PRESETS["calochallenge-2"], "CaloINN"))


@every_preset
def test_published_rows_are_finite_and_begin_with_geant4(preset: Preset) -> None:
    table = published_rows(preset)
    assert next(iter(table)) == "GEANT4"
    assert all(math.isfinite(number) for row in table.values() for number in row.values())
    assert {title for row in table.values() for title in row} <= {
        quantity.title for quantity in QUANTITIES
    }
