"""What is odd about samples is found and said, and a grave oddity makes the verdict void."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from caloforge.errors import ShowerValueError
from caloforge.evaluation import Evaluation, Settings, evaluate
from caloforge.evaluation.copies import fingerprints
from caloforge.evaluation.doubts import Doubt, doubts
from caloforge.evaluation.findings import Copies
from caloforge.evaluation.significance import Significance, overall, significance_of, worst
from caloforge.hits import Hits
from caloforge.metrics import Score
from caloforge.observables import BRIGHTEST, RESPONSE
from caloforge.particles import Particles
from caloforge.report import verdict
from caloforge.showers import Showers
from tests.catalogue import CYLINDERS
from tests.evaluation.samples import QUICK, energies, toy
from tests.evaluation.test_evaluation import SHORT

N = 120
FULL = toy(energies(N))
OTHER = toy(energies(N, seed=5), seed=2)


def compared(
    candidate: Showers, full: Showers = FULL, training: Showers | None = None, **settings: object
) -> Evaluation:
    return evaluate(
        full,
        {"mine": candidate},
        full_name="Geant4",
        training=training,
        observables=(RESPONSE, BRIGHTEST),
        settings=replace(QUICK, other_particles=True, **settings),
    )


def found(evaluation: Evaluation) -> tuple[Doubt, ...]:
    return doubts(evaluation, evaluation.candidates[0])


def scaled(deposits: float = 1.0, incident: float = 1.0) -> Showers:
    return Showers(
        OTHER.deposits * deposits, Particles(OTHER.energies * incident), OTHER.calorimeter
    )


def with_deposits(deposits: torch.Tensor) -> Showers:
    return Showers(deposits, OTHER.particles, OTHER.calorimeter)


def emptied() -> Showers:
    deposits = OTHER.deposits.clone()
    deposits[:9] = 0
    return with_deposits(deposits)


def hot() -> Showers:
    deposits = OTHER.deposits.clone()
    deposits[4, 7] = 1e7
    return with_deposits(deposits)


def photons() -> Showers:
    return Showers(OTHER.deposits, Particles(OTHER.energies, pdg=22), OTHER.calorimeter)


def joined(*parts: Showers) -> Showers:
    return Showers.cat(parts)


SHUFFLED = torch.randperm(N, generator=torch.Generator().manual_seed(1))
GRAVE: dict[str, tuple[Callable[[], Showers], str]] = {
    "copy": (lambda: FULL, f"{N} of {N} showers of mine are in Geant4 bit for bit"),
    "shuffled": (lambda: FULL[SHUFFLED], f"{N} of {N} showers of mine are in Geant4 bit for bit"),
    "half": (lambda: joined(FULL[:60], OTHER[60:]), f"60 of {N} showers of mine are in Geant4"),
    "repeated": (lambda: joined(OTHER[:60], OTHER[:60]), f"60 of {N} showers of mine repeat an"),
    "deposits in GeV": (
        lambda: scaled(1e-3),
        "times that of Geant4: are all deposits and incident energies in MeV?",
    ),
    "energies in GeV": (
        lambda: scaled(1, 1e-3),
        "typically: are deposits and incident energies in the same unit?",
    ),
    "all in GeV": (lambda: scaled(1e-3, 1e-3), "The incident energies of mine are 0.000"),
    "all in keV": (lambda: scaled(1e3, 1e3), "times those of Geant4: are both in MeV?"),
    "fraction twice": (lambda: scaled(0.033), "is a calibration or a sampling fraction missing"),
    "rows apart": (lambda: with_deposits(OTHER.deposits[SHUFFLED]), "are they rows of the same"),
    "few": (lambda: OTHER[:30], "mine has 30 showers; a verdict takes 50"),
}


@pytest.mark.parametrize("kind", GRAVE)
def test_a_grave_doubt_makes_the_verdict_void(kind: str) -> None:
    make, said = GRAVE[kind]
    evaluation = compared(make())
    assert any(said in doubt.text for doubt in found(evaluation) if doubt.grave), found(evaluation)
    assert overall(evaluation, evaluation.candidates[0]) is None
    assert verdict(evaluation, evaluation.candidates[0]).startswith("No verdict. ")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (emptied, f"9 of {N} showers of mine have no energy, none of Geant4."),
        (hot, "Shower 4 of mine has"),
        (lambda: joined(FULL[:1], OTHER[1:]), f"1 of {N} showers of mine are in Geant4"),
        (photons, "mine is of gamma by its file, Geant4 of e-"),
    ],
    ids=["empty", "hot", "one copied", "another species"],
)
def test_a_small_oddity_is_said_beside_the_verdict(make: Callable[[], Showers], said: str) -> None:
    evaluation = compared(make())
    [doubt] = found(evaluation)
    assert said in doubt.text
    assert not doubt.grave
    assert overall(evaluation, evaluation.candidates[0]) is not None
    assert said in verdict(evaluation, evaluation.candidates[0])


@pytest.mark.parametrize("candidate", [OTHER, toy(energies(N), seed=3), toy(energies(N), width=40)])
def test_there_is_no_doubt_about_independent_samples(candidate: Showers) -> None:
    assert found(compared(candidate, training=toy(energies(N, seed=8), seed=9))) == ()


def test_training_showers_are_found_in_the_reference_and_in_a_candidate() -> None:
    training = joined(FULL[:70], OTHER[:50])
    copies = compared(OTHER, training=training).copies
    assert copies == (
        Copies("mine", "training", 50, N),
        Copies("Geant4", "training", 70, N),
    )
    [first, second] = found(compared(OTHER, training=training))
    assert "50 of 120 showers of mine are in the training sample" in second.text + first.text
    assert "70 of 120 showers of Geant4 are in the training sample" in second.text + first.text


@pytest.mark.parametrize("calorimeter", CYLINDERS, ids=lambda c: c.name)
def test_fingerprints_depend_on_the_deposits_alone(calorimeter: object) -> None:
    showers = toy(energies(40), calorimeter=calorimeter)
    showers.deposits[3] = 0
    prints = fingerprints(showers)
    assert torch.equal(fingerprints(Hits.of(showers)), prints)
    assert torch.equal(torch.cat([fingerprints(showers[:7]), fingerprints(showers[7:])]), prints)
    assert prints[3] == 0
    assert len(np.unique(prints)) == int((prints != 0).sum()) + 1
    changed = Showers(showers.deposits.clone(), showers.particles, calorimeter)
    row = int(prints.nonzero()[0])
    cell = int(changed.deposits[row].argmax())
    changed.deposits[row, cell] = torch.nextafter(changed.deposits[row, cell], torch.tensor(0.0))
    assert (fingerprints(changed) != prints).nonzero().tolist() == [[row]]


def test_an_auc_below_chance_is_explained() -> None:
    settings = replace(QUICK, classifiers=SHORT, trainings=2)
    evaluation = evaluate(FULL, {"mine": OTHER}, observables=(RESPONSE,), settings=settings)
    separation = evaluation.classifiers["mine"]["low-level"]
    auc = Score(0.41, 0.006, 0.5, 0.03)
    below = replace(evaluation, classifiers={"mine": {"low-level": replace(separation, auc=auc)}})
    [doubt] = found(below)
    assert "is 0.410, significantly below 0.5" in doubt.text


def test_an_observable_is_as_significant_as_its_worst_label() -> None:
    """A mean hides a label."""
    comparison = compared(OTHER).comparisons["mine"][BRIGHTEST.name]
    near, far = Score(1.0, 0.1, 1.0, 0.2), Score(4.0, 0.1, 1.0, 0.2)
    good = {label: replace(part, distance=near) for label, part in comparison.parts.items()}
    flat = replace(comparison, distance=near, parts=good)
    assert significance_of(flat) is Significance.FLOOR
    label = list(good)[2]
    hiding = replace(flat, parts={**good, label: replace(good[label], distance=far)})
    assert significance_of(hiding) is Significance.FAR
    assert worst(hiding) == (label, far)


def test_the_worst_of_many_labels_is_not_taken_for_significant_by_chance() -> None:
    """One of six labels exceeds three deviations six times as often as one alone."""
    comparison = compared(OTHER).comparisons["mine"][BRIGHTEST.name]
    near, odd = Score(1.0, 0.1, 1.0, 0.2), Score(1.65, 0.1, 1.0, 0.2)
    good = {label: replace(part, distance=near) for label, part in comparison.parts.items()}
    label = next(iter(good))
    parts = {**good, label: replace(good[label], distance=odd)}
    assert odd.resolved
    assert significance_of(replace(comparison, distance=near, parts=parts)) is Significance.FLOOR


def weighted(weights: torch.Tensor) -> Showers:
    return Showers(OTHER.deposits, OTHER.particles, OTHER.calorimeter, weights=weights)


@pytest.mark.parametrize("carrying", [4, 13, 40])
def test_what_few_weighted_showers_cannot_give_is_named_and_the_rest_is_given(
    carrying: int,
) -> None:
    candidate = weighted((torch.arange(N) < carrying).float())
    settings = Settings(
        replicas=10, splits=10, classifiers=SHORT, trainings=2, neighbour_showers=100
    )
    evaluation = evaluate(FULL, {"mine": candidate}, full_name="Geant4", settings=settings)
    assert set(evaluation.comparisons["mine"]) == {o.name for o in evaluation.observables}
    assert set(evaluation.gaps["mine"]) == {"fpd", "fpd_trimmed", "kpd", "neighbours", "low-level"}
    assert all(
        f"mine has {n} showers, worth {carrying} of weight 1, for it" in reason
        for reason, n in zip(evaluation.gaps["mine"].values(), (100, 100, 100, 100, N), strict=True)
    )
    assert overall(evaluation, evaluation.candidates[0]) is None


@pytest.mark.parametrize("zeros", [slice(0, 60), slice(90, None), slice(30, 90)])
def test_weights_of_zero_in_a_block_of_rows_cost_no_distance(zeros: slice) -> None:
    n = 240
    candidate, weights = toy(energies(n, seed=5), seed=2), torch.ones(n)
    weights[zeros] = 0
    given = Showers(candidate.deposits, candidate.particles, candidate.calorimeter, weights=weights)
    evaluation = evaluate(toy(energies(n)), {"mine": given}, settings=QUICK)
    assert evaluation.gaps["mine"] == {}
    assert evaluation.comparisons["mine"]["response"].batched is None


def test_one_shower_that_carries_all_weight_is_refused_by_name() -> None:
    with pytest.raises(ShowerValueError, match="sample 'mine' has 1 shower with a weight above 0"):
        compared(weighted((torch.arange(N) == 3).float()))


@pytest.mark.parametrize("left_out", [(2e5, 3e5), (3e4, 3.1e4)])
def test_energies_left_out_that_hold_few_showers_are_said(left_out: tuple[float, float]) -> None:
    evaluation = compared(OTHER, left_out=left_out)
    assert (
        "expected at least 100 of each: interpolation is not" in evaluation.gaps["mine"]["left_out"]
    )
