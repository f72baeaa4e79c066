"""Autoregressive flow matching against a mixture of normal laws, whose velocity and density are
known.
"""

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from caloforge.learn.networks import HeadSizes, Transfusion
from caloforge.learn.processes import (
    RK4,
    SOLVERS,
    AutoregressiveFlow,
    Linear,
    Path,
    RungeKutta,
    Trigonometric,
)

PATHS = [Linear(), Trigonometric()]


class Mixture:
    """The exact network: each number's law is a mixture of two normal laws, whose parameters are
    its embedding.

    The first number is normal with mean E and width 0.6; the second, given the first, is a mixture
    with means 1.2 + u_0 / 2 and u_0 / 2 - 0.8 and widths 0.3 and 0.5, the first with weight 0.35.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.calls = path, {"embed": 0, "advance": 0, "evaluate": 0}

    def embed(self, values: Tensor, condition: Tensor) -> Tensor:
        self.calls["embed"] += 1
        return torch.stack([self._law(i, values[:, 0], condition) for i in range(2)], dim=1)

    def _law(self, position: int, first: Tensor, condition: Tensor) -> Tensor:
        """Logarithms of weights, means, widths."""
        mean = first / 2 if position else condition[:, 0]
        weights, offsets, widths = (
            ((0.35, 0.65), (1.2, -0.8), (0.3, 0.5))
            if position
            else ((0.5, 0.5), (0.0, 0.0), (0.6, 0.6))
        )
        rows = [torch.full_like(mean, math.log(w)) for w in weights]
        rows += [mean + offset for offset in offsets]
        rows += [torch.full_like(mean, s) for s in widths]
        return torch.stack(rows, dim=-1)

    def velocity(self, x: Tensor, time: Tensor, embedding: Tensor) -> Tensor:
        """The mean of the path's velocities that pass through x."""
        self.calls["evaluate"] += 1
        a, b, da, db = (w.view(*time.shape, 1) for w in self.path.weights(time.reshape(-1, 1)))
        log_weight, mean, width = embedding.unflatten(-1, (3, 2)).unbind(-2)
        variance = a.square() + (b * width).square()
        off = x[..., None] - b * mean
        share = (log_weight - 0.5 * variance.log() - 0.5 * off.square() / variance).softmax(dim=-1)
        return (share * (db * mean + (a * da + b * db * width.square()) / variance * off)).sum(
            dim=-1
        )

    def field(
        self, embedding: Tensor, clocks: dict[float, Tensor]
    ) -> Callable[[Tensor, float], Tensor]:
        del clocks
        return lambda x, t: self.velocity(x, x.new_full((1, 1), t), embedding[:, None])

    def begin(self, condition: Tensor) -> tuple[int, Tensor]:
        return 0, condition

    def advance(
        self, state: tuple[int, Tensor], previous: Tensor | None
    ) -> tuple[Tensor, tuple[int, Tensor]]:
        self.calls["advance"] += 1
        position, condition = state
        return self._law(position, condition[:, 0] if previous is None else previous, condition), (
            position + 1,
            condition,
        )

    def sample(self, condition: Tensor) -> Tensor:
        """Numbers drawn from the law itself."""
        values = condition.new_zeros(len(condition), 2)
        for i in range(2):
            log_weight, mean, width = (
                self._law(i, values[:, 0], condition).unflatten(-1, (3, 2)).unbind(-2)
            )
            chosen = torch.multinomial(log_weight.exp(), 1)
            values[:, i] = torch.normal(mean.gather(1, chosen), width.gather(1, chosen))[:, 0]
        return values

    def log_density(self, values: Tensor, condition: Tensor) -> Tensor:
        log_weight, mean, width = self.embed(values, condition).unflatten(-1, (3, 2)).unbind(-2)
        normal = torch.distributions.Normal(mean, width)
        return (log_weight + normal.log_prob(values[..., None])).logsumexp(dim=-1).sum(dim=-1)

    def ranks(self, values: Tensor, condition: Tensor) -> Tensor:
        """Of each number in its law: independent and uniform on [0, 1]."""
        log_weight, mean, width = self.embed(values, condition).unflatten(-1, (3, 2)).unbind(-2)
        return (
            log_weight.exp() * torch.distributions.Normal(mean, width).cdf(values[..., None])
        ).sum(dim=-1)


def draw(batch: int) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, 2, dtype=torch.float64), torch.randn(batch, 1, dtype=torch.float64)


def small(length: int = 6) -> Transfusion:
    sizes = {
        "blocks": (1, 2),
        "feed_forward": 16,
        "head": HeadSizes(width=32, layers=4, time_dim=8, time_scale=0.3),
    }
    return Transfusion(length, dim=8, heads=2, **sizes)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_samples_follow_the_law(path: Path) -> None:
    noise, condition = draw(2000)
    mixture = Mixture(path)
    values = AutoregressiveFlow(path, RK4, 30).sample(mixture, noise, condition)
    first, second = mixture.ranks(values, condition).unbind(1)
    assert all(stats.kstest(rank, "uniform").pvalue > 0.01 for rank in (first, second))
    assert abs(stats.spearmanr(first, second).statistic) < 0.05
    torch.testing.assert_close(
        (values[:, 0] - condition[:, 0]).std(), torch.tensor(0.6).double(), rtol=0.05, atol=0
    )
    residue = values[:, 1] - values[:, 0] / 2
    torch.testing.assert_close(
        residue.mean(), torch.tensor(0.35 * 1.2 - 0.65 * 0.8).double(), rtol=0, atol=0.06
    )


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_a_sample_is_the_quantile_of_its_noise(path: Path) -> None:
    """A scalar equation keeps the order of points: noise of rank q becomes the number of rank q,
    exactly.
    """
    noise, condition = draw(200)
    mixture = Mixture(path)
    values = AutoregressiveFlow(path, RK4, 60).sample(mixture, noise, condition)
    torch.testing.assert_close(
        mixture.ranks(values, condition), torch.special.ndtr(noise), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_the_log_likelihood_is_that_of_the_law(path: Path) -> None:
    noise, condition = draw(300)
    mixture, flow = Mixture(path), AutoregressiveFlow(path, RK4, 30)
    values = flow.sample(mixture, noise, condition)
    density = flow.log_likelihood(mixture, values, condition, solver=RK4, steps=60)
    torch.testing.assert_close(density, mixture.log_density(values, condition), rtol=0, atol=1e-3)
    assert not density.requires_grad
    with torch.inference_mode():
        assert torch.equal(
            flow.log_likelihood(mixture, values.clone(), condition, solver=RK4, steps=60), density
        )


def test_the_exact_velocity_minimises_the_loss() -> None:
    (_, condition), mixture, flow = (
        draw(20_000),
        Mixture(Linear()),
        AutoregressiveFlow(Linear()),
    )
    values = mixture.sample(condition)
    exact = mixture.velocity

    def off(shift: float, stretch: float) -> float:
        mixture.velocity = lambda x, t, c: (1 + stretch) * exact(x, t, c) + shift  # type: ignore[method-assign]
        return flow.loss(mixture, values, condition, torch.Generator().manual_seed(3)).item()

    best = off(0, 0)
    assert all(off(*change) > best for change in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1)))


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_sampling_takes_one_decoder_step_a_number(solver: RungeKutta) -> None:
    mixture = Mixture(Linear())
    AutoregressiveFlow(Linear(), solver, 5).sample(mixture, *draw(3))
    assert mixture.calls == {"embed": 0, "advance": 2, "evaluate": 2 * 5 * solver.evaluations}


def test_the_likelihood_takes_one_parallel_pass() -> None:
    mixture, (values, condition) = Mixture(Linear()), draw(3)
    AutoregressiveFlow(Linear()).log_likelihood(mixture, values, condition, solver=RK4, steps=5)
    assert mixture.calls == {"embed": 1, "advance": 0, "evaluate": 5 * 4}


def test_samples_of_a_transfusion_solve_its_equations() -> None:
    """Given the numbers drawn, all equations in parallel lead from the noise to them."""
    transfusion, flow = small().double(), AutoregressiveFlow(Linear(), RK4, 4)
    noise, condition = torch.randn(5, 6).double(), torch.rand(5, 1).double()
    values = flow.sample(transfusion, noise, condition)
    x = noise
    with torch.no_grad():
        embedding = transfusion.embed(values, condition)
        for k in range(4):
            x = RK4.step(
                lambda x, t: transfusion.velocity(x, x.new_tensor([[t]]), embedding),
                x,
                k / 4,
                1 / 4,
            )
    torch.testing.assert_close(values, x, rtol=0, atol=1e-10)
    assert not values.requires_grad


def test_the_density_of_a_transfusion_is_normalised() -> None:
    transfusion = small(2).double()
    for parameter in transfusion.head.leave.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    axis = torch.linspace(-7, 7, 57, dtype=torch.float64)
    values, condition = (
        torch.cartesian_prod(axis, axis),
        torch.full((57**2, 1), 0.3, dtype=torch.float64),
    )
    density = (
        AutoregressiveFlow(Linear())
        .log_likelihood(transfusion, values, condition, solver=RK4, steps=6)
        .exp()
    )
    assert density.sum().item() * 0.25**2 == pytest.approx(1, abs=1e-3)
    assert (density - torch.exp(-values.square().sum(dim=1) / 2) / (2 * math.pi)).abs().max() > 0.01


def test_the_loss_trains_a_transfusion_towards_the_law() -> None:
    """No loss is below that of the exact velocity; training goes most of the way to it."""
    mixture, flow, transfusion = Mixture(Linear()), AutoregressiveFlow(Linear()), small(2)
    optimiser = torch.optim.Adam(transfusion.parameters(), lr=1e-2)
    condition = draw(8192)[1].float()
    values, random = mixture.sample(condition), torch.Generator().manual_seed(4)

    def mean(network: Mixture | Transfusion) -> float:
        return flow.loss(network, values, condition, torch.Generator().manual_seed(5)).item()

    best, before = mean(mixture), mean(transfusion)
    for epoch in range(3):
        for batch in torch.arange(8192).roll(epoch).split(256):
            optimiser.zero_grad()
            flow.loss(transfusion, values[batch], condition[batch], random).backward()
            optimiser.step()
    after = mean(transfusion)
    assert after - best < 0.2 * (before - best)


@pytest.mark.parametrize("rows", [16, 32, 48])
def test_a_sample_does_not_depend_on_the_batch_it_is_in(rows: int) -> None:
    transfusion, flow = small(), AutoregressiveFlow(Linear(), RK4, 2)
    noise, condition = torch.randn(96, 6), torch.rand(96, 1)
    whole = flow.sample(transfusion, noise, condition)
    parts = [
        flow.sample(transfusion, n, c)
        for n, c in zip(noise.split(rows), condition.split(rows), strict=True)
    ]
    assert torch.equal(torch.cat(parts), whole)
