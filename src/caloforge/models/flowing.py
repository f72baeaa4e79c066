"""What stages that follow a flow share: its settings, its sampler, its student.

Where there is a student, it samples; or else the bespoke solver (`caloforge.models.fast_samplers`);
or else the steps of the recipe.
"""

__all__ = ["FlowSettings", "Flowing", "PathName", "Solver"]

import copy
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from caloforge.learn import training
from caloforge.learn.processes import (
    PATHS,
    SOLVERS,
    BespokeSolver,
    Distillation,
    FlowMatching,
    Network,
    Sampler,
    Steps,
    Velocity,
)
from caloforge.models.fast_samplers import (
    BespokeRecipe,
    StudentRecipe,
    solver_objective,
    student_objective,
)
from caloforge.models.recipes import Evaluations
from caloforge.models.stages import Schedule

Solver = Literal["euler", "midpoint", "heun", "rk4"]
PathName = Literal["linear", "trigonometric", "squared-trigonometric", "variance-preserving"]


@dataclass(frozen=True, kw_only=True)
class FlowSettings:
    """Settings of a flow.

    Arguments:
        path: The path of the flow.
        solver: The method that integrates it, where neither a bespoke solver nor a student does.
        solver_steps: Its steps.
        schedule: The training of its network.
        bespoke: The solver made for it, or None.
        student: Its student, or None.
    """

    path: PathName
    solver: Solver
    solver_steps: Evaluations
    schedule: Schedule
    bespoke: BespokeRecipe | None = None
    student: StudentRecipe | None = None


class Flowing(nn.Module):
    """A part that follows a flow, once `take_flow` has given it one."""

    flow: FlowSettings

    def take_flow(self, flow: FlowSettings, network: nn.Module) -> None:
        """Take a flow and its network, a velocity on points of the shape of ``point_shape``."""
        self.flow, self.process, self.network = flow, FlowMatching(PATHS[flow.path]), network
        self.bespoke = None if flow.bespoke is None else BespokeSolver(flow.bespoke.evaluations)
        self.student = None if flow.student is None else copy.deepcopy(network)
        self._chosen: tuple[Sampler, ...] = ()

    @property
    @abstractmethod
    def point_shape(self) -> tuple[int, ...]:
        """The shape of what the flow carries."""

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

    def velocity(self, condition: Tensor) -> Velocity:
        """The network's velocity at one time and condition."""
        return lambda x, t: self.network(x, x.new_full((len(x),), t), condition)

    def carried(
        self,
        start: Float[Tensor, "points ..."],
        condition: Tensor,
        view: Callable[[nn.Module], Network] = lambda network: network,
    ) -> Float[Tensor, "points ..."]:
        """Where the flow ends.

        Arguments:
            start: Standard normal numbers.
            condition: The condition of the flow.
            view: How the network is asked, where not as it is.
        """
        network, sampler = self.network, self.sampler
        if self.student is not None and self.flow.student is not None and not self._chosen:
            network, sampler = self.student, Distillation(self.flow.student.evaluations).sampler
        return replace(self.process, sampler=sampler).sample(view(network), start, condition)

    def faster(
        self, conditions: Float[Tensor, "_ conditions"], seed: int, first: int
    ) -> list[training.Objective]:
        """The objectives of solver and student, if there are to be any.

        Arguments:
            conditions: Conditions of the flow to draw from.
            seed: The seed of the training.
            first: The number of the solver's objective; the student's is the next.
        """
        objectives, flow = [], self.flow
        if self.bespoke is not None and flow.bespoke is not None:
            seeds = seed, first
            objectives.append(solver_objective(self, self.bespoke, flow.bespoke, conditions, seeds))
        if self.student is not None and flow.student is not None:
            seeds = seed, first + 1
            objectives.append(
                student_objective(self, self.student, flow.student, conditions, seeds)
            )
        return objectives
