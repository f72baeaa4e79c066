"""What every file of showers has in common: it is read by slices, and no value leaves
it unchecked.
"""

__all__ = [
    "ShowerFile",
    "checked_batches",
    "checksum",
    "require_angles",
    "require_deposits",
    "require_energies",
    "require_file",
    "require_finite",
    "require_hits",
    "require_species",
    "require_weights",
]

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.geometry import Calorimeter
from caloforge.io.columns import are_whole
from caloforge.particles import Index, Particles, rows_of
from caloforge.paths import require_file
from caloforge.showers import Showers, ShowerSource, spans
from caloforge.shown import Shown, counted

_ROWS = 100
"""So many showers are read at a time where they are asked for one by one."""

_CHUNK = 1 << 20
"""So many bytes are read at a time for a checksum."""

_ROUNDING = 1e-5
"""So far beyond its bounds single precision may bring an angle, in rad."""


class ShowerFile(Shown, ABC):
    """Showers in a file, of which only the header is read until a slice is asked for.

    Arguments:
        path: The file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        require_file(self.path)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that are read."""
        return (self.path,)

    @property
    @abstractmethod
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""

    @property
    @abstractmethod
    def particles(self) -> Particles:
        """The incident particles of all showers, read and checked without the deposits.

        Raises:
            ShowerValueError: An energy is not positive, or a number not finite.
            FileFormatError: The file is damaged there.
        """

    @property
    @abstractmethod
    def energies(self) -> Tensor:
        """The incident energies of all showers, in MeV, with shape (N), read and checked without
        the deposits.

        Raises:
            ShowerValueError: An energy is not positive or not finite.
            FileFormatError: The file is damaged there.
        """

    @property
    @abstractmethod
    def weights(self) -> Tensor | None:
        """The weights of all showers, with shape (N), read and checked without the deposits; None
        for once each.

        Raises:
            ShowerValueError: A weight is negative or not finite.
            FileFormatError: The file is damaged there.
        """

    @property
    def provenance(self) -> dict[str, str]:
        """What the file says of where its showers come from, as text; nothing unless the format
        has room for it.
        """
        return {}

    @property
    def origin(self) -> dict[str, str]:
        """By which file a number can be had again: its name and its checksum."""
        return {"file": str(self.path), "sha256": checksum(self.path)}

    @abstractmethod
    def __len__(self) -> int: ...

    def facts(self) -> dict[str, str]:
        """What a prompt and a notebook show, from the header alone."""
        return {
            "file": ", ".join(map(str, self.paths)),
            "showers": counted(len(self), "shower"),
            "calorimeter": f"{self.calorimeter.n_cells:,} cells of {self.calorimeter.name}",
        }

    def extra(self, index: slice) -> dict[str, Tensor]:
        """Further numbers, one a shower, in a slice, by name; none unless the format has some."""
        del index
        return {}

    def _unchecked(self, rows: range) -> Showers:
        """Read the chosen rows, ascending, and leave their deposits unchecked."""
        return self._read(rows)

    @abstractmethod
    def _read(self, rows: range) -> Showers:
        """Read the chosen rows, ascending, and check their values."""

    def __getitem__(self, index: Index) -> Showers:
        """Read a row, a slice with a positive step, or the rows of a list or a mask.

        Raises:
            ShowerValueError: A deposit or a weight is negative or not finite, an energy not
                positive or not finite, or the step negative.
            FileFormatError: The file is damaged there.
            RowError: There is no such row.
        """
        rows = rows_of(index, len(self))
        return self._read(self._rows_of(rows)) if isinstance(rows, slice) else self._chosen(rows)

    def __iter__(self) -> Iterator[Showers]:
        return (shower for batch in self.batches(_ROWS) for shower in batch)

    def _chosen(self, chosen: Shaped[Tensor, " _"]) -> Showers:
        """Rows in any order, of which neighbours are read together."""
        asked = torch.arange(len(self))[chosen].numpy()
        numbers, places = np.unique(asked, return_inverse=True)
        parts = [self._read(range(0))]
        for near in np.split(numbers, 1 + np.flatnonzero(np.diff(numbers // _ROWS))):
            if len(near):
                first, last = int(near[0]), int(near[-1])
                parts.append(self._read(range(first, last + 1))[near - first])
        return Showers.cat(parts)[places]

    def unchecked(self, index: slice) -> Showers:
        """A slice whose deposits may be anything, with a positive step; for `caloforge.io.mending`.

        Raises:
            ShowerValueError: A weight is negative or not finite, an energy not positive or not
                finite, or the step negative.
            FileFormatError: The file is damaged there.
        """
        return self._unchecked(self._rows_of(index))

    def _rows_of(self, index: slice) -> range:
        rows = range(len(self))[index]
        if rows.step < 0:
            msg = f"{self.path}: slice with step {rows.step}, expected a positive step"
            raise ShowerValueError(msg)
        return rows

    def batches(self, size: int) -> Iterator[Showers]:
        """The showers in order, ``size`` at a time; the last batch may be smaller.

        Raises:
            ShowerValueError: The size is less than 1, or as for slices.
            FileFormatError: The file is damaged.
        """
        return (self[span] for span in spans(len(self), size))


def checksum(path: Path) -> str:
    """The SHA-256 checksum of a file of any size, in hexadecimal digits.

    Raises:
        FileFormatError: There is no such file, or it is a folder, a pipe or a device.
    """
    require_file(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def require_deposits(deposits: Float[Tensor, "showers cells"], where: str, rows: range) -> None:
    """Check that deposits can be energies.

    Arguments:
        deposits: The deposits, in MeV, expected finite and at least 0.
        where: The file and the dataset, for the message.
        rows: The number of each shower in the file.

    Raises:
        ShowerValueError: One is not; the message counts them by kind and says where the first is.
    """
    if deposits.numel() == 0:
        return
    low, high = deposits.aminmax()
    if low >= 0 and high < torch.inf:
        return
    kinds = _kinds(deposits)
    shower, cell = (int(i) for i in torch.stack(list(kinds.values())).any(0).nonzero()[0])
    msg = (
        f"{where}: {_counts(kinds)} of the {deposits.numel()} deposits of showers {rows[0]} to "
        f"{rows[-1]}, the first in shower "
        f"{rows[shower]}, cell {cell} ({float(deposits[shower, cell]):g} MeV): expected finite "
        f"deposits of at least 0 MeV{_remedy(kinds)}"
    )
    raise ShowerValueError(msg)


def require_hits(
    energies: Float[Tensor, " hits"], offsets: Int[Tensor, " offsets"], where: str, rows: range
) -> None:
    """Check that the energies of hits can be energies.

    Arguments:
        energies: The energies of the hits, in MeV, expected finite and at least 0.
        offsets: The first hit of each shower, and the number of hits.
        where: The file and the dataset, for the message.
        rows: The number of each shower in the file.

    Raises:
        ShowerValueError: One is not; the message counts them by kind and says where the first is.
    """
    if energies.numel() == 0:
        return
    low, high = energies.aminmax()
    if low >= 0 and high < torch.inf:
        return
    kinds = _kinds(energies)
    hit = int(torch.stack(list(kinds.values())).any(0).nonzero()[0])
    shower = int(torch.searchsorted(offsets, hit, right=True)) - 1
    msg = (
        f"{where}: {_counts(kinds)} of the {len(energies)} hits of showers {rows[0]} to {rows[-1]},"
        f" the first in shower {rows[shower]} ({float(energies[hit]):g} MeV): expected finite "
        f"energies of at least 0 MeV{_remedy(kinds)}"
    )
    raise ShowerValueError(msg)


def require_energies(energies: Float[Tensor, " showers"], where: str, rows: range) -> None:
    """Check that incident energies can be energies of particles.

    Arguments:
        energies: The incident energies, in MeV, expected finite and positive.
        where: The file and the dataset, for the message.
        rows: The number of each shower in the file.

    Raises:
        ShowerValueError: One is not; the message counts them and says where the first is.
    """
    bad = ~(energies > 0) | energies.isinf()
    if bad.any():
        first = int(bad.nonzero()[0, 0])
        msg = (
            f"{where}: {int(bad.sum())} of the {len(bad)} incident energies of showers {rows[0]} "
            f"to {rows[-1]} are not positive "
            f"and finite, the first that of shower {rows[first]} ({float(energies[first]):g} "
            "MeV): expected more than 0 MeV"
        )
        raise ShowerValueError(msg)


def checked_batches(
    source: ShowerSource, batch_size: int, where: str
) -> Iterator[tuple[slice, Showers]]:
    """The showers a batch at a time, each with its slice, checked in the single precision of files.

    Arguments:
        source: The showers.
        batch_size: How many are in memory at a time.
        where: What of them is checked, for the message.

    Raises:
        ShowerValueError: A deposit or an energy is not physical.
    """
    for span in spans(len(source), batch_size):
        batch, rows = source[span], range(span.start, span.stop)
        require_deposits(batch.deposits.float(), where, rows)
        require_energies(batch.energies.float(), where, rows)
        yield span, batch


def require_weights(weights: Float[Tensor, " showers"], where: str, rows: range) -> None:
    """Check that weights can say how often showers count.

    Arguments:
        weights: The weights, expected finite and at least 0.
        where: The file and the dataset, for the message.
        rows: The number of each shower in the file.

    Raises:
        ShowerValueError: One is not; the message counts them and says where the first is.
    """
    bad = ~(weights >= 0) | weights.isinf()
    if bad.any():
        first = int(bad.nonzero()[0, 0])
        msg = (
            f"{where}: {int(bad.sum())} of the {len(bad)} weights of showers {rows[0]} to "
            f"{rows[-1]} are not finite or below 0, "
            f"the first that of shower {rows[first]} ({float(weights[first]):g}): expected finite "
            "weights of at least 0"
        )
        raise ShowerValueError(msg)


def require_finite(values: Float[Tensor, " showers"], where: str, rows: range) -> None:
    """Check that angles or places are numbers.

    Arguments:
        values: One a shower, expected finite.
        where: The file and the dataset, for the message.
        rows: The number of each shower in the file.

    Raises:
        ShowerValueError: One is not; the message counts them and says where the first is.
    """
    _require(values.isfinite().numpy(force=True), "not finite", where, rows)


def require_angles(
    values: Float[Tensor, " showers"], where: str, rows: range, least: float, most: float
) -> None:
    """Check that angles are finite and no more than a turn can be, as those in degrees are.

    Arguments:
        values: One a shower, in rad.
        where: The file and the dataset, for the message.
        rows: The number of each shower in the file.
        least: The least angle, in rad.
        most: The largest.

    Raises:
        ShowerValueError: One is not; the message counts them and says where the first is.
    """
    require_finite(values, where, rows)
    bad = (values < least - _ROUNDING) | (values > most + _ROUNDING)
    if bad.any():
        first = int(bad.nonzero()[0, 0])
        msg = (
            f"{where}: {int(bad.sum())} of {len(values)} angles lie outside [{least:.4g}, "
            f"{most:.4g}] rad, the first is {float(values[first]):g}, that of shower "
            f"{rows[first]}: are they in degrees? Convert them to radians"
        )
        raise ShowerValueError(msg)


def require_species(pdg: Shaped[np.ndarray, " showers"], where: str, rows: range) -> None:
    """Check that PDG numbers are whole numbers.

    Arguments:
        pdg: One a shower, of any type.
        where: The file and the dataset, for the message.
        rows: The number of each shower in the file.

    Raises:
        ShowerValueError: One is not; the message counts them and says where the first is.
    """
    _require(are_whole(pdg), "not PDG numbers", where, rows)


def _require(good: Bool[np.ndarray, " showers"], what: str, where: str, rows: range) -> None:
    if not good.all():
        first = rows[int(np.flatnonzero(~good)[0])]
        msg = (
            f"{where}: {int((~good).sum())} of the {len(good)} numbers of showers {rows[0]} to "
            f"{rows[-1]} are {what}, the first that of shower {first}"
        )
        raise ShowerValueError(msg)


def _kinds(deposits: Float[Tensor, "*shape"]) -> dict[str, Bool[Tensor, "*shape"]]:
    infinite = deposits.isinf()
    return {"NaN": deposits.isnan(), "infinite": infinite, "negative": (deposits < 0) & ~infinite}


def _remedy(kinds: dict[str, Bool[Tensor, "*shape"]]) -> str:
    """How convert and evaluate mend what can be noise, or a shower that failed."""
    options = {"negative": "--negative zero", "NaN": "--drop nan"}
    named = [option for kind, option in options.items() if kinds[kind].any()]
    return f": mend them by {' '.join(named)} of convert or evaluate" if named else ""


def _counts(kinds: dict[str, Bool[Tensor, "*shape"]]) -> str:
    return ", ".join(f"{int(bad.sum())} {kind}" for kind, bad in kinds.items() if bad.any())
