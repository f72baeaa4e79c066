r"""A shape made layer after layer by normalizing flows.

The layers are taken in *slabs* of as many neighbouring layers each. With :math:`x_s` what stands
for the cells of slab :math:`s`, :math:`E` the incident energy and :math:`E_s` those of the layers
of the slab, the law of a shower is

.. math:: p(x \mid E_1, \dots, E_L, E) = \prod_s p_s(x_s \mid x_{s-1}, \dots, x_{s-k}, E_s, E),

each factor a `Bijection` fitted by maximum likelihood. This is Convolutional L2LFlows
(arXiv:2405.20407, eq. 2) with slabs of one layer, :math:`k = 5` and a convolutional flow for each;
inductive CaloFlow (arXiv:2305.11934) with one layer, :math:`k = 1` and one masked autoregressive
flow that all layers share; and flow 2 of CaloFlow (arXiv:2106.05285) with a single slab.

A flow that slabs *share* is told where the slab lies, sees zeros before the first one, and learns
from all of them at once; flows of their own train apart. A masked flow may have a *student*
(`DensityDistillation`, arXiv:2110.11377), that samples in one pass what takes the flow a pass a
cell; where there is one, it is what samples.

In the end the spectrum of the cells may be mapped onto that of the training showers (`SpectrumMap`,
arXiv:2405.20407, appendix C).
"""

__all__ = [
    "CausalRecipe",
    "CausalStage",
    "ConvolutionalRecipe",
    "ConvolutionalStage",
    "FilledRecipe",
    "MaskedShapeRecipe",
    "MaskedShapeStage",
    "ScoredRecipe",
    "Window",
]

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal, NamedTuple, cast

import torch
from jaxtyping import Float, Int64
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from caloforge import streams
from caloforge.errors import ModelError
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.networks import ConvolutionalFlow, MaskedFlow, UNetDesign, group_norm
from caloforge.learn.networks.embedding import sinusoids
from caloforge.learn.processes import Bijection, DensityDistillation, NormalizingFlow
from caloforge.learn.representations import (
    FILL,
    CellScores,
    EnergyFeatures,
    FilledLayers,
    SpectrumMap,
)
from caloforge.learn.symmetry import Orbits
from caloforge.models import STAGES, StageRecipe
from caloforge.models.stages import Lessons, Schedule, ShapeStage
from caloforge.observables import layer_energies
from caloforge.showers import Showers, spans
from caloforge.streams import Stream
from caloforge.systems.masked import MaskedSizes

_PLACE, _PLACES = 8, 100.0
"""Numbers that tell a shared flow where its slab lies, and how many places they tell apart."""

_SPECTRUM, _AT_A_TIME = 5000, 256
"""Showers from which the map of the spectrum is fitted, the stream of their random numbers, and how
many are made at a time.
"""

_SMALLEST = 1e-9
"""Uniform numbers are at least so large."""

_FIT_SEED = 0
_FIRST_SIGHT = 256
"""Showers from which activation norms start."""


Part = Annotated[float, Field(gt=0, le=0.5)]
Layers = Float[Tensor, "showers layers cells"]
Some = Float[Tensor, "showers some cells"]


@dataclass(frozen=True)
class FilledRecipe:
    """Cells as `FilledLayers`.

    Arguments:
        relative: Whether a layer is divided by its own energy, not by the largest deposit in the
            training showers.
        standardised: Whether the numbers are brought to mean 0 and variance 1.
        fill: The median of what fills empty cells, over the threshold.
        noise: The width of the noise, over the threshold.
        cut: Deposits below it, in MeV, are none.
    """

    kind: Literal["filled"]
    relative: bool = False
    standardised: bool = False
    fill: Part = FILL
    noise: Part = FILL
    cut: NonNegativeFloat = 0.0

    def build(self, orbit: Int64[Tensor, "layers cells"]) -> FilledLayers:
        """The representation of layers with such cells."""
        layers, cells = orbit.shape
        return FilledLayers(
            layers,
            cells,
            fill=self.fill,
            noise=self.noise,
            cut=self.cut,
            relative=self.relative,
            standardised=self.standardised,
        )

    @staticmethod
    def seen(
        representation: nn.Module, deposits: Layers, random: torch.Generator, some: slice
    ) -> Some:
        """What stands for the cells of some layers."""
        part = deposits[:, some]
        normals = torch.randn(part.shape, generator=random, device=part.device)
        uniforms = torch.rand(part.shape, generator=random, device=part.device)
        numbers: Tensor = representation(part, normals, uniforms, some.start)
        return numbers


@dataclass(frozen=True)
class ScoredRecipe:
    """Cells as `CellScores`."""

    kind: Literal["scored"]

    def build(self, orbit: Int64[Tensor, "layers cells"]) -> CellScores:
        """The representation of layers with such cells."""
        return CellScores(orbit)

    @staticmethod
    def seen(
        representation: nn.Module, deposits: Layers, random: torch.Generator, some: slice
    ) -> Some:
        """What stands for the cells of some layers."""
        u = torch.rand(
            deposits.shape, generator=random, device=deposits.device, dtype=torch.float64
        )
        numbers: Tensor = representation(deposits, u.clamp_min(_SMALLEST))
        return numbers[:, some]


Numbers = Annotated[FilledRecipe | ScoredRecipe, Field(discriminator="kind")]


@dataclass(frozen=True)
class CausalRecipe:
    """How the slabs hang together.

    Arguments:
        slab: Layers in a slab, a divisor of their number.
        former: Slabs before it that a slab sees, k.
        shared: Whether all slabs share one flow.
    """

    slab: PositiveInt
    former: NonNegativeInt
    shared: bool

    @property
    def told(self) -> int:
        """Numbers that a flow is told beside the former slabs: the incident energy, those of its
        layers, its place.
        """
        return 1 + self.slab + (_PLACE if self.shared else 0)

    def seen(self, slab: int) -> int:
        """Slabs that the flow of a slab sees."""
        return self.former if self.shared else min(slab, self.former)


class Window(NamedTuple):
    """What the flow of a slab sees.

    Arguments:
        former: What stands for the cells of the slabs before, the nearest last, with shape
            (showers, slabs, numbers).
        told: What else it is told, with shape (showers, told).
    """

    former: Tensor
    told: Tensor


class CausalStage(ShapeStage):
    """Slab after slab, each by a flow.

    Arguments:
        calorimeter: Where the cells are.
        order: How the slabs hang together.
        numbers: What stands for the cells.
        schedule: The training of a flow.
        mapped: Whether the spectrum of the cells is mapped onto that of the training showers.
        flow: Makes a flow, given how many former slabs it sees.

    Raises:
        ModelError: The slabs do not divide the layers.
    """

    grid: Tensor

    def __init__(
        self,
        calorimeter: Calorimeter,
        order: CausalRecipe,
        numbers: FilledRecipe | ScoredRecipe,
        schedule: Schedule,
        flow: Callable[[int], nn.Module],
        *,
        mapped: bool,
    ) -> None:
        super().__init__(calorimeter)
        grid = calorimeter.image()
        layers = len(grid)
        _require_division(layers, order.slab)
        self.order, self.schedule, self.process, self.slabs = (
            order,
            schedule,
            NormalizingFlow(),
            layers // order.slab,
        )
        self.register_buffer("grid", grid, persistent=False)
        self.cell_numbers = numbers
        self.representation = numbers.build(
            Orbits(calorimeter.symmetries).orbit[grid.reshape(layers, -1)]
        )
        self.incident, self.energies = EnergyFeatures(1), EnergyFeatures(layers)
        self.spectrum = SpectrumMap() if mapped else None
        self.flows = nn.ModuleList(
            [flow(order.seen(slab)) for slab in range(1 if order.shared else self.slabs)]
        )

    @abstractmethod
    def point(self, numbers: Float[Tensor, "showers numbers"]) -> Tensor:
        """The numbers of a slab, in the shape that a flow takes."""

    @abstractmethod
    def condition(self, window: Window) -> Tensor:
        """A window, in the shape that a flow takes."""

    @abstractmethod
    def samplers(self) -> Sequence[Bijection]:
        """What samples, as fast as can be: one for each flow."""

    @property
    def cells(self) -> int:
        """Cells in a slab."""
        return self.order.slab * self.grid[0].numel()

    def number(self, slab: int) -> int:
        """The number of the flow of a slab."""
        return 0 if self.order.shared else slab

    def flow(self, slab: int) -> Bijection:
        """The flow of a slab."""
        return cast("Bijection", self.flows[self.number(slab)])

    def fit(self, showers: Showers) -> None:
        """Take the state of the representation, and moments."""
        random = training.generator(_FIT_SEED, 0, 0, showers.deposits.device)
        self.representation.fit(self._layers(showers), random)
        self.incident.fit(showers.energies[:, None])
        self.energies.fit(layer_energies(showers))

    def _layers(self, showers: Showers) -> Float[Tensor, "showers layers cells"]:
        return showers.deposits[:, self.grid.flatten()].reshape(len(showers), len(self.grid), -1)

    def numbers(
        self, showers: Showers, random: torch.Generator, first: int, last: int
    ) -> Float[Tensor, "showers slabs numbers"]:
        """What stands for the cells of the slabs from the first to before the last."""
        layers = slice(first * self.order.slab, last * self.order.slab)
        numbers = self.cell_numbers.seen(self.representation, self._layers(showers), random, layers)
        return numbers.reshape(len(showers), last - first, -1)

    def told(
        self, incident: Float[Tensor, " showers"], energies: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers slabs told"]:
        """What the flow of each slab is told beside the former slabs."""
        own = self.energies(energies).reshape(len(energies), self.slabs, -1)
        parts = [self.incident(incident[:, None])[:, None].expand(-1, self.slabs, -1), own]
        if self.order.shared:
            place = torch.arange(self.slabs, device=own.device) * (_PLACES / self.slabs)
            parts.append(sinusoids(place.to(own), _PLACE, _PLACES).expand(len(own), -1, -1))
        return torch.cat(parts, dim=2)

    def phases(
        self, taught: Showers, held: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """One a flow, independent of each other."""
        return self._phases(
            "shape", self.schedule, self.flows, self.loss, (taught, held), (seed, first)
        )

    @staticmethod
    def _phases(
        name: str,
        schedule: Schedule,
        networks: Iterable[nn.Module],
        loss: Callable[[int, Showers, torch.Generator], Tensor],
        samples: tuple[Showers, Showers],
        seed: tuple[int, int],
    ) -> list[training.Objective]:
        phases = []
        for number, network in enumerate(networks):
            lessons, exam = (Lessons(showers, seed[0], seed[1] + number) for showers in samples)
            phases.append(
                schedule.phase(f"{name}-{number}", network, partial(loss, number), lessons, exam)
            )
        return [replace(phase, independent=True) for phase in phases] if len(phases) > 1 else phases

    def loss(self, number: int, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The negative log likelihood of what a flow makes, a mean over cells."""
        numbers, window = self.examples(number, showers, random)
        return self.process.loss(
            cast("Bijection", self.flows[number]), self.point(numbers), self.condition(window)
        )

    def examples(
        self, number: int, showers: Showers, random: torch.Generator
    ) -> tuple[Float[Tensor, "windows numbers"], Window]:
        """The numbers of the slabs that a flow makes, and what it sees: all slabs of all showers,
        or its own.
        """
        told = self.told(showers.energies, layer_energies(showers))
        if not self.order.shared:
            numbers = self.numbers(showers, random, number - self.order.seen(number), number + 1)
            return numbers[:, -1], Window(numbers[:, :-1], told[:, number])
        numbers = self.numbers(showers, random, 0, self.slabs)
        windows = [self._window(numbers, told, slab) for slab in range(self.slabs)]
        former, told = (
            torch.stack(parts, dim=1).flatten(0, 1) for parts in zip(*windows, strict=True)
        )
        return numbers.flatten(0, 1), Window(former, told)

    def log_likelihood(
        self, showers: Showers, random: torch.Generator
    ) -> Float[Tensor, " showers"]:
        """The log density of what stands for the cells of showers, in nats."""
        numbers = self.numbers(showers, random, 0, self.slabs)
        told = self.told(showers.energies, layer_energies(showers))
        total = told.new_zeros(len(showers))
        for slab in range(self.slabs):
            condition = self.condition(self._window(numbers, told, slab))
            total = total + self.process.log_likelihood(
                self.flow(slab), self.point(numbers[:, slab]), condition
            )
        return total

    def _window(
        self,
        numbers: Float[Tensor, "showers slabs numbers"],
        told: Float[Tensor, "showers slabs told"],
        slab: int,
    ) -> Window:
        """What the flow of a slab sees; zeros stand for slabs before the first."""
        former = numbers[:, max(0, slab - self.order.former) : slab]
        missing = self.order.seen(slab) - former.shape[1]
        return Window(functional.pad(former, (0, 0, missing, 0)), told[:, slab])

    def sample(
        self,
        incident: Float[Tensor, " showers"],
        energies: Float[Tensor, "showers layers"],
        key: Int64[Tensor, " showers"],
    ) -> Float[Tensor, "showers cells"]:
        """Slab after slab."""
        told, samplers = self.told(incident, energies), self.samplers()
        numbers = told.new_empty(len(told), self.slabs, self.cells)
        for slab in range(self.slabs):
            start = self.point(streams.normals(streams.offspring(key, slab), self.cells).float())
            condition = self.condition(self._window(numbers, told, slab))
            numbers[:, slab] = self.process.transport(
                samplers[self.number(slab)], start, condition
            ).flatten(1)
        layers = self.representation.inverse(
            numbers.reshape(len(told), len(self.grid), -1), energies
        )
        layers = layers if self.spectrum is None else self.spectrum.corrected(layers)
        return torch.empty_like(layers.flatten(1)).index_copy_(
            1, self.grid.flatten(), layers.flatten(1)
        )

    @torch.no_grad()
    def finish(self, showers: Showers) -> None:
        """Fit the map of the spectrum, with showers made at the energies of training showers."""
        if self.spectrum is None:
            return
        some = showers[:_SPECTRUM]
        keys = streams.keys(
            _FIT_SEED, torch.arange(len(some), device=some.energies.device), Stream.SPECTRUM
        )
        energies, incident = layer_energies(some), some.energies.double()
        spectrum, self.spectrum = self.spectrum, None
        made = torch.cat(
            [self.sample(incident[s], energies[s], keys[s]) for s in spans(len(some), _AT_A_TIME)]
        )
        taught = torch.where(some.deposits >= 0.999 * made[made > 0].min(), some.deposits, 0.0)
        self.spectrum = spectrum.fit(made, taught)


def _require_division(layers: int, slab: int) -> None:
    if layers % slab:
        divisors = ", ".join(str(d) for d in range(1, layers + 1) if layers % d == 0)
        msg = f"slabs of {slab} layers do not divide {layers} layers: give one of {divisors}"
        raise ModelError(msg)


@dataclass(frozen=True)
class ConvolutionalRecipe(StageRecipe):
    """Settings of a `ConvolutionalStage`.

    Arguments:
        former: Layers before it that a layer sees, k.
        shared: Whether all layers share one flow.
        numbers: What stands for the cells.
        squeeze: Positions of a tile in alpha and r.
        blocks: Blocks of a flow.
        hidden: Channels of the U-Nets.
        downsamples: Kernel and stride of the U-Nets' levels, in alpha and r.
        batch_norm: Whether the U-Nets normalise over the batch, as published, or over groups of
            channels of one image.
        embedding: Channels of the embedded condition.
        bins: Bins of a spline.
        bound: The splines are on [-bound, bound].
        schedule: The training of a flow.
        mapped: Whether the spectrum of the cells is mapped onto that of the training showers.
    """

    former: NonNegativeInt
    shared: bool
    numbers: Numbers
    squeeze: tuple[PositiveInt, PositiveInt]
    blocks: PositiveInt
    hidden: PositiveInt
    downsamples: tuple[tuple[PositiveInt, PositiveInt], ...]
    batch_norm: bool
    embedding: PositiveInt
    bins: PositiveInt
    bound: PositiveFloat
    schedule: Schedule
    mapped: bool = False

    def flow(self, calorimeter: Calorimeter, former: int) -> ConvolutionalFlow:
        """A flow that sees so many former layers; without any its condition is the same everywhere,
        and is not embedded.
        """
        _, alpha, r = calorimeter.image().shape
        norm = nn.BatchNorm2d if self.batch_norm else group_norm
        return ConvolutionalFlow(
            (alpha, r),
            condition=former + CausalRecipe(1, self.former, self.shared).told,
            design=UNetDesign(self.hidden, self.downsamples, calorimeter.polar, norm),
            squeeze=self.squeeze,
            blocks=self.blocks,
            embedding=self.embedding if former else None,
            bins=self.bins,
            bound=self.bound,
        )


@STAGES.register("convolutional", ConvolutionalRecipe)
class ConvolutionalStage(CausalStage):
    """Layer after layer, by convolutional flows."""

    def __init__(self, calorimeter: Calorimeter, recipe: ConvolutionalRecipe) -> None:
        order = CausalRecipe(1, recipe.former, recipe.shared)
        new = partial(recipe.flow, calorimeter)
        super().__init__(
            calorimeter, order, recipe.numbers, recipe.schedule, new, mapped=recipe.mapped
        )

    def fit(self, showers: Showers) -> None:
        """Take the state of the representation, moments, and those of the activation norms."""
        super().fit(showers)
        some, random = (
            showers[:_FIRST_SIGHT],
            training.generator(_FIT_SEED, 1, 0, showers.deposits.device),
        )
        for number, flow in enumerate(self.flows):
            numbers, window = self.examples(number, some, random)
            cast("ConvolutionalFlow", flow).initialise(self.point(numbers), self.condition(window))

    def point(
        self, numbers: Float[Tensor, "showers numbers"]
    ) -> Float[Tensor, "showers 1 alpha r"]:
        """An image of one channel."""
        return numbers.reshape(-1, 1, *self.grid.shape[1:])

    def condition(self, window: Window) -> Float[Tensor, "showers channels alpha r"]:
        """A channel for each former layer, and one for each number, the same everywhere."""
        alpha, r = self.grid.shape[1:]
        planes = window.told[:, :, None, None].expand(-1, -1, alpha, r)
        return torch.cat([window.former.reshape(len(planes), -1, alpha, r), planes], dim=1)

    def samplers(self) -> Sequence[Bijection]:
        """The flows with their matrices multiplied out."""
        return [cast("ConvolutionalFlow", flow).folded() for flow in self.flows]


@dataclass(frozen=True)
class MaskedShapeRecipe(StageRecipe):
    """Settings of a `MaskedShapeStage`.

    Arguments:
        slab: Layers in a slab, a divisor of their number.
        former: Slabs before it that a slab sees, k.
        shared: Whether all slabs share one flow.
        numbers: What stands for the cells.
        network: The sizes of a flow.
        schedule: The training of a flow.
        student: The training of its student, or None.
        mapped: Whether the spectrum of the cells is mapped onto that of the training showers.
    """

    slab: PositiveInt
    former: NonNegativeInt
    shared: bool
    numbers: Numbers
    network: MaskedSizes
    schedule: Schedule
    student: Schedule | None = None
    mapped: bool = False

    def flow(self, calorimeter: Calorimeter, former: int) -> MaskedFlow:
        """A flow that sees so many former slabs."""
        order, sizes = CausalRecipe(self.slab, self.former, self.shared), self.network
        cells = self.slab * calorimeter.image()[0].numel()
        return MaskedFlow(
            cells,
            former * cells + order.told,
            blocks=sizes.blocks,
            hidden=sizes.hidden,
            bins=sizes.bins,
            bound=sizes.bound,
            slope=sizes.slope,
        )


@STAGES.register("masked", MaskedShapeRecipe)
class MaskedShapeStage(CausalStage):
    """Slab after slab, by masked autoregressive flows or by their students."""

    def __init__(self, calorimeter: Calorimeter, recipe: MaskedShapeRecipe) -> None:
        order = CausalRecipe(recipe.slab, recipe.former, recipe.shared)
        new = partial(recipe.flow, calorimeter)
        super().__init__(
            calorimeter, order, recipe.numbers, recipe.schedule, new, mapped=recipe.mapped
        )
        self.study, self.distillation = recipe.student, DensityDistillation()
        self.students = (
            None
            if recipe.student is None
            else nn.ModuleList([flow.student() for flow in self._teachers()])
        )

    def _teachers(self) -> Sequence[MaskedFlow]:
        return cast("list[MaskedFlow]", list(self.flows))

    def point(self, numbers: Float[Tensor, "showers numbers"]) -> Float[Tensor, "showers numbers"]:
        """As they are."""
        return numbers

    def condition(self, window: Window) -> Float[Tensor, "showers condition"]:
        """All numbers in a row."""
        return torch.cat([window.former.flatten(1), window.told], dim=1)

    def samplers(self) -> Sequence[Bijection]:
        """The students if there are any, else the flows."""
        return cast("list[Bijection]", list(self.flows if self.students is None else self.students))

    def phases(
        self, taught: Showers, held: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """Those of the flows, then those of their students."""
        phases = list(super().phases(taught, held, seed, first))
        if self.students is None or self.study is None:
            return phases
        started = seed, first + len(phases)
        return phases + self._phases(
            "student", self.study, self.students, self.student_loss, (taught, held), started
        )

    def student_loss(
        self, number: int, showers: Showers, random: torch.Generator
    ) -> Float[Tensor, ""]:
        """What a student and its teacher disagree in, on the way from data and from
        random numbers.
        """
        numbers, window = self.examples(number, showers, random)
        noise = torch.randn(numbers.shape, generator=random, device=numbers.device)
        teacher, student = self._teachers()[number], cast("list[MaskedFlow]", self.students)[number]
        return self.distillation.loss(teacher, student, numbers, noise, self.condition(window))
