r"""Spots into cells: the exact distribution of where the spots of a segment fall, without placing
each of them.

All spots of a segment carry the same energy and fall, independently, around the impact point
:math:`\delta` with the density :math:`p\,k(r; R_C) + (1 - p)\,k(r; R_T)`,
:math:`k(r; R) = R^2 / (\pi (r^2 + R^2)^2)`. The beam enters at the corner of four cells, on the
edge of two, or in the middle of one: these are the *central* cells. *Outer* spots lie beyond a
radius :math:`a` around the impact point, that of the largest disk within the central cells, and are
placed one by one (`_place_outer`). *Near* spots lie in the disk and in a strip
:math:`|x| < \delta_x` or :math:`|y| < \delta_y` about the impact point, where the point's own side
of an edge between central cells is wider than the other (`_place_near`). All others are on either
side of each edge with probability 1/2 (`_toss`). Energies are added up in whole multiples of
`QUANTUM`, so that no sum depends on its order.
"""

__all__ = ["QUANTUM", "Address", "Each", "scatter", "spots_about"]

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from caloforge import streams
from caloforge.geometry import Boxes, Calorimeter
from caloforge.simulators.gflash import variates
from caloforge.simulators.gflash.longitudinal import Steps, Walk
from caloforge.simulators.gflash.parametrisation import Radial
from caloforge.streams import Stream

QUANTUM = 2.0**-30
"""The unit in which energies are added up, in MeV, about 1 meV: a shower has the same bits in any
batch and on any number of threads.
"""

_ANGLE_BITS = 24
"""Of the 64 bits of an outer spot, these make its angle and the rest its radius."""

_MOST_CANDIDATES = 0.25
"""Largest share of candidates among the spots of a segment; with more, all spots are placed."""


_TINY = 1e-300
"""Keeps a quotient finite where numerator and denominator vanish."""


@dataclass(frozen=True)
class Address:
    """Where the random numbers of a batch of showers are.

    Arguments:
        seed: The seed of the run.
        index: The number of each shower in the run, with shape (showers).
        second: Whether these are the showers of the second electrons of photons.
    """

    seed: int
    index: Tensor
    second: bool = False

    def keys(self, purpose: Stream) -> Int[Tensor, "showers 1"]:
        """The keys of the showers for one purpose."""
        keys = streams.keys(self.seed, self.index, purpose)
        return (streams.offspring(keys, 0) if self.second else keys)[:, None]

    def __getitem__(self, rows: Tensor) -> "Address":
        return replace(self, index=self.index[rows])


class _Axis(NamedTuple):
    """The central cells along one axis, with the impact points."""

    n: int
    """Number of cells."""
    size: float
    """Size of a cell, in mm."""
    stride: int
    """Distance of neighbours in the padded deposits."""
    impact: Tensor
    """The impact points, in mm from the beam, with shape (showers, 1)."""

    @property
    def lower(self) -> int:
        """Offset in the padded deposits of the central cell on the lower side."""
        return ((self.n - 1) // 2 + 1) * self.stride

    @property
    def upper(self) -> int:
        """Offset of the one on the upper side, the same where the beam enters in the middle of a
        cell.
        """
        return (self.n // 2 + 1) * self.stride

    @property
    def half_width(self) -> float:
        """Distance from the beam to the outer edge of the central cells, in mm."""
        return self.size if self.n % 2 == 0 else self.size / 2

    @property
    def strip(self) -> Float[Tensor, "showers 1"]:
        """The half-width of the strip, in mm."""
        return self.impact.abs() * (self.n % 2 == 0)


class _Segments(NamedTuple):
    """What the spots of each segment share, with shape (showers, segments)."""

    cell: Tensor
    """The place of the first cell of its layer in the padded deposits."""
    counter: Tensor
    """The counter of its random numbers."""
    spots: Tensor
    """The number of its spots, float64."""
    energy: Tensor
    """The energy of one spot, in units of `QUANTUM`, int64."""
    radial: Radial
    """The radial profile."""


class _Chances(NamedTuple):
    """Probabilities of the kinds of spots, with shape (showers, segments)."""

    disk: Tensor
    """:math:`a^2`, in mm^2."""
    outer: Tensor
    """Of an outer spot."""
    outer_core: Tensor
    """Of an outer spot of the core."""
    candidate: Tensor
    """Of a candidate."""
    candidate_core: Tensor
    """Of a candidate of the core."""


class Each(NamedTuple):
    """Spots, or lots of spots, one by one."""

    segment: Tensor
    """The segment of each, in the flat order."""
    word: Tensor
    """64 random bits for each."""

    def of(self, values: Tensor) -> Tensor:
        """The value of its segment for each."""
        return values.flatten().index_select(0, self.segment)


def scatter(
    cells: Calorimeter,
    walk: Walk,
    steps: Steps,
    radial: Radial,
    impact: Float[Tensor, "showers 2"],
    address: Address,
) -> Float[Tensor, "showers cells"]:
    """Draw the spots and add up their energies; positions are in single precision.

    Where the bound of near spots is too weak, at cells or cores as small as the displacement, all
    spots are outer (the radius a is 0). So they are in rings around the beam, and in boxes that
    differ from layer to layer: such readout belongs to sampling media, which have few spots.

    Arguments:
        cells: The cells.
        walk: The steps and segments.
        steps: The energy, in MeV, and the number of spots in each step.
        radial: The radial profile in each step.
        impact: The impact point of each shower, in mm from the beam.
        address: Where the random numbers are.

    Returns:
        The deposits, in MeV.
    """
    boxes = cells.common_division
    if isinstance(boxes, Boxes):
        return _onto_grid(cells, boxes, walk, steps, radial, impact, address)
    return _one_by_one(cells, walk, steps, radial, impact, address)


def _onto_grid(
    cells: Calorimeter,
    boxes: Boxes,
    walk: Walk,
    steps: Steps,
    radial: Radial,
    impact: Float[Tensor, "showers 2"],
    address: Address,
) -> Float[Tensor, "showers cells"]:
    """The padded deposits have a rim of cells around each layer, for spots that fall beside it."""
    n_x, n_y = boxes.number
    x = _Axis(n_x, boxes.size[0], n_y + 2, impact[:, :1])
    y = _Axis(n_y, boxes.size[1], 1, impact[:, 1:])
    size = (n_x + 2) * (n_y + 2)
    padded = torch.zeros(
        len(impact), cells.n_layers * size, dtype=torch.int64, device=impact.device
    )
    segments = _segments(walk, steps, radial, padded, walk.layer * size)
    chances = _chances(x, y, segments.radial)
    outer = _number(segments.spots, chances.outer, segments, Stream.OUTER_NUMBER, address)
    _place_outer(padded.view(-1), segments, outer, chances, (x, y), address)
    rest = segments.spots - outer
    candidates = _number(
        rest,
        chances.candidate / (1 - chances.outer).clamp(min=_TINY),
        segments,
        Stream.CANDIDATE_NUMBER,
        address,
    )
    rest = rest - _place_near(padded.view(-1), segments, candidates, chances, (x, y), address)
    _toss(padded.view(-1), segments, rest, (x, y), address)
    place, i_z = cells.place_of_cell.to(impact.device), cells.layer_of_cell.to(impact.device)
    inner = (i_z * (n_x + 2) + place % n_x + 1) * (n_y + 2) + place // n_x + 1
    return padded.index_select(1, inner).double() * QUANTUM


def _one_by_one(
    cells: Calorimeter,
    walk: Walk,
    steps: Steps,
    radial: Radial,
    impact: Float[Tensor, "showers 2"],
    address: Address,
) -> Float[Tensor, "showers cells"]:
    """The padded deposits have one cell more, for spots that fall beside all cells of
    their layer.
    """
    n = cells.n_cells
    padded = torch.zeros(len(impact), n + 1, dtype=torch.int64, device=impact.device)
    segments = _segments(walk, steps, radial, padded, torch.zeros_like(walk.layer))
    each = _each(segments.spots.long(), segments.counter, Stream.OUTER_PLACE, address)
    fallen = _fallen(each, segments.radial, _all_outer(segments.radial))
    x, y = (
        part + each.of(at.float().expand_as(segments.spots))
        for part, at in zip(fallen, (impact[:, :1], impact[:, 1:]), strict=True)
    )
    layer = each.of(walk.layer.expand_as(segments.cell))
    cell = cells.cell_at(layer, x, y)
    padded.view(-1).scatter_add_(
        0, each.of(segments.cell) + torch.where(cell < 0, n, cell), each.of(segments.energy)
    )
    return padded[:, :n].double() * QUANTUM


def spots_about(
    spots: Float[Tensor, "showers steps"], radial: Radial, address: Address
) -> tuple[Each, Float[Tensor, " each"], Float[Tensor, " each"]]:
    """Place each spot around the axis of its shower.

    Arguments:
        spots: The number of spots in each step.
        radial: The radial profile in each step.
        address: Where the random numbers are.

    Returns:
        The spots, step by step, and the two coordinates of each, in mm.
    """
    each = _each(spots.long(), _counters(spots), Stream.OUTER_PLACE, address)
    return each, *_fallen(each, radial, _all_outer(radial))


def _all_outer(radial: Radial) -> _Chances:
    none, all_ = torch.zeros_like(radial.weight), torch.ones_like(radial.weight)
    return _Chances(none, all_, radial.weight, none, none)


def _segments(
    walk: Walk, steps: Steps, radial: Radial, padded: Tensor, first: Int[Tensor, " segments"]
) -> _Segments:
    energy = (steps.energies / (steps.spots.clamp(min=1) * QUANTUM)).round().long()
    spots = steps.spots
    if len(walk.step) != spots.shape[1]:
        spots, energy = (t.index_select(1, walk.step) for t in (spots, energy))
        radial = Radial(*(t.index_select(1, walk.step) for t in radial))
        spots = _before(spots, walk.end) - _before(spots, walk.start)
    shower = torch.arange(len(padded), device=padded.device)[:, None]
    cell = shower * padded.shape[1] + first
    counter = _counters(cell)
    return _Segments(cell, counter, spots, energy, radial)


def _counters(segments: Tensor) -> Int[Tensor, "showers segments"]:
    """The first counter of each segment."""
    first = torch.arange(segments.shape[1], device=segments.device) * variates.SPACING
    return first.expand_as(segments)


def _before(
    n: Float[Tensor, "showers segments"], fraction: Float[Tensor, " segments"]
) -> Float[Tensor, "showers segments"]:
    """How many of n equally spaced spots come before a fraction of the step."""
    return torch.minimum((n * fraction - 0.5).ceil().clamp(min=0), n)


def _chances(x: _Axis, y: _Axis, radial: Radial) -> _Chances:
    core, tail, p = radial
    reach = 4 / math.pi * (x.strip + y.strip)
    candidate_core = reach * p * core.rsqrt()
    candidate = candidate_core + reach * (1 - p) * tail.rsqrt()
    disk = (min(x.half_width, y.half_width) - torch.hypot(x.impact, y.impact)).clamp(min=0).square()
    inside = disk * (p / (core + disk) + (1 - p) / (tail + disk))
    usable = candidate <= _MOST_CANDIDATES * inside
    squared = disk * usable
    outer_core = p * core / (core + squared)
    outer = outer_core + (1 - p) * tail / (tail + squared)
    return _Chances(squared, outer, outer_core, candidate * usable, candidate_core)


def _number(
    trials: Float[Tensor, "showers segments"],
    q: Float[Tensor, "showers segments"],
    segments: _Segments,
    purpose: Stream,
    address: Address,
) -> Float[Tensor, "showers segments"]:
    return variates.binomial(trials, q.clamp(0, 1), address.keys(purpose), segments.counter)


def _each(
    number: Int[Tensor, "showers segments"], counter: Tensor, purpose: Stream, address: Address
) -> Each:
    """List what is counted."""
    number = number.flatten()
    end = number.cumsum(0)
    segment = torch.repeat_interleave(number, output_size=int(end[-1]))
    first = (counter.flatten() - end + number).index_select(0, segment)
    key = address.keys(purpose).expand_as(counter).flatten().index_select(0, segment)
    return Each(
        segment, streams.words(key, first + torch.arange(len(segment), device=number.device))
    )


def _place_outer(
    padded: Tensor,
    segments: _Segments,
    number: Tensor,
    chances: _Chances,
    axes: tuple[_Axis, _Axis],
    address: Address,
) -> None:
    r"""Place each outer spot.

    Their number is binomial with :math:`q = p \bar D_C + (1 - p) \bar D_T`,
    :math:`\bar D = R^2 / (a^2 + R^2)`. Each is placed at :math:`r^2 = R_C^2 (p / u - 1)` or
    :math:`R_T^2 ((1 - p) / u - 1)`, u uniform below the component's part of q.
    """
    each = _each(number.long(), segments.counter, Stream.OUTER_PLACE, address)
    cell = each.of(segments.cell)
    for axis, across in zip(axes, _fallen(each, segments.radial, chances), strict=True):
        origin = (axis.impact / axis.size + (axis.n / 2 + 1)).float().expand_as(chances.outer)
        i = (across * (1 / axis.size) + each.of(origin)).clamp(0, axis.n + 1)
        cell += i.long() * axis.stride
    padded.scatter_add_(0, cell, each.of(segments.energy))


def _fallen(
    each: Each, radial: Radial, chances: _Chances
) -> tuple[Float[Tensor, " each"], Float[Tensor, " each"]]:
    """Where each outer spot falls, from the impact point: x and y, in mm."""
    core, tail, p = radial
    u = ((each.word >> _ANGLE_BITS).double() + 0.5) * 2.0 ** (_ANGLE_BITS - 64) + 0.5
    limit = chances.outer_core / chances.outer
    below = each.of(limit)
    in_tail = u >= below
    component = each.segment + in_tail * p.numel()
    u = u - below * in_tail
    scale = torch.cat(
        [(p * core / chances.outer).flatten(), ((1 - p) * tail / chances.outer).flatten()]
    ).index_select(0, component)
    squared = torch.cat([core.flatten(), tail.flatten()]).index_select(0, component)
    r = (scale / u - squared).clamp(min=0).sqrt().float()
    angle = (each.word & ((1 << _ANGLE_BITS) - 1)).float() * (2 * math.pi * 2.0**-_ANGLE_BITS)
    return r * angle.cos(), r * angle.sin()


def _place_near(
    padded: Tensor,
    segments: _Segments,
    number: Tensor,
    chances: _Chances,
    axes: tuple[_Axis, _Axis],
    address: Address,
) -> Float[Tensor, "showers segments"]:
    r"""Place the near spots among the candidates; gives their number.

    By :math:`k(r; R) \le R / (\pi (y^2 + R^2)^{3/2})` a strip holds at most
    :math:`4 \delta_x / (\pi R)`: as many *candidates* are drawn from that bound,
    :math:`y = R s / \sqrt{1 - s^2}` with s uniform in ]-1, 1[, and are near spots with the ratio of
    the two densities as probability. Where the beam is in the middle of a cell, there is no edge
    and no strip.
    """
    each = _each(number.long(), segments.counter, Stream.CANDIDATE_PLACE, address)
    core, tail, _ = (each.of(t) for t in segments.radial)
    u, across, along, refusal = (variates.unit(_further(each.word, j)) for j in range(4))
    squared = torch.where(
        u * each.of(chances.candidate) < each.of(chances.candidate_core), core, tail
    )
    half_x, half_y = (each.of(axis.strip.expand_as(segments.spots)) for axis in axes)
    which = variates.unit(_further(each.word, 4)) * (half_x + half_y) < half_x
    s = 2 * along - 1
    free = (squared / (1 - s.square())).sqrt() * s
    bound = (2 * across - 1) * torch.where(which, half_x, half_y)
    x, y = torch.where(which, bound, free), torch.where(which, free, bound)
    r_squared = x.square() + y.square()
    ratio = squared.sqrt() * (free.square() + squared) ** 1.5 / (r_squared + squared).square()
    near = (refusal < ratio) & (r_squared < each.of(chances.disk)) & (which | (x.abs() >= half_x))
    cell = each.of(segments.cell)
    for axis, place in zip(axes, (x, y), strict=True):
        above = place + each.of(axis.impact.expand_as(segments.spots)) > 0
        cell += torch.where(above, axis.upper, axis.lower)
    padded.scatter_add_(0, cell, each.of(segments.energy) * near)
    return (
        torch.zeros_like(segments.spots)
        .view(-1)
        .index_add_(0, each.segment, near.double())
        .view_as(segments.spots)
    )


def _toss(
    padded: Tensor, segments: _Segments, number: Tensor, axes: tuple[_Axis, _Axis], address: Address
) -> None:
    """Split the other spots, refused candidates too, evenly over the sides of both edges: fair
    coins, 64 at a time.
    """
    spots = number.long()
    lots = (spots + 63) >> 6
    each = _each(lots, segments.counter, Stream.SIDES, address)
    start = lots.view(-1).cumsum(0) - lots.view(-1)
    left = each.of(spots.view(-1) + 64 * start) - 64 * torch.arange(
        len(each.word), device=padded.device
    )
    size = left.clamp(max=64)
    mask = ~(torch.full_like(size, -2) << (size - 1))
    right, up = each.word & mask, _further(each.word, 0) & mask
    both, rights, ups = (variates.popcount(w) for w in (right & up, right, up))
    energy, cell = each.of(segments.energy), each.of(segments.cell)
    x, y = axes
    for count, offset in (
        (both, x.upper + y.upper),
        (rights - both, x.upper + y.lower),
        (ups - both, x.lower + y.upper),
        (size - rights - ups + both, x.lower + y.lower),
    ):
        padded.scatter_add_(0, cell + offset, energy * count)


def _further(words: Int[Tensor, " each"], number: int) -> Int[Tensor, " each"]:
    """More random bits for each, from those it has."""
    return streams.words(words, torch.tensor(number, device=words.device))
