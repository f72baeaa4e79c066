"""Two players: a generative adversarial network on densities that are known."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from caloforge.learn.processes import Wasserstein
from caloforge.learn.training import Adam, Objective, Player, generator, run

MODES = 2.0 * torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
SHARES = torch.tensor([0.4, 0.3, 0.2, 0.1])
WIDTH = 0.3
BATCH, CRITIC_MOVES, STEPS = 128, 3, 700


class StopError(Exception):
    pass


def mixture(random: torch.Generator, n: int) -> Tensor:
    """Points of the true density."""
    mode = torch.multinomial(SHARES, n, replacement=True, generator=random)
    return MODES[mode] + WIDTH * torch.randn(n, 2, generator=random)


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(1)
    sizes = {"generator": (4, 32, 32, 2), "critic": (2, 32, 32, 1)}
    return {
        name: nn.Sequential(nn.Linear(a, b), nn.SiLU(), nn.Linear(b, c), nn.SiLU(), nn.Linear(c, d))
        for name, (a, b, c, d) in sizes.items()
    }


def adversaries(
    nets: dict[str, nn.Module], steps: int = STEPS, stop: int | None = None
) -> Objective:
    """Wasserstein GAN with gradient penalty (Gulrajani et al., arXiv:1704.00028)."""

    def made(random: torch.Generator) -> Tensor:
        return nets["generator"](torch.randn(BATCH, 4, generator=random))

    def critic_loss(move: int) -> Tensor:
        if move == stop:
            raise StopError
        random = generator(5, 0, move)
        true, fake = mixture(random, BATCH), made(random)
        assert not fake.requires_grad
        return Wasserstein(1.0).critic_loss(
            lambda x, _: nets["critic"](x)[:, 0], true, fake, true, random
        )

    def generator_loss(move: int) -> Tensor:
        return -nets["critic"](made(generator(5, 1, move))).mean()

    adam = Adam(2e-3, betas=(0.5, 0.9))
    players = (
        Player(nets["critic"], critic_loss, adam, moves=CRITIC_MOVES, name="critic"),
        Player(nets["generator"], generator_loss, adam, average=0.98, name="generator"),
    )
    return Objective("gan", players, steps)


@pytest.fixture(scope="module")
def sample() -> Tensor:
    nets = networks()
    run([adversaries(nets)], nets, None)
    with torch.no_grad():
        return nets["generator"](torch.randn(20_000, 4, generator=generator(9, 0, 0)))


def test_the_generator_has_the_moments_of_the_density(sample: Tensor) -> None:
    mean = SHARES @ MODES
    centred = MODES - mean
    covariance = centred.T @ (SHARES[:, None] * centred) + WIDTH**2 * torch.eye(2)
    torch.testing.assert_close(sample.mean(dim=0), mean, atol=0.12, rtol=0)
    torch.testing.assert_close(sample.T.cov(), covariance, atol=0.2, rtol=0)


def test_the_generator_fills_every_mode_by_its_share(sample: Tensor) -> None:
    nearest = torch.cdist(sample, MODES).argmin(dim=1)
    shares = torch.bincount(nearest, minlength=4) / len(sample)
    torch.testing.assert_close(shares, SHARES, atol=0.04, rtol=0)
    radial = (sample - MODES[nearest]).norm(dim=1)
    assert radial.median() == pytest.approx(WIDTH * math.sqrt(2 * math.log(2)), rel=0.35)


@pytest.mark.parametrize("stop", [0, 37, 100])
def test_an_interrupted_pair_resumes_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole, broken, resumed = networks(), networks(), networks()
    run([adversaries(whole, 50)], whole, tmp_path / "whole", checkpoint_every=10)
    with pytest.raises(StopError):
        run([adversaries(broken, 50, stop)], broken, tmp_path / "broken", checkpoint_every=10)
    run([adversaries(resumed, 50)], resumed, tmp_path / "broken", checkpoint_every=10, resume=True)
    for name, network in whole.items():
        for a, b in zip(network.parameters(), resumed[name].parameters(), strict=True):
            assert torch.equal(a, b)
    histories = [(tmp_path / run_ / "history.csv").read_text() for run_ in ("whole", "broken")]
    assert histories[0] == histories[1]
    assert {line.split(",")[0] for line in histories[0].splitlines()[1:]} == {
        "gan: critic",
        "gan: generator",
    }


def test_a_player_moves_alone_and_as_often_as_it_shall() -> None:
    """Where the other's loss would move it, a player stands still; afterwards all need gradients
    again.
    """
    a, b = (nn.Linear(1, 1, bias=False) for _ in range(2))
    moves: list[tuple[str, int, bool, bool]] = []

    def loss(name: str, move: int) -> Tensor:
        moves.append((name, move, a.weight.requires_grad, b.weight.requires_grad))
        return (a.weight * b.weight).sum()

    players = (
        Player(a, lambda m: loss("a", m), Adam(0.1), moves=2, name="a"),
        Player(b, lambda m: loss("b", m), Adam(0.1), name="b"),
    )
    run([Objective("pair", players, 2)], {}, None)
    assert moves == [
        ("a", 0, True, False),
        ("a", 1, True, False),
        ("b", 0, False, True),
        ("a", 2, True, False),
        ("a", 3, True, False),
        ("b", 1, False, True),
    ]
    assert a.weight.requires_grad
    assert b.weight.requires_grad
