r"""The expected deposits of spots: integrals of the radial profile over cells, in closed form.

The density :math:`k(r; R) = R^2 / (\pi (r^2 + R^2)^2)` has, over the rectangle from the axis to
:math:`(x, y)`, the integral

.. math:: C(x, y; R) = \frac{1}{2 \pi} \left( \frac{x}{\sqrt{x^2 + R^2}} \arctan \frac{y}{\sqrt{x^2
          + R^2}}
                       + \frac{y}{\sqrt{y^2 + R^2}} \arctan \frac{x}{\sqrt{y^2 + R^2}} \right),

and over any box the mixed difference of :math:`C` at its corners. The boxes lie symmetrically about
the beam, so one quadrant is enough. A ring between :math:`r_1` and :math:`r_2` has the integral
:math:`r_2^2 / (r_2^2 + R^2) - r_1^2 / (r_1^2 + R^2)`, of which each of its bins in :math:`\alpha`
has an equal share.
"""

__all__ = ["expected_deposits"]

import math
from itertools import groupby

import torch
from jaxtyping import Float, Int
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry import Boxes, Calorimeter, Rings
from caloforge.gradients import differentiable
from caloforge.simulators.gflash.longitudinal import Walk
from caloforge.simulators.gflash.parametrisation import Radial


@differentiable
def expected_deposits(
    cells: Calorimeter, walk: Walk, energies: Float[Tensor, "showers steps"], radial: Radial
) -> Float[Tensor, "showers cells"]:
    """Spread the energy of each step, uniform in depth within it, over the cells; differentiable
    in the energies and the radial profile.

    Arguments:
        cells: The cells, with the beam along their axis.
        walk: The steps and segments.
        energies: The energy in each step, in MeV.
        radial: The radial profile in each step.

    Returns:
        The expected deposits, in MeV.

    Raises:
        GeometryError: The cells are irregular.
    """
    if not cells.divisions:
        msg = (
            f"GFlash of calorimeter '{cells.name}': it is a {cells.kind}, the expected deposits "
            "are known for layers of boxes or rings alone: simulate showers instead"
        )
        raise GeometryError(msg)
    shares = energies.new_zeros(energies.shape[1], cells.n_layers)
    shares.index_put_((walk.step, walk.layer), walk.end - walk.start, accumulate=True)
    parts, first = [], 0
    for division, run in groupby(cells.divisions):
        layers = slice(first, first + len(list(run)))
        share = shares[:, layers]
        held = share.any(dim=1)
        spread = energies[:, held], share[held], Radial(*(t[:, held] for t in radial))
        match division:
            case Boxes():
                parts.append(_over_boxes(division, *spread))
            case Rings():
                parts.append(_over_rings(division, *spread))
        first = layers.stop
    return cells.to_flat(torch.cat(parts, dim=1))


def _over_boxes(
    boxes: Boxes,
    energies: Float[Tensor, "showers steps"],
    layers: Float[Tensor, "steps layers"],
    radial: Radial,
) -> Float[Tensor, "showers cells"]:
    core, tail, p = radial
    x, y = (_quadrant_edges(boxes, axis, core) for axis in (0, 1))
    shares = (
        _rectangles(x, y, core) * p[..., None, None]
        + _rectangles(x, y, tail) * (1 - p)[..., None, None]
    )
    quadrant = torch.einsum("ns,sl,nsxy->nlxy", energies, layers, shares)
    i_x, i_y = (torch.arange(n, device=core.device) for n in boxes.number)
    (j_x, times_x), (j_y, times_y) = _folded(i_x, len(i_x)), _folded(i_y, len(i_y))
    places = (j_x * quadrant.shape[3] + j_y[:, None]).flatten()
    whole = quadrant.flatten(2).index_select(2, places) * (times_y[:, None] * times_x).flatten()
    return whole.flatten(1)


def _over_rings(
    rings: Rings,
    energies: Float[Tensor, "showers steps"],
    layers: Float[Tensor, "steps layers"],
    radial: Radial,
) -> Float[Tensor, "showers cells"]:
    core, tail, p = (t[..., None] for t in radial)
    squared = torch.tensor(rings.r_edges, dtype=core.dtype, device=core.device).square()
    shares = (p * squared / (squared + core) + (1 - p) * squared / (squared + tail)).diff(dim=-1)
    each = torch.einsum("ns,sl,nsr->nlr", energies, layers, shares) / rings.n_alpha
    return each[:, :, None].expand(-1, -1, rings.n_alpha, -1).flatten(1)


def _quadrant_edges(boxes: Boxes, axis: int, like: Tensor) -> Float[Tensor, " edges"]:
    """The edges of cells on one side of the beam, from 0 on, in mm."""
    n = boxes.number[axis]
    upper = torch.arange(n // 2 + 1, dtype=like.dtype, device=like.device) + (n % 2) / 2
    return torch.cat([upper.new_zeros(n % 2), upper]) * boxes.size[axis]


def _folded(i: Int[Tensor, " n"], n: int) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Where in the quadrant a cell is, and how often its part there makes the whole cell."""
    distance = (2 * i + 1 - n).abs() // 2
    return distance, 1 + ((distance == 0) & (n % 2 == 1)).long()


def _rectangles(
    x: Float[Tensor, " x_edges"],
    y: Float[Tensor, " y_edges"],
    squared: Float[Tensor, "showers steps"],
) -> Float[Tensor, "showers steps x y"]:
    """The integral of the density over each rectangle of the quadrant; ``squared`` is :math:`R^2`,
    in mm^2.
    """
    x, y, squared = x[:, None], y, squared[..., None, None]
    h_x, h_y = (x.square() + squared).sqrt(), (y.square() + squared).sqrt()
    corner = (x / h_x * (y / h_x).atan() + y / h_y * (x / h_y).atan()) / (2 * math.pi)
    return corner.diff(dim=-2).diff(dim=-1)
