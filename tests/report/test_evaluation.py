"""Evaluating: numbers are those of the distances, streaming changes nothing, what cannot be judged is refused."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from caloforge.errors import GeometryMismatchError, ShowerValueError
from caloforge.metrics import Network, common_measures, distance, encode
from caloforge.observables import ENERGY_SUM, LAYERS, LOG_SPECTRUM, N_HITS, SQUIRELS
from caloforge.report import Settings, evaluate
from caloforge.report.records import shares_energies
from caloforge.report.tables import Level, level
from caloforge.showers import Showers
from tests.catalogue import CYLINDERS
from tests.report.samples import QUICK, energies, judged, toy, watched


def test_distances_are_those_of_the_metrics() -> None:
    energy = energies(80)
    full, candidate = toy(energy), toy(energy, width=30.0, seed=2)
    result = evaluate(full, {"wide": candidate}, settings=QUICK).distances["wide"]
    hits = common_measures(N_HITS, full.calorimeter, [N_HITS.function(s).numpy() for s in (full, candidate)])
    spectra = common_measures(LOG_SPECTRUM, full.calorimeter, [encode(s.deposits) for s in (full, candidate)])
    for name, (a, b) in (("n_hits", hits), ("cell_energy_log", spectra)):
        assert result[name] == distance(a, b, energies=energy.double().numpy(), replicas=5, cuts=10)


def test_a_perfect_candidate_is_at_the_floor_and_a_wrong_one_is_not() -> None:
    evaluation = judged(1000)
    assert {level(d) for d in evaluation.distances["perfect"].values()} <= {Level.FLOOR, Level.CLOSE}
    assert level(evaluation.distances["wide"]["max_energy"]) is Level.APART
    wide, perfect = evaluation.candidates
    assert evaluation.gain(perfect, ENERGY_SUM) == pytest.approx(
        evaluation.distances["wide"]["energy_sum"].value / evaluation.distances["perfect"]["energy_sum"].value
    )
    assert evaluation.gain(wide, ENERGY_SUM) == 1


def test_a_sample_is_no_distance_from_itself() -> None:
    full = toy(energies(60))
    evaluation = evaluate(full, {"itself": full}, settings=QUICK)
    assert all(d.value == 0 for d in evaluation.distances["itself"].values())
    assert evaluation.gain(evaluation.candidates[0], N_HITS) == 1


def test_candidates_do_not_see_each_other() -> None:
    full, a, b = (toy(energies(60), seed=k) for k in range(3))
    alone = evaluate(full, {"b": b}, settings=QUICK)
    together = evaluate(full, {"a": a, "b": b}, settings=QUICK)
    for name, value in alone.distances["b"].items():
        assert asdict(together.distances["b"][name]) == pytest.approx(asdict(value), rel=1e-9, abs=1e-12)


def test_the_size_of_batches_makes_no_difference() -> None:
    energy = energies(101)
    samples = toy(energy), {"wide": toy(energy, width=30.0, seed=2)}
    first, second = (evaluate(*samples, settings=replace(QUICK, batch_size=size)) for size in (7, 1000))
    assert first.distances == second.distances
    for evaluation in (first, second):
        np.testing.assert_allclose(evaluation.full.mean, samples[0].deposits.double().mean(dim=0).numpy(), rtol=1e-12)


def test_samples_are_read_in_batches_and_the_classifier_sees_what_it_may() -> None:
    energy = energies(300)
    (full, a), (candidate, b) = watched(toy(energy)), watched(toy(energy, seed=2))
    settings = replace(QUICK, batch_size=64, trainings=2, classifier_showers=100, network=Network(widths=(8,), epochs=2))
    evaluation = evaluate(full, {"candidate": candidate}, settings=settings)
    assert a.most == b.most == 100
    assert evaluation.aucs["candidate"].n_full == 100


def test_the_classifier_is_trained_where_it_can_be() -> None:
    network = Network(widths=(16,), epochs=10)
    energy = energies(100)
    candidates = {"few": toy(energy[:40]), "wide": toy(energy, width=40.0, seed=2)}
    aucs = evaluate(toy(energy), candidates, settings=replace(QUICK, trainings=2, network=network)).aucs
    assert list(aucs) == ["wide"]
    assert aucs["wide"].value > 0.95


def test_samples_of_any_size_are_compared() -> None:
    evaluation = evaluate(toy(energies(60)), {"more": toy(energies(90, seed=5))}, settings=QUICK)
    result = evaluation.distances["more"]["response"]
    assert (result.n_full, result.n_candidate) == (60, 90)
    assert not shares_energies(*evaluation.samples)


def test_the_example_is_the_same_shower_of_median_energy_or_the_nearest() -> None:
    energy = energies(51)
    evaluation = evaluate(toy(energy), {"same": toy(energy, seed=2), "other": toy(energies(40, seed=5))}, settings=QUICK)
    full, same, other = evaluation.samples
    assert full.energies[full.example_row] == np.median(full.energies)
    assert same.example_row == full.example_row
    gap = np.abs(other.energies - np.median(full.energies))
    assert gap[other.example_row] == gap.min()
    assert (same.example == toy(energy, seed=2).deposits[full.example_row].numpy()).all()


def test_observables_can_be_chosen() -> None:
    energy = energies(20)
    evaluation = evaluate(toy(energy), {"a": toy(energy)}, observables=(N_HITS,), settings=QUICK)
    assert list(evaluation.distances["a"]) == ["n_hits"]
    assert evaluate(toy(energy), {"a": toy(energy)}, settings=QUICK).observables == SQUIRELS


def test_cylinders_are_judged_by_what_they_have() -> None:
    energy = energies(30)
    full = toy(energy, calorimeter=CYLINDERS[0])
    evaluation = evaluate(full, {"a": toy(energy, seed=2, calorimeter=CYLINDERS[0])}, settings=QUICK)
    assert LAYERS.name in evaluation.distances["a"]


def test_progress_is_told() -> None:
    told: list[str] = []
    energy = energies(20)
    evaluate(toy(energy), {"a": toy(energy)}, full_name="Geant4", settings=QUICK, progress=told.append)
    assert told[:2] == ["reading Geant4", "reading a"]
    assert len(told) == 2 + len(SQUIRELS)


def test_another_calorimeter_is_refused() -> None:
    energy = energies(20)
    with pytest.raises(GeometryMismatchError, match="sample 'a' is of calorimeter 'calochallenge-2'"):
        evaluate(toy(energy), {"a": toy(energy, calorimeter=CYLINDERS[0])}, settings=QUICK)


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
        evaluate(full, {"a": Showers(deposits, full.particles, full.calorimeter)}, settings=replace(QUICK, batch_size=6))


def test_a_candidate_of_nothing_is_refused() -> None:
    full = toy(energies(20))
    with pytest.raises(ShowerValueError, match="no distance"):
        evaluate(full, {"a": Showers(torch.zeros_like(full.deposits), full.particles, full.calorimeter)}, settings=QUICK)


def test_the_seed_decides() -> None:
    energy = energies(40)
    samples = toy(energy), {"a": toy(energy, seed=2)}
    results = [evaluate(*samples, settings=Settings(seed=s, replicas=4, cuts=4, trainings=0)).distances for s in (1, 1, 2)]
    assert results[0] == results[1]
    assert results[0] != results[2]
