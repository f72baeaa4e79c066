"""The variational autoencoder: its two terms against torch's own, its minimum, and that
it learns.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from caloforge.errors import ModelError
from caloforge.learn.networks import ConvolutionalAutoencoder
from caloforge.learn.processes import Variational

SHAPE = (6, 8, 3)


class Fixed:
    """An autoencoder that knows its answers."""

    def __init__(self, mean: Tensor, log_variance: Tensor, logits: Tensor) -> None:
        self.moments, self.logits = (mean, log_variance), logits

    def encode(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        del x, condition
        return self.moments

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        del z, condition
        return self.logits


def test_divergence_is_torchs() -> None:
    mean, log_variance = torch.randn(5, 2, 3, 4), torch.randn(5, 2, 3, 4)
    law = Normal(mean, (0.5 * log_variance).exp())
    expected = kl_divergence(law, Normal(torch.zeros(()), torch.ones(()))).mean()
    torch.testing.assert_close(Variational(1.0).divergence(mean, log_variance), expected)


def test_divergence_vanishes_at_the_standard_normal_law_alone() -> None:
    zero, process = torch.zeros(2, 3, 4), Variational(1.0)
    assert process.divergence(zero, zero) == 0
    assert (
        min(
            process.divergence(zero + a, zero + b)
            for a, b in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1))
        )
        > 0
    )


def test_reconstruction_is_the_mean_negative_log_probability() -> None:
    logits, x = torch.randn(5, 1, 3, 4), torch.randint(2, (5, 1, 3, 4)).float()
    torch.testing.assert_close(
        Variational(0.0).reconstruction(logits, x), -Bernoulli(logits=logits).log_prob(x).mean()
    )


def test_reconstruction_of_fractions_is_torchs_cross_entropy() -> None:
    logits, x = torch.randn(5, 1, 3, 4), torch.rand(5, 1, 3, 4)
    expected = torch.nn.BCELoss()(torch.sigmoid(logits), x)
    torch.testing.assert_close(Variational(0.0).reconstruction(logits, x), expected)


def test_reconstruction_is_least_at_the_right_mean_where_it_is_the_entropy() -> None:
    x, process = 0.05 + 0.9 * torch.rand(3, 1, 20, dtype=torch.float64), Variational(0.0)
    best = x.logit().requires_grad_()
    least = process.reconstruction(best, x)
    torch.testing.assert_close(least, Bernoulli(probs=x).entropy().mean())
    (gradient,) = torch.autograd.grad(least, best)
    assert gradient.abs().max() < 1e-15
    assert all(
        process.reconstruction(best + s * torch.randn_like(best), x) > least
        for s in (1e-3, 0.1, 3.0)
    )


def test_samples_follow_the_law_and_pass_gradients() -> None:
    mean = torch.tensor([[1.0, -2.0]]).expand(100_000, -1).clone().requires_grad_()
    log_variance = (
        torch.tensor([[0.0, 2 * math.log(3.0)]]).expand(100_000, -1).clone().requires_grad_()
    )
    z = Variational(0.0).latent(mean, log_variance, torch.randn(100_000, 2))
    torch.testing.assert_close(z.mean(dim=0), torch.tensor([1.0, -2.0]), atol=0.04, rtol=0)
    torch.testing.assert_close(z.std(dim=0), torch.tensor([1.0, 3.0]), atol=0.04, rtol=0)
    by_mean, by_log_variance = torch.autograd.grad(z.sum(), (mean, log_variance))
    assert torch.equal(by_mean, torch.ones_like(mean))
    torch.testing.assert_close(by_log_variance, 0.5 * (z - mean))


@pytest.mark.parametrize("beta", [0.0, 1e-5, 2.0])
def test_loss_is_the_weighted_sum(beta: float) -> None:
    mean, log_variance, logits, x = (torch.randn(4, 2, 3) for _ in range(4))
    process, x = Variational(beta), x.sigmoid()
    network, random = Fixed(mean, log_variance, logits), torch.Generator()
    loss = process.loss(network, x, torch.zeros(4, 1), random)
    torch.testing.assert_close(
        loss, process.reconstruction(logits, x) + beta * process.divergence(mean, log_variance)
    )


@pytest.mark.parametrize("beta", [-1e-9, math.nan, math.inf])
def test_impossible_weights_are_refused(beta: float) -> None:
    with pytest.raises(ModelError, match="beta is"):
        Variational(beta)


def blobs(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Fields with a maximum at a random depth and angle; the condition is the depth."""
    depth, angle = torch.rand(2, n, generator=generator)
    layers, alphas, r = (torch.linspace(0, 1, s + 1)[:-1] for s in SHAPE)
    along = torch.exp(-(((layers[None] - depth[:, None]) / 0.2) ** 2))
    around = torch.exp(3 * (torch.cos(2 * math.pi * (alphas[None] - angle[:, None])) - 1))
    field = along[:, None, :, None, None] * around[:, None, None, :, None] * torch.exp(-3 * r)
    return field, depth[:, None]


def test_training_improves_the_reconstruction_of_held_out_fields() -> None:
    """Of the cross entropy above its least value, a code that knew nothing but the mean field
    leaves ten times as much.
    """
    generator = torch.Generator().manual_seed(4)
    (x, condition), (held, held_condition) = blobs(512, generator), blobs(128, generator)
    network = ConvolutionalAutoencoder(
        SHAPE,
        condition=1,
        channels=(8, 2),
        kernels=((2, 2, 1),),
        strides=((2, 2, 1),),
        pads=((0, 0, 0),),
        embedding=8,
    )
    process, optimiser = Variational(1e-5), torch.optim.Adam(network.parameters(), lr=2e-2)
    for step in range(120):
        rows = slice(16 * (step % 32), 16 * (step % 32 + 1))
        optimiser.zero_grad()
        process.loss(network, x[rows], condition[rows], generator).backward()
        optimiser.step()

    def excess(logits: Tensor) -> float:
        return (
            process.reconstruction(logits, held) - Bernoulli(probs=held).entropy().mean()
        ).item()

    with torch.no_grad():
        decoded = network.decode(network.encode(held, held_condition)[0], held_condition)
    assert 10 * excess(decoded) < excess(x.mean(dim=0).logit().expand_as(held))
