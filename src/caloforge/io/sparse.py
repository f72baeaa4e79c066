r"""Sparse showers in HDF5: the cells with energy alone, beside the columns of `calochallenge`.

================ ===================== ================================================
dataset          shape                 contents
================ ===================== ================================================
``hit_offsets``  :math:`(N + 1)`       row of each shower's first hit, and the number H
``hit_cells``    (H)                   cell of each hit, its number in flat order
``hit_energies`` (H)                   energy of each hit, in MeV
``hit_times``    (H), optional         time of each hit, in ns
================ ===================== ================================================

They take the place of ``showers``; the attribute ``layout`` says "hits". The hits of shower i are
the rows from ``hit_offsets[i]`` to before ``hit_offsets[i + 1]``; several hits of a shower in one
cell add up. The calorimeter must be stated or given, as no shape tells the number of cells.
"""

__all__ = ["HitFile", "HitWriter", "holds_hits", "is_sparse"]

from collections.abc import Collection
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from caloforge.errors import FileFormatError, OutputError
from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers, Hits
from caloforge.io.calochallenge import CaloChallengeFile, float32, native
from caloforge.io.columns import (
    CELLS,
    ENERGIES,
    HIT_DATASETS,
    HIT_ENERGIES,
    OFFSETS,
    TIMES,
    are_whole,
)
from caloforge.io.input import require_hits
from caloforge.io.stored import names_in, reading
from caloforge.io.writer import CaloChallengeWriter, extend
from caloforge.showers import Showers

_BLOCK = 100_000
"""Hits that are compressed together: 400 kB a dataset."""

_DEFLATE = {"compression": "gzip", "compression_opts": 4, "shuffle": True}


class HitFile(CaloChallengeFile):
    """A file of sparse showers: its slices are dense `Showers`, its `sparse` slices are `Hits`.

    Arguments:
        path: The file.
        calorimeter: Where the cells are, for a file that does not say so itself.
        pdg: The species of the particles, for a file that does not say so itself; None where it is
            not known.

    Raises:
        FileFormatError: The file is missing, truncated, not HDF5, lacks a dataset, or shapes do not
            fit each other, or no calorimeter is known.
        GeometryMismatchError: The file says another calorimeter than the one given.
    """

    def __enter__(self) -> "HitFile":
        return self

    def __len__(self) -> int:
        return len(self._dataset(OFFSETS)) - 1

    @property
    def _n_cells(self) -> None:
        return None

    @property
    def _of_energy(self) -> tuple[str, ...]:
        return ENERGIES, HIT_ENERGIES

    @property
    def _expected(self) -> str:
        return f"'{OFFSETS}' (N + 1,), '{CELLS}' and '{HIT_ENERGIES}' (H,): check the path"

    def _require_deposits(self) -> None:
        shapes = {name: self._dataset(name).shape for name in HIT_DATASETS[:-1]}
        if TIMES in self._file:
            shapes[TIMES] = self._dataset(TIMES).shape
        hits = {shape for name, shape in shapes.items() if name != OFFSETS}
        flat = all(len(shape) == 1 for shape in shapes.values())
        if not flat or len(hits) != 1 or shapes[OFFSETS] == (0,):
            found = ", ".join(f"'{name}' {shape}" for name, shape in shapes.items())
            msg = (
                f"{self.path}: {found}, expected (N + 1,) for '{OFFSETS}' and the same (H,) for "
                "the others: write the file again"
            )
            raise FileFormatError(msg)

    def _calorimeter_by_size(self) -> Calorimeter:
        msg = (
            f"{self.path}: the file is sparse and does not say its calorimeter: give the "
            "calorimeter (--calorimeter), for instance from its binning XML"
        )
        raise FileFormatError(msg)

    def _read(self, rows: range) -> Showers:
        return self._hits(rows).to_showers()

    def _unchecked(self, rows: range) -> Showers:
        return self._hits(rows, checked=False).to_showers()

    def sparse(self, index: slice) -> Hits:
        """Read a slice as hits, with a positive step.

        Raises:
            ShowerValueError: The energy of a hit or a weight is negative or not finite, an incident
                energy not positive or not finite, or the step negative.
            FileFormatError: The file is damaged there.
        """
        return self._hits(self._rows_of(index))

    def _hits(self, rows: range, *, checked: bool = True) -> Hits:
        every = range(rows.start, max(rows.start, rows.stop))
        offsets = self._read_offsets(every)
        first, last = int(offsets[0]), int(offsets[-1])
        energies = float32(self._column_of_hits(HIT_ENERGIES, first, last))
        energies = self._in_mev(energies, HIT_ENERGIES)
        if checked:
            require_hits(energies, offsets - first, f"{self.path}: dataset '{HIT_ENERGIES}'", every)
        return Hits(
            offsets - first,
            self._read_cells(first, last),
            energies,
            self._particles(every),
            self.calorimeter,
            self._read_weights(every),
            self.threshold,
            self._read_times(first, last),
        ).sparse(slice(None, None, rows.step))

    def _read_offsets(self, rows: range) -> Int[Tensor, " offsets"]:
        stop = max(rows.stop, rows.start) + 1
        offsets, total = self._column_of_hits(OFFSETS, rows.start, stop), len(self._dataset(CELLS))
        rising = (offsets[:-1] <= offsets[1:]).all() and offsets[0] >= 0 and offsets[-1] <= total
        if not rising or not are_whole(offsets).all():
            msg = (
                f"{self.path}: dataset '{OFFSETS}' of showers {rows.start} to {rows.stop - 1} does "
                f"not ascend from 0 to {total}, the number of hits: write the file again"
            )
            raise FileFormatError(msg)
        return torch.from_numpy(offsets.astype(np.int64))

    def _read_cells(self, first: int, last: int) -> Int[Tensor, " hits"]:
        cells, n = self._column_of_hits(CELLS, first, last), self.calorimeter.n_cells
        good = are_whole(cells) & (cells >= 0) & (cells < n)
        what = f"are in no cell of calorimeter '{self.calorimeter.name}' with cells 0 to {n - 1}"
        self._require_of_hits(good, CELLS, first, what)
        return torch.from_numpy(cells.astype(np.int32))

    def _read_times(self, first: int, last: int) -> Float[Tensor, " hits"] | None:
        if TIMES not in self._file:
            return None
        times = float32(self._column_of_hits(TIMES, first, last))
        self._require_of_hits(times.isfinite().numpy(), TIMES, first, "have no finite time")
        return times

    def _require_of_hits(
        self, good: Bool[np.ndarray, " hits"], name: str, first: int, what: str
    ) -> None:
        if not good.all():
            msg = (
                f"{self.path}: dataset '{name}': {int((~good).sum())} of the hits {first} to "
                f"{first + len(good) - 1} {what}, the first is hit {first + int(good.argmin())}: "
                "write the file again"
            )
            raise FileFormatError(msg)

    def _column_of_hits(self, name: str, first: int, last: int) -> np.ndarray:
        with reading(self.path, name):
            return native(self._dataset(name)[first:last])


class HitWriter(CaloChallengeWriter):
    """A file of sparse showers to be written, used as a `CaloChallengeWriter` is; dense showers are
    made sparse on the way.
    """

    def _laid_out(self, showers: AnyShowers) -> Hits:
        return _sparse(showers)

    def _create_deposits(self, file: h5py.File) -> None:
        file.attrs["layout"] = "hits"
        offsets = _create(file, OFFSETS, np.dtype(np.int64))
        extend(offsets, torch.zeros(1, dtype=torch.int64))
        _create(file, CELLS, np.dtype(np.int32))
        _create(file, HIT_ENERGIES, np.dtype(np.float32))

    def _require_deposits(self, showers: AnyShowers, where: str, rows: range) -> None:
        hits = _sparse(showers)
        require_hits(hits.hit_energies.to(torch.float32), hits.offsets, where, rows)

    def _extend_deposits(self, file: h5py.File, showers: AnyShowers) -> None:
        hits, before = _sparse(showers), len(file[CELLS])
        if hits.times is not None and len(file[ENERGIES]) == 0 and TIMES not in file:
            _create(file, TIMES, np.dtype(np.float32))
        if (hits.times is None) == (TIMES in file):
            now, others = ("without", "with") if hits.times is None else ("with", "without")
            msg = (
                f"{self.path}: hits {now} times after hits {others} times: write them to different "
                "files"
            )
            raise OutputError(msg)
        extend(file[OFFSETS], hits.offsets[1:] + before)
        extend(file[CELLS], hits.cells)
        extend(file[HIT_ENERGIES], hits.hit_energies)
        if hits.times is not None:
            extend(file[TIMES], hits.times)


def holds_hits(names: Collection[str]) -> bool:
    """Whether the names in a file of HDF5 are those of sparse showers."""
    return OFFSETS in names


def is_sparse(path: Path | str) -> bool:
    """Whether a file of HDF5 holds sparse showers.

    Raises:
        FileFormatError: The file is missing or not HDF5.
    """
    return holds_hits(names_in(Path(path)))


def _sparse(showers: AnyShowers) -> Hits:
    return showers if isinstance(showers, Hits) else Hits.of(showers)


def _create(file: h5py.File, name: str, dtype: np.dtype) -> h5py.Dataset:
    return file.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(_BLOCK,), **_DEFLATE)
