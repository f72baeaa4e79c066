"""A calorimeter from a text: a name, a file of any format that says where cells are, or a grid.

``8x5x7:zyx:10mm,10mm,5mm`` is a grid of boxes: the numbers of cells in x, y, z, the axes of the
flat index from the slowest to the fastest, and the sizes of a cell; one size is that of a cube.
"""

__all__ = ["detector_of", "find_calorimeter"]

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from caloforge.detector import Detector, detector_names, load_detector
from caloforge.documents import json_tree, read_json, read_yaml
from caloforge.errors import FileFormatError, GeometryError, UnitError, quoted
from caloforge.geometry import Calorimeter, named_calorimeters
from caloforge.io.binning import named_binning, read_binning
from caloforge.io.cell_tables import SUFFIXES, read_cells
from caloforge.units import parse_length

_GRID = re.compile(r"([0-9]{1,9})x([0-9]{1,9})x([0-9]{1,9})(?::([xyz]{3}))?(?::(.*))?")
_ORDER = "zyx"


def find_calorimeter(text: str) -> Calorimeter:
    """The calorimeter that a text names or describes.

    Arguments:
        text: A name of the package, of a calorimeter or a detector; the path of a detector's YAML,
            of a description as `Calorimeter.describe` gives it (JSON or YAML), of a list of cells
            (.csv, .h5, .parquet) or of a binning XML, which may end in ``:PARTICLE``; or a grid.

    Raises:
        GeometryError: It is none of these, or an impossible one.
        FileFormatError: The file is not what its suffix says.

    Example:
        >>> find_calorimeter("8x5x7:zyx:10mm,10mm,5mm").n_cells
        280
    """
    known, suffix = named_calorimeters(), Path(text).suffix.lower()
    if text in known:
        return known[text]
    if text in detector_names():
        return load_detector(text).calorimeter
    if grid := _GRID.fullmatch(text):
        return _grid(text, *grid.groups())
    if suffix in SUFFIXES:
        return read_cells(text)
    if suffix in (".json", ".yaml", ".yml"):
        return _described(text, suffix == ".json")
    if binning := named_binning(text):
        return read_binning(*binning)
    msg = (
        f"calorimeter {quoted(text)}: expected a known name ({', '.join(known)}), a detector of "
        f"the package ({', '.join(detector_names())}), its FILE.yaml, a description (.json, "
        ".yaml), a binning FILE.xml or FILE.xml:PARTICLE, a list of cells (.csv, .h5, .parquet), "
        "or a grid such as 8x5x7:zyx:10mm,10mm,5mm"
    )
    raise GeometryError(msg)


def detector_of(provenance: Mapping[str, str]) -> Detector | None:
    """The detector in which showers were simulated, by what their file says of their origin; None
    where it does not say.

    Arguments:
        provenance: As of a `ShowerFile`.
    """
    with suppress(LookupError, TypeError, GeometryError):
        if "description" in provenance:
            found = json_tree(provenance["description"], "description", GeometryError)
        else:
            made_by = json_tree(provenance["chain"], "chain", GeometryError)
            found = made_by["simulator"]["detector"]
        return Detector.from_description(found)
    return None


def _grid(
    text: str, nx: str, ny: str, nz: str, order: str | None, sizes: str | None
) -> Calorimeter:
    """The grid of a text that has the form of one."""
    lengths = (sizes or "").split(",")
    try:
        found = [parse_length(length) for length in lengths]
    except UnitError:
        found = []
    if len(found) not in (1, 3):
        msg = (
            f"calorimeter {quoted(text)}: expected the sizes of a cell in x, y and z behind it, "
            f"such as {nx}x{ny}x{nz}:{order or _ORDER}:10mm,10mm,5mm"
        )
        raise GeometryError(msg)
    dx, dy, dz = found if len(found) == 3 else found * 3
    name = f"{nx}x{ny}x{nz}"
    description = {"shape": [int(nx), int(ny), int(nz)], "cell_size": [dx, dy, dz]}
    return _from(
        description | {"kind": "regular-grid", "name": name, "order": order or _ORDER},
        f"calorimeter {quoted(text)}",
    )


def _described(text: str, is_json: bool) -> Calorimeter:
    """The calorimeter of a detector, or of a description."""
    what, path = f"calorimeter '{text}'", Path(text)
    reader = read_json if is_json else read_yaml
    values = reader(path, what, FileFormatError)
    if "kind" in values:
        return _from(values, what)
    return Detector.from_description(values, what).calorimeter


def _from(description: Mapping[str, Any], what: str) -> Calorimeter:
    try:
        return Calorimeter.from_description(dict(description))
    except GeometryError as error:
        msg = f"{what}: {error}"
        raise GeometryError(msg) from error
