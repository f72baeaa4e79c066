r"""Shapes that are clouds of points, given the energies and the numbers of hits of the layers.

A flow carries normal numbers to points (`PointNumbers`), some times as many in each layer as it has
hits; cells read them out (`caloforge.models.read_out`). Nothing here knows how a layer is divided:
training showers are hits of any calorimeter, each put anywhere in its cell anew each time it is
seen, off its edges, so that a density that is a little blurred still hits the cell.

The starts of the points of a layer spread evenly over the plane: points j of a lattice,
:math:`u_j = \mathrm{frac}(u + j (\alpha_1, \alpha_2))` with one random :math:`u`, are each
uniform, and together fill any region nearly as often as they should. Random numbers belong to a
point and its layer, so that those of a shower do not depend on how many points others have.
"""

__all__ = ["PointStage"]

from abc import abstractmethod
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers, Hits, part_of
from caloforge.learn import training
from caloforge.learn.conditions import Beam, Condition, LayerFeatures, LogEnergy
from caloforge.learn.networks import sinusoids
from caloforge.learn.noise import Noise, Numbers, by_address
from caloforge.learn.representations import PointNumbers, PointRows, fitting_generator
from caloforge.learn.representations.point_numbers import apart_of, radial_normal
from caloforge.learn.transforms import Standardisation
from caloforge.models.flowing import Flowing, FlowSettings
from caloforge.models.point_calibration import PointCalibration, Sighted
from caloforge.models.read_out import Candidates, Wanted, read_out, settled
from caloforge.models.stages import ShapeStage
from caloforge.particles import Particles
from caloforge.points import Points
from caloforge.showers import spans
from caloforge.streams import Stream, keys

_FITTED = 1_000_000
"""Points from which tables are made, at most."""

_CALIBRATED, _ROUNDS = 1000, 6
"""Showers from which points are calibrated, at most, and how often."""

_AT_A_TIME = 16
_ROUNDING = 1e-6
_PADDING = 16
_MARGIN = 0.2
"""How far off the edges of its cell a point is put, in widths of the cell."""

_LATTICE = (0.7548776662466927, 0.5698402909980532)
"""Steps of a plane lattice of low discrepancy: powers of 1 / p, p^3 = p + 1 (R2)."""


class PointStage(Flowing, ShapeStage[Hits]):
    """A shape of points: what its networks share.

    Arguments:
        calorimeter: Where the cells are.
        flow: The settings of the flow.
        network: Its network.
        candidates: Points for each hit.
        depth: Whether points make their layers themselves.
        beam: In what the particles differ beside their energy.
    """

    learns_from = Hits
    threshold: Tensor

    def __init__(
        self,
        calorimeter: Calorimeter,
        flow: FlowSettings,
        network: nn.Module,
        *,
        candidates: int,
        depth: bool,
        beam: Beam,
    ) -> None:
        super().__init__(calorimeter)
        self.take_flow(flow, network)
        self.candidates = candidates
        self.points = PointNumbers(None if depth else calorimeter.n_layers)
        self.calibration = PointCalibration(*self.points.brightness.mean.shape)
        self.log_energy = LogEnergy(beam)
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))

    @property
    def point_shape(self) -> tuple[int, ...]:
        """As many numbers as stand for a point."""
        return (self.points.width,)

    @abstractmethod
    def flowed(
        self, start: Float[Tensor, "points numbers"], condition: Condition
    ) -> Float[Tensor, "points numbers"]:
        """Where the flow ends, for the points of all layers of all showers in order."""

    def prepare(self, showers: Hits) -> None:
        """Take threshold, range and tables."""
        self.threshold.fill_(showers.readout_threshold * (1 - _ROUNDING))
        self.log_energy.adapt(Condition.of(showers))
        some = part_of(showers, slice(max(1, _FITTED * len(showers) // max(1, showers.n_hits))))
        self.points.adapt(self.seen(some, some, fitting_generator(some.hit_energies))[1])

    @torch.no_grad()
    def finish(self, showers: Hits, pause: training.Pause) -> None:
        """Calibrate the points on training showers, made anew from what is known of them."""
        rows = torch.linspace(0, len(showers) - 1, min(_CALIBRATED, len(showers))).long()
        some = part_of(showers, rows)
        truth, condition = self._sighted(some), Condition.counted(some)
        index = torch.arange(len(some), device=some.energies.device)
        correct, scale = self.calibration.correct, self.calibration.scale
        for each in range(_ROUNDS):
            made = self._parts(condition, keys(each, index, Stream.POINTS), len(some), pause)
            seen = self._sighted(Hits.cat(list(made)))
            (correct if each < _ROUNDS // 2 else scale)(truth, seen)

    def _sighted(self, hits: Hits) -> Sighted:
        _, rows = self.seen(hits, hits, fitting_generator(hits.hit_energies))
        z = self.points.encode(rows)
        radial = radial_normal(z[:, :2].double().norm(dim=1))
        group = self.points.group(rows.layers)
        ratios = rows.log_ratios.exp()
        return Sighted(radial, z[:, 2].double(), group, rows.cells, rows.levels, ratios)

    def seen(self, some: Hits, hits: Hits, random: torch.Generator) -> tuple[Points, PointRows]:
        """Points of hits, and what `PointNumbers` take of them.

        Arguments:
            some: Some of the hits.
            hits: All the hits of the same showers, one a cell.
            random: Where the places within the cells and the layers come from.
        """
        condition = Condition.counted(hits)
        points = Points.of(some, within(some, random))
        row = points.shower_of_point, points.layers
        ratios = self.points.log_ratios(
            points.point_energies, self.mean_excesses(condition)[row], self.threshold
        )
        aside = tracks(hits.particles, self.calorimeter)[row]
        layers = points.layers.double()
        if self.points.depth:
            layers += torch.rand(points.n_points, generator=random, device=layers.device)
        cells = _distances(self.calorimeter, some.cells.long(), aside)
        levels = self._levels(condition)[row]
        return points, PointRows(points.places - aside, cells, ratios, layers, levels)

    def _levels(self, condition: Condition) -> Float[Tensor, "showers layers"]:
        """The log of the number of hits with which those of each layer are."""
        numbers = condition.hit_numbers
        if self.points.depth:
            numbers = numbers.sum(dim=1, keepdim=True).expand_as(numbers)
        return (numbers.double() + 0.5).log()

    def mean_excesses(self, condition: Condition) -> Float[Tensor, "showers layers"]:
        """The mean energy of a hit above the threshold, in MeV."""
        number = condition.hit_numbers.clamp_min(1)
        return (condition.layer_energies / number - self.threshold).clamp_min(0)

    def noise(self, points: int = 1) -> Mapping[str, Noise]:
        """The starts of so many points, where the lattice of each layer begins, and what chooses
        among the points.
        """
        return {
            "start": Noise("normal", (points, self.points.width - 2)),
            "lattice": Noise("uniform", (self.calorimeter.n_layers, 2), (0,)),
            "choice": Noise("uniform", (points,), (1,)),
        }

    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "points numbers"]:
        """The points of all layers of all showers in order: cell and log ratio of the energy."""
        made = self._made(condition, noise)
        return torch.stack([made.cells.double(), made.log_ratios], dim=1)

    def _made(self, condition: Condition, noise: Numbers) -> Candidates:
        numbers = condition.hit_numbers * self.candidates
        there = _firsts(numbers.sum(dim=1), noise["start"].shape[1])
        start = torch.cat([self._starts(numbers, noise["lattice"]), noise["start"][there]], dim=1)
        z = self.flowed(start, condition)
        if self.points.depth:
            z = self._by_depth(z, numbers.sum(dim=1))
        rows = torch.arange(numbers.numel(), device=z.device).repeat_interleave(numbers.flatten())
        layers = (rows % numbers.shape[1]).double()
        aside = tracks(condition.particles, self.calorimeter).flatten(0, 1)[rows]
        levels = self._levels(condition).flatten()[rows]
        z = z + 0.0 * z.sum(dim=1, keepdim=True)  # one number that is none makes all none
        places = self._places(z, layers, levels) + aside
        cells = self.calorimeter.cell_at(layers.long(), *places.unbind(dim=1))
        cells = settled(cells, places, self._wanted(condition), self.calorimeter)
        ratios = self._ratios(z, layers, _distances(self.calorimeter, cells, aside), levels)
        return Candidates(cells, ratios, noise["choice"][there])

    def _places(self, z: Tensor, layers: Tensor, levels: Tensor) -> Float[Tensor, "points 2"]:
        """The calibrated places beside the track, in mm."""
        plane = z[:, :2].double().nan_to_num()
        apart = plane.norm(dim=1)
        radial = self.calibration.moved(radial_normal(apart), self.points.group(layers), levels)
        plane = plane * (apart_of(radial) / apart.clamp_min(1e-12))[:, None]
        return self.points.places(plane, layers, levels)

    def _ratios(
        self, z: Tensor, layers: Tensor, cells: Tensor, levels: Tensor
    ) -> Float[Tensor, " points"]:
        """The calibrated log ratios of energies, in cells at such distances from the track."""
        group = self.points.group(layers)
        energy, raised = self.calibration.lit(z[:, 2].double(), group, cells, levels)
        return self.points.log_ratios_at(energy, cells, layers, levels) + raised

    def _starts(
        self, numbers: Int64[Tensor, "showers layers"], lattice: Float[Tensor, "showers layers 2"]
    ) -> Float[Tensor, "points 2"]:
        """Normal numbers of the plane, evenly spread: those of a layer, or of a shower whose points
        make their layers.
        """
        if self.points.depth:
            numbers, lattice = numbers.sum(dim=1, keepdim=True), lattice[:, :1]
        each = numbers.flatten()
        first = torch.repeat_interleave(each.cumsum(0) - each, each)
        j = torch.arange(len(first), device=each.device) - first
        steps = torch.tensor(_LATTICE, dtype=torch.float64, device=each.device)
        u = (lattice.flatten(0, 1).repeat_interleave(each, dim=0) + j[:, None] * steps) % 1
        r = (-2 * torch.log1p(-u[:, 0])).sqrt()
        turn = 2 * torch.pi * u[:, 1]
        return torch.stack([r * turn.cos(), r * turn.sin()], dim=1).float()

    def _by_depth(
        self, found: Float[Tensor, "points 4"], number: Int64[Tensor, " showers"]
    ) -> Float[Tensor, "points 4"]:
        """The points of each shower from front to back: so many as a layer shall have are in it."""
        shower = torch.repeat_interleave(torch.arange(len(number), device=number.device), number)
        order = self.points.depths(found).argsort(stable=True)
        return found[order[shower[order].argsort(stable=True)]]

    def showers(self, condition: Condition, key: Int64[Tensor, " rows"], n: int) -> AnyShowers:
        """The first n showers of a condition, as hits."""
        return Hits.cat(list(self._parts(condition, key, n)))

    def _parts(
        self,
        condition: Condition,
        key: Int64[Tensor, " rows"],
        n: int,
        pause: training.Pause = lambda: None,
    ) -> Iterator[Hits]:
        for span in spans(n, _AT_A_TIME):
            pause()
            yield self._some(condition[span], key[span])

    def _some(self, condition: Condition, key: Int64[Tensor, " rows"]) -> Hits:
        most = int(condition.hit_numbers.sum(dim=1).max()) * self.candidates
        made = self._made(condition, by_address(self.noise(most), key))
        return read_out(made, self._wanted(condition), self.calorimeter)

    def _wanted(self, condition: Condition) -> Wanted:
        return Wanted(condition, self.candidates, self.threshold)


def _firsts(number: Int64[Tensor, " showers"], most: int) -> Tensor:
    """Which of so many rows each shower has."""
    return torch.arange(most, device=number.device) < number[:, None]


def _distances(
    calorimeter: Calorimeter, cells: Int64[Tensor, " points"], aside: Float[Tensor, "points 2"]
) -> Float[Tensor, " points"]:
    """How far the centres of cells are from the track, in mm, to 1e-6 mm; where there is no cell,
    that of some cell.
    """
    centres = calorimeter.transverse.to(cells.device)[cells.clamp_min(0)]
    distances: Tensor = ((centres - aside).norm(dim=1) * 1e6).round() / 1e6
    return distances


def tracks(particles: Particles, calorimeter: Calorimeter) -> Float[Tensor, "showers layers 2"]:
    """Where each particle, flying straight on, crosses the middle of each layer, in mm; 0 where the
    cells move with it, or where nothing is known.
    """
    energies, layers = particles.energies, calorimeter.n_layers
    crossed = energies.new_zeros(len(particles), layers, 2, dtype=torch.float64)
    if calorimeter.along_particle:
        return crossed
    if particles.place is not None:
        crossed += particles.place.double()[:, None]
    if particles.theta is not None and calorimeter.has_depth:
        x, y, z = particles.directions.unbind(dim=1)
        slope = torch.stack([x, y], dim=1) / z[:, None]
        crossed += slope[:, None] * calorimeter.depths.to(slope.device)[:, None]
    return crossed


def padded(rows: Tensor) -> Tensor:
    """Rows of zeros behind others, up to a multiple of 16: then matrix kernels give the same bits a
    row however many there are.
    """
    more = -len(rows) % _PADDING
    return torch.cat([rows, rows.new_zeros(more, *rows.shape[1:])]) if more else rows


def within(hits: Hits, random: torch.Generator) -> Float[Tensor, "hits 2"]:
    """Places anywhere in the cells of hits, off their edges."""
    u = torch.rand(hits.n_hits, 2, generator=random, device=random.device, dtype=torch.float64)
    return _MARGIN + (1 - 2 * _MARGIN) * u


class LayerContext(nn.Module):
    """What is known of each layer of a shower: the particle, the place of the layer, its energy and
    its number of hits, and those of the layers beside it.

    Arguments:
        layers: The number of layers.
        place: The even number of components of the place.
    """

    def __init__(self, layers: int, place: int) -> None:
        super().__init__()
        self.energies, self.numbers = LayerFeatures(layers), Standardisation(layers)
        self.level = Standardisation(2)
        self.place = place

    @property
    def width(self) -> int:
        """How many numbers a layer, beside those of the particle."""
        return self.place + 8

    def adapt(self, condition: Condition) -> "LayerContext":
        """Take the moments."""
        self.energies.adapt(condition)
        self.numbers.adapt(self._logs(condition))
        self.level.adapt(self._levels(condition).flatten(0, 1))
        return self

    @staticmethod
    def _logs(condition: Condition) -> Float[Tensor, "showers layers"]:
        return (condition.hit_numbers.double() + 0.5).log()

    def _levels(self, condition: Condition) -> Float[Tensor, "showers layers 2"]:
        logs = self._logs(condition)
        energies = (condition.layer_energies.double() + 1e-3).log()
        return torch.stack([logs, energies - logs], dim=2)

    def forward(
        self, condition: Condition, particle: Float[Tensor, "showers particle"]
    ) -> Float[Tensor, "showers layers context"]:
        """The context of each layer.

        Arguments:
            condition: What is known of the showers.
            particle: What is known of the particles.
        """
        own = torch.stack([self.energies(condition), self.numbers(self._logs(condition))], dim=2)
        n, layers = own.shape[:2]
        level = self.level(self._levels(condition).flatten(0, 1)).view(n, layers, 2)
        none = own.new_zeros(n, 1, 2)
        before, after = torch.cat([none, own[:, :-1]], 1), torch.cat([own[:, 1:], none], 1)
        place = sinusoids(torch.arange(layers, device=own.device).float(), self.place, longest=64.0)
        place, particle = place.expand(n, layers, -1), particle[:, None].expand(n, layers, -1)
        parts = [place, particle[..., :1], own, before, after, level, particle[..., 1:]]
        return torch.cat(parts, dim=2)
