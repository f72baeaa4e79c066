"""The benchmarks: their bins give the challenge's own numbers, their tables are as published."""

import json
from pathlib import Path

import numpy as np
import pytest

from caloforge.classifiers import CLASSIFIERS
from caloforge.geometry import named_calorimeters
from caloforge.metrics import separation_power
from caloforge.metrics.bins import Bins
from caloforge.observables import catalogue
from caloforge.published import PRESETS, Preset, geant4_correlation

DATA = Path(__file__).parents[1] / "data"
LABELS = ("layer 0", "layer 20", "layer 44")
SERIES = ("layer_energy", "layer_centre_x", "layer_centre_y", "layer_width_x", "layer_width_y")
ROUNDED = "layer_energy", "layer 0"
"""Where the challenge's code lost the largest shower to rounding."""

every_preset = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    with np.load(DATA / "separation_values.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def powers() -> dict[str, dict[str, float]]:
    stored: dict[str, dict[str, float]] = json.loads((DATA / "separation_powers.json").read_text())
    return stored


def rule_of(
    preset: Preset, observable: str, label: str = "", *, of: np.ndarray | None = None
) -> Bins:
    rule = preset.rule(observable, label)
    assert rule is not None
    return rule(np.array([1.0, 10.0]) if of is None else of)


def power(bins: Bins, full: np.ndarray, candidate: np.ndarray) -> float:
    counts = [
        np.bincount(bins.index(sample), minlength=len(bins) + 1)[: len(bins)]
        for sample in (full, candidate)
    ]
    return float(separation_power(*counts))


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("observable", SERIES)
def test_separation_powers_are_those_of_the_challenges_code(
    observable: str, label: str, values: dict[str, np.ndarray], powers: dict[str, dict[str, float]]
) -> None:
    full, candidate = (
        values[f"{sample}_{observable}"][:, LABELS.index(label)] for sample in ("full", "candidate")
    )
    bins = rule_of(PRESETS["calochallenge-2"], observable, label, of=full)
    if (observable, label) == ROUNDED:
        assert abs(power(bins, full, candidate) / powers[observable][label] - 1) > 1e-3
        full = np.delete(full, full.argmax())
        candidate = candidate[candidate < bins.edges[-1]]
    assert power(bins, full, candidate) == pytest.approx(powers[observable][label], rel=1e-6)


def test_the_separation_power_of_the_response_is_that_of_the_challenges_code(
    values: dict[str, np.ndarray], powers: dict[str, dict[str, float]]
) -> None:
    bins = rule_of(PRESETS["calochallenge-2"], "response")
    assert power(bins, values["full_response"], values["candidate_response"]) == pytest.approx(
        powers["response"], rel=1e-6
    )


@pytest.mark.parametrize(
    ("observable", "bins", "low", "high"),
    [
        ("response", 100, 0.5, 1.5),
        ("layer_energy", 39, 0.5e-3 / 0.033, 10.0),
        ("cell_energy_log", 49, 0.5e-3 / 0.033, 10.0),
        ("layer_centre_x", 100, -30.0, 30.0),
        ("layer_width_y", 100, 0.0, 30.0),
        ("sparsity", 20, 0.0, 1.0),
    ],
)
@pytest.mark.parametrize("name", ["calochallenge-2", "calochallenge-3"])
def test_bins_of_the_silicon_datasets(
    name: str, observable: str, bins: int, low: float, high: float
) -> None:
    rule = rule_of(PRESETS[name], observable, "layer 7")
    assert len(rule) == bins
    assert (rule.edges[0], rule.edges[-1]) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("label", "centre", "width"),
    [("layer 2", 100, 100), ("layer 12", 500, 400), ("layer 13", 500, 400)],
)
def test_bins_of_dataset_1_are_wider_in_its_thick_layers(
    label: str, centre: float, width: float
) -> None:
    preset = PRESETS["calochallenge-1-pions"]
    for axis in "xy":
        assert rule_of(preset, f"layer_centre_{axis}", label).edges[[0, -1]].tolist() == [
            -centre,
            centre,
        ]
        assert rule_of(preset, f"layer_width_{axis}", label).edges[[0, -1]].tolist() == [0, width]


@every_preset
def test_values_beyond_the_bins_are_dropped(preset: Preset) -> None:
    bins = rule_of(preset, "response")
    assert bins.index(np.array([0.4999, 0.5, 1.5, 1.5001])).tolist() == [100, 0, 99, 100]


@every_preset
@pytest.mark.parametrize("largest", [*np.geomspace(1e-2, 1e6, 23), 5e-324])
def test_the_largest_value_is_in_the_last_bin_whatever_the_rounding(
    preset: Preset, largest: float
) -> None:
    for observable in ("layer_energy", "cell_energy_log"):
        bins = rule_of(preset, observable, of=np.array([0.0, largest]))
        assert bins.index(np.array([largest])) == (
            len(bins) - 1 if largest > preset.threshold else len(bins)
        )
        assert np.isfinite(bins.edges).all()


@every_preset
def test_bins_are_for_observables_of_the_calorimeter(preset: Preset) -> None:
    calorimeter = named_calorimeters()[preset.calorimeter]
    assert {key.partition(":")[0] for key in preset.rules} <= {
        o.name for o in catalogue(calorimeter)
    }


def test_the_thick_layers_are_labels_of_the_pions_calorimeter() -> None:
    calorimeter = named_calorimeters()["calochallenge-1-pions"]
    centres = {o.name: o for o in catalogue(calorimeter)}["layer_centre_x"]
    assert {"layer 12", "layer 13"} <= set(centres.labels_of(calorimeter))


@every_preset
def test_classifiers_are_known(preset: Preset) -> None:
    assert preset.classifiers in CLASSIFIERS


@pytest.mark.parametrize(
    ("name", "submissions", "column", "submission", "number"),
    [
        ("calochallenge-1-photons", 15, "binary cls low", "CaloINN", 0.62592),
        ("calochallenge-1-pions", 12, "binary cls high", "GEANT4", 0.55786),
        ("calochallenge-2", 17, "FPD * 1e3", "CaloDREAM", 24.6488),
        ("calochallenge-3", 15, "density", "GEANT4", 1.145456),
    ],
)
def test_the_tables_are_as_published(
    name: str, submissions: int, column: str, submission: str, number: float
) -> None:
    published = PRESETS[name].published
    assert published[0].name == "GEANT4"
    assert len(published) == 1 + submissions
    assert {p.name: p for p in published}[submission].numbers[column] == number


def test_what_was_not_published_is_missing() -> None:
    assert not any("time" in column for column in PRESETS["calochallenge-2"].published[0].numbers)
    assert "binary cls cnn" not in PRESETS["calochallenge-1-photons"].published[1].numbers


@every_preset
def test_every_table_has_the_same_quantities_for_every_submission(preset: Preset) -> None:
    for submission in preset.published:
        powers = [key for key in submission.numbers if key.startswith("sep ")]
        assert len(powers) == 10
        assert all(0 <= submission.numbers[key] <= 1 for key in powers)
        assert all(np.isfinite(list(submission.numbers.values())))


@every_preset
def test_correlation_matrices_are_front_to_back(preset: Preset) -> None:
    matrix = geant4_correlation(preset)
    n = named_calorimeters()[preset.calorimeter].n_layers
    assert matrix.shape == (n, n)
    assert np.diag(matrix).tolist() == [1.0] * n
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)


def test_the_correlation_of_the_first_layers_of_dataset_2() -> None:
    matrix = geant4_correlation(PRESETS["calochallenge-2"])
    assert matrix[0, [1, 44]].tolist() == pytest.approx([0.7355, 0.4464], abs=5e-5)
