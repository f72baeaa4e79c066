"""What a path must be before it is read or written; asked at once, before anything is imported."""

__all__ = [
    "LEMURS_SUFFIX",
    "Layout",
    "files_of",
    "is_hdf5",
    "layout_of",
    "names_lemurs",
    "require_file",
    "require_files",
    "require_folder",
    "require_writable",
    "watch_disk",
]

import os
import shutil
import warnings
from collections.abc import Sequence
from enum import Enum
from glob import glob, has_magic
from pathlib import Path

from caloforge.errors import (
    CaloforgeError,
    DiskSpaceWarning,
    FileFormatError,
    OutputError,
    OutputExistsError,
)


class Layout(Enum):
    """The layouts in which showers are written, each with the suffix that says it."""

    LEMURS = ".lemurs.h5"
    SHOWERDATA = ".showerdata.h5"
    STEP2POINT = ".step2point.h5"
    CALOCHALLENGE = ".h5"
    EDM4HEP_PARQUET = ".edm4hep.parquet"
    EDM4HEP_ROOT = ".edm4hep.root"
    PARQUET = ".parquet"
    ROOT = ".root"
    SQUIRELS = ".npy"


LEMURS_SUFFIX = Layout.LEMURS.value
"""Showers are written to such a path in the layout of LEMURS."""

_ALSO = ".hdf5"
"""Another suffix of CaloChallenge files."""


def layout_of(path: Path | str) -> Layout:
    """The layout that the suffix of a path says.

    Raises:
        FileFormatError: It says none.
    """
    name = Path(path).name.lower()
    said = next((one for one in Layout if name.endswith(one.value) and name != one.value), None)
    if said is None and name.endswith(_ALSO):
        return Layout.CALOCHALLENGE
    if said is None:
        suffixes = ", ".join((".h5", _ALSO, ".npy", ".parquet", ".root"))
        msg = (
            f"{path}: suffix '{Path(path).suffix.lower()}', expected one of {suffixes}: rename the "
            "file or choose another format"
        )
        raise FileFormatError(msg)
    return said


def is_hdf5(path: Path | str) -> bool:
    """Whether the suffix of a path says HDF5 in the layout of the CaloChallenge, and no other.

    Raises:
        FileFormatError: It says no layout.
    """
    return layout_of(path) is Layout.CALOCHALLENGE


def names_lemurs(path: Path | str) -> bool:
    """Whether a path ends in ``.lemurs.h5``: showers are written to it in this layout."""
    return Path(path).name.lower().endswith(LEMURS_SUFFIX)


def files_of(paths: Path | str | Sequence[Path | str]) -> list[Path]:
    """The files that are meant by a path, a pattern such as ``run_*.h5``, or several of them; those
    of a pattern in alphabetical order.

    Raises:
        FileFormatError: No file fits a pattern, or none is given.
    """
    given = [paths] if isinstance(paths, Path | str) else paths
    found = [file for one in given for file in _fitting(Path(one))]
    if not found:
        msg = "no file is given, expected one or several"
        raise FileFormatError(msg)
    return found


def _fitting(path: Path) -> list[Path]:
    if path.exists() or not has_magic(str(path)):
        return [path]
    found = sorted(map(Path, glob(str(path))))  # noqa: PTH207 (a pattern may be absolute)
    if not found:
        msg = f"{path}: no file fits this pattern: check it"
        raise FileFormatError(msg)
    return found


def require_files(path: Path) -> None:
    """Check that the files of a path or a pattern are there to read.

    Raises:
        FileFormatError: There is none, or one is a folder, a pipe or a device.
    """
    for file in files_of(path):
        require_file(file)


def require_file(path: Path, refusal: type[CaloforgeError] = FileFormatError) -> None:
    """Check that there is a file to read.

    Arguments:
        path: The file.
        refusal: The error to raise.

    Raises:
        CaloforgeError: An error of the given kind: there is none, or it is a folder, a pipe or a
            device.
    """
    if not path.is_file():
        other = "is a folder" if path.is_dir() else "is a pipe or a device"
        found = other if path.exists() else "no such file"
        msg = f"{path}: {found}, expected a file to read: check the path"
        raise refusal(msg)


def require_writable(path: Path, *, overwrite: bool = False) -> None:
    """Check that a file can be written at a path.

    Raises:
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: It is a folder, a link, a pipe or a device, or the folder that shall hold the
            file is missing or closed to writing.
    """
    if os.path.lexists(path) and not overwrite:
        msg = f"{path}: exists already: choose another path, or overwrite it (--overwrite)"
        raise OutputExistsError(msg)
    if path.is_dir():
        msg = f"{path}: is a folder, expected the path of a file to write"
        raise OutputError(msg)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        what = f"a link to '{path.readlink()}'" if path.is_symlink() else "a pipe or a device"
        msg = f"{path}: is {what}, expected the path of a file to write: give the file itself"
        raise OutputError(msg)
    if not path.parent.is_dir():
        msg = f"{path}: its folder '{path.parent}' does not exist: make the folder first"
        raise OutputError(msg)
    if not os.access(path.parent, os.W_OK):
        msg = f"{path}: its folder '{path.parent}' is closed to writing: choose another folder"
        raise OutputError(msg)


def require_folder(path: Path) -> None:
    """Check, before hours of work, that a folder is there, or can be made, and can be written to.

    Raises:
        OutputError: It is a file or a link to nothing, or the folder is closed to writing in which
            it would be.
    """
    there = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        what = "a file" if there.exists() else "a link to nothing"
        msg = f"{path}: '{there}' is {what}, expected a folder: choose another"
        raise OutputError(msg)
    if not os.access(there, os.W_OK | os.X_OK):
        msg = f"{path}: its folder '{there}' is closed to writing: choose another folder"
        raise OutputError(msg)


def watch_disk(path: Path, needed: float) -> None:
    """Warn where a disk has less room than what will be written needs.

    Arguments:
        path: A file or folder on it, which need not be there yet.
        needed: The size of what will be written, in bytes.
    """
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        msg = (
            f"{path}: some {needed / 1e9:.3g} GB will be written until the end, and its disk has "
            f"{free / 1e9:.3g} GB free: make room, or choose another disk"
        )
        warnings.warn(msg, DiskSpaceWarning, stacklevel=3)
