"""Files by rows, by copies and several as one: always the showers that the files hold."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from caloforge.errors import FileFormatError, GeometryMismatchError, RowError
from caloforge.geometry import pbwo4_crystals
from caloforge.hits import HitSource
from caloforge.io import ShowerFile, convert, open_showers
from caloforge.io.mending import Mended, Mending
from caloforge.io.several import several
from caloforge.production import copy as produced
from caloforge.showers import Showers
from tests.io.samples import TOWER, assert_same, sample
from tests.io.test_lemurs import made_records, written

SIZES = (7, 1, 130)
SAMPLE = sample(sum(SIZES))
MASK = torch.arange(sum(SIZES)) % 3 > 0
ROWS = [
    slice(None),
    slice(5, 9),
    slice(3, 130, 4),
    slice(8, 8),
    0,
    -1,
    np.int64(7),
    [7, 3, 3, -1],
    [],
    np.array([100, 7]),
    torch.tensor([8, 6]),
    MASK,
    MASK.tolist(),
]


def parts() -> list[Showers]:
    stops = np.cumsum(SIZES)
    return [SAMPLE[int(b) - n : int(b)] for n, b in zip(SIZES, stops, strict=True)]


def dense(folder: Path) -> ShowerFile:
    convert(SAMPLE, folder / "a.h5")
    return open_showers(folder / "a.h5")


def sparse(folder: Path) -> ShowerFile:
    convert(SAMPLE, folder / "a.h5", sparse=True)
    return open_showers(folder / "a.h5")


def mended(folder: Path) -> ShowerFile:
    return Mended(dense(folder), Mending(positive=True))


def joined(folder: Path, *, hits: bool = False) -> ShowerFile:
    for k, part in enumerate(parts()):
        convert(part, folder / f"part_{k}.h5", sparse=hits)
    return open_showers(folder / "part_?.h5")


def joined_hits(folder: Path) -> ShowerFile:
    return joined(folder, hits=True)


Make = Callable[[Path], ShowerFile]
FILES = pytest.mark.parametrize("make", [dense, sparse, mended, joined, joined_hits])


@FILES
@pytest.mark.parametrize("rows", ROWS, ids=lambda rows: type(rows).__name__)
def test_rows_of_a_file_are_those_of_the_showers(make: Make, rows: object, tmp_path: Path) -> None:
    file = make(tmp_path)
    assert_same(file[rows], SAMPLE[rows])  # type: ignore[index]
    if isinstance(file, HitSource) and isinstance(rows, slice):
        assert_same(file.sparse(rows).to_showers(), SAMPLE[rows])


@FILES
def test_a_file_is_gone_through_shower_by_shower(make: Make, tmp_path: Path) -> None:
    showers = list(make(tmp_path))
    assert len(showers) == len(SAMPLE)
    assert_same(Showers.cat(showers), SAMPLE)


@FILES
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))]
)
def test_a_file_can_be_copied_and_sent_to_workers(
    make: Make, again: Callable[[ShowerFile], ShowerFile], tmp_path: Path
) -> None:
    file = make(tmp_path)
    other = again(file)
    del file
    assert_same(other[:], SAMPLE)


def crystals(folder: Path) -> ShowerFile:
    convert(SAMPLE, folder / "a.npy")
    return open_showers(folder / "a.npy")


def lemurs(folder: Path) -> ShowerFile:
    return open_showers(written(folder / "par04siw.h5", made_records()), pdg=22)


@pytest.mark.parametrize("make", [crystals, lemurs])
def test_files_of_other_layouts_can_be_sent_and_chosen_from(make: Make, tmp_path: Path) -> None:
    file = make(tmp_path)
    other = pickle.loads(pickle.dumps(file))
    assert_same(other[:], file[:])
    assert_same(other[[5, 2]], file[:][[5, 2]])


@FILES
@pytest.mark.parametrize("row", [len(SAMPLE), -len(SAMPLE) - 1, [0, len(SAMPLE)], np.array(["a"])])
def test_a_row_that_is_not_there_is_named(make: Make, row: object, tmp_path: Path) -> None:
    file = make(tmp_path)
    for source in (file, SAMPLE):
        with pytest.raises(RowError, match=r"index .*: expected"):
            source[row]  # type: ignore[index]


def test_the_first_showers_alone_are_a_sample(tmp_path: Path) -> None:
    file = dense(tmp_path)
    few = several([file], first=9)
    assert_same(few[:], SAMPLE[:9])
    assert torch.equal(few.energies, SAMPLE.energies[:9])
    assert few.origin == {**file.origin, "showers": "the first 9 of 138"}
    assert several([file], first=1000).origin == file.origin
    assert several([file]) is file


def test_several_files_say_what_they_have_in_common(tmp_path: Path) -> None:
    file = joined(tmp_path)
    names = [tmp_path / f"part_{k}.h5" for k in range(3)]
    assert file.paths == tuple(names)
    assert file.origin["file"] == ", ".join(map(str, names))
    assert len(file.origin["sha256"].split(", ")) == 3
    assert "part_2.h5" in repr(file)


def test_files_of_different_calorimeters_are_refused(tmp_path: Path) -> None:
    convert(SAMPLE, tmp_path / "a.h5")
    convert(sample(3, TOWER), tmp_path / "b.h5")
    with pytest.raises(GeometryMismatchError, match=r"b\.h5"):
        open_showers([tmp_path / "a.h5", tmp_path / "b.h5"])


def test_a_pattern_without_files_and_no_file_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"none_\*\.h5: no file fits this pattern"):
        open_showers(tmp_path / "none_*.h5")
    with pytest.raises(FileFormatError, match="no file is given"):
        open_showers([])


def test_a_name_with_the_signs_of_a_pattern_is_a_name(tmp_path: Path) -> None:
    convert(SAMPLE, tmp_path / "a[1]?.h5")
    assert open_showers(tmp_path / "a[1]?.h5").path == tmp_path / "a[1]?.h5"


def test_the_copy_of_several_files_is_that_of_one(tmp_path: Path) -> None:
    produced(joined(tmp_path), tmp_path / "whole.h5", batch_size=20)
    file = open_showers(tmp_path / "whole.h5")
    assert_same(file[:], SAMPLE)
    assert file.calorimeter == pbwo4_crystals()
