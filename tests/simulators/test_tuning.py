"""GFlash fitted to showers: closed-form truth by showers that GFlash itself has made."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import yaml

from caloforge.detector import Boxes, Detector, Layers, Role, Slab, load_detector
from caloforge.errors import (
    CaloforgeError,
    EnergyRangeError,
    FileFormatError,
    GeometryMismatchError,
    OutputExistsError,
    ShowerValueError,
    TrainingError,
)
from caloforge.geometry import CylinderGrid, CylinderLayer, RegularGrid
from caloforge.io import CaloChallengeWriter, open_showers
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.simulators import (
    DEFAULT_CONSTANTS,
    GFlash,
    Tuning,
    departures,
    fit_tuning,
    gflash_of,
    load_gflash,
    pbwo4_gflash,
    write_gflash,
)
from caloforge.simulators.gflash import shower_profiles, tuning
from caloforge.simulators.gflash.shower_profiles import Binning, binned, cut

DETECTOR = Detector(
    "pads",
    (Layers(8, (Slab("G4_PbWO4", 25.0, Role.ACTIVE),), Boxes((6, 6), (20.0, 20.0))),),
    face=(120.0, 120.0),
)
START = replace(gflash_of(DETECTOR), step=0.25)
SHIFTED = replace(
    START,
    tuning=replace(Tuning(), maximum_1=-0.6, alpha_1=0.7, core_1=0.035, tail_1=0.72, weight_1=2.5),
    response=0.97,
)


def electrons(count: int = 400) -> Particles:
    return Particles(torch.linspace(5e3, 5e4, count))


@pytest.fixture(scope="module")
def full() -> Showers:
    return SHIFTED.simulate(electrons(), seed=7)


def expected_showers(simulator: GFlash, energy: float, count: int = 40) -> Showers:
    """Showers of one energy that are all as GFlash expects."""
    particles = Particles(torch.full((count,), energy, dtype=torch.float64))
    mean = simulator.mean(particles[:1], nodes=tuning._NODES)
    return Showers(mean.expand(count, -1), particles, simulator.calorimeter)


def test_a_fit_to_showers_of_other_constants_finds_their_profiles(full: Showers) -> None:
    told: list[int] = []
    fitted = fit_tuning(START, full, slices=2, segments=3, progress=lambda n, loss: told.append(n))
    assert told == list(range(1, fitted.evaluations + 1))
    assert fitted.misfit_before > 10
    assert fitted.misfit < 1
    truth = SHIFTED.mean(electrons(10), nodes=5)
    binning = Binning.of(START.calorimeter, torch.ones(8), 1)
    shares = [
        binning.shares(s.mean(electrons(10), nodes=5), electrons(10).energies)
        for s in (START, fitted.simulator)
    ]
    true = binning.shares(truth, electrons(10).energies)
    for before, after, right, tolerance in zip(
        *shares, true, (0.002, 0.01, 0.01, 0.01), strict=True
    ):
        far, near = (
            (p.mean(0) - right.mean(0)).abs().sum() / right.mean(0).sum() for p in (before, after)
        )
        assert near < tolerance
        assert far > 3 * near
    for departure in fitted.after:
        assert abs(departure.largest) < 0.01 + 4 * departure.largest_error
        assert departure.average < 0.01


def test_a_fit_to_what_is_expected_stays_where_it_is() -> None:
    fitted = fit_tuning(START, expected_showers(START, 2e4), segments=3)
    for name, value in fitted.constants.items():
        assert value == pytest.approx(getattr(Tuning(), name, 1.0), rel=1e-5, abs=1e-7)
    assert fitted.misfit_before == pytest.approx(0, abs=1e-8)
    assert fitted.simulator.step == START.step


def test_the_gradient_is_that_of_finite_differences(full: Showers) -> None:
    problem = tuning._Problem(
        START, DEFAULT_CONSTANTS, tuning._measured(START, full[:100], 1, 3), 0.01, 0.5
    )
    x = 0.02 * torch.randn(len(DEFAULT_CONSTANTS), dtype=torch.float64)
    _, gradient = problem.loss(x)
    for k, name in enumerate(DEFAULT_CONSTANTS):
        shift = torch.zeros_like(x)
        shift[k] = 1e-5
        up, down = problem.loss(x + shift)[0], problem.loss(x - shift)[0]
        assert float(gradient[k]) == pytest.approx(float((up - down) / 2e-5), rel=2e-4, abs=1e-3), (
            name
        )
        assert gradient[k].abs() > 1, name


def test_whitening_makes_the_loss_nearly_round(full: Showers) -> None:
    names = ("maximum_1", "core_1", "tail_1", "response")
    problem = tuning._Problem(START, names, tuning._measured(START, full, 2, 3), 0.01, 0.5)
    whitening = problem.whitening()
    slopes = torch.stack(
        [
            (problem.all_residuals(1e-4 * w) - problem.all_residuals(0 * w)) / 1e-4
            for w in whitening.T
        ]
    )
    torch.testing.assert_close(
        slopes @ slopes.T + whitening.T @ whitening,
        torch.eye(4, dtype=torch.float64),
        atol=0.02,
        rtol=0,
    )


def test_a_constant_without_effect_stays_where_it_is(full: Showers) -> None:
    fitted = fit_tuning(START, full, constants=("core_5", "core_1", "response"), slices=2)
    assert fitted.constants["core_5"] == Tuning().core_5
    assert fitted.constants["core_1"] != Tuning().core_1
    untouched = {f.name for f in fields(Tuning)} - {"core_1"}
    assert fitted.simulator.tuning is not None
    assert all(
        getattr(fitted.simulator.tuning, name) == getattr(Tuning(), name) for name in untouched
    )


def test_a_fit_is_the_same_every_time_and_from_a_file_in_batches(
    full: Showers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("core_1", "tail_1", "response")
    first, again = (fit_tuning(START, full, constants=names, slices=2).constants for _ in range(2))
    assert first == again
    with CaloChallengeWriter(tmp_path / "full.h5", full.calorimeter) as writer:
        writer.append(full)
    monkeypatch.setattr(shower_profiles, "_BATCH", 33)
    from_file = fit_tuning(
        START, open_showers(tmp_path / "full.h5"), constants=names, slices=2
    ).constants
    assert from_file == pytest.approx(first, rel=1e-6)


def test_the_random_state_is_left_alone(full: Showers) -> None:
    before = torch.get_rng_state()
    fit_tuning(START, full, constants=("response",), slices=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_departures_are_told_bin_by_bin(full: Showers) -> None:
    total, longitudinal, radial = departures(SHIFTED, full)
    assert [d.profile for d in (total, longitudinal, radial)] == ["total", "longitudinal", "radial"]
    for departure in (total, longitudinal, radial):
        assert float(departure.full.sum()) == pytest.approx(float(total.full), rel=1e-9)
        assert float(departure.full[departure.bulk].sum()) >= 0.99 * float(total.full)
        smallest = departure.full[departure.bulk].min()
        assert float(departure.full[departure.bulk].sum() - smallest) < 0.99 * float(total.full)
        assert departure.relative[departure.bulk].abs().max() == abs(departure.largest)
        assert (
            (departure.expected - departure.full).abs()[departure.bulk]
            < 5 * departure.error[departure.bulk] + 5e-4
        ).all()
        assert departure.average <= float(departure.relative.abs().max()) * (1 + 1e-9)


def test_profiles_are_means_with_their_standard_errors(full: Showers) -> None:
    binning = Binning.of(full.calorimeter, torch.ones(8, dtype=torch.float64), 4)
    measured = binned(full, binning, [], START.require_mean)
    shares = binning.shares(full.deposits, full.energies)
    assert shares.in_depth.shape == (400, 4, int(binning.ring.max()) + 1)
    for mean, error, each in zip(measured.mean, measured.error, shares, strict=True):
        torch.testing.assert_close(mean[0], each.mean(0))
        torch.testing.assert_close(error[0], each.std(0) / math.sqrt(400))
        torch.testing.assert_close(each.flatten(1).sum(1), shares.total[:, 0])
    logs = full.energies.double().log()
    points = measured.points[0].log()
    torch.testing.assert_close(points.mean(), logs.mean())
    torch.testing.assert_close(points.std(correction=0), logs.std(correction=0))


def test_weights_count_like_repetitions(full: Showers) -> None:
    binning = Binning.of(full.calorimeter, torch.ones(8), 1)
    twice = binned(Showers.cat([full, full[:200]]), binning, [], START.require_mean)
    weights = torch.ones(400)
    weights[:200] = 2
    weighted = binned(replace(full, weights=weights), binning, [], START.require_mean)
    for a, b in zip(twice.mean, weighted.mean, strict=True):
        torch.testing.assert_close(a, b)
    plain, scaled = (
        binned(replace(full, weights=w), binning, [], START.require_mean)
        for w in (None, torch.full((400,), 7.0))
    )
    for a, b in zip((*plain.mean, *plain.error), (*scaled.mean, *scaled.error), strict=True):
        torch.testing.assert_close(a, b)


def test_segments_hold_nearly_equal_shares(full: Showers) -> None:
    profile = torch.tensor([1.0, 4, 4, 3, 2, 1, 1, 0.5])
    binning = Binning.of(full.calorimeter, profile, 3)
    segment = [int(binning.segment[binning.layer == k][0]) for k in range(8)]
    assert segment == sorted(segment)
    assert set(segment) == {0, 1, 2}
    assert set(Binning.of(full.calorimeter, profile, 100).segment.tolist()) == set(range(8))


def test_rings_of_a_cylinder_are_its_own() -> None:
    cylinder = CylinderGrid(
        "rings", (CylinderLayer((0.0, 1.0, 5.0), 4), CylinderLayer((0.0, 1.0, 5.0), 4))
    )
    assert Binning.of(cylinder, torch.ones(2), 1).ring.tolist() == [0, 1] * 8


@pytest.mark.parametrize(
    ("energies", "slices"),
    [
        (torch.linspace(1, 2, 100), [25, 25, 25, 25]),
        (torch.full((100,), 5.0), [100]),
        (torch.tensor([1.0, 2, 3]).repeat_interleave(30), [30, 30, 30]),
        (torch.cat([torch.ones(99), torch.tensor([2.0])]), [100]),
        (torch.linspace(1, 2, 45), [22, 23]),
    ],
    ids=["spread", "one", "three", "odd one", "few"],
)
def test_slices_hold_as_many_showers_each_and_no_energy_is_in_two(
    energies: torch.Tensor, slices: list[int]
) -> None:
    edges = cut(energies, 4)
    number = torch.bucketize(energies, torch.tensor(edges), right=True)
    counts = number.bincount().tolist()
    assert counts == slices or (len(slices) == len(counts) and min(counts) >= 20)


def moved(found: torch.Tensor, right: torch.Tensor) -> float:
    """The share of the energy that is in the wrong place."""
    return float((found - right).abs().sum() / right.sum())


def test_nodes_and_steps_of_a_fit_are_fine_enough() -> None:
    particles = electrons(3)
    exact = replace(START, step=0.1).mean(particles, nodes=9)
    assert (
        moved(replace(START, step=tuning._FIT_STEP).mean(particles, nodes=tuning._NODES), exact)
        < 0.002
    )
    assert moved(START.mean(particles), exact) > 0.01


def test_two_energies_stand_for_a_slice() -> None:
    particles = electrons(200)
    showers = Showers(START.mean(particles), particles, START.calorimeter)
    measured = binned(
        showers,
        Binning.of(START.calorimeter, torch.ones(8), 3),
        cut(particles.energies, 4),
        START.require_mean,
    )
    for k in range(4):
        for expected, mean in zip(measured.expected(START.mean, k), measured.mean, strict=True):
            assert moved(expected, mean[k]) < 0.003


def not_finite(showers: Showers) -> Showers:
    deposits = showers.deposits.clone()
    deposits[37, 5] = math.nan
    return replace(showers, deposits=deposits)


REFUSED: dict[str, tuple[Callable[[Showers], Showers], type[CaloforgeError], str]] = {
    "too few": (lambda s: s[:19], TrainingError, "19 showers, expected at least 20"),
    "none": (lambda s: s[:0], TrainingError, "0 showers"),
    "not finite": (not_finite, ShowerValueError, "shower 37 holds a deposit that is not finite"),
    "no energy": (
        lambda s: replace(s, deposits=s.deposits * 0),
        ShowerValueError,
        "none of the 400 showers holds energy",
    ),
    "other calorimeter": (
        lambda s: replace(s, calorimeter=RegularGrid("other", (6, 6, 8), (20.0, 20.0, 20.0))),
        GeometryMismatchError,
        "full simulation is of calorimeter 'other'",
    ),
    "energies": (
        lambda s: replace(s, particles=Particles(s.energies / 100)),
        EnergyRangeError,
        "expected 100 MeV to 10 TeV",
    ),
    "photons": (
        lambda s: replace(s, particles=Particles(s.energies, pdg=22)),
        ShowerValueError,
        "PDG number 22",
    ),
    "at an angle": (
        lambda s: replace(
            s, particles=Particles(s.energies, theta=torch.full_like(s.energies, 0.1))
        ),
        ShowerValueError,
        "at an angle",
    ),
}


@pytest.mark.parametrize(("change", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_showers_that_cannot_be_fitted_are_named(
    full: Showers, change: Callable[[Showers], Showers], error: type[CaloforgeError], message: str
) -> None:
    for attempt in (
        lambda showers: fit_tuning(START, showers),
        lambda showers: departures(START, showers),
    ):
        with pytest.raises(error, match=message):
            attempt(change(full))


@pytest.mark.parametrize("names", [(), ("core_1", "core_1"), ("core_1", "core_9")])
def test_constants_must_be_known(full: Showers, names: tuple[str, ...]) -> None:
    with pytest.raises(
        TrainingError, match=r"constants to fit: found .*, expected one or more of maximum_1"
    ):
        fit_tuning(START, full, constants=names)


def tuned() -> GFlash:
    return replace(
        pbwo4_gflash(),
        tuning=replace(Tuning(), core_1=0.0312345678901234567, tail_4=-1e-7),
        response=0.987654321,
    )


def test_a_file_gives_the_same_bits_of_showers(tmp_path: Path) -> None:
    write_gflash(
        tmp_path / "tuned.yaml", tuned(), load_detector("pbwo4-10x10"), origin={"showers": 3}
    )
    read = load_gflash(tmp_path / "tuned.yaml")
    assert read == tuned()
    particles = Particles(torch.tensor([2e3, 5e4]))
    assert torch.equal(
        read.simulate(particles, seed=1).deposits, tuned().simulate(particles, seed=1).deposits
    )
    assert torch.equal(read.mean(particles), tuned().mean(particles))
    values = yaml.safe_load((tmp_path / "tuned.yaml").read_text())
    assert set(values["tuning"]) == {"core_1", "tail_4"}
    assert values["origin"] == {"showers": 3}


def test_tensors_are_written_as_numbers(tmp_path: Path) -> None:
    simulator = replace(
        tuned(), response=torch.tensor(0.5), tuning=replace(Tuning(), core_1=torch.tensor(0.25))
    )
    write_gflash(tmp_path / "tuned.yaml", simulator, load_detector("pbwo4-10x10"))
    read = load_gflash(tmp_path / "tuned.yaml")
    assert (read.response, read.tuning) == (0.5, replace(Tuning(), core_1=0.25))


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path, detector = tmp_path / "tuned.yaml", load_detector("pbwo4-10x10")
    write_gflash(path, tuned(), detector)
    before = path.read_bytes()
    with pytest.raises(OutputExistsError):
        write_gflash(path, replace(START, step=0.1), DETECTOR)
    with pytest.raises(GeometryMismatchError, match="not that of detector 'pads'"):
        write_gflash(tmp_path / "other.yaml", tuned(), DETECTOR)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["tuned.yaml"]
    write_gflash(path, replace(START, step=0.1), DETECTOR, overwrite=True)
    assert load_gflash(path).calorimeter == DETECTOR.calorimeter


BAD = {
    "format: caloforge-gflash": ("format: other", "no key 'format: caloforge-gflash'"),
    "version: 1": ("version: 2", "version 2 of the format, expected 1"),
    "response: 0.987654321": ("response: much", "response is 'much', expected a finite number"),
    "origin: {}": ("orgin: {}", "key 'orgin' is .*unknown.*did you mean 'origin'"),
    "  core_1: ": ("  core_9: ", "no constant 'core_9'.*did you mean 'core_"),
    "  tail_4: ": ("  tail_5: .nan\n  tail_4: ", "tail_5 is nan, expected a finite number"),
    "name: pbwo4-10x10": ("nam: pbwo4-10x10", "its detector: "),
    "G4_PbWO4": ("G4_WPbO4", "G4_WPbO4|not all of G4_PbWO4"),
    "tuning:": ("tuning: 3\nrest:", "expected format|missing or unknown"),
    "detector:": ("detector: [", "not YAML"),
}


@pytest.mark.parametrize(
    ("found", "instead", "message"), [(k, *v) for k, v in BAD.items()], ids=BAD
)
def test_a_bad_file_is_one_clear_line(
    tmp_path: Path, found: str, instead: str, message: str
) -> None:
    path = tmp_path / "tuned.yaml"
    write_gflash(path, tuned(), load_detector("pbwo4-10x10"))
    text = path.read_text()
    assert found in text
    path.write_text(text.replace(found, instead, 1))
    with pytest.raises(FileFormatError, match=message) as error:
        load_gflash(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_an_absent_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"none\.yaml cannot be read"):
        load_gflash(tmp_path / "none.yaml")


def test_showers_at_an_angle_are_refused_as_their_mean_is_not_known() -> None:
    particles = electrons(40)
    showers = Showers(START.mean(particles), particles, START.calorimeter)
    tilted = replace(showers, particles=replace(particles, theta=torch.full((40,), 0.2)))
    with pytest.raises(ShowerValueError, match=r"mean of GFlash .* at an angle of 11.46 deg"):
        departures(START, tilted)
