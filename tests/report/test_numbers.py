"""metrics.json and metrics.csv: the schema that other programs rely on, and numbers that are finite
or null.
"""

import json
import math
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import torch

from caloforge.evaluation import evaluate
from caloforge.io import convert, open_showers
from caloforge.report.numbers import CSV_COLUMNS, csv_rows, numbers
from caloforge.showers import Showers
from tests.evaluation.samples import QUICK, energies, toy
from tests.evaluation.test_evaluation import SHORT, in_layers

KEYS = {
    "title",
    "preset",
    "calorimeter",
    "pdg",
    "full",
    "candidates",
    "comparisons",
    "gaps",
    "features",
    "classifiers",
    "slices",
    "bins",
    "amplification",
    "correlations",
    "times",
    "settings",
    "copies",
    "origins",
    "doubts",
    "remarks",
}


def test_the_schema() -> None:
    settings = replace(QUICK, classifiers=SHORT, trainings=2, neighbour_showers=100)
    evaluation = evaluate(in_layers(100), {"a": in_layers(100, seed=2)}, settings=settings)
    content = numbers([evaluation])
    assert content["schema"] == 2
    [found] = content["evaluations"]
    assert set(found) == KEYS
    assert set(found["full"]) == {
        "name",
        "showers",
        "effective_showers",
        "energy_min",
        "energy_max",
    }
    comparison = found["comparisons"]["a"]["layer_energy"]
    assert set(comparison) == {
        "unit",
        "gain",
        "distance",
        "standardised",
        "separation",
        "ks",
        "chi2",
        "batched",
        "parts",
    }
    score = {"value", "error", "floor", "floor_error", "ratio_to_floor", "excess"}
    assert set(comparison["distance"]) == set(comparison["parts"]["layer 2"]["separation"]) == score
    features = found["features"]["a"]
    assert set(features) == {
        "fpd",
        "fpd_trimmed",
        "kpd",
        "correlation",
        "precision",
        "recall",
        "density",
        "coverage",
        "k",
    }
    assert set(features["fpd"]) == score
    assert set(features["recall"]) == {"value", "error", "expected", "expected_error"}
    assert set(found["classifiers"]["a"]["low-level"]) == {"auc", "jsd", "aucs"}
    assert len(found["correlations"]["Full simulation"]) == 5


def test_every_number_is_finite_or_null() -> None:
    full = toy(energies(60))
    dark = Showers(torch.zeros_like(full.deposits), full.particles, full.calorimeter)
    evaluation = evaluate(
        full, {"dark": dark, "itself": full}, settings=replace(QUICK, neighbour_showers=60)
    )
    json.dumps(numbers([evaluation]), allow_nan=False)


def test_the_table_of_scores_has_one_a_row() -> None:
    evaluation = evaluate(
        in_layers(60), {"a": in_layers(60, seed=2)}, settings=replace(QUICK, neighbour_showers=60)
    )
    rows = list(csv_rows([evaluation]))
    assert {len(row) for row in rows} == {len(CSV_COLUMNS)}
    keys = [row[:6] for row in rows]
    assert len(set(keys)) == len(keys)
    found = {row[2:5]: row[6] for row in rows}
    assert found["layer_energy", "layer 3", "separation power"] == (
        evaluation.comparisons["a"]["layer_energy"].parts["layer 3"].separation.value
    )
    assert ("high-level features", "", "fpd") in found
    assert all(math.isfinite(float(number)) for row in rows for number in row[6:])


def test_the_files_behind_the_numbers_are_named_with_their_checksums(tmp_path: Path) -> None:
    full, candidate = tmp_path / "full.h5", tmp_path / "mine.h5"
    for seed, path in enumerate((full, candidate)):
        convert(toy(energies(60), seed=seed), path)
    found = evaluate(open_showers(full), {"mine": open_showers(candidate)}, settings=QUICK)
    content = numbers([found])
    assert content["evaluations"][0]["origins"] == {
        name: {"file": str(path), "sha256": sha256(path.read_bytes()).hexdigest()}
        for name, path in {"Full simulation": full, "mine": candidate}.items()
    }
    assert set(content["made"]) == {"date", "command"}
