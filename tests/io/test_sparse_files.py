"""Sparse files: the same showers as dense ones, by their hits."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caloforge.errors import FileFormatError, OutputError, ShowerValueError
from caloforge.geometry import Calorimeter
from caloforge.hits import Hits, HitSource
from caloforge.io import (
    CaloChallengeFile,
    CaloChallengeWriter,
    HitFile,
    HitWriter,
    convert,
    open_showers,
)
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.catalogue import CALORIMETERS, name_of
from tests.io.samples import TOWER, assert_same, sample, showers_of
from tests.io.test_calochallenge import write as write_dense
from tests.test_hits import assert_same_hits, loose

bounds = st.none() | st.integers(-9, 9)


def write(path: Path, showers: Showers | Hits, *sizes: int) -> Path:
    """Write showers, so many at a time."""
    start = 0
    with HitWriter(path, showers.calorimeter) as writer:
        for size in sizes or (len(showers),):
            span = slice(start, start + size)
            writer.append(showers.sparse(span) if isinstance(showers, Hits) else showers[span])
            start += size
    return path


@given(showers=showers_of(TOWER))
def test_what_is_written_is_read(showers: Showers) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        HitFile(write(Path(folder) / "a.h5", showers)) as file,
    ):
        assert len(file) == len(showers)
        assert_same(file[:], showers)
        assert_same_hits(file.sparse(slice(None)), Hits.of(showers))


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_both_layouts_hold_the_same_showers(calorimeter: Calorimeter, tmp_path: Path) -> None:
    showers = sample(3, calorimeter, angles=True, weighted=True)
    sparse = open_showers(write(tmp_path / "a.h5", showers))
    dense = open_showers(write_dense(tmp_path / "b.h5", showers))
    assert isinstance(sparse, HitSource)
    assert not isinstance(dense, HitSource)
    assert_same(sparse[:], dense[:])
    assert sparse.particles == dense.particles


def test_hits_keep_their_times_and_their_order(tmp_path: Path) -> None:
    hits = loose()
    file = HitFile(write(tmp_path / "a.h5", hits, 2, 0, 3))
    assert_same_hits(file.sparse(slice(None)), hits)
    assert file.columns == ("incident_energies", "weights")
    assert file.extra(slice(None)) == {}


@given(index=st.builds(slice, bounds, bounds, st.integers(1, 3)))
def test_a_slice_of_the_file_is_the_slice_of_its_hits(index: slice) -> None:
    hits = loose()
    with (
        tempfile.TemporaryDirectory() as folder,
        HitFile(write(Path(folder) / "a.h5", hits)) as file,
    ):
        assert_same_hits(file.sparse(index), hits.sparse(index))
        assert_same(file[index], hits[index])


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_batches_join_to_the_whole(size: int, tmp_path: Path) -> None:
    file = open_showers(write(tmp_path / "a.h5", loose()))
    assert_same(Showers.cat(list(file.batches(size))), loose_again(file))


def loose_again(file: Any) -> Showers:
    return file.sparse(slice(None)).to_showers()


@pytest.mark.parametrize("sparse", [True, False, None])
def test_converting_goes_both_ways(sparse: bool | None, tmp_path: Path) -> None:
    showers = sample(7, TOWER, pdg=torch.tensor([11, 22, 11, 211, 22, 22, -11]), weighted=True)
    sources = (showers, Hits.of(showers), open_showers(write(tmp_path / "a.h5", showers)))
    for k, source in enumerate(sources):
        path = tmp_path / f"{k}.h5"
        convert(source, path, batch_size=3, sparse=sparse)
        file = open_showers(path)
        assert_same(file[:], showers)
        assert isinstance(file, HitFile) == (k > 0 if sparse is None else sparse)


def test_converting_keeps_times_columns_and_origin(tmp_path: Path) -> None:
    hits, time = loose(), torch.rand(5)
    with HitWriter(tmp_path / "a.h5", TOWER, attributes={"generator": "dice"}) as writer:
        writer.append(hits, {"cpu_time_ms": time})
    convert(open_showers(tmp_path / "a.h5"), tmp_path / "b.h5", batch_size=2)
    with HitFile(tmp_path / "b.h5") as file:
        assert_same_hits(file.sparse(slice(None)), hits)
        assert torch.equal(file.column("cpu_time_ms"), time)
        assert file.provenance == {"generator": "dice"}


def test_a_dense_writer_takes_hits(tmp_path: Path) -> None:
    with CaloChallengeWriter(tmp_path / "a.h5", TOWER) as writer:
        writer.append(loose())
    with CaloChallengeFile(tmp_path / "a.h5") as file:
        assert file[:].deposits.shape == (5, TOWER.n_cells)


def test_few_hits_take_little_space(tmp_path: Path) -> None:
    deposits = torch.zeros(2000, 100)
    deposits[torch.arange(2000), torch.randint(100, (2000,))] = 1 + torch.rand(2000)
    showers = Showers(deposits, Particles(torch.ones(2000)), sample(1).calorimeter)
    sparse, dense = write(tmp_path / "a.h5", showers), write_dense(tmp_path / "b.h5", showers)
    assert sparse.stat().st_size < dense.stat().st_size


def test_a_dense_reader_says_what_it_has_before_it(tmp_path: Path) -> None:
    with pytest.raises(
        FileFormatError, match=r"the file is sparse: open it by caloforge\.io\.open_"
    ):
        CaloChallengeFile(write(tmp_path / "a.h5", loose()))


def test_times_are_had_of_all_hits_or_of_none(tmp_path: Path) -> None:
    for first, then in ((loose(), loose(times=False)), (loose(times=False), loose())):
        with HitWriter(tmp_path / "a.h5", TOWER, overwrite=True) as writer:
            writer.append(first)
            with pytest.raises(OutputError, match="times after hits with"):
                writer.append(then)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_bad_hit_is_not_written(bad: float, tmp_path: Path) -> None:
    hits = loose()
    hits.hit_energies[5] = bad
    message = r"not written: 1 \w+ of the 15 hits of showers 0 to 4, the first in shower 2 \("
    with pytest.raises(ShowerValueError, match=message):
        write(tmp_path / "a.h5", hits)


def changed(**datasets: Any) -> Callable[[Path], None]:
    """A file with other datasets, None for one that is missing."""

    def spoil(path: Path) -> None:
        with h5py.File(write(path, loose()), "a") as file:
            for name, values in datasets.items():
                del file[name]
                if values is not None:
                    file[name] = values

    return spoil


def silent(path: Path) -> None:
    with h5py.File(write(path, loose()), "a") as file:
        del file.attrs["calorimeter"]


BAD_HEADERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no cells": (changed(hit_cells=None), "dataset 'hit_cells' is missing"),
    "fewer cells": (
        changed(hit_cells=np.zeros(14, np.int32)),
        r"'hit_cells' \(14,\), 'hit_energies' \(15,\), .* expected \(N \+ 1,\) for 'hit_offsets'",
    ),
    "fewer offsets": (
        changed(hit_offsets=np.zeros(4, np.int64)),
        r"'incident_energies' has shape \(5, 1\), expected \(3, 1\)",
    ),
    "no offsets": (changed(hit_offsets=np.zeros(0, np.int64)), r"'hit_offsets' \(0,\)"),
    "wide energies": (changed(hit_energies=np.zeros((15, 2))), r"'hit_energies' \(15, 2\)"),
    "text": (changed(hit_cells=["a"] * 15), "'hit_cells' is not a dataset of numbers"),
    "no calorimeter": (silent, "the file is sparse and does not say its calorimeter"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_a_bad_header_is_one_clear_line_at_once(
    spoil: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    spoil(tmp_path / "a.h5")
    with pytest.raises(FileFormatError, match=message):
        open_showers(tmp_path / "a.h5")


BAD_VALUES: dict[str, tuple[Callable[[Path], None], str]] = {
    "offsets": (
        changed(hit_offsets=np.array([0, 3, 2, 10, 11, 15])),
        "'hit_offsets' of showers 0 to 4 does not ascend from 0 to 15",
    ),
    "beyond": (
        changed(hit_offsets=np.array([0, 3, 3, 10, 11, 16])),
        "'hit_offsets' of showers 0 to 4 does not ascend from 0 to 15",
    ),
    "cells": (
        changed(hit_cells=np.full(15, 2**40)),
        r"a\.h5: dataset 'hit_cells': 15 of the hits 0 to 14 are in no cell of calorimeter 'tower'",
    ),
    "half a cell": (
        changed(hit_cells=np.where(np.arange(15) == 7, 2.5, 2.0)),
        "'hit_cells': 1 of the hits 0 to 14 are in no cell .* the first is hit 7: write",
    ),
    "half an offset": (
        changed(hit_offsets=np.array([0, 3, 3, 10.5, 11, 15])),
        "'hit_offsets' of showers 0 to 4 does not ascend from 0 to 15",
    ),
    "times": (
        changed(hit_times=np.where(np.arange(15) == 7, np.nan, 1.0)),
        "'hit_times': 1 of the hits 0 to 14 have no finite time, the first is hit 7",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_bad_hits_are_one_clear_line_when_read(
    spoil: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    spoil(tmp_path / "a.h5")
    with pytest.raises(FileFormatError, match=message):
        _ = open_showers(tmp_path / "a.h5")[:]


def test_a_bad_hit_is_numbered_as_in_the_file(tmp_path: Path) -> None:
    changed(
        hit_offsets=np.array([0, 3, 3, 10, 11, 15]),
        hit_cells=np.where(np.arange(15) == 12, 5, 2),
    )(tmp_path / "a.h5")
    message = "1 of the hits 10 to 14 are in no cell of .* with cells 0 to 4, the first is hit 12"
    with open_showers(tmp_path / "a.h5") as file, pytest.raises(FileFormatError, match=message):
        _ = file[3:]


def test_the_calorimeter_given_serves_where_the_file_is_silent(tmp_path: Path) -> None:
    silent(tmp_path / "a.h5")
    assert open_showers(tmp_path / "a.h5", TOWER).calorimeter == TOWER
