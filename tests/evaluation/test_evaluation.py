"""Evaluating: numbers are those of the metrics, streaming changes nothing, weights count, what
cannot be compared is said.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from caloforge.classifiers import DEFAULT_CLASSIFIERS, Classifier
from caloforge.errors import GeometryMismatchError, ShowerValueError
from caloforge.evaluation import Settings, evaluate
from caloforge.evaluation.findings import Evaluation, shares_energies
from caloforge.evaluation.significance import Significance, significance
from caloforge.geometry import CylinderGrid, CylinderLayer
from caloforge.hits import Hits
from caloforge.metrics import Comparison, Score, compare_points, resampling
from caloforge.metrics.bins import Bins, Rule, equal_bins
from caloforge.observables import (
    ENERGY_SUM,
    LAYER_ENERGY,
    LAYERS,
    LOG_SPECTRUM,
    N_HITS,
    RESPONSE,
    SPECTRUM,
    SQUIRELS,
    TIMED,
    Entry,
    catalogue,
    hadronic,
)
from caloforge.published import Preset
from caloforge.showers import Showers
from tests.catalogue import CYLINDERS
from tests.evaluation.samples import QUICK, compared, energies, toy, watched

SMALL = CylinderGrid("small", tuple(CylinderLayer((0, 10, 20, 40), 4, 3.4, k) for k in range(5)))
SHORT: tuple[Classifier, ...] = tuple(
    replace(j, training=replace(j.training, epochs=3)) for j in DEFAULT_CLASSIFIERS[:1]
)


def in_layers(n: int, *, seed: int = 1, width: float = 25.0) -> Showers:
    return toy(energies(n), calorimeter=SMALL, seed=seed, width=width)


def scores(comparison: Comparison) -> Iterator[Score]:
    yield from (comparison.distance, comparison.standardised, comparison.separation)
    for part in comparison.parts.values():
        yield from scores(part)


def all_scores(evaluation: Evaluation) -> list[Score]:
    return [
        s
        for found in evaluation.comparisons.values()
        for comparison in found.values()
        for s in scores(comparison)
    ]


def test_distances_are_those_of_the_metrics() -> None:
    energy = energies(80)
    full, candidate = toy(energy), toy(energy, width=30.0, seed=2)
    result = evaluate(full, {"wide": candidate}, settings=QUICK).comparisons["wide"]
    drawn = resampling(
        np.ones(80), np.ones(80), energies=energy.double().numpy(), replicas=5, splits=10
    )
    hits = [N_HITS.function(s).numpy() for s in (full, candidate)]
    expected = compare_points(*hits, drawn, equal_bins(hits[0])).comparison
    assert replace(result["n_hits"], batched=None) == expected


def test_a_perfect_candidate_is_at_the_floor_and_a_wrong_one_is_not() -> None:
    evaluation = compared(1000)
    assert {significance(c.distance) for c in evaluation.comparisons["perfect"].values()} <= {
        Significance.FLOOR,
        Significance.CLOSE,
    }
    assert significance(evaluation.comparisons["wide"]["max_energy"].distance) is Significance.FAR
    wide, perfect = evaluation.candidates
    of = {
        name: evaluation.comparisons[name]["energy_sum"].distance.value
        for name in ("wide", "perfect")
    }
    assert evaluation.gain(perfect, ENERGY_SUM) == pytest.approx(of["wide"] / of["perfect"])
    assert evaluation.gain(wide, ENERGY_SUM) == 1


def test_a_sample_is_no_distance_from_itself() -> None:
    full = in_layers(60)
    evaluation = evaluate(full, {"itself": full}, settings=replace(QUICK, neighbour_showers=100))
    assert all(s.value == pytest.approx(0, abs=1e-9) for s in all_scores(evaluation))
    assert evaluation.gain(evaluation.candidates[0], N_HITS) == 1
    features = evaluation.features["itself"]
    assert features.frechet.value == pytest.approx(0, abs=1e-6)
    assert features.correlation is not None
    assert features.correlation.value == pytest.approx(0, abs=1e-12)
    assert features.neighbours.coverage.value == pytest.approx(1)


def test_candidates_do_not_see_each_other() -> None:
    full, a, b = (toy(energies(60), seed=k) for k in range(3))
    other_energies = toy(energies(50, seed=9), seed=4)
    alone = evaluate(full, {"b": b}, settings=QUICK)
    together = evaluate(full, {"a": a, "c": other_energies, "b": b}, settings=QUICK)
    for name, value in alone.comparisons["b"].items():
        for one, other in zip(scores(together.comparisons["b"][name]), scores(value), strict=True):
            assert asdict(one) == pytest.approx(asdict(other), rel=1e-9, abs=1e-12)


def test_hits_are_evaluated_as_the_same_showers_dense() -> None:
    full, candidate = in_layers(101), in_layers(101, width=30.0, seed=2)
    settings = replace(QUICK, neighbour_showers=100, batch_size=40)
    dense = evaluate(full, {"wide": candidate}, settings=settings)
    sparse = evaluate(Hits.of(full), {"wide": Hits.of(candidate)}, settings=settings)
    for one, other in zip(all_scores(dense), all_scores(sparse), strict=True):
        assert asdict(one) == pytest.approx(asdict(other), rel=1e-9, abs=1e-12)
    assert sparse.features["wide"].neighbours == dense.features["wide"].neighbours
    assert np.array_equal(sparse.full.cells, dense.full.cells)
    np.testing.assert_allclose(sparse.full.mean, dense.full.mean, rtol=1e-12)
    for mine, twin in zip(sparse.full.examples, dense.full.examples, strict=True):
        assert np.array_equal(mine.deposits, twin.deposits)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_impossible_hits_are_refused(bad: float) -> None:
    hits = Hits.of(in_layers(60))
    hits.hit_energies[5] = bad
    with pytest.raises(ShowerValueError, match=r"sample 'Full': .* the first in shower 0 \("):
        evaluate(hits, {"a": hits}, full_name="Full", settings=QUICK)


def test_the_size_of_batches_makes_no_difference() -> None:
    samples = in_layers(101), {"wide": in_layers(101, width=30.0, seed=2)}
    first, second = (
        evaluate(*samples, settings=replace(QUICK, batch_size=size)) for size in (7, 1000)
    )
    for one, other in zip(all_scores(first), all_scores(second), strict=True):
        assert asdict(one) == pytest.approx(asdict(other), rel=1e-9, abs=1e-12)
    for evaluation in (first, second):
        np.testing.assert_allclose(
            evaluation.full.mean, samples[0].deposits.double().mean(dim=0).numpy(), rtol=1e-12
        )


def mine(**rules: Rule) -> Preset:
    """A benchmark of the small calorimeter."""
    return Preset(
        "mine", "Mine", "small", 11, (1e4, 1e5), 1000, 0.5, "caloforge", rules, (), "nowhere"
    )


def few_bins(values: np.ndarray) -> Bins:
    return Bins(np.linspace(0, float(values.max()), 5), flow=False)


@pytest.mark.parametrize(
    ("preset", "passes"),
    [
        (None, 1),
        (mine(response=few_bins), 1),
        (mine(cell_energy_log=few_bins), 2),
    ],
    ids=["plain", "preset", "preset with bins of cell energies"],
)
def test_each_sample_is_read_once_and_in_batches(preset: Preset | None, passes: int) -> None:
    """The full simulation twice where the largest cell decides on bins, and its first shower once
    more, for the threshold, where no benchmark sets it.
    """
    sources = [watched(in_layers(n, seed=n)) for n in (300, 301, 302, 303)]
    full, first, second, training = (source for source, _ in sources)
    settings = replace(
        QUICK,
        batch_size=64,
        classifiers=SHORT,
        trainings=2,
        classifier_showers=100,
        neighbour_showers=90,
    )
    evaluation = evaluate(
        full,
        {"first": first, "second": second},
        preset=preset,
        training=training,
        settings=settings,
    )
    assert [noted.read for _, noted in sources] == [300 * passes + (preset is None), 301, 302, 303]
    assert [noted.most for _, noted in sources] == [64] * 4
    assert evaluation.classifiers["second"]["low-level"].n_full == 100
    assert evaluation.features["second"].showers == 90
    assert len(evaluation.full.outliers) >= 3


def test_what_is_kept_whole_is_what_the_source_holds() -> None:
    full, candidate = in_layers(150), in_layers(150, seed=2)
    evaluation = evaluate(
        full,
        {"a": candidate},
        settings=replace(QUICK, classifiers=SHORT, trainings=2, batch_size=40),
    )
    for sample, showers in zip(evaluation.samples, (full, candidate), strict=True):
        assert len(sample.outliers) == 3
        for one in (*sample.examples, *sample.outliers):
            assert (one.dense(SMALL.n_cells) == showers.deposits[one.row].numpy()).all()
            assert one.energy == float(showers.energies[one.row])


def test_the_classifier_is_trained_where_it_can_be() -> None:
    energy = energies(100)
    candidates = {"few": toy(energy[:40]), "wide": toy(energy, width=40.0, seed=2)}
    found = evaluate(
        toy(energy),
        candidates,
        settings=replace(QUICK, classifiers=SHORT, trainings=2, neighbour_showers=100),
    )
    assert {name: list(separations) for name, separations in found.classifiers.items()} == {
        "few": [],
        "wide": ["low-level"],
    }
    assert found.classifiers["wide"]["low-level"].auc.value > 0.9
    assert list(found.features) == ["wide"]


def test_every_number_is_finite_for_every_calorimeter_and_for_empty_showers() -> None:
    for calorimeter in (*CYLINDERS[1:], SMALL):
        full = toy(energies(60), calorimeter=calorimeter)
        deposits = toy(energies(60), calorimeter=calorimeter, seed=2).deposits.clone()
        deposits[:9] = 0
        candidate = Showers(deposits, full.particles, calorimeter)
        evaluation = evaluate(full, {"a": candidate}, settings=replace(QUICK, neighbour_showers=60))
        assert set(evaluation.comparisons["a"]) == {o.name for o in catalogue(calorimeter)}
        for score in all_scores(evaluation):
            assert np.isfinite(list(asdict(score).values())).all()
        for value in (
            *asdict(evaluation.features["a"].frechet).values(),
            *asdict(evaluation.features["a"].kernel).values(),
        ):
            assert np.isfinite(value)


def test_what_is_empty_is_named_and_left_out() -> None:
    full = toy(energies(20))
    nothing = Showers(torch.zeros_like(full.deposits), full.particles, full.calorimeter)
    evaluation = evaluate(full, {"dark": nothing}, settings=QUICK)
    assert LOG_SPECTRUM.name not in evaluation.comparisons["dark"]
    assert "dark: nothing above 0.001 MeV" in evaluation.gaps["dark"][LOG_SPECTRUM.name]
    assert evaluation.comparisons["dark"]["response"].separation.value > 0.8
    assert evaluation.gain(evaluation.candidates[0], LOG_SPECTRUM) is None
    assert all(np.isfinite(list(asdict(s).values())).all() for s in all_scores(evaluation))


def test_weights_are_honoured_everywhere() -> None:
    """A sample in which every second shower counts for nothing is the sample without them."""
    full, candidate = in_layers(120), in_layers(120, seed=2, width=28.0)
    weights = torch.tensor([2.0, 0.0] * 60)
    weighted = Showers(candidate.deposits, candidate.particles, SMALL, weights=weights)
    half = candidate[::2]
    a = evaluate(full, {"a": weighted}, settings=replace(QUICK, neighbour_showers=120))
    b = evaluate(full, {"a": half}, settings=replace(QUICK, neighbour_showers=120))
    for name, comparison in a.comparisons["a"].items():
        for one, other in zip(scores(comparison), scores(b.comparisons["a"][name]), strict=True):
            assert one.value == pytest.approx(other.value, rel=1e-6, abs=1e-9)
    assert a.features["a"].frechet.value == pytest.approx(b.features["a"].frechet.value, rel=1e-6)
    assert a.candidates[0].weighted
    assert a.candidates[0].effective_size == 60
    np.testing.assert_allclose(
        a.candidates[0].mean, half.deposits.double().mean(0).numpy(), rtol=1e-9
    )
    np.testing.assert_allclose(a.candidates[0].correlation, b.candidates[0].correlation, atol=1e-9)


def test_a_series_is_the_mean_of_its_parts() -> None:
    found = evaluate(
        in_layers(60), {"a": in_layers(60, seed=3)}, observables=(LAYER_ENERGY,), settings=QUICK
    ).comparisons["a"]
    [comparison] = found.values()
    assert list(comparison.parts) == [f"layer {k}" for k in range(5)]
    assert comparison.distance.value == pytest.approx(
        np.mean([p.distance.value for p in comparison.parts.values()])
    )
    assert comparison.separation.floor == pytest.approx(
        np.mean([p.separation.floor for p in comparison.parts.values()])
    )


def test_a_preset_decides_bins_and_threshold() -> None:
    rules = ("response", "layer_energy:layer 3", "cell_energy_log")
    preset = mine(**dict.fromkeys(rules, few_bins))
    full, candidate = in_layers(80), in_layers(80, seed=2, width=30.0)
    chosen = tuple(
        o
        for o in catalogue(SMALL, 0.5)
        if o.name in ("response", "layer_energy", "cell_energy_log")
    )
    found = evaluate(
        full, {"a": candidate}, preset=preset, observables=chosen, settings=QUICK
    ).comparisons["a"]

    def power(a: np.ndarray, b: np.ndarray) -> float:
        f, g = (np.histogram(x, np.linspace(0, a.max(), 5))[0] / 1.0 for x in (a, b))
        f, g = f / f.sum(), g / g.sum()
        return float(0.5 * ((f - g) ** 2 / np.where(f + g > 0, f + g, 1)).sum())

    responses = [RESPONSE.function(s).numpy() for s in (full, candidate)]
    layers = [LAYER_ENERGY.function(s).numpy()[:, 3] for s in (full, candidate)]
    cells = [s.deposits[s.deposits > 0].double().numpy() for s in (full, candidate)]
    assert found["response"].separation.value == pytest.approx(power(*responses), rel=1e-9)
    assert found["layer_energy"].parts["layer 3"].separation.value == pytest.approx(
        power(*layers), rel=1e-9
    )
    assert found["cell_energy_log"].separation.value == pytest.approx(power(*cells), rel=1e-9)


def test_slices_cover_the_energies_and_mark_what_was_left_out() -> None:
    energy = energies(2000)
    wide_in_the_middle = torch.where((energy > 4e4) & (energy < 6e4), 32.0, 25.0)
    parts = [toy(energy, seed=2), toy(energy, seed=2, width=32.0)]
    deposits = torch.where(
        (wide_in_the_middle == 32)[:, None], parts[1].deposits, parts[0].deposits
    )
    candidate = Showers(deposits, parts[0].particles, parts[0].calorimeter)
    evaluation = evaluate(
        toy(energy), {"a": candidate}, settings=replace(QUICK, left_out=(4e4, 6e4))
    )
    slices = evaluation.slices["a"]
    assert [s.left_out for s in slices].count(True) == 1
    assert sum(s.n_full for s in slices) == 2000
    assert [a.high == b.low for a, b in pairwise(slices)] == [True] * (len(slices) - 1)
    shares = {s.left_out: s.scores["max_fraction"].ratio_to_floor for s in slices}
    assert shares[True] > 5 * shares[False]


def test_one_energy_has_no_slices() -> None:
    assert compared(900).slices == {"wide": (), "perfect": ()}


def test_a_training_sample_is_asked_what_it_knows() -> None:
    energy = torch.full((1500,), 5e4)
    evaluation = evaluate(
        toy(energy),
        {"a": toy(energy[:600], seed=2)},
        training=toy(energy[:100], seed=3),
        observables=SQUIRELS,
        settings=QUICK,
    )
    found = evaluation.amplifications["a"]
    assert set(found) == {o.name for o in SQUIRELS if o.entry is Entry.SHOWER}
    assert found["response"].factor > 1


def test_samples_of_any_size_are_compared() -> None:
    evaluation = evaluate(toy(energies(60)), {"more": toy(energies(90, seed=5))}, settings=QUICK)
    assert "response" in evaluation.comparisons["more"]
    assert not shares_energies(*evaluation.samples)


def test_the_examples_are_the_same_showers_or_the_nearest_in_energy() -> None:
    energy = energies(51)
    evaluation = evaluate(
        toy(energy),
        {"same": toy(energy, seed=2), "other": toy(energies(40, seed=5))},
        settings=QUICK,
    )
    full, same, other = evaluation.samples
    assert full.example.energy == pytest.approx(np.median(full.energies))
    assert [e.row for e in same.examples] == [e.row for e in full.examples]
    for mine, theirs in zip(other.examples, full.examples, strict=True):
        gap = np.abs(other.energies - theirs.energy)
        assert gap[mine.row] == gap.min()
    assert (same.example.dense(100) == toy(energy, seed=2).deposits[full.example.row].numpy()).all()


def test_observables_can_be_chosen() -> None:
    energy = energies(20)
    evaluation = evaluate(toy(energy), {"a": toy(energy)}, observables=(N_HITS,), settings=QUICK)
    assert list(evaluation.comparisons["a"]) == ["n_hits"]
    assert evaluate(toy(energy), {"a": toy(energy)}, settings=QUICK).observables == catalogue(
        toy(energy).calorimeter
    )


def test_layers_are_compared_where_there_are_some() -> None:
    evaluation = evaluate(in_layers(30), {"a": in_layers(30, seed=2)}, settings=QUICK)
    assert {LAYERS.name, SPECTRUM.name} <= set(evaluation.comparisons["a"])


def test_progress_is_told() -> None:
    told: list[str] = []
    energy = energies(20)
    evaluate(
        toy(energy), {"a": toy(energy)}, full_name="Geant4", settings=QUICK, progress=told.append
    )
    assert told[:2] == ["reading Geant4", "reading a"]
    assert "comparing Total energy" in told


def test_another_calorimeter_is_refused() -> None:
    energy = energies(20)
    with pytest.raises(
        GeometryMismatchError, match="sample 'a' is of calorimeter 'calochallenge-2'"
    ):
        evaluate(toy(energy), {"a": toy(energy, calorimeter=CYLINDERS[0])}, settings=QUICK)
    with pytest.raises(GeometryMismatchError, match="sample 'training'"):
        evaluate(
            toy(energy),
            {"a": toy(energy)},
            training=toy(energy, calorimeter=CYLINDERS[0]),
            settings=QUICK,
        )


@pytest.mark.parametrize("names", [[], ["Full"], ["a", "Full"]])
def test_names_that_cannot_be_told_apart_are_refused(names: list[str]) -> None:
    showers = toy(energies(20))
    with pytest.raises(ShowerValueError, match="expected at least one, none of them 'Full'"):
        evaluate(showers, dict.fromkeys(names, showers), full_name="Full", settings=QUICK)


@pytest.mark.parametrize(("n", "m"), [(3, 20), (20, 3), (0, 20)])
def test_too_few_showers_are_refused(n: int, m: int) -> None:
    with pytest.raises(ShowerValueError, match=r"has [03] showers, expected at least 4"):
        evaluate(toy(energies(n)), {"a": toy(energies(m))}, settings=QUICK)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_impossible_deposits_are_refused(bad: float) -> None:
    full = toy(energies(20))
    deposits = full.deposits.clone()
    deposits[13, 57] = bad
    with pytest.raises(ShowerValueError, match=r"sample 'a'.*shower 13, cell 57"):
        evaluate(
            full,
            {"a": Showers(deposits, full.particles, full.calorimeter)},
            settings=replace(QUICK, batch_size=6),
        )


def test_the_seed_decides() -> None:
    energy = energies(40)
    samples = toy(energy), {"a": toy(energy, seed=2)}
    settings = [
        Settings(seed=s, replicas=4, splits=4, classifiers=(), neighbour_showers=0)
        for s in (1, 1, 2)
    ]
    results = [evaluate(*samples, settings=one).comparisons for one in settings]
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_times_and_hadrons_are_measured_where_they_are_known() -> None:
    def hits(seed: int, *, timed: bool = True) -> Hits:
        found = Hits.of(in_layers(60, seed=seed))
        return replace(found, times=torch.rand(found.n_hits)) if timed else found

    settings = replace(QUICK, mip=1000.0, neighbour_showers=0)
    names = {o.name for o in evaluate(hits(1), {"a": hits(2)}, settings=settings).observables}
    assert {o.name for o in (*TIMED, *hadronic(1000.0))} <= names
    untimed = {"a": hits(2, timed=False)}
    names = {o.name for o in evaluate(hits(1), untimed, settings=QUICK).observables}
    assert names == {o.name for o in catalogue(SMALL)}
