r"""CaloChallenge HDF5: showers of any calorimeter, one row a shower.

========================= =========================== ==============================================
dataset                   shape                       contents
========================= =========================== ==============================================
``showers``               :math:`(N, n_\text{cells})` deposits in MeV, cells in flat order
``incident_energies``     :math:`(N, 1)` or (N)       incident energies in MeV
``incident_theta, _phi``  the same, optional          polar and azimuthal angles, in radians; 0
``incident_x, _y``        the same, optional          place on the front face, in mm; the centre
``pdg``                   the same, optional          species, as PDG numbers
``weights``               the same, optional          finite and at least 0; 1 each without it
any other                 the same, optional          a number a shower, such as ``cpu_time_ms``
========================= =========================== ==============================================

The published files do not say which calorimeter they belong to. Files written here do, in the
attribute ``calorimeter``: the JSON of `Calorimeter.describe`. The attribute ``pdg`` holds the
species where all particles are of one: a PDG number, or a name such as 'e-'. Without it and without
the column, the species is not known. ``threshold`` is that of the readout, in MeV, where it is
known.

Where few cells are lit, `caloforge.io.sparse` writes the hits alone.

Deposits are written as float32 in blocks of some 400 kB, shuffled and deflated at level 4. Measured
on Geant4 showers in 100 crystals: 17 microseconds a shower to write and 3 to read, at 77 % of the
raw size; level 7 saves 1 % more and costs 2.5 times as much; in 6,480 voxels, most of them empty:
0.4 ms, 0.1 ms and 17 %; level 1 takes 0.26 ms and 10 % more space. A block fits the cache of the
HDF5 library (1 MiB), so that reading showers one by one does not unpack it again for each.
"""

__all__ = [
    "CELLS",
    "DEPOSITS",
    "HIT_DATASETS",
    "HIT_ENERGIES",
    "OFFSETS",
    "TIMES",
    "CaloChallengeFile",
    "CaloChallengeWriter",
    "extend",
    "float32",
    "reading",
    "rows_of_block",
]

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from caloforge.errors import FileFormatError, GeometryError, OutputError, ShowerValueError
from caloforge.geometry import Calorimeter, named_calorimeters
from caloforge.hits import AnyShowers, Hits
from caloforge.io.columns import (
    ENERGIES,
    GEOMETRY,
    PDG,
    PLACE,
    RESERVED,
    WEIGHTS,
    columns_of,
    species_of,
)
from caloforge.io.input import (
    ShowerFile,
    require_deposits,
    require_energies,
    require_finite,
    require_species,
    require_weights,
)
from caloforge.io.output import NewFile
from caloforge.particles import Particles, Species
from caloforge.showers import Showers

_NUMBERS = "fiub"
"""The kinds of types that are numbers."""

_BLOCK_BYTES = 400_000
_BLOCK_ROWS = 4096
_DEFLATE = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
DEPOSITS = "showers"
"""The dataset of dense showers."""

OFFSETS, CELLS, HIT_ENERGIES, TIMES = "hit_offsets", "hit_cells", "hit_energies", "hit_times"
HIT_DATASETS = (OFFSETS, CELLS, HIT_ENERGIES, TIMES)
"""The datasets of sparse showers, see `caloforge.io.sparse`."""

_THRESHOLD = "threshold"
_TAKEN = (*RESERVED, DEPOSITS, *HIT_DATASETS)
_OWN = ("calorimeter", "units", "software", "layout", PDG, _THRESHOLD)
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
            self._file = on_error.enter_context(_opened(self.path))
            self._require_deposits()
            self._require_header()
            self._calorimeter = self._find_calorimeter(calorimeter)
            self._require_cells()
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
        return tuple(
            name
            for name in self._file
            if isinstance(self._file[name], h5py.Dataset) and self._is_column(name)
        )

    @property
    def attributes(self) -> dict[str, str]:
        """What the file says of itself, as text."""
        return {name: str(value) for name, value in self._file.attrs.items()}

    @property
    def provenance(self) -> dict[str, str]:
        """What the file says of where its showers come from, as text."""
        return {name: value for name, value in self.attributes.items() if name not in _OWN}

    def __len__(self) -> int:
        return int(self._file[DEPOSITS].shape[0])

    @property
    def _n_cells(self) -> int | None:
        """The number of cells, where the datasets say it."""
        return int(self._file[DEPOSITS].shape[1])

    def extra(self, index: slice) -> dict[str, Tensor]:
        """The columns of numbers beside those of particles and weights, in a slice.

        Raises:
            FileFormatError: The file is damaged there.
        """
        rows = range(len(self))[index]
        names = [name for name in self.columns if name not in RESERVED]
        return {
            name: torch.from_numpy(self._values(name, rows))
            for name in names
            if self._file[name].dtype.kind in _NUMBERS
        }

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
        self._file.close()

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
        with reading(self.path, DEPOSITS):
            deposits = float32(self._file[DEPOSITS][rows.start : rows.stop : rows.step])
        require_deposits(deposits, f"{self.path}: dataset '{DEPOSITS}'", rows)
        return Showers(
            deposits,
            self._particles(rows),
            self._calorimeter,
            self._read_weights(rows),
            self.threshold,
        )

    def _read_energies(self, rows: range) -> Float[Tensor, " showers"]:
        energies = float32(self._values(ENERGIES, rows))
        require_energies(energies, f"{self.path}: dataset '{ENERGIES}'", rows)
        return energies

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
        require_finite(values, f"{self.path}: dataset '{name}'", rows)
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
            values: np.ndarray = self._file[name][rows.start : rows.stop : rows.step]
        return values.astype(values.dtype.newbyteorder("="), copy=False).reshape(-1)

    def _dataset(self, name: str) -> h5py.Dataset:
        found = self._file.get(name)
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in _NUMBERS:
            what = "is missing" if found is None else f"is not a dataset of numbers but {found!r}"
            names = ", ".join(f"'{other}'" for other in self._file) or "none"
            msg = (
                f"{self.path}: dataset '{name}' {what}; the file has {names}, expected at least "
                f"'{ENERGIES}' (N, 1) and {self._expected}"
            )
            raise FileFormatError(msg)
        return found

    @property
    def _expected(self) -> str:
        sparse = "the file is sparse: open it by caloforge.io.open_showers, or as a HitFile"
        remedy = sparse if OFFSETS in self._file else "rename the datasets or check the path"
        return f"'{DEPOSITS}' (N, cells): {remedy}"

    def _is_column(self, name: str) -> bool:
        shape = self._file[name].shape
        return shape in {(len(self),), (len(self), 1)} and name not in (DEPOSITS, *HIT_DATASETS)

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
        shape = self._dataset(name).shape
        if not self._is_column(name):
            msg = (
                f"{self.path}: dataset '{name}' has shape {shape}, expected ({len(self)}, 1) or "
                f"({len(self)},), "
                f"one row for each of the {len(self)} showers: write the file again"
            )
            raise FileFormatError(msg)

    def _stored_species(self, given: int | None) -> int | None:
        stored = self._file.attrs.get(PDG)
        try:
            return given if stored is None else species_of(stored)
        except ShowerValueError as error:
            msg = f"{self.path}: attribute '{PDG}': {error}"
            raise FileFormatError(msg) from error

    def _find_calorimeter(self, given: Calorimeter | None) -> Calorimeter:
        stored = self._stored_calorimeter()
        if stored is None:
            return self._calorimeter_by_size() if given is None else given
        if given is not None:
            given.require(stored, f"file {self.path}")
        return stored

    def _stored_calorimeter(self) -> Calorimeter | None:
        text = self._file.attrs.get("calorimeter")
        if text is None:
            return None
        try:
            description = json.loads(text)
            return Calorimeter.from_description(
                description if isinstance(description, dict) else {}
            )
        except (TypeError, ValueError, GeometryError) as error:
            msg = (
                f"{self.path}: attribute 'calorimeter': {error}; expected JSON of "
                "Calorimeter.describe(): write the file again"
            )
            raise FileFormatError(msg) from error

    def _stated_threshold(self) -> float | None:
        stated = self._file.attrs.get(_THRESHOLD)
        if stated is None:
            return None
        if not isinstance(stated, np.floating) or not 0 <= stated < math.inf:
            msg = (
                f"{self.path}: attribute '{_THRESHOLD}' is {stated!r}, expected a number of at "
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
                f"and the number does not single out one of {sizes}: give the calorimeter, for "
                "instance from its binning XML"
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


class CaloChallengeWriter:
    """A CaloChallenge file to be written, as a context manager; it appears when all has gone well,
    whole or not at all.

    Arguments:
        path: The file.
        calorimeter: The calorimeter of all showers that will be appended.
        overwrite: Whether the file may take the place of one that is there.
        attributes: What else the file shall say of itself, such as the generator and its seed.

    Raises:
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: The file cannot be written there.

    Example:
        >>> from caloforge import zoo
        >>> source = zoo.bundled_showers("pbwo4-geant4")[:100]
        >>> with CaloChallengeWriter("out.h5", source.calorimeter) as writer:
        ...     for batch in source.batches(50):
        ...         writer.append(batch)
    """

    def __init__(
        self,
        path: Path | str,
        calorimeter: Calorimeter,
        *,
        overwrite: bool = False,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.calorimeter = calorimeter
        self._attributes = dict(attributes or {})
        self._output = NewFile(path, overwrite=overwrite)
        self._file: h5py.File | None = None
        self._declared = False
        self._open = ExitStack()

    def __enter__(self) -> "CaloChallengeWriter":
        with ExitStack() as stack:
            partial = stack.enter_context(self._output)
            self._file = stack.enter_context(h5py.File(partial, "x"))
            self._write_header(self._file)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file = None
        self._open.__exit__(kind, error, trace)

    def append(self, showers: AnyShowers, extra: Mapping[str, Tensor] | None = None) -> None:
        """Write more showers.

        Arguments:
            showers: The showers, or their hits, on any device.
            extra: More numbers, one a shower, with shape (N); the same names each time.

        Raises:
            GeometryMismatchError: The showers are of another calorimeter.
            ShowerValueError: A value is not physical, or the species, the columns or a length are
                not what they were or must be.
            OutputError: The writer is not open, or some batches have weights and others have none.
        """
        file = self._require_open()
        self.calorimeter.require(showers.calorimeter, f"a batch for {self.path}")
        showers, start = self._laid_out(showers), len(file[ENERGIES])
        self._require_values(showers, range(start, start + len(showers)))
        columns = self._columns(showers, extra or {})
        if not self._declared:
            _declare(file, showers, columns)
            self._declared = True
        elif file.attrs.get(_THRESHOLD) != showers.threshold:
            file.attrs.pop(_THRESHOLD, None)
        if PDG in file and len(showers.particles.species) == 1:
            columns[PDG] = torch.full((len(showers),), showers.particles.species[0])
        self._require_same(file, showers.particles, columns)
        self._extend_deposits(file, showers)
        for name, values in columns.items():
            extend(file[name], values[:, None])

    def _laid_out(self, showers: AnyShowers) -> AnyShowers:
        """The showers as they are stored: dense."""
        return _dense(showers)

    def _create_deposits(self, file: h5py.File) -> None:
        _create(file, DEPOSITS, self.calorimeter.n_cells, np.dtype(np.float32))

    def _require_deposits(self, showers: AnyShowers, where: str, rows: range) -> None:
        require_deposits(_dense(showers).deposits.to(torch.float32), where, rows)

    def _extend_deposits(self, file: h5py.File, showers: AnyShowers) -> None:
        extend(file[DEPOSITS], _dense(showers).deposits)

    def _require_open(self) -> h5py.File:
        if self._file is None:
            msg = f"{self.path}: not open for writing: use the writer in a with statement"
            raise OutputError(msg)
        return self._file

    def _write_header(self, file: h5py.File) -> None:
        description = json.dumps(self.calorimeter.describe())
        own = {
            "calorimeter": description,
            "units": "MeV",
            "software": f"caloforge {version('caloforge')}",
        }
        file.attrs.update(self._attributes | own)
        self._create_deposits(file)
        _create(file, ENERGIES, 1, np.dtype(np.float32))

    def _require_values(self, showers: AnyShowers, rows: range) -> None:
        self._require_deposits(showers, f"{self.path}: not written", rows)
        require_energies(showers.energies.to(torch.float32), f"{self.path}: not written", rows)
        if showers.weights is not None:
            require_weights(showers.weights.to(torch.float32), f"{self.path}: not written", rows)

    def _columns(self, showers: AnyShowers, extra: Mapping[str, Tensor]) -> dict[str, Tensor]:
        for name, values in extra.items():
            if values.shape != (len(showers),) or name in _TAKEN:
                msg = (
                    f"{self.path}: extra column '{name}' has shape {tuple(values.shape)}, "
                    f"expected ({len(showers)},), "
                    f"one number a shower, under a name other than {', '.join(_TAKEN)}"
                )
                raise ShowerValueError(msg)
        return columns_of(showers.particles, showers.weights) | dict(extra)

    def _require_same(
        self, file: h5py.File, particles: Particles, columns: Mapping[str, Tensor]
    ) -> None:
        if (WEIGHTS in columns) != (WEIGHTS in file):
            now, before = ("with", "without") if WEIGHTS in columns else ("without", "with")
            msg = (
                f"{self.path}: a batch {now} weights after batches {before}: a file is weighted "
                "as a whole or not at all: "
                "give the other showers weights of 1, or write different samples to different "
                "files"
            )
            raise OutputError(msg)
        stored = file.attrs.get(PDG)
        one = () if stored is None else (int(stored),)
        expected = sorted(set(file) - {DEPOSITS, *HIT_DATASETS})
        found = sorted(columns)
        if found != expected or not (PDG in file or set(particles.species) == set(one)):
            msg = (
                f"{self.path}: a batch of {_words(particles.species)} with columns "
                f"{', '.join(found)}, expected {'any species' if PDG in file else _words(one)} "
                f"with columns {', '.join(expected)} as in the batches before: write different "
                "samples to different files"
            )
            raise ShowerValueError(msg)


def _opened(path: Path) -> h5py.File:
    with reading(path):
        return h5py.File(path, "r")


@contextmanager
def reading(path: Path, dataset: str | None = None) -> Iterator[None]:
    """Turn what the HDF5 library says of a damaged file into one line."""
    try:
        yield
    except OSError as error:
        where = f"{path}: dataset '{dataset}'" if dataset else f"{path}"
        reason = " ".join(str(error).split())
        msg = (
            f"{where}: not readable as HDF5, truncated or damaged ({reason}): expected a whole "
            "CaloChallenge file: copy it again"
        )
        raise FileFormatError(msg) from error


def float32(values: np.ndarray) -> Tensor:
    """Deposits too large for float32 become infinite, for the checks of values to find."""
    with np.errstate(over="ignore"):
        return torch.from_numpy(values.astype(np.float32))


def rows_of_block(width: int) -> int:
    """How many rows of so many bytes are compressed together."""
    return max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // width))


def _create(file: h5py.File, name: str, width: int, dtype: np.dtype[Any]) -> None:
    rows = rows_of_block(width * dtype.itemsize)
    file.create_dataset(
        name, (0, width), dtype, maxshape=(None, width), chunks=(rows, width), **_DEFLATE
    )


def _words(species: tuple[int, ...]) -> str:
    return f"species {', '.join(map(str, species))}" if species else "unknown species"


def _dense(showers: AnyShowers) -> Showers:
    return showers.to_showers() if isinstance(showers, Hits) else showers


def _declare(file: h5py.File, showers: AnyShowers, columns: Mapping[str, Tensor]) -> None:
    """What the first batch settles for the whole file; the threshold stays if it is that of all."""
    if isinstance(showers.particles.pdg, int):
        file.attrs[PDG] = showers.particles.pdg
    if showers.threshold is not None:
        file.attrs[_THRESHOLD] = showers.threshold
    for name in sorted(columns.keys() - {ENERGIES}):
        _create(file, name, 1, columns[name].detach().cpu().numpy().dtype)


def extend(dataset: h5py.Dataset, rows: Tensor) -> None:
    """Write more rows behind those that are there."""
    start = len(dataset)
    dataset.resize(start + len(rows), axis=0)
    dataset[start:] = rows.detach().cpu().numpy()
