r"""Showers about any axis: at an angle, off centre, or begun inside the calorimeter.

The axis of a shower goes from its place on the front face along the particle's direction
:math:`n(\theta, \phi)`. Its depth t is counted along the axis, in radiation lengths: a layer of the
depth d is :math:`d / \cos\theta` long. A spot at :math:`(u, v) = r (\cos\psi, \sin\psi)` across the
axis, u in the plane of n and the beam, lies at

.. math:: z = z_t - u \sin\theta, \qquad
          \binom{x}{y} = \binom{x_0}{y_0}
          + \begin{pmatrix} \cos\phi & -\sin\phi \\ \sin\phi & \cos\phi \end{pmatrix}
          \binom{z_t \tan\theta + u \cos\theta}{v},

with the depth :math:`z_t` of the axis in mm; in cells that move with the particle, it lies at the
depth :math:`z_t / \cos\theta` and at :math:`(u, v)`, turned by :math:`\phi`. Unlike in `spots`,
each spot is placed. A shower goes on until no spot within two Molière radii lies before the rear.
"""

__all__ = ["Course", "Layout", "reach", "scatter_about"]

from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.particles import Particles
from caloforge.simulators.gflash.longitudinal import Steps
from caloforge.simulators.gflash.parametrisation import Radial
from caloforge.simulators.gflash.spots import QUANTUM, Address, Each, spots_about

_RADII_BEYOND = 2.0


class Course(NamedTuple):
    """The way of each shower, all float64 with shape (showers, 1)."""

    theta: Tensor
    phi: Tensor
    x: Tensor
    y: Tensor
    start: Tensor
    """The depth along the axis at which it begins, in radiation lengths."""

    @staticmethod
    def of(particles: Particles, start: Float[Tensor, "showers 1"]) -> "Course":
        """That of particles, whose showers begin at a depth."""
        zero = torch.zeros_like(start)
        theta, phi = (
            zero if angle is None else angle.to(zero)[:, None]
            for angle in (particles.theta, particles.phi)
        )
        place = torch.cat([zero, zero], 1) if particles.place is None else particles.place.to(zero)
        return Course(theta, phi, place[:, :1], place[:, 1:], start)


class Layout(NamedTuple):
    """The layers of a calorimeter, front to back."""

    cells: Calorimeter
    """The cells."""
    depths: tuple[float, ...]
    """How deep each layer is, in radiation lengths."""
    thicknesses: tuple[float, ...]
    """How thick each layer is, in mm."""

    def z_of(self, depth: Tensor) -> Tensor:
        """Where a depth in radiation lengths is, in mm; behind the last layer as if in it."""
        ends, z = (
            depth.new_tensor([0.0, *accumulate(each)]) for each in (self.depths, self.thicknesses)
        )
        layer = torch.bucketize(depth, ends[1:-1], right=True)
        scale = z.diff() / ends.diff()
        return z[layer] + (depth - ends[layer]) * scale[layer]

    def cell_of(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """The cell at each point, in mm; the number of cells where there is none."""
        ends = z.new_tensor(list(accumulate(self.thicknesses)))
        layer = torch.bucketize(z, ends, right=True)
        inside = (z >= 0) & (layer < len(ends))
        cell = self.cells.cell_at(layer.clamp(max=len(ends) - 1), x, y)
        return torch.where(inside & (cell >= 0), cell, self.cells.n_cells)


def reach(layout: Layout, course: Course, radius: float) -> Float[Tensor, "showers 1"]:
    """How far each shower goes from where it begins, in radiation lengths, at least 0.

    Arguments:
        layout: The layers.
        course: The way of each shower.
        radius: The Molière radius, in radiation lengths.
    """
    behind = sum(layout.depths) + _RADII_BEYOND * radius * course.theta.sin().abs()
    return (behind / course.theta.cos() - course.start).clamp(min=0)


def scatter_about(
    layout: Layout,
    course: Course,
    step: float,
    steps: Steps,
    radial: Radial,
    address: Address,
    displacement: Float[Tensor, "showers 2"],
) -> Float[Tensor, "showers cells"]:
    """Draw the spots and add up their energies.

    Arguments:
        layout: The layers.
        course: The way of each shower.
        step: The length of a step, in radiation lengths.
        steps: The energy, in MeV, and the number of spots in each step.
        radial: The radial profile in each step.
        address: Where the random numbers are.
        displacement: How far each axis has moved across the particle's direction, in mm.

    Returns:
        The deposits, in MeV.
    """
    each, u, v = spots_about(steps.spots, radial, address)
    width, n_steps = layout.cells.n_cells + 1, steps.spots.shape[1]

    def of_each(values: Tensor) -> Tensor:
        return each.of(values.expand_as(steps.spots))

    u, v = u + of_each(displacement[:, :1]), v + of_each(displacement[:, 1:])
    way = Course(*(of_each(values) for values in course))
    depth = way.start + step * (each.segment % n_steps + _fractions(steps.spots, each))
    cell = layout.cell_of(*_points(layout, way, depth, u, v))
    energy = (steps.energies / (steps.spots.clamp(min=1) * QUANTUM)).round().long()
    deposits = energy.new_zeros(len(energy) * width)
    deposits.scatter_add_(0, each.segment // n_steps * width + cell, each.of(energy))
    return deposits.view(-1, width)[:, :-1].double() * QUANTUM


def _fractions(spots: Float[Tensor, "showers steps"], each: Each) -> Float[Tensor, " each"]:
    """Where in its step each spot lies: equally spaced."""
    before = spots.flatten().cumsum(0) - spots.flatten()
    rank = torch.arange(len(each.segment), device=spots.device) - each.of(before)
    return (rank + 0.5) / each.of(spots)


def _points(
    layout: Layout, way: Course, depth: Tensor, u: Tensor, v: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and z of each spot, in mm, as the cells have them."""
    cosine, sine = way.theta.cos(), way.theta.sin()
    z = layout.z_of(depth * cosine)
    if layout.cells.along_particle:
        return *_turned(way, u, v), z / cosine
    x, y = _turned(way, z * sine / cosine + u * cosine, v)
    return way.x + x, way.y + y, z - u * sine


def _turned(way: Course, along: Tensor, aside: Tensor) -> tuple[Tensor, Tensor]:
    cosine, sine = way.phi.cos(), way.phi.sin()
    return along * cosine - aside * sine, along * sine + aside * cosine
