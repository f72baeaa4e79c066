"""Layer groups by convolutional flows, which see images, and by masked ones, which see rows."""

__all__ = ["ConvolutionalGroups", "MaskedGroups"]

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import Beam
from caloforge.learn.networks import ConvolutionalFlow, MaskedFlow
from caloforge.learn.processes import Bijection, DensityDistillation
from caloforge.models.layer_groups import (
    FilledRecipe,
    GroupOrder,
    LayerGroupStage,
    ScoredRecipe,
    Window,
)
from caloforge.models.stages import Schedule
from caloforge.showers import Showers

_FIRST_SIGHT, _FIRST_SEED = 256, 10_000_019
"""Showers from which activation norms start, and the seed of their random numbers."""


class ConvolutionalGroups(LayerGroupStage):
    """Layer after layer, by convolutional flows; the arguments are those of `LayerGroupStage`."""

    @cached_property
    def image(self) -> tuple[int, ...]:
        """The shape of a layer."""
        return tuple(self.calorimeter.image().shape[1:])

    def prepare(self, showers: Showers) -> None:
        """Take the state of the representation, moments, and those of the activation norms."""
        super().prepare(showers)
        some = showers[:_FIRST_SIGHT]
        random = torch.Generator(showers.deposits.device).manual_seed(_FIRST_SEED)
        for number, flow in enumerate(self.flows):
            points, window = self.examples(number, some, random)
            cast("ConvolutionalFlow", flow).initialise(points, self.condition(window))

    def point(
        self, numbers: Float[Tensor, "showers numbers"]
    ) -> Float[Tensor, "showers 1 alpha r"]:
        """An image of one channel."""
        return numbers.reshape(-1, 1, *self.image)

    def condition(self, window: Window) -> Float[Tensor, "showers channels alpha r"]:
        """A channel for each former layer, and one for each number, the same everywhere."""
        alpha, r = self.image
        planes = window.context[:, :, None, None].expand(-1, -1, alpha, r)
        return torch.cat([window.former.reshape(planes.shape[0], -1, alpha, r), planes], dim=1)

    def samplers(self) -> Sequence[Bijection]:
        """The flows with their matrices multiplied out."""
        return [cast("ConvolutionalFlow", flow).folded() for flow in self.flows]


class MaskedGroups(LayerGroupStage):
    """Group after group, by masked autoregressive flows or by their students.

    A student (`DensityDistillation`, arXiv:2110.11377) samples in one pass what takes the flow a
    pass a cell; where there is one, it is what samples.

    Arguments:
        calorimeter: Where the cells are.
        order: How the groups hang together.
        numbers: What stands for the cells.
        schedules: The trainings of a flow and of its student, None for no student.
        flow: Makes a flow, given its number of cells and how many former groups it sees.
        beam: In what the particles differ beside their energy.
        mapped: Whether the spectrum of the cells is mapped onto that of the training showers.
    """

    def __init__(
        self,
        calorimeter: Calorimeter,
        order: GroupOrder,
        numbers: FilledRecipe | ScoredRecipe,
        schedules: tuple[Schedule, Schedule | None],
        flow: Callable[[int, int], nn.Module],
        beam: Beam,
        *,
        mapped: bool,
    ) -> None:
        super().__init__(calorimeter, order, numbers, schedules[0], flow, beam, mapped=mapped)
        self.student_schedule, self.distillation = schedules[1], DensityDistillation()
        self.students = (
            None
            if self.student_schedule is None
            else nn.ModuleList([flow.student() for flow in self._teachers()])
        )

    def _teachers(self) -> Sequence[MaskedFlow]:
        return cast("list[MaskedFlow]", list(self.flows))

    def point(self, numbers: Float[Tensor, "showers numbers"]) -> Float[Tensor, "showers numbers"]:
        """As they are."""
        return numbers

    def condition(self, window: Window) -> Float[Tensor, "showers condition"]:
        """All numbers in a row."""
        return torch.cat([window.former.flatten(1), window.context], dim=1)

    def samplers(self) -> Sequence[Bijection]:
        """The students if there are any, else the flows, with their masks multiplied in."""
        flows = self.flows if self.students is None else self.students
        return [cast("MaskedFlow", flow).folded() for flow in flows]

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """Those of the flows, then those of their students."""
        objectives = list(super().objectives(train, validation, seed, first))
        if self.students is None or self.student_schedule is None:
            return objectives
        started, schedule = (seed, first + len(objectives)), self.student_schedule
        return objectives + self._objectives(
            "student", schedule, self.students, self.student_loss, (train, validation), started
        )

    def student_loss(
        self, number: int, showers: Showers, random: torch.Generator
    ) -> Float[Tensor, ""]:
        """What a student and its teacher disagree in, on the way from data and from
        random numbers.
        """
        points, window = self.examples(number, showers, random)
        noise = torch.randn(points.shape, generator=random, device=points.device)
        teacher, student = self._teachers()[number], cast("list[MaskedFlow]", self.students)[number]
        return self.distillation.loss(teacher, student, points, noise, self.condition(window))
