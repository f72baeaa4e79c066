"""Events in the names of EDM4hep, in parquet or in a tree of ROOT that uproot can read.

A collection of hits has the lists ``NAME.cellID``, ``NAME.energy`` in GeV, ``NAME.position.x``,
``.y`` and ``.z`` in mm, and maybe ``NAME.time`` in ns; all collections of a file are read together.
The incident particle is the one with ``MCParticles.generatorStatus`` 1, or the first where there is
no such list: ``.PDG``, ``.momentum.x`` to ``.z`` in GeV, ``.vertex.x`` to ``.z`` in mm, and maybe
``.mass`` in GeV. Incident energies are kinetic ones.

Files of podio itself are read as far as they are split into such branches. What is written is the
collection ``SimCalorimeterHits``, whose ``cellID`` is the number of the cell here.
"""

__all__ = ["Edm4hepFile", "is_edm4hep", "write_edm4hep"]

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import FileFormatError
from caloforge.hits import Hits
from caloforge.io.columnar import Column, new_table
from caloforge.io.columns import WEIGHTS
from caloforge.io.input import require_species
from caloforge.io.output import NewFile
from caloforge.io.point_files import Cloud, hit_batches, points_of, require_places
from caloforge.io.primaries import from_momenta, mass_of, momenta_of, species_in
from caloforge.io.table_files import TablePoints, fill
from caloforge.particles import Particles
from caloforge.showers import ShowerSource
from caloforge.units import GeV

_HITS, _MC = "SimCalorimeterHits", "MCParticles"
_CELL, _ENERGY, _TIME = "cellID", "energy", "time"
_POSITION = tuple(f"position.{axis}" for axis in "xyz")
_MOMENTUM = tuple(f"{_MC}.momentum.{axis}" for axis in "xyz")
_VERTEX = tuple(f"{_MC}.vertex.{axis}" for axis in "xyz")
_PDG, _STATUS, _MASS = f"{_MC}.PDG", f"{_MC}.generatorStatus", f"{_MC}.mass"
_NEEDED = (_CELL, _ENERGY, *_POSITION)


class Edm4hepFile(TablePoints):
    """Events in the names of EDM4hep; see `TablePoints`."""

    def _look_through(self) -> None:
        self._collections = _collections(self._table.names)
        self._require_columns((_PDG, *_MOMENTUM, *_VERTEX), "the incident particle, too")
        self._says_species = bool(self._lists([_PDG], range(min(len(self), 1)))[1][_PDG].any())
        timed = [f"{one}.{_TIME}" in self._table.names for one in self._collections]
        self._timed = all(timed)
        self._says_cells &= self._collections == (_HITS,)

    def _cloud(self, rows: range) -> Cloud:
        names = (*_NEEDED, _TIME) if self._timed else _NEEDED
        parts = [self._lists([f"{one}.{n}" for n in names], rows) for one in self._collections]
        offsets = torch.stack([part[0] for part in parts]).sum(dim=0)
        order = _by_shower([part[0] for part in parts])
        x = {
            name: np.concatenate([list(found.values())[k] for _, found in parts])[order]
            for k, name in enumerate(names)
        }
        energies = torch.from_numpy(x[_ENERGY].astype(np.float64) * self._unit("GeV")).float()
        place = [torch.from_numpy(x[name].astype(np.float32)) for name in _POSITION]
        cells = torch.from_numpy(x[_CELL].astype(np.int64))
        times = torch.from_numpy(x[_TIME].astype(np.float32)) if self._timed else None
        return Cloud(offsets, energies, place[0], place[1], place[2], None, cells, times)

    def _particles(self, rows: range) -> Particles:
        names = (_PDG, *_MOMENTUM, *_VERTEX)
        more = tuple(name for name in (_STATUS,) if name in self._table.names)
        offsets, found = self._lists((*names, *more), rows)
        first = self._primary(offsets, found.get(_STATUS), rows)
        pdg = found[_PDG][first]
        require_species(pdg, f"{self.path}: column '{_PDG}'", rows)
        momentum, vertex = (
            torch.from_numpy(np.stack([found[n][first].astype(np.float64) for n in axes], axis=1))
            for axes in (_MOMENTUM, _VERTEX)
        )
        species = species_in(pdg) if self._says_species else self._pdg
        where = f"{self.path}: {_MC}"
        given = from_momenta(momentum * self._unit("GeV"), vertex, species, f"{where}.momentum")
        return self._checked(given, f"{where}: incident energies", f"{where}.vertex", rows)

    def _primary(self, offsets: Tensor, status: np.ndarray | None, rows: range) -> np.ndarray:
        """The row of each shower's incident particle among all particles."""
        begin, end = offsets[:-1].numpy(), offsets[1:].numpy()
        if status is None:
            number, first = (end > begin).astype(np.int64), begin
        else:
            before = np.concatenate([[0], np.cumsum(status == 1)])
            number = before[end] - before[begin]
            first = np.searchsorted(before, before[begin] + 1) - 1
        if (number != 1).any():
            bad = int(np.flatnonzero(number != 1)[0])
            msg = (
                f"{self.path}: shower {rows[bad]} has {number[bad]} incident particles, expected "
                f"one, with {_STATUS} 1"
            )
            raise FileFormatError(msg)
        return first


def _collections(names: Iterable[str]) -> tuple[str, ...]:
    """The collections of hits among the names of columns."""
    known = set(names)
    found = (name.removesuffix(f".{_CELL}") for name in names if name.endswith(f".{_CELL}"))
    return tuple(one for one in found if all(f"{one}.{name}" in known for name in _NEEDED))


def _by_shower(offsets: list[Tensor]) -> np.ndarray:
    """The order in which the points of several collections, one behind the other, belong to one
    shower after the other.
    """
    showers = [np.repeat(np.arange(len(one) - 1), one.diff().numpy()) for one in offsets]
    return np.concatenate(showers).argsort(kind="stable")


def is_edm4hep(names: Iterable[str]) -> bool:
    """Whether the names of columns are those of EDM4hep."""
    return bool(_collections(list(names)))


def write_edm4hep(
    path: Path | str,
    source: ShowerSource,
    *,
    root: bool,
    batch_size: int = 1000,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write showers in the names of EDM4hep: their hits, at the centres of the cells.

    Arguments:
        path: The file.
        source: The showers.
        root: Whether to write a tree of ROOT, else parquet.
        batch_size: How many showers are in memory at a time.
        overwrite: Whether the file may take the place of one that is there.
        progress: Called with the number of each batch that is written.

    Raises:
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: The file cannot be written there, or the places of the cells are not known.
        ShowerValueError: A value is not physical.
        PackageError: pyarrow, or uproot, is not installed.
    """
    require_places(path, source.calorimeter, depth=True)
    made = NewFile(path, overwrite=overwrite)
    with made as partial, new_table(partial, root=root, tree="events") as table:
        batches = hit_batches(source, batch_size, f"{path}: not written")
        fill(table, source, ((hits, _columns(hits)) for _, hits, _ in batches), progress, "GeV")


def _columns(hits: Hits) -> dict[str, Column]:
    weights = {} if hits.weights is None else {WEIGHTS: Column(hits.weights.numpy())}
    return _of_particles(hits.particles) | _of_hits(hits) | weights


def _of_hits(hits: Hits) -> dict[str, Column]:
    """In double precision: energies come back to the same single one."""
    place, counts = points_of(hits), hits.offsets.diff().numpy()
    lists = {
        _CELL: hits.cells.numpy().astype(np.uint64),
        _ENERGY: hits.hit_energies.double().numpy() / GeV,
        **{name: place[name[-1]].numpy() for name in _POSITION},
        **({} if hits.times is None else {_TIME: hits.times.numpy()}),
    }
    return {f"{_HITS}.{name}": Column(values, counts) for name, values in lists.items()}


def _of_particles(particles: Particles) -> dict[str, Column]:
    momentum, vertex, pdg = momenta_of(particles)
    mass = [mass_of(one) / GeV for one in pdg.tolist()]
    lists = {
        _PDG: pdg.int().numpy(),
        _STATUS: np.ones(len(pdg), np.int32),
        _MASS: np.array(mass, np.float64),
        **dict(zip(_MOMENTUM, (momentum / GeV).numpy().T, strict=True)),
        **dict(zip(_VERTEX, vertex.numpy().T, strict=True)),
    }
    one = np.ones(len(pdg), np.int64)
    return {name: Column(np.ascontiguousarray(values), one) for name, values in lists.items()}
