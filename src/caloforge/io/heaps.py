"""Heaps of HDF5: where it keeps texts and lists of any length.

A heap is a signature, its version and its size, and objects one behind the other, each a header of
16 bytes with its number and its length, and its data. The number 0 is what is free, of the length
of all the rest. A free part of no length, as a damaged block of zeros has it, the HDF5 library
follows for ever; so heaps are gone through before it is asked.
"""

__all__ = ["require_heaps"]

from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from struct import unpack_from

from caloforge.errors import FileFormatError

_SIGNATURE = b"GCOL\1\0\0\0"
_HEADER, _LEAST = 16, 4096
_PART = 1 << 20


def require_heaps(path: Path, *, whole: bool) -> None:
    """Check that the heaps of a file come to an end.

    Arguments:
        path: The file.
        whole: Whether to look for them in all of the file, where lists are; else, for texts of
            attributes, in its first and its last part.

    Raises:
        FileFormatError: One does not.
    """
    size = path.stat().st_size
    if size == 0:
        return
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        every = range(0, size, _PART) if whole else (0, max(0, size - _PART))
        for first in every:
            part = data[first : first + _PART + len(_SIGNATURE)]
            for start in _found(part):
                if _is_endless(data, first + start):
                    msg = f"{path}: damaged where its texts or lists are: copy it again"
                    raise FileFormatError(msg)


def _found(part: bytes) -> Iterator[int]:
    """Where the signature stands."""
    start = part.find(_SIGNATURE)
    while start >= 0:
        yield start
        start = part.find(_SIGNATURE, start + 1)


def _is_endless(data: mmap, start: int) -> bool:
    """Whether a heap has a free part of no length before its end."""
    at = start + _HEADER
    size = unpack_from("<Q", data, start + 8)[0] if at <= len(data) else 0
    stop = start + size
    if not _LEAST <= size <= len(data) - start:
        return False
    while at + _HEADER <= stop:
        number, length = unpack_from("<H6xQ", data, at)
        if number == length == 0:
            return True
        at += length if number == 0 else _HEADER + (length + 7) // 8 * 8
    return False
