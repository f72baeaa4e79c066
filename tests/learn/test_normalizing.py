"""Normalizing flows: a bijection known in closed form, and the density of learned ones."""

import math

import pytest
import torch
from torch import Tensor, nn

from caloforge.learn.networks import MaskedFlow
from caloforge.learn.processes import Bijection, Linear, NormalizingFlow
from tests.learn.mixtures import MixtureFlow, sample

FLOW = NormalizingFlow()
WIDTH = 0.3


class Shift(nn.Module):
    """Normal data with mean c and width 0.3, of any shape."""

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        log_det = x.new_full((len(x),), -x[0].numel() * math.log(WIDTH))
        return (x - condition) / WIDTH, log_det

    def inverse(self, z: Tensor, condition: Tensor) -> Tensor:
        return condition + WIDTH * z


@pytest.mark.parametrize("shape", [(3,), (2, 4, 3)])
def test_the_likelihood_of_a_normal_law(shape: tuple[int, ...]) -> None:
    x, condition = torch.randn(5, *shape).double(), torch.randn(5, *shape).double()
    truth = (
        torch.distributions.Normal(condition, torch.full_like(condition, WIDTH))
        .log_prob(x)
        .flatten(1)
        .sum(1)
    )
    torch.testing.assert_close(FLOW.log_likelihood(Shift(), x, condition), truth)
    torch.testing.assert_close(
        FLOW.loss(Shift(), x, condition, torch.Generator()), -truth.mean() / math.prod(shape)
    )


def test_a_sample_is_the_inverse_and_keeps_no_gradient() -> None:
    bijection = Shift()
    start, condition = torch.randn(5, 3), torch.randn(5, 3, requires_grad=True)
    x = FLOW.sample(bijection, start, condition)
    torch.testing.assert_close(bijection(x, condition)[0], start)
    assert not x.requires_grad


def test_what_is_a_bijection() -> None:
    assert isinstance(Shift(), Bijection)
    assert isinstance(MaskedFlow(2, 1, blocks=1, hidden=(4,)), Bijection)
    assert not isinstance(nn.Linear(2, 2), Bijection)


@pytest.mark.parametrize("bins", [None, 6])
def test_maximum_likelihood_finds_the_density(bins: int | None) -> None:
    """Of a mixture of three normal laws: on samples not trained on, less than a tenth of the
    initial excess is left.
    """
    flow = MaskedFlow(2, 1, blocks=2, hidden=(24, 24), bins=bins)
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-2)
    x, fresh, nothing = sample(4096).float() / 2, sample(4096).float() / 2, torch.zeros(4096, 1)
    truth = (
        -(MixtureFlow(Linear()).log_density(2 * fresh.double(), 1.0) + math.log(4)).mean().item()
        / 2
    )
    before = FLOW.loss(flow, fresh, nothing, torch.Generator()).item() - truth
    for chosen in torch.arange(7 * 4096).remainder(4096).split(256):
        loss = FLOW.loss(flow, x[chosen], nothing[chosen], torch.Generator())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = FLOW.loss(flow, fresh, nothing, torch.Generator()).item() - truth
    assert -0.005 < after < before / 10
