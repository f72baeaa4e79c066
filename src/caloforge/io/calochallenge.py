r"""CaloChallenge HDF5: showers of any calorimeter, one row a shower.

``showers`` are the deposits in MeV, with shape :math:`(N, n_\text{cells})` and the cells in flat
order; ``incident_energies`` have the shape (N, 1) or (N). Optional, and of the same shape, are the
angles ``incident_theta`` and ``incident_phi``, in radians; the place on the front face,
``incident_x`` and ``incident_y``, in mm; ``pdg``, the species as PDG numbers; ``weights``, finite
and at least 0; and any other number a shower, such as ``cpu_time_ms``. Without them particles enter
along the axis, at the centre, are of no known species, and count once.

The published files do not say which calorimeter they belong to. Files written here do, in the
attribute ``calorimeter``: the JSON of `Calorimeter.describe`. ``pdg`` is the species where all
particles are of one: a PDG number, or a name such as 'e-'; ``threshold`` that of the readout, in
MeV; ``units``, of the file or of a dataset, the unit of its energies: keV, MeV, GeV or TeV, MeV
without it. Where few cells are lit, `caloforge.io.sparse` writes the hits alone.
"""

__all__ = ["CaloChallengeFile", "float32", "native"]

import math
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeGuard

import h5py
import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from caloforge.errors import MOST_QUOTED, FileFormatError, ShowerValueError
from caloforge.geometry import Calorimeter, named_calorimeters
from caloforge.io.cell_tables import GROUP, described
from caloforge.io.columns import (
    DEPOSITS,
    ENERGIES,
    GEOMETRY,
    HIT_DATASETS,
    OFFSETS,
    PDG,
    PHI,
    PLACE,
    RESERVED,
    THETA,
    THRESHOLD,
    WEIGHTS,
    species_of,
)
from caloforge.io.heaps import require_heaps
from caloforge.io.input import (
    ShowerFile,
    require_angles,
    require_deposits,
    require_energies,
    require_finite,
    require_species,
    require_weights,
)
from caloforge.io.stored import found, opened, reading, stated_unit, stored
from caloforge.io.unreadable import HDF5
from caloforge.particles import Particles, Species
from caloforge.showers import Showers
from caloforge.units import MeV

_NUMBERS = "fiub"
"""The kinds of types that are numbers."""

_LARGEST = {THETA: math.pi, PHI: 2 * math.pi}
"""The largest angles, in rad."""

_WIDEST = 8
"""Numbers of more bytes are read in double precision."""

_OWN = ("calorimeter", "units", "software", "layout", PDG, THRESHOLD)
"""Attributes that say what the file is, not where its showers come from."""


class CaloChallengeFile(ShowerFile):
    """A CaloChallenge file; its header is checked when it is opened, its values when they are read.

    Arguments:
        path: The file.
        calorimeter: Where the cells are, for a file that does not say so itself. Without it, the
            one calorimeter of the package that has as many cells, see `named_calorimeters`.
        pdg: The species of the particles, for a file that does not say so itself; None where it is
            not known.

    Raises:
        FileFormatError: The file is missing, truncated, not HDF5, lacks a dataset, or shapes do not
            fit each other or the calorimeter, or no calorimeter is known.
        GeometryMismatchError: The file says another calorimeter than the one given.
    """

    def __init__(
        self, path: Path | str, calorimeter: Calorimeter | None = None, *, pdg: int | None = None
    ) -> None:
        super().__init__(path)
        with ExitStack() as on_error:
            self._file = on_error.enter_context(opened(self.path))
            self._datasets: dict[str, h5py.Dataset] = {}
            self._require_deposits()
            self._require_header()
            self._calorimeter = self._find_calorimeter(calorimeter)
            self._require_cells()
            self._units = {
                name: stated_unit(self._file, self._dataset(name), self.path)
                for name in self._of_energy
            }
            self._pdg = self._stored_species(pdg)
            self.threshold = self._stated_threshold()
            """The threshold of the readout, in MeV; None where the file does not state it."""
            on_error.pop_all()

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""
        return self._calorimeter

    @property
    def particles(self) -> Particles:
        """The incident particles of all showers, read and checked without the deposits.

        Raises:
            ShowerValueError: An energy is not positive, or a number not finite.
            FileFormatError: The file is damaged there.
        """
        return self._particles(range(len(self)))

    @property
    def energies(self) -> Tensor:
        """The incident energies of all showers, in MeV, with shape (N), read and checked without
        the deposits.

        Raises:
            ShowerValueError: An energy is not positive or not finite.
            FileFormatError: The file is damaged there.
        """
        return self._read_energies(range(len(self)))

    @property
    def weights(self) -> Tensor | None:
        """The weights of all showers, with shape (N), read and checked without the deposits; None
        if the file has none.

        Raises:
            ShowerValueError: A weight is negative or not finite.
            FileFormatError: The file is damaged there.
        """
        return self._read_weights(range(len(self)))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the datasets that hold one number a shower, in alphabetical order."""
        return tuple(name for name in self._names if self._is_column(found(self._file, name)))

    @property
    def further(self) -> tuple[str, ...]:
        """The names of the columns of numbers beside those of particles and weights."""
        return tuple(
            name
            for name in self.columns
            if name not in RESERVED and self._file[name].dtype.kind in _NUMBERS
        )

    @property
    def carried_whole(self) -> tuple[str, ...]:
        """The names of the datasets that a copy of the whole file takes as they are stored: texts,
        several numbers a shower, tables of any length.
        """
        return tuple(name for name in self._beside if _stands_alone(found(self._file, name)))

    @property
    def uncarried(self) -> tuple[str, ...]:
        """The names of what else the file holds, which no copy of it will: groups, and what lies in
        other files.
        """
        carried = self.carried_whole
        return tuple(name for name in self._beside if name not in carried)

    def carry(self, to: h5py.File) -> None:
        """Copy what `carried_whole` names to another file.

        Raises:
            FileFormatError: The file is damaged there.
        """
        if self.carried_whole:
            require_heaps(self.path, whole=True)
        for name in self.carried_whole:
            with reading(self.path, name):
                to.copy(self._file[name], to, name)

    @property
    def _beside(self) -> list[str]:
        """The names of what is no column of numbers."""
        columns = (*RESERVED, *self.further)
        return [name for name in self._names if name not in columns]

    @property
    def _names(self) -> list[str]:
        """The names of what the file holds."""
        self._require_open()
        with reading(self.path):
            own = (DEPOSITS, GROUP, *HIT_DATASETS)
            return [name for name in self._file if name not in own]

    @property
    def attributes(self) -> dict[str, str]:
        """What the file says of itself, as text."""
        self._require_open()
        with reading(self.path):
            return {name: str(value) for name, value in self._file.attrs.items()}

    @property
    def provenance(self) -> dict[str, str]:
        """What the file says of where its showers come from, as text."""
        return {name: value for name, value in self.attributes.items() if name not in _OWN}

    def __len__(self) -> int:
        return int(self._dataset(DEPOSITS).shape[0])

    @property
    def _of_energy(self) -> tuple[str, ...]:
        """The datasets that hold energies."""
        return ENERGIES, DEPOSITS

    @property
    def _n_cells(self) -> int | None:
        """The number of cells, where the datasets say it."""
        return int(self._dataset(DEPOSITS).shape[1])

    def extra(self, index: slice) -> dict[str, Tensor]:
        """The columns of numbers beside those of particles and weights, in a slice.

        Raises:
            FileFormatError: The file is damaged there.
        """
        rows = range(len(self))[index]
        return {name: torch.from_numpy(self._values(name, rows)) for name in self.further}

    def column(self, name: str) -> Shaped[Tensor, " showers"]:
        """One number of every shower, such as ``cpu_time_ms``, in the type in which it is stored.

        Raises:
            FileFormatError: There is no such dataset, its length is not that of the showers, or it
                is damaged.
        """
        self._require_column(name)
        return torch.from_numpy(self._values(name, range(len(self))))

    def close(self) -> None:
        """Close the file; nothing can be read from it afterwards."""
        self._datasets.clear()
        self._file.close()

    def _require_open(self) -> None:
        if not self._file:
            msg = f"{self.path}: the file has been closed: open it again"
            raise FileFormatError(msg)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.path, self._calorimeter, pdg=self._pdg), ()

    def __enter__(self) -> "CaloChallengeFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, rows: range) -> Showers:
        showers = self._unchecked(rows)
        require_deposits(showers.deposits, f"{self.path}: dataset '{DEPOSITS}'", rows)
        return showers

    def _unchecked(self, rows: range) -> Showers:
        with reading(self.path, DEPOSITS):
            deposits = float32(self._dataset(DEPOSITS)[rows.start : rows.stop : rows.step])
        return Showers(
            self._in_mev(deposits, DEPOSITS),
            self._particles(rows),
            self._calorimeter,
            self._read_weights(rows),
            self.threshold,
        )

    def _read_energies(self, rows: range) -> Float[Tensor, " showers"]:
        energies = self._in_mev(float32(self._values(ENERGIES, rows)), ENERGIES)
        require_energies(energies, f"{self.path}: dataset '{ENERGIES}'", rows)
        return energies

    def _in_mev(self, energies: Tensor, name: str) -> Tensor:
        """The energies of a dataset, in MeV."""
        unit = self._units[name]
        return energies if unit == MeV else energies * unit

    def _read_species(self, rows: range) -> Species:
        if PDG not in self._file:
            return self._pdg
        pdg = self._values(PDG, rows)
        require_species(pdg, f"{self.path}: dataset '{PDG}'", rows)
        return torch.from_numpy(pdg.astype(np.int64))

    def _read_finite(self, name: str, rows: range) -> Float[Tensor, " showers"] | None:
        if name not in self._file:
            return None
        values = float32(self._values(name, rows))
        where, most = f"{self.path}: dataset '{name}'", _LARGEST.get(name)
        if most is None:
            require_finite(values, where, rows)
        else:
            require_angles(values, where, rows, -most, most)
        return values

    def _read_weights(self, rows: range) -> Float[Tensor, " showers"] | None:
        if WEIGHTS not in self._file:
            return None
        weights = float32(self._values(WEIGHTS, rows))
        require_weights(weights, f"{self.path}: dataset '{WEIGHTS}'", rows)
        return weights

    def _particles(self, rows: range) -> Particles:
        energies = self._read_energies(rows)
        theta, phi, x, y = (self._read_finite(name, rows) for name in GEOMETRY)
        present = [values for values in (x, y) if values is not None]
        place = torch.stack(present, dim=1) if present else None
        return Particles(energies, self._read_species(rows), theta, phi, place)

    def _values(self, name: str, rows: range) -> Shaped[np.ndarray, " showers"]:
        with reading(self.path, name):
            values: np.ndarray = self._dataset(name)[rows.start : rows.stop : rows.step]
        return native(values).reshape(-1)

    def _dataset(self, name: str) -> h5py.Dataset:
        """A dataset of numbers; it stays open, with its cache, as long as the file does."""
        if name not in self._datasets:
            self._require_open()
            self._datasets[name] = self._found(name)
        return self._datasets[name]

    def _found(self, name: str) -> h5py.Dataset:
        there = stored(self._file, name, self.path)
        if not _is_numbers(there):
            what = "is missing" if there is None else f"is not a dataset of numbers but {there!r}"
            with reading(self.path):
                names = ", ".join(f"'{other}'" for other in self._file) or "none"
            cut = names if len(names) <= MOST_QUOTED else f"{names[:MOST_QUOTED]}..."
            msg = (
                f"{self.path}: dataset '{name}' {what}; the file has {cut}, expected at least "
                f"'{ENERGIES}' (N, 1) and {self._expected}"
            )
            raise FileFormatError(msg)
        return there

    @property
    def _expected(self) -> str:
        sparse = "the file is sparse: open it by caloforge.io.open_showers, or as a HitFile"
        remedy = sparse if OFFSETS in self._file else "rename the datasets or check the path"
        return f"'{DEPOSITS}' (N, cells): {remedy}"

    def _is_column(self, entry: object) -> bool:
        shapes = {(len(self),), (len(self), 1)}
        return isinstance(entry, h5py.Dataset) and entry.shape in shapes

    def _require_deposits(self) -> None:
        """Check the datasets of the deposits, without reading them."""
        shape = self._dataset(DEPOSITS).shape
        if len(shape) != 2:
            msg = (
                f"{self.path}: dataset '{DEPOSITS}' has shape {shape}, expected "
                "(N, cells): flatten the cells"
            )
            raise FileFormatError(msg)

    def _require_header(self) -> None:
        self._require_column(ENERGIES)
        for name in (name for name in RESERVED if name in self._file):
            self._require_column(name)
        if sum(name in self._file for name in PLACE) == 1:
            msg = f"{self.path}: one of {' and '.join(PLACE)} is missing, expected both or none"
            raise FileFormatError(msg)

    def _require_column(self, name: str) -> None:
        dataset = self._dataset(name)
        if not self._is_column(dataset):
            shape = dataset.shape
            msg = (
                f"{self.path}: dataset '{name}' has shape {shape}, expected ({len(self)}, 1) or "
                f"({len(self)},), "
                f"one row for each of the {len(self)} showers: write the file again"
            )
            raise FileFormatError(msg)

    def _attribute(self, name: str) -> object:
        """What an attribute holds; None where there is none."""
        with reading(self.path):
            return self._file.attrs.get(name)

    def _stored_species(self, given: int | None) -> int | None:
        said = self._attribute(PDG)
        try:
            return given if said is None else species_of(said)
        except ShowerValueError as error:
            msg = f"{self.path}: attribute '{PDG}': {error}"
            raise FileFormatError(msg) from error

    def _find_calorimeter(self, given: Calorimeter | None) -> Calorimeter:
        said = described(self._file, self.path, known=given is not None)
        if said is None:
            return self._calorimeter_by_size() if given is None else given
        if given is not None:
            given.require(said, f"file {self.path}")
        return said

    def _stated_threshold(self) -> float | None:
        stated = self._attribute(THRESHOLD)
        if stated is None:
            return None
        if not isinstance(stated, np.floating) or not 0 <= stated < math.inf:
            msg = (
                f"{self.path}: attribute '{THRESHOLD}' is {stated!r}, expected a number of at "
                "least 0, in MeV: write the file again"
            )
            raise FileFormatError(msg)
        return float(stated)

    def _calorimeter_by_size(self) -> Calorimeter:
        n_cells, known = self._n_cells, named_calorimeters()
        fitting = [calorimeter for calorimeter in known.values() if calorimeter.n_cells == n_cells]
        if len(fitting) != 1:
            sizes = ", ".join(
                f"'{name}' ({calorimeter.n_cells} cells)" for name, calorimeter in known.items()
            )
            msg = (
                f"{self.path}: dataset '{DEPOSITS}' has {n_cells} cells, the file has no "
                "attribute 'calorimeter', "
                f"and the number does not single out one of {sizes}: say where the "
                "cells are (--calorimeter), by a binning XML or a grid, 8x5x7:zyx:10mm,10mm,5mm"
            )
            raise FileFormatError(msg)
        return fitting[0]

    def _require_cells(self) -> None:
        found, expected = self._n_cells, self._calorimeter.n_cells
        if found is not None and found != expected:
            msg = (
                f"{self.path}: dataset '{DEPOSITS}' has {found} cells, expected {expected} of "
                "calorimeter "
                f"'{self._calorimeter.name}': give the calorimeter that the showers were made with"
            )
            raise FileFormatError(msg)


def _stands_alone(found: object) -> bool:
    """Whether it is a dataset all of which is in its file, of values that say nothing of others."""
    with suppress(*HDF5):
        if isinstance(found, h5py.Dataset):
            refers = h5py.check_ref_dtype(found.dtype) is not None
            return not (found.is_virtual or found.external or refers)
    return False


def _is_numbers(found: object) -> TypeGuard[h5py.Dataset]:
    return (
        isinstance(found, h5py.Dataset) and found.dtype.kind in _NUMBERS and found.shape is not None
    )


def native(values: np.ndarray) -> np.ndarray:
    """The numbers in this machine's order of bytes, of at most double precision."""
    wide = values.dtype.itemsize > _WIDEST
    return values.astype(np.float64 if wide else values.dtype.newbyteorder("="), copy=False)


def float32(values: np.ndarray) -> Tensor:
    """Deposits too large for float32 become infinite, for the checks of values to find."""
    with np.errstate(over="ignore"):
        return torch.from_numpy(values.astype(np.float32))
