"""Finished showers into shards, so that little is lost when a process ends, and little time spent.

A shard is closed after a second, or a thousandth of the time so far, at the next multiple of the
blocks in which HDF5 compresses, since joining copies whole blocks. Where showers take so long that
no multiple comes within ten times that, it is closed anywhere, and the rows of the blocks that were
cut are compressed once more: next to the time that they took, that is nothing.
"""

__all__ = ["ShardWriter"]

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from torch import Tensor

from caloforge.hits import AnyShowers, part_of
from caloforge.io import CaloChallengeWriter
from caloforge.production.journal import Journal

INTERVAL, SHARE, LONG = 1.0, 1e-3, 10.0
"""A shard is closed after so many seconds, after this share of the time so far, and anywhere after
so many times that.
"""

Opener = Callable[[Path], CaloChallengeWriter]
"""Opens a file to write showers to."""


class ShardWriter:
    """Writes finished showers to the shards of a journal, as a context manager.

    When an error or an interruption ends it, it keeps the shard that is open, unless that happened
    within the writing of showers.

    Arguments:
        journal: The journal.
        opener: Opens a file for a shard.
        block: How many showers HDF5 compresses together.
    """

    def __init__(self, journal: Journal, opener: Opener, block: int) -> None:
        self._journal, self._opener, self._block = journal, opener, block
        self._began = self._opened = time.monotonic()
        self._writer: CaloChallengeWriter | None = None
        self._rows = 0
        self._is_writing = False

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None and self._is_writing:
            self._writer.__exit__(kind, error, trace)
        else:
            self._close()

    def append(self, showers: AnyShowers, extra: Mapping[str, Tensor]) -> None:
        """Write more showers, each with further numbers by name."""
        start, rows = self._journal.finished + self._rows, len(showers)
        first = -start % self._block if self._is_cut else 0
        last = (start + rows) // self._block * self._block - start
        bounds = sorted({0, min(first, rows), last if self._is_due(1.0) else 0, rows} - {0})
        begin = 0
        for end in [bound for bound in bounds if bound > 0]:
            part = slice(begin, end)
            self._write(
                part_of(showers, part), {name: values[part] for name, values in extra.items()}
            )
            begin = end
        if self._is_due(LONG):
            self._close()

    @property
    def _is_cut(self) -> bool:
        """Whether the shard begins within a block."""
        return self._journal.finished % self._block != 0

    def _is_due(self, factor: float) -> bool:
        now = time.monotonic()
        return now - self._opened > factor * max(INTERVAL, SHARE * (now - self._began))

    def _write(self, showers: AnyShowers, extra: Mapping[str, Tensor]) -> None:
        if self._writer is None:
            self._writer = self._opener(self._journal.unfinished.with_suffix(".h5")).__enter__()
            self._opened = time.monotonic()
        self._is_writing = True
        self._writer.append(showers, extra)
        self._is_writing = False
        self._rows += len(showers)
        at_block = (self._journal.finished + self._rows) % self._block == 0
        if at_block and (self._is_cut or self._is_due(1.0)):
            self._close()

    def _close(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        writer.__exit__(None, None, None)
        self._journal.keep(writer.path, self._rows)
        self._rows = 0
