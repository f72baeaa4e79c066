"""Lists of cells in files, one row a cell in flat order: CSV, HDF5 or parquet.

========================= =================================================================
column                    contents
========================= =================================================================
``layer``                 the layer, from 0 on
``x``, ``y``              the centre, in mm
``size_x``, ``size_y``    the sizes, in mm; of a hexagon, the longer is from corner to corner
``sides``, optional       4 for a rectangle, 6 for a hexagon; rectangles without it
``thickness``, optional   the depth of its layer, in mm, the same for all of a layer
========================= =================================================================

CSV has the names in its first line, HDF5 a dataset each. A file of showers in a large table holds
the same numbers in a group.
"""

__all__ = [
    *("GROUP", "SUFFIXES", "calorimeter_of", "described", "read_cells"),
    *("short_description", "state_calorimeter", "write_cells"),
]

import json
import warnings
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from caloforge.documents import json_tree
from caloforge.errors import FileFormatError, GeometryError, quoted
from caloforge.geometry import Calorimeter, CellTable
from caloforge.io.columns import are_whole
from caloforge.io.input import require_file
from caloforge.io.output import NewFile, NewHdf5, held_back
from caloforge.io.stored import opened, reading
from caloforge.io.unreadable import naming
from caloforge.packages import optional_package

SUFFIXES = (".csv", ".h5", ".hdf5", ".parquet")
"""Of files that may hold a list of cells."""

_NEEDED = ("layer", "x", "y", "size_x", "size_y")
_OPTIONAL = ("sides", "thickness")
_WHOLE = ("layer", "sides")

_LISTED = 20_000
"""The most cells of a table that a file of showers lists as JSON."""

GROUP = "calorimeter"
"""The attribute that states the calorimeter, and the group of the lists of a large table."""


def read_cells(path: Path | str, *, name: str | None = None) -> CellTable:
    """Read a calorimeter from a list of its cells.

    Arguments:
        path: The file, with suffix .csv, .h5, .hdf5 or .parquet.
        name: The name of the calorimeter; that of the file if none is given.

    Raises:
        FileFormatError: The file is missing or not of its kind, lacks a column, or the cells are
            impossible: two of them overlap, a layer has none, a size is not positive.
        PackageError: The file is parquet, and pyarrow is not installed.
    """
    path = Path(path)
    require_file(path)
    columns = _read(path)
    _require(path, columns)
    try:
        thicknesses = _thicknesses(columns)
        return CellTable(
            name or path.stem,
            _whole(columns, "layer"),
            _pairs(columns, "x", "y"),
            _pairs(columns, "size_x", "size_y"),
            thicknesses,
            _whole(columns, "sides") if "sides" in columns else (),
        )
    except GeometryError as error:
        msg = f"{path}: {error}"
        raise FileFormatError(msg) from error


def write_cells(path: Path | str, calorimeter: Calorimeter, *, overwrite: bool = False) -> None:
    """Write the list of the cells of a calorimeter that is not made of rings.

    Arguments:
        path: The file, with suffix .csv, .h5, .hdf5 or .parquet.
        calorimeter: A calorimeter of boxes or of irregular cells.
        overwrite: Whether the file may take the place of one that is there.

    Raises:
        GeometryError: The cells are rings.
        FileFormatError: The suffix is another.
        OutputExistsError: The path exists and may not be overwritten.
        PackageError: The file is parquet, and pyarrow is not installed.
    """
    path, columns = Path(path), _columns(calorimeter)
    kind = _kind(path)
    with NewFile(path, overwrite=overwrite) as partial:
        if kind == ".csv":
            rows = np.stack([values.astype(np.float64) for values in columns.values()], axis=1)
            np.savetxt(partial, rows, "%.9g", ",", header=",".join(columns), comments="")
        elif kind == ".parquet":
            pyarrow, parquet = (optional_package(n, "parquet") for n in _PARQUET)
            parquet.write_table(pyarrow.table(columns), partial)
        else:
            with NewHdf5(partial) as file, held_back():
                for name, values in columns.items():
                    file.create_dataset(name, data=values, compression="gzip", shuffle=True)


_PARQUET = ("pyarrow", "pyarrow.parquet")


def state_calorimeter(file: h5py.File, calorimeter: Calorimeter) -> None:
    """Write into a file of showers where the cells are: as JSON in an attribute, but for the lists
    of a large table, which become datasets.
    """
    large = calorimeter.n_cells > _LISTED and bool(calorimeter.arrays())
    file.attrs[GROUP] = json.dumps(calorimeter.describe(arrays=not large))
    if large:
        group = file.create_group(GROUP)
        for name, values in calorimeter.arrays().items():
            group.create_dataset(name, data=values.numpy(), compression="gzip", shuffle=True)


def described(file: h5py.File, path: Path, *, known: bool) -> Calorimeter | None:
    """The calorimeter that a file of showers describes, None where it describes none.

    Arguments:
        file: The open file.
        path: Its path, for messages.
        known: Whether the calorimeter is known anyhow: then a name of its own is no description.

    Raises:
        FileFormatError: It describes an impossible one.
    """
    with reading(path):
        text, group = file.attrs.get(GROUP), file.get(GROUP)
        held = group if isinstance(group, h5py.Group) else {}
        lists = {name: torch.from_numpy(held[name][()]) for name in held}
    if text is None or (known and not str(text).lstrip().startswith("{")):
        return None
    return calorimeter_of(str(text), f"{path}: attribute '{GROUP}'", lists)


def calorimeter_of(text: str, what: str, lists: Mapping[str, torch.Tensor]) -> Calorimeter:
    """The calorimeter that a file describes.

    Arguments:
        text: The JSON of `Calorimeter.describe`.
        what: The file and where in it that stands, for the message.
        lists: What the description leaves to the file's lists.

    Raises:
        FileFormatError: It describes an impossible one.
    """
    try:
        tree = json_tree(text, what, FileFormatError)
        return Calorimeter.from_description({**tree, **lists})
    except GeometryError as error:
        msg = f"{what}: {error}; expected JSON of Calorimeter.describe(): write the file again"
        raise FileFormatError(msg) from error


def short_description(calorimeter: Calorimeter) -> str:
    """What a file without lists says of its calorimeter: the JSON of `Calorimeter.describe`, or the
    name alone of a large table of cells.
    """
    large = calorimeter.n_cells > _LISTED and bool(calorimeter.arrays())
    return calorimeter.name if large else json.dumps(calorimeter.describe())


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        msg = f"{path}: suffix '{suffix}' of a list of cells, expected one of {', '.join(SUFFIXES)}"
        raise FileFormatError(msg)
    return suffix


def _read(path: Path) -> dict[str, np.ndarray]:
    match _kind(path):
        case ".csv":
            with naming(f"{path}", "a list of cells"), path.open(encoding="utf-8") as lines:
                names = [name.strip() for name in lines.readline().split(",")]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)
                    rows = np.loadtxt(lines, delimiter=",", ndmin=2)
                return dict(zip(names, rows.T, strict=True))
        case ".parquet":
            parquet = optional_package("pyarrow.parquet", "parquet")
            with naming(f"{path}", "a list of cells"):
                table = parquet.read_table(path)
                return {name: table[name].to_numpy() for name in table.column_names}
        case _:
            with opened(path) as file, reading(path):
                known = (*_NEEDED, *_OPTIONAL)
                return {name: file[name][()] for name in known if name in file}


def _require(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        msg = (
            f"{path}: column '{missing[0]}' is missing, found "
            f"{quoted(', '.join(columns) or 'none')}: expected {', '.join(_NEEDED)}, and maybe "
            f"{', '.join(_OPTIONAL)}"
        )
        raise FileFormatError(msg)
    shapes = {columns[name].shape for name in (*_NEEDED, *_OPTIONAL) if name in columns}
    if len(shapes) > 1 or len(shapes.copy().pop()) != 1:
        msg = f"{path}: columns have shapes {shapes}, expected one number a cell in each"
        raise FileFormatError(msg)
    for name in (name for name in _WHOLE if name in columns):
        bad = np.flatnonzero(~are_whole(columns[name]))
        if len(bad):
            msg = (
                f"{path}: column '{name}': {len(bad)} numbers are not whole, the first in row "
                f"{bad[0]} ({columns[name][bad[0]]:g}): expected whole numbers"
            )
            raise FileFormatError(msg)


def _whole(columns: dict[str, np.ndarray], name: str) -> torch.Tensor:
    """A column of whole numbers; it is taken out, as millions of rows need their memory."""
    return torch.from_numpy(columns.pop(name).astype(np.int64))


def _pairs(columns: dict[str, np.ndarray], first: str, second: str) -> torch.Tensor:
    """Two columns side by side; they are taken out, too."""
    pair = np.stack([columns.pop(first), columns.pop(second)], axis=1)
    return torch.from_numpy(pair.astype(np.float64, copy=False))


def _thicknesses(columns: dict[str, np.ndarray]) -> list[float | None]:
    layers = columns["layer"].astype(np.int64, copy=False)
    _, first, number = np.unique(layers, return_index=True, return_counts=True)
    if "thickness" not in columns:
        return [None] * len(first)
    depth = columns.pop("thickness").astype(np.float64, copy=False)
    order = layers.argsort(kind="stable")
    ends = np.cumsum([0, *number])
    for k, (start, end) in enumerate(pairwise(ends)):
        if np.ptp(depth[order[start:end]]) > 0:
            msg = f"its cells of layer {k} differ in thickness, expected one thickness a layer"
            raise GeometryError(msg)
    return [float(t) if np.isfinite(t) else None for t in depth[first]]


def _columns(calorimeter: Calorimeter) -> dict[str, Any]:
    layer = calorimeter.layer_of_cell
    sizes, sides = calorimeter.outlines()
    columns = {
        "layer": layer,
        **dict(zip(("x", "y"), calorimeter.transverse.T, strict=True)),
        **dict(zip(("size_x", "size_y"), sizes.T, strict=True)),
        "sides": sides,
    }
    found = {name: values.numpy() for name, values in columns.items()}
    if not calorimeter.has_depth:
        return found
    return found | {"thickness": np.array(calorimeter.known_thicknesses)[layer.numpy()]}
