r"""CaloDREAM: flow matching of the energies of the layers, then of the shower in them (arXiv:2405.09629).

Three stages, each a choice of representation, process and network:

- `TransfusionStage`: ratios of the layer energies (`LayerRatios`), one after another (`AutoregressiveFlow`), by a transformer
  (section 3.1).
- `VisionStage`: the shares of all cells in their layers (`LayerShares`) at once (`FlowBridge`), by a vision transformer
  (section 3.2).
- `LatentStage`: the same in the latent space of a convolutional autoencoder, laViT (section 3.3).

A shape is conditioned on the ratios of the layer energies and on the incident energy (systems table D18). Its stage may end
with a `BespokeSolver` made for its flow (section 3.4); where there is one, it is what samples.
"""

__all__ = [
    "BespokeRecipe",
    "FlowStage",
    "LatentRecipe",
    "LatentStage",
    "TransfusionRecipe",
    "TransfusionStage",
    "VisionRecipe",
    "VisionStage",
]

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from caloforge import streams
from caloforge.calorimeter import Calorimeter, image_cells
from caloforge.learn import training
from caloforge.learn.networks import ConvolutionalAutoencoder, Transfusion, VisionTransformer
from caloforge.learn.processes import (
    PATHS,
    RK4,
    SOLVERS,
    AutoregressiveFlow,
    BespokeSolver,
    FlowBridge,
    Sampler,
    Steps,
    Trajectory,
    Variational,
    Velocity,
    global_truncation,
    gram,
    local_truncation,
    trace,
)
from caloforge.learn.representations import LayerRatios, LayerShares, LogEnergy
from caloforge.observables import layer_energies
from caloforge.showers import Showers
from caloforge.systems.stages import EnergyStage, Lessons, Schedule, ShapeStage

_REFERENCE_STEPS = 40
"""Steps of RK4 in the solutions that bespoke solvers learn from."""

_SOLUTIONS_AT_A_TIME = 32

_REFERENCES = -1
"""In place of the number of a step: the random numbers of the reference solutions."""

Solver = Literal["euler", "midpoint", "heun", "rk4"]
PathName = Literal["linear", "trigonometric", "squared-trigonometric", "variance-preserving"]
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class TransfusionRecipe:
    """Settings of a `TransfusionStage`.

    Arguments:
        scale: The scale f of the total energy: no shower deposits more than f times its incident energy.
        dim: Width of the transformer.
        heads: Its heads.
        blocks: Its blocks, in the encoder and in the decoder.
        feed_forward: Width of the blocks' dense part.
        head_width: Width of the dense flow network.
        head_layers: Its layers.
        time_scale: Standard deviation of the frequencies of its time features.
        path: The path of the flow.
        solver: The method that integrates the flow.
        solver_steps: Its steps.
        schedule: The training.
    """

    stage: Literal["transfusion"]
    scale: float
    dim: int
    heads: int
    blocks: int
    feed_forward: int
    head_width: int
    head_layers: int
    time_scale: float
    path: PathName
    solver: Solver
    solver_steps: int
    schedule: Schedule

    def build(self, calorimeter: Calorimeter) -> "TransfusionStage":
        """The stage."""
        return TransfusionStage(calorimeter, self)


class TransfusionStage(EnergyStage):
    """The energies of the layers, one after another."""

    def __init__(self, calorimeter: Calorimeter, recipe: TransfusionRecipe) -> None:
        super().__init__(calorimeter)
        self.recipe, self.process = recipe, AutoregressiveFlow(PATHS[recipe.path])
        self.ratios, self.log_energy = LayerRatios(calorimeter.n_layers, recipe.scale), LogEnergy()
        self.network = Transfusion(
            calorimeter.n_layers,
            dim=recipe.dim,
            heads=recipe.heads,
            encoder_blocks=recipe.blocks,
            decoder_blocks=recipe.blocks,
            feed_forward=recipe.feed_forward,
            head_width=recipe.head_width,
            head_layers=recipe.head_layers,
            time_scale=recipe.time_scale,
        )

    def fit(self, showers: Showers) -> None:
        """Take moments and range."""
        self.ratios.fit(layer_energies(showers), showers.energies)
        self.log_energy.fit(showers.energies)

    def phases(self, taught: Showers, held: Showers, seed: int, first: int) -> Sequence[training.Phase]:
        """One phase."""
        lessons, exam = Lessons(taught, seed, first), Lessons(held, seed, first)
        return [self.recipe.schedule.phase("layer energies", self.network, self.loss, lessons, exam)]

    def loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The flow matching loss of all layers."""
        values = self.ratios(layer_energies(showers), showers.energies)
        time = torch.rand(values.shape, generator=random, device=values.device)
        noise = torch.randn(values.shape, generator=random, device=values.device)
        return self.process.loss(self.network, values, self.log_energy(showers.energies), time, noise)

    def sample(self, incident: Float[Tensor, " showers"], key: Int64[Tensor, " showers"]) -> Float[Tensor, "showers layers"]:
        """Layer by layer."""
        noise = streams.normals(key, self.calorimeter.n_layers).float()
        solver, steps = SOLVERS[self.recipe.solver], self.recipe.solver_steps
        values = self.process.sample(self.network, noise, self.log_energy(incident), solver, steps)
        return self.ratios.inverse(values, incident)


@dataclass(frozen=True)
class BespokeRecipe:
    """Settings of the solver made for a flow (systems table D22).

    Arguments:
        evaluations: Evaluations of the network, n.
        local: Whether it learns from the local truncation error, or from the global one.
        showers: Reference solutions that it learns from.
        batch_size: Solutions a step.
        steps: Steps of the optimiser.
        learning_rate: The peak learning rate.
    """

    evaluations: int
    local: bool
    showers: int
    batch_size: int
    steps: int
    learning_rate: float


class FlowStage(ShapeStage):
    """A shape made by a flow: what its ways of seeing a shower share.

    Arguments:
        calorimeter: Where the cells are.
        scale: The scale f of the energy ratios in the condition.
        path: The path of the flow.
        solver: The method that integrates it, and its steps, unless there is a bespoke solver.
        bespoke: The bespoke solver, or None.
    """

    network: nn.Module
    grid: Int64[Tensor, "layers alpha r"]

    def __init__(
        self,
        calorimeter: Calorimeter,
        scale: float,
        path: PathName,
        solver: tuple[Solver, int],
        bespoke: BespokeRecipe | None,
    ) -> None:
        super().__init__(calorimeter)
        self.process, self.bespoke_recipe = FlowBridge(PATHS[path]), bespoke
        self.ratios, self.log_energy = LayerRatios(calorimeter.n_layers, scale), LogEnergy()
        self.steps = Steps(SOLVERS[solver[0]], solver[1])
        self.bespoke = None if bespoke is None else BespokeSolver(bespoke.evaluations)
        self.register_buffer("grid", image_cells(calorimeter), persistent=False)

    @property
    def sampler(self) -> Sampler:
        """What samples the flow: the bespoke solver, or else the steps of the recipe."""
        return self.steps if self.bespoke is None else self.bespoke

    @property
    @abstractmethod
    def point_shape(self) -> tuple[int, ...]:
        """The shape of what the flow carries."""

    @abstractmethod
    def points(self, showers: Showers, condition: Tensor, random: torch.Generator) -> Float[Tensor, "showers ..."]:
        """Showers as the flow sees them, with shape (showers, *point_shape)."""

    @abstractmethod
    def deposits(
        self, points: Float[Tensor, "showers ..."], energies: Float[Tensor, "showers layers"], condition: Tensor
    ) -> Float[Tensor, "showers cells"]:
        """The deposits, in MeV, of what the flow made."""

    def fit(self, showers: Showers) -> None:
        """Take moments and range."""
        self.ratios.fit(layer_energies(showers), showers.energies)
        self.log_energy.fit(showers.energies)

    def condition(
        self, incident: Float[Tensor, " showers"], energies: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers conditions"]:
        """The ratios of the layers' energies and the log of the incident energy."""
        return torch.cat([self.ratios(energies, incident), self.log_energy(incident)], dim=1)

    def field(self, cells: Float[Tensor, "showers cells"]) -> Float[Tensor, "showers 1 layers alpha r"]:
        """Numbers of the cells, as an image."""
        return cells[:, self.grid.flatten()].reshape(-1, 1, *self.grid.shape)

    def cells(self, field: Float[Tensor, "showers 1 layers alpha r"]) -> Float[Tensor, "showers cells"]:
        """The inverse of `field`."""
        cells = torch.empty_like(field.flatten(1))
        cells[:, self.grid.flatten()] = field.flatten(1)
        return cells

    def loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The flow matching loss."""
        condition = self.condition(showers.energies, layer_energies(showers))
        end = self.points(showers, condition, random)
        start = torch.randn(end.shape, generator=random, device=end.device)
        time = torch.rand(len(end), generator=random, device=end.device)
        return self.process.loss(self.network, (start, end), condition, time)

    def sample(
        self,
        incident: Float[Tensor, " showers"],
        energies: Float[Tensor, "showers layers"],
        key: Int64[Tensor, " showers"],
    ) -> Float[Tensor, "showers cells"]:
        """By the flow."""
        condition = self.condition(incident, energies)
        start = streams.normals(key, math.prod(self.point_shape)).float().reshape(-1, *self.point_shape)
        points = self.process.transport(self.network, start, condition, self.sampler)
        return self.deposits(points, energies, condition)

    def velocity(self, condition: Tensor) -> Velocity:
        """The network's velocity at one time and condition."""
        return lambda x, t: self.network(x, x.new_full((len(x),), t), condition)

    def bespoke_phases(self, showers: Showers, seed: int, number: int) -> Sequence[training.Phase]:
        """The phase that makes the solver, if there is to be one."""
        recipe = self.bespoke_recipe
        if self.bespoke is None or recipe is None:
            return []
        errors = _LocalErrors if recipe.local else _GlobalErrors
        phase = training.Phase(
            name="bespoke solver",
            network=self.bespoke,
            loss=errors(self, self.bespoke, recipe, showers, (seed, number)),
            steps=recipe.steps,
            learning_rate=recipe.learning_rate,
            cosine=True,
            average=0.99,
        )
        return [phase]


@dataclass(frozen=True)
class _Errors:
    """What the bespoke solvers learn from: reference solutions for the conditions of training showers.

    Arguments:
        stage: The stage, whose network is trained.
        solver: The solver in training.
        recipe: Its settings.
        showers: The training showers.
        seed: The seed of the training, and the number of the phase.
    """

    stage: FlowStage
    solver: BespokeSolver
    recipe: BespokeRecipe
    showers: Showers
    seed: tuple[int, int]

    def solutions(self) -> Iterator[tuple[Trajectory, Tensor]]:
        """Reference solutions and their conditions, a few at a time."""
        stage, random = self.stage, training.generator(*self.seed, _REFERENCES, self.showers.deposits.device)
        for _ in range(0, self.recipe.showers, _SOLUTIONS_AT_A_TIME):
            rows = torch.randint(len(self.showers), (_SOLUTIONS_AT_A_TIME,), generator=random, device=random.device)
            showers = self.showers[rows]
            condition = stage.condition(showers.energies, layer_energies(showers))
            start = torch.randn(len(showers), *stage.point_shape, generator=random, device=random.device)
            with torch.no_grad():
                yield trace(stage.velocity(condition), start, solver=RK4, steps=_REFERENCE_STEPS), condition

    def rows(self, step: int, available: int) -> Int64[Tensor, " rows"]:
        """The solutions of a step."""
        random = training.generator(*self.seed, step)
        return torch.randint(available, (self.recipe.batch_size,), generator=random)


class _LocalErrors(_Errors):
    """The local truncation error of a step."""

    @cached_property
    def products(self) -> Float[Tensor, "solutions points points"]:
        """The inner products of all solutions."""
        return torch.cat([gram(trajectory) for trajectory, _ in self.solutions()])

    def __call__(self, step: int) -> Float[Tensor, ""]:
        return local_truncation(self.solver, self.products[self.rows(step, len(self.products))])


class _GlobalErrors(_Errors):
    """The global truncation error of a step."""

    @cached_property
    def ends(self) -> tuple[Tensor, Tensor, Tensor]:
        """Start points, end points and conditions of all solutions."""
        self.stage.network.requires_grad_(requires_grad=False)
        found = [(t.states[:, 0].clone(), t.states[:, -1].clone(), condition) for t, condition in self.solutions()]
        starts, ends, conditions = (torch.cat(parts) for parts in zip(*found, strict=True))
        return starts, ends, conditions

    def __call__(self, step: int) -> Float[Tensor, ""]:
        rows = self.rows(step, len(self.ends[0]))
        start, end, condition = (part[rows] for part in self.ends)
        return global_truncation(self.solver, self.stage.network, (start, end), condition)


@dataclass(frozen=True)
class VisionRecipe:
    """Settings of a `VisionStage`.

    Arguments:
        scale: The scale f of the energy ratios in the condition.
        cut: Shares of a layer below it are 0.
        patch: The shape of a patch: layers, bins in alpha, bins in r (or z, y, x).
        dim: Width of the transformer.
        heads: Its heads.
        hidden: Width of its dense parts.
        blocks: Its blocks.
        path: The path of the flow.
        solver: The method that integrates the flow, unless there is a bespoke solver.
        solver_steps: Its steps.
        schedule: The training.
        bespoke: The solver made for the flow, or None.
    """

    stage: Literal["vision"]
    scale: float
    cut: float
    patch: Triple
    dim: int
    heads: int
    hidden: int
    blocks: int
    path: PathName
    solver: Solver
    solver_steps: int
    schedule: Schedule
    bespoke: BespokeRecipe | None = None

    def build(self, calorimeter: Calorimeter) -> "VisionStage":
        """The stage."""
        return VisionStage(calorimeter, self)


class VisionStage(FlowStage):
    """The shares of all cells, by a vision transformer."""

    def __init__(self, calorimeter: Calorimeter, recipe: VisionRecipe) -> None:
        super().__init__(calorimeter, recipe.scale, recipe.path, (recipe.solver, recipe.solver_steps), recipe.bespoke)
        self.recipe, self.shares = recipe, LayerShares(calorimeter, recipe.cut)
        layers, alpha, r = self.grid.shape
        self.network = VisionTransformer(
            (layers, alpha, r),
            recipe.patch,
            dim=recipe.dim,
            heads=recipe.heads,
            hidden=recipe.hidden,
            blocks=recipe.blocks,
            condition=calorimeter.n_layers + 1,
        )

    @property
    def point_shape(self) -> tuple[int, ...]:
        """One number a cell."""
        return (1, *self.grid.shape)

    def fit(self, showers: Showers) -> None:
        """Take moments, range and threshold."""
        super().fit(showers)
        self.shares.fit(showers)

    def phases(self, taught: Showers, held: Showers, seed: int, first: int) -> Sequence[training.Phase]:
        """The network's, and the solver's if there is to be one."""
        lessons, exam = Lessons(taught, seed, first), Lessons(held, seed, first)
        network = self.recipe.schedule.phase("shape", self.network, self.loss, lessons, exam)
        return [network, *self.bespoke_phases(taught, seed, first + 1)]

    def points(self, showers: Showers, condition: Tensor, random: torch.Generator) -> Float[Tensor, "showers ..."]:
        """Standardised logits of the shares."""
        del condition, random
        return self.field(self.shares(showers))

    def deposits(
        self, points: Float[Tensor, "showers ..."], energies: Float[Tensor, "showers layers"], condition: Tensor
    ) -> Float[Tensor, "showers cells"]:
        """The inverse of `points`."""
        del condition
        return self.shares.inverse(self.cells(points), energies)


@dataclass(frozen=True)
class LatentRecipe:
    """Settings of a `LatentStage`.

    Arguments:
        scale: The scale f of the energy ratios in the condition.
        cut: Shares of a layer below it are 0.
        channels: Channels of the autoencoder's levels, the latent field's last.
        kernels: Kernels of its levels.
        strides: Their strides.
        pads: Their paddings.
        beta: Weight of the divergence in its loss.
        patch: The shape of a patch of the latent field.
        dim: Width of the transformer.
        heads: Its heads.
        hidden: Width of its dense parts.
        blocks: Its blocks.
        path: The path of the flow.
        solver: The method that integrates the flow, unless there is a bespoke solver.
        solver_steps: Its steps.
        autoencoder_schedule: The training of the autoencoder.
        schedule: The training of the transformer.
        bespoke: The solver made for the flow, or None.
    """

    stage: Literal["latent"]
    scale: float
    cut: float
    channels: tuple[int, ...]
    kernels: tuple[Triple, ...]
    strides: tuple[Triple, ...]
    pads: tuple[Triple, ...]
    beta: float
    patch: Triple
    dim: int
    heads: int
    hidden: int
    blocks: int
    path: PathName
    solver: Solver
    solver_steps: int
    autoencoder_schedule: Schedule
    schedule: Schedule
    bespoke: BespokeRecipe | None = None

    def build(self, calorimeter: Calorimeter) -> "LatentStage":
        """The stage."""
        return LatentStage(calorimeter, self)


class LatentStage(FlowStage):
    """laViT: the latent code of the shares, by a vision transformer."""

    def __init__(self, calorimeter: Calorimeter, recipe: LatentRecipe) -> None:
        super().__init__(calorimeter, recipe.scale, recipe.path, (recipe.solver, recipe.solver_steps), recipe.bespoke)
        self.recipe, self.process_of_code = recipe, Variational(recipe.beta)
        self.shares = LayerShares(calorimeter, recipe.cut)
        layers, alpha, r = self.grid.shape
        self.autoencoder = ConvolutionalAutoencoder(
            (layers, alpha, r),
            condition=calorimeter.n_layers + 1,
            channels=recipe.channels,
            kernels=recipe.kernels,
            strides=recipe.strides,
            pads=recipe.pads,
        )
        channels, *latent = self.autoencoder.latent_shape
        self.network = VisionTransformer(
            (latent[0], latent[1], latent[2]),
            recipe.patch,
            channels=channels,
            dim=recipe.dim,
            heads=recipe.heads,
            hidden=recipe.hidden,
            blocks=recipe.blocks,
            condition=calorimeter.n_layers + 1,
        )

    @property
    def point_shape(self) -> tuple[int, ...]:
        """The shape of the latent field."""
        return self.autoencoder.latent_shape

    def fit(self, showers: Showers) -> None:
        """Take moments, range and threshold."""
        super().fit(showers)
        self.shares.fit(showers)

    def phases(self, taught: Showers, held: Showers, seed: int, first: int) -> Sequence[training.Phase]:
        """The autoencoder's, the transformer's, and the solver's if there is to be one."""
        recipe = self.recipe
        code, flow = ((Lessons(taught, seed, first + k), Lessons(held, seed, first + k)) for k in range(2))
        autoencoder = recipe.autoencoder_schedule.phase("autoencoder", self.autoencoder, self.code_loss, *code)
        network = recipe.schedule.phase("shape", self.network, self.loss, *flow)
        return [autoencoder, network, *self.bespoke_phases(taught, seed, first + 2)]

    def code_loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The loss of the autoencoder."""
        condition = self.condition(showers.energies, layer_energies(showers))
        noise = torch.randn(len(showers), *self.point_shape, generator=random, device=condition.device)
        return self.process_of_code.loss(self.autoencoder, self.field(self.shares.shares(showers)).float(), condition, noise)

    @torch.no_grad()
    def points(self, showers: Showers, condition: Tensor, random: torch.Generator) -> Float[Tensor, "showers ..."]:
        """A latent code, drawn from the encoder's law."""
        mean, log_variance = self.autoencoder.encode(self.field(self.shares.shares(showers)).float(), condition)
        noise = torch.randn(mean.shape, generator=random, device=mean.device)
        return self.process_of_code.sample(mean, log_variance, noise)

    def deposits(
        self, points: Float[Tensor, "showers ..."], energies: Float[Tensor, "showers layers"], condition: Tensor
    ) -> Float[Tensor, "showers cells"]:
        """The decoder's means, as shares."""
        shares = self.cells(self.autoencoder.decode(points, condition).sigmoid())
        return self.shares.deposits(shares.double(), energies)
