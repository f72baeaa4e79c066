"""step2point HDF5: the steps of a simulation, or points merged from them, one row each.

- ``steps/event_id``, ascending, ``steps/energy`` in GeV, ``steps/position`` (x, y, z) in mm, and
  maybe ``steps/time`` in ns and ``steps/cell_id``, which is the number of the cell in files that
  state the calorimeter;
- ``primary/event_id``, ascending, ``primary/pdg``, ``primary/momentum`` in GeV, and
  ``primary/vertex``, where the particle begins, in mm: a row an event.

An attribute ``units`` of a dataset says another unit of energies. Incident energies are kinetic
ones, as those of the gun. A particle flies straight from its vertex to the front face, z = 0.
"""

__all__ = ["Step2PointFile", "is_step2point", "write_step2point"]

from collections.abc import Callable, Collection
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from caloforge.errors import FileFormatError
from caloforge.hits import Hits
from caloforge.io.columns import UNITS, WEIGHTS
from caloforge.io.hdf5_points import Hdf5Points, state, write_beside
from caloforge.io.input import require_species
from caloforge.io.output import NewFile, NewHdf5, held_back
from caloforge.io.point_files import Cloud, hit_batches, points_of, require_places
from caloforge.io.primaries import from_momenta, momenta_of, species_in
from caloforge.io.writer import extend
from caloforge.particles import Particles
from caloforge.showers import ShowerSource, common_threshold
from caloforge.units import GeV

_EVENT, _ENERGY, _POSITION, _TIME, _CELL = (
    f"steps/{name}" for name in ("event_id", "energy", "position", "time", "cell_id")
)
_EVENTS, _PDG, _MOMENTUM, _VERTEX = (
    f"primary/{name}" for name in ("event_id", "pdg", "momentum", "vertex")
)
_AT_A_TIME = 1 << 22
_BLOCK = 100_000
_DEFLATE = {"compression": "gzip", "compression_opts": 4, "shuffle": True}


class Step2PointFile(Hdf5Points):
    """A file of step2point; see `Hdf5Points`."""

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def _look_through(self) -> None:
        if "primary" not in self._file:
            msg = (
                f"{self.path}: group 'primary' is missing: the incident energies are not known; "
                "write it with the particles of the events"
            )
            raise FileFormatError(msg)
        points, events = len(self._dataset(_EVENT)), len(self._dataset(_EVENTS))
        self._says_cells &= _CELL in self._file
        given = [(name, None) for name in (_TIME, _CELL) if name in self._file]
        for name, width in ((_ENERGY, None), (_POSITION, 3), *given):
            self._require_length(name, points, width)
        for name, width in ((_PDG, None), (_MOMENTUM, 3), (_VERTEX, 3)):
            self._require_length(name, events, width)
        self._says_species = bool(self._values(_PDG, 0, 1).any())
        self._offsets = self._found_offsets(points, events)

    def _found_offsets(self, points: int, events: int) -> Tensor:
        """The first point of each event, looked for a piece of the file at a time."""
        known = self._values(_EVENTS, 0, events).reshape(-1)
        self._require_rising(known, _EVENTS, strictly=True)
        number, last = np.zeros(events + 1, np.int64), -np.inf
        for start in range(0, points, _AT_A_TIME):
            found = self._values(_EVENT, start, start + _AT_A_TIME).reshape(-1)
            self._require_rising(np.concatenate([[last], found]), _EVENT, strictly=False)
            last = found[-1]
            place = np.searchsorted(known, found)
            missing = (
                known[place.clip(max=max(events - 1, 0))] != found if events else found == found
            )
            if missing.any():
                msg = (
                    f"{self.path}: '{_EVENT}' has event {found[missing][0]}, which '{_EVENTS}' "
                    "does not list: its incident energy is not known"
                )
                raise FileFormatError(msg)
            number[1:] += np.bincount(place, minlength=events)
        return torch.from_numpy(number.cumsum())

    def _require_rising(self, numbers: np.ndarray, name: str, *, strictly: bool) -> None:
        steps = np.diff(numbers)
        bad = steps <= 0 if strictly else steps < 0
        if bad.any():
            msg = (
                f"{self.path}: '{name}' does not ascend, {numbers[1:][bad][0]:g} comes after "
                f"{numbers[:-1][bad][0]:g}: sort the rows by event, so that they can be read in "
                "batches"
            )
            raise FileFormatError(msg)

    def _cloud(self, rows: range) -> Cloud:
        offsets = self._offsets[rows.start : rows.stop + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        place = torch.from_numpy(self._values(_POSITION, first, last).astype(np.float32))
        given = {"times": _TIME, "cells": _CELL}
        kinds = {"times": np.float32, "cells": np.int64}
        more = {
            key: torch.from_numpy(self._values(name, first, last).reshape(-1).astype(kinds[key]))
            for key, name in given.items()
            if name in self._file
        }
        energies = self._energy(_ENERGY, first, last, "GeV").float()
        return Cloud(offsets - first, energies, *place.unbind(dim=1), **more)

    def _particles(self, rows: range) -> Particles:
        pdg = self._values(_PDG, rows.start, rows.stop).reshape(-1)
        require_species(pdg, f"{self.path}: '{_PDG}'", rows)
        momentum, vertex = (
            torch.from_numpy(self._values(name, rows.start, rows.stop).astype(np.float64))
            for name in (_MOMENTUM, _VERTEX)
        )
        species = species_in(pdg) if self._says_species else self._pdg
        momentum *= self._unit(_MOMENTUM, "GeV")
        given = from_momenta(momentum, vertex, species, f"{self.path}: '{_MOMENTUM}'")
        energies, places = f"{self.path}: incident energies", f"{self.path}: places of particles"
        return self._checked(given, energies, places, rows)


def is_step2point(names: Collection[str]) -> bool:
    """Whether the names in a file of HDF5 are those of step2point."""
    return "steps" in names


def write_step2point(
    path: Path | str,
    source: ShowerSource,
    *,
    batch_size: int = 1000,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write showers in the layout of step2point: their hits, as points at the centres of the cells.

    Arguments:
        path: The file.
        source: The showers.
        batch_size: How many showers are in memory at a time.
        overwrite: Whether the file may take the place of one that is there.
        progress: Called with the number of each batch that is written.

    Raises:
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: The file cannot be written there, or the places of the cells are not known.
        ShowerValueError: A value is not physical.
    """
    require_places(path, source.calorimeter, depth=True)
    thresholds: list[float | None] = []
    with NewFile(path, overwrite=overwrite) as partial, NewHdf5(partial) as file:
        for span, hits, _ in hit_batches(source, batch_size, f"{path}: not written"):
            columns = _columns(hits, span.start)
            if not thresholds:
                _create(file, columns)
            thresholds.append(hits.threshold)
            with held_back():
                for name, values in columns.items():
                    extend(file[name], values)
            progress(len(hits))
        _write_particles(file, source)
        state(file, source, common_threshold(thresholds))


def _columns(hits: Hits, first: int) -> dict[str, Tensor]:
    """The rows of hits, energies in double precision: they come back to the same single one."""
    place = points_of(hits)
    columns = {
        _EVENT: (hits.shower_of_hit + first).int(),
        _ENERGY: hits.hit_energies.double() / GeV,
        _POSITION: torch.stack([place[name] for name in "xyz"], dim=1),
        _CELL: hits.cells,
    }
    return columns if hits.times is None else columns | {_TIME: hits.times}


def _create(file: h5py.File, columns: dict[str, Tensor]) -> None:
    for name, values in columns.items():
        each, kind = tuple(values.shape[1:]), values.numpy().dtype
        whole = np.dtype(np.uint64) if name == _CELL else kind
        file.create_dataset(
            name, (0, *each), whole, maxshape=(None, *each), chunks=(_BLOCK, *each), **_DEFLATE
        )
    file[_ENERGY].attrs[UNITS] = "GeV"


def _write_particles(file: h5py.File, source: ShowerSource) -> None:
    momentum, vertex, pdg = momenta_of(source.particles.to("cpu"))
    columns = {
        _EVENTS: np.arange(len(pdg), dtype=np.int32),
        _PDG: pdg.int().numpy(),
        _MOMENTUM: momentum.numpy() / GeV,
        _VERTEX: vertex.numpy(),
    }
    for name, values in columns.items():
        file.create_dataset(name, data=values)
    file[_MOMENTUM].attrs[UNITS] = "GeV"
    write_beside(file, source, WEIGHTS)
