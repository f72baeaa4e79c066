"""HDF5 datasets as they are stored: is every number there, and how are they read in one pass?

For a number that was never written, or whose file has gone, HDF5 gives 0 without a word. So a
dataset is looked through when it is opened: its filters are installed, its blocks written, the
parts of a virtual dataset where it says they are, down to those that are virtual themselves. A
block is unpacked once as long as the library's cache holds those of a row of them: the cache is
made as large, up to `MOST_CACHE`.

Whatever the library says of a damaged file becomes one line with the file's name.
"""

__all__ = ["MOST_CACHE", "found", "names_in", "opened", "reading", "stated_unit", "stored"]

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py

from caloforge.errors import MOST_QUOTED, FileFormatError, quoted
from caloforge.io.columns import UNITS
from caloforge.io.heaps import require_heaps
from caloforge.io.input import require_file
from caloforge.io.unreadable import HDF5, naming, require_kind
from caloforge.units import ENERGY_UNITS, energy_unit

MOST_CACHE = 1 << 29
"""The largest cache of unpacked blocks of a dataset, in bytes."""

_USUAL_CACHE = 1 << 20
_SLOTS = 521
_DEEPEST = 8
"""So many virtual datasets may be made of one another."""

_MOST_GROWN, _LEAST_GROWN = 1.125, 4096
"""Compression makes a block larger by no more than a factor and some bytes."""

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


def opened(path: Path) -> h5py.File:
    """Open a file for reading.

    Raises:
        FileFormatError: It is not HDF5 or damaged; the message says what it is instead.
    """
    if not h5py.is_hdf5(path):
        require_kind(path, HDF5)
    require_heaps(path, whole=False)
    with reading(path):
        return h5py.File(path, "r")


@contextmanager
def reading(path: Path, dataset: str | None = None) -> Iterator[None]:
    """Turn what the HDF5 library says of a file into one line.

    Raises:
        FileFormatError: The library fails within, or the numbers do not fit the memory.
    """
    with naming(f"{path}: dataset '{dataset}'" if dataset else f"{path}", HDF5):
        yield


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
        msg = (
            f"{where} is a link to {quoted(there + link.path)}, which is not there: copy that, too"
        )
        raise FileFormatError(msg)
    if not isinstance(entry, h5py.Dataset) or entry.shape is None:
        return entry
    with reading(path, name):
        _require_whole(entry, where, path, _DEEPEST)
        return _with_cache(file, entry, name, where)


def names_in(path: Path) -> frozenset[str]:
    """The names of what a file of HDF5 holds.

    Raises:
        FileFormatError: The file is missing, damaged or not HDF5.
    """
    require_file(path)
    with opened(path) as file, reading(path):
        return frozenset(file)


def stated_unit(file: h5py.File, dataset: h5py.Dataset, path: Path, *, usual: str = "MeV") -> float:
    """The unit of energies that a dataset states, or the file for all of them, in MeV.

    Arguments:
        file: The open file.
        dataset: The dataset.
        path: The path of the file, for the message.
        usual: The unit where neither states one.

    Raises:
        FileFormatError: What is stated is no unit of energy.
    """
    with reading(path):
        said = dataset.attrs.get(UNITS, file.attrs.get(UNITS, usual))
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    unit = energy_unit(text.strip())
    if unit is None:
        msg = (
            f"{path}: dataset '{dataset.name.lstrip('/')}': attribute '{UNITS}' is {quoted(text)}, "
            f"expected one of {', '.join(ENERGY_UNITS)}: set it, or remove it for {usual}"
        )
        raise FileFormatError(msg)
    return unit


def found(file: h5py.File, name: str) -> h5py.Dataset | h5py.Group | None:
    """What a file has under a name; None also where a link leads nowhere, in a circle, or to what
    is no file: HDF5 would wait for a pipe.
    """
    try:
        link = file.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            require_file(_place(Path(file.filename), link.filename, "HDF5_EXT_PREFIX"))
        return file.get(name)
    except (FileFormatError, OSError, RuntimeError):
        return None


def _place(path: Path, name: str, prefix: str) -> Path:
    """Where the file lies of which another one speaks, sought as HDF5 does; beside it, if nowhere.

    Arguments:
        path: The file that speaks of it.
        name: What it is called there.
        prefix: The variable of the environment that names folders.
    """
    given = (Path(folder) for folder in os.environ.get(prefix, "").split(":") if folder)
    folders = (*given, path.parent, path.resolve().parent, Path())
    places = (folder / name for folder in folders)
    return next((place for place in places if place.exists()), path.parent / name)


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
    for part in parts:
        _require_part(part, where, path, depth)
    with suppress(RuntimeError):  # a part without end has no number of points, and no gaps
        covered = sum(part.vspace.get_select_npoints() for part in parts)
        if covered < dataset.size:
            msg = (
                f"{where} is put together from parts that hold {covered} of its {dataset.size} "
                "numbers, HDF5 would give 0 for the rest: put it together again"
            )
            raise FileFormatError(msg)


def _require_part(part: Any, where: str, path: Path, depth: int) -> None:
    own, name = part.file_name == ".", part.dset_name
    place = path if own else _place(path, part.file_name, "HDF5_VDS_PREFIX")
    msg = (
        f"{where} is put together from other files, of which {place} with dataset {quoted(name)} "
        "is not there, HDF5 would give 0 for it: move the file there, or copy the whole by h5repack"
    )
    if not place.is_file() or not depth:
        raise FileFormatError(msg)
    with opened(place) as file:
        source = found(file, name)
        if not isinstance(source, h5py.Dataset):
            raise FileFormatError(msg)
        what = f"{where} (its part {place}: {quoted(name)})"
        _require_whole(source, what, place, depth - 1)
        if not _reaches(part, source.shape):
            msg = (
                f"{what} has shape {source.shape}, less than is taken of it: put it together again"
            )
            raise FileFormatError(msg)


def _reaches(part: Any, shape: tuple[int, ...]) -> bool:
    """Whether a source of this shape holds what is taken of it."""
    try:
        if part.src_space.get_select_type() == h5py.h5s.SEL_ALL:
            return bool(math.prod(shape) >= part.vspace.get_select_npoints())
        _, last = part.src_space.get_select_bounds()
    except RuntimeError:
        return True  # without end: what there is is taken
    return all(place < n for place, n in zip(last, shape, strict=True))


def _require_filters(dataset: h5py.Dataset, where: str) -> None:
    plan = dataset.id.get_create_plist()
    for number in range(plan.get_nfilters()):
        code, _, _, name = plan.get_filter(number)
        if not _is_available(code):
            known = _FILTERS.get(code, name.decode(errors="replace")[:MOST_QUOTED] or "unknown")
            mend = f"pip install {_PLUGIN}" if code in _FILTERS else "install its plugin of HDF5"
            msg = (
                f"{where} is compressed by filter {known} ({code}), which is not installed: "
                f"{mend}, or write the file with gzip"
            )
            raise FileFormatError(msg)


def _is_available(code: int) -> bool:
    if not h5py.h5z.filter_avail(code):
        with suppress(ImportError):
            import_module(_PLUGIN)
    return bool(h5py.h5z.filter_avail(code))


def _with_cache(file: h5py.File, dataset: h5py.Dataset, name: str, where: str) -> h5py.Dataset:
    """The dataset, with room for the unpacked blocks of a row of them."""
    if not dataset.chunks or not dataset.id.get_create_plist().get_nfilters():
        return dataset
    across = math.prod(
        -(-n // k) for n, k in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)
    )
    block = math.prod(dataset.chunks) * dataset.dtype.itemsize
    _require_size(dataset, block, across * block, where)
    if across * block <= _USUAL_CACHE:
        return dataset
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(max(_SLOTS, 10 * across + 1), across * block, 1.0)
    dataset.id.close()
    return h5py.Dataset(h5py.h5d.open(file.id, name.encode(), access))


def _require_size(dataset: h5py.Dataset, block: int, room: int, where: str) -> None:
    """Check that blocks fit the memory: as many bytes as they say, and those that a row crosses."""
    if room > MOST_CACHE:
        msg = (
            f"{where}: its blocks of {dataset.chunks} unpack to {room / 1e9:.1f} GB for each batch "
            f"of showers, at most {MOST_CACHE / 1e9:.1f} GB are read: write it in smaller ones, by "
            "h5repack -l CHUNK="
        )
        raise FileFormatError(msg)
    sizes = [0]
    dataset.id.chunk_iter(lambda stored: sizes.append(stored.size))
    if max(sizes) > block * _MOST_GROWN + _LEAST_GROWN:
        msg = f"{where}: a block of {block} bytes is stored in {max(sizes)}: it is damaged"
        raise FileFormatError(msg)
