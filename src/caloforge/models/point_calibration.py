r"""Points shifted and scaled so that the mean shower that cells read out is that of the training.

What cells read out of points is not distributed as the points: two in one cell are one hit, and a
small network blurs. A calibration makes up for the means: the radial normal number of a point, by
its layer and the number of hits there, and the normal number of its energy, by the distance of its
cell, too, are mapped by :math:`y \to \mu + \sigma\,(y - m) / s` with the moments of hits made
(m, s) and of training showers, again and again while hits made depend on it. At last the energies
at each distance are scaled so that they add up to those of the training showers.
"""

__all__ = ["PointCalibration", "Sighted"]

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from caloforge.learn.moments import MomentTables

_MOST = 2.0
"""The largest factor in one round."""

_FEW = 20.0
"""Ratios added to a sum of them, so that a few make no factor."""


@dataclass(frozen=True, eq=False)
class Sighted:
    """Normal numbers of hits, and what their calibration depends on.

    Arguments:
        radial: The normal number of the distance from the track.
        energy: That of the energy.
        group: Whose tables it has.
        cells: The distance of the cell, in mm.
        levels: The log of the number of hits.
        ratios: The energy above the threshold over the mean of its layer.
    """

    radial: Float[Tensor, " hits"]
    energy: Float[Tensor, " hits"]
    group: Int64[Tensor, " hits"]
    cells: Float[Tensor, " hits"]
    levels: Float[Tensor, " hits"]
    ratios: Float[Tensor, " hits"]


class PointCalibration(nn.Module):
    """The maps; nothing changes before the first `correct`.

    Arguments:
        groups: The number of groups.
        distances: The number of nodes in the distance.
        levels: The number of nodes in the log of the number of hits.
    """

    shares: Tensor

    def __init__(self, groups: int, distances: int, levels: int) -> None:
        super().__init__()
        self.radial = MomentTables(groups, 2, levels)
        self.energy = MomentTables(groups, distances, levels)
        shares = torch.zeros(groups, distances, levels, dtype=torch.float64)
        self.register_buffer("shares", shares)

    def correct(self, truth: Sighted, made: Sighted) -> None:
        """Correct the affine maps once.

        Arguments:
            truth: Hits of training showers.
            made: Hits of the same showers as they are made now.
        """
        zero = torch.zeros_like
        _correct(
            self.radial,
            (truth.radial, truth.group, zero(truth.cells), truth.levels),
            (made.radial, made.group, zero(made.cells), made.levels),
        )
        _correct(
            self.energy,
            (truth.energy, truth.group, truth.cells, truth.levels),
            (made.energy, made.group, made.cells, made.levels),
        )

    def scale(self, truth: Sighted, made: Sighted) -> None:
        """Scale the energies once, after the last `correct`; its arguments."""
        there, here = (
            self.energy.sums(one.ratios[:, None], one.group, one.cells, one.levels)[..., 0] + _FEW
            for one in (truth, made)
        )
        self.shares += (there / here).clamp(1 / _MOST, _MOST).log()

    def moved(
        self,
        radial: Float[Tensor, " points"],
        group: Int64[Tensor, " points"],
        levels: Float[Tensor, " points"],
    ) -> Float[Tensor, " points"]:
        """The radial normal numbers, calibrated."""
        shift, factor = self.radial.at(group, torch.zeros_like(levels), levels)
        return shift + factor * radial

    def lit(
        self,
        energy: Float[Tensor, " points"],
        group: Int64[Tensor, " points"],
        cells: Float[Tensor, " points"],
        levels: Float[Tensor, " points"],
    ) -> tuple[Float[Tensor, " points"], Float[Tensor, " points"]]:
        """The normal numbers of the energies, calibrated, and by how much the logs of the energies
        are to be raised.
        """
        shift, factor = self.energy.at(group, cells, levels)
        raised = self.energy.between(self.shares, group, cells, levels)
        return shift + factor * energy, raised


_Numbers = tuple[Tensor, Tensor, Tensor, Tensor]


def _correct(table: MomentTables, truth: _Numbers, made: _Numbers) -> None:
    there, here = (MomentTables(*table.mean.shape) for _ in range(2))
    there.adapt(*truth)
    for other in (here, table):
        other.p.copy_(there.p)
        other.q.copy_(there.q)
    here.take(*made)
    factor = (there.spread / here.spread).clamp(1 / _MOST, _MOST)
    table.mean.copy_(there.mean + factor * (table.mean - here.mean))
    table.spread.mul_(factor)
