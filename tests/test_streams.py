"""Random numbers by address: what is drawn, how it is spread, and that nothing else has a say."""

import ast
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from caloforge.streams import Stream, keys, normals, uniforms, words
from tests import house

WORD = 1 << 64
GAMMA = 0x9E3779B97F4A7C15
MULTIPLIERS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
SIGMAS = 5.0
"""How far a statistic may lie from its mean: for a fair generator, beyond that once in two million
times.
"""


def _mix(x: int) -> int:
    """SplitMix64's finaliser with Python's own integers, as in the paper."""
    x = ((x ^ (x >> 30)) * MULTIPLIERS[0]) % WORD
    x = ((x ^ (x >> 27)) * MULTIPLIERS[1]) % WORD
    return x ^ (x >> 31)


def _unmix(x: int) -> int:
    for shift, multiplier in ((31, MULTIPLIERS[1]), (27, MULTIPLIERS[0]), (30, 1)):
        y = x
        for _ in range(64 // shift):
            y = x ^ (y >> shift)
        x = y * pow(multiplier, -1, WORD) % WORD
    return x


def _key(seed: int, index: int, stream: int) -> int:
    root = _mix((seed + GAMMA) % WORD)
    return _mix((_mix((root + index + GAMMA) % WORD) + stream + GAMMA) % WORD)


def _signed(x: int) -> int:
    return x - WORD if x >= WORD // 2 else x


def test_words_of_key_zero_are_the_published_ones_of_splitmix64() -> None:
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert words(torch.tensor(0), torch.arange(3)).tolist() == [_signed(word) for word in published]


@given(
    st.integers(-WORD, WORD),
    st.integers(0, WORD // 2 - 1),
    st.integers(0, 1000),
    st.integers(0, 10**6),
)
def test_keys_and_words_agree_with_the_slow_reference(
    seed: int, index: int, stream: int, counter: int
) -> None:
    key = keys(seed, torch.tensor([index]), stream)
    assert key.item() == _signed(_key(seed, index, stream))
    word = _mix((_key(seed, index, stream) + (counter + 1) * GAMMA) % WORD)
    assert words(key, torch.tensor([counter])).item() == _signed(word)
    first = words(key, torch.tensor([0])).item() % WORD
    assert uniforms(key, 1).item() == ((first >> 12) + 0.5) / 2**52


def test_reference_values_stay() -> None:
    key = keys(7, torch.arange(2), 2)
    assert key.tolist() == [5398316625919644772, 8764810008325594656]
    expected = [
        [0.04346179623933033, 0.7834063140261515, 0.8391854991235567],
        [0.7112131501315474, 0.5260774719946951, 0.7068333916744539],
    ]
    assert uniforms(key, 3).tolist() == expected
    expected = [
        [0.5218059104382807, -2.4493804400542714, 0.3477250972622331],
        [-0.8145130905044331, -0.13466489958863778, -0.8201612198453134],
    ]
    torch.testing.assert_close(
        normals(key, 3), torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0
    )


@pytest.mark.parametrize("draw", [uniforms, normals])
def test_a_shower_gets_the_same_numbers_in_any_company(
    draw: Callable[[Tensor, int], Tensor],
) -> None:
    index = torch.arange(1000)
    all_at_once = draw(keys(3, index, 0), 7)
    chosen = torch.tensor([999, 0, 17])
    assert torch.equal(draw(keys(3, index[chosen], 0), 7), all_at_once[chosen])
    one_by_one = torch.cat([draw(keys(3, index[i : i + 1], 0), 7) for i in range(20)])
    assert torch.equal(one_by_one, all_at_once[:20])


@pytest.mark.parametrize("draw", [uniforms, normals])
@given(n=st.integers(0, 20), more=st.integers(0, 20))
def test_asking_for_more_numbers_leaves_the_first_as_they_were(
    draw: Callable[[Tensor, int], Tensor], n: int, more: int
) -> None:
    key = keys(1, torch.arange(5), 0)
    assert draw(key, n).shape == (5, n)
    assert torch.equal(draw(key, n + more)[:, :n], draw(key, n))


@pytest.mark.parametrize("draw", [uniforms, normals])
def test_no_showers_no_numbers(draw: Callable[[Tensor, int], Tensor]) -> None:
    assert draw(keys(1, torch.arange(0), 0), 3).shape == (0, 3)


def test_the_keys_given_stay_as_they_were() -> None:
    key = keys(1, torch.arange(5), 0)
    before = key.clone()
    normals(key, 4)
    assert torch.equal(key, before)


@pytest.mark.parametrize(("word", "expected"), [(0, 2.0**-53), (WORD - 1, 1 - 2.0**-53)])
def test_the_extreme_words_stay_inside_the_open_interval(word: int, expected: float) -> None:
    key = torch.tensor([_signed((_unmix(word) - GAMMA) % WORD)])
    assert words(key, torch.tensor([0])).item() == _signed(word)
    assert uniforms(key, 1).item() == expected
    assert normals(key, 2).isfinite().all()


@pytest.mark.parametrize("seed", [0, 1, -1, 2**40])
def test_uniforms_are_uniform(seed: int) -> None:
    u = uniforms(keys(seed, torch.arange(2000), 0), 50).flatten()
    assert stats.kstest(u.numpy(), "uniform").pvalue > 1e-6
    deviation = {
        order: _deviation(u**order, 1 / (order + 1), 1 / (2 * order + 1) - 1 / (order + 1) ** 2)
        for order in (1, 2, 3, 4)
    }
    assert max(map(abs, deviation.values())) < SIGMAS, deviation


@pytest.mark.parametrize("seed", [0, 1, -1, 2**40])
def test_normals_are_normal(seed: int) -> None:
    z = normals(keys(seed, torch.arange(2000), 0), 50).flatten()
    assert stats.kstest(z.numpy(), "norm").pvalue > 1e-6
    moments = {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}
    deviation = {order: _deviation(z**order, *moment) for order, moment in moments.items()}
    assert max(map(abs, deviation.values())) < SIGMAS, deviation


@pytest.mark.parametrize("bit", range(64))
def test_every_bit_of_the_words_is_fair(bit: int) -> None:
    word = words(keys(5, torch.arange(1000), 1)[:, None], torch.arange(20))
    assert abs(_deviation(((word >> bit) & 1).double().flatten(), 0.5, 0.25)) < SIGMAS


NEIGHBOURS: dict[str, tuple[Tensor, Tensor]] = {
    "next shower": (keys(0, torch.arange(1000), 0), keys(0, torch.arange(1, 1001), 0)),
    "far shower": (keys(0, torch.arange(1000), 0), keys(0, torch.arange(1000) + 2**32, 0)),
    "next stream": (keys(0, torch.arange(1000), 0), keys(0, torch.arange(1000), 1)),
    "next seed": (keys(0, torch.arange(1000), 0), keys(1, torch.arange(1000), 0)),
    "seed and shower exchanged": (
        keys(3, torch.arange(1000), 0),
        keys(4, torch.arange(1000) - 1, 0),
    ),
    "shower and stream exchanged": (
        keys(0, torch.arange(1000), 1),
        keys(0, torch.arange(1000) + 1, 0),
    ),
}


@pytest.mark.parametrize("neighbours", NEIGHBOURS.values(), ids=NEIGHBOURS.keys())
def test_neighbours_are_independent(neighbours: tuple[Tensor, Tensor]) -> None:
    here, there = neighbours
    for lag in range(3):
        x, y = normals(here, 22)[:, : 22 - lag], normals(there, 22)[:, lag:]
        assert abs(_deviation((x * y).flatten(), 0, 1)) < SIGMAS
        assert abs(_deviation(((x**2 - 1) * (y**2 - 1)).flatten(), 0, 4)) < SIGMAS


@pytest.mark.parametrize("neighbours", NEIGHBOURS.values(), ids=NEIGHBOURS.keys())
def test_neighbours_differ_in_half_of_their_bits(neighbours: tuple[Tensor, Tensor]) -> None:
    here, there = (words(key[:, None], torch.arange(10)) for key in neighbours)
    flipped = (((here ^ there)[..., None] >> torch.arange(64)) & 1).sum(-1).double()
    assert abs(_deviation(flipped.flatten(), 32, 16)) < SIGMAS


@pytest.mark.parametrize("lag", range(1, 6))
def test_numbers_of_one_shower_are_independent(lag: int) -> None:
    z = normals(keys(2, torch.arange(1000), 0), 40)
    assert abs(_deviation((z[:, lag:] * z[:, :-lag]).flatten(), 0, 1)) < SIGMAS


def test_a_hundred_thousand_showers_have_keys_of_their_own() -> None:
    index = torch.arange(100_000)
    together = torch.cat([keys(seed, index, stream) for seed in range(3) for stream in range(3)])
    assert len(together.unique()) == len(together)


def _deviation(values: Tensor, mean: float, variance: float) -> float:
    """How many standard errors the average lies from the mean that it should have."""
    return float((values.mean() - mean) / math.sqrt(variance / values.numel()))


def calls_of_keys() -> Iterator[tuple[str, ast.expr]]:
    """The place and the purpose of every draw by address in the package."""
    for path, call in house.calls("keys"):
        if ast.unparse(call.func) == "streams.keys":
            yield house.where(path, call), call.args[2]


def test_every_purpose_has_a_number_of_its_own() -> None:
    assert len({int(purpose) for purpose in Stream}) == len(Stream.__members__)


def test_no_module_has_a_number_of_its_own() -> None:
    """A purpose is named, in the place or by a name or a table that holds one."""
    places = dict(calls_of_keys())
    assert len(places) >= 7
    for place, purpose in places.items():
        named = ast.unparse(purpose).startswith("Stream.")
        assert named or isinstance(purpose, ast.Name | ast.Subscript), place


def test_the_numbers_in_use_stay() -> None:
    assert {purpose.name: int(purpose) for purpose in Stream} == {
        **{"EMPTY_CELLS": 1, "SUM_BRIDGE": 2, "SHAPE_BRIDGE": 3, "INCIDENT_ENERGY": 0xE},
        **{"FAST_EMPTY_CELLS": 16, "FULL_EMPTY_CELLS": 17, "INCIDENT_SPECIES": 18},
        **{"INCIDENT_DIRECTION": 19, "INCIDENT_PLACE": 20},
        **{"PROFILE": 32, "SAMPLING": 33, "OUTER_NUMBER": 34, "OUTER_PLACE": 35},
        **{"CANDIDATE_NUMBER": 36, "CANDIDATE_PLACE": 37, "SIDES": 38, "CONVERSION": 39},
        **{"LAYER_ENERGIES": 64, "SHAPE": 65, "SPECTRUM": 66, "POINTS": 67},
        **{"UNWEIGHTING": 80, "RECONSTRUCTION": 81, "CHAIN": 96, "GEANT4": 0x4734},
    }
