"""Density distillation: the losses by hand, and a student that has learned a teacher's map in one
pass.
"""

import pytest
import torch
from torch import Tensor, nn

from caloforge.learn.networks import MaskedFlow, OnePass
from caloforge.learn.processes import DensityDistillation, NormalizingFlow, Stepwise

MIXING = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.6, 0.4, 0.4]])


def target(batch: int) -> tuple[Tensor, Tensor]:
    """Correlated and skewed, with a mean that follows the condition."""
    condition = 0.5 * torch.randn(batch, 1)
    x = torch.randn(batch, 3) @ MIXING.mT
    return x + condition + 0.15 * x[:, :1].square(), condition


def shifted(by: float, blocks: int = 1) -> MaskedFlow:
    """Each block adds a number to each of two features."""
    flow = MaskedFlow(2, 1, blocks=blocks, hidden=(4,), bins=None)
    for block in flow.blocks:
        block.network.layers[-1].bias.data[::2] = by
    return flow


def test_a_masked_flow_is_stepwise() -> None:
    assert isinstance(shifted(0.0), Stepwise)
    assert not isinstance(nn.Linear(1, 1), Stepwise)


@pytest.mark.parametrize(("balance", "numbers"), [(0.5, 0.5), (0.2, 0.0), (1.0, 2.0)])
def test_the_losses_of_a_shift_by_hand(balance: float, numbers: float) -> None:
    """From data, a student that is the identity misses the points before block two and one by a and
    2 a, and so from latent.
    """
    a, process = 0.3, DensityDistillation(balance, numbers)
    teacher, student = shifted(a, blocks=2), shifted(0.0, blocks=2)
    x, z, condition = torch.randn(4, 2), torch.randn(4, 2), torch.randn(4, 1)
    either = 5 * a**2 + numbers * 2 * a**2
    assert process.from_data(teacher, student, x, condition).item() == pytest.approx(
        either, rel=1e-5
    )
    assert process.from_latent(teacher, student, z, condition).item() == pytest.approx(
        either, rel=1e-5
    )
    assert process.loss(teacher, student, x, z, condition).item() == pytest.approx(either, rel=1e-5)


def test_the_balance_weighs_the_two_round_trips() -> None:
    teacher = MaskedFlow(3, 1, blocks=2, hidden=(8,))
    student = teacher.student()
    for flow in (teacher, student):
        for block in flow.blocks:
            nn.init.normal_(block.network.layers[-1].weight, std=0.5)
    (x, condition), z = target(50), torch.randn(50, 3)
    process = DensityDistillation(balance=0.3)
    data, latent = (
        process.from_data(teacher, student, x, condition),
        process.from_latent(teacher, student, z, condition),
    )
    assert data.item() != pytest.approx(latent.item(), rel=0.01)
    torch.testing.assert_close(
        process.loss(teacher, student, x, z, condition), 0.3 * data + 0.7 * latent
    )


def test_a_student_that_is_the_teacher_has_no_loss_and_no_gradient() -> None:
    teacher = shifted(0.3, blocks=3)
    student = teacher.student()
    student.load_state_dict(teacher.state_dict())
    x, z, condition = torch.randn(4, 2), torch.randn(4, 2), torch.randn(4, 1)
    loss = DensityDistillation().loss(teacher, student, x, z, condition)
    assert loss.item() < 1e-12
    loss.backward()
    assert all(p.grad is None or p.grad.abs().max() < 1e-5 for p in student.parameters())


def fit(
    flow: MaskedFlow,
    steps: int,
    loss: DensityDistillation | None = None,
    teacher: MaskedFlow | None = None,
) -> None:
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
    for _ in range(steps):
        x, condition = target(128)
        if loss is None or teacher is None:
            value = NormalizingFlow().loss(flow, x, condition, torch.Generator())
        else:
            value = loss.loss(teacher, flow, x, torch.randn(128, 3), condition)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()


def test_a_student_learns_the_teachers_map_and_density() -> None:
    """Sample by sample, without a look at the teacher's inverse; and it samples in one evaluation
    of each network.
    """
    teacher = MaskedFlow(3, 1, blocks=2, hidden=(24, 24), bins=6)
    fit(teacher, 80)
    teacher.requires_grad_(False)
    student = teacher.student(hidden=(32, 32))
    assert student.one_pass is OnePass.SAMPLES
    z, (truth, condition) = torch.randn(2000, 3), target(2000)
    process, flow = DensityDistillation(), NormalizingFlow()
    exact, begun = flow.sample(teacher, z, condition), flow.sample(student, z, condition)
    fit(student, 120, process, teacher)
    calls: list[nn.Module] = []
    for block in student.blocks:
        block.network.register_forward_hook(lambda module, *_: calls.append(module))
    taught = flow.sample(student, z, condition)
    assert len(calls) == len(student.blocks)
    far, near = ((end - exact).square().mean().sqrt().item() for end in (begun, taught))
    assert near < far / 8
    gap = flow.log_likelihood(student, truth, condition) - flow.log_likelihood(
        teacher, truth, condition
    )
    assert gap.mean().abs() < 0.05
