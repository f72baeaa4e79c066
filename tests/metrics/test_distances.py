"""Distances against closed forms and scipy; errors and floors against samples drawn from known laws."""

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from caloforge.calorimeter import pbwo4_crystals
from caloforge.errors import ShowerValueError
from caloforge.metrics import Distance, Measure, common_measures, distance, encode, wasserstein
from caloforge.observables import ENERGY_SUM, LOG_SPECTRUM, PROFILE_X, SPECTRUM

CRYSTALS = pbwo4_crystals()
NUMBERS = st.lists(st.floats(min_value=-1e3, max_value=1e3, width=32), min_size=1, max_size=20)


def scalars(*samples: np.ndarray) -> tuple[Measure, ...]:
    return common_measures(ENERGY_SUM, CRYSTALS, samples)


def shower_like(rng: np.random.Generator, n: int) -> torch.Tensor:
    """Cells over ten orders of magnitude, a third of them empty."""
    return torch.tensor(10 ** rng.uniform(-5, 4.5, size=(n, 100)) * (rng.random((n, 100)) < 0.67), dtype=torch.float32)


@given(NUMBERS, NUMBERS)
def test_it_is_scipys(a: list[float], b: list[float]) -> None:
    assert wasserstein(np.array(a), np.array(b)) == pytest.approx(wasserstein_distance(a, b), abs=1e-9, rel=1e-9)


def test_weights_on_both_sides_are_scipys() -> None:
    rng = np.random.default_rng(1)
    a, b, u, v = rng.normal(size=30), rng.normal(size=50), rng.random(30), rng.random(50)
    assert wasserstein(a, b, u, v) == pytest.approx(wasserstein_distance(a, b, u, v), rel=1e-12)


@given(NUMBERS, st.floats(min_value=-100, max_value=100))
def test_a_shift_is_its_own_distance(a: list[float], shift: float) -> None:
    assert wasserstein(np.array(a), np.array(a) + shift) == pytest.approx(abs(shift), abs=1e-6)


def test_the_spectrum_is_scipys_to_the_stated_precision() -> None:
    rng = np.random.default_rng(2)
    a, b = shower_like(rng, 200), 1.3 * shower_like(rng, 150)
    for observable, line, bound in (
        (SPECTRUM, lambda x: x.flatten(), 2**-11 * float(a.mean() + b.mean())),
        (LOG_SPECTRUM, lambda x: x[x > 1e-3].log10(), 2 * 2**-11 / math.log(10)),
    ):
        full, candidate = common_measures(observable, CRYSTALS, [encode(a), encode(b)])
        exact = wasserstein_distance(line(a).numpy(), line(b).numpy())
        assert abs(distance(full, candidate, replicas=2, cuts=2).value - exact) < bound


def test_a_profile_is_scipys_with_the_energies_as_weights() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random((50, 10)), rng.random((40, 10)) ** 2
    full, candidate = common_measures(PROFILE_X, CRYSTALS, [a, b])
    x = full.positions
    exact = wasserstein_distance(x, x, a.mean(0), b.mean(0))
    assert distance(full, candidate, replicas=2, cuts=2).value == pytest.approx(exact, rel=1e-12)


def test_equal_profiles_are_no_distance_apart() -> None:
    energies = np.random.default_rng(3).random((50, 10)) ** 4
    full, candidate = common_measures(PROFILE_X, CRYSTALS, [energies, energies])
    assert distance(full, candidate, replicas=2, cuts=2).value == 0


def mean_floor(measures: list[Measure], n_candidate: int) -> float:
    return float(np.mean([distance(m, Measure(m.positions, m.index[:n_candidate]), replicas=2).floor for m in measures]))


@pytest.mark.parametrize(("n", "m"), [(200, 200), (1001, 1001), (400, 100), (400, 399)])
def test_the_floor_is_the_distance_of_two_independent_samples(n: int, m: int) -> None:
    rng = np.random.default_rng(4)
    floors = mean_floor([scalars(rng.random(n))[0] for _ in range(40)], m)
    independent = np.mean([wasserstein(rng.random(n), rng.random(m)) for _ in range(400)])
    closed_form = math.pi / 8 * math.sqrt(2 / math.pi) * math.sqrt(1 / n + 1 / m)
    assert floors == pytest.approx(independent, rel=0.06)
    assert floors == pytest.approx(closed_form, rel=0.06)


def test_the_floor_scatters_as_the_distance_of_two_independent_samples() -> None:
    rng = np.random.default_rng(5)
    [measure] = scalars(rng.normal(size=500))
    independent = np.std([wasserstein(rng.normal(size=500), rng.normal(size=500)) for _ in range(300)])
    assert distance(measure, measure, replicas=2, cuts=200).floor_error == pytest.approx(independent, rel=0.25)


def test_cells_of_one_shower_are_one_piece_of_evidence() -> None:
    values = torch.tensor(np.random.default_rng(6).random((300, 1)), dtype=torch.float32)
    [one], [many] = (common_measures(SPECTRUM, CRYSTALS, [encode(values.expand(-1, k))]) for k in (1, 100))
    assert distance(one, one) == distance(many, many)


def test_the_error_of_a_clear_shift_is_that_of_the_difference_of_means() -> None:
    rng = np.random.default_rng(7)
    full, candidate = scalars(rng.normal(size=800), 100 + 2 * rng.normal(size=400))
    result = distance(full, candidate, replicas=400, cuts=2)
    assert result.value == pytest.approx(100, abs=0.5)
    assert result.error == pytest.approx(math.sqrt(1 / 800 + 4 / 400), rel=0.15)


def test_shared_energies_take_their_own_scatter_out_of_the_error() -> None:
    rng = np.random.default_rng(8)
    energies = rng.uniform(10, 100, size=500)
    full, candidate = scalars(energies, energies + 5)
    assert distance(full, candidate, energies=energies).error == pytest.approx(0, abs=1e-12)
    assert distance(full, candidate).error > 0.5


@pytest.mark.parametrize(("n", "resolution"), [(2000, 0.4), (200, 1.0)])
def test_the_floor_of_shared_energies_is_the_distance_of_two_samples_that_share_them(n: int, resolution: float) -> None:
    rng = np.random.default_rng(9)
    energies = rng.uniform(10, 100, size=n)

    def sample() -> np.ndarray:
        return energies + resolution * rng.normal(size=n)

    measures = [scalars(sample())[0] for _ in range(20)]
    shared = np.mean([distance(m, m, energies=energies, replicas=2).floor for m in measures])
    independent = np.mean([wasserstein(sample(), sample()) for _ in range(200)])
    assert shared == pytest.approx(independent, rel=0.05)
    assert distance(measures[0], measures[0], replicas=2).floor > 3 * shared


def test_at_one_energy_sharing_makes_no_difference_but_chance() -> None:
    rng = np.random.default_rng(10)
    full, candidate = scalars(rng.normal(size=400), 0.5 + rng.normal(size=400))
    apart, shared = (distance(full, candidate, energies=e, cuts=300, replicas=300) for e in (None, np.full(400, 50.0)))
    assert shared.floor == pytest.approx(apart.floor, rel=0.1)
    assert shared.error == pytest.approx(apart.error, rel=0.2)


def test_the_seed_alone_decides() -> None:
    rng = np.random.default_rng(11)
    full, candidate = scalars(rng.normal(size=100), rng.normal(size=100))
    state = np.random.get_state()[1].copy()  # noqa: NPY002 (what must not be touched)
    assert asdict(distance(full, candidate, seed=-3)) == asdict(distance(full, candidate, seed=-3))
    assert distance(full, candidate, seed=1).error != distance(full, candidate, seed=2).error
    assert distance(full, candidate, seed=1).value == distance(full, candidate, seed=2).value
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_the_ratio_to_a_floor_of_nothing() -> None:
    def with_floor(value: float, floor: float) -> float:
        return Distance(value, 0.1, floor, 0.1, 10, 10).ratio_to_floor

    assert with_floor(3.0, 2.0) == 1.5
    assert with_floor(3.0, 0.0) == math.inf
    assert with_floor(0.0, 0.0) == 1.0


@pytest.mark.parametrize(("n", "m"), [(3, 10), (10, 1)])
def test_too_few_showers_are_refused(n: int, m: int) -> None:
    full, candidate = scalars(np.arange(n), np.arange(m))
    with pytest.raises(ShowerValueError, match="at least"):
        distance(full, candidate)


def test_energies_that_cannot_be_shared_are_refused() -> None:
    full, candidate = scalars(np.arange(10), np.arange(9))
    with pytest.raises(ShowerValueError, match="10 shared incident energies for 10 and 9 showers"):
        distance(full, candidate, energies=np.ones(10))
