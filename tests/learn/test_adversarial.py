"""The games of GANs: formulas at hand, and normal densities that a generator comes to."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from caloforge.errors import ModelError
from caloforge.learn.processes import CrossEntropy, Game, Wasserstein
from caloforge.learn.training import Adam, Objective, Player, duel, generator, run

GAMES = {"wasserstein": Wasserstein(1.0), "cross-entropy": CrossEntropy()}
over_games = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)

MEAN, WIDTH = torch.tensor([1.5, -0.5]), torch.tensor([0.5, 2.0])
BATCH = 128


class Critic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, points: Tensor, condition: Tensor) -> Tensor:
        score: Tensor = self.layers(torch.cat([points, condition], dim=1))
        return score[:, 0]


class Maker(nn.Module):
    """A normal density of any mean and width, scaled by the condition."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.width = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.ones(2))

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        return condition * (self.mean + self.width * noise)


def played(game: Game, steps: int, out: Path | None, stop: int | None = None) -> Maker:
    """A training of it; `stop` resumes one that was broken off in its middle."""
    torch.manual_seed(3)
    critic, maker = Critic(), Maker()

    def both(batch: int) -> tuple[Tensor, Tensor, Tensor, torch.Generator]:
        if batch == stop:
            raise KeyboardInterrupt
        random = generator(7, 0, batch)
        known = 1 + torch.rand(BATCH, 1, generator=random)
        true, noise = torch.randn(2, BATCH, 2, generator=random)
        return known * (MEAN + WIDTH * true), maker(noise, known), known, random

    def critic_loss(batch: int) -> Tensor:
        true, made, known, random = both(batch)
        return game.critic_loss(critic, true, made, known, random)

    def maker_loss(batch: int) -> Tensor:
        _, made, known, _ = both(batch)
        return game.generator_loss(critic, made, known)

    def validation() -> float:
        true, made, known, _ = both(10**6)
        return float(game.distance(critic, true, made, known))

    players = (
        Player(critic, critic_loss, Adam(1e-2, betas=(0.5, 0.9)), moves=3),
        Player(maker, maker_loss, Adam(1e-2, betas=(0.5, 0.9)), average=0.99),
    )
    objective: Objective = duel("duel", *players, steps=steps, validation=validation)
    networks = {"critic": critic, "maker": maker}
    run([objective], networks, out, checkpoint_every=10, resume=stop is None, seed=7)
    return maker


@over_games
def test_the_generator_comes_to_mean_and_width(game: Game) -> None:
    maker = played(game, 350, None)
    torch.testing.assert_close(maker.mean.detach(), MEAN, atol=0.15, rtol=0)
    torch.testing.assert_close(maker.width.detach().abs(), WIDTH, atol=0.2, rtol=0)


@over_games
@pytest.mark.parametrize("stop", [0, 31])
def test_an_interrupted_duel_resumes_to_the_same_bits(
    game: Game, stop: int, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        played(game, 25, tmp_path / "broken", stop)
    makers = [played(game, 25, tmp_path / folder) for folder in ("broken", "whole")]
    for a, b in zip(*(maker.parameters() for maker in makers), strict=True):
        assert torch.equal(a, b)
    histories = [(tmp_path / folder / "history.csv").read_text() for folder in ("broken", "whole")]
    assert histories[0] == histories[1]


def test_critic_and_generator_see_no_batch_twice() -> None:
    seen: list[int] = []

    def player(moves: int) -> Player:
        layer = nn.Linear(1, 1, bias=False)

        def loss(batch: int) -> Tensor:
            seen.append(batch)
            return layer.weight.sum()

        return Player(layer, loss, Adam(0.1), moves=moves)

    critic, maker = player(2), player(1)
    run([duel("duel", critic, maker, steps=3)], {}, None)
    assert seen == [0, 2, 1, 4, 6, 3, 8, 10, 5]


def test_the_penalty_of_a_linear_critic() -> None:
    """Its gradient has one norm everywhere."""
    weights = torch.tensor([3.0, 4.0])
    true, made = torch.randn(2, 16, 2)
    random = generator(1, 0, 0)
    penalty = Wasserstein(2.0).slope_penalty(lambda x, _: x @ weights, true, made, true, random)
    assert penalty.item() == pytest.approx((5 - 1) ** 2)


def test_the_penalty_of_a_quadratic_critic() -> None:
    """At the points between: of equal ends, the gradient is that at the end."""
    ends = torch.tensor([[0.5, 0.0], [0.0, 2.0]])
    penalty = Wasserstein(1.0).slope_penalty(
        lambda x, _: x.square().sum(dim=1), ends, ends, ends, generator(1, 0, 0)
    )
    assert penalty.item() == pytest.approx(((1 - 1) ** 2 + (4 - 1) ** 2) / 2)


def test_the_losses_are_those_of_the_papers() -> None:
    true, made = torch.tensor([[2.0], [4.0]]), torch.tensor([[1.0], [0.0]])
    random = generator(1, 0, 0)

    def critic(x: Tensor, condition: Tensor) -> Tensor:
        del condition
        return x[:, 0]

    game = Wasserstein(7.0)
    assert game.distance(critic, true, made, true).item() == pytest.approx(2.5)
    assert game.critic_loss(critic, true, made, true, random).item() == pytest.approx(-2.5)
    assert game.generator_loss(critic, made, true).item() == pytest.approx(-0.5)
    logits = CrossEntropy()
    of_true, of_made = true.sigmoid().log().mean(), (1 - made.sigmoid()).log().mean()
    loss = logits.critic_loss(critic, true, made, true, random)
    assert loss.item() == pytest.approx(-(of_true + of_made).item() / 2)
    expected = -made.sigmoid().log().mean().item()
    assert logits.generator_loss(critic, made, true).item() == pytest.approx(expected)


@over_games
def test_where_the_critic_sees_nothing_there_is_no_distance(game: Game) -> None:
    points = torch.randn(8, 2)
    found = game.distance(lambda x, _: 0 * x[:, 0], points, points + 1, points)
    assert found.item() == pytest.approx(0, abs=1e-6)


def test_jensen_and_shannon_have_at_most_a_bit() -> None:
    true, made = torch.full((8, 1), 50.0), torch.full((8, 1), -50.0)
    found = CrossEntropy().distance(lambda x, _: x[:, 0], true, made, true)
    assert found.item() == pytest.approx(1)


@pytest.mark.parametrize("penalty", [-1.0, math.nan, math.inf])
def test_a_penalty_that_is_none_is_refused(penalty: float) -> None:
    with pytest.raises(ModelError, match="weight"):
        Wasserstein(penalty)
