r"""Showers are the energies in the cells, with the particles that made them.

`Particles` and `Showers` are samples of N; a number, a slice, a list or a mask gives the sample of
the chosen ones, and `Showers.cat` joins samples of the same calorimeter. A
`ShowerSource` is anything that gives showers by slices: `Showers` in memory, or a file read in
batches (`caloforge.io`), so that no step needs a whole file in memory.

Showers may carry weights :math:`w_i \ge 0`: a sum over showers then counts shower i :math:`w_i`
times. Without weights each counts once.
"""

__all__ = [
    "ShowerSource",
    "Showers",
    "Tabular",
    "common_threshold",
    "joined_weights",
    "readout_threshold",
    "require_weights",
    "spans",
]

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from typing_extensions import Protocol, runtime_checkable

from caloforge.errors import ShowerValueError
from caloforge.geometry import Calorimeter
from caloforge.particles import Index, Numbers, Particles, rows_of, tensor_of
from caloforge.shown import Shown, counted

_AT_A_TIME = 1000


def spans(n: int, size: int) -> list[slice]:
    """The slices that cut n showers into batches of ``size``; the last one may be smaller.

    Raises:
        ShowerValueError: The size is less than 1.
    """
    if size < 1:
        msg = f"batch size is {size}, expected at least 1"
        raise ShowerValueError(msg)
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


class Tabular(Shown):
    """Showers in memory, dense or sparse, as others take them."""

    particles: Particles
    calorimeter: Calorimeter
    weights: Tensor | None

    def facts(self) -> dict[str, str]:
        """What a prompt and a notebook show."""
        particles = self.particles.facts()
        weighted = {} if self.weights is None else {"weights": "weighted"}
        return {
            "showers": counted(len(self.particles), "shower"),
            "calorimeter": f"{self.calorimeter.n_cells:,} cells of {self.calorimeter.name}",
            **{key: text for key, text in particles.items() if key != "particles"},
            **weighted,
        }

    def to_numpy(self) -> dict[str, np.ndarray]:
        """The deposits, in MeV, with shape (N, cells), and what is known of the particles, by the
        names of a CaloChallenge file.
        """
        from caloforge.exchange import as_arrays

        return as_arrays(self)  # type: ignore[arg-type]

    def to_awkward(self) -> Any:
        """An array of awkward: one record a shower, with lists of its hits.

        Raises:
            PackageError: The package awkward is not installed.
        """
        from caloforge.exchange import as_awkward

        return as_awkward(self)  # type: ignore[arg-type]

    def to_dataframe(self) -> Any:
        """A table of pandas, with one row a hit.

        Raises:
            PackageError: The package pandas is not installed.
        """
        from caloforge.exchange import as_frame

        return as_frame(self)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Showers(Tabular):
    """Energies deposited in the cells of a calorimeter.

    Arguments:
        deposits: The energy in each cell, in MeV, at least 0, float32, with shape (N, cells).
        particles: The N incident particles.
        calorimeter: Where the cells are.
        weights: How often each shower counts, finite and at least 0, with shape (N); None for once
            each.
        threshold: The threshold of the readout, in MeV, at least 0: each deposit is 0 or at least
            this; None where it is not stated.

    Raises:
        ShowerValueError: The shape does not fit the calorimeter or the particles, or a weight is
            negative or not finite.
    """

    deposits: Tensor
    particles: Particles
    calorimeter: Calorimeter
    weights: Tensor | None = None
    threshold: float | None = None

    def __init__(
        self,
        deposits: Numbers,
        particles: Particles,
        calorimeter: Calorimeter,
        weights: Numbers | None = None,
        threshold: float | None = None,
    ) -> None:
        object.__setattr__(self, "deposits", tensor_of(deposits, "deposits"))
        object.__setattr__(self, "particles", particles)
        object.__setattr__(self, "calorimeter", calorimeter)
        given = None if weights is None else tensor_of(weights, "weights")
        object.__setattr__(self, "weights", given)
        object.__setattr__(self, "threshold", threshold)
        self._check_deposits()
        if given is not None:
            require_weights(given, len(self.particles))

    def _check_deposits(self) -> None:
        expected = (len(self.particles), self.calorimeter.n_cells)
        if tuple(self.deposits.shape) != expected:
            msg = (
                f"deposits have shape {tuple(self.deposits.shape)}, expected {expected}: "
                f"{expected[0]} particles, {expected[1]} cells of calorimeter "
                f"'{self.calorimeter.name}'"
            )
            raise ShowerValueError(msg)

    @property
    def energies(self) -> Tensor:
        """The incident energies, in MeV, with shape (N)."""
        return self.particles.energies

    def __len__(self) -> int:
        return len(self.particles)

    def __getitem__(self, index: Index) -> "Showers":
        rows = rows_of(index, len(self))
        weights = None if self.weights is None else self.weights[rows]
        return replace(
            self, deposits=self.deposits[rows], particles=self.particles[rows], weights=weights
        )

    def __iter__(self) -> Iterator["Showers"]:
        return self.batches(1)

    def batches(self, size: int) -> Iterator["Showers"]:
        """The showers in order, ``size`` at a time; the last batch may be smaller.

        Raises:
            ShowerValueError: The size is less than 1.
        """
        return (self[span] for span in spans(len(self), size))

    def turned(self, choice: Int64[Tensor, " showers"]) -> "Showers":
        """Each shower turned or mirrored by a symmetry of the calorimeter, and its particle with
        it.

        Arguments:
            choice: The number of each shower's symmetry in `Calorimeter.symmetries`, with shape
                (N).
        """
        device = self.deposits.device
        cells = self.calorimeter.symmetries.to(device)[choice]
        matrices = self.calorimeter.symmetry_matrices.mT.to(device)[choice]
        return replace(
            self,
            deposits=self.deposits.gather(1, cells),
            particles=self.particles.rotated(matrices),
        )

    @staticmethod
    def cat(parts: Sequence["Showers"]) -> "Showers":
        """Join samples of one calorimeter, in order; beside a weighted one, the showers of others
        get the weight 1. The threshold is stated where all state the same.

        Raises:
            GeometryMismatchError: The calorimeters differ.
        """
        for part in parts[1:]:
            parts[0].calorimeter.require(part.calorimeter, "a sample to join")
        deposits = torch.cat([p.deposits for p in parts])
        particles = Particles.cat([p.particles for p in parts])
        return replace(
            parts[0],
            deposits=deposits,
            particles=particles,
            weights=joined_weights(parts),
            threshold=common_threshold(part.threshold for part in parts),
        )

    def to(self, device: torch.device | str) -> "Showers":
        """The same showers on another device."""
        weights = None if self.weights is None else self.weights.to(device)
        return replace(
            self,
            deposits=self.deposits.to(device),
            particles=self.particles.to(device),
            weights=weights,
        )


def require_weights(weights: Tensor, n: int) -> None:
    """Check that weights can say how often n showers count.

    Raises:
        ShowerValueError: Their shape is another, or one is negative or not finite.
    """
    if tuple(weights.shape) != (n,) or not weights.is_floating_point():
        msg = (
            f"weights have shape {tuple(weights.shape)} and type {weights.dtype}, expected ({n},) "
            "floating-point numbers"
        )
        raise ShowerValueError(msg)
    bad = ~(weights >= 0) | weights.isinf()
    if bad.any():
        first = int(bad.nonzero()[0, 0])
        msg = (
            f"{int(bad.sum())} of {n} weights are not finite or below 0, the first at index "
            f"{first} ({float(weights[first]):g}): "
            f"expected finite weights of at least 0"
        )
        raise ShowerValueError(msg)


def common_threshold(stated: Iterable[float | None]) -> float | None:
    """The threshold of the readout that all parts of a sample state; None where they differ."""
    distinct = set(stated)
    return distinct.pop() if len(distinct) == 1 else None


@runtime_checkable
class Weighted(Protocol):
    """A sample that may have weights."""

    @property
    def weights(self) -> Tensor | None:
        """The weights of all showers, with shape (N); None for once each."""

    def __len__(self) -> int: ...


def joined_weights(parts: Sequence[Weighted]) -> Tensor | None:
    """The weights of samples to join, 1 beside weighted ones; None where no sample has any."""
    given = [part.weights for part in parts if part.weights is not None]
    if not given:
        return None
    return torch.cat(
        [given[0].new_ones(len(part)) if part.weights is None else part.weights for part in parts]
    )


@runtime_checkable
class ShowerSource(Protocol):
    """Showers that can be had by slices, wherever they are.

    A check by isinstance looks for the names alone and reads nothing: that is why the protocol is
    not `typing`'s, which before Python 3.12 asks for the values of properties.
    """

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""

    @property
    def particles(self) -> Particles:
        """The incident particles of all showers, had without the deposits."""

    @property
    def energies(self) -> Tensor:
        """The incident energies of all showers, in MeV, with shape (N), had without
        the deposits.
        """

    @property
    def weights(self) -> Tensor | None:
        """The weights of all showers, with shape (N); None for once each."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice) -> Showers: ...

    def batches(self, size: int) -> Iterator[Showers]:
        """The showers in order, ``size`` at a time."""


def readout_threshold(showers: ShowerSource) -> float:
    """The threshold of the readout: the one that the showers state, else their least deposit above
    0, in MeV. Where one is stated above 0, nothing but the first batch is read.

    Raises:
        ShowerValueError: None is stated, and there is no deposit above 0.
    """
    least = math.inf
    for batch in showers.batches(_AT_A_TIME):
        if batch.threshold:
            return batch.threshold
        if (seen := batch.deposits[batch.deposits > 0]).numel() > 0:
            least = min(least, float(seen.min()))
    if least == math.inf:
        msg = f"none of the {len(showers)} showers has a deposit above 0, expected some energy"
        raise ShowerValueError(msg)
    return least
