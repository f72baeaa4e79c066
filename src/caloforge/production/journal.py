"""The journal of a run: its finished showers, kept beside the output until that is there.

The journal is a hidden folder beside the output. ``job.json`` says what is made, so that no other
job goes on with it. Every ``*.h5`` is a shard, a CaloChallenge file named by the number of its
first shower, that of the one after its last, and its checksum. A shard gets its name when it is
whole: whatever ends the process, the shards that are there are good. A lock lets one process at a
time work on a journal.

In the end the shards are joined in the journal, the whole takes the output's name, and the journal
is removed. A process that ends in between leaves a journal that says ``complete``.
"""

__all__ = ["Journal", "journal_of"]

import fcntl
import json
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from caloforge.documents import read_json
from caloforge.errors import OutputError, OutputExistsError
from caloforge.io import NewFile
from caloforge.io.output import name_full_disk
from caloforge.paths import layout_of

_JOB, _LOCK, _COMPLETE = "job.json", "lock", "complete"
_READ = 1 << 20
_DIGITS = 12
_NUMBER = "[0-9]" * _DIGITS
_SHARDS = f"{_NUMBER}-{_NUMBER}-{'[0-9a-f]' * 8}.h5"


def journal_of(path: Path) -> Path:
    """The folder in which the finished showers of a run are kept until its output is there."""
    return path.with_name(f".{path.name}.unfinished")


class Journal:
    """The finished showers of a run, as a context manager; empty, it is removed when it is closed.

    Arguments:
        output: The file beside which it stands.
        job: What is made, as plain values fit for JSON.
        resume: Go on with the journal that is there, if there is one.
        overwrite: Whether the output may take the place of another file, and the run that of an
            unfinished one that is not resumed.

    Raises:
        OutputExistsError: The output is there, or a journal, and neither may be replaced nor
            resumed.
        OutputError: The output cannot be written there, the journal is of another job, or another
            process works on it.
    """

    def __init__(
        self,
        output: Path,
        job: Mapping[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.output, self.folder = output, journal_of(output)
        self._job, self._resume, self._overwrite = dict(job), resume, overwrite
        self._shards: list[tuple[int, int, Path]] = []
        if not self.is_placed:
            NewFile(output, overwrite=overwrite)
        if (self.folder / _JOB).exists() and not (resume or overwrite):
            msg = (
                f"{output}: an unfinished run of it is there ({self.folder.name}): resume it "
                "(--resume), or overwrite it to begin anew (--overwrite)"
            )
            raise OutputExistsError(msg)

    def __enter__(self) -> "Journal":
        self.folder.mkdir(exist_ok=True)
        self._lock = (self.folder / _LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._take_up()
        except BlockingIOError as error:
            self._lock.close()
            msg = f"{self.output}: another process is at work on it: wait until it has ended"
            raise OutputError(msg) from error
        except OutputError:
            self._lock.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._shards:
            self._remove()
        self._lock.close()
        name_full_disk(error, self.output)

    @property
    def finished(self) -> int:
        """How many showers it holds."""
        return self._shards[-1][1] if self._shards else 0

    @property
    def shards(self) -> list[Path]:
        """The files of finished showers, in order."""
        return [path for _, _, path in self._shards]

    @property
    def is_complete(self) -> bool:
        """Whether the whole file has been made."""
        return (self.folder / _COMPLETE).exists()

    @property
    def is_placed(self) -> bool:
        """Whether the run to be resumed had ended when the process did: its output is there."""
        return self._resume and self.is_complete and not self.whole.exists()

    @property
    def whole(self) -> Path:
        """Where the shards are joined."""
        return self.folder / f"whole{self._suffix}"

    @property
    def unfinished(self) -> Path:
        """Where a shard, or the whole, is written."""
        return self.folder / f"unfinished{self._suffix}"

    @property
    def _suffix(self) -> str:
        """What says the format."""
        return layout_of(self.output).value

    def keep(self, path: Path, rows: int) -> None:
        """Keep a file of so many more finished showers."""
        start, stop = self.finished, self.finished + rows
        name = f"{start:0{_DIGITS}}-{stop:0{_DIGITS}}-{_checksum(path)}.h5"
        self._shards.append((start, stop, path.replace(self.folder / name)))

    def place(self) -> None:
        """Give the whole file the output's name, and remove the journal.

        Raises:
            OutputExistsError: There is another file by now, and it may not be replaced.
        """
        if not self.is_complete:
            self.unfinished.replace(self.whole)
            (self.folder / _COMPLETE).touch()
        if self.whole.exists():
            NewFile(self.output, overwrite=self._overwrite)
            self.whole.replace(self.output)
        self._shards.clear()

    def _take_up(self) -> None:
        if (self.folder / _JOB).exists() and self._resume:
            self._require_same_job()
            self._shards = self._whole_shards()
        kept = {_LOCK, _JOB, _COMPLETE, self.whole.name, *(path.name for path in self.shards)}
        for path in self.folder.iterdir():
            if path.name not in (kept if self._resume else {_LOCK}):
                path.unlink()
        if not (self.folder / _JOB).exists():
            new = self.folder / f"{_JOB}.new"
            new.write_text(json.dumps(self._job, sort_keys=True))
            new.replace(self.folder / _JOB)

    def _whole_shards(self) -> list[tuple[int, int, Path]]:
        """The shards from the first on, up to one that is missing or damaged."""
        found: list[tuple[int, int, Path]] = []
        for path in sorted(self.folder.glob(_SHARDS)):
            start, stop, checksum = path.stem.split("-")
            last = found[-1][1] if found else 0
            if int(start) != last or _checksum(path) != checksum:
                break
            found.append((int(start), int(stop), path))
        return found

    def _require_same_job(self) -> None:
        what = f"{self.output}: the unfinished run beside it ({self.folder.name}/{_JOB})"
        found = read_json(self.folder / _JOB, what, OutputError)
        differing = list(_differences(found, json.loads(json.dumps(self._job))))
        if differing:
            msg = (
                f"{self.output}: the unfinished run beside it ({self.folder.name}) has another "
                f"{' and another '.join(differing)}: give the same options, or overwrite "
                "it (--overwrite)"
            )
            raise OutputError(msg)

    def _remove(self) -> None:
        """The job goes first: a folder without one is nobody's."""
        (self.folder / _JOB).unlink(missing_ok=True)
        shutil.rmtree(self.folder)


def _differences(found: Any, asked: Any, name: str = "job") -> Iterator[str]:
    """The names of what differs, innermost."""
    if isinstance(found, dict) and isinstance(asked, dict):
        for key in sorted({*found, *asked}):
            yield from _differences(found.get(key), asked.get(key), key)
    elif found != asked:
        yield name


def _checksum(path: Path) -> str:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_READ):
            value = zlib.crc32(chunk, value)
    return f"{value:08x}"
