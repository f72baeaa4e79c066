"""Why a file cannot be read, in one line that says how to mend it.

Few such files are damaged. A download that failed leaves a page of HTML, a repository without its
large files a pointer of Git LFS, a forgotten step an archive: their first bytes tell. Of others
HDF5 says that a program still writes them, or that their end is missing.
"""

__all__ = ["HDF5", "NPY", "PARQUET", "ROOT", "naming", "require_kind"]

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caloforge.errors import FileFormatError, quoted

HDF5, NPY, PARQUET, ROOT = "HDF5", "an array of NumPy", "a Parquet file", "a ROOT file"
"""Kinds of files that hold showers."""

_HEAD = 512
_UNPACK = "unpack it first"
_LOAD = "download the file itself, not the page that shows it"
_WAIT = "copy it again, or wait for the job that writes it"
_KINDS = (
    (b"\x89HDF\r\n\x1a\n", HDF5, "give it the suffix .h5"),
    (b"\x93NUMPY", NPY, "give it the suffix .npy"),
    (b"\x1f\x8b", "compressed by gzip", f"{_UNPACK}, by gunzip"),
    (b"PK\x03\x04", "a zip archive", f"{_UNPACK}, by unzip"),
    (b"BZh", "compressed by bzip2", f"{_UNPACK}, by bunzip2"),
    (b"\xfd7zXZ\x00", "compressed by xz", f"{_UNPACK}, by unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", f"{_UNPACK}, by unzstd"),
    (b"root\x00", ROOT, "give it the suffix .root"),
    (b"PAR1", PARQUET, "give it the suffix .parquet"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the data", "run git lfs pull"),
    (b"<!doctype", "a page of HTML", _LOAD),
    (b"<html", "a page of HTML", _LOAD),
    (b"<?xml", "XML", "give the file of showers, not its description"),
)
_TAR = 257

_FAILURES = (
    ArithmeticError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What h5py and NumPy raise where a file is not as they expect."""

_REASONS = {
    "permission denied": "it may not be read: ask its owner",
    "unable to lock file": "another program writes it: wait until that is done, or set "
    "HDF5_USE_FILE_LOCKING=FALSE where the file system has no locks",
    "already open for write": "the program that writes it is not done, or died: wait, or clear its "
    "mark by h5clear -s",
    "truncated file": "its end is missing: copy it again",
    "mmap length is greater": "its end is missing: copy it again",
    "signature not found": "it does not begin as such a file does: check the path",
    "magic string": "it does not begin as such a file does: check the path",
    "python objects": "it holds objects of Python: write numbers",
}
"""What the library says and what it means, where a file is not damaged."""


@contextmanager
def naming(where: str, kind: str) -> Iterator[None]:
    """Turn what libraries say of a file into one line.

    Arguments:
        where: The file and what is read of it, for the message.
        kind: What it should be, such as `HDF5`.

    Raises:
        FileFormatError: They fail within, or the numbers do not fit the memory.
    """
    try:
        yield
    except MemoryError as error:
        msg = f"{where}: does not fit the memory: read fewer showers at a time"
        raise FileFormatError(msg) from error
    except _FAILURES as error:
        said = " ".join(str(error).split())
        known = (mend for phrase, mend in _REASONS.items() if phrase in said.lower())
        why = next(known, "truncated or damaged: copy it again")
        msg = f"{where}: not readable as {kind}, {why} ({quoted(said)})"
        raise FileFormatError(msg) from error


def require_kind(path: Path, kind: str) -> None:
    """Check that the first bytes of a file do not say that it is something else.

    Arguments:
        path: The file.
        kind: What it should be, such as `HDF5`.

    Raises:
        FileFormatError: They do, or it cannot be read; the message says what it is.
    """
    with naming(f"{path}", kind), path.open("rb") as file:
        head = file.read(_HEAD)
    found = _kind(head)
    if found is not None and found[0] != kind:
        msg = f"{path}: is {found[0]}, expected {kind}: {found[1]}"
        raise FileFormatError(msg)


def _kind(head: bytes) -> tuple[str, str] | None:
    """What a file is that begins so, and how to mend it; None where nothing says it."""
    if not head.strip(b"\x00"):
        return "full of zeros at its beginning" if head else "empty", _WAIT
    if head[_TAR:].startswith(b"ustar"):
        return "a tar archive", f"{_UNPACK}, by tar xf"
    text = head.lstrip().lower()
    kinds = (said for first, *said in _KINDS if text.startswith(first.lower()))
    return next(((what, mend) for what, mend in kinds), None)
