"""Tables with one row a shower, of numbers and of lists of numbers: parquet and trees of ROOT.

Both are read by rows, in the memory of a batch, and hold notes, texts by name: in the metadata of
the parquet file, or as strings beside the tree.
"""

__all__ = [
    "COUNTER",
    "Column",
    "NewTable",
    "Table",
    "new_table",
    "opened_table",
    "require_packages",
]

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.errors import FileFormatError, quoted
from caloforge.io.unreadable import PARQUET, ROOT, naming, require_kind
from caloforge.packages import optional_package
from caloforge.paths import Layout, require_file

_AT_A_TIME = 256
"""So many rows of a parquet file are unpacked at a time."""

_BUFFER = 1 << 16
"""So many bytes of a column are read at a time, not all of it in a group of rows."""

_TREE = "showers"
_TREES = ("events", _TREE)
"""The trees that are looked for first."""

_PACKAGES = {"parquet": ("pyarrow",), "root": ("uproot", "awkward")}

_FAILURES = (AssertionError, NotImplementedError, struct.error, zlib.error)
"""What uproot raises where a file is damaged, beside its own."""

COUNTER = "n_points"
"""The branch of the lengths of lists in a tree of ROOT."""

_CLASSES = ("TTree", "ROOT::RNTuple")


@dataclass(frozen=True)
class Column:
    """A column of some rows.

    Arguments:
        values: The numbers, one a row, or those of all lists, one after the other.
        counts: The length of each row's list; None where rows hold one number each.
    """

    values: np.ndarray
    counts: np.ndarray | None = None


class Table(ABC):
    """A table to be read.

    Arguments:
        path: The file.
    """

    names: tuple[str, ...]
    """The names of the columns."""
    notes: Mapping[str, str]
    """What the file says of itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def columns(self, names: Sequence[str], rows: range) -> dict[str, Column]:
        """Some columns of neighbouring rows.

        Raises:
            FileFormatError: The file is damaged there, or a column holds no numbers.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def _require(self, name: str, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind not in "fiub":
            msg = (
                f"{self.path}: column '{name}' is of type {quoted(str(values.dtype))}, expected "
                "numbers, or lists of numbers, without gaps"
            )
            raise FileFormatError(msg)
        return values if values.flags.writeable else values.copy()


class _Parquet(Table):
    """A parquet file; rows that follow the last ones of the same columns are read on from there, so
    that a group of rows of any size is unpacked once, and never whole.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        require_kind(path, PARQUET)
        self._pyarrow = optional_package("pyarrow", "parquet")
        with naming(f"{path}", PARQUET):
            parquet = optional_package("pyarrow.parquet", "parquet")
            self._file = parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
            self.names = tuple(self._file.schema_arrow.names)
            notes = (self._file.schema_arrow.metadata or {}) | (self._file.metadata.metadata or {})
            self.notes = {k.decode(): v.decode(errors="replace") for k, v in notes.items()}
            groups = range(self._file.num_row_groups)
            sizes = [self._file.metadata.row_group(k).num_rows for k in groups]
        self._ends = np.cumsum([0, *sizes])
        self._next: dict[tuple[str, ...], tuple[int, Any, Iterator[Any]]] = {}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def close(self) -> None:
        self._next.clear()
        self._file.close()

    def columns(self, names: Sequence[str], rows: range) -> dict[str, Column]:
        with naming(f"{self.path}", PARQUET):
            table = self._rows(tuple(names), rows.start, max(rows.start, rows.stop))
            found = {name: self._column(table.column(name)) for name in names}
        return {
            name: Column(self._require(name, one.values), one.counts) for name, one in found.items()
        }

    def _rows(self, names: tuple[str, ...], start: int, stop: int) -> Any:
        """The rows as one table of Arrow."""
        at, rest, batches = self._from(names, start)
        parts: list[Any] = []
        while at < stop:
            batch = next(batches) if rest is None else rest
            end = at + len(batch)
            if end > start:
                parts.append(batch.slice(max(0, start - at), min(stop, end) - max(start, at)))
            rest = batch.slice(stop - at) if end > stop else None
            at = end
        self._next[names] = stop, rest, batches
        schema = self._pyarrow.schema([self._file.schema_arrow.field(name) for name in names])
        return self._pyarrow.Table.from_batches(parts, schema)

    def _from(self, names: tuple[str, ...], start: int) -> tuple[int, Any, Iterator[Any]]:
        """The number of a row at or before the first, what is unpacked from there on, and the
        batches behind it.
        """
        known = self._next.pop(names, None)
        if known is not None and known[0] == start:
            return known
        group = int(np.searchsorted(self._ends, start, side="right")) - 1
        groups = list(range(min(group, len(self._ends) - 2), len(self._ends) - 1))
        batches = self._file.iter_batches(_AT_A_TIME, groups, list(names), use_threads=False)
        return int(self._ends[group]), None, batches

    def _column(self, chunked: Any) -> Column:
        array = chunked.combine_chunks()
        types = self._pyarrow.types
        if not types.is_list(array.type) and not types.is_large_list(array.type):
            return Column(array.to_numpy(zero_copy_only=False))
        counts = array.value_lengths().to_numpy(zero_copy_only=False)
        return Column(array.flatten().to_numpy(zero_copy_only=False), counts.astype(np.int64))


class _Root(Table):
    """A tree of ROOT."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        require_kind(path, ROOT)
        uproot = optional_package("uproot", "root")
        self._awkward = optional_package("awkward", "root")
        self._failures = (uproot.deserialization.DeserializationError, *_FAILURES)
        with ExitStack() as on_error, self._reading():
            self._file = on_error.enter_context(uproot.open(path, array_cache=None))
            kinds = self._file.classnames(cycle=False)
            self._tree = self._file[self._tree_name(kinds)]
            self.names = tuple(dict.fromkeys(self._tree.keys(full_paths=False)))
            strings = (name for name, kind in kinds.items() if kind == "TObjString")
            self.notes = {name: str(self._file[name]) for name in strings}
            on_error.pop_all()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what uproot says of the file into one line."""
        with naming(f"{self.path}", ROOT):
            try:
                yield
            except self._failures as error:
                raise ValueError(str(error)) from error

    def _tree_name(self, kinds: Mapping[str, str]) -> str:
        trees = [name for name, kind in kinds.items() if kind in _CLASSES]
        known = [name for name in _TREES if name in trees]
        if not known and len(trees) != 1:
            found = quoted(", ".join(trees) or "none")
            msg = (
                f"{self.path}: has the trees {found}, expected one, or one of the name "
                f"{' or '.join(_TREES)}"
            )
            raise FileFormatError(msg)
        return (known or trees)[0]

    def __len__(self) -> int:
        return int(self._tree.num_entries)

    def close(self) -> None:
        self._file.close()

    def columns(self, names: Sequence[str], rows: range) -> dict[str, Column]:
        with self._reading():
            arrays = self._tree.arrays(
                list(names),
                entry_start=rows.start,
                entry_stop=max(rows.start, rows.stop),
                library="ak",
            )
            found = {name: self._column(arrays[name]) for name in names}
        return {
            name: Column(self._require(name, one.values), one.counts) for name, one in found.items()
        }

    def _column(self, array: Any) -> Column:
        ak = self._awkward
        if array.ndim == 1:
            return Column(ak.to_numpy(array))
        counts = ak.to_numpy(ak.num(array)).astype(np.int64)
        return Column(ak.to_numpy(ak.flatten(array)), counts)


def _counter(name: str) -> str:
    """The branch of the lengths of a list, one for all lists of a collection."""
    return f"n_{name.partition('.')[0]}" if "." in name else COUNTER


def opened_table(path: Path) -> Table:
    """Open a parquet file, or the tree of a file of ROOT, by its suffix.

    Raises:
        FileFormatError: The file is missing, damaged, or of another kind.
        PackageError: pyarrow, or uproot, is not installed.
    """
    require_file(path)
    return _Parquet(path) if path.name.lower().endswith(".parquet") else _Root(path)


class NewTable(ABC):
    """A table to be written, as a context manager.

    Arguments:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = ExitStack()

    def __enter__(self) -> "NewTable":
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    @abstractmethod
    def append(self, columns: Mapping[str, Column]) -> None:
        """Write more rows, of the same columns each time."""

    @abstractmethod
    def note(self, notes: Mapping[str, str]) -> None:
        """Write what the file says of itself, when all rows are written."""


class _NewParquet(NewTable):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._pyarrow = optional_package("pyarrow", "parquet")
        self._parquet = optional_package("pyarrow.parquet", "parquet")
        self._writer: Any = None

    def append(self, columns: Mapping[str, Column]) -> None:
        table = self._pyarrow.table({name: self._array(one) for name, one in columns.items()})
        if self._writer is None:
            writer = self._parquet.ParquetWriter(self._path, table.schema, compression="zstd")
            self._writer = self._open.enter_context(writer)
        self._writer.write_table(table)

    def note(self, notes: Mapping[str, str]) -> None:
        self._writer.add_key_value_metadata(dict(notes))

    def _array(self, column: Column) -> Any:
        values = self._pyarrow.array(column.values)
        if column.counts is None:
            return values
        offsets = np.concatenate([[0], np.cumsum(column.counts)]).astype(np.int32)
        return self._pyarrow.ListArray.from_arrays(offsets, values)


class _NewRoot(NewTable):
    """A tree of ROOT, with one branch of lengths for all lists of a collection."""

    def __init__(self, path: Path, tree: str) -> None:
        super().__init__(path)
        uproot = optional_package("uproot", "root")
        self._awkward = optional_package("awkward", "root")
        self._name = tree
        self._tree: Any = None
        self._file: Any = self._open.enter_context(uproot.recreate(path))

    def append(self, columns: Mapping[str, Column]) -> None:
        rows = {name: self._array(one) for name, one in columns.items()}
        if self._tree is None:
            types = {name: array.type.content for name, array in rows.items()}
            self._tree = self._file.mktree(self._name, types, counter_name=_counter)
        self._tree.extend(rows)

    def note(self, notes: Mapping[str, str]) -> None:
        for name, text in notes.items():
            self._file[name] = text

    def _array(self, column: Column) -> Any:
        values = self._awkward.Array(column.values)
        return values if column.counts is None else self._awkward.unflatten(values, column.counts)


def require_packages(layout: Layout) -> None:
    """Check, before hours of work, that the packages are there by which a layout is written.

    Raises:
        PackageError: One is not installed.
    """
    for extra, names in _PACKAGES.items():
        for name in names if layout.value.endswith(f".{extra}") else ():
            optional_package(name, extra)


def new_table(path: Path, *, root: bool, tree: str = _TREE) -> NewTable:
    """A table to be written: parquet, or a tree of ROOT of the given name.

    Raises:
        PackageError: pyarrow, or uproot, is not installed.
    """
    return _NewRoot(path, tree) if root else _NewParquet(path)
