r"""The expected deposits of spots: integrals of the radial profile over cells, in closed form.

The density :math:`k(r; R) = R^2 / (\pi (r^2 + R^2)^2)` has, over the rectangle from the axis to :math:`(x, y)`, the integral

.. math:: C(x, y; R) = \frac{1}{2 \pi} \left( \frac{x}{\sqrt{x^2 + R^2}} \arctan \frac{y}{\sqrt{x^2 + R^2}}
                       + \frac{y}{\sqrt{y^2 + R^2}} \arctan \frac{x}{\sqrt{y^2 + R^2}} \right),

and over any cell the mixed difference of :math:`C` at its corners. The cells lie symmetrically about the beam, so one quadrant
is enough.
"""

__all__ = ["expected_deposits"]

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from caloforge.calorimeter import RegularGrid
from caloforge.simulators.longitudinal import Walk
from caloforge.simulators.parametrisation import Radial


def expected_deposits(
    grid: RegularGrid, walk: Walk, energies: Float[Tensor, "showers steps"], radial: Radial
) -> Float[Tensor, "showers cells"]:
    """Spread the energy of each step, uniform in depth within it, over the cells.

    Arguments:
        grid: The cells, with the beam along their axis.
        walk: The steps and segments.
        energies: The energy in each step, in MeV.
        radial: The radial profile in each step.

    Returns:
        The expected deposits, in MeV.
    """
    core, tail, p = radial
    x, y = (_quadrant_edges(grid, axis, core) for axis in (0, 1))
    shares = _rectangles(x, y, core) * p[..., None, None] + _rectangles(x, y, tail) * (1 - p)[..., None, None]
    layers = energies.new_zeros(energies.shape[1], grid.n_layers)
    layers.index_put_((walk.step, walk.layer), walk.end - walk.start, accumulate=True)
    quadrant = torch.einsum("ns,sl,nsxy->nlxy", energies, layers, shares)
    i_x, i_y, i_z = grid.indices.to(core.device).unbind(-1)
    (j_x, times_x), (j_y, times_y) = _folded(i_x, grid.shape[0]), _folded(i_y, grid.shape[1])
    return quadrant[:, i_z, j_x, j_y] * (times_x * times_y)


def _quadrant_edges(grid: RegularGrid, axis: int, like: Tensor) -> Float[Tensor, " edges"]:
    """The edges of cells on one side of the beam, from 0 on, in mm."""
    n = grid.shape[axis]
    upper = torch.arange(n // 2 + 1, dtype=like.dtype, device=like.device) + (n % 2) / 2
    return torch.cat([upper.new_zeros(n % 2), upper]) * grid.cell_size[axis]


def _folded(i: Int[Tensor, " cells"], n: int) -> tuple[Int[Tensor, " cells"], Int[Tensor, " cells"]]:
    """Where in the quadrant a cell is, and how often its part there makes the whole cell."""
    distance = (2 * i + 1 - n).abs() // 2
    return distance, 1 + ((distance == 0) & (n % 2 == 1)).long()


def _rectangles(
    x: Float[Tensor, " x_edges"], y: Float[Tensor, " y_edges"], squared: Float[Tensor, "showers steps"]
) -> Float[Tensor, "showers steps x y"]:
    """The integral of the density over each rectangle of the quadrant; ``squared`` is :math:`R^2`, in mm^2."""
    x, y, squared = x[:, None], y, squared[..., None, None]
    h_x, h_y = (x.square() + squared).sqrt(), (y.square() + squared).sqrt()
    corner = (x / h_x * (y / h_x).atan() + y / h_y * (x / h_y).atan()) / (2 * math.pi)
    return corner.diff(dim=-2).diff(dim=-1)
