r"""What is recorded of a shower's steps: the deposits of cells, hits with times, or points.

Cells that are no volumes in Geant4 hold the steps whose places lie in them. A hit has the energy of
all steps in its cell, a point that of the steps in one cell that also share a square of a fine grid
across the layer; both have the earliest of their times, and a point lies at
:math:`\sum_i e_i (x, y)_i / \sum_i e_i`. As cells are convex, it lies in that cell: read out by the
same cells, points are the hits again. What lies beside all cells are points, too.
"""

__all__ = ["Record", "Recorded", "Steps", "hits_in", "joined_hits", "joined_points", "points_in"]

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import Hits
from caloforge.particles import Particles
from caloforge.points import Points
from caloforge.ragged import offsets_of

_FAR = 1 << 31
"""Squares of the fine grid, along x or y, are fewer than this."""


class Record(str, Enum):
    """What is recorded of a shower."""

    CELLS = "cells"
    """The deposits of all cells; boxes are volumes, and no times are known."""
    HITS = "hits"
    """The cells with energy alone, and the times; no cell is a volume."""
    POINTS = "points"
    """Places of energy, finer than the cells, and their times; no cell is a volume."""


class Recorded(NamedTuple):
    """What is recorded of a shower."""

    cells: np.ndarray
    """The flat index of each hit's cell, or of that in which a point lies, -1 for none."""
    energies: np.ndarray
    """The energies, in MeV."""
    times: np.ndarray | None = None
    """The times since the particle set out, in ns; None where they are not known."""
    layers: np.ndarray | None = None
    """The layer of each point; None of hits."""
    places: np.ndarray | None = None
    """The place (x, y) of each point, in mm, with shape (points, 2); None of hits."""

    def read(self, sampling_fraction: float, threshold: float) -> "Recorded":
        """The same, with energies divided by the sampling fraction, and those below the threshold,
        in MeV, left out.
        """
        energies = self.energies / sampling_fraction
        kept = (energies > 0) & (energies >= threshold)
        times, layers, places = (
            None if column is None else column[kept]
            for column in (self.times, self.layers, self.places)
        )
        return Recorded(self.cells[kept], energies[kept], times, layers, places)


class Steps(NamedTuple):
    """The steps of a shower in active matter that left some energy."""

    layers: np.ndarray
    """The layer of each."""
    places: np.ndarray
    """Its place (x, y), in mm, with shape (steps, 2)."""
    times: np.ndarray
    """Its time, in ns."""
    energies: np.ndarray
    """Its energy, in MeV."""

    @staticmethod
    def of(where: np.ndarray, energies: np.ndarray, calorimeter: Calorimeter) -> "Steps":
        """Those within the layers of a calorimeter, of what a worker sends."""
        inside = (where[:, 0] >= 0) & (where[:, 0] < calorimeter.n_layers)
        layers, x, y, times = where[inside].T
        return Steps(layers.astype(np.int64), np.stack([x, y], axis=1), times, energies[inside])

    def cells(self, calorimeter: Calorimeter) -> np.ndarray:
        """The flat index of the cell in which each lies, -1 for none."""
        found = calorimeter.cell_at(*map(torch.from_numpy, (self.layers, *self.places.T.copy())))
        cells: np.ndarray = found.numpy()
        return cells


def hits_in(calorimeter: Calorimeter, steps: Steps) -> Recorded:
    """The hits of a calorimeter that reads the steps, in flat order."""
    cells = steps.cells(calorimeter)
    inside = cells >= 0
    hit, place = np.unique(cells[inside], return_inverse=True)
    energies = np.bincount(place, steps.energies[inside], len(hit))
    return Recorded(hit, energies, _earliest(steps.times[inside], place, len(hit)))


def points_in(calorimeter: Calorimeter, steps: Steps, pitch: float) -> Recorded:
    """The steps, those in one cell and one square of a fine grid merged.

    Arguments:
        calorimeter: Where the cells are.
        steps: The steps.
        pitch: The side of the squares, in mm.
    """
    cells = steps.cells(calorimeter)
    i, j = np.floor(steps.places / pitch).astype(np.int64).T
    squares, square = np.unique(i * _FAR + j, return_inverse=True)
    region = np.where(cells < 0, calorimeter.n_cells + steps.layers, cells)
    _, first, place = np.unique(
        region * len(squares) + square, return_index=True, return_inverse=True
    )
    energies = np.bincount(place, steps.energies, len(first))
    moments = [np.bincount(place, steps.energies * at, len(first)) for at in steps.places.T]
    return Recorded(
        cells[first],
        energies,
        _earliest(steps.times, place, len(first)),
        steps.layers[first],
        np.stack(moments, axis=1) / energies[:, None],
    )


def _earliest(times: np.ndarray, place: np.ndarray, n: int) -> np.ndarray:
    earliest = np.full(n, np.inf)
    np.minimum.at(earliest, place, times)
    return earliest


def joined_hits(
    recorded: Sequence[Recorded],
    particles: Particles,
    calorimeter: Calorimeter,
    threshold: float | None,
) -> Hits:
    """The hits of showers, of which cells or hits have been recorded."""
    times = [one.times for one in recorded if one.times is not None]
    return Hits(
        _offsets(recorded),
        _column([one.cells for one in recorded], torch.int32),
        _column([one.energies for one in recorded], torch.float32),
        particles,
        calorimeter,
        threshold=threshold,
        times=_column(times, torch.float32) if times else None,
    )


def joined_points(recorded: Sequence[Recorded], particles: Particles) -> Points:
    """The points of showers, of which points have been recorded."""
    layers, places, times = (
        [column for one in recorded if (column := getattr(one, name)) is not None]
        for name in ("layers", "places", "times")
    )
    return Points(
        _offsets(recorded),
        _column(layers, torch.int64),
        _column(places, torch.float32).view(-1, 2),
        _column([one.energies for one in recorded], torch.float32),
        particles,
        times=_column(times, torch.float32),
    )


def _offsets(recorded: Sequence[Recorded]) -> Tensor:
    return offsets_of(torch.tensor([len(one.energies) for one in recorded], dtype=torch.int64))


def _column(parts: Sequence[np.ndarray], dtype: torch.dtype) -> Tensor:
    joined = np.concatenate(parts) if parts else np.empty(0)
    return torch.from_numpy(joined).to(dtype)
