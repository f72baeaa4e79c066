"""Opening and converting by suffix: every format to every other, in batches, whole or not at all,
in bounded memory.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from caloforge.errors import (
    CaloforgeError,
    FileFormatError,
    GeometryMismatchError,
    OutputError,
    OutputExistsError,
    ShowerValueError,
)
from caloforge.geometry import pbwo4_crystals
from caloforge.io import CaloChallengeFile, SquirelsFile, convert, open_showers
from caloforge.showers import Showers
from tests.io.samples import TOWER, assert_same, names_in, sample, spoilt
from tests.io.test_calochallenge import write_raw

FORMATS = {
    "a.h5": CaloChallengeFile,
    "a.hdf5": CaloChallengeFile,
    "A.H5": CaloChallengeFile,
    "a.npy": SquirelsFile,
}


@pytest.mark.parametrize(("name", "reader"), FORMATS.items())
def test_the_suffix_chooses_the_format(name: str, reader: type, tmp_path: Path) -> None:
    showers = sample(5)
    convert(showers, tmp_path / name)
    assert isinstance(open_showers(tmp_path / name), reader)
    assert_same(open_showers(str(tmp_path / name), pbwo4_crystals())[:], showers)


@pytest.mark.parametrize("batch_size", [1, 7, 20, 1000])
def test_there_and_back_is_the_same_in_any_batches(batch_size: int, tmp_path: Path) -> None:
    showers = sample(20)
    source = showers
    for name in ("a.h5", "b.npy", "c.npy", "d.hdf5"):
        convert(source, tmp_path / name, batch_size=batch_size)
        source = open_showers(tmp_path / name)
    assert_same(source[:], showers)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_weights_are_carried_along(batch_size: int, tmp_path: Path) -> None:
    showers = sample(20, weighted=True)
    convert(showers, tmp_path / "a.h5", batch_size=batch_size)
    convert(open_showers(tmp_path / "a.h5"), tmp_path / "b.h5", batch_size=batch_size)
    assert_same(open_showers(tmp_path / "b.h5")[:], showers)


def test_a_format_without_weights_refuses_them_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        OutputError,
        match=r"a\.npy: the \.npy of SQuIRELS cannot hold the weights of showers: write a \.h5",
    ):
        convert(sample(3, weighted=True), tmp_path / "a.npy")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    "showers",
    [
        sample(3, pdg=22),
        sample(3, pdg=torch.tensor([11, 11, -11])),
        sample(3, angles=True),
    ],
)
def test_a_format_of_electrons_along_the_axis_refuses_others(
    showers: Showers, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="electrons along the axis at the centre alone: write"):
        convert(showers, tmp_path / "a.npy")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["a.rot", "a", "a.npz", ".h5"])
def test_other_suffixes_are_refused_with_those_known(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        FileFormatError, match=r"suffix '.*', expected one of \.h5, .*, \.root: rename the file"
    ):
        open_showers(tmp_path / name)
    with pytest.raises(FileFormatError, match="suffix"):
        convert(sample(1), tmp_path / name)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["a.h5", "a.npy"])
def test_a_file_of_another_calorimeter_names_both(name: str, tmp_path: Path) -> None:
    convert(sample(2), tmp_path / name)
    with pytest.raises(
        GeometryMismatchError, match=r"file .* is of calorimeter 'pbwo4-10x10'.*expected 'tower'"
    ):
        open_showers(tmp_path / name, TOWER)


@pytest.mark.parametrize("name", ["out.h5", "out.npy"])
@pytest.mark.parametrize(
    "fault",
    [{"deposit": float("nan")}, {"deposit": -1.0}, {"energy": 0.0}, {"energy": float("inf")}],
    ids=str,
)
def test_a_bad_value_far_into_a_file_leaves_no_output(
    name: str, fault: dict[str, float], tmp_path: Path
) -> None:
    showers = spoilt(50, 44, **fault)
    source = write_raw(
        tmp_path / "in.h5",
        50,
        incident_energies=showers.energies.numpy(),
        showers=showers.deposits.numpy(),
    )
    with pytest.raises(
        ShowerValueError, match=r"in\.h5: dataset '(showers|incident_energies)': .*shower 44"
    ):
        convert(open_showers(source), tmp_path / name, batch_size=10)
    assert names_in(tmp_path) == ["in.h5"]


@pytest.mark.parametrize("name", ["out.h5", "out.npy"])
def test_an_existing_output_is_refused_unless_asked(name: str, tmp_path: Path) -> None:
    old, new = sample(3), sample(4)
    convert(old, tmp_path / name)
    with pytest.raises(OutputExistsError):
        convert(new, tmp_path / name)
    assert_same(open_showers(tmp_path / name)[:], old)
    convert(new, tmp_path / name, overwrite=True)
    assert_same(open_showers(tmp_path / name)[:], new)


@pytest.mark.parametrize("name", ["out.h5", "out.npy"])
def test_a_batch_size_below_one_leaves_no_output(name: str, tmp_path: Path) -> None:
    with pytest.raises(ShowerValueError, match="batch size is 0, expected at least 1"):
        convert(sample(3), tmp_path / name, batch_size=0)
    assert names_in(tmp_path) == []


def test_what_a_user_can_mend_is_one_kind_of_error() -> None:
    errors = (FileFormatError, GeometryMismatchError, OutputExistsError, ShowerValueError)
    assert all(issubclass(error, CaloforgeError) for error in errors)


@pytest.mark.skipif(sys.platform == "win32", reason="the largest resident memory is asked of POSIX")
def test_memory_does_not_grow_with_the_number_of_showers() -> None:
    """100,000 showers are 40 MB as float32 and 160 MB as .npy, yet converting them takes no more
    memory than converting 5,000.
    """
    script = Path(__file__).parents[2] / "benchmarks" / "io_memory.py"
    command = [sys.executable, str(script), "--warm-up", "5000", "--showers", "100000"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    steps = [json.loads(line) for line in printed.splitlines()]
    before, after = (
        max(step["peak_memory_mb"] for step in steps if step["showers"] == n)
        for n in (5000, 100000)
    )
    assert after - before < 35
    assert after < 1000
