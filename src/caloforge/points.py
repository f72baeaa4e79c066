r"""Points are showers before any cell reads them: places at which energy lies.

A point has a layer, a place (x, y) across it in mm, an energy in MeV, and where it is known a time
in ns; those of shower i are the rows :math:`o_i \le p < o_{i+1}`, as in `caloforge.hits`. Geant4's
merged steps are points, a model of point clouds makes them, and both ask no calorimeter.

`Points.in_cells` reads them out: each goes to the cell in which it lies, and what lies beside all
cells is counted and said. `Points.of` goes back, one point a hit, at the centre of its cell or
anywhere in it: read out by the same cells, these are the same hits again.
"""

__all__ = ["Points"]

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.errors import PointsOutsideWarning, ShowerValueError
from caloforge.geometry import Calorimeter
from caloforge.hits import Hits
from caloforge.particles import Index, Particles, rows_of
from caloforge.ragged import (
    chosen_rows,
    joined_offsets,
    kept_offsets,
    require_offsets,
    shower_of_row,
)
from caloforge.showers import joined_weights, require_weights
from caloforge.shown import Shown, counted


@dataclass(frozen=True, eq=False, repr=False)
class Points(Shown):
    """The points of N showers.

    Arguments:
        offsets: The row of each shower's first point, and behind the last the number P of all
            points, ascending from 0, int64, with shape (N + 1).
        layers: The layer of each point, from 0 on, int64, with shape (P).
        places: Its place (x, y), in mm, finite, with shape (P, 2).
        point_energies: Its energy, in MeV, finite, with shape (P).
        particles: The N incident particles.
        weights: How often each shower counts, with shape (N); None for once each.
        times: The time of each point, in ns, with shape (P); None where it is not known.

    Raises:
        ShowerValueError: Offsets do not fit, shapes differ, a layer is negative, or a place or an
            energy is not finite.
    """

    offsets: Tensor
    layers: Tensor
    places: Tensor
    point_energies: Tensor
    particles: Particles
    weights: Tensor | None = None
    times: Tensor | None = None

    def __post_init__(self) -> None:
        require_offsets(self.offsets, len(self.particles), self.n_points, "points")
        self._require("layers", self.layers, ())
        self._require("places", self.places, (2,))
        self._require("energies", self.point_energies, ())
        if self.times is not None:
            self._require("times", self.times, ())
        if self.weights is not None:
            require_weights(self.weights, len(self.particles))

    def _require(self, name: str, values: Tensor, each: tuple[int, ...]) -> None:
        if tuple(values.shape) != (self.n_points, *each):
            msg = (
                f"{name} of points have shape {tuple(values.shape)}, expected "
                f"{(self.n_points, *each)} as there are {self.n_points} energies of points"
            )
            raise ShowerValueError(msg)
        bad = ~values.isfinite() | (values < 0 if name == "layers" else False)
        if bad.any():
            first = int(bad.nonzero()[0, 0])
            expected = "0 or more" if name == "layers" else "finite numbers"
            msg = (
                f"{name} of points: {int(bad.sum())} of {bad.numel()} are impossible, the first is "
                f"{values[first].tolist()} of point {first}, expected {expected}"
            )
            raise ShowerValueError(msg)

    @staticmethod
    def of(hits: Hits, within: Float[Tensor, "hits 2"] | None = None) -> "Points":
        """One point for each hit.

        Arguments:
            hits: The hits.
            within: Where in its cell each point lies, two numbers in ]0, 1[, with shape (H, 2), see
                `Calorimeter.points_in`; None for the centres.
        """
        cells, device = hits.cells.long().cpu(), hits.cells.device
        known = hits.calorimeter
        if within is None:
            places = known.transverse[cells]
        else:
            places = known.points_in(cells, *within.cpu().unbind(dim=1))
        return Points(
            hits.offsets,
            known.layer_of_cell[cells].to(device),
            places.float().to(device),
            hits.hit_energies,
            hits.particles,
            hits.weights,
            hits.times,
        )

    @property
    def energies(self) -> Tensor:
        """The incident energies, in MeV, with shape (N)."""
        return self.particles.energies

    @property
    def n_points(self) -> int:
        """The number of all points, P."""
        return len(self.point_energies)

    @property
    def shower_of_point(self) -> Tensor:
        """The number of each point's shower, with shape (P)."""
        return shower_of_row(self.offsets)

    def __len__(self) -> int:
        return len(self.particles)

    def facts(self) -> Mapping[str, str]:
        """What a prompt and a notebook show."""
        particles = self.particles.facts()
        return {
            "showers": counted(len(self), "shower"),
            "points": counted(self.n_points, "point"),
            **{key: text for key, text in particles.items() if key != "particles"},
        }

    def __getitem__(self, index: Index) -> "Points":
        chosen = rows_of(index, len(self))
        rows, offsets = chosen_rows(self.offsets, chosen)
        return replace(
            self,
            offsets=offsets,
            layers=self.layers[rows],
            places=self.places[rows],
            point_energies=self.point_energies[rows],
            particles=self.particles[chosen],
            weights=None if self.weights is None else self.weights[chosen],
            times=None if self.times is None else self.times[rows],
        )

    def in_cells(self, calorimeter: Calorimeter) -> Hits:
        """The hits of a calorimeter that reads the points: one a cell, with the energy of all
        points in it and the earliest of their times.

        Points that lie in no cell are left out; a `PointsOutsideWarning` counts them.

        Arguments:
            calorimeter: Where the cells are.

        Raises:
            ShowerValueError: A point lies in a layer that the calorimeter does not have.
        """
        self._require_layers(calorimeter)
        cells = calorimeter.cell_at(self.layers, *self.places.unbind(dim=1))
        inside = cells >= 0
        if not inside.all():
            self._say_outside(~inside, calorimeter)
        return Hits(
            kept_offsets(self.offsets, inside),
            cells[inside].int(),
            self.point_energies[inside],
            self.particles,
            calorimeter,
            self.weights,
            times=None if self.times is None else self.times[inside],
        ).merged()

    def _require_layers(self, calorimeter: Calorimeter) -> None:
        beyond = self.layers >= calorimeter.n_layers
        if beyond.any():
            first = int(beyond.nonzero()[0, 0])
            msg = (
                f"{int(beyond.sum())} of {self.n_points} points lie in layers that calorimeter "
                f"'{calorimeter.name}' does not have, the first in layer "
                f"{int(self.layers[first])}: expected 0 to {calorimeter.n_layers - 1}"
            )
            raise ShowerValueError(msg)

    def _say_outside(self, outside: Tensor, calorimeter: Calorimeter) -> None:
        energies = self.point_energies.double()
        whole, lost = float(energies.sum()), float(energies[outside].sum())
        share = f"{lost / whole:.2%} of all energy" if whole > 0 else f"{lost:.4g} MeV"
        msg = (
            f"{int(outside.sum())} of {self.n_points} points lie in no cell of calorimeter "
            f"'{calorimeter.name}', with {share}: they are left out"
        )
        warnings.warn(msg, PointsOutsideWarning, stacklevel=3)

    @staticmethod
    def cat(parts: Sequence["Points"]) -> "Points":
        """Join samples, in order; times are kept where all parts have some."""
        times = [part.times for part in parts if part.times is not None]
        return Points(
            joined_offsets([part.offsets for part in parts]),
            torch.cat([part.layers for part in parts]),
            torch.cat([part.places for part in parts]),
            torch.cat([part.point_energies for part in parts]),
            Particles.cat([part.particles for part in parts]),
            joined_weights(parts),
            torch.cat(times) if len(times) == len(parts) else None,
        )

    def to(self, device: torch.device | str) -> "Points":
        """The same points on another device."""
        return replace(
            self,
            offsets=self.offsets.to(device),
            layers=self.layers.to(device),
            places=self.places.to(device),
            point_energies=self.point_energies.to(device),
            particles=self.particles.to(device),
            weights=None if self.weights is None else self.weights.to(device),
            times=None if self.times is None else self.times.to(device),
        )
