"""ShowerData HDF5 (package ``showerdata``, of CaloClouds and AllShowers): point clouds.

- ``showers``, of shape (N): of each shower the numbers x, y, layer, energy, and maybe time, of all
  its points, in one list; places in mm, energies in MeV, times in ns;
- ``shape``: N, the most points of a shower, and 4, or 5 with times;
- ``energies`` (N, 1), incident, in GeV; ``directions`` (N, 3); ``pdg`` (N), 0 where not known;
- ``shower_ids`` and ``num_points`` (N).

An attribute ``units`` of a dataset of energies says another unit. The third number of a point is
its layer where those of the first points are whole, else the depth in mm. Points of energy 0 are
padding.
"""

__all__ = ["ShowerDataFile", "is_showerdata", "write_showerdata"]

from collections.abc import Callable, Collection
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from caloforge.errors import FileFormatError
from caloforge.hits import Hits
from caloforge.io.columns import PDG, PLACE, UNITS, WEIGHTS, are_whole
from caloforge.io.hdf5_points import Hdf5Points, state, write_beside
from caloforge.io.heaps import require_heaps
from caloforge.io.input import require_species
from caloforge.io.output import NewFile, NewHdf5, held_back
from caloforge.io.point_files import (
    Cloud,
    directed,
    hit_batches,
    points_of,
    require_places,
)
from caloforge.io.primaries import species_in
from caloforge.io.stored import reading
from caloforge.particles import Particles, Species
from caloforge.ragged import kept_offsets, offsets_of
from caloforge.showers import ShowerSource, common_threshold
from caloforge.units import GeV

_POINTS, _SHAPE, _NUMBER, _IDS = "showers", "shape", "num_points", "shower_ids"
_ENERGY, _DIRECTIONS = "energies", "directions"
_WIDTHS = (4, 5)
_LOOKED_AT = 100
_VERSION = "0.7.0"
"""That of the package whose layout is written."""


class ShowerDataFile(Hdf5Points):
    """A file of ShowerData; see `Hdf5Points`."""

    def __len__(self) -> int:
        return int(self._dataset(_POINTS).shape[0])

    def _look_through(self) -> None:
        self._says_cells = False
        self._width = self._stated_width()
        for name, width in ((_ENERGY, None), (_DIRECTIONS, 3), (PDG, None)):
            self._require_length(name, len(self), width)
        require_heaps(self.path, whole=True)
        self._says_species = bool(self._values(PDG, 0, 1).any())
        first = self._points(range(min(len(self), _LOOKED_AT)))[1]
        self._in_layers = bool(are_whole(first[:, 2]).all())

    def _stated_width(self) -> int:
        shape = self._values(_SHAPE, 0, 3)
        points = self._dataset(_POINTS)
        lists = h5py.check_vlen_dtype(points.dtype)
        if len(shape) != 3 or int(shape[2]) not in _WIDTHS or lists is None or points.ndim != 1:
            msg = (
                f"{self.path}: '{_SHAPE}' is {shape.tolist()} and '{_POINTS}' of type "
                f"{points.dtype}, expected (N, points, 4 or 5) and lists of numbers, as "
                "showerdata writes them"
            )
            raise FileFormatError(msg)
        return int(shape[2])

    def _points(self, rows: range) -> tuple[Tensor, np.ndarray]:
        """The offsets and the points of some showers, without padding."""
        with reading(self.path, _POINTS):
            lists = list(self._dataset(_POINTS)[rows.start : rows.stop])
        lengths = np.array([len(one) for one in lists], np.int64)
        if (lengths % self._width).any():
            bad = int(np.flatnonzero(lengths % self._width)[0])
            msg = (
                f"{self.path}: dataset '{_POINTS}': {lengths[bad]} numbers of shower "
                f"{rows[bad]}, expected {self._width} a point: write the file again"
            )
            raise FileFormatError(msg)
        points = np.concatenate([np.empty(0, np.float32), *lists]).reshape(-1, self._width)
        offsets = offsets_of(torch.from_numpy(lengths // self._width))
        kept = points[:, 3] != 0
        return kept_offsets(offsets, torch.from_numpy(kept)), points[kept]

    def _cloud(self, rows: range) -> Cloud:
        offsets, points = self._points(rows)
        columns = torch.from_numpy(points).unbind(dim=1)
        unit = self._unit(_POINTS, "MeV")
        energies = columns[3] if unit == 1 else columns[3] * unit
        times = columns[4] if self._width == _WIDTHS[1] else None
        x, y, z = columns[:3]
        layers = self._layer(points) if self._in_layers else None
        return Cloud(offsets, energies, x, y, z, layers, None, times)

    def _layer(self, points: np.ndarray) -> Tensor:
        whole = are_whole(points[:, 2])
        if not whole.all():
            msg = (
                f"{self.path}: dataset '{_POINTS}': the third numbers of its first points are "
                f"layers, {int((~whole).sum())} of those here are not whole, the first is "
                f"{points[~whole][0, 2]:g}: write all of them as layers, or as depths in mm"
            )
            raise FileFormatError(msg)
        return torch.from_numpy(points[:, 2].astype(np.int64))

    def _particles(self, rows: range) -> Particles:
        vectors = self._values(_DIRECTIONS, rows.start, rows.stop).astype(np.float64)
        given = {
            "energies": self._energy(_ENERGY, rows.start, rows.stop, "GeV").float(),
            "pdg": self._species(rows),
            **directed(torch.from_numpy(vectors), f"{self.path}: dataset '{_DIRECTIONS}'"),
            **self._place(rows),
        }
        energies, places = f"{self.path}: incident energies", f"{self.path}: places of particles"
        return self._checked(given, energies, places, rows)

    def _species(self, rows: range) -> Species:
        pdg = self._values(PDG, rows.start, rows.stop).reshape(-1)
        require_species(pdg, f"{self.path}: dataset '{PDG}'", rows)
        return species_in(pdg) if self._says_species else self._pdg


def is_showerdata(names: Collection[str]) -> bool:
    """Whether the names in a file of HDF5 are those of ShowerData."""
    return {_POINTS, _SHAPE, _ENERGY, _DIRECTIONS} <= set(names)


def write_showerdata(
    path: Path | str,
    source: ShowerSource,
    *,
    batch_size: int = 1000,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write showers in the layout of ShowerData: their hits, as points at the centres of the cells.

    Arguments:
        path: The file.
        source: The showers.
        batch_size: How many showers are in memory at a time.
        overwrite: Whether the file may take the place of one that is there.
        progress: Called with the number of each batch that is written.

    Raises:
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: The file cannot be written there, or the cells lie along each particle.
        ShowerValueError: A value is not physical.
    """
    require_places(path, source.calorimeter, depth=False)
    lists = h5py.vlen_dtype(np.dtype(np.float32))
    number = np.zeros(len(source), np.int32)
    thresholds, width = [], _WIDTHS[0]
    with NewFile(path, overwrite=overwrite) as partial, NewHdf5(partial) as file:
        points = file.create_dataset(_POINTS, (len(source),), lists)
        for span, hits, _ in hit_batches(source, batch_size, f"{path}: not written"):
            width = _WIDTHS[hits.times is not None]
            number[span] = hits.offsets.diff().numpy()
            thresholds.append(hits.threshold)
            with held_back():
                points[span] = _lists(hits)
            progress(len(hits))
        file.create_dataset(_SHAPE, data=[len(source), max(number, default=0), width])
        file.create_dataset(_NUMBER, data=number)
        _write_particles(file, source)
        state(file, source, common_threshold(thresholds))


def _lists(hits: Hits) -> list[np.ndarray]:
    """Of each shower one list of the numbers of all its points."""
    place = points_of(hits)
    columns = [place["x"], place["y"], place["layer"], hits.hit_energies]
    columns += [] if hits.times is None else [hits.times]
    table = torch.stack([column.float() for column in columns], dim=1).numpy()
    parts = np.split(table, hits.offsets[1:-1].numpy())
    return [part.ravel() for part in parts][: len(hits)]


def _write_particles(file: h5py.File, source: ShowerSource) -> None:
    """Energies and directions in double precision: both come back to the same single one."""
    particles = source.particles.to("cpu")
    pdg = torch.as_tensor(0 if particles.pdg is None else particles.pdg).expand(len(particles))
    columns = {
        _ENERGY: particles.energies.double()[:, None].numpy() / GeV,
        _DIRECTIONS: particles.directions.numpy(),
        PDG: pdg.int().numpy(),
        _IDS: np.arange(len(particles), dtype=np.int32),
    }
    for name, values in columns.items():
        file.create_dataset(name, data=values)
    file[_ENERGY].attrs[UNITS], file[_POINTS].attrs[UNITS] = "GeV", "MeV"
    file.attrs["showerdata_version"] = _VERSION
    write_beside(file, source, *PLACE, WEIGHTS)
