"""CaloChallenge HDF5: round trips, the published layout, and every way in which a file can be
wrong.
"""

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caloforge.errors import (
    CaloforgeError,
    FileFormatError,
    GeometryMismatchError,
    OutputError,
    OutputExistsError,
    ShowerValueError,
)
from caloforge.geometry import Calorimeter, RegularGrid, calochallenge_1_photons, pbwo4_crystals
from caloforge.io import CaloChallengeFile, CaloChallengeWriter, HitWriter, convert, open_showers
from caloforge.particles import Particles
from caloforge.showers import Showers, ShowerSource
from tests.catalogue import CALORIMETERS, name_of
from tests.io.samples import TOWER, assert_same, names_in, sample, showers_of, spoilt

GOLDEN = Path(__file__).parents[1] / "golden"


def write(path: Path, showers: Showers, *sizes: int) -> Path:
    with CaloChallengeWriter(path, showers.calorimeter) as writer:
        for size in sizes or (len(showers),):
            writer.append(showers[:size])
            showers = showers[size:]
    return path


def write_raw(path: Path, n: int = 6, cells: int = 100, **datasets: Any) -> Path:
    """A file as a stranger may write it: datasets given take the place of good ones, None leaves
    one out.
    """
    good = {"incident_energies": np.full((n, 1), 1e4), "showers": np.ones((n, cells))}
    with h5py.File(path, "w") as file:
        for name, values in (good | datasets).items():
            if values is not None:
                file[name] = values
    return path


@given(showers=showers_of(TOWER))
def test_what_is_written_is_read(showers: Showers) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.h5", showers)
        with CaloChallengeFile(path) as file:
            assert len(file) == len(showers)
            assert_same(file[:], showers)
            assert file[:].deposits.dtype == file[:].energies.dtype == torch.float32


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_any_calorimeter_travels_with_its_showers(calorimeter: Calorimeter, tmp_path: Path) -> None:
    showers = sample(3, calorimeter)
    file = CaloChallengeFile(write(tmp_path / "a.h5", showers))
    assert_same(file[:], showers)
    assert file.calorimeter.describe() == calorimeter.describe()


@given(
    start=st.none() | st.integers(-9, 9),
    stop=st.none() | st.integers(-9, 9),
    step=st.integers(1, 3),
)
def test_a_slice_of_the_file_is_the_slice_of_its_showers(
    start: int | None, stop: int | None, step: int
) -> None:
    showers = sample(7, TOWER, angles=True, weighted=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        CaloChallengeFile(write(Path(folder) / "a.h5", showers)) as file,
    ):
        assert_same(file[start:stop:step], showers[start:stop:step])


@pytest.mark.parametrize("sizes", [(10,), (1,) * 10, (3, 0, 7), (4, 4, 2)])
def test_how_it_was_appended_leaves_no_trace(sizes: tuple[int, ...], tmp_path: Path) -> None:
    showers = sample(10)
    together, apart = (
        write(tmp_path / name, showers, *how)
        for name, how in (("together.h5", ()), ("apart.h5", sizes))
    )
    assert_same(CaloChallengeFile(together)[:], CaloChallengeFile(apart)[:])


@pytest.mark.parametrize("size", [1, 3, 10, 100])
def test_batches_join_to_the_whole(size: int, tmp_path: Path) -> None:
    showers = sample(10)
    file = CaloChallengeFile(write(tmp_path / "a.h5", showers))
    assert_same(Showers.cat(list(file.batches(size))), showers)


def test_a_file_is_a_source(tmp_path: Path) -> None:
    assert isinstance(CaloChallengeFile(write(tmp_path / "a.h5", sample(1))), ShowerSource)


@pytest.mark.parametrize("size", [0, -5])
def test_a_batch_size_below_one_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(ShowerValueError, match="expected at least 1"):
        CaloChallengeFile(write(tmp_path / "a.h5", sample(3))).batches(size)


def test_a_negative_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShowerValueError, match="step -1, expected a positive step"):
        CaloChallengeFile(write(tmp_path / "a.h5", sample(3)))[::-1]


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4", ">f8", "<i4", "<f2"])
@pytest.mark.parametrize("flat", [True, False])
def test_the_published_layouts_are_read(dtype: str, flat: bool, tmp_path: Path) -> None:
    energies, deposits = np.arange(1, 7).astype(dtype), np.arange(600).reshape(6, 100).astype(dtype)
    path = write_raw(
        tmp_path / "a.hdf5",
        incident_energies=energies if flat else energies[:, None],
        showers=deposits,
        hits=energies,
    )
    file = CaloChallengeFile(path)
    assert file.calorimeter == pbwo4_crystals()
    assert file[2:4].energies.tolist() == [3.0, 4.0]
    assert file[2:4].deposits.flatten().tolist() == list(range(200, 400))
    assert file.column("hits").tolist() == [1, 2, 3, 4, 5, 6]


def test_the_layout_written_is_the_published_one(tmp_path: Path) -> None:
    showers = sample(5, TOWER)
    with h5py.File(write(tmp_path / "a.h5", showers)) as file:
        assert file["incident_energies"].shape == (5, 1)
        assert file["showers"].shape == (5, 5)
        assert file["showers"].dtype == file["incident_energies"].dtype == np.float32
        assert file["showers"].compression == "gzip"
        np.testing.assert_array_equal(file["showers"][:], showers.deposits.numpy())
        assert json.loads(file.attrs["calorimeter"])["name"] == "tower"
        assert file.attrs["units"] == "MeV"


def test_the_calorimeter_given_serves_where_the_file_is_silent(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.h5", cells=5)
    assert CaloChallengeFile(path, TOWER).calorimeter == TOWER
    other = RegularGrid("plane", (10, 10, 1), (1.0, 1.0, 1.0))
    assert CaloChallengeFile(write_raw(tmp_path / "b.h5"), other).calorimeter == other
    with h5py.File(tmp_path / "b.h5", "a") as file:
        file.attrs["calorimeter"] = "our ECAL, version 3"
    assert CaloChallengeFile(tmp_path / "b.h5", other).calorimeter == other


def test_species_is_the_file_s_own_or_the_one_given(tmp_path: Path) -> None:
    assert (
        CaloChallengeFile(write(tmp_path / "a.h5", sample(2, pdg=22)), pdg=13)[:].particles.pdg
        == 22
    )
    silent = write_raw(tmp_path / "b.h5")
    assert CaloChallengeFile(silent)[:].particles.pdg is None
    assert CaloChallengeFile(silent, pdg=22)[:].particles.pdg == 22


@pytest.mark.parametrize("value", [22, "22", "gamma", b"gamma", np.array([22]), np.array(22.0)])
def test_the_species_of_all_is_a_number_or_a_name(value: object, tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.attrs["pdg"] = value
    assert CaloChallengeFile(path).particles.pdg == 22


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("gama", "attribute 'pdg': species 'gama': .*did you mean gamma"),
        (np.array([11, 22]), "attribute 'pdg': 2 values, expected one PDG number"),
        (11.5, "attribute 'pdg': species '11.5'"),
        (math.inf, "attribute 'pdg': species 'inf'"),
        (2.0**70, "attribute 'pdg': species '1.18"),
        ("9" * 30, "attribute 'pdg': species '9999"),
        ("x" * 10_000, "attribute 'pdg': species 'x{80}'"),
    ],
)
def test_an_attribute_that_says_no_species_is_refused(
    value: object, message: str, tmp_path: Path
) -> None:
    path = write_raw(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.attrs["pdg"] = value
    with pytest.raises(FileFormatError, match=message):
        CaloChallengeFile(path)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300, 11.5, np.uint64(2**64 - 1)])
def test_a_column_of_species_holds_pdg_numbers(bad: float, tmp_path: Path) -> None:
    species = np.array([11, 11, 11, 11, bad, 22], dtype=np.asarray(bad).dtype)
    file = CaloChallengeFile(write_raw(tmp_path / "a.h5", pdg=species))
    message = "'pdg': 1 of the 2 numbers of showers 3 to 4 are not PDG numbers, .* of shower 4"
    with pytest.raises(ShowerValueError, match=message):
        _ = file[3:5]


def test_species_and_places_of_a_stranger_s_file_are_read(tmp_path: Path) -> None:
    species, x, y = np.array([11, 22, 11, 211, 22, 11]), np.arange(6.0), -np.arange(6.0)
    path = write_raw(tmp_path / "a.h5", pdg=species[:, None], incident_x=x, incident_y=y)
    particles = CaloChallengeFile(path)[1:4].particles
    assert particles == Particles(
        torch.full((3,), 1e4),
        torch.tensor([22, 11, 211]),
        place=torch.tensor([[1.0, -1.0], [2.0, -2.0], [3.0, -3.0]]),
    )


def test_one_species_follows_where_each_shower_has_its_own(tmp_path: Path) -> None:
    mixed, photons = sample(2, pdg=torch.tensor([11, 211])), sample(3, pdg=22)
    with CaloChallengeWriter(tmp_path / "a.h5", mixed.calorimeter) as writer:
        writer.append(mixed)
        writer.append(photons)
    assert_same(CaloChallengeFile(tmp_path / "a.h5")[:], Showers.cat([mixed, photons]))


def test_converting_keeps_columns_and_origin(tmp_path: Path) -> None:
    showers = sample(7, angles=True, weighted=True)
    time, number = torch.rand(7, dtype=torch.float64), torch.arange(7)
    writer = CaloChallengeWriter(
        tmp_path / "a.h5", showers.calorimeter, attributes={"generator": "dice"}
    )
    with writer:
        writer.append(showers, {"cpu_time_ms": time, "number": number})
    done: list[int] = []
    convert(
        CaloChallengeFile(tmp_path / "a.h5"),
        tmp_path / "b.h5",
        batch_size=3,
        progress=done.append,
    )
    file = CaloChallengeFile(tmp_path / "b.h5")
    assert done == [3, 3, 1]
    assert_same(file[:], showers)
    assert torch.equal(file.column("cpu_time_ms"), time)
    assert torch.equal(file.column("number"), number)
    assert file.provenance == {"generator": "dice"}


def test_extra_columns_and_attributes_are_kept(tmp_path: Path) -> None:
    time, number = torch.rand(4, dtype=torch.float64), torch.arange(4)
    showers = sample(4)
    with CaloChallengeWriter(
        tmp_path / "a.h5", showers.calorimeter, attributes={"generator": "dice"}
    ) as writer:
        for span in (slice(0, 3), slice(3, 4)):
            writer.append(showers[span], {"cpu_time_ms": time[span], "number": number[span]})
    file = CaloChallengeFile(tmp_path / "a.h5")
    assert file.columns == ("cpu_time_ms", "incident_energies", "number")
    assert torch.equal(file.column("cpu_time_ms"), time)
    assert torch.equal(file.column("number"), number)
    assert torch.equal(file.column("incident_energies"), showers.energies)
    assert file.attributes["generator"] == "dice"


def test_a_file_of_version_0_1_with_an_invented_thickness_is_of_the_published_calorimeter(
    tmp_path: Path,
) -> None:
    old = CaloChallengeFile(GOLDEN / "photons-0.1.0.h5")
    assert '"thickness": 1.0' in old.attributes["calorimeter"]
    assert old.calorimeter == calochallenge_1_photons()
    assert not old.calorimeter.has_depth
    again = CaloChallengeFile(write(tmp_path / "new.h5", old[:]))
    assert again.calorimeter == old.calorimeter
    assert '"thickness": null' in again.attributes["calorimeter"]
    assert_same(again[:], old[:])


def test_the_threshold_of_the_readout_travels_with_the_showers(tmp_path: Path) -> None:
    a, b = replace(sample(3), threshold=0.25), replace(sample(2), threshold=0.5)
    assert CaloChallengeFile(write(tmp_path / "a.h5", a, 2, 1))[:].threshold == 0.25
    assert CaloChallengeFile(write(tmp_path / "silent.h5", sample(2)))[:].threshold is None
    with CaloChallengeWriter(tmp_path / "both.h5", a.calorimeter) as writer:
        writer.append(a)
        writer.append(b)
    assert CaloChallengeFile(tmp_path / "both.h5")[:].threshold is None


@pytest.mark.parametrize("stated", ["low", -1.0, np.inf])
def test_a_threshold_that_is_none_is_refused(stated: float | str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", sample(2))
    with h5py.File(path, "r+") as file:
        file.attrs["threshold"] = stated
    with pytest.raises(FileFormatError, match=r"attribute 'threshold' is .*, expected a number"):
        CaloChallengeFile(path)


@pytest.mark.parametrize("flat", [True, False])
def test_weights_of_a_stranger_s_file_are_read(flat: bool, tmp_path: Path) -> None:
    weights = np.array([0.0, 1.0, 2.5, 1.0, 3.0, 0.25])
    file = CaloChallengeFile(
        write_raw(tmp_path / "a.h5", weights=weights if flat else weights[:, None])
    )
    assert file.weights is not None
    assert file[1:4].weights is not None
    assert file.weights.tolist() == weights.tolist()
    assert file[1:4].weights.tolist() == [1.0, 2.5, 1.0]
    assert file.columns == ("incident_energies", "weights")


@pytest.mark.parametrize("weighted", [True, False])
def test_energies_and_weights_are_had_without_the_deposits(weighted: bool, tmp_path: Path) -> None:
    showers = sample(3000, weighted=weighted)
    path = write(tmp_path / "a.h5", showers)
    with h5py.File(path) as raw:
        block = raw["showers"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[block.byte_offset : block.byte_offset + block.size] = bytes(block.size)
    path.write_bytes(content)
    file = CaloChallengeFile(path)
    assert torch.equal(file.energies, showers.energies)
    assert (file.weights is None) == (showers.weights is None)
    assert file.weights is None or torch.equal(file.weights, showers.weights)


@pytest.mark.parametrize("bad", [-0.5, np.nan, np.inf, 1e39])
def test_bad_weights_are_counted_and_the_first_is_placed(bad: float, tmp_path: Path) -> None:
    file = CaloChallengeFile(
        write_raw(tmp_path / "a.h5", weights=np.array([1.0, 2.0, 3.0, bad, 5.0, bad]))
    )
    assert len(file[:3]) == 3
    message = (
        r"a\.h5: dataset 'weights': 2 of the 4 weights of showers 2 to 5 are not finite or below "
        r"0, .*shower 3 \("
    )
    with pytest.raises(ShowerValueError, match=message):
        list(file[2:].batches(4))
    with pytest.raises(ShowerValueError, match="2 of the 6 weights"):
        _ = file.weights


@pytest.mark.parametrize("name", ["incident_theta", "incident_phi"])
def test_angles_that_may_be_in_degrees_are_refused(name: str, tmp_path: Path) -> None:
    angles = np.array([0.1, 0.2, 40.0, 0.3, 45.0, 0.5])
    file = CaloChallengeFile(write_raw(tmp_path / "a.h5", **{name: angles}))
    message = rf"a\.h5: dataset '{name}': 2 of 6 .* is 40, that of shower 2: are they in degrees"
    with pytest.raises(ShowerValueError, match=message):
        _ = file.particles


def append_all(writer: CaloChallengeWriter, batches: list[Showers]) -> None:
    for batch in batches:
        writer.append(batch)


@pytest.mark.parametrize("first", [True, False])
def test_a_file_is_weighted_as_a_whole_or_not_at_all(first: bool, tmp_path: Path) -> None:
    batches = [sample(2, weighted=first), sample(2, weighted=not first)]
    order = "without weights after batches with" if first else "with weights after batches without"
    message = f"a batch {order}: a file is"
    with (
        pytest.raises(OutputError, match=message),
        CaloChallengeWriter(tmp_path / "a.h5", pbwo4_crystals()) as writer,
    ):
        append_all(writer, batches)
    assert names_in(tmp_path) == []


def test_weights_that_float32_cannot_hold_are_not_written(tmp_path: Path) -> None:
    good = sample(3)
    huge = Showers(
        good.deposits,
        good.particles,
        good.calorimeter,
        torch.tensor([1.0, 1e300, 2.0], dtype=torch.float64),
    )
    with pytest.raises(
        ShowerValueError, match=r"a\.h5: not written: 1 of the 3 weights .* that of shower 1"
    ):
        write(tmp_path / "a.h5", huge)
    with (
        pytest.raises(ShowerValueError, match="extra column 'weights'"),
        CaloChallengeWriter(tmp_path / "b.h5", TOWER) as writer,
    ):
        writer.append(sample(2, TOWER), {"weights": torch.ones(2)})


def test_gradients_and_devices_do_not_matter_to_the_writer(tmp_path: Path) -> None:
    showers = sample(2)
    showers.deposits.requires_grad_(True)
    assert_same(CaloChallengeFile(write(tmp_path / "a.h5", showers))[:], showers)


def test_nothing_appended_is_an_empty_sample(tmp_path: Path) -> None:
    with CaloChallengeWriter(tmp_path / "a.h5", TOWER):
        pass
    file = CaloChallengeFile(tmp_path / "a.h5")
    assert len(file) == len(file[:]) == 0
    assert list(file.batches(3)) == []


def _truncated(path: Path) -> None:
    write(path, sample(500))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _not_hdf5(path: Path) -> None:
    path.write_text("energies, deposits\n")


def _group(path: Path) -> None:
    write_raw(path, showers=None)
    with h5py.File(path, "a") as file:
        file.create_group("showers")


def _attribute(text: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with h5py.File(write_raw(path), "a") as file:
            file.attrs["calorimeter"] = text

    return spoil


def _raw(**arguments: Any) -> Callable[[Path], None]:
    return lambda path: write_raw(path, **arguments) and None


BAD_HEADERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file, expected a file to read: check the path"),
    "folder": (Path.mkdir, "is a folder, expected a file to read"),
    "truncated": (_truncated, r"not readable as HDF5, its end is missing: copy it again \("),
    "not HDF5": (_not_hdf5, r"does not begin as such a file does: .*signature not found"),
    "empty": (Path.touch, "is empty, expected HDF5"),
    "no energies": (
        _raw(incident_energies=None),
        "dataset 'incident_energies' is missing; the file has 'showers', expected at least",
    ),
    "no showers": (
        _raw(showers=None),
        "dataset 'showers' is missing; the file has 'incident_energies', expected at least",
    ),
    "no numbers": (_raw(showers=h5py.Empty("f4")), "dataset 'showers' is not a dataset of numbers"),
    "group": (_group, "dataset 'showers' is not a dataset of numbers"),
    "text": (_raw(showers=[["a"] * 100] * 6), "dataset 'showers' is not a dataset of numbers"),
    "three axes": (
        _raw(showers=np.ones((6, 10, 10))),
        r"dataset 'showers' has shape \(6, 10, 10\), expected \(N, cells\): flatten",
    ),
    "fewer energies": (
        _raw(incident_energies=np.ones((5, 1))),
        r"'incident_energies' has shape \(5, 1\), expected \(6, 1\) or \(6,\)",
    ),
    "wide energies": (
        _raw(incident_energies=np.ones((6, 2))),
        r"'incident_energies' has shape \(6, 2\), expected \(6, 1\)",
    ),
    "fewer angles": (
        _raw(incident_theta=np.ones((5, 1))),
        r"'incident_theta' has shape \(5, 1\), expected \(6, 1\)",
    ),
    "half a place": (_raw(incident_x=np.ones(6)), "one of incident_x and incident_y is missing"),
    "fewer species": (_raw(pdg=np.ones(5, dtype=int)), r"'pdg' has shape \(5,\)"),
    "fewer weights": (_raw(weights=np.ones(5)), r"'weights' has shape \(5,\), expected \(6, 1\)"),
    "wide weights": (
        _raw(weights=np.ones((6, 3))),
        r"'weights' has shape \(6, 3\), expected \(6, 1\)",
    ),
    "unknown size": (
        _raw(cells=6481),
        (
            r"'showers' has 6481 cells, the file has no attribute 'calorimeter'.*'pbwo4-10x10' "
            r"\(100 cells\)"
        ),
    ),
    "not JSON": (_attribute("10x10"), "attribute 'calorimeter': not JSON"),
    "not keys": (_attribute("[1, 2]"), "attribute 'calorimeter': .*expected keys"),
    "deep": (_attribute('{"a":' * 10_000 + "1" + "}" * 10_000), "attribute 'calorimeter': "),
    "not a description": (
        _attribute('{"kind": "x"}'),
        r"attribute 'calorimeter': .*; expected JSON of Calorimeter\.describe\(\)",
    ),
    "other size": (
        _attribute(json.dumps(TOWER.describe())),
        "'showers' has 100 cells, expected 5 of calorimeter 'tower': give",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_a_bad_header_is_one_clear_line_at_once(
    spoil: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.h5"
    spoil(path)
    with pytest.raises(FileFormatError, match=message) as raised:
        CaloChallengeFile(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_wrong_number_of_cells_names_file_dataset_and_calorimeter(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.h5", cells=99)
    message = (
        r"a\.h5: dataset 'showers' has 99 cells, expected 100 of calorimeter 'pbwo4-10x10': give "
        r"the calorimeter that"
    )
    with pytest.raises(FileFormatError, match=message):
        CaloChallengeFile(path, pbwo4_crystals())


def test_a_calorimeter_against_the_file_s_own_names_both(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", sample(2, TOWER))
    with pytest.raises(
        GeometryMismatchError, match=r"a\.h5 is of calorimeter 'tower'.*expected 'pbwo4-10x10'"
    ):
        CaloChallengeFile(path, pbwo4_crystals())


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("gone", "dataset 'gone' is missing; the file has 'incident_energies', 'short', 'showers'"),
        ("short", r"has shape \(2,\), expected"),
    ],
)
def test_a_bad_column_is_named(column: str, message: str, tmp_path: Path) -> None:
    file = CaloChallengeFile(write_raw(tmp_path / "a.h5", short=np.ones(2)))
    assert file.columns == ("incident_energies",)
    with pytest.raises(FileFormatError, match=message):
        file.column(column)


def test_a_damaged_block_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", sample(3000))
    with h5py.File(path) as raw:
        block = raw["showers"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[block.byte_offset : block.byte_offset + block.size] = bytes(block.size)
    path.write_bytes(content)
    file = CaloChallengeFile(path)
    assert len(file[:1000]) == 1000
    with pytest.raises(
        FileFormatError,
        match=r"a\.h5: dataset 'showers': not readable as HDF5, truncated or damaged",
    ):
        file[1000:]


@pytest.mark.parametrize(
    ("bad", "count"),
    [
        ({(3, 42): np.nan}, "1 NaN of the 400 deposits"),
        ({(3, 42): np.inf}, "1 infinite of the 400 deposits"),
        ({(3, 42): -np.inf}, "1 infinite of the 400 deposits"),
        ({(3, 42): 1e39}, "1 infinite of the 400 deposits"),
        ({(3, 42): -1e-3}, "1 negative of the 400 deposits"),
        (
            {(3, 42): -1.0, (3, 43): np.nan, (5, 0): -2.0, (5, 99): np.inf},
            "1 NaN, 1 infinite, 2 negative of the 400 deposits",
        ),
    ],
)
def test_bad_deposits_are_counted_and_the_first_is_placed(
    bad: dict[tuple[int, int], float], count: str, tmp_path: Path
) -> None:
    deposits = np.ones((6, 100))
    for place, value in bad.items():
        deposits[place] = value
    file = CaloChallengeFile(write_raw(tmp_path / "a.h5", showers=deposits))
    assert len(file[:3]) == 3
    message = (
        rf"a\.h5: dataset 'showers': {count} of showers 2 to 5, "
        r"the first in shower 3, cell 42 \(.* MeV\): expected finite"
    )
    with pytest.raises(ShowerValueError, match=message):
        file[2:]


@pytest.mark.parametrize("bad", [0.0, -5.0, np.nan, np.inf, 1e-60])
def test_bad_energies_are_counted_and_the_first_is_placed(bad: float, tmp_path: Path) -> None:
    energies = np.array([1.0, 2.0, 3.0, bad, 5.0, bad])
    file = CaloChallengeFile(write_raw(tmp_path / "a.h5", incident_energies=energies))
    assert len(file[:3]) == 3
    message = (
        r"a\.h5: dataset 'incident_energies': 2 of the 4 incident energies of showers 2 to 5 are "
        r"not positive.*shower 3 \("
    )
    with pytest.raises(ShowerValueError, match=message):
        list(file[2:].batches(4))


def test_an_existing_output_is_refused_at_once_and_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", sample(2))
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match="exists already"):
        CaloChallengeWriter(path, pbwo4_crystals())
    assert path.read_bytes() == before


def test_overwriting_replaces_even_the_file_that_is_read(tmp_path: Path) -> None:
    showers = sample(5)
    path = write(tmp_path / "a.h5", showers)
    convert(CaloChallengeFile(path), path, overwrite=True)
    assert_same(CaloChallengeFile(path)[:], showers)
    assert names_in(tmp_path) == ["a.h5"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_writer_leaves_nothing(error: type[BaseException], tmp_path: Path) -> None:
    def interrupted() -> None:
        with CaloChallengeWriter(tmp_path / "a.h5", pbwo4_crystals()) as writer:
            writer.append(sample(10))
            assert len(names_in(tmp_path)) == 1
            raise error

    with pytest.raises(error):
        interrupted()
    assert names_in(tmp_path) == []


BAD_BATCHES: dict[str, tuple[Showers, dict[str, torch.Tensor], type[CaloforgeError], str]] = {
    "calorimeter": (sample(2, TOWER), {}, GeometryMismatchError, "'tower'.*expected 'pbwo4-10x10'"),
    "NaN": (
        spoilt(3, 1, deposit=np.nan),
        {},
        ShowerValueError,
        "not written: 1 NaN.*the first in shower 3, cell 42",
    ),
    "negative": (
        spoilt(3, 1, deposit=-1.0),
        {},
        ShowerValueError,
        "not written: 1 negative.*the first in shower 3, cell 42",
    ),
    "energy": (
        spoilt(3, 1, energy=0.0),
        {},
        ShowerValueError,
        "not written: 1 of the 3 incident energies of showers 2 to 4",
    ),
    "species": (
        sample(2, pdg=22),
        {},
        ShowerValueError,
        "a batch of species 22.*expected species 11",
    ),
    "no species": (sample(2, pdg=None), {}, ShowerValueError, "unknown species.*species 11"),
    "angles": (
        sample(2, angles=True),
        {},
        ShowerValueError,
        "columns incident_energies, incident_phi, incident_theta, expected",
    ),
    "columns": (
        sample(2),
        {"time": torch.ones(2)},
        ShowerValueError,
        "with columns incident_energies, time, expected",
    ),
    "length": (
        sample(2),
        {"time": torch.ones(3)},
        ShowerValueError,
        r"extra column 'time' has shape \(3,\), expected \(2,\)",
    ),
    "reserved": (
        sample(2),
        {"showers": torch.ones(2)},
        ShowerValueError,
        "under a name other than incident_energies,",
    ),
}


@pytest.mark.parametrize(
    ("batch", "extra", "error", "message"), BAD_BATCHES.values(), ids=BAD_BATCHES.keys()
)
def test_a_bad_batch_is_refused_and_nothing_is_left(
    batch: Showers,
    extra: dict[str, torch.Tensor],
    error: type[CaloforgeError],
    message: str,
    tmp_path: Path,
) -> None:
    def write_both() -> None:
        with CaloChallengeWriter(tmp_path / "a.h5", pbwo4_crystals()) as writer:
            writer.append(sample(2))
            writer.append(batch, extra)

    with pytest.raises(error, match=message):
        write_both()
    assert names_in(tmp_path) == []


def test_a_refused_batch_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    good = sample(2)
    with CaloChallengeWriter(tmp_path / "a.h5", pbwo4_crystals()) as writer:
        writer.append(good)
        with pytest.raises(ShowerValueError):
            writer.append(sample(3), {"time": torch.ones(3)})
    assert_same(CaloChallengeFile(tmp_path / "a.h5")[:], good)


def test_a_writer_wants_a_with_statement(tmp_path: Path) -> None:
    writer = CaloChallengeWriter(tmp_path / "a.h5", pbwo4_crystals())
    with pytest.raises(
        OutputError, match="not open for writing: use the writer in a with statement"
    ):
        writer.append(sample(1))
    with writer:
        writer.append(sample(1))
    with pytest.raises(OutputError, match="not open for writing"):
        writer.append(sample(1))


def test_a_missing_folder_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist: make the folder first"):
        CaloChallengeWriter(tmp_path / "nowhere" / "a.h5", pbwo4_crystals())


def test_float64_deposits_beyond_float32_are_refused(tmp_path: Path) -> None:
    showers = Showers(
        torch.full((1, 5), 1e39, dtype=torch.float64), Particles(torch.ones(1)), TOWER
    )
    with pytest.raises(ShowerValueError, match="5 infinite"):
        write(tmp_path / "a.h5", showers)


@pytest.mark.parametrize("kind", [CaloChallengeWriter, HitWriter])
@pytest.mark.parametrize(("unit", "factor"), [("keV", 1e-3), ("GeV", 1e3), ("gev ", 1e3)])
def test_energies_are_read_in_the_unit_that_the_file_states(
    kind: type[CaloChallengeWriter], unit: str, factor: float, tmp_path: Path
) -> None:
    """The unit of a dataset goes before that of the file."""
    showers = sample(6)
    path = tmp_path / "showers.h5"
    with kind(path, showers.calorimeter) as writer:
        writer.append(showers)
    with h5py.File(path, "r+") as file:
        file.attrs["units"] = unit
    with open_showers(path) as file:
        torch.testing.assert_close(file[:].deposits, showers.deposits * factor)
        torch.testing.assert_close(file.energies, showers.energies * factor)
    with h5py.File(path, "r+") as file:
        file["incident_energies"].attrs["units"] = np.bytes_("MeV")
    with open_showers(path) as file:
        assert torch.equal(file.energies, showers.energies)
        torch.testing.assert_close(file[1:3].deposits, showers.deposits[1:3] * factor)


def test_a_unit_that_is_none_of_energy_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "showers.h5", sample(3))
    with h5py.File(tmp_path / "showers.h5", "r+") as file:
        file["showers"].attrs["units"] = "m" * 1000
    with pytest.raises(
        FileFormatError,
        match=r"'showers': attribute 'units' is 'm{77}\.\.\.', expected one of keV, MeV, GeV, TeV",
    ):
        open_showers(tmp_path / "showers.h5")
