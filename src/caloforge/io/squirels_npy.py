r"""The .npy of the SQuIRELS release (Zenodo 10.5281/zenodo.8275193): showers in the 10 x 10
crystals of `pbwo4_crystals`.

One row a shower, at least 201 columns of floating-point numbers: 0 to 99 hold the deposits in GeV,
200 the incident energy in MeV; the others are not used here and written as zero. The species is the
electron, along the axis, at the centre. Other showers, and those with weights, cannot be written
so.

Reading maps the file into memory anew for each slice, so that what was read before takes no memory.
Written rows are float64, with which float32 deposits survive the way from MeV to GeV and back bit
for bit.
"""

__all__ = ["SquirelsFile", "require_writable_crystals", "write_squirels"]

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from caloforge.errors import FileFormatError, OutputError
from caloforge.geometry import Calorimeter, RegularGrid, pbwo4_crystals
from caloforge.io.input import (
    ShowerFile,
    checked_batches,
    require_deposits,
    require_energies,
)
from caloforge.io.output import NewFile
from caloforge.io.unreadable import NPY, naming, require_kind
from caloforge.particles import ELECTRON, Particles
from caloforge.showers import Showers, ShowerSource, spans
from caloforge.units import GeV

_CELLS = 100
_ENERGY = 200
_ROWS = 10_000
"""Rows mapped at a time where all energies are read."""


class SquirelsFile(ShowerFile):
    """A file in the layout of the SQuIRELS release; its header is checked when it is opened, its
    values when they are read.

    Arguments:
        path: The file.

    Raises:
        FileFormatError: The file is missing, truncated, not .npy, or not a table of at least 201
            columns of numbers.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        table = self._table()
        if table.ndim != 2 or table.shape[1] <= _ENERGY or table.dtype.kind != "f":
            msg = (
                f"{self.path}: array of shape {table.shape} and type {table.dtype}, expected (N, "
                f"at least {_ENERGY + 1}) "
                f"floating-point numbers: {_CELLS} deposits in GeV first, the incident energy in "
                f"MeV in column {_ENERGY}"
            )
            raise FileFormatError(msg)
        self._length = len(table)

    @property
    def calorimeter(self) -> RegularGrid:
        """The 10 x 10 crystals."""
        return pbwo4_crystals()

    @property
    def particles(self) -> Particles:
        """The incident electrons of all showers, along the axis."""
        return Particles(self.energies)

    @property
    def energies(self) -> Tensor:
        """The incident energies of all showers, in MeV, with shape (N)."""
        batches = [range(len(self))[span] for span in spans(len(self), _ROWS)]
        return torch.cat(
            [torch.empty(0), *(self._energies(self._table(), rows) for rows in batches)]
        )

    @property
    def weights(self) -> None:
        """None: the showers of such a file count once each."""

    def __len__(self) -> int:
        return self._length

    def _table(self) -> np.ndarray:
        require_kind(self.path, NPY)
        with naming(f"{self.path}", NPY):
            return np.lib.format.open_memmap(self.path, mode="r")

    def _read(self, rows: range) -> Showers:
        showers = self._unchecked(rows)
        require_deposits(showers.deposits, f"{self.path}: columns 0 to {_CELLS - 1}", rows)
        return showers

    def _unchecked(self, rows: range) -> Showers:
        table = self._table()
        deposits = _float32(table[rows.start : rows.stop : rows.step, :_CELLS], GeV)
        return Showers(deposits, Particles(self._energies(table, rows)), self.calorimeter)

    def _energies(self, table: np.ndarray, rows: range) -> Float[Tensor, " showers"]:
        energies = _float32(table[rows.start : rows.stop : rows.step, _ENERGY], 1.0)
        require_energies(energies, f"{self.path}: column {_ENERGY}", rows)
        return energies


def require_writable_crystals(
    path: Path | str,
    calorimeter: Calorimeter,
    particles: Particles | None = None,
    weights: Tensor | None = None,
) -> None:
    """Check that the layout of the SQuIRELS release can hold showers.

    Arguments:
        path: The file, for the message.
        calorimeter: Where their cells are.
        particles: Their particles; None where nobody asks.
        weights: Their weights; None for once each.

    Raises:
        OutputError: They have weights, or a particle is known not to be an electron along the
            axis at the centre.
        GeometryMismatchError: They are of another calorimeter than the 10 x 10 crystals.
    """
    pbwo4_crystals().require(calorimeter, f"the sample for {path}")
    if weights is not None:
        msg = f"{path}: the .npy of SQuIRELS cannot hold the weights of showers: write a .h5 file"
        raise OutputError(msg)
    if particles is not None:
        _require_electrons(particles, path)


def write_squirels(
    path: Path | str,
    source: ShowerSource,
    *,
    batch_size: int = 1000,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write showers in the layout of the SQuIRELS release.

    Arguments:
        path: The file.
        source: The showers, of the 10 x 10 crystals.
        batch_size: How many showers are in memory at a time.
        overwrite: Whether the file may take the place of one that is there.
        progress: Called with the number of each batch that is written.

    Raises:
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: The file cannot be written there, the showers have weights, or a particle is
            known not to be an electron along the axis at the centre.
        GeometryMismatchError: The showers are of another calorimeter.
        ShowerValueError: A value is not physical.
    """
    require_writable_crystals(path, source.calorimeter, source.particles, source.weights)
    header = {"descr": "<f8", "fortran_order": False, "shape": (len(source), _ENERGY + 1)}
    with NewFile(path, overwrite=overwrite) as partial, partial.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _, batch in checked_batches(source, batch_size, f"{path}: not written"):
            file.write(_table(batch).tobytes())
            progress(len(batch))


def _require_electrons(particles: Particles, path: Path | str) -> None:
    given = (particles.theta, particles.place)
    aside = any(values is not None and bool(values.any()) for values in given)
    if aside or set(particles.species) - {ELECTRON}:
        msg = (
            f"{path}: the .npy of SQuIRELS holds showers of electrons along the axis at the centre "
            "alone: write a .h5 file"
        )
        raise OutputError(msg)


def _table(showers: Showers) -> Float64[np.ndarray, "showers 201"]:
    table = np.zeros((len(showers), _ENERGY + 1), dtype="<f8")
    table[:, :_CELLS] = showers.deposits.detach().cpu().double().numpy() / GeV
    table[:, _ENERGY] = showers.energies.detach().cpu().numpy()
    return table


def _float32(values: np.ndarray, unit: float) -> Float[Tensor, "..."]:
    """Values too large for float32 become infinite, for the checks of values to find."""
    with np.errstate(over="ignore"):
        return torch.from_numpy((np.asarray(values, dtype=np.float64) * unit).astype(np.float32))
