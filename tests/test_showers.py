"""Laws of samples of showers: slicing, joining, batching."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from caloforge.errors import GeometryMismatchError, ShowerValueError
from caloforge.geometry import Calorimeter, CylinderGrid, RegularGrid, pbwo4_crystals
from caloforge.particles import Particles
from caloforge.showers import Showers, ShowerSource, readout_threshold, spans
from tests.catalogue import CALORIMETERS, name_of
from tests.io.samples import assert_same

TOWER = RegularGrid("tower", (1, 1, 5), (1.0, 1.0, 4.0))


def sample(n: int, *, angles: bool = True, weighted: bool = False) -> Showers:
    theta = torch.rand(n) if angles else None
    particles = Particles(torch.rand(n) + 1, theta=theta, phi=None if theta is None else theta * 2)
    return Showers(
        torch.rand(n, TOWER.n_cells), particles, TOWER, torch.rand(n) if weighted else None
    )


bounds = st.none() | st.integers(-12, 12)


@given(
    n=st.integers(1, 10),
    split=st.integers(0, 10),
    index=st.builds(slice, bounds, bounds, st.integers(1, 3)),
    angles=st.booleans(),
    weighted=st.booleans(),
)
def test_slicing_and_joining_commute(
    n: int, split: int, index: slice, angles: bool, weighted: bool
) -> None:
    whole = sample(n, angles=angles, weighted=weighted)
    parts = [whole[:split], whole[split:]]
    assert_same(Showers.cat(parts)[index], whole[index])
    chosen = range(n)[index]
    in_parts = [[i for i in chosen if i < split], [i - split for i in chosen if i >= split]]
    joined = Showers.cat(
        [
            part[torch.tensor(rows, dtype=torch.int64)]
            for part, rows in zip(parts, in_parts, strict=True)
        ]
    )
    assert_same(joined, whole[index])


@given(n=st.integers(0, 20), size=st.integers(1, 25), weighted=st.booleans())
def test_batches_join_to_the_whole(n: int, size: int, weighted: bool) -> None:
    whole = sample(n, weighted=weighted)
    batches = list(whole.batches(size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert sum(map(len, batches)) == n
    if batches:
        assert_same(Showers.cat(batches), whole)


@given(n=st.integers(0, 50), size=st.integers(1, 60))
def test_spans_cut_without_gap_or_overlap(n: int, size: int) -> None:
    assert [i for span in spans(n, size) for i in range(span.start, span.stop)] == list(range(n))


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_size_below_one_is_refused(size: int) -> None:
    with pytest.raises(ShowerValueError, match=f"batch size is {size}, expected at least 1"):
        sample(3).batches(size)


def test_masks_and_index_tensors_choose() -> None:
    whole = sample(6)
    mask = torch.tensor([True, False, True, True, False, False])
    assert_same(whole[mask], whole[torch.tensor([0, 2, 3])])
    assert torch.equal(whole[torch.tensor([5, 5])].deposits, whole.deposits[[5, 5]])


def test_showers_in_memory_are_a_source() -> None:
    assert isinstance(sample(1), ShowerSource)


def test_joining_different_calorimeters_names_both() -> None:
    crystals = Showers(torch.zeros(1, 100), Particles(torch.ones(1)), pbwo4_crystals())
    with pytest.raises(GeometryMismatchError, match=r"'pbwo4-10x10'.*'tower'"):
        Showers.cat([sample(1), crystals])


@given(kinds=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=5))
def test_beside_a_weighted_sample_others_count_once(kinds: list[tuple[int, bool]]) -> None:
    parts = [sample(n, weighted=weighted) for n, weighted in kinds]
    joined = Showers.cat(parts)
    if not any(weighted for _, weighted in kinds):
        assert joined.weights is None
        return
    assert joined.weights is not None
    for part, weights in zip(parts, joined.weights.split([n for n, _ in kinds]), strict=True):
        assert torch.equal(weights, torch.ones(len(part)) if part.weights is None else part.weights)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, -math.inf])
def test_impossible_weights_are_counted_and_the_first_is_shown(bad: float) -> None:
    good = sample(5)
    message = (
        r"2 of 5 weights are not finite or below 0, the first at index 2 \(.*\): expected finite "
        r"weights of at least 0"
    )
    with pytest.raises(ShowerValueError, match=message):
        Showers(good.deposits, good.particles, TOWER, torch.tensor([1.0, 0.0, bad, 3.0, bad]))


@pytest.mark.parametrize(
    "weights",
    [torch.ones(2), torch.ones(3, 1), torch.ones(3, dtype=torch.int64), torch.tensor(1.0)],
)
def test_weights_have_one_number_a_shower(weights: Tensor) -> None:
    good = sample(3)
    with pytest.raises(
        ShowerValueError,
        match=r"weights have shape .* and type .*, expected \(3,\) floating-point numbers",
    ):
        Showers(good.deposits, good.particles, TOWER, weights)


@pytest.mark.parametrize("shape", [(3, 4), (2, 5), (3, 5, 1), (15,)])
def test_deposits_of_a_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ShowerValueError, match=r"expected \(3, 5\): 3 particles, 5 cells of calorimeter 'tower'"
    ):
        Showers(torch.zeros(shape), Particles(torch.ones(3)), TOWER)


@pytest.mark.parametrize("angles", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_moving_to_a_device_keeps_everything(angles: bool, weighted: bool) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    showers = sample(3, angles=angles, weighted=weighted)
    assert showers.to(device).energies.device.type == device
    assert_same(showers.to(device).to("cpu"), showers)


def test_the_readout_threshold_is_the_one_stated_or_else_the_least_deposit() -> None:
    silent = sample(2500)
    silent.deposits[::2] = 0
    silent.deposits[2401, 3] = least = 1e-6
    assert readout_threshold(silent) == pytest.approx(least)
    assert readout_threshold(replace(silent, threshold=0.25)) == 0.25
    assert readout_threshold(replace(silent, threshold=0.0)) == pytest.approx(least)


def test_no_energy_tells_no_threshold() -> None:
    dark = replace(sample(3), deposits=torch.zeros(3, TOWER.n_cells))
    with pytest.raises(ShowerValueError, match="none of the 3 showers has a deposit above 0"):
        readout_threshold(dark)


def test_a_joined_sample_states_the_threshold_that_all_parts_state() -> None:
    a, b = replace(sample(2), threshold=0.5), replace(sample(3), threshold=0.25)
    assert Showers.cat([a, a]).threshold == a[:1].threshold == 0.5
    assert Showers.cat([a, b]).threshold is None
    assert Showers.cat([a, sample(2)]).threshold is None


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_turning_back_is_the_identity(calorimeter: Calorimeter) -> None:
    before, symmetries = tilted(calorimeter), calorimeter.symmetries
    forward = torch.randint(len(symmetries), (len(before),))
    inverse = {tuple(g.argsort().tolist()): k for k, g in enumerate(symmetries)}
    back = torch.tensor([inverse[tuple(symmetries[k].tolist())] for k in forward])
    after = before.turned(forward).turned(back)
    assert torch.equal(after.deposits, before.deposits)
    torch.testing.assert_close(towards(after.particles), towards(before.particles))
    torch.testing.assert_close(after.particles.place, before.particles.place)


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_shower_and_particle_turn_together(calorimeter: Calorimeter) -> None:
    """A shower along its particle's direction stays so, in the plane across the beam."""
    before = tilted(calorimeter)
    after = before.turned(torch.arange(len(before)) % len(calorimeter.symmetries))
    for old, new in zip(centre(before), centre(after), strict=True):
        torch.testing.assert_close(old, new, rtol=0, atol=1e-6 * float(reach(calorimeter)))


def tilted(calorimeter: Calorimeter) -> Showers:
    n = 2 * len(calorimeter.symmetries)
    phi = (torch.rand(n, dtype=torch.float64) * 2 - 1) * math.pi
    particles = Particles(torch.ones(n), 11, torch.full((n,), 0.2), phi, torch.randn(n, 2))
    return Showers(torch.rand(n, calorimeter.n_cells).double(), particles, calorimeter)


def towards(particles: Particles) -> Tensor:
    assert particles.phi is not None
    return torch.stack([particles.phi.cos(), particles.phi.sin()], dim=1)


def reach(calorimeter: Calorimeter) -> Tensor:
    return calorimeter.n_cells * calorimeter.transverse.norm(dim=1).max()


def centre(showers: Showers) -> tuple[Tensor, Tensor]:
    """The energy-weighted place, along the particle's azimuth and across it up to a mirror."""
    xy = calorimeter_xy(showers.calorimeter)
    weighted = showers.deposits @ xy
    along = towards(showers.particles)
    across = weighted[:, 0] * along[:, 1] - weighted[:, 1] * along[:, 0]
    return (weighted * along).sum(dim=1), across.abs()


def calorimeter_xy(calorimeter: Calorimeter) -> Tensor:
    """The centres, on the axis for whole rings, whose centre of energy is there."""
    if not isinstance(calorimeter, CylinderGrid):
        return calorimeter.transverse
    whole = torch.tensor([layer.n_alpha == 1 for layer in calorimeter.cylinder_layers])
    return calorimeter.transverse * ~whole[calorimeter.layer_of_cell, None]
