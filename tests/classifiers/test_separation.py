"""Classifiers against distributions whose best AUC, divergence and weights are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm

from caloforge.classifiers import (
    CLASSIFIERS,
    DEFAULT_CLASSIFIERS,
    Calibration,
    Classifier,
    Convolutional,
    CrossValidation,
    Dense,
    EveryCell,
    Keep,
    RandomSplit,
    ResNet3d,
    RingConvolutional,
    Separation,
    Training,
    classifiers_for,
    separate,
    separate_features,
)
from caloforge.errors import GeometryError, GeometryMismatchError, ShowerValueError, TrainingError
from caloforge.geometry import calochallenge_1_photons, calochallenge_2, pbwo4_crystals
from caloforge.learn.training import CONSTANT, Adam, Plateau
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.catalogue import CALORIMETERS, CYLINDERS, GRIDS, name_of


def quick(classifier: Classifier, epochs: int = 15, **changes: object) -> Classifier:
    return replace(
        classifier,
        architecture=Dense((32,)),
        training=replace(classifier.training, epochs=epochs, **changes),
    )


OURS = quick(DEFAULT_CLASSIFIERS[0])
UNDECAYED = Adam(2e-3)
ALONE = quick(DEFAULT_CLASSIFIERS[0], 3)
SMALL = {
    type(a): a
    for a in (ResNet3d((2, 2, 2, 2), (1, 1, 1, 1)), Convolutional(2), RingConvolutional(2))
}


def gaussians(n: int, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Ten standard normal features, shifted along a direction that is no axis."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(10, generator=torch.Generator().manual_seed(1234))
    return torch.randn(n, 10, generator=generator) + shift * direction / direction.norm()


def showers(n: int, seed: int = 0, weights: torch.Tensor | None = None) -> Showers:
    generator = torch.Generator().manual_seed(seed)
    deposits = 50 * torch.rand(n, 100, generator=generator).square()
    return Showers(
        deposits,
        Particles(1e3 * (1 + torch.rand(n, generator=generator))),
        pbwo4_crystals(),
        weights,
    )


def test_one_law_is_at_chance() -> None:
    found = separate_features(gaussians(1000, seed=2), gaussians(1000, seed=3), OURS)
    assert abs(found.auc.value - 0.5) < 4 * found.auc.floor_error
    assert not found.auc.resolved
    assert not found.jsd.resolved
    assert found.auc.floor == 0.5
    assert found.auc.floor_error == pytest.approx(math.sqrt(1 / (6 * 1000)), rel=1e-3)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_shifted_gaussians_are_told_apart_as_well_as_they_can_be(shift: float) -> None:
    found = separate_features(gaussians(1000), gaussians(1000, shift, seed=1), OURS)
    best = norm.cdf(shift / math.sqrt(2))
    assert best - 0.04 < found.auc.value < best + 0.02
    assert found.auc.resolved
    assert found.accuracies.value == pytest.approx(norm.cdf(shift / 2), abs=0.03)


def divergence(shift: float) -> float:
    """The Jensen-Shannon divergence of two unit Gaussians, in bits, by the rectangle rule."""
    x = np.linspace(-10, 10 + shift, 20_001)
    p, q = norm.pdf(x), norm.pdf(x - shift)
    m = (p + q) / 2
    parts = [np.where(f > 0, f * np.log2(np.maximum(f, 1e-300) / m), 0.0) for f in (p, q)]
    return float((parts[0] + parts[1]).sum() * (x[1] - x[0]) / 2)


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_divergence_and_cross_entropy_are_those_of_the_laws(shift: float) -> None:
    found = separate_features(gaussians(1000), gaussians(1000, shift, seed=1), OURS)
    assert found.jsd.value == pytest.approx(divergence(shift), abs=0.04)
    assert found.jsd.value == pytest.approx(1 - found.cross_entropies.value / math.log(2))


def test_the_weights_are_the_ratio_of_the_densities() -> None:
    shift = 1.5
    full, candidate = gaussians(1500), gaussians(1500, shift, seed=1)
    found = separate_features(full, candidate, OURS)
    along = (gaussians(1, 1.0) - gaussians(1))[0]
    for side, x in ((found.full, full), (found.candidate, candidate)):
        assert side.rows.tolist() == list(range(1500))
        true = ((shift**2 / 2 - shift * x @ along) / math.log(10)).numpy()
        assert np.corrcoef(true, side.log_weights)[0, 1] > 0.93
        assert np.polyfit(true, side.log_weights, 1)[0] == pytest.approx(1, abs=0.2)
    expected = norm.cdf(0.0, shift**2 / 2 / math.log(10), shift / math.log(10))
    histogram = found.weights_histogram(40)
    assert histogram.full[:20].sum() == pytest.approx(expected, abs=0.03)
    assert histogram.candidate[20:].sum() == pytest.approx(expected, abs=0.03)


def test_a_histogram_of_weights_holds_all_showers() -> None:
    found = separate_features(gaussians(200), gaussians(300, 1.0, seed=1), ALONE)
    histogram = found.weights_histogram(7)
    assert histogram.edges.shape == (8,)
    assert histogram.edges == pytest.approx(-histogram.edges[::-1])
    assert histogram.full.sum() == pytest.approx(1)
    assert histogram.candidate.sum() == pytest.approx(1)
    assert histogram.full_error**2 * 200 == pytest.approx(histogram.full)


def test_the_tails_are_the_showers_that_fit_least() -> None:
    full, candidate = gaussians(300), gaussians(300, seed=1)
    full[100:200, 0] += 4
    candidate[100:200, 0] -= 4
    found = separate_features(full, candidate, OURS)
    tails = found.tails(150)
    assert (np.diff(tails.missed.log_weights) <= 0).all()
    assert (np.diff(tails.spurious.log_weights) >= 0).all()
    for side in (tails.missed, tails.spurious):
        assert len(set(range(100, 200)) & set(side.rows)) >= 80
    assert len(found.tails(0).missed) == 0
    assert len(found.tails(999).spurious) == 300


def test_after_calibration_the_curve_is_the_diagonal() -> None:
    one = quick(CLASSIFIERS["calochallenge"][1], 5, batch_size=128, adam=Adam(2e-3))
    found = separate_features(gaussians(2000), gaussians(2000, 1.0, seed=1), one)
    enough = found.after.count > 100
    assert enough.sum() >= 4
    assert found.after.predicted[enough] == pytest.approx(found.after.observed[enough], abs=0.09)
    assert found.after.count.sum() == found.before.count.sum() == 5 * 800


def test_a_difference_in_correlation_alone_is_found() -> None:
    x, y = gaussians(1000), gaussians(1000, seed=1)
    y[:, 1] = 0.9 * y[:, 0] + math.sqrt(1 - 0.81) * y[:, 1]
    assert separate_features(x, y, replace(OURS, architecture=Dense((32, 32)))).auc.value > 0.75


@pytest.mark.parametrize("preset", CLASSIFIERS)
def test_energies_in_common_are_no_clue(preset: str) -> None:
    same = torch.rand(400, 10)
    found = separate_features(same, same.clone(), quick(CLASSIFIERS[preset][0], 5))
    assert found.auc.value == pytest.approx(0.5, abs=1e-12)


def test_a_feature_that_never_varies_does_no_harm() -> None:
    x, y = gaussians(300), gaussians(300, 2.0, seed=1)
    x[:, 0] = y[:, 0] = 1e4
    assert 0.8 < separate_features(x, y, OURS).auc.value < 1


def test_a_runaway_value_does_no_harm() -> None:
    x, y = gaussians(300), gaussians(300, 2.0, seed=1)
    x[7, 0] = 3e38
    assert 0.8 < separate_features(x, y, OURS).auc.value < 1


def plain(found: Separation) -> tuple[object, ...]:
    arrays = (
        found.full.log_weights,
        found.candidate.log_weights,
        found.roc.true_positive,
        found.after.predicted,
    )
    return found.areas, found.divergences, found.auc, found.jsd, *(x.tolist() for x in arrays)


@pytest.mark.parametrize("preset", CLASSIFIERS)
def test_the_seed_alone_decides_and_the_global_state_is_left_alone(preset: str) -> None:
    x, y = gaussians(100), gaussians(120, 1.0, seed=1)
    one = quick(CLASSIFIERS[preset][0], 2)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002 (the global generator is what is watched)
    first = plain(separate_features(x, y, one, seed=-4, trainings=2))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    torch.rand(5)
    assert plain(separate_features(x, y, one, seed=-4, trainings=2)) == first
    assert separate_features(x, y, one, seed=5, trainings=2).areas != first[0]


def test_the_error_is_the_spread_of_the_trainings() -> None:
    found = separate_features(gaussians(100), gaussians(120, 1.0, seed=1), ALONE, trainings=7)
    assert len(found.areas.values) == 7
    assert found.auc.value == pytest.approx(np.mean(found.areas.values))
    assert found.areas.spread == pytest.approx(np.std(found.areas.values, ddof=1))
    assert found.auc.error == pytest.approx(found.areas.spread / math.sqrt(7))
    assert found.jsd.error == pytest.approx(found.divergences.spread / math.sqrt(7))
    assert (found.n_full, found.n_candidate) == (100, 120)


def test_one_training_has_the_error_of_its_showers() -> None:
    found = separate_features(gaussians(1000), gaussians(1000, 1.0, seed=1), ALONE, trainings=1)
    assert found.auc.error == pytest.approx(math.sqrt(1 / (6 * 200)), rel=0.3)
    assert 0 < found.jsd.error < 0.1
    assert len(found.full) == 200
    assert found.auc.floor_error == pytest.approx(math.sqrt(1 / (6 * 200)), rel=1e-3)


def test_the_roc_curve_belongs_to_the_area() -> None:
    found = separate_features(gaussians(500), gaussians(500, 1.0, seed=1), ALONE)
    grid = found.roc.false_positive
    assert (grid[0], grid[-1], len(grid)) == (0, 1, 101)
    assert (np.diff(found.roc.true_positive) >= 0).all()
    assert found.roc.true_positive.mean() == pytest.approx(found.auc.value, abs=0.01)


def test_weights_can_make_two_laws_one() -> None:
    """Reweighted by the ratio of the densities, the candidate is the full simulation."""
    x, y = gaussians(1000, seed=2), gaussians(1000, 0.6, seed=3)
    along = (gaussians(1, 1.0) - gaussians(1))[0]
    weights = (0.18 - 0.6 * y @ along).exp()
    plain, weighted = (separate_features(x, y, OURS, weights=(None, w)) for w in (None, weights))
    assert plain.auc.value > 0.62
    assert weighted.auc.value == pytest.approx(0.5, abs=4 * weighted.auc.floor_error)
    assert weighted.auc.floor_error > plain.auc.floor_error
    assert weighted.candidate.counts == pytest.approx(weights.double().numpy())


def test_weights_of_showers_reach_the_classifier() -> None:
    weights = torch.ones(120)
    weights[::2] = 0
    full, candidate = showers(100), showers(120, 1, weights)
    found = separate(full, candidate, ALONE)
    assert found.candidate.rows.tolist() == list(range(1, 120, 2))
    without = separate(full, showers(120, 1)[torch.arange(1, 120, 2)], ALONE)
    assert found.areas == without.areas
    doubled = separate(full, replace(candidate, weights=2 * weights), ALONE)
    assert doubled.auc == found.auc


def test_samples_of_two_sizes_weigh_alike() -> None:
    found = separate_features(gaussians(200), gaussians(1000, seed=1), OURS)
    assert abs(found.jsd.value) < 0.02
    assert abs(np.median(found.candidate.log_weights)) < 0.05


def test_the_floor_may_be_that_of_two_halves() -> None:
    full, candidate = showers(240), showers(240, 1)
    found, plain = (separate(full, candidate, ALONE, floor=floor) for floor in (True, False))
    assert (found.auc.value, found.jsd.value) == (plain.auc.value, plain.jsd.value)
    assert found.auc.floor != 0.5
    assert found.auc.floor_error > plain.auc.floor_error
    assert abs(found.auc.floor - 0.5) < 4 * found.auc.floor_error


def brighter(known: dict[str, torch.Tensor], by: torch.Tensor, seed: int) -> Showers:
    """Showers that are brighter by half or fainter, as a sign says."""
    sample = showers(600, seed)
    return replace(
        sample,
        deposits=sample.deposits * (1 + 0.5 * by[:, None]),
        particles=replace(sample.particles, **known),
    )


def test_what_depends_on_species_direction_or_place_is_found() -> None:
    """All showers together are alike; those of one condition are not."""
    sign = torch.randint(2, (600,), generator=torch.Generator().manual_seed(5)) * 2.0 - 1
    conditions = {
        "pdg": torch.where(sign > 0, 11, 22),
        "theta": 0.2 + 0.1 * sign,
        "place": torch.stack([sign, sign], dim=1),
    }
    for name, values in conditions.items():
        samples = [brighter({name: values}, by, seed) for seed, by in enumerate((sign, -sign))]
        seen = separate(*samples, OURS, trainings=2).auc.value
        hidden = [
            replace(sample, particles=Particles(sample.particles.energies)) for sample in samples
        ]
        unseen = separate(*hidden, OURS, trainings=2).auc
        assert abs(unseen.value - 0.5) < 4 * unseen.floor_error
        assert seen > 0.8


def test_images_come_after_all_that_is_known_of_the_particle() -> None:
    sign = torch.arange(60) % 2 * 2.0 - 1
    cylinder = calochallenge_2()
    generator = torch.Generator().manual_seed(0)
    particles = Particles(torch.full((60,), 1e3), torch.where(sign > 0, 11, 22), 0.2 + 0.1 * sign)
    samples = [
        Showers(torch.rand(60, cylinder.n_cells, generator=generator), particles, cylinder)
        for _ in range(2)
    ]
    for preset in ("calochallenge", "l2lflows"):
        for one in classifiers_for(preset, cylinder, threshold=0.01):
            if not isinstance(one.architecture, Dense):
                small = replace(
                    one,
                    architecture=SMALL[type(one.architecture)],
                    training=replace(one.training, epochs=1),
                )
                assert 0 <= separate(*samples, small, trainings=1).auc.value <= 1


@pytest.mark.parametrize(
    "calorimeter", [c for c in CALORIMETERS if c.n_cells < 30_000], ids=name_of
)
@pytest.mark.parametrize("preset", CLASSIFIERS)
def test_every_classifier_scores_a_few_showers(preset: str, calorimeter: object) -> None:
    generator = torch.Generator().manual_seed(0)
    samples = [torch.rand(50, calorimeter.n_cells, generator=generator).square() for _ in range(2)]
    samples[1][0] = 0
    particles = Particles(1e3 * (1 + torch.rand(50, generator=generator)))
    for one in classifiers_for(preset, calorimeter, threshold=0.01):
        small = (
            quick(one, 1)
            if isinstance(one.architecture, Dense)
            else replace(one, architecture=SMALL[type(one.architecture)])
        )
        small = replace(small, training=replace(small.training, epochs=1))
        found = separate(
            *(Showers(deposits, particles, calorimeter) for deposits in samples), small, trainings=1
        )
        assert 0 <= found.auc.value <= 1
        assert np.isfinite(
            [found.jsd.value, found.auc.error, found.jsd.floor_error, found.cross_entropies.value]
        ).all()


def test_images_need_layers_cut_alike() -> None:
    uneven = next(c for c in CYLINDERS if c.name == "uneven")
    names = [one.name for one in classifiers_for("calochallenge", uneven)]
    assert names == ["high-level", "low-level", "low-level-normalised"]
    both = [
        Showers(torch.rand(60, uneven.n_cells), Particles(torch.ones(60)), uneven) for _ in range(2)
    ]
    with pytest.raises(GeometryError, match="'uneven' is no image"):
        separate(*both, CLASSIFIERS["calochallenge"][3])
    assert [one.name for one in classifiers_for("l2lflows", uneven)] == ["high-level"]
    assert [one.name for one in classifiers_for("l2lflows", calochallenge_2())] == [
        "high-level",
        "low-level-ring",
    ]
    assert [one.name for one in classifiers_for("l2lflows", GRIDS[0])] == [
        "high-level",
        "low-level",
    ]


def test_depths_in_mm_need_layers_of_known_thickness() -> None:
    assert classifiers_for("l2lflows", calochallenge_1_photons()) == ()
    assert len(classifiers_for("calochallenge", calochallenge_1_photons())) == 3


def test_the_names_of_a_preset_are_unique() -> None:
    for classifiers in CLASSIFIERS.values():
        assert len({one.name for one in classifiers}) == len(classifiers)
        assert len({one.title for one in classifiers}) == len(classifiers)


def test_large_inputs_are_made_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    full, candidate = showers(100), showers(120, 1)
    held = separate(full, candidate, ALONE, trainings=2)
    monkeypatch.setattr("caloforge.classifiers.separation._MOST_HELD", 0)
    assert separate(full, candidate, ALONE, trainings=2).areas == held.areas


def test_progress_is_told() -> None:
    told: list[str] = []
    separate(showers(60), showers(60, 1), ALONE, trainings=2, progress=told.append)
    assert told == [f"{ALONE.title}: training {k} of 2" for k in (1, 2)]


def test_showers_of_two_calorimeters_are_refused() -> None:
    tower = GRIDS[-1]
    a, b = (
        Showers(torch.rand(60, g.n_cells), Particles(torch.ones(60)), g)
        for g in (pbwo4_crystals(), tower)
    )
    with pytest.raises(GeometryMismatchError, match="the candidate is of calorimeter 'tower'"):
        separate(a, b, ALONE)


def test_too_little_is_refused() -> None:
    with pytest.raises(ShowerValueError, match="100 showers against 49 showers"):
        separate_features(gaussians(100), gaussians(49), ALONE)
    weights = torch.cat([torch.ones(40), torch.zeros(60)])
    with pytest.raises(ShowerValueError, match="against 40 showers"):
        separate(showers(60), showers(100, weights=weights), ALONE)
    with pytest.raises(ShowerValueError, match="0 trainings"):
        separate_features(gaussians(60), gaussians(60), ALONE, trainings=0)


@pytest.mark.parametrize(
    "wish",
    [
        {"keep": Keep.LEAST_LOSS},
        {"calibration": Calibration.ISOTONIC},
        {"patience": 3},
        {"schedule": Plateau(0.5, 3)},
    ],
    ids=str,
)
def test_what_needs_a_selecting_part_is_refused_without(wish: dict[str, object]) -> None:
    options = {"keep": Keep.LAST, "calibration": Calibration.NONE} | wish
    with pytest.raises(TrainingError, match="leaves no showers to select"):
        Training(RandomSplit(0.8, 0.0), **options)


@pytest.mark.parametrize("n", [50, 53, 1000])
@pytest.mark.parametrize(
    "split",
    [RandomSplit(0.6, 0.2), RandomSplit(0.7, 0.1), RandomSplit(0.8, 0.0), CrossValidation(5)],
    ids=str,
)
def test_a_split_uses_each_shower_once(split: RandomSplit | CrossValidation, n: int) -> None:
    parts = split.rows(n, 3, 1)
    assert sorted(np.concatenate(parts)) == list(range(n))
    if isinstance(split, RandomSplit):
        assert len(parts.fit) == math.floor(split.fit * n + 1e-9)
        assert len(parts.select) == math.floor(split.select * n + 1e-9)


def test_turns_score_each_shower_once() -> None:
    scored = np.concatenate([CrossValidation(5).rows(53, 3, turn).score for turn in range(5)])
    assert sorted(scored) == list(range(53))


def test_the_epoch_of_the_least_loss_is_kept() -> None:
    """A network that learns its showers by heart is at its best long before the end."""
    x, y = gaussians(100), gaussians(100, 1.0, seed=1)
    options = {
        "patience": None,
        "adam": Adam(1e-2),
        "calibration": Calibration.NONE,
        "batch_size": 20,
    }
    least, last = (
        separate_features(x, y, quick(OURS, 60, keep=k, **options), trainings=2)
        for k in (Keep.LEAST_LOSS, Keep.LAST)
    )
    assert least.jsd.value > 0
    assert last.jsd.value < 0


def test_patience_ends_a_training() -> None:
    x, y = gaussians(100), gaussians(100, 1.0, seed=1)
    ended = [
        separate_features(
            x, y, quick(OURS, n, patience=2, keep=Keep.LAST, adam=UNDECAYED), trainings=1
        )
        for n in (80, 90)
    ]
    assert ended[0].areas == ended[1].areas
    endless = separate_features(
        x, y, quick(OURS, 80, patience=None, keep=Keep.LAST, adam=UNDECAYED), trainings=1
    )
    assert endless.areas != ended[0].areas


def test_a_plateau_lowers_the_learning_rate() -> None:
    """With a factor of nearly 0 and no patience the network stays as it is once the loss has failed
    to fall.
    """
    x, y = gaussians(200), gaussians(200, 1.0, seed=1)
    options = {
        "split": RandomSplit(0.6, 0.2),
        "keep": Keep.LAST,
        "patience": None,
        "adam": UNDECAYED,
    }
    found = {
        (plateau, epochs): separate_features(
            x, y, quick(OURS, epochs, **options, schedule=plateau), trainings=1
        ).jsd.value
        for plateau in (CONSTANT, Plateau(1e-9, 0))
        for epochs in (60, 70)
    }
    assert found[Plateau(1e-9, 0), 60] == pytest.approx(found[Plateau(1e-9, 0), 70], abs=1e-6)
    assert found[CONSTANT, 60] != pytest.approx(found[CONSTANT, 70], abs=1e-4)


def test_the_inputs_of_our_low_level_classifier_see_cells_total_and_energy() -> None:
    deposits = torch.zeros(2, 100)
    deposits[0, 5], deposits[1, 6] = 100.0, 1e-5
    seen = EveryCell()(
        Showers(deposits, Particles(torch.tensor([1000.0, 2000.0])), pbwo4_crystals())
    )
    assert seen.shape == (2, 202)
    assert seen[0, 5] == 2
    assert (seen[1, :100] == -3).all()
    assert seen[0, 105] == pytest.approx(0.1)
    assert seen[0, 200] == pytest.approx(0.1)
    assert seen[1, 201] == pytest.approx(math.log(2000))
