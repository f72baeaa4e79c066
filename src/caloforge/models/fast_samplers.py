"""Faster ways to sample a flow than the steps that it was trained for (CaloDREAM, arXiv:2405.09629,
section 3.4).

A `BespokeSolver` is made for one flow, whose network stays as it is. A *student* is a network like
the flow's that has learned its trajectories in a step or two (`Distillation`).
"""

__all__ = ["BespokeRecipe", "Flow", "StudentRecipe", "solver_objective", "student_objective"]

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from pydantic import PositiveFloat
from torch import Tensor, nn

from caloforge.learn import training
from caloforge.learn.processes import (
    RK4,
    BespokeSolver,
    Distillation,
    Trajectory,
    Velocity,
    global_truncation,
    gram,
    local_truncation,
    trace,
)
from caloforge.models.recipes import Batch, Count, Evaluations

_REFERENCE_STEPS = 40
"""Steps of RK4 in the solutions that bespoke solvers learn from."""

_SOLUTIONS_AT_A_TIME = 32

_REFERENCES = -1
"""In place of the number of a step: the random numbers of the reference solutions."""


@runtime_checkable
class Flow(Protocol):
    """What is asked of the flow."""

    network: nn.Module

    @property
    def point_shape(self) -> tuple[int, ...]:
        """The shape of what the flow carries."""

    def velocity(self, condition: Tensor) -> Velocity:
        """The velocity as a function of x and t."""


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

    evaluations: Evaluations
    local: bool
    showers: Count
    batch_size: Batch
    steps: Count
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

    evaluations: Evaluations
    showers: Count
    batch_size: Batch
    steps: Count
    learning_rate: PositiveFloat


def solver_objective(
    stage: Flow,
    solver: BespokeSolver,
    recipe: BespokeRecipe,
    conditions: Float[Tensor, "showers conditions"],
    seed: tuple[int, int],
) -> training.Objective:
    """What makes a solver for the flow of a stage, whose network stays as it is.

    Arguments:
        stage: The stage, its network trained.
        solver: The solver.
        recipe: Its settings.
        conditions: Conditions to draw from.
        seed: The seed of the training, and the number of the objective.
    """
    errors = _LocalErrors if recipe.local else _GlobalErrors
    return _objective(
        "bespoke solver", solver, errors(stage, solver, recipe, conditions, seed), recipe
    )


def student_objective(
    stage: Flow,
    student: nn.Module,
    recipe: StudentRecipe,
    conditions: Float[Tensor, "showers conditions"],
    seed: tuple[int, int],
) -> training.Objective:
    """What teaches a student the trajectories of the flow of a stage; it begins as the
    flow's network.

    Arguments:
        stage: The stage, its network trained.
        student: The student, a network like the stage's.
        recipe: Its settings.
        conditions: Conditions to draw from.
        seed: The seed of the training, and the number of the objective.
    """
    errors = _StudentErrors(stage, student, recipe, conditions, seed)
    objective = _objective("student", student, errors, recipe)
    return replace(objective, start=lambda: student.load_state_dict(stage.network.state_dict()))


def _objective(
    name: str, network: nn.Module, loss: training.Loss, recipe: BespokeRecipe | StudentRecipe
) -> training.Objective:
    return training.minimise(
        name,
        network,
        loss,
        steps=recipe.steps,
        adam=training.Adam(recipe.learning_rate),
        schedule=training.WarmCosine(),
        average=0.99,
    )


@dataclass(frozen=True)
class _Examples:
    """Start points and conditions of the flow to learn from.

    Arguments:
        stage: The stage, whose network is trained.
        pupil: What learns.
        recipe: Its settings.
        conditions: Conditions to draw from.
        seed: The seed of the training, and the number of the objective.
    """

    stage: Flow
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
    """What the bespoke solvers learn from: reference solutions; see `solver_objective`."""

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
    def batches(self) -> tuple[Tensor, Tensor]:
        """Where the student has to stop on each trajectory, and the conditions."""
        process, found = self.process, []
        for start, condition in self.starts():
            with torch.no_grad():
                stops = process.batches(
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
        stops, conditions = self.batches
        rows = self.rows(step, len(stops))
        return self.process.loss(self.pupil, stops[rows], conditions[rows])
