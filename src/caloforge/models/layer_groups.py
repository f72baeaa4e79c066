r"""A shape made layer group after layer group by normalizing flows.

The layers are taken in *groups* of as many neighbouring layers each. With :math:`x_s` what stands
for the cells of group :math:`s`, :math:`E` the incident energy and :math:`E_s` those of the layers
of the group, the distribution of a shower is

.. math:: p(x \mid E_1, \dots, E_L, E) = \prod_s p_s(x_s \mid x_{s-1}, \dots, x_{s-k}, E_s, E),

each factor a `Bijection` fitted by maximum likelihood. A flow that groups *share* is conditioned
on where the group lies as well, sees zeros before the first one, and learns from all at once; flows
of their own are trained independently. In the end the spectrum of the cells may be mapped onto that
of the training showers (`SpectrumMap`).
"""

__all__ = [
    "FilledRecipe",
    "GroupOrder",
    "LayerGroupStage",
    "NumbersRecipe",
    "ScoredRecipe",
    "Window",
]

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import AliasChoices, Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional

from caloforge import streams
from caloforge.errors import ModelError
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import Beam, Condition, IncidentFeatures, LayerFeatures
from caloforge.learn.graph_loops import GraphLoop, graph_loop
from caloforge.learn.networks.embedding import sinusoids
from caloforge.learn.networks.folding import WhileSame
from caloforge.learn.noise import Noise, Numbers, by_address, by_generator
from caloforge.learn.processes import Bijection, NormalizingFlow
from caloforge.learn.representations import FILL, CellScores, FilledLayers, SpectrumMap
from caloforge.learn.symmetry import Orbits
from caloforge.models.stages import Batches, Schedule, ShapeStage
from caloforge.showers import Showers, spans
from caloforge.streams import Stream

_PLACE, _PLACES = 8, 100.0
"""Numbers that say where its group lies to a shared flow, and how many places they distinguish."""

_SPECTRUM, _AT_A_TIME = 5000, 256
"""Showers from which the map of the spectrum is fitted, and how many are made at a time."""

_SPECTRUM_SEED = 0

_NEVER = -40.0
"""What stands in a place without a cell: standard deviations below any deposit."""


Part = Annotated[float, Field(gt=0, le=0.5)]
Layers = Float[Tensor, "showers layers cells"]
Some = Float[Tensor, "showers some cells"]


@dataclass(frozen=True)
class FilledRecipe:
    """Cells as `FilledLayers`.

    Arguments:
        kind: ``filled``.
        relative: Whether a layer is divided by its own energy, not by the largest deposit in the
            training showers.
        standardised: Whether the numbers are brought to mean 0 and variance 1.
        fill: The median of what fills empty cells, over the threshold.
        noise: The width of the noise, over the threshold.
        min_deposit: Smaller deposits, in MeV, are none.
    """

    kind: Literal["filled"]
    relative: bool = False
    standardised: bool = False
    fill: Part = FILL
    noise: Part = FILL
    min_deposit: Annotated[
        NonNegativeFloat, Field(validation_alias=AliasChoices("min_deposit", "cut"))
    ] = 0.0

    def build(
        self, orbit: Int64[Tensor, "layers cells"], real: Bool[Tensor, "layers cells"]
    ) -> FilledLayers:
        """The representation of layers with such cells, of which some are padding."""
        del orbit
        return FilledLayers(
            real,
            fill=self.fill,
            width=self.noise,
            least=self.min_deposit,
            relative=self.relative,
            standardised=self.standardised,
        )

    @staticmethod
    def seen(
        representation: nn.Module, deposits: Layers, random: torch.Generator, some: slice
    ) -> Some:
        """What stands for the cells of some layers."""
        part, filled = deposits[:, some], cast("FilledLayers", representation)
        noise = {
            name: replace(one, shape=tuple(part.shape[1:])).draw(len(part), random)
            for name, one in filled.noise().items()
        }
        return filled.encode_some(part, noise, some.start)


@dataclass(frozen=True)
class ScoredRecipe:
    """Cells as `CellScores`.

    Arguments:
        kind: ``scored``.
    """

    kind: Literal["scored"]

    def build(
        self, orbit: Int64[Tensor, "layers cells"], real: Bool[Tensor, "layers cells"]
    ) -> CellScores:
        """The representation of layers with such cells, of which some are padding."""
        del real
        return CellScores(orbit)

    @staticmethod
    def seen(
        representation: nn.Module, deposits: Layers, random: torch.Generator, some: slice
    ) -> Some:
        """What stands for the cells of some layers."""
        scores = cast("CellScores", representation)
        noise = by_generator(scores.noise(), len(deposits), random)
        return scores.scores_of(deposits, noise["empty"])[:, some]


NumbersRecipe = Annotated[FilledRecipe | ScoredRecipe, Field(discriminator="kind")]


@dataclass(frozen=True)
class GroupOrder:
    """How the layer groups hang together.

    Arguments:
        layer_group: Layers in a group, a divisor of their number.
        former: Groups before it that a group sees, k.
        shared: Whether all groups share one flow.
    """

    layer_group: int
    former: int
    shared: bool

    def context(self, beam: Beam) -> int:
        """Numbers in the condition of a flow beside the former groups: those of the particle, the
        energies of its layers, its place.
        """
        return beam.width + self.layer_group + (_PLACE if self.shared else 0)

    def seen(self, group: int) -> int:
        """Groups that the flow of a group sees."""
        return self.former if self.shared else min(group, self.former)


class Window(NamedTuple):
    """What the flow of a group sees.

    Arguments:
        former: What stands for the cells of the groups before, the nearest last, with shape
            (showers, groups, numbers).
        context: The rest of its condition, with shape (showers, context).
    """

    former: Tensor
    context: Tensor


class _Table(nn.Module):
    """The cells of a calorimeter by layer, padded with places without a cell.

    Arguments:
        calorimeter: Where the cells are.
    """

    cell: Tensor
    real: Tensor

    def __init__(self, calorimeter: Calorimeter) -> None:
        super().__init__()
        cell = calorimeter.layer_table
        self.register_buffer("cell", cell, persistent=False)
        self.register_buffer("real", cell >= 0, persistent=False)
        self.padded = not bool(self.real.all())

    def orbits(self, calorimeter: Calorimeter) -> Int64[Tensor, "layers cells"]:
        """The orbit of each place; the padding of each layer has one of its own."""
        orbits = Orbits(calorimeter.symmetries)
        own = orbits.n_orbits - 1 + (~self.real).any(dim=1).cumsum(dim=0)
        return torch.where(self.real, orbits.orbit[self.cell], own[:, None])

    def layers(self, cells: Float[Tensor, "showers all"]) -> Layers:
        """Values of the cells by layer; 0 in the padding."""
        padded = functional.pad(cells, (0, 1)) if self.padded else cells
        return padded[:, self.cell.flatten()].reshape(cells.shape[0], *self.cell.shape)

    def cells(self, layers: Layers) -> Float[Tensor, "showers all"]:
        """The inverse of `layers`."""
        flat = layers.flatten(1)
        if self.padded:
            flat = flat[:, self.real.flatten()]
        return torch.empty_like(flat).index_copy_(1, self.cell[self.real], flat)


class LayerGroupStage(ShapeStage):
    """Layer group after layer group, each by a flow. Where layers have different numbers of cells,
    empty places pad the shorter ones; no flow makes them.

    Arguments:
        calorimeter: Where the cells are.
        order: How the groups hang together.
        numbers: What stands for the cells.
        schedule: The training of a flow.
        mapped: Whether the spectrum of the cells is mapped onto that of the training showers.
        flow: Makes a flow, given its number of cells and how many former groups it sees.
        beam: In what the particles differ beside their energy.

    Raises:
        ModelError: The groups do not divide the layers, or share a flow and have different numbers
            of cells.
    """

    def __init__(
        self,
        calorimeter: Calorimeter,
        order: GroupOrder,
        numbers: FilledRecipe | ScoredRecipe,
        schedule: Schedule,
        flow: Callable[[int, int], nn.Module],
        beam: Beam,
        *,
        mapped: bool,
    ) -> None:
        super().__init__(calorimeter)
        self.table, layers = _Table(calorimeter), calorimeter.n_layers
        _require_division(layers, order.layer_group)
        self.order, self.schedule, self.process = order, schedule, NormalizingFlow()
        self.groups = layers // order.layer_group
        self.cell_numbers = numbers
        self.representation = numbers.build(self.table.orbits(calorimeter), self.table.real)
        self.incident, self.energies = IncidentFeatures(beam), LayerFeatures(layers)
        self.spectrum = SpectrumMap() if mapped else None
        self._kept = WhileSame[Sequence[Bijection]]()
        cells = [int(self.real(group).sum()) for group in range(self.groups)]
        if order.shared:
            _require_alike(calorimeter, cells)
        self.flows = nn.ModuleList(
            [
                flow(cells[group], order.seen(group))
                for group in range(1 if order.shared else self.groups)
            ]
        )

    @abstractmethod
    def point(self, numbers: Float[Tensor, "showers numbers"]) -> Tensor:
        """The numbers of a group, in the shape that a flow takes."""

    @abstractmethod
    def condition(self, window: Window) -> Tensor:
        """A window, in the shape that a flow takes."""

    @abstractmethod
    def samplers(self) -> Sequence[Bijection]:
        """What samples, as fast as can be: one for each flow, with its weights of now."""

    @property
    def places(self) -> int:
        """Places for the cells of a group, its padding included."""
        return self.order.layer_group * self.table.cell.shape[1]

    def real(self, group: int) -> Bool[Tensor, " places"]:
        """Which places of a group have a cell."""
        first = group * self.order.layer_group
        return self.table.real[first : first + self.order.layer_group].flatten()

    def _taken(self, numbers: Float[Tensor, "showers places"], group: int) -> Tensor:
        """What stands for a group, without its padding, in the shape that its flow takes."""
        return self.point(numbers[:, self.real(group)] if self.table.padded else numbers)

    def number(self, group: int) -> int:
        """The number of the flow of a group."""
        return 0 if self.order.shared else group

    def flow(self, group: int) -> Bijection:
        """The flow of a group."""
        return cast("Bijection", self.flows[self.number(group)])

    def prepare(self, showers: Showers) -> None:
        """Take the state of the representation, and moments."""
        condition = Condition.to_fit(showers)
        self.representation.fit(self.table.layers(showers.deposits), condition)
        self.incident.adapt(condition)
        self.energies.adapt(condition)

    def numbers(
        self, showers: Showers, random: torch.Generator, first: int, last: int
    ) -> Float[Tensor, "showers groups numbers"]:
        """What stands for the cells of the groups from the first to before the last."""
        layers = slice(first * self.order.layer_group, last * self.order.layer_group)
        deposits = self.table.layers(showers.deposits)
        numbers = self.cell_numbers.seen(self.representation, deposits, random, layers)
        if self.table.padded:
            numbers = torch.where(self.table.real[layers], numbers, 0.0)
        return numbers.reshape(len(showers), last - first, -1)

    def context(self, condition: Condition) -> Float[Tensor, "showers groups context"]:
        """The condition of the flow of each group but for the former groups."""
        own = self.energies(condition)
        own = own.reshape(own.shape[0], self.groups, -1)
        particle = self.incident(condition)[:, None].expand(-1, self.groups, -1)
        parts = [particle[..., :1], own]
        if self.order.shared:
            place = torch.arange(self.groups, device=own.device) * (_PLACES / self.groups)
            parts.append(sinusoids(place.to(own), _PLACE, _PLACES).expand(own.shape[0], -1, -1))
        return torch.cat([*parts, particle[..., 1:]], dim=2)

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """One a flow, independent of each other."""
        return self._objectives(
            "shape", self.schedule, self.flows, self.loss, (train, validation), (seed, first)
        )

    @staticmethod
    def _objectives(
        name: str,
        schedule: Schedule,
        networks: Iterable[nn.Module],
        loss: Callable[[int, Showers, torch.Generator], Tensor],
        samples: tuple[Showers, Showers],
        seed: tuple[int, int],
    ) -> list[training.Objective]:
        objectives = []
        for number, network in enumerate(networks):
            batches, held_out = (Batches(showers, seed[0], seed[1] + number) for showers in samples)
            objectives.append(
                schedule.objective(
                    f"{name}-{number}", network, partial(loss, number), batches, held_out
                )
            )
        return (
            [replace(objective, independent=True) for objective in objectives]
            if len(objectives) > 1
            else objectives
        )

    def loss(self, number: int, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The negative log likelihood of what a flow makes, a mean over cells."""
        points, window = self.examples(number, showers, random)
        flow, condition = cast("Bijection", self.flows[number]), self.condition(window)
        return self.process.loss(flow, points, condition, random)

    def examples(
        self, number: int, showers: Showers, random: torch.Generator
    ) -> tuple[Float[Tensor, "windows ..."], Window]:
        """The groups that a flow makes, as it takes them, and what it sees: all groups of all
        showers, or its own.
        """
        context = self.context(Condition.of(showers))
        if not self.order.shared:
            numbers = self.numbers(showers, random, number - self.order.seen(number), number + 1)
            window = Window(numbers[:, :-1], context[:, number])
            return self._taken(numbers[:, -1], number), window
        numbers = self.numbers(showers, random, 0, self.groups)
        windows = [self._window(numbers, context, group) for group in range(self.groups)]
        former, context = (
            torch.stack(parts, dim=1).flatten(0, 1) for parts in zip(*windows, strict=True)
        )
        points = [self._taken(numbers[:, group], group) for group in range(self.groups)]
        return torch.stack(points, dim=1).flatten(0, 1), Window(former, context)

    def log_likelihood(
        self, showers: Showers, random: torch.Generator
    ) -> Float[Tensor, " showers"]:
        """The log density of what stands for the cells of showers, in nats."""
        numbers = self.numbers(showers, random, 0, self.groups)
        context = self.context(Condition.of(showers))
        total = context.new_zeros(len(showers))
        for group in range(self.groups):
            condition = self.condition(self._window(numbers, context, group))
            total = total + self.process.log_likelihood(
                self.flow(group), self._taken(numbers[:, group], group), condition
            )
        return total

    def _window(
        self,
        numbers: Float[Tensor, "showers groups numbers"],
        context: Float[Tensor, "showers groups context"],
        group: int,
    ) -> Window:
        """What the flow of a group sees; zeros stand for groups before the first."""
        former = numbers[:, max(0, group - self.order.former) : group]
        missing = self.order.seen(group) - former.shape[1]
        return Window(functional.pad(former, (0, 0, missing, 0)), context[:, group])

    def noise(self) -> Mapping[str, Noise]:
        """The starts of the flows, each group's from a key of its own."""
        return {"start": Noise("normal", (self.groups, self.places), branches=True)}

    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "showers cells"]:
        """Group after group."""
        context, samplers = self.context(condition), self._kept(self, self.samplers)
        loop = graph_loop()
        if loop is not None and self.order.shared and not self.table.padded:
            numbers = self._repeated(loop, samplers[0], noise["start"], context)
            return self._decoded(numbers, condition)
        numbers = context.new_zeros(context.shape[0], self.groups, self.places)
        for group in range(self.groups):
            start = self._taken(noise["start"][:, group], group)
            seen = self.condition(self._window(numbers, context, group))
            made = self.process.sample(samplers[self.number(group)], start, seen)
            numbers[:, group, self.real(group)] = made.flatten(1)
        return self._decoded(numbers, condition)

    def _repeated(
        self,
        loop: GraphLoop,
        sampler: Bijection,
        starts: Float[Tensor, "showers groups places"],
        context: Float[Tensor, "showers groups context"],
    ) -> Float[Tensor, "showers groups places"]:
        """What stands for the cells, by a flow that all groups share, in a loop of a graph."""

        def body(numbers: Tensor, former: Tensor, start: Tensor, own: Tensor) -> tuple[Tensor, ...]:
            seen = self.condition(Window(former, own))
            made = self.process.sample(sampler, self.point(start), seen).flatten(1)[:, None]
            former = torch.cat([former, made], dim=1)[:, 1:]
            return torch.cat([numbers, made], dim=1), former

        none = torch.zeros_like(starts[:, :1])
        former = none.expand(-1, self.order.former, -1)
        numbers, _ = loop(body, (none, former), (starts, context), ())
        return numbers[:, 1:]

    def _decoded(
        self, numbers: Float[Tensor, "showers groups places"], condition: Condition
    ) -> Float[Tensor, "showers cells"]:
        layers = numbers.reshape(numbers.shape[0], *self.table.cell.shape)
        layers = torch.where(self.table.real, layers, _NEVER)
        layers = self.representation.decode(layers, condition)
        layers = layers if self.spectrum is None else self.spectrum.corrected(layers)
        return self.table.cells(layers)

    @torch.no_grad()
    def finish(self, showers: Showers, pause: training.Pause) -> None:
        """Match the spectrum of showers made at the energies of training showers to theirs."""
        if self.spectrum is None:
            return
        some = showers[:_SPECTRUM]
        index = torch.arange(len(some), device=some.energies.device)
        keys, condition = streams.keys(_SPECTRUM_SEED, index, Stream.SPECTRUM), Condition.of(some)
        spectrum, self.spectrum = self.spectrum, None
        parts = []
        for part in spans(len(some), _AT_A_TIME):
            pause()
            parts.append(self.sample(condition[part], by_address(self.noise(), keys[part])))
        made = torch.cat(parts)
        seen = torch.where(some.deposits >= 0.999 * made[made > 0].min(), some.deposits, 0.0)
        self.spectrum = spectrum.match(made, seen)


def _require_alike(calorimeter: Calorimeter, cells: Sequence[int]) -> None:
    if len(set(cells)) > 1:
        msg = (
            f"calorimeter '{calorimeter.name}': groups of layers have {', '.join(map(str, cells))} "
            "cells, and cannot share a flow: set shape.shared=false"
        )
        raise ModelError(msg)


def _require_division(layers: int, group: int) -> None:
    if layers % group:
        divisors = ", ".join(str(d) for d in range(1, layers + 1) if layers % d == 0)
        msg = f"groups of {group} layers do not divide {layers} layers: give one of {divisors}"
        raise ModelError(msg)
