r"""A shape made by a flow, whatever the flow carries, and faster ways to sample it (CaloDREAM,
arXiv:2405.09629, section 3.4).

A stage says how it sees a shower as a point of the flow, and what deposits a point stands for. It
may have a `BespokeSolver` made for its flow, or a *student*, a network like its own that has
learned the flow's trajectories in a step or two (`Distillation`): where there is a student, it is
what samples, or else the bespoke solver, or else the Runge-Kutta steps of the recipe.
"""

__all__ = [
    "BespokeRecipe",
    "FlowRecipe",
    "FlowStage",
    "PathName",
    "Solver",
    "StudentRecipe",
    "TransformerSizes",
    "solver_phase",
    "student_phase",
]

import copy
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int64
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from caloforge import streams
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.processes import (
    PATHS,
    RK4,
    SOLVERS,
    BespokeSolver,
    Distillation,
    FlowBridge,
    Sampler,
    Steps,
    Trajectory,
    Velocity,
    global_truncation,
    gram,
    local_truncation,
    trace,
)
from caloforge.learn.representations import LayerRatios, LogEnergy
from caloforge.models.stages import Lessons, Schedule, ShapeStage
from caloforge.observables import layer_energies
from caloforge.showers import Showers

_REFERENCE_STEPS = 40
"""Steps of RK4 in the solutions that bespoke solvers learn from."""

_SOLUTIONS_AT_A_TIME = 32

_REFERENCES = -1
"""In place of the number of a step: the random numbers of the reference solutions."""

Solver = Literal["euler", "midpoint", "heun", "rk4"]
PathName = Literal["linear", "trigonometric", "squared-trigonometric", "variance-preserving"]


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

    evaluations: PositiveInt
    local: bool
    showers: PositiveInt
    batch_size: PositiveInt
    steps: PositiveInt
    learning_rate: PositiveFloat


@dataclass(frozen=True)
class StudentRecipe:
    """Settings of the student of a flow.

    Arguments:
        evaluations: Evaluations of the student a shower, one or two as a rule.
        showers: Trajectories of the flow that it learns from.
        batch_size: Trajectories a step.
        steps: Steps of the optimiser.
        learning_rate: The peak learning rate.
    """

    evaluations: PositiveInt
    showers: PositiveInt
    batch_size: PositiveInt
    steps: PositiveInt
    learning_rate: PositiveFloat


@dataclass(frozen=True)
class FlowRecipe:
    """Settings of a flow.

    Arguments:
        scale: The scale f of the energy ratios in the condition.
        path: The path of the flow.
        solver: The method that integrates it, where neither a bespoke solver nor a student does.
        solver_steps: Its steps.
        schedule: The training of its network.
        bespoke: The solver made for it, or None.
        student: Its student, or None.
    """

    scale: PositiveFloat
    path: PathName
    solver: Solver
    solver_steps: PositiveInt
    schedule: Schedule
    bespoke: BespokeRecipe | None = None
    student: StudentRecipe | None = None


@dataclass(frozen=True)
class TransformerSizes:
    """The sizes of a transformer.

    Arguments:
        dim: Width of a token's vector.
        heads: Heads of the attention.
        hidden: Width of the dense parts.
        blocks: Blocks.
    """

    dim: PositiveInt
    heads: PositiveInt
    hidden: PositiveInt
    blocks: PositiveInt


class FlowStage(ShapeStage):
    """A shape made by a flow: what its ways of seeing a shower share.

    Arguments:
        calorimeter: Where the cells are.
        flow: The settings of the flow.
        network: Its network, a velocity on points of the shape of ``point_shape``.
    """

    grid: Tensor

    def __init__(self, calorimeter: Calorimeter, flow: FlowRecipe, network: nn.Module) -> None:
        super().__init__(calorimeter)
        self.flow, self.process, self.network = flow, FlowBridge(PATHS[flow.path]), network
        self.ratios, self.log_energy = LayerRatios(calorimeter.n_layers, flow.scale), LogEnergy()
        self.bespoke = None if flow.bespoke is None else BespokeSolver(flow.bespoke.evaluations)
        self.student = None if flow.student is None else copy.deepcopy(network)
        self._chosen: tuple[Sampler, ...] = ()
        self.register_buffer("grid", calorimeter.image(), persistent=False)

    @property
    def sampler(self) -> Sampler:
        """What follows the flow: the sampler last chosen, or else the bespoke solver, or else the
        steps of the recipe.
        """
        steps = Steps(SOLVERS[self.flow.solver], self.flow.solver_steps)
        return (*self._chosen, steps if self.bespoke is None else self.bespoke)[0]

    def sample_by(self, sampler: Sampler) -> None:
        """Choose another sampler, in place of a student too; it is not saved with the stage."""
        self._chosen = (sampler,)

    @property
    @abstractmethod
    def point_shape(self) -> tuple[int, ...]:
        """The shape of what the flow carries."""

    @abstractmethod
    def points(
        self, showers: Showers, condition: Tensor, random: torch.Generator
    ) -> Float[Tensor, "showers ..."]:
        """Showers as the flow sees them, with shape ``(showers, *point_shape)``."""

    @abstractmethod
    def deposits(
        self,
        points: Float[Tensor, "showers ..."],
        energies: Float[Tensor, "showers layers"],
        condition: Float[Tensor, "showers conditions"],
        key: Int64[Tensor, " showers"],
    ) -> Float[Tensor, "showers cells"]:
        """The deposits, in MeV, of what the flow made.

        Arguments:
            points: Where the flow ended.
            energies: The energy in each layer, in MeV.
            condition: The condition of the flow.
            key: A key of `caloforge.streams` a shower, for what is left to chance.
        """

    def fit(self, showers: Showers) -> None:
        """Take moments and range."""
        self.ratios.fit(layer_energies(showers), showers.energies)
        self.log_energy.fit(showers.energies)

    def condition(
        self, incident: Float[Tensor, " showers"], energies: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers conditions"]:
        """The ratios of the layers' energies and the log of the incident energy."""
        return torch.cat([self.ratios(energies, incident), self.log_energy(incident)], dim=1)

    def field(
        self, cells: Float[Tensor, "showers cells"]
    ) -> Float[Tensor, "showers 1 layers alpha r"]:
        """Numbers of the cells, as an image."""
        return cells[:, self.grid.flatten()].reshape(-1, 1, *self.grid.shape)

    def cells(
        self, field: Float[Tensor, "showers 1 layers alpha r"]
    ) -> Float[Tensor, "showers cells"]:
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
        start = (
            streams.normals(key, math.prod(self.point_shape)).float().reshape(-1, *self.point_shape)
        )
        points = self._end(start, condition)
        return self.deposits(points, energies, condition, streams.offspring(key, 0))

    def _end(
        self, start: Float[Tensor, "showers ..."], condition: Tensor
    ) -> Float[Tensor, "showers ..."]:
        if self.student is None or self.flow.student is None or self._chosen:
            return self.process.transport(self.network, start, condition, self.sampler)
        return self.process.transport(
            self.student, start, condition, Distillation(self.flow.student.evaluations).sampler
        )

    def velocity(self, condition: Tensor) -> Velocity:
        """The network's velocity at one time and condition."""
        return lambda x, t: self.network(x, x.new_full((len(x),), t), condition)

    def flow_phases(
        self, taught: Showers, held: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """The network's phase, then those of the solver and of the student if there are to
        be any.
        """
        lessons, exam = Lessons(taught, seed, first), Lessons(held, seed, first)
        phases = [self.flow.schedule.phase("shape", self.network, self.loss, lessons, exam)]
        conditions = self.condition(taught.energies, layer_energies(taught))
        if self.bespoke is not None and self.flow.bespoke is not None:
            phases.append(
                solver_phase(self, self.bespoke, self.flow.bespoke, conditions, (seed, first + 1))
            )
        if self.student is not None and self.flow.student is not None:
            phases.append(
                student_phase(self, self.student, self.flow.student, conditions, (seed, first + 2))
            )
        return phases


def solver_phase(
    stage: FlowStage,
    solver: BespokeSolver,
    recipe: BespokeRecipe,
    conditions: Float[Tensor, "showers conditions"],
    seed: tuple[int, int],
) -> training.Objective:
    """The phase that makes a solver for the flow of a stage, whose network stays as it is.

    Arguments:
        stage: The stage, its network trained.
        solver: The solver.
        recipe: Its settings.
        conditions: Conditions to draw from.
        seed: The seed of the training, and the number of the phase.
    """
    errors = _LocalErrors if recipe.local else _GlobalErrors
    return training.minimise(
        "bespoke solver",
        solver,
        errors(stage, solver, recipe, conditions, seed),
        steps=recipe.steps,
        adam=training.Adam(recipe.learning_rate),
        schedule=training.WarmCosine(),
        average=0.99,
    )


def student_phase(
    stage: FlowStage,
    student: nn.Module,
    recipe: StudentRecipe,
    conditions: Float[Tensor, "showers conditions"],
    seed: tuple[int, int],
) -> training.Objective:
    """The phase that teaches a student the trajectories of the flow of a stage; it begins as the
    flow's network.

    Arguments:
        stage: The stage, its network trained.
        student: The student, a network like the stage's.
        recipe: Its settings.
        conditions: Conditions to draw from.
        seed: The seed of the training, and the number of the phase.
    """
    objective = training.minimise(
        "student",
        student,
        _StudentErrors(stage, student, recipe, conditions, seed),
        steps=recipe.steps,
        adam=training.Adam(recipe.learning_rate),
        schedule=training.WarmCosine(),
        average=0.99,
    )
    return replace(objective, start=lambda: student.load_state_dict(stage.network.state_dict()))


@dataclass(frozen=True)
class _Examples:
    """Start points and conditions of the flow to learn from.

    Arguments:
        stage: The stage, whose network is trained.
        pupil: What learns.
        recipe: Its settings.
        conditions: Conditions to draw from.
        seed: The seed of the training, and the number of the phase.
    """

    stage: FlowStage
    pupil: nn.Module
    recipe: BespokeRecipe | StudentRecipe
    conditions: Float[Tensor, "showers conditions"]
    seed: tuple[int, int]

    def starts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Start points and their conditions, a few at a time."""
        device = self.conditions.device
        random = training.generator(*self.seed, _REFERENCES, device)
        for _ in range(0, self.recipe.showers, _SOLUTIONS_AT_A_TIME):
            rows = torch.randint(
                len(self.conditions), (_SOLUTIONS_AT_A_TIME,), generator=random, device=device
            )
            start = torch.randn(len(rows), *self.stage.point_shape, generator=random, device=device)
            yield start, self.conditions[rows]

    def rows(self, step: int, available: int) -> Int64[Tensor, " rows"]:
        """The examples of a step."""
        random = training.generator(*self.seed, step)
        return torch.randint(available, (self.recipe.batch_size,), generator=random)


@dataclass(frozen=True)
class _Errors(_Examples):
    """What the bespoke solvers learn from: reference solutions; see `solver_phase`."""

    pupil: BespokeSolver

    def solutions(self) -> Iterator[tuple[Trajectory, Tensor]]:
        """Reference solutions and their conditions, a few at a time."""
        for start, condition in self.starts():
            with torch.no_grad():
                yield (
                    trace(
                        self.stage.velocity(condition), start, solver=RK4, steps=_REFERENCE_STEPS
                    ),
                    condition,
                )


class _LocalErrors(_Errors):
    """The local truncation error of a step."""

    @cached_property
    def products(self) -> Float[Tensor, "solutions points points"]:
        """The inner products of all solutions."""
        return torch.cat([gram(trajectory) for trajectory, _ in self.solutions()])

    def __call__(self, step: int) -> Float[Tensor, ""]:
        return local_truncation(self.pupil, self.products[self.rows(step, len(self.products))])


class _GlobalErrors(_Errors):
    """The global truncation error of a step."""

    @cached_property
    def ends(self) -> tuple[Tensor, Tensor, Tensor]:
        """Start points, end points and conditions of all solutions."""
        self.stage.network.requires_grad_(requires_grad=False)
        found = [
            (t.states[:, 0].clone(), t.states[:, -1].clone(), condition)
            for t, condition in self.solutions()
        ]
        starts, ends, conditions = (torch.cat(parts) for parts in zip(*found, strict=True))
        return starts, ends, conditions

    def __call__(self, step: int) -> Float[Tensor, ""]:
        rows = self.rows(step, len(self.ends[0]))
        start, end, condition = (part[rows] for part in self.ends)
        return global_truncation(self.pupil, self.stage.network, (start, end), condition)


class _StudentErrors(_Examples):
    """The error of the student in a step."""

    @cached_property
    def lessons(self) -> tuple[Tensor, Tensor]:
        """Where the student has to stop on each trajectory, and the conditions."""
        process, found = self.process, []
        for start, condition in self.starts():
            with torch.no_grad():
                stops = process.lessons(
                    self.stage.velocity(condition),
                    start,
                    solver=RK4,
                    steps=_REFERENCE_STEPS // process.steps,
                )
            found.append((stops, condition))
        stops, conditions = (torch.cat(parts) for parts in zip(*found, strict=True))
        return stops, conditions

    @property
    def process(self) -> Distillation:
        """What the student learns by."""
        return Distillation(self.recipe.evaluations)

    def __call__(self, step: int) -> Float[Tensor, ""]:
        stops, conditions = self.lessons
        rows = self.rows(step, len(stops))
        return self.process.loss(self.pupil, stops[rows], conditions[rows])
