"""The laws of processes, over a catalogue: the loss is a function of its arguments, every parameter
learns from it, and a sample depends on its own noise alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from caloforge.learn.networks import HeadSizes, MaskedFlow, Transfusion
from caloforge.learn.processes import (
    RK4,
    AutoregressiveFlow,
    FlowBridge,
    FlowMatching,
    Hurdle,
    HurdleNoise,
    Linear,
    NormalizingFlow,
    Process,
    SchroedingerBridge,
    Steps,
    Variational,
)

N, DIM = 48, 4


class Dense(nn.Module):
    """A velocity or a displacement."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(DIM + 2, 16), nn.SiLU(), nn.Linear(16, DIM))

    def forward(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        made: Tensor = self.layers(torch.cat([x, time[:, None], condition], dim=1))
        return made


def transfusion() -> nn.Module:
    return Transfusion(
        DIM,
        dim=8,
        heads=2,
        blocks=(1, 1),
        feed_forward=8,
        head=HeadSizes(width=8, layers=2, time_dim=4, time_scale=0.3),
    )


class Coder(nn.Module):
    """Encoder and decoder of DIM numbers, with as many numbers a cell as the decoder is to give."""

    def __init__(self, given: int) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(DIM + 1, 4), nn.Linear(3, given * DIM)
        self.given = given

    def encode(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(torch.cat([x, condition], dim=1)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor, condition: Tensor) -> Any:
        made = self.decoder(torch.cat([z, condition], dim=1))
        return made if self.given == 1 else made.chunk(self.given, dim=1)


class HitCoder(Coder):
    def __init__(self) -> None:
        super().__init__(3)

    def encode(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        return super().encode(x.prod(dim=1).flatten(1), condition)

    def decode(self, z: Tensor, condition: Tensor) -> Any:
        return [made[:, None] for made in super().decode(z, condition)]


def points(seed: int, *shape: int) -> Tensor:
    return torch.randn(N, *(shape or (DIM,)), generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Case:
    """A process, its network, what it learns from and what it samples from."""

    process: Process
    network: Callable[[], nn.Module]
    z: Any
    noise: Any


STEPS = Steps(RK4, 2)

CATALOGUE = {
    "FlowMatching": Case(FlowMatching(Linear(), STEPS), Dense, points(1), points(2)),
    "FlowBridge": Case(FlowBridge(Linear(), STEPS), Dense, (points(1), points(2)), points(3)),
    "AutoregressiveFlow": Case(
        AutoregressiveFlow(Linear(), RK4, 2), transfusion, points(1), points(2)
    ),
    "NormalizingFlow": Case(
        NormalizingFlow(),
        lambda: MaskedFlow(DIM, 1, blocks=2, hidden=(8,)),
        points(1),
        points(2),
    ),
    "SchroedingerBridge": Case(
        SchroedingerBridge(0.01, 3), Dense, points(1), (points(2), points(3, 2, DIM))
    ),
    "Variational": Case(Variational(0.5), lambda: Coder(1), points(1).sigmoid(), points(2, 2)),
    "Hurdle": Case(
        Hurdle(),
        HitCoder,
        (
            torch.stack([(points(1, 1, DIM) > 0).float(), points(2, 1, DIM)], dim=1),
            points(3, 1, DIM),
        ),
        HurdleNoise(
            points(2, 2), points(3, 1, DIM), points(4, 1, DIM).sigmoid(), points(5, 1, DIM)
        ),
    ),
}

over_all = pytest.mark.parametrize("name", CATALOGUE)


def network_of(name: str) -> nn.Module:
    network = CATALOGUE[name].network()
    generator = torch.Generator().manual_seed(4)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return network


def rows(noise: Any, some: slice) -> Any:
    if not isinstance(noise, tuple):
        return noise[some]
    parts = [part[some] for part in noise]
    return type(noise)(*parts) if isinstance(noise, HurdleNoise) else tuple(parts)


@over_all
def test_it_is_a_process(name: str) -> None:
    assert isinstance(CATALOGUE[name].process, Process)


@over_all
def test_the_loss_is_a_function_of_its_arguments(name: str) -> None:
    case, network = CATALOGUE[name], network_of(name)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, again = (
        case.process.loss(network, case.z, points(5, 1), torch.Generator().manual_seed(6))
        for _ in range(2)
    )
    assert torch.equal(one, again)
    assert one.isfinite()
    assert torch.equal(torch.random.get_rng_state(), before)


@over_all
def test_every_parameter_learns(name: str) -> None:
    case, network = CATALOGUE[name], network_of(name)
    case.process.loss(network, case.z, points(5, 1), torch.Generator().manual_seed(6)).backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


@over_all
def test_a_sample_depends_on_its_own_noise_alone(name: str) -> None:
    case, network = CATALOGUE[name], network_of(name).eval()
    with torch.no_grad():
        whole = case.process.sample(network, case.noise, points(5, 1))
        part = slice(16, 32)
        alone = case.process.sample(network, rows(case.noise, part), points(5, 1)[part])
    together = whole if isinstance(whole, tuple) else (whole,)
    each = alone if isinstance(alone, tuple) else (alone,)
    for ours, its in zip(each, together, strict=True):
        assert torch.equal(ours, its[part])
