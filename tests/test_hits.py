"""Laws of hits: the same showers as dense ones, in less memory."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from caloforge.errors import GeometryMismatchError, ShowerValueError
from caloforge.geometry import Calorimeter, pbwo4_crystals
from caloforge.hits import Hits, HitSource, batches_of, joined
from caloforge.particles import Particles
from caloforge.showers import Showers, ShowerSource
from tests.catalogue import CALORIMETERS, name_of
from tests.io.samples import TOWER, assert_same, sample, showers_of

bounds = st.none() | st.integers(-12, 12)


def loose(n: int = 5, *, times: bool = True) -> Hits:
    """Hits in no order, several to a cell, some showers without any."""
    number = torch.tensor([3, 0, 7, 1, 4])[:n]
    total = int(number.sum())
    return Hits(
        torch.cat([torch.zeros(1, dtype=torch.int64), number.cumsum(0)]),
        torch.randint(TOWER.n_cells, (total,), dtype=torch.int32),
        torch.rand(total) + 0.1,
        Particles(torch.rand(n) + 1),
        TOWER,
        torch.rand(n),
        times=torch.rand(total) if times else None,
    )


def assert_same_hits(a: Hits, b: Hits) -> None:
    assert_same(a.to_showers(), b.to_showers())
    assert torch.equal(a.offsets, b.offsets)
    assert torch.equal(a.cells, b.cells)
    assert torch.equal(a.hit_energies, b.hit_energies)
    assert (a.times is None) == (b.times is None)
    assert a.times is None or torch.equal(a.times, b.times)


@given(showers=showers_of(TOWER))
def test_there_and_back_is_the_same_bits(showers: Showers) -> None:
    assert_same(Hits.of(showers).to_showers(), showers)


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_any_calorimeter_has_hits(calorimeter: Calorimeter) -> None:
    showers = sample(3, calorimeter, angles=True, weighted=True)
    hits = Hits.of(showers)
    assert hits.n_hits == int((showers.deposits > 0).sum())
    assert hits.calorimeter is calorimeter
    assert_same(hits.to_showers(), showers)
    assert_same_hits(Hits.of(hits.to_showers()), hits)


def test_hits_are_a_source_of_both_kinds() -> None:
    assert isinstance(loose(), ShowerSource)
    assert isinstance(loose(), HitSource)
    assert not isinstance(sample(1), HitSource)


@given(index=st.builds(slice, bounds, bounds, st.integers(1, 3)))
def test_a_slice_of_hits_is_the_slice_of_the_showers(index: slice) -> None:
    hits = loose()
    assert_same(hits[index], hits.to_showers()[index])
    assert_same_hits(hits.sparse(index), hits.sparse(torch.arange(5)[index]))


def test_masks_and_index_tensors_choose() -> None:
    hits = loose()
    mask = torch.tensor([True, False, True, True, False])
    assert_same(hits[mask], hits.to_showers()[mask])
    again = torch.tensor([4, 0, 0, 1])
    assert_same(hits[again], hits.to_showers()[again])


@given(split=st.integers(0, 5), times=st.booleans())
def test_parts_join_to_the_whole(split: int, times: bool) -> None:
    hits = loose(times=times)
    parts = [hits.sparse(slice(0, split)), hits.sparse(slice(split, None))]
    assert_same_hits(Hits.cat(parts), hits)


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_batches_join_to_the_whole(size: int) -> None:
    hits = loose()
    assert_same(Showers.cat(list(hits.batches(size))), hits.to_showers())


def test_several_hits_in_a_cell_add_up_and_the_earliest_time_stays() -> None:
    hits = Hits(
        torch.tensor([0, 4, 4, 5]),
        torch.tensor([3, 1, 3, 3, 1], dtype=torch.int32),
        torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]),
        Particles(torch.ones(3)),
        TOWER,
        times=torch.tensor([5.0, 1.0, 2.0, 3.0, 4.0]),
    )
    merged = hits.merged()
    assert merged.offsets.tolist() == [0, 2, 2, 3]
    assert merged.cells.tolist() == [1, 3, 1]
    assert merged.hit_energies.tolist() == [2.0, 13.0, 16.0]
    assert merged.times is not None
    assert merged.times.tolist() == [1.0, 2.0, 4.0]
    assert_same(merged.to_showers(), hits.to_showers())
    assert merged.merged() is merged


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_hits_turn_as_showers_do(calorimeter: Calorimeter) -> None:
    showers = sample(6, calorimeter, angles=True)
    choice = torch.randint(len(calorimeter.symmetries), (6,))
    assert_same(Hits.of(showers).turned(choice).to_showers(), showers.turned(choice))


def test_moving_to_a_device_keeps_everything() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    hits = loose()
    assert hits.to(device).hit_energies.device.type == device
    assert_same_hits(hits.to(device).to("cpu"), hits)


def test_a_slice_shares_the_memory_of_the_whole() -> None:
    hits = loose()
    part = hits.sparse(slice(1, 4))
    assert part.cells.untyped_storage().data_ptr() == hits.cells.untyped_storage().data_ptr()


def made(**changes: Tensor) -> Hits:
    good = {
        "offsets": torch.tensor([0, 1, 3]),
        "cells": torch.tensor([0, 1, 4], dtype=torch.int32),
        "hit_energies": torch.ones(3),
    }
    return Hits(**(good | changes), particles=Particles(torch.ones(2)), calorimeter=TOWER)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": torch.tensor([0, 3])}, r"offsets .* shape \(2,\) .* expected \(3,\)"),
        ({"offsets": torch.tensor([0, 2, 1])}, "ascending from 0 to 3"),
        ({"offsets": torch.tensor([0, 4, 3])}, "ascending from 0 to 3"),
        ({"offsets": torch.tensor([1, 2, 3])}, "ascending from 0 to 3"),
        ({"offsets": torch.tensor([0.0, 1, 3])}, r"type torch.float32, expected \(3,\) and"),
        ({"cells": torch.tensor([0, 1, 2])}, "cells of hits have type torch.int64, expected"),
        (
            {"cells": torch.tensor([0, -1, 5], dtype=torch.int32)},
            "2 of 3 hits are in no cell of calorimeter 'tower', the first is hit 1 in cell -1",
        ),
        ({"cells": torch.tensor([0, 1], dtype=torch.int32)}, r"cells .* shape \(2,\), expected"),
        ({"times": torch.ones(2)}, r"times of hits have shape \(2,\), expected \(3,\)"),
        ({"weights": torch.tensor([1.0, math.nan])}, "1 of 2 weights are not finite"),
    ],
)
def test_columns_that_do_not_fit_are_refused(changes: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ShowerValueError, match=message):
        made(**changes)


def test_what_differs_does_not_join() -> None:
    with pytest.raises(ShowerValueError, match="some hits to join have times and others"):
        Hits.cat([loose(), loose(times=False)])
    with pytest.raises(GeometryMismatchError, match=r"'pbwo4-10x10'.*'tower'"):
        Hits.cat([loose(), Hits.of(sample(1, pbwo4_crystals()))])


def test_samples_of_both_kinds_are_read_and_joined() -> None:
    hits = loose()
    showers = hits.to_showers()
    for source, kind in ((hits, Hits), (showers, Showers)):
        parts = list(batches_of(source, 2))
        assert all(isinstance(part, kind) for part in parts)
        whole = joined(parts)
        assert isinstance(whole, kind)
        assert_same(whole[:], showers)
    assert_same(joined([hits, showers])[:], Showers.cat([showers, showers]))
