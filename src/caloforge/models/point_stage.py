r"""Shapes that are clouds of points, given the energies and the numbers of hits of the layers.

A flow carries normal numbers to points (`PointNumbers`), as many in each layer as it has hits, or
some times as many; cells read them out (`caloforge.models.read_out`). Nothing here knows how a
layer is divided: training showers are hits of any calorimeter, each put anywhere in its cell anew
each time it is seen. Random numbers are drawn point by point, so that the numbers of a shower do
not depend on how many points others have.
"""

__all__ = ["PointStage"]

from abc import abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers, Hits, joined, part_of
from caloforge.learn.conditions import Beam, Condition, LayerFeatures, LogEnergy
from caloforge.learn.networks import sinusoids
from caloforge.learn.noise import Noise, Numbers, by_address
from caloforge.learn.representations import PointNumbers, fitting_generator
from caloforge.learn.transforms import Standardisation
from caloforge.models.flowing import Flowing, FlowSettings
from caloforge.models.read_out import Wanted, read_out
from caloforge.models.stages import ShapeStage
from caloforge.particles import Particles
from caloforge.points import Points
from caloforge.showers import spans

_FITTED = 300_000
"""Points from which scales are taken, at most."""

_AT_A_TIME = 16
_ROUNDING = 1e-6


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
        self.points = PointNumbers(depth=depth)
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
        """Take threshold, range and scales."""
        self.threshold.fill_(showers.readout_threshold * (1 - _ROUNDING))
        self.log_energy.adapt(Condition.of(showers))
        some = part_of(showers, slice(max(1, _FITTED * len(showers) // max(1, showers.n_hits))))
        random = fitting_generator(some.hit_energies)
        self.points.adapt(*self.seen(Points.of(some, within(some, random)), some, random))

    def seen(
        self, points: Points, hits: Hits, random: torch.Generator
    ) -> tuple[Float[Tensor, "points 2"], Float[Tensor, "points rest"]]:
        """Places beside the particle's track, log ratios and layers, of points of hits.

        Arguments:
            points: Some of the points of the hits.
            hits: All the hits, one a cell.
            random: Where the place within the layer comes from.
        """
        condition = Condition.counted(hits)
        means = self.mean_excesses(condition)[points.shower_of_point, points.layers]
        rest = [self.points.log_ratios(points.point_energies, means, self.threshold)]
        if self.points.depth:
            u = torch.rand(points.n_points, generator=random, device=means.device)
            rest.append(points.layers + u.double())
        aside = tracks(hits.particles, self.calorimeter)[points.shower_of_point, points.layers]
        return points.places - aside, torch.stack(rest, dim=1)

    def mean_excesses(self, condition: Condition) -> Float[Tensor, "showers layers"]:
        """The mean energy of a hit above the threshold, in MeV."""
        number = condition.hit_numbers.clamp_min(1)
        return (condition.layer_energies / number - self.threshold).clamp_min(0)

    def noise(self, points: int = 1) -> Mapping[str, Noise]:
        """The starts of so many points, and where the choice of each layer begins."""
        choice = Noise("uniform", (self.calorimeter.n_layers,), (0,))
        return {"start": Noise("normal", (points, *self.point_shape)), "choice": choice}

    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "points numbers"]:
        """The points of all layers of all showers in order: x, y in mm and the log ratio."""
        number = condition.hit_numbers.sum(dim=1) * self.candidates
        start = noise["start"]
        there = torch.arange(start.shape[1], device=start.device) < number[:, None]
        found = torch.cat(self.points.decode(self.flowed(start[there], condition)), dim=1)
        found = self._by_depth(found, number)[:, :3] if self.points.depth else found
        aside = tracks(condition.particles, self.calorimeter).flatten(0, 1)
        each = condition.hit_numbers.flatten() * self.candidates
        found[:, :2] += torch.repeat_interleave(aside, each, dim=0)
        return found

    @staticmethod
    def _by_depth(
        found: Float[Tensor, "points 4"], number: Int64[Tensor, " showers"]
    ) -> Float[Tensor, "points 4"]:
        """The points of each shower from front to back: so many as a layer shall have are in it."""
        shower = torch.repeat_interleave(torch.arange(len(number), device=number.device), number)
        order = found[:, 3].argsort(stable=True)
        return found[order[shower[order].argsort(stable=True)]]

    def showers(self, condition: Condition, key: Int64[Tensor, " rows"], n: int) -> AnyShowers:
        """The first n showers of a condition, as hits."""
        parts = [self._some(condition[span], key[span]) for span in spans(n, _AT_A_TIME)]
        return joined(parts)

    def _some(self, condition: Condition, key: Int64[Tensor, " rows"]) -> Hits:
        most = int(condition.hit_numbers.sum(dim=1).max()) * self.candidates
        noise = by_address(self.noise(most), key)
        found = self.sample(condition, noise)
        found[:, 2] += 0.0 * found[:, :2].sum(dim=1)  # energies show what is not a number
        wanted = Wanted(condition, self.candidates, noise["choice"], self.threshold)
        return read_out(found[:, :2].nan_to_num(), found[:, 2], wanted, self.calorimeter)


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


def within(hits: Hits, random: torch.Generator) -> Float[Tensor, "hits 2"]:
    """Places anywhere in the cells of hits."""
    u = torch.rand(hits.n_hits, 2, generator=random, device=random.device, dtype=torch.float64)
    return u.clamp(1e-9, 1 - 1e-9)


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
        beside = [place.expand(n, layers, -1), particle[:, None].expand(n, layers, -1)]
        return torch.cat([*beside, own, before, after, level], dim=2)
