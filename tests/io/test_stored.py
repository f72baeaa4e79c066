"""Numbers that are not there are never taken for zeros; files of other kinds are named."""

import gzip
import os
import sys
import tarfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from caloforge.errors import FileFormatError
from caloforge.io import CaloChallengeFile, open_showers
from caloforge.io import stored as module
from caloforge.io.heaps import require_heaps

N, CELLS = 6, 100
ENERGIES, DEPOSITS = np.full((N, 1), 5e4, "f4"), np.arange(N * CELLS, dtype="f4").reshape(N, CELLS)
Make = Callable[[Path], object]


def whole(path: Path, deposits: np.ndarray = DEPOSITS, **options: object) -> None:
    with h5py.File(path, "w") as file:
        file["incident_energies"] = ENERGIES[: len(deposits)]
        file.create_dataset("showers", data=deposits, **options)


def joined(*names: str, rows: int = 3, total: int = N) -> Make:
    """A virtual dataset of these files beside it."""

    def make(path: Path) -> None:
        for k, name in enumerate(names):
            if not name.startswith("gone"):
                whole(path.with_name(name), DEPOSITS[rows * k : rows * (k + 1)])
        layout = h5py.VirtualLayout((total, CELLS), "f4")
        for k, name in enumerate(names):
            source = h5py.VirtualSource(name, "showers", (rows, CELLS))
            layout[rows * k : rows * (k + 1)] = source
        with h5py.File(path, "w", libver="latest") as file:
            file["incident_energies"] = ENERGIES[:total]
            file.create_virtual_dataset("showers", layout)

    return make


def of_itself(path: Path) -> None:
    """Two virtual datasets, each made of the other."""
    with h5py.File(path, "w", libver="latest") as file:
        file["incident_energies"] = ENERGIES
        for name, other in (("showers", "twin"), ("twin", "showers")):
            layout = h5py.VirtualLayout((N, CELLS), "f4")
            layout[:] = h5py.VirtualSource(".", other, (N, CELLS))
            file.create_virtual_dataset(name, layout)


def of_a_short_one(path: Path) -> None:
    joined("a.h5", "b.h5")(path)
    whole(path.with_name("b.h5"), DEPOSITS[:2])


def of_a_selection(path: Path) -> None:
    """Of rows of a file that has fewer."""
    whole(path.with_name("a.h5"), DEPOSITS[:4])
    layout = h5py.VirtualLayout((N, CELLS), "f4")
    layout[:] = h5py.VirtualSource("a.h5", "showers", (2 * N, CELLS))[::2]
    with h5py.File(path, "w", libver="latest") as file:
        file["incident_energies"] = ENERGIES
        file.create_virtual_dataset("showers", layout)


def of_an_unwritten_one(path: Path) -> None:
    joined("a.h5", "b.h5")(path)
    half_written(path.with_name("b.h5"), rows=3)


def half_written(path: Path, rows: int = N, **options: object) -> None:
    with h5py.File(path, "w") as file:
        file["incident_energies"] = ENERGIES[:rows]
        options = options or {"chunks": (2, CELLS)}
        dataset = file.create_dataset("showers", (rows, CELLS), "f4", **options)
        if dataset.chunks:
            dataset[:2] = DEPOSITS[:2]


def unwritten(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["incident_energies"] = ENERGIES
        file.create_dataset("showers", (N, CELLS), "f4")


def huge(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, width in (("incident_energies", 1), ("showers", CELLS)):
            file.create_dataset(name, (2**50, width), "f4", chunks=(2, width))[:2] = 1


def outside(path: Path) -> None:
    raw = path.with_name("raw.bin")
    with h5py.File(path, "w") as file:
        file["incident_energies"] = ENERGIES
        parts = [(os.fspath(raw), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("showers", DEPOSITS.shape, "f4", external=parts)[:] = DEPOSITS


def linked(link: h5py.SoftLink | h5py.ExternalLink) -> Make:
    def make(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["incident_energies"] = ENERGIES
            file["showers"] = link

    return make


def to_a_pipe(path: Path) -> None:
    """HDF5 would wait for somebody to write into it."""
    os.mkfifo(path.with_name("pipe"))
    linked(h5py.ExternalLink("pipe", "/showers"))(path)


def unpacking_to_much(path: Path) -> None:
    """A block that says to have 2 rows and unpacks to 20 MB."""
    with h5py.File(path, "w") as file:
        file["incident_energies"] = ENERGIES[:2]
        dataset = file.create_dataset("showers", (2, CELLS), "f4", chunks=True, compression="gzip")
        dataset.id.write_direct_chunk((0, 0), zlib.compress(bytes(20_000_000), 9))


def still_written(path: Path) -> None:
    """As a program leaves it that died while it wrote."""
    with h5py.File(path, "w", libver="latest") as file:
        file["incident_energies"], file["showers"] = ENERGIES, DEPOSITS
        file.swmr_mode = True
        copied = path.read_bytes()
    path.write_bytes(copied)


def cut(path: Path) -> None:
    whole(path)
    path.write_bytes(path.read_bytes()[:-100])


def without_rows(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["incident_energies"], file["showers"] = ENERGIES, h5py.Empty("f4")


def full_of_others(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for number in range(1000):
            file.create_group(f"x{number}")


def tarred(path: Path) -> None:
    whole(path.with_name("a.h5"))
    with tarfile.open(path, "w") as archive:
        archive.add(path.with_name("a.h5"), "a.h5")


def filtered(path: Path) -> None:
    """Said to be compressed by Zstandard."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((2, CELLS))
    plan.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    with h5py.File(path, "w") as file:
        file["incident_energies"] = ENERGIES
        space = h5py.h5s.create_simple((N, CELLS))
        h5py.h5d.create(file.id, b"showers", h5py.h5t.NATIVE_FLOAT, space, plan)


def holding(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


MISSING: dict[str, tuple[Make, str]] = {
    "part gone": (joined("a.h5", "gone.h5"), r"of which .*gone\.h5 with dataset 'showers' is not"),
    "part not covered": (joined("a.h5"), "from parts that hold 300 of its 600 numbers"),
    "part not written": (
        of_an_unwritten_one,
        r"its part .*b\.h5.* not written to its end \(1 of 2",
    ),
    "part too short": (of_a_short_one, r"b\.h5.* has shape \(2, 100\), less than is taken"),
    "selection too short": (of_a_selection, r"a\.h5.* has shape \(4, 100\), less than is taken"),
    "made of itself": (of_itself, "with dataset '.*' is not there"),
    "blocks not written": (half_written, r"was not written to its end \(1 of 3 blocks\)"),
    "nothing written": (unwritten, r"was not written to its end \(no number of it\)"),
    "2^50 showers": (huge, r"'showers' was not written to its end \(1 of 562949953421312 blocks\)"),
    "outside": (outside, r"keeps its numbers in other files \(.*raw\.bin\)"),
    "soft link": (linked(h5py.SoftLink("/no")), "is a link to '/no', which is not there"),
    "loop": (linked(h5py.SoftLink("/showers")), "'showers'"),
    "external link": (
        linked(h5py.ExternalLink("no.h5", "/x")),
        "is a link to 'no.h5:/x', which is not there",
    ),
    "pipe": (to_a_pipe, "is a link to 'pipe:/showers', which is not there"),
    "unpacks to much": (unpacking_to_much, "a block of 800 bytes is stored in .*: it is damaged"),
    "still written": (still_written, "the program that writes it is not done, or died"),
    "cut": (cut, "its end is missing: copy it again"),
    "no rows": (without_rows, "is not a dataset of numbers"),
    "many others": (
        full_of_others,
        r"is missing; the file has 'x0', 'x1', .{60,80}\.\.\., expected",
    ),
    "filter": (filtered, r"compressed by filter zstd \(32015\).*pip install hdf5plugin"),
    "gzip": (holding(gzip.compress(b"x")), "is compressed by gzip, expected HDF5: unpack it"),
    "zip": (holding(b"PK\x03\x04" + b"\0" * 60), "a zip archive"),
    "HTML": (holding(b"\n <!DOCTYPE html><html>"), "a page of HTML, .*: download the file"),
    "LFS": (holding(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "ROOT": (holding(b"root\0\0\xf4\x4c"), "a ROOT file"),
    "tar": (tarred, "a tar archive"),
    "npy": (holding(b"\x93NUMPY\x01\0"), r"an array of NumPy, .* suffix \.npy"),
    "empty": (holding(b""), "is empty, expected HDF5: copy it again, or wait"),
    "zeros": (holding(bytes(4096)), "is full of zeros at its beginning"),
    "text": (holding(b"energies, deposits"), "does not begin as such a file does: check the path"),
}


@pytest.mark.parametrize(("make", "message"), MISSING.values(), ids=MISSING)
def test_what_is_not_there_is_one_line_and_never_zeros(
    make: Make, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "showers.h5"
    make(path)
    with pytest.raises(FileFormatError, match=message) as caught:
        open_showers(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 4, 10])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (N, CELLS), "compression": "gzip"},
        {"chunks": (N, 1), "compression": "gzip"},
        {"chunks": (1, CELLS), "compression": "lzf"},
        {"chunks": (2, 7), "fletcher32": True},
    ],
    ids=str,
)
def test_any_storage_is_read(options: dict[str, object], size: int, tmp_path: Path) -> None:
    whole(tmp_path / "showers.h5", **options)
    with open_showers(tmp_path / "showers.h5") as file:
        read = np.concatenate([batch.deposits.numpy() for batch in file.batches(size)])
    assert np.array_equal(read, DEPOSITS)


def without_end(path: Path) -> None:
    """A virtual dataset that grows with its part."""
    with h5py.File(path.with_name("a.h5"), "w") as file:
        file.create_dataset("showers", data=DEPOSITS, maxshape=(None, CELLS))
    every = slice(None, h5py.h5s.UNLIMITED)
    layout = h5py.VirtualLayout((N, CELLS), "f4", maxshape=(None, CELLS))
    source = h5py.VirtualSource("a.h5", "showers", (N, CELLS), maxshape=(None, CELLS))
    layout[every] = source[every]
    with h5py.File(path, "w", libver="latest") as file:
        file["incident_energies"] = ENERGIES
        file.create_virtual_dataset("showers", layout)


def linked_elsewhere(path: Path) -> None:
    """The parts lie beside the file, not beside the link to it."""
    home = path.with_name("home")
    home.mkdir()
    joined("a.h5", "b.h5")(home / "showers.h5")
    path.symlink_to(home / "showers.h5")


@pytest.mark.parametrize("make", [joined("a.h5", "b.h5"), without_end, linked_elsewhere])
def test_a_virtual_dataset_that_is_whole_is_read(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "showers.h5")
    with open_showers(tmp_path / "showers.h5") as file:
        assert np.array_equal(file[:].deposits.numpy(), DEPOSITS)


def test_a_filter_that_is_not_there_is_sought_in_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package gives HDF5 its filters when it is imported; this one has none."""
    (tmp_path / "hdf5plugin.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hdf5plugin", raising=False)
    filtered(tmp_path / "showers.h5")
    with pytest.raises(FileFormatError, match="filter zstd"):
        open_showers(tmp_path / "showers.h5")
    assert sys.modules.pop("hdf5plugin").__file__ == str(tmp_path / "hdf5plugin.py")


def test_blocks_that_are_not_compressed_need_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_CACHE", 1000)
    whole(tmp_path / "showers.h5", chunks=(N, CELLS))
    with open_showers(tmp_path / "showers.h5") as file:
        assert np.array_equal(file[:].deposits.numpy(), DEPOSITS)


@pytest.mark.parametrize("chunks", [(20_000, CELLS), (20_000, 1)])
def test_blocks_stay_unpacked_until_their_showers_are_read(
    chunks: tuple[int, int], tmp_path: Path
) -> None:
    """The cache holds a row of blocks, here all of 8 MB."""
    deposits = np.tile(DEPOSITS, (20_000 // N + 1, 1))[:20_000]
    with h5py.File(tmp_path / "showers.h5", "w") as file:
        file["incident_energies"] = np.full(20_000, 5e4)
        file.create_dataset("showers", data=deposits, chunks=chunks, compression="gzip")
    with CaloChallengeFile(tmp_path / "showers.h5") as file:
        access = file._dataset("showers").id.get_access_plist()
        assert access.get_chunk_cache()[1] >= deposits.nbytes
        assert np.array_equal(file[7:9].deposits.numpy(), deposits[7:9])


def test_blocks_that_no_cache_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_CACHE", 1000)
    whole(tmp_path / "showers.h5", chunks=(N, CELLS), compression="gzip")
    with pytest.raises(FileFormatError, match=r"its blocks of \(6, 100\) unpack to 0\.0 GB"):
        open_showers(tmp_path / "showers.h5")


def test_a_closed_file_says_so(tmp_path: Path) -> None:
    whole(tmp_path / "showers.h5")
    with CaloChallengeFile(tmp_path / "showers.h5") as file:
        pass
    for read in (len, lambda f: f[:2], lambda f: f.energies, lambda f: f.columns):
        with pytest.raises(FileFormatError, match=r"showers\.h5: the file has been closed"):
            read(file)


def test_a_link_that_leads_nowhere_is_no_column(tmp_path: Path) -> None:
    whole(tmp_path / "showers.h5")
    with h5py.File(tmp_path / "showers.h5", "r+") as file:
        file["loop"], file["gone"] = h5py.SoftLink("/loop"), h5py.ExternalLink("gone.h5", "/x")
        file["times"] = np.ones(N)
    with CaloChallengeFile(tmp_path / "showers.h5") as file:
        assert file.columns == ("incident_energies", "times")


def test_a_heap_of_zeros_is_refused_and_not_followed_for_ever(tmp_path: Path) -> None:
    """There the HDF5 library itself comes to no end."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["calorimeter"] = "x" * 40
    require_heaps(path, whole=True)
    raw = bytearray(path.read_bytes())
    start = raw.index(b"GCOL") + 16
    raw[start : start + 512] = bytes(512)
    path.write_bytes(raw)
    for read in (module.opened, partial(require_heaps, whole=True)):
        with pytest.raises(FileFormatError, match=r"a\.h5: damaged where its texts or lists are"):
            read(path)
