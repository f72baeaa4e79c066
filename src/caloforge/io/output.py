"""An output appears whole or not at all.

What is written goes to a hidden file beside the output and takes the output's name when all has
gone well. Whatever goes wrong before, an interruption from the keyboard included, the hidden file
is removed and what stood at the output's path stays. Its name says which process of which machine
writes it, so that the next one removes what a killed process left.

HDF5 does not bear a failure to write: it tries again at each close, and ends the process with a
segmentation fault. So it writes through a file that keeps its first failure and goes on as if there
were none, and interruptions wait meanwhile.
"""

__all__ = ["NewFile", "NewHdf5", "held_back", "name_full_disk", "require_folder"]

import errno
import glob
import os
import platform
import signal
import stat
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import h5py

from caloforge.errors import DiskFullError
from caloforge.paths import require_folder, require_writable

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
"""The interruptions, and the alarm by which one that was lost is sent again."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NewFile:
    """A file to be written, as a context manager that gives the path to write to.

    Arguments:
        path: Where the file shall be in the end.
        overwrite: Whether it may take the place of a file that is there.

    Raises:
        OutputExistsError: The path exists and may not be overwritten; asked when made and again
            before the file takes its name.
        OutputError: The path is a folder, a link, a pipe or a device, or the folder that shall hold
            the file is missing or closed to writing.
        DiskFullError: The disk is full; raised when it is closed, in place of any error that says
            so.

    Example:
        >>> with NewFile("notes.txt") as partial:
        ...     partial.write_text("all of it")
        9
    """

    def __init__(self, path: Path | str, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self._overwrite = overwrite
        require_writable(self.path, overwrite=overwrite)
        writer = f"{_here()}-{os.getpid()}-{uuid4().hex[:4]}"
        self.partial = self.path.with_name(f".{self.path.name}.{writer}.partial")

    def __enter__(self) -> Path:
        for left in _left_behind(self.path):
            left.unlink(missing_ok=True)
        self.partial.touch()
        self._mode = stat.S_IMODE(self.partial.stat().st_mode)
        return self.partial

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                require_writable(self.path, overwrite=self._overwrite)
                self.partial.chmod(self._mode)
                self.partial.replace(self.path)
        finally:
            self.partial.unlink(missing_ok=True)
        name_full_disk(error, self.path)


def _here() -> str:
    """What stands for this machine in a name."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _left_behind(path: Path) -> Iterator[Path]:
    """The hidden files of an output whose writers, processes of this machine, are no more."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{_here()}-[0-9]*-????.partial"):
        with suppress(PermissionError, ValueError, OverflowError):
            try:
                os.kill(int(left.name.split("-")[-2]), 0)
            except ProcessLookupError:
                yield left


class NewHdf5:
    """A new HDF5 file to be written, as a context manager that gives it; it closes in any case.

    Arguments:
        path: The file; one that is there is replaced.

    Raises:
        DiskFullError: The disk is full; raised when it is closed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> h5py.File:
        self._disk = _Disk(self._path, "w+b")
        self._file = h5py.File(self._disk, "w")
        return self._file

    def __exit__(self, *error: object) -> None:
        with self._disk, held_back():
            self._file.close()
        self.require_written()

    def require_written(self) -> None:
        """Check that all could be written so far.

        Raises:
            DiskFullError: The disk is full.
            OSError: It cannot be written for another reason.
        """
        name_full_disk(self._disk.failure, self._path)
        if self._disk.failure is not None:
            raise self._disk.failure


class _Disk(FileIO):
    """A file that keeps its first failure, and lets nobody see it who could not bear it."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        while rest and self.failure is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.failure = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0


@contextmanager
def held_back() -> Iterator[None]:
    """Within, an interruption waits: h5py would lose it, or HDF5 fail in the middle of a file."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: heeds for number, heeds in handlers.items() if heeds is not None}
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def name_full_disk(error: BaseException | None, path: Path) -> None:
    """Name the output where an error, of any library, says that its disk is full.

    Arguments:
        error: The error, if there is one.
        path: The output.

    Raises:
        DiskFullError: It says so.
    """
    reason = next((words for words in map(os.strerror, _FULL) if words in str(error)), None)
    if reason is not None:
        msg = f"{path}: cannot be written: {reason}: make room, or choose another disk"
        raise DiskFullError(msg) from error
