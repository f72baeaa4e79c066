"""Several files of showers as one sample: its rows are those of the files, one after the other.

A production leaves many files; what is read here of them is one `ShowerFile`, or the first showers
of it. All must be of one calorimeter. Further columns and what the files say of their origin are
kept as far as all of them agree.
"""

__all__ = ["Several", "SeveralHits", "files_in", "several"]

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import Hits, HitSource
from caloforge.io.input import ShowerFile
from caloforge.io.mending import Mended
from caloforge.particles import Particles
from caloforge.showers import Showers, joined_weights

_Read = TypeVar("_Read")
_File = TypeVar("_File")


class Several(ShowerFile):
    """The showers of several files, one file after the other.

    Arguments:
        files: The files, at least one.
        first: So many showers, from the first on; None for all.

    Raises:
        GeometryMismatchError: The calorimeters differ.
    """

    def __init__(self, files: Sequence[ShowerFile], first: int | None = None) -> None:
        super().__init__(files[0].path)
        for file in files[1:]:
            files[0].calorimeter.require(file.calorimeter, f"file {file.path}")
        self.files = tuple(files)
        """The files."""
        ends = [0, *accumulate(map(len, files))]
        self._spans = [range(*ends_of) for ends_of in pairwise(ends)]
        self._total = ends[-1]
        self._length = self._total if first is None else min(first, self._total)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of the files."""
        return tuple(path for file in self.files for path in file.paths)

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""
        return self.files[0].calorimeter

    @property
    def particles(self) -> Particles:
        """The incident particles of all showers."""
        return Particles.cat([file.particles for file in self.files])[: self._length]

    @property
    def energies(self) -> Tensor:
        """The incident energies of all showers, in MeV, with shape (N)."""
        return torch.cat([file.energies for file in self.files])[: self._length]

    @property
    def weights(self) -> Tensor | None:
        """The weights of all showers, with shape (N), 1 in files without; None where none has."""
        weights = joined_weights(self.files)
        return None if weights is None else weights[: self._length]

    @property
    def provenance(self) -> dict[str, str]:
        """What all files say alike of where their showers come from."""
        first, *others = (file.provenance for file in self.files)
        return {k: text for k, text in first.items() if all(o.get(k) == text for o in others)}

    @property
    def origin(self) -> dict[str, str]:
        """The names and the checksums of the files, and how many of their showers are meant."""
        every = [file.origin for file in self.files]
        joined = {key: ", ".join(one[key] for one in every) for key in ("file", "sha256")}
        cut = f"the first {self._length:,} of {self._total:,}"
        return joined | ({"showers": cut} if self._length < self._total else {})

    def __len__(self) -> int:
        return self._length

    def extra(self, index: slice) -> dict[str, Tensor]:
        """Further numbers, one a shower, in a slice, of the names that all files have."""
        parts = self._each(range(len(self))[index], lambda file, part: file.extra(part))
        first, *others = parts
        names = [name for name in first if all(name in other for other in others)]
        return {name: torch.cat([part[name] for part in parts]) for name in names}

    def _read(self, rows: range) -> Showers:
        return Showers.cat(self._each(rows, lambda file, part: file[part]))

    def _unchecked(self, rows: range) -> Showers:
        return Showers.cat(self._each(rows, lambda file, part: file.unchecked(part)))

    def _each(self, rows: range, read: Callable[[ShowerFile, slice], _Read]) -> list[_Read]:
        """What is read of each file that holds some of the rows; of the first, where none does."""
        parts = [read(file, part) for file, part in _parts(rows, self.files, self._spans)]
        return parts or [read(self.files[0], slice(0, 0))]


class SeveralHits(Several):
    """The same for files of sparse showers: its `sparse` slices are `Hits`."""

    def sparse(self, index: slice) -> Hits:
        """The showers of a slice, as hits.

        Raises:
            ShowerValueError: As for the files.
        """
        found = self._each(self._rows_of(index), _hits)
        return Hits.cat(found)


def several(files: Sequence[ShowerFile], first: int | None = None) -> ShowerFile:
    """Files as one sample, sparse where all of them are; one file alone, and whole, is itself.

    Arguments:
        files: The files, at least one.
        first: So many showers, from the first on; None for all.

    Raises:
        GeometryMismatchError: The calorimeters differ.
    """
    if len(files) == 1 and first is None:
        return files[0]
    kind = SeveralHits if all(isinstance(file, HitSource) for file in files) else Several
    return kind(files, first)


def files_in(file: ShowerFile) -> tuple[ShowerFile, ...]:
    """The files of which one sample is made, as they were opened."""
    if isinstance(file, Mended):
        return files_in(file.file)
    return file.files if isinstance(file, Several) else (file,)


def _parts(
    rows: range, files: Sequence[_File], spans: Sequence[range]
) -> Iterator[tuple[_File, slice]]:
    """The files that hold some rows, each with the slice of them."""
    for file, span in zip(files, spans, strict=True):
        low, high = (max(0, -((rows.start - end) // rows.step)) for end in (span.start, span.stop))
        inside = rows[low:high]
        if inside:
            start, stop = inside[0] - span.start, inside[-1] - span.start + 1
            yield file, slice(start, stop, rows.step)


def _hits(file: ShowerFile, part: slice) -> Hits:
    if not isinstance(file, HitSource):
        return Hits.of(file[part])
    return file.sparse(part)
