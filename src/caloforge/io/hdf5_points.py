"""What the layouts of points in HDF5 have in common: how datasets are read, and what a file says of
itself in the attributes of `caloforge.io.calochallenge`.
"""

__all__ = ["Hdf5Points", "state", "write_beside"]

from abc import abstractmethod
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from caloforge.errors import FileFormatError
from caloforge.geometry import Calorimeter
from caloforge.io.calochallenge import native
from caloforge.io.cell_tables import GROUP, described, state_calorimeter
from caloforge.io.columns import PLACE, THRESHOLD, UNITS, WEIGHTS, columns_of
from caloforge.io.input import ShowerFile, require_weights
from caloforge.io.point_files import PointFile
from caloforge.io.stored import opened, reading, stated_unit, stored
from caloforge.showers import ShowerSource

_OWN = (GROUP, UNITS, THRESHOLD, "software", "layout")


class Hdf5Points(PointFile):
    """A file of points in HDF5.

    Arguments:
        path: The file.
        calorimeter: Where the cells are, for a file that does not say so itself.
        pdg: The species of the particles, where the file does not know it.

    Raises:
        FileFormatError: The file is missing, truncated, not HDF5, lacks a dataset, or shapes do not
            fit each other, or no calorimeter is known.
        GeometryMismatchError: The file says another calorimeter than the one given.
    """

    def __init__(
        self, path: Path | str, calorimeter: Calorimeter | None = None, *, pdg: int | None = None
    ) -> None:
        super().__init__(path)
        self._pdg = pdg
        with ExitStack() as on_error:
            self._file = on_error.enter_context(opened(self.path))
            self._datasets: dict[str, h5py.Dataset] = {}
            self._units: dict[str, float] = {}
            said = described(self._file, self.path, known=calorimeter is not None)
            self._says_cells = said is not None
            unsaid = "holds points and does not say in which cells"
            self._calorimeter = self._settled(calorimeter, said, unsaid)
            with reading(self.path):
                stated = self._file.attrs.get(THRESHOLD)
            self.threshold = None if stated is None else float(stated)
            self._look_through()
            on_error.pop_all()

    @abstractmethod
    def _look_through(self) -> None:
        """Check the datasets, without reading the points."""

    @property
    def provenance(self) -> dict[str, str]:
        """What the file says of where its showers come from, as text."""
        with reading(self.path):
            said = {name: str(value) for name, value in self._file.attrs.items()}
        return {name: text for name, text in said.items() if name not in _OWN}

    def close(self) -> None:
        """Close the file; nothing can be read from it afterwards."""
        self._datasets.clear()
        self._file.close()

    def _dataset(self, name: str) -> h5py.Dataset:
        """A dataset of numbers; it stays open as long as the file does."""
        if name not in self._datasets:
            found = stored(self._file, name, self.path)
            if not isinstance(found, h5py.Dataset) or found.shape is None:
                with reading(self.path):
                    names = ", ".join(f"'{other}'" for other in self._file)
                msg = f"{self.path}: dataset '{name}' is missing; the file has {names[:80]}"
                raise FileFormatError(msg)
            self._datasets[name] = found
        return self._datasets[name]

    def _values(self, name: str, start: int, stop: int) -> np.ndarray:
        with reading(self.path, name):
            return native(self._dataset(name)[start:stop])

    def _unit(self, name: str, usual: str) -> float:
        """The unit of the energies of a dataset, in MeV."""
        if name not in self._units:
            dataset = self._dataset(name)
            self._units[name] = stated_unit(self._file, dataset, self.path, usual=usual)
        return self._units[name]

    def _energy(self, name: str, start: int, stop: int, usual: str) -> Tensor:
        """Energies of a dataset in MeV, float64, with one axis."""
        values = self._values(name, start, stop).astype(np.float64)
        return torch.from_numpy(values.reshape(-1)) * self._unit(name, usual)

    def _require_length(self, name: str, rows: int, width: int | None = None) -> None:
        shape = self._dataset(name).shape
        fitting = {(rows,), (rows, 1)} if width is None else {(rows, width)}
        if shape not in fitting:
            expected = " or ".join(str(one) for one in sorted(fitting))
            msg = f"{self.path}: dataset '{name}' has shape {shape}, expected {expected}"
            raise FileFormatError(msg)

    def _place(self, rows: range) -> dict[str, Tensor]:
        """The places of the particles that files written here hold."""
        if PLACE[0] not in self._file:
            return {}
        pair = [self._values(name, rows.start, rows.stop).reshape(-1) for name in PLACE]
        return {"place": torch.from_numpy(np.stack(pair, axis=1).astype(np.float32))}

    def _read_weights(self, rows: range) -> Tensor | None:
        if WEIGHTS not in self._file:
            return None
        values = self._values(WEIGHTS, rows.start, rows.stop).reshape(-1)
        weights = torch.from_numpy(values.astype(np.float32))
        require_weights(weights, f"{self.path}: dataset '{WEIGHTS}'", rows)
        return weights


def state(file: h5py.File, source: ShowerSource, threshold: float | None) -> None:
    """Write what a file says of itself.

    Arguments:
        file: The file.
        source: The showers.
        threshold: That of their readout, in MeV, where it is known.
    """
    origin = source.provenance if isinstance(source, ShowerFile) else {}
    file.attrs.update({**origin, "software": f"caloforge {version('caloforge')}"})
    state_calorimeter(file, source.calorimeter)
    if threshold is not None:
        file.attrs[THRESHOLD] = threshold


def write_beside(file: h5py.File, source: ShowerSource, *names: str) -> None:
    """Write columns for which a layout of others has no room, where there is something in them."""
    columns = columns_of(source.particles, source.weights)
    for name in (name for name in names if name in columns):
        file.create_dataset(name, data=columns[name].numpy(force=True))
