"""Files of showers joined to one: as a source that reads them one after the other, or as a file.

Joined CaloChallenge files have the same bytes however their showers were divided among the parts:
blocks that lie in a part as they shall lie in the whole are copied compressed, the others are
compressed anew by the same library. To copy a block takes a hundredth of the time of compressing
it. Sparse showers are read and written again, so many at a time whatever the parts.
"""

__all__ = ["Joined", "join_files"]

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
import torch
from torch import Tensor

from caloforge.errors import FileFormatError
from caloforge.geometry import Calorimeter
from caloforge.hits import Hits
from caloforge.io.calochallenge import CaloChallengeFile
from caloforge.io.cell_tables import GROUP
from caloforge.io.output import NewHdf5, held_back
from caloforge.io.sparse import HitFile, HitWriter, is_sparse
from caloforge.io.stored import opened
from caloforge.particles import Particles
from caloforge.showers import Showers, spans

_Read = TypeVar("_Read")

_HITS_OF = 1000
"""Sparse showers are joined so many at a time."""


class Joined:
    """The showers of several CaloChallenge files of one calorimeter, one file after the other, of
    which one is open at a time.

    Arguments:
        paths: The files, at least one.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._spans: list[range] = []
        found = [self._read(path, lambda file: (file.calorimeter, len(file))) for path in paths]
        self.calorimeter: Calorimeter = found[0][0]
        """Where the cells are."""
        stop = 0
        for path, (calorimeter, length) in zip(self._paths, found, strict=True):
            self.calorimeter.require(calorimeter, f"file {path}")
            start, stop = stop, stop + length
            self._spans.append(range(start, stop))

    @property
    def particles(self) -> Particles:
        """The particles of all showers."""
        return Particles.cat(
            [self._read(path, lambda file: file.particles) for path in self._paths]
        )

    @property
    def energies(self) -> Tensor:
        """The incident energies of all showers, in MeV."""
        return self.particles.energies

    @property
    def weights(self) -> Tensor | None:
        """The weights of all showers; None for once each."""
        found = [self._read(path, lambda file: file.weights) for path in self._paths]
        given = [weights for weights in found if weights is not None]
        return torch.cat(given) if len(given) == len(found) else None

    def __len__(self) -> int:
        return self._spans[-1].stop

    def __getitem__(self, index: slice) -> Showers:
        rows = range(len(self))[index]
        parts = [self._read(path, itemgetter(part)) for path, part in self._inside(rows)]
        return Showers.cat(parts)[:: rows.step]

    def _inside(self, rows: range) -> list[tuple[Path, slice]]:
        """The files that hold some rows, each with the slice of them; of the first, if none."""
        return [
            (path, slice(max(rows.start, span.start) - span.start, rows.stop - span.start))
            for path, span in zip(self._paths, self._spans, strict=True)
            if rows.start < span.stop and span.start < rows.stop
        ] or [(self._paths[0], slice(0, 0))]

    def batches(self, size: int) -> Iterator[Showers]:
        """The showers in order, ``size`` at a time."""
        return (self[span] for span in spans(len(self), size))

    def _read(self, path: Path, read: Callable[[CaloChallengeFile], _Read]) -> _Read:
        with CaloChallengeFile(path) as file:
            return read(file)


class _Hits(Joined):
    """The same for files of sparse showers."""

    def sparse(self, index: slice) -> tuple[Hits, dict[str, Tensor]]:
        """The showers of a slice without steps, as hits, and their further numbers by name."""
        hits, extra = [], []
        for path, part in self._inside(range(len(self))[index]):
            with HitFile(path) as file:
                hits.append(file.sparse(part))
                extra.append(file.extra(part))
        return Hits.cat(hits), {n: torch.cat([one[n] for one in extra]) for n in extra[0]}

    def _read(self, path: Path, read: Callable[[CaloChallengeFile], _Read]) -> _Read:
        with HitFile(path) as file:
            return read(file)


def join_files(parts: Sequence[Path], path: Path, source: CaloChallengeFile | None = None) -> None:
    """Join CaloChallenge files to one, that says of itself what the first of them says.

    Arguments:
        parts: The files, at least one, with the same datasets.
        path: The file to write; one that is there is replaced.
        source: The file of which they are a copy: what it holds beside its showers is copied, too.

    Raises:
        FileFormatError: The files differ in their datasets or attributes.
    """
    if is_sparse(parts[0]):
        _join_hits(parts, path)
        return
    with opened(parts[0]) as first, NewHdf5(path) as whole:
        total = sum(_length_of(part, parts[0], first) for part in parts)
        whole.attrs.update(first.attrs)
        if GROUP in first:
            first.copy(GROUP, whole)
        for name in _datasets(first):
            _join(whole, first[name], parts, total)
        if source is not None:
            with held_back():
                source.carry(whole)


def _join_hits(parts: Sequence[Path], path: Path) -> None:
    source = _Hits(parts)
    with HitFile(parts[0]) as first:
        said = first.provenance
    with HitWriter(path, source.calorimeter, overwrite=True, attributes=said) as writer:
        for span in spans(len(source), _HITS_OF):
            writer.append(*source.sparse(span))


def _length_of(part: Path, first: Path, like: h5py.File) -> int:
    """How many showers are in a file that is of the same kind as the first."""
    with opened(part) as file:
        kinds = [
            {name: (f[name].shape[1:], f[name].dtype) for name in _datasets(f)}
            for f in (file, like)
        ]
        said = [{name: str(value) for name, value in f.attrs.items()} for f in (file, like)]
        if kinds[0] != kinds[1] or said[0] != said[1]:
            what = "datasets" if kinds[0] != kinds[1] else "attributes"
            msg = f"{part}: its {what} are not those of {first}: join files of one kind"
            raise FileFormatError(msg)
        return len(file[_datasets(file)[0]])


def _datasets(file: h5py.File) -> list[str]:
    """What holds a row a shower: all but the lists of the calorimeter's cells."""
    return [name for name in file if name != GROUP]


def _join(whole: h5py.File, like: h5py.Dataset, parts: Sequence[Path], total: int) -> None:
    made, aside = _dataset_like(whole, like, total), (0,) * (like.ndim - 1)
    for start, mask, block in _blocks(parts, like, total):
        with held_back():
            made.id.write_direct_chunk((start, *aside), block, mask)


def _dataset_like(file: h5py.File, like: h5py.Dataset, length: int) -> h5py.Dataset:
    width = like.shape[1:]
    space = h5py.h5s.create_simple((length, *width), (h5py.h5s.UNLIMITED, *width))
    name, kind = like.name.encode(), like.id.get_type()
    plan = like.id.get_create_plist()
    plan.set_obj_track_times(False)
    return h5py.Dataset(h5py.h5d.create(file.id, name, kind, space, plan))


def _blocks(
    parts: Sequence[Path], like: h5py.Dataset, total: int
) -> Iterator[tuple[int, int, bytes]]:
    """The blocks of the whole, in order: the number of the first row, HDF5's mask, the bytes."""
    size, start = like.chunks[0], 0
    pending: list[np.ndarray] = []
    for path in parts:
        with opened(path) as file:
            part, row = file[like.name], 0
            while row < len(part):
                if _is_whole(part, start + row, row, size):
                    yield (start + row, *_stored(part, row))
                    row += size
                    continue
                taken = min(size - (start + row) % size, len(part) - row)
                pending.append(part[row : row + taken])
                row += taken
                if (start + row) % size == 0 or start + row == total:
                    rows = np.concatenate(pending)
                    yield (start + row - len(rows), *_compressed(rows, like))
                    pending.clear()
            start += len(part)


def _is_whole(part: h5py.Dataset, place: int, row: int, size: int) -> bool:
    """Whether a block of the part is one of the whole."""
    return place % size == 0 and row % size == 0 and row + size <= len(part)


def _stored(dataset: h5py.Dataset, row: int) -> tuple[int, bytes]:
    return dataset.id.read_direct_chunk((row, *(0,) * (dataset.ndim - 1)))  # type: ignore[no-any-return]


def _compressed(rows: np.ndarray, like: h5py.Dataset) -> tuple[int, bytes]:
    """A block as HDF5 itself compresses it; its last rows may be missing."""
    with h5py.File("block", "w", driver="core", backing_store=False) as memory:
        made = _dataset_like(memory, like, like.chunks[0])
        made[: len(rows)] = rows
        memory.flush()
        return _stored(made, 0)
