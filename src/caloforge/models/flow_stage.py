r"""A shape made by a flow, whatever the flow carries.

A stage says how it sees a shower as a point of the flow, and what deposits a point stands for. The
condition of the flow is the ratios of the energies of the layers and what is known of the particle
(CaloDREAM, arXiv:2405.09629, systems table D18). Where there is a student, it samples; or
else the bespoke solver (`caloforge.models.fast_samplers`); or else the steps of the recipe.
"""

__all__ = ["FlowRecipe", "FlowStage", "PathName", "Solver", "TransformerSizes"]

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor, nn

from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import Beam, Condition, LogEnergy
from caloforge.learn.noise import Noise, Numbers
from caloforge.learn.processes import (
    PATHS,
    SOLVERS,
    BespokeSolver,
    Distillation,
    FlowMatching,
    Sampler,
    Steps,
    Velocity,
)
from caloforge.learn.representations import LayerRatios
from caloforge.models.fast_samplers import (
    BespokeRecipe,
    StudentRecipe,
    solver_objective,
    student_objective,
)
from caloforge.models.recipes import Depth, Evaluations, Width
from caloforge.models.stages import Batches, Schedule, ShapeStage
from caloforge.showers import Showers

Solver = Literal["euler", "midpoint", "heun", "rk4"]
PathName = Literal["linear", "trigonometric", "squared-trigonometric", "variance-preserving"]


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
    solver_steps: Evaluations
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

    dim: Width
    heads: Width
    hidden: Width
    blocks: Depth


class FlowStage(ShapeStage):
    """A shape made by a flow: what its ways of seeing a shower share.

    Arguments:
        calorimeter: Where the cells are.
        flow: The settings of the flow.
        network: Its network, a velocity on points of the shape of ``point_shape``.
        beam: In what the particles differ beside their energy.
    """

    grid: Tensor

    def __init__(
        self, calorimeter: Calorimeter, flow: FlowRecipe, network: nn.Module, beam: Beam
    ) -> None:
        super().__init__(calorimeter)
        self.flow, self.process, self.network = flow, FlowMatching(PATHS[flow.path]), network
        self.ratios = LayerRatios(calorimeter.n_layers, flow.scale)
        self.log_energy = LogEnergy(beam)
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
        self, showers: Showers, features: Tensor, random: torch.Generator
    ) -> Float[Tensor, "showers ..."]:
        """Showers as the flow sees them, with shape ``(showers, *point_shape)``.

        Arguments:
            showers: The showers.
            features: The condition of the flow.
            random: Where the random numbers come from.
        """

    @abstractmethod
    def deposits(
        self,
        points: Float[Tensor, "showers ..."],
        condition: Condition,
        features: Float[Tensor, "showers features"],
        noise: Numbers,
    ) -> Float[Tensor, "showers cells"]:
        """The deposits, in MeV, of what the flow made.

        Arguments:
            points: Where the flow ended.
            condition: What is known of the showers.
            features: The condition of the flow.
            noise: The random numbers that `noise` asks for.
        """

    def prepare(self, showers: Showers) -> None:
        """Fit the condition of the flow."""
        condition = Condition.of(showers)
        self.ratios.fit(condition.layer_energies, condition)
        self.log_energy.adapt(condition)

    def features(self, condition: Condition) -> Float[Tensor, "showers features"]:
        """The condition of the flow: ratios of the layers, what is known of the particle."""
        ratios = self.ratios.encode(condition.layer_energies, condition)
        return torch.cat([ratios, self.log_energy(condition)], dim=1)

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
        features = self.features(Condition.of(showers))
        points = self.points(showers, features, random)
        return self.process.loss(self.network, points, features, random)

    def noise(self) -> Mapping[str, Noise]:
        """The start of the flow."""
        return {"start": Noise("normal", self.point_shape)}

    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "showers cells"]:
        """By the flow."""
        features = self.features(condition)
        return self.deposits(self._end(noise["start"], features), condition, features, noise)

    def _end(
        self, start: Float[Tensor, "showers ..."], features: Tensor
    ) -> Float[Tensor, "showers ..."]:
        network, sampler = self.network, self.sampler
        if self.student is not None and self.flow.student is not None and not self._chosen:
            network, sampler = self.student, Distillation(self.flow.student.evaluations).sampler
        return replace(self.process, sampler=sampler).sample(network, start, features)

    def velocity(self, condition: Tensor) -> Velocity:
        """The network's velocity at one time and condition."""
        return lambda x, t: self.network(x, x.new_full((len(x),), t), condition)

    def flow_objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """The network's objective, then those of solver and student if there are to be any;
        the arguments are those of `objectives`.
        """
        batches, held_out = Batches(train, seed, first), Batches(validation, seed, first)
        objectives = [
            self.flow.schedule.objective("shape", self.network, self.loss, batches, held_out)
        ]
        features = self.features(Condition.of(train))
        if self.bespoke is not None and self.flow.bespoke is not None:
            objectives.append(
                solver_objective(self, self.bespoke, self.flow.bespoke, features, (seed, first + 1))
            )
        if self.student is not None and self.flow.student is not None:
            objectives.append(
                student_objective(
                    self, self.student, self.flow.student, features, (seed, first + 2)
                )
            )
        return objectives

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """Those of the flow."""
        return self.flow_objectives(train, validation, seed, first)
