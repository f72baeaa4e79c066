"""HDF5 datasets as they are stored: is every number there, and how are they read in one pass?

For a number that was never written, or whose file has gone, HDF5 gives 0 without a word. So a
dataset is looked through when it is opened: its filters are installed, its blocks written, the
parts of a virtual dataset where it says they are, down to those that are virtual themselves. A
block is unpacked once as long as the library's cache holds those of a row of them: the cache is
made as large, up to `MOST_CACHE`.

Whatever the library says of a damaged file becomes one line with the file's name.
"""

__all__ = ["MOST_CACHE", "found", "opened", "reading", "stored"]

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import h5py

from caloforge.errors import FileFormatError

MOST_CACHE = 1 << 30
"""The largest cache of unpacked blocks of a dataset, in bytes."""

_USUAL_CACHE = 1 << 20
_SLOTS = 521
_DEEPEST = 8
"""So many virtual datasets may be made of one another."""

_PLUGIN = "hdf5plugin"
_FILTERS = {
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32026: "blosc2",
}
"""Names of filters that HDF5 does not bring."""


class _Kind(NamedTuple):
    """How files of another kind begin, what they are, and what to do."""

    beginnings: tuple[bytes, ...]
    what: str
    mend: str


_KINDS = (
    _Kind((b"\x1f\x8b",), "compressed by gzip", "unpack it by gunzip"),
    _Kind((b"PK\x03\x04",), "a zip archive", "unpack it by unzip"),
    _Kind((b"\xfd7zXZ",), "compressed by xz", "unpack it by unxz"),
    _Kind((b"BZh",), "compressed by bzip2", "unpack it by bunzip2"),
    _Kind((b"root",), "a ROOT file", "write its tree to HDF5, for instance by uproot and h5py"),
    _Kind((b"\x93numpy",), "an array of NumPy", "give it the suffix .npy"),
    _Kind((b"par1",), "a Parquet file", "write its columns to HDF5"),
    _Kind(
        (b"version https://git-lfs",),
        "a pointer of Git LFS in place of the file",
        "fetch the file by git lfs pull",
    ),
    _Kind((b"<!doctype", b"<html"), "a web page", "the download failed: download it again"),
)


def opened(path: Path) -> h5py.File:
    """Open a file for reading.

    Raises:
        FileFormatError: It is not HDF5 or damaged; the message says what it is instead.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        kind = _kind_of(path)
        if kind is None:
            raise _damaged(str(path), error) from error
        msg = f"{path}: {kind}"
        raise FileFormatError(msg) from error


def _kind_of(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "empty, 0 bytes, expected HDF5: the job that wrote it has failed, or copy it again"
    begins = start.lstrip().lower()
    for kind in _KINDS:
        if start.startswith(kind.beginnings) or begins.startswith(kind.beginnings):
            return f"{kind.what}, expected HDF5: {kind.mend}"
    return None


@contextmanager
def reading(path: Path, dataset: str | None = None) -> Iterator[None]:
    """Turn what the HDF5 library says of a damaged file into one line.

    Raises:
        FileFormatError: The library fails within, or the numbers do not fit the memory.
    """
    where = f"{path}: dataset '{dataset}'" if dataset else f"{path}"
    try:
        yield
    except MemoryError as error:
        msg = f"{where}: does not fit the memory: read fewer showers at a time"
        raise FileFormatError(msg) from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise _damaged(where, error) from error


def _damaged(where: str, error: Exception) -> FileFormatError:
    reason = " ".join(str(error).split())
    msg = (
        f"{where}: not readable as HDF5, truncated or damaged ({reason}): expected a whole file: "
        "copy it again"
    )
    return FileFormatError(msg)


def stored(file: h5py.File, name: str, path: Path) -> h5py.Dataset | h5py.Group | None:
    """What a file has under a name; a dataset is looked through, and read with a cache that fits.

    Raises:
        FileFormatError: A link leads nowhere, numbers are missing, a filter is not installed, or
            blocks are too large to be read one after the other.
    """
    where = f"{path}: dataset '{name}'"
    with reading(path, name):
        entry, link = found(file, name), file.get(name, getlink=True)
    if entry is None and isinstance(link, h5py.SoftLink | h5py.ExternalLink):
        there = f"{link.filename}:" if isinstance(link, h5py.ExternalLink) else ""
        msg = f"{where} is a link to '{there}{link.path}', which is not there: copy that, too"
        raise FileFormatError(msg)
    if not isinstance(entry, h5py.Dataset) or entry.shape is None:
        return entry
    with reading(path, name):
        _require_whole(entry, where, path, _DEEPEST)
        return _with_cache(file, entry, name, where)


def found(file: h5py.File, name: str) -> h5py.Dataset | h5py.Group | None:
    """What a file has under a name; None also where a link leads nowhere, or in a circle."""
    try:
        return file.get(name)
    except (OSError, RuntimeError):
        return None


def _require_whole(dataset: h5py.Dataset, where: str, path: Path, depth: int) -> None:
    _require_filters(dataset, where)
    if dataset.is_virtual:
        _require_parts(dataset, where, path, depth)
    elif dataset.external:
        names = ", ".join(name for name, _, _ in dataset.external[:3])
        msg = (
            f"{where} keeps its numbers in other files ({names}), unchecked by HDF5: copy the "
            "file whole, by h5repack"
        )
        raise FileFormatError(msg)
    elif dataset.size and dataset.id.get_space_status() != h5py.h5d.SPACE_STATUS_ALLOCATED:
        msg = (
            f"{where} was not written to its end ({_written(dataset)}), HDF5 would give 0 for the "
            "rest: the job that wrote it has failed: write it again, or cut it there"
        )
        raise FileFormatError(msg)


def _written(dataset: h5py.Dataset) -> str:
    if not dataset.chunks:
        return "no number of it"
    every = math.prod(-(-n // k) for n, k in zip(dataset.shape, dataset.chunks, strict=True))
    return f"{dataset.id.get_num_chunks()} of {every} blocks"


def _require_parts(dataset: h5py.Dataset, where: str, path: Path, depth: int) -> None:
    parts = dataset.virtual_sources()
    covered = sum(part.vspace.get_select_npoints() for part in parts)
    if covered < dataset.size:
        msg = (
            f"{where} is put together from parts that hold {covered} of its {dataset.size} "
            "numbers, HDF5 would give 0 for the rest: put it together again"
        )
        raise FileFormatError(msg)
    for part in parts:
        place = path if part.file_name == "." else path.parent / part.file_name
        _require_part(place, part.dset_name, where, depth)


def _require_part(place: Path, name: str, where: str, depth: int) -> None:
    with suppress(OSError), h5py.File(place, "r") as file:
        part = found(file, name)
        if isinstance(part, h5py.Dataset) and depth:
            _require_whole(part, f"{where} (its part {place}: '{name}')", place, depth - 1)
            return
    msg = (
        f"{where} is put together from other files, of which {place} with dataset '{name}' is not "
        "there, HDF5 would give 0 for it: move the file there, or copy the whole by h5repack"
    )
    raise FileFormatError(msg)


def _require_filters(dataset: h5py.Dataset, where: str) -> None:
    plan = dataset.id.get_create_plist()
    for number in range(plan.get_nfilters()):
        code, _, _, name = plan.get_filter(number)
        if not _is_available(code):
            known = _FILTERS.get(code, name.decode(errors="replace") or "unknown")
            msg = (
                f"{where} is compressed by filter {known} ({code}), which is not installed: "
                f"pip install {_PLUGIN}, or write the file with gzip"
            )
            raise FileFormatError(msg)


def _is_available(code: int) -> bool:
    if not h5py.h5z.filter_avail(code):
        with suppress(ImportError):
            import_module(_PLUGIN)
    return bool(h5py.h5z.filter_avail(code))


def _with_cache(file: h5py.File, dataset: h5py.Dataset, name: str, where: str) -> h5py.Dataset:
    """The dataset, with room for the unpacked blocks of a row of them."""
    if not dataset.chunks or not dataset.size:
        return dataset
    across = math.prod(
        -(-n // k) for n, k in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)
    )
    room = across * math.prod(dataset.chunks) * dataset.dtype.itemsize
    if room > MOST_CACHE:
        msg = (
            f"{where}: its blocks of {dataset.chunks} unpack to {room / 1e9:.1f} GB for each batch "
            f"of showers, at most {MOST_CACHE / 1e9:.1f} GB are read: write it in smaller ones, by "
            "h5repack -l CHUNK="
        )
        raise FileFormatError(msg)
    if room <= _USUAL_CACHE:
        return dataset
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(max(_SLOTS, 10 * across + 1), room, 1.0)
    dataset.id.close()
    return h5py.Dataset(h5py.h5d.open(file.id, name.encode(), access))
