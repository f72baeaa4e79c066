"""Distillation: batches are the teacher's solution, and a student of one or two steps is closer
than Euler's method.
"""

import math

import pytest
import torch
from torch import Tensor, nn

from caloforge.learn.processes import (
    EULER,
    HEUN,
    RK4,
    Distillation,
    Linear,
    Sampler,
    Steps,
    integrate,
)
from tests.learn.mixtures import MixtureFlow, sample

FLOW = MixtureFlow(Linear())


class Student(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)
        )

    def forward(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        del condition
        velocity: Tensor = self.layers(torch.cat([x, time[:, None]], dim=1))
        return velocity


def wasserstein(x: Tensor, y: Tensor) -> float:
    """The mean over directions of the distance between the projections."""
    angle = torch.linspace(0, math.pi, 17, dtype=torch.float64)[:-1]
    directions = torch.stack([angle.cos(), angle.sin()])
    return (
        ((x.double() @ directions).sort(0).values - (y.double() @ directions).sort(0).values)
        .abs()
        .mean()
        .item()
    )


@pytest.mark.parametrize("steps", [1, 2])
def test_the_targets_are_the_teachers_solution(steps: int) -> None:
    x = torch.randn(5, 2, dtype=torch.float64)
    batches = Distillation(steps).batches(FLOW.velocity, x, solver=HEUN, steps=6 // steps)
    assert batches.shape == (5, steps + 1, 2)
    assert torch.equal(batches[:, 0], x)
    assert torch.equal(batches[:, -1], integrate(FLOW.velocity, x, solver=HEUN, steps=6))


@pytest.mark.parametrize("steps", [1, 2])
def test_the_sampler_of_a_student_takes_an_evaluation_a_step(steps: int) -> None:
    sampler = Distillation(steps).sampler
    assert isinstance(sampler, Sampler)
    assert sampler == Steps(EULER, steps)
    assert sampler.evaluations == steps


def test_a_student_without_error_has_no_loss_and_reaches_the_teachers_end() -> None:
    """A rotation: the mean velocity of half a turn's half is known."""
    turn = torch.tensor([[0.0, -math.pi], [math.pi, 0.0]], dtype=torch.float64)
    x = torch.randn(4, 3, 2, dtype=torch.float64)
    distillation = Distillation(2)
    batches = distillation.batches(lambda x, t: x @ turn, x, solver=RK4, steps=100)
    mean = 2 * (torch.linalg.matrix_exp(turn / 2) - torch.eye(2))

    def student(x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        return x @ mean

    assert distillation.loss(student, batches, x).item() < 1e-12
    torch.testing.assert_close(
        distillation.sampler(lambda x, t: x @ mean.to(x), x), -x, atol=1e-6, rtol=0
    )


def test_a_second_step_learns_to_mend_the_first() -> None:
    """A first step that goes 2 in place of 1 asks the second for 1 in place of 2, through no
    gradient of the first.
    """
    x = torch.zeros(3, 1)
    batches = torch.stack([x, x + 1, x + 3], dim=1)
    overshoot = torch.tensor(4.0, requires_grad=True)

    def student(x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        return torch.where(time[:, None] == 0, overshoot, 0 * overshoot).expand_as(x)

    loss = Distillation(2).loss(student, batches, x)
    assert loss.item() == pytest.approx((2.0**2 + 2.0**2) / 2)
    assert torch.autograd.grad(loss, overshoot)[0].item() == pytest.approx(2.0)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_student_comes_ten_times_closer_than_euler(steps: int) -> None:
    """In mean square of the end points, and in the Wasserstein distance to the mixture itself at
    least five times.
    """
    distillation, student = Distillation(steps), Student()
    x = torch.randn(4096, 2, dtype=torch.float64)
    batches = distillation.batches(FLOW.velocity, x, solver=RK4, steps=16 // steps).float()
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 300)
    for _ in range(300):
        chosen = torch.randint(len(x), (256,))
        loss = distillation.loss(student, batches[chosen], batches[chosen, 0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    x, truth = torch.randn(4000, 2, dtype=torch.float64), sample(4000)
    with torch.no_grad():
        taught = distillation.sampler(
            lambda x, t: student(x, x.new_full((len(x),), t), x), x.float()
        )
    euler, exact = (
        distillation.sampler(FLOW.velocity, x),
        integrate(FLOW.velocity, x, solver=RK4, steps=32),
    )
    far, near = ((end - exact).square().mean().sqrt().item() for end in (euler, taught))
    assert near < far / 10
    assert wasserstein(taught, truth) < wasserstein(euler, truth) / 5
