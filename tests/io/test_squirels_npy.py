"""The .npy of the SQuIRELS release: round trips, the published layout, and every way in which a
file can be wrong.
"""

import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given

from caloforge.errors import (
    FileFormatError,
    GeometryMismatchError,
    OutputError,
    OutputExistsError,
    ShowerValueError,
)
from caloforge.geometry import pbwo4_crystals
from caloforge.io import SquirelsFile, write_squirels
from caloforge.particles import Particles
from caloforge.showers import Showers, ShowerSource
from tests.io.samples import TOWER, assert_same, names_in, sample, showers_of, spoilt


def table(n: int = 6, columns: int = 201) -> np.ndarray:
    """Rows as in the release: deposits in GeV, the incident energy in MeV in column 200, something
    else between.
    """
    rows = np.random.default_rng(1).random((n, columns))
    rows[:, 200] = 1e4 * np.arange(1, n + 1)
    return rows


def save(path: Path, rows: np.ndarray) -> Path:
    np.save(path, rows)
    return path


@given(showers=showers_of(pbwo4_crystals(), plain=True))
def test_what_is_written_is_read_bit_for_bit(showers: Showers) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npy"
        write_squirels(path, showers, batch_size=4)
        file = SquirelsFile(path)
        assert len(file) == len(showers)
        assert_same(file[:], showers)


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f8"])
@pytest.mark.parametrize("columns", [201, 210])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_published_layout_is_read(dtype: str, columns: int, order: str, tmp_path: Path) -> None:
    rows = table(columns=columns).astype(dtype, order=order)
    file = SquirelsFile(save(tmp_path / "a.npy", rows))
    assert file.calorimeter == pbwo4_crystals()
    assert file[1:3].energies.tolist() == [2e4, 3e4]
    expected = torch.from_numpy(rows[1:3, :100].astype(np.float64) * 1000).float()
    assert torch.equal(file[1:3].deposits, expected)


def test_the_layout_written_is_the_published_one(tmp_path: Path) -> None:
    showers = sample(3)
    write_squirels(tmp_path / "a.npy", showers)
    rows = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert rows.shape == (3, 201)
    np.testing.assert_allclose(rows[:, :100], showers.deposits.numpy() / 1e3, rtol=1e-7)
    np.testing.assert_array_equal(rows[:, 200], showers.energies.numpy())
    assert not rows[:, 100:200].any()


@pytest.mark.parametrize("size", [1, 4, 6, 50])
def test_batches_join_to_the_whole(size: int, tmp_path: Path) -> None:
    file = SquirelsFile(save(tmp_path / "a.npy", table()))
    assert isinstance(file, ShowerSource)
    assert file.weights is None
    assert_same(Showers.cat(list(file.batches(size))), file[:])
    assert_same(file[::2], file[:][::2])


@pytest.mark.parametrize("rows", [1, 4, 5, 10_000])
def test_energies_are_had_without_the_deposits(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caloforge.io.squirels_npy._ROWS", rows)
    values = table()
    values[0, 0] = np.nan
    file = SquirelsFile(save(tmp_path / "a.npy", values))
    assert torch.equal(file.energies, torch.from_numpy(values[:, 200]).float())
    values[-1, 200] = -1.0
    with pytest.raises(
        ShowerValueError, match=f"column 200: 1 of the .* shower {len(values) - 1} "
    ):
        _ = SquirelsFile(save(tmp_path / "b.npy", values)).energies


def _truncated(path: Path) -> None:
    save(path, table())
    path.write_bytes(path.read_bytes()[:-8])


def _pickled(path: Path) -> None:
    np.save(path, np.array([{"a": 1}] * 300, dtype=object).reshape(1, 300), allow_pickle=True)


def _bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps([1.0] * 201))


BAD_HEADERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file, expected a file to read: check the path"),
    "truncated": (_truncated, "not readable as an array of NumPy, its end is missing: copy it"),
    "empty": (Path.touch, "is empty, expected an array of NumPy: copy it again"),
    "text": (lambda path: path.write_text("1, 2, 3\n"), "it does not begin as such a file does"),
    "HDF5": (lambda path: h5py.File(path, "w").close(), r"is HDF5, .* give it the suffix \.h5"),
    "objects": (_pickled, "not readable as an array of NumPy, it holds objects of Python"),
    "pickle": (_bare_pickle, "not readable as an array of NumPy"),
    "narrow": (
        lambda path: save(path, table()[:, :200]),
        r"array of shape \(6, 200\) and type float64, expected \(N, at least 201\)",
    ),
    "flat": (
        lambda path: save(path, table()[0]),
        r"array of shape \(201,\) and type float64, expected",
    ),
    "whole numbers": (
        lambda path: save(path, table().astype(int)),
        r"type int64, expected \(N, at least 201\) floating-point",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_a_bad_header_is_one_clear_line_at_once(
    spoil: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.npy"
    spoil(path)
    with pytest.raises(FileFormatError, match=message) as raised:
        SquirelsFile(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("bad", "count"),
    [(np.nan, "1 NaN"), (np.inf, "1 infinite"), (1e37, "1 infinite"), (-1e-9, "1 negative")],
)
def test_bad_deposits_are_counted_and_the_first_is_placed(
    bad: float, count: str, tmp_path: Path
) -> None:
    rows = table()
    rows[3, 42] = bad
    file = SquirelsFile(save(tmp_path / "a.npy", rows))
    with pytest.raises(
        ShowerValueError,
        match=rf"a\.npy: columns 0 to 99: {count} of the 400 deposits .*shower 3, cell 42 \(",
    ):
        file[2:]


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_bad_energies_are_counted_and_the_first_is_placed(bad: float, tmp_path: Path) -> None:
    rows = table()
    rows[3:5, 200] = bad
    file = SquirelsFile(save(tmp_path / "a.npy", rows))
    with pytest.raises(
        ShowerValueError,
        match=r"a\.npy: column 200: 2 of the 4 incident energies of showers 2 to 5 .*shower 3 \(",
    ):
        file[2:]


@pytest.mark.parametrize(
    ("showers", "message"),
    [
        (
            spoilt(9, 7, deposit=-1.0),
            (
                "not written: 1 negative of the 100 deposits of showers 7 to 7, the first in "
                "shower 7, cell 42"
            ),
        ),
        (spoilt(9, 7, energy=-1.0), "incident energies are not positive and finite"),
    ],
)
def test_bad_values_are_not_written_and_nothing_is_left(
    showers: Showers, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ShowerValueError, match=message):
        write_squirels(tmp_path / "a.npy", showers, batch_size=1)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("deposit", "energy", "count"),
    [(1e39, 1.0, "100 infinite"), (1.0, 1e-60, "1 of the 1 incident energies")],
)
def test_values_beyond_float32_are_not_written(
    deposit: float, energy: float, count: str, tmp_path: Path
) -> None:
    deposits, energies = (
        torch.full((1, 100), deposit, dtype=torch.float64),
        torch.tensor([energy], dtype=torch.float64),
    )
    with pytest.raises(ShowerValueError, match=f"not written: {count}"):
        write_squirels(tmp_path / "a.npy", Showers(deposits, Particles(energies), pbwo4_crystals()))


def test_other_calorimeters_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(
        GeometryMismatchError,
        match=r"the sample for .*a\.npy is of calorimeter 'tower'.*expected 'pbwo4-10x10'",
    ):
        write_squirels(tmp_path / "a.npy", sample(2, TOWER))
    assert names_in(tmp_path) == []


def test_an_existing_output_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", table())
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match="exists already"):
        write_squirels(path, sample(2))
    with pytest.raises(OutputError, match="does not exist"):
        write_squirels(tmp_path / "nowhere" / "a.npy", sample(2))
    assert path.read_bytes() == before


def test_a_batch_size_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShowerValueError, match="batch size is 0"):
        write_squirels(tmp_path / "a.npy", sample(2), batch_size=0)
    assert names_in(tmp_path) == []
