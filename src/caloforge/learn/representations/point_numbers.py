r"""What a network sees of a point: numbers that are standard normal in the mean of all showers.

Cells make steps in the density of hits and in their energies that no small network resolves;
quantile tables hold them. With :math:`r` the distance from the particle's track and :math:`F` its
distribution, by layer and by the number of hits there,

.. math:: (x, y) \to \sqrt{-2 \ln (1 - F(r))}\, \frac{(x, y)}{r}, \qquad
          q = \ln \frac{e - \tau}{(E_l - n_l \tau) / n_l} .

The log ratio q of the energy above the threshold :math:`\tau` has mean and spread of its layer, by
the number of hits and the distance of the *cell's* centre, and a quantile table by that distance: a
point is as bright as its cell, wherever it lies there. Where points make their layers themselves,
all layers share tables, and the layer :math:`l + u`, :math:`u` uniform in ]0, 1[, is a number,
standardised.
"""

__all__ = ["PointNumbers", "PointRows", "apart_of", "radial_normal"]

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from caloforge.learn.moments import MomentTables
from caloforge.learn.quantiles import QuantileTables
from caloforge.learn.transforms import Standardisation

_LEAST_EXCESS = 1e-6
_LEVELS, _DISTANCES, _KNOTS = 9, 12, 257
_NEAREST, _FARTHEST = 1e-6, 8.0
"""Distances in the plane count from and up to these."""


@dataclass(frozen=True, eq=False)
class PointRows:
    """Points as `PointNumbers` take them.

    Arguments:
        places: (x, y) beside the track, in mm, with shape (points, 2).
        cells: The distance of the centre of each point's cell from the track, in mm.
        log_ratios: The log ratio of its energy.
        layers: Its layer, or its depth, in layers.
        levels: The log of the number of hits with which it is.
    """

    places: Tensor
    cells: Tensor
    log_ratios: Tensor
    layers: Tensor
    levels: Tensor


class PointNumbers(nn.Module):
    """The map between points and what a network sees of them.

    Arguments:
        layers: The number of layers; None where the layer is one of the numbers.
    """

    def __init__(self, layers: int | None) -> None:
        super().__init__()
        self.depth = layers is None
        self.distances = QuantileTables(layers or 1, _LEVELS, _KNOTS)
        self.brightness = MomentTables(layers or 1, _DISTANCES, _LEVELS)
        self.energies = QuantileTables(1, _DISTANCES, _KNOTS)
        self.layer = Standardisation(1)

    @property
    def width(self) -> int:
        """How many numbers stand for a point."""
        return 4 if self.depth else 3

    def adapt(self, points: PointRows) -> "PointNumbers":
        """Make the tables."""
        group = self.group(points.layers)
        distances = points.places.double().norm(dim=1)
        self.distances.place_nodes(points.levels)
        for k in range(self.distances.table.shape[1]):
            own = group == k
            self.distances.fit_group(k, points.levels[own], distances[own])
        self.brightness.adapt(points.log_ratios, group, points.cells, points.levels)
        self.energies.place_nodes(points.cells)
        self.energies.fit_group(0, points.cells, self._scaled(points))
        self.layer.adapt(points.layers[:, None])
        return self

    def group(self, layers: Float[Tensor, " points"]) -> Int64[Tensor, " points"]:
        """Whose tables each point has: those of its layer, or those of all."""
        return torch.zeros_like(layers, dtype=torch.int64) if self.depth else layers.long()

    def _scaled(self, points: PointRows) -> Float[Tensor, " points"]:
        mean, spread = self.brightness.at(self.group(points.layers), points.cells, points.levels)
        return (points.log_ratios - mean) / spread

    def encode(self, points: PointRows) -> Float[Tensor, "points numbers"]:
        """What a network sees."""
        r = points.places.double().norm(dim=1)
        normal = self.distances(r, points.levels, self.group(points.layers))
        plane = points.places * (apart_of(normal) / r.clamp_min(1e-12))[:, None]
        energy = self.energies(self._scaled(points), points.cells, torch.zeros_like(r).long())
        numbers = torch.cat([plane, energy[:, None]], dim=1).float()
        if not self.depth:
            return numbers
        return torch.cat([numbers, self.layer(points.layers[:, None])], dim=1)

    def places(
        self,
        z: Float[Tensor, "points numbers"],
        layers: Float[Tensor, " points"],
        levels: Float[Tensor, " points"],
    ) -> Float[Tensor, "points 2"]:
        """The places beside the track, in mm, of any finite numbers, in double precision."""
        plane = z[:, :2].double()
        apart = plane.norm(dim=1)
        r = self.distances.inverse(radial_normal(apart), levels, self.group(layers)).clamp_min(0)
        found: Tensor = plane * (r / apart.clamp_min(1e-12))[:, None]
        return found

    def log_ratios_at(
        self,
        energy: Float[Tensor, " points"],
        cells: Float[Tensor, " points"],
        layers: Float[Tensor, " points"],
        levels: Float[Tensor, " points"],
    ) -> Float[Tensor, " points"]:
        """The log ratios of the energies of points in cells at such distances."""
        scaled = self.energies.inverse(energy, cells, torch.zeros_like(cells).long())
        mean, spread = self.brightness.at(self.group(layers), cells, levels)
        return mean + spread * scaled

    def depths(self, z: Float[Tensor, "points numbers"]) -> Float[Tensor, " points"]:
        """The depth of each point, in layers, where it is one of the numbers."""
        return self.layer.inverse(z[:, 3:])[:, 0]

    @staticmethod
    def log_ratios(
        energies: Float[Tensor, " points"],
        means: Float[Tensor, " points"],
        threshold: Float[Tensor, ""],
    ) -> Float[Tensor, " points"]:
        """The logs of the energies above threshold over the mean of each point's layer, in MeV."""
        least = (_LEAST_EXCESS * threshold).clamp_min(1e-12)
        excess = (energies.double() - threshold).clamp_min(least)
        return (excess / means.clamp_min(least)).log()


def radial_normal(apart: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
    """The normal number of a distance in the plane."""
    inside = apart.double().clamp(_NEAREST, _FARTHEST)
    normal: Tensor = -torch.special.ndtri((-inside.square() / 2).exp())
    return normal


def apart_of(normal: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
    """The distance in the plane of a normal number; the inverse of `radial_normal`."""
    apart: Tensor = (-2 * torch.special.log_ndtr(-normal)).sqrt()
    return apart
