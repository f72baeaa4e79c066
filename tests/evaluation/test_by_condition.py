"""In which bin of energy, angle and species a candidate is wrong, and in none where it is right."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from caloforge.classifiers import DEFAULT_CLASSIFIERS
from caloforge.evaluation import Evaluation, evaluate
from caloforge.evaluation.findings import Bin, Score
from caloforge.evaluation.significance import Significance, significance_of_bin, worst_of_bin
from caloforge.observables import catalogue
from caloforge.particles import Particles
from caloforge.report import summary
from caloforge.report.bin_tables import bin_name, bin_rows, worst_bins
from caloforge.report.numbers import numbers
from caloforge.showers import Showers
from tests.evaluation.samples import QUICK, energies, toy

N = 1600
_HIGH = DEFAULT_CLASSIFIERS[1]
SHORT = (replace(_HIGH, training=replace(_HIGH.training, epochs=20)),)
OBSERVABLES = ("response", "n_hits", "max_fraction", "width_x")


def _particles(seed: int = 1, n: int = N) -> Particles:
    drawn = torch.rand(2, n, generator=torch.Generator().manual_seed(seed))
    species = torch.where(drawn[0] < 0.5, 11, 22)
    return Particles(energies(n, seed=seed), species, 0.7 * drawn[1], torch.zeros(n))


def _showers(particles: Particles, seed: int, wrong: Tensor | None = None) -> Showers:
    """Toy showers, too wide where they are wrong."""
    right, wide = (toy(particles.energies, seed=seed, width=w).deposits for w in (25.0, 27.0))
    chosen = torch.zeros(len(particles), dtype=torch.bool) if wrong is None else wrong
    return Showers(
        torch.where(chosen[:, None], wide, right),
        particles,
        toy(particles.energies[:1]).calorimeter,
    )


def _evaluated(candidate: Showers, **changes: object) -> Evaluation:
    full = _showers(_particles(), 1)
    chosen = tuple(o for o in catalogue(full.calorimeter) if o.name in OBSERVABLES)
    return evaluate(full, {"a": candidate}, observables=chosen, settings=replace(QUICK, **changes))


@pytest.mark.parametrize(
    ("of", "low", "high"), [("energy", 4.6e4, 6.4e4), ("angle", 0.2, 0.34), ("species", 22, 22)]
)
def test_the_bin_in_which_a_candidate_is_wrong_comes_first(
    of: str, low: float, high: float
) -> None:
    p = _particles()
    assert p.theta is not None
    value = {"energy": p.energies, "angle": p.theta, "species": torch.as_tensor(p.pdg)}[of]
    evaluation = _evaluated(_showers(p, 2, (value >= low) & (value <= high)))
    first = evaluation.bins["a"][0]
    assert first.of == of
    assert first.low < high + 1e-9
    assert first.high > low - 1e-9
    assert significance_of_bin(first) is Significance.FAR
    [line] = [line for line in summary(evaluation) if line.startswith("Worst bins: a ")]
    assert bin_name(first) in line
    assert bin_rows(evaluation)[0].cells[1] == bin_name(first)
    [found] = numbers([evaluation])["evaluations"]
    assert found["bins"]["a"][0]["worst"] == worst_of_bin(first)[0]


@pytest.mark.parametrize("shared", [True, False])
def test_equal_distributions_give_no_alarm(shared: bool) -> None:
    for seed in (11, 12):
        candidate = _showers(_particles(1 if shared else seed), seed)
        found = _evaluated(candidate).bins["a"]
        assert {one.of for one in found} == {"energy", "angle", "species"}
        assert {significance_of_bin(one) for one in found} == {Significance.FLOOR}


@pytest.mark.parametrize(("bad", "value"), [(slice(None, None, 10), 0.0), (slice(4, 5), 1e4)])
def test_what_few_showers_carry_is_beyond_the_floor_in_bins_too(bad: slice, value: float) -> None:
    """A tenth of the showers empty, or one with a broken cell."""
    deposits = (right := _showers(_particles(2), 2)).deposits.clone()
    deposits[bad] = value * right.deposits.mean()
    evaluation = _evaluated(Showers(deposits, right.particles, right.calorimeter))
    assert significance_of_bin(evaluation.bins["a"][0]) is Significance.FAR
    assert not any("none beyond the floor" in line for line in summary(evaluation))


def test_a_bin_that_an_auc_alone_tells_is_named_with_it() -> None:
    scores = {"width_x": Score(0.01, 0.01, 0.01, 0.01)}
    aucs = {"high-level": Score(0.3, 0.01, 0.5, 0.01)}
    bad = Bin("energy", 2e4, 5e4, 500, 500, scores, {"width_x": 0.5}, aucs, 1)
    settings = replace(QUICK, classifiers=SHORT)
    evaluation = replace(
        _evaluated(_showers(_particles(), 2)), bins={"a": (bad,)}, settings=settings
    )
    assert worst_bins(evaluation) == (
        "Worst bins: a 20 GeV to 50 GeV, "
        "AUC of the classifier on high-level features 0.300 ± 0.010."
    )


def test_a_few_fixed_energies_are_a_bin_each() -> None:
    energy = torch.tensor([2e4, 5e4, 8e4]).repeat_interleave(200)
    evaluation = evaluate(toy(energy), {"a": toy(energy, seed=2)}, settings=QUICK)
    assert [(one.low, one.high) for one in evaluation.slices["a"]] == [
        (2e4, 2e4),
        (5e4, 5e4),
        (8e4, 8e4),
    ]
    assert {bin_name(one) for one in evaluation.bins["a"]} == {"20 GeV", "50 GeV", "80 GeV"}


def test_what_does_not_vary_has_no_bins() -> None:
    energy = torch.full((900,), 5e4)
    evaluation = evaluate(toy(energy), {"a": toy(energy, seed=2)}, settings=QUICK)
    assert evaluation.bins == {"a": ()}
    assert not any("Worst bins" in line for line in summary(evaluation))


def test_an_auc_is_that_of_the_showers_in_the_bin() -> None:
    p = _particles(n=600)
    full, candidate = _showers(p, 1), _showers(p, 2, torch.as_tensor(p.pdg) == 22)
    chosen = tuple(o for o in catalogue(full.calorimeter) if o.name in OBSERVABLES)
    settings = replace(QUICK, classifiers=SHORT, trainings=5)
    found = evaluate(full, {"a": candidate}, observables=chosen, settings=settings)
    aucs = {bin_name(one): one.aucs["high-level"] for one in found.bins["a"] if one.aucs}
    assert abs(aucs["e-"].value - 0.5) < 3 * aucs["e-"].floor_error
    assert aucs["gamma"].value > 0.7
    assert found.classifiers["a"]["high-level"].auc.value < aucs["gamma"].value
