r"""Hits are sparse showers: of shower i the cells with energy alone, one after the other.

The hits of shower i are the rows :math:`o_i \le h < o_{i+1}` of three columns, the offsets
:math:`o` first: the cell of each hit, its energy :math:`e_h` in MeV, and where it is known its time
in ns. A sample takes memory by its hits, 8 bytes each, where `Showers` take 4 bytes a cell.

`Hits` are a `ShowerSource`: slices and batches of them are dense showers, so that all that works on
showers works on hits, in the memory of a batch. `Hits.sparse` gives the same showers as hits, for
what works on hits itself. Both ways energy is conserved: ``Hits.of(showers).to_showers()`` are the
same showers bit for bit, and the energies of several hits in one cell add up.
"""

__all__ = ["AnyShowers", "HitSource", "Hits", "batches_of", "dense", "joined", "part_of"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import torch
from jaxtyping import Int64
from torch import Tensor
from typing_extensions import Protocol, runtime_checkable

from caloforge.errors import ShowerValueError
from caloforge.geometry import Calorimeter
from caloforge.particles import Index, Particles, rows_of
from caloforge.ragged import (
    chosen_rows,
    joined_offsets,
    kept_offsets,
    offsets_of,
    require_offsets,
    shower_of_row,
)
from caloforge.showers import (
    Showers,
    ShowerSource,
    Tabular,
    common_threshold,
    joined_weights,
    require_weights,
    spans,
)
from caloforge.shown import counted


@dataclass(frozen=True, eq=False, repr=False)
class Hits(Tabular):
    """The hits of N showers.

    Arguments:
        offsets: The row of each shower's first hit, and behind the last the number H of all hits,
            ascending from 0, int64, with shape (N + 1).
        cells: The cell of each hit, int32, with shape (H); within a shower in any order.
        hit_energies: The energy of each hit, in MeV, at least 0, float32, with shape (H).
        particles: The N incident particles.
        calorimeter: Where the cells are.
        weights: How often each shower counts, finite and at least 0, with shape (N); None for once
            each.
        threshold: The threshold of the readout, in MeV; None where it is not stated.
        times: The time of each hit, in ns, with shape (H); None where it is not known.

    Raises:
        ShowerValueError: Offsets do not fit the particles and the hits, shapes differ, a cell is
            not one of the calorimeter, or a weight is negative or not finite.
    """

    offsets: Tensor
    cells: Tensor
    hit_energies: Tensor
    particles: Particles
    calorimeter: Calorimeter
    weights: Tensor | None = None
    threshold: float | None = None
    times: Tensor | None = None

    def __post_init__(self) -> None:
        require_offsets(self.offsets, len(self.particles), len(self.hit_energies), "hits")
        _require_cells(self.cells, self.calorimeter)
        for name, values in (("cells", self.cells), ("times", self.times)):
            if values is not None and values.shape != self.hit_energies.shape:
                msg = (
                    f"{name} of hits have shape {tuple(values.shape)}, expected "
                    f"{tuple(self.hit_energies.shape)} as the energies of hits"
                )
                raise ShowerValueError(msg)
        if self.weights is not None:
            require_weights(self.weights, len(self.particles))

    @staticmethod
    def of(showers: Showers) -> "Hits":
        """The cells of showers that are not 0, in flat order."""
        lit = showers.deposits != 0
        return Hits(
            offsets_of(lit.sum(dim=1)),
            lit.nonzero()[:, 1].int(),
            showers.deposits[lit],
            showers.particles,
            showers.calorimeter,
            showers.weights,
            showers.threshold,
        )

    @property
    def energies(self) -> Tensor:
        """The incident energies, in MeV, with shape (N)."""
        return self.particles.energies

    @property
    def deposits(self) -> Tensor:
        """The energy in each cell, in MeV, float32, with shape (N, cells): those of `to_showers`,
        made anew each time.
        """
        return self.to_showers().deposits

    @property
    def n_hits(self) -> int:
        """The number of all hits, H."""
        return len(self.hit_energies)

    def __len__(self) -> int:
        return len(self.particles)

    def __getitem__(self, index: Index) -> Showers:
        """The chosen showers, dense."""
        return self.sparse(index).to_showers()

    def __iter__(self) -> Iterator[Showers]:
        return self.batches(1)

    def facts(self) -> dict[str, str]:
        """What a prompt and a notebook show."""
        return super().facts() | {"hits": counted(self.n_hits, "hit")}

    def batches(self, size: int) -> Iterator[Showers]:
        """The showers in order, ``size`` at a time, dense; the last batch may be smaller.

        Raises:
            ShowerValueError: The size is less than 1.
        """
        return (self[span] for span in spans(len(self), size))

    def sparse(self, index: Index) -> "Hits":
        """The chosen showers, as hits; those of a slice without steps share the memory of these."""
        chosen = rows_of(index, len(self))
        rows, offsets = chosen_rows(self.offsets, chosen)
        return replace(
            self,
            offsets=offsets,
            cells=self.cells[rows],
            hit_energies=self.hit_energies[rows],
            particles=self.particles[chosen],
            weights=None if self.weights is None else self.weights[chosen],
            times=None if self.times is None else self.times[rows],
        )

    @property
    def shower_of_hit(self) -> Int64[Tensor, " hits"]:
        """The number of each hit's shower, with shape (H)."""
        return shower_of_row(self.offsets)

    def to_showers(self) -> Showers:
        """The dense showers; the energies of hits in one cell add up."""
        address, shape = self._address, (len(self), self.calorimeter.n_cells)
        if not _ascend(address):
            return self.merged().to_showers()
        deposits = self.hit_energies.new_zeros(shape)
        deposits.view(-1).scatter_(0, address, self.hit_energies)
        return Showers(deposits, self.particles, self.calorimeter, self.weights, self.threshold)

    @property
    def _address(self) -> Int64[Tensor, " hits"]:
        """Shower and cell of each hit as one number, as in flat deposits."""
        first = torch.arange(len(self), device=self.cells.device) * self.calorimeter.n_cells
        number = self.offsets.diff()
        each = torch.repeat_interleave(first, number, output_size=self.n_hits)
        return each.add_(self.cells)

    def merged(self) -> "Hits":
        """At most one hit a cell, in flat order: energies add up, in double precision, and the
        earliest time stays.
        """
        address = self._address
        if _ascend(address):
            return self
        unique, place = torch.unique(address, return_inverse=True)
        shower = unique.div(self.calorimeter.n_cells, rounding_mode="floor")
        number = torch.bincount(shower, minlength=len(self))
        energies = self.hit_energies.new_zeros(len(unique), dtype=torch.float64)
        energies.index_add_(0, place, self.hit_energies.double())
        times = None if self.times is None else _earliest(self.times, place, len(unique))
        return replace(
            self,
            offsets=offsets_of(number),
            cells=(unique - shower * self.calorimeter.n_cells).int(),
            hit_energies=energies.to(self.hit_energies.dtype),
            times=times,
        )

    def above(self, energy: float) -> "Hits":
        """The hits of more than an energy, in MeV."""
        kept = self.hit_energies > energy
        if bool(kept.all()):
            return self
        return replace(
            self,
            offsets=kept_offsets(self.offsets, kept),
            cells=self.cells[kept],
            hit_energies=self.hit_energies[kept],
            times=None if self.times is None else self.times[kept],
        )

    @property
    def readout_threshold(self) -> float:
        """The threshold of the readout: the one that is stated, else the least energy of a hit
        above 0, in MeV.

        Raises:
            ShowerValueError: None is stated, and no hit has energy.
        """
        lit = self.hit_energies[self.hit_energies > 0]
        if not self.threshold and not len(lit):
            msg = f"none of the {self.n_hits} hits has energy, expected some"
            raise ShowerValueError(msg)
        return self.threshold or float(lit.min())

    @property
    def numbers(self) -> Int64[Tensor, "showers layers"]:
        """The number of hits in each layer, with shape (N, layers)."""
        layers = self.calorimeter.n_layers
        layer = self.calorimeter.layer_of_cell.to(self.cells.device)[self.cells.long()]
        each = torch.bincount(self.shower_of_hit * layers + layer, minlength=len(self) * layers)
        return each.view(len(self), layers)

    def turned(self, choice: Int64[Tensor, " showers"]) -> "Hits":
        """Each shower turned or mirrored by a symmetry of the calorimeter, and its particle with
        it; see `Showers.turned`.
        """
        device = self.cells.device
        images = self.calorimeter.symmetries.argsort(dim=1).to(device)
        matrices = self.calorimeter.symmetry_matrices.mT.to(device)[choice]
        cells = images[choice[self.shower_of_hit], self.cells.long()].int()
        return replace(self, cells=cells, particles=self.particles.rotated(matrices))

    @staticmethod
    def cat(parts: Sequence["Hits"]) -> "Hits":
        """Join samples of one calorimeter, in order, as `Showers.cat` does.

        Raises:
            GeometryMismatchError: The calorimeters differ.
            ShowerValueError: The hits of some have times and those of others have none.
        """
        for part in parts[1:]:
            parts[0].calorimeter.require(part.calorimeter, "a sample to join")
        return Hits(
            joined_offsets([part.offsets for part in parts]),
            torch.cat([part.cells for part in parts]),
            torch.cat([part.hit_energies for part in parts]),
            Particles.cat([part.particles for part in parts]),
            parts[0].calorimeter,
            joined_weights(parts),
            common_threshold(part.threshold for part in parts),
            _joined_times(parts),
        )

    def to(self, device: torch.device | str) -> "Hits":
        """The same hits on another device."""
        return replace(
            self,
            offsets=self.offsets.to(device),
            cells=self.cells.to(device),
            hit_energies=self.hit_energies.to(device),
            particles=self.particles.to(device),
            weights=None if self.weights is None else self.weights.to(device),
            times=None if self.times is None else self.times.to(device),
        )


AnyShowers = Showers | Hits
"""Showers in memory, dense or sparse."""


@runtime_checkable
class HitSource(ShowerSource, Protocol):
    """Showers that can be had as hits, wherever they are: in memory, or in a file."""

    def sparse(self, index: slice) -> Hits:
        """The showers of a slice, as hits."""


def batches_of(source: ShowerSource, size: int) -> Iterator[AnyShowers]:
    """The showers of a source in order, ``size`` at a time, as the source holds them: hits of a
    `HitSource`, else dense showers.

    Raises:
        ShowerValueError: The size is less than 1.
    """
    if isinstance(source, HitSource):
        return (source.sparse(span) for span in spans(len(source), size))
    return source.batches(size)


_Some = TypeVar("_Some", bound=AnyShowers)


def part_of(showers: _Some, index: Index) -> _Some:
    """Some of the showers, as they are held: dense, or as hits with their times."""
    found = showers.sparse(index) if isinstance(showers, Hits) else showers[index]
    return cast("_Some", found)


def dense(showers: AnyShowers) -> Showers:
    """The showers with all their cells."""
    return showers.to_showers() if isinstance(showers, Hits) else showers


def joined(parts: Sequence[AnyShowers]) -> AnyShowers:
    """Join samples of one calorimeter, in order: hits if all are, else dense showers.

    Raises:
        GeometryMismatchError: The calorimeters differ.
    """
    hits = [part for part in parts if isinstance(part, Hits)]
    if hits and len(hits) == len(parts):
        return Hits.cat(hits)
    return Showers.cat([dense(part) for part in parts])


def _require_cells(cells: Tensor, calorimeter: Calorimeter) -> None:
    if cells.dtype != torch.int32:
        msg = f"cells of hits have type {cells.dtype}, expected torch.int32"
        raise ShowerValueError(msg)
    bad = (cells < 0) | (cells >= calorimeter.n_cells)
    if bad.any():
        first = int(bad.nonzero()[0, 0])
        msg = (
            f"{int(bad.sum())} of {len(cells)} hits are in no cell of calorimeter "
            f"'{calorimeter.name}', the first is hit {first} in cell {int(cells[first])}: expected "
            f"0 to {calorimeter.n_cells - 1}"
        )
        raise ShowerValueError(msg)


def _ascend(address: Tensor) -> bool:
    return bool((address[1:] > address[:-1]).all())


def _earliest(times: Tensor, place: Tensor, n: int) -> Tensor:
    latest = times.new_full((n,), torch.inf)
    return latest.scatter_reduce_(0, place, times, "amin")


def _joined_times(parts: Sequence[Hits]) -> Tensor | None:
    given = [part.times for part in parts if part.times is not None]
    if len(given) not in {0, len(parts)}:
        msg = "some hits to join have times and others have none: leave the times out of all"
        raise ShowerValueError(msg)
    return torch.cat(given) if given else None
