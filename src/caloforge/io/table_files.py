"""Showers in parquet, or in a tree of ROOT: one row a shower, with lists of its points.

======================================= ===========================================================
column                                  contents
======================================= ===========================================================
``incident_energies``                   a number a shower; ``pdg``, ``weights`` and the others as in
                                        a CaloChallenge file, further ones of any meaning
``energy``                              a list a shower: the energy of each point, in MeV
``cell``                                its cell, where the file says the calorimeter
``x``, ``y``, and ``layer`` or ``z``    its place, in mm from the middle of the front face
``time``, optional                      its time, in ns
======================================= ===========================================================

Notes of the file, in the metadata of parquet and as strings beside the tree, are the attributes of
a CaloChallenge file: ``calorimeter``, ``pdg``, ``threshold``, ``units``, and those of its origin.
"""

__all__ = ["TableFile", "TablePoints", "fill", "write_table"]

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import FileFormatError, ShowerValueError, quoted
from caloforge.geometry import Calorimeter
from caloforge.hits import Hits
from caloforge.io.cell_tables import GROUP, calorimeter_of, short_description
from caloforge.io.columnar import COUNTER, Column, NewTable, new_table, opened_table
from caloforge.io.columns import (
    ENERGIES,
    PDG,
    PHI,
    PLACE,
    RESERVED,
    THETA,
    THRESHOLD,
    UNITS,
    WEIGHTS,
    columns_of,
    species_of,
)
from caloforge.io.input import (
    ShowerFile,
    require_angles,
    require_energies,
    require_finite,
    require_species,
    require_weights,
)
from caloforge.io.output import NewFile
from caloforge.io.point_files import Cloud, PointFile, hit_batches, points_of
from caloforge.particles import Particles
from caloforge.ragged import offsets_of
from caloforge.showers import ShowerSource, common_threshold
from caloforge.units import ENERGY_UNITS, energy_unit

_ENERGY, _X, _Y, _Z, _LAYER, _CELL, _TIME = "energy", "x", "y", "z", "layer", "cell", "time"
_POINTS = (_ENERGY, _X, _Y, _Z, _LAYER, _CELL, _TIME)
_OWN = (GROUP, PDG, UNITS, THRESHOLD, "software", "pandas", "ARROW:schema")
_KINDS = {_LAYER: np.int64, _CELL: np.int64}


class TablePoints(PointFile):
    """A file of points in a table, read by its columns.

    Arguments:
        path: The file.
        calorimeter: Where the cells are, for a file that does not say so itself.
        pdg: The species of the particles, for a file that does not say so itself.

    Raises:
        FileFormatError: The file is missing, damaged, or lacks a column, or no calorimeter is
            known.
        GeometryMismatchError: The file says another calorimeter than the one given.
        PackageError: pyarrow, or uproot, is not installed.
    """

    def __init__(
        self, path: Path | str, calorimeter: Calorimeter | None = None, *, pdg: int | None = None
    ) -> None:
        super().__init__(path)
        self._table = opened_table(self.path)
        self._notes = self._table.notes
        self._calorimeter = self._known(calorimeter)
        self._pdg = self._stated_species(pdg)
        self.threshold = self._stated_threshold()
        self._look_through()

    @abstractmethod
    def _look_through(self) -> None:
        """Check which columns there are."""

    @property
    def provenance(self) -> dict[str, str]:
        """What the file says of where its showers come from, as text."""
        return {name: text for name, text in self._notes.items() if name not in _OWN}

    def __len__(self) -> int:
        return len(self._table)

    def close(self) -> None:
        """Close the file; nothing can be read from it afterwards."""
        self._table.close()

    def _known(self, given: Calorimeter | None) -> Calorimeter:
        text = self._notes.get(GROUP, "")
        where = f"{self.path}: note '{GROUP}'"
        said = calorimeter_of(text, where, {}) if text.lstrip().startswith("{") else None
        named = f" but its name, {quoted(text)}" if text else ""
        unsaid = f"does not say in which cells its points lie{named}"
        found = self._settled(given, said, unsaid)
        self._says_cells = said is not None or text == found.name
        return found

    def _stated_species(self, given: int | None) -> int | None:
        try:
            return species_of(self._notes[PDG]) if PDG in self._notes else given
        except ShowerValueError as error:
            msg = f"{self.path}: note '{PDG}': {error}"
            raise FileFormatError(msg) from error

    def _stated_threshold(self) -> float | None:
        text = self._notes.get(THRESHOLD)
        try:
            return None if text is None else float(text)
        except ValueError as error:
            msg = f"{self.path}: note '{THRESHOLD}' is {quoted(text)}, expected a number, in MeV"
            raise FileFormatError(msg) from error

    def _unit(self, usual: str) -> float:
        """The unit of energies that the file states, in MeV."""
        text = self._notes.get(UNITS, usual)
        unit = energy_unit(text)
        if unit is None:
            known = ", ".join(ENERGY_UNITS)
            msg = f"{self.path}: note '{UNITS}' is {quoted(text)}, expected one of {known}"
            raise FileFormatError(msg)
        return unit

    def _require_columns(self, names: Iterable[str], what: str) -> None:
        missing = [name for name in names if name not in self._table.names]
        if missing:
            msg = (
                f"{self.path}: column '{missing[0]}' is missing, found "
                f"{quoted(', '.join(self._table.names) or 'none')}: expected {what}"
            )
            raise FileFormatError(msg)

    def _numbers(self, name: str, rows: range) -> np.ndarray:
        """A column of one number a shower."""
        column = self._table.columns([name], rows)[name]
        if column.counts is not None:
            msg = f"{self.path}: column '{name}' holds lists, expected one number a shower"
            raise FileFormatError(msg)
        return column.values

    def _column(self, name: str, rows: range) -> Tensor | None:
        """A column of one number a shower, float32; None where there is none."""
        if name not in self._table.names:
            return None
        return torch.from_numpy(self._numbers(name, rows).astype(np.float32))

    def _lists(self, names: Iterable[str], rows: range) -> tuple[Tensor, dict[str, np.ndarray]]:
        """The offsets and the numbers of lists of equal lengths."""
        found = self._table.columns(list(names), rows)
        counts = [one.counts for one in found.values() if one.counts is not None]
        same = len(counts) == len(found) and all(np.array_equal(counts[0], one) for one in counts)
        if not same:
            msg = (
                f"{self.path}: columns {', '.join(found)} are no lists of one length in each of "
                f"showers {rows.start} to {rows.stop - 1}, expected a number for each point"
            )
            raise FileFormatError(msg)
        offsets = offsets_of(torch.from_numpy(counts[0]))
        return offsets, {name: column.values for name, column in found.items()}

    def _read_weights(self, rows: range) -> Tensor | None:
        weights = self._column(WEIGHTS, rows)
        if weights is not None:
            require_weights(weights, f"{self.path}: column '{WEIGHTS}'", rows)
        return weights


class TableFile(TablePoints):
    """A table of showers; see `TablePoints`."""

    def _look_through(self) -> None:
        names = self._table.names
        deep = _Z if _Z in names and _LAYER not in names else _LAYER
        needed = (_CELL,) if _CELL in names else (_X, _Y, deep)
        self._require_columns(
            (ENERGIES, _ENERGY, *needed),
            "incident_energies, and lists of energy and of cell, or x, y and layer or z",
        )
        self._lists_there = [name for name in _POINTS if name in names]
        self._says_cells &= _CELL in names

    def extra(self, index: slice) -> dict[str, Tensor]:
        """The columns of numbers beside those of particles and weights, in a slice."""
        rows, known = self._rows_of(index), {*RESERVED, *_POINTS, COUNTER}
        further = [name for name in self._table.names if name not in known]
        found = self._table.columns(further, rows) if further else {}
        single = {name: one.values for name, one in found.items() if one.counts is None}
        return {name: torch.from_numpy(values) for name, values in single.items()}

    def _cloud(self, rows: range) -> Cloud:
        offsets, found = self._lists(self._lists_there, rows)
        columns = {
            name: torch.from_numpy(values.astype(_KINDS.get(name, np.float32)))
            for name, values in found.items()
        }
        energies = torch.from_numpy(found[_ENERGY].astype(np.float64) * self._unit("MeV")).float()
        place = (columns.get(name) for name in (_X, _Y, _Z, _LAYER, _CELL, _TIME))
        return Cloud(offsets, energies, *place)

    def _particles(self, rows: range) -> Particles:
        energies = self._numbers(ENERGIES, rows).astype(np.float64) * self._unit("MeV")
        found = torch.from_numpy(energies).float()
        require_energies(found, f"{self.path}: column '{ENERGIES}'", rows)
        theta, phi, x, y = (self._column(name, rows) for name in (THETA, PHI, *PLACE))
        for name, angles, most in ((THETA, theta, torch.pi), (PHI, phi, 2 * torch.pi)):
            if angles is not None:
                require_angles(angles, f"{self.path}: column '{name}'", rows, -most, most)
        place = None if x is None or y is None else torch.stack([x, y], dim=1)
        if place is not None:
            require_finite(place.sum(dim=1), f"{self.path}: columns {' and '.join(PLACE)}", rows)
        return Particles(found, self._species(rows), theta, phi, place)

    def _species(self, rows: range) -> int | Tensor | None:
        if PDG not in self._table.names:
            return self._pdg
        pdg = self._numbers(PDG, rows)
        require_species(pdg, f"{self.path}: column '{PDG}'", rows)
        return torch.from_numpy(pdg.astype(np.int64))


def write_table(
    path: Path | str,
    source: ShowerSource,
    *,
    root: bool,
    batch_size: int = 1000,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write showers to a table: their hits, as points at the centres of the cells.

    Arguments:
        path: The file.
        source: The showers.
        root: Whether to write a tree of ROOT, else parquet.
        batch_size: How many showers are in memory at a time.
        overwrite: Whether the file may take the place of one that is there.
        progress: Called with the number of each batch that is written.

    Raises:
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: The file cannot be written there.
        ShowerValueError: A value is not physical.
        PackageError: pyarrow, or uproot, is not installed.
    """
    made = NewFile(path, overwrite=overwrite)
    with made as partial, new_table(partial, root=root) as table:
        batches = hit_batches(source, batch_size, f"{path}: not written")
        fill(table, source, ((hits, _columns(hits, extra)) for _, hits, extra in batches), progress)


def fill(
    table: NewTable,
    source: ShowerSource,
    batches: Iterable[tuple[Hits, Mapping[str, Column]]],
    progress: Callable[[int], None],
    units: str = "MeV",
) -> None:
    """Write batches of hits as rows, and what the table says of itself.

    Arguments:
        table: The table.
        source: The showers.
        batches: Their hits, and the columns to write of these.
        progress: Called with the number of each batch that is written.
        units: The unit of energies.
    """
    thresholds = []
    for hits, columns in batches:
        table.append(columns)
        thresholds.append(hits.threshold)
        progress(len(hits))
    table.note(_notes(source, common_threshold(thresholds), units))


def _columns(hits: Hits, extra: dict[str, Tensor]) -> dict[str, Column]:
    numbers = columns_of(hits.particles, hits.weights) | extra
    return {name: Column(each.numpy(force=True)) for name, each in numbers.items()} | _points(hits)


def _points(hits: Hits) -> dict[str, Column]:
    lists = {_CELL: hits.cells, **points_of(hits), _ENERGY: hits.hit_energies}
    lists |= {} if hits.times is None else {_TIME: hits.times}
    counts = hits.offsets.diff().numpy()
    return {name: Column(values.numpy(), counts) for name, values in lists.items()}


def _notes(source: ShowerSource, threshold: float | None, units: str) -> dict[str, str]:
    """What a table says of itself."""
    origin = source.provenance if isinstance(source, ShowerFile) else {}
    pdg = source.particles.pdg
    return {
        **origin,
        GROUP: short_description(source.calorimeter),
        UNITS: units,
        "software": f"caloforge {version('caloforge')}",
        **({PDG: str(pdg)} if isinstance(pdg, int) else {}),
        **({} if threshold is None else {THRESHOLD: repr(threshold)}),
    }
