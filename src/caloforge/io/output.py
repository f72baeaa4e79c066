"""An output appears whole or not at all.

What is written goes to a hidden file beside the output and takes the output's name when all has
gone well. Whatever goes wrong before, an interruption from the keyboard included, the hidden file
is removed and what stood at the output's path stays.
"""

__all__ = ["NewFile"]

import os
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from caloforge.errors import OutputError, OutputExistsError


class NewFile:
    """A file to be written, as a context manager that gives the path to write to.

    Arguments:
        path: Where the file shall be in the end.
        overwrite: Whether it may take the place of a file that is there.

    Raises:
        OutputExistsError: The path exists and may not be overwritten; asked when made and again
            before the file takes its name.
        OutputError: The path is a folder, or the folder that shall hold the file is missing or
            closed to writing.

    Example:
        >>> with NewFile("notes.txt") as partial:
        ...     partial.write_text("all of it")
        9
    """

    def __init__(self, path: Path | str, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self._overwrite = overwrite
        self._require_free()
        _require_writable(self.path)
        self.partial = self.path.with_name(f".{self.path.name}.{uuid4().hex[:8]}.partial")

    def __enter__(self) -> Path:
        return self.partial

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._require_free()
                self.partial.replace(self.path)
        finally:
            self.partial.unlink(missing_ok=True)

    def _require_free(self) -> None:
        if self.path.exists() and not self._overwrite:
            msg = (
                f"{self.path}: exists already: choose another path, or ask for it to be overwritten"
            )
            raise OutputExistsError(msg)


def _require_writable(path: Path) -> None:
    if path.is_dir():
        msg = f"{path}: is a folder, expected the path of a file to write"
        raise OutputError(msg)
    if not path.parent.is_dir():
        msg = f"{path}: its folder '{path.parent}' does not exist: make the folder first"
        raise OutputError(msg)
    if not os.access(path.parent, os.W_OK):
        msg = f"{path}: its folder '{path.parent}' is closed to writing: choose another folder"
        raise OutputError(msg)
