"""Several processes that train together: the loss curve and the weights of one process that
accumulates their batches.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from caloforge.errors import PausedError
from caloforge.learn.training import (
    Adam,
    Execution,
    Objective,
    Player,
    Processes,
    WarmCosine,
    generator,
    minimise,
    process_group,
    run,
)
from caloforge.learn.training.checkpoint import read_history

STEPS = 30


class Coder(nn.Module):
    """A network whose loss calls two methods, none of them ``forward``, and that drops out."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out, self.drop = nn.Linear(2, 3), nn.Linear(3, 2), nn.Dropout(0.3)

    def encode(self, x: Tensor) -> Tensor:
        return self.drop(self.into(x))

    def decode(self, z: Tensor) -> Tensor:
        return self.out(z)


def batch(step: int) -> Tensor:
    return torch.randn(16, 2, generator=generator(7, 0, step))


def line(network: nn.Module, step: int) -> Tensor:
    x = batch(step)
    return (network(x) - x @ torch.tensor([[1.0], [-2.0]])).square().mean()


def coding(coder: Coder, step: int) -> Tensor:
    x = batch(step)
    return (coder.decode(coder.encode(x)) - x).square().mean()


def loss_of(network: nn.Module, loss: Callable[..., Tensor]) -> Callable[[int], Tensor]:
    return lambda step: loss(network, step)


def adversaries(maker: nn.Module, critic: nn.Module) -> Objective:
    """A pair with a penalty on the critic's slope, a gradient of a gradient."""

    def criticism(move: int) -> Tensor:
        x, fake = batch(move).requires_grad_(), maker(batch(move + 1000))
        score = critic(x)
        [slope] = torch.autograd.grad(score.sum(), x, create_graph=True)
        return critic(fake).mean() - score.mean() + slope.square().sum(dim=1).mean()

    def making(move: int) -> Tensor:
        return -critic(maker(batch(move + 2000))).mean()

    players = (
        Player(critic, criticism, Adam(0.02), moves=2, name="critic"),
        Player(maker, making, Adam(0.02), average=0.9, name="maker"),
    )
    return Objective("pair", players, STEPS)


def train(
    out: Path,
    processes: Processes,
    execution: Execution = Execution(),  # noqa: B008 frozen
    last: int | None = None,
) -> None:
    """Three independent lines, then a line, a coder and a pair; the first so many of all these."""
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {n: nn.Linear(2, 1) for n in ("a", "b", "c", "joint")}
    networks |= {"coder": Coder(), "maker": nn.Linear(2, 2), "critic": nn.Linear(2, 1, bias=False)}
    independent = [
        Objective(
            name,
            (Player(networks[name], loss_of(networks[name], line), Adam(0.05)),),
            steps=20,
            independent=True,
        )
        for name in INDEPENDENT
    ]
    joint = [
        minimise(
            name,
            networks[name],
            loss_of(networks[name], loss),
            steps=STEPS,
            adam=Adam(0.05),
            schedule=WarmCosine(),
        )
        for name, loss in (("joint", line), ("coder", coding))
    ]
    pair = adversaries(networks["maker"], networks["critic"])
    run(
        [*independent, *joint, pair][:last],
        networks,
        out,
        processes=processes,
        checkpoint_every=5,
        seed=3,
        execution=execution,
        resume=True,
    )


def train_with_pauses(out: Path, processes: Processes) -> None:
    """Pause whenever the last process says so, once in three times, and go on."""
    mine = processes.rank == processes.size - 1
    done = False
    while not done:
        asked = count(1)
        stop = Execution(stop=lambda asked=asked: mine and next(asked) % 3 == 0)
        try:
            train(out, processes, stop)
            done = True
        except PausedError:
            processes.wait()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By two processes, by one that accumulates the batches of both, and what is independent by one
    process without accumulation.
    """
    out = tmp_path_factory.mktemp("processes")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*start, __file__, str(out / "two")], check=True, env=environment, capture_output=True
    )
    train(out / "one", Processes(), Execution(accumulate=2))
    train(out / "independent", Processes(), last=3)
    return {path.name: path for path in out.iterdir()}


def weights(out: Path) -> dict[str, Tensor]:
    return {
        k: v
        for k, v in load_file(out / "checkpoint.safetensors").items()
        if k.startswith("networks.")
    }


INDEPENDENT = ("a", "b", "c")
JOINT = ("joint", "coder", "pair: critic", "pair: maker")


@pytest.mark.parametrize("name", JOINT)
def test_two_processes_have_the_loss_curve_of_one(trained: dict[str, Path], name: str) -> None:
    one, two = (
        [row for row in read_history(trained[key] / "history.csv") if row[0] == name]
        for key in ("one", "two")
    )
    assert [row[1] for row in one] == [row[1] for row in two] == [5, 10, 15]
    for a, b in zip(one, two, strict=True):
        assert b[2] == pytest.approx(a[2], rel=1e-4, abs=1e-6)


def test_two_processes_come_to_the_weights_of_one(trained: dict[str, Path]) -> None:
    one, two = weights(trained["one"]), weights(trained["two"])
    assert one.keys() == two.keys()
    for name, value in one.items():
        if name.split(".")[1] in INDEPENDENT:
            continue
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


def test_independent_objectives_are_shared_out_and_come_to_the_same_bits(
    trained: dict[str, Path],
) -> None:
    one, two = weights(trained["independent"]), weights(trained["two"])
    alone = [key for key in one if key.split(".")[1] in INDEPENDENT]
    assert len(alone) == 6
    assert all(torch.equal(one[key], two[key]) for key in alone)


def test_processes_that_pause_together_come_to_the_same_bits(trained: dict[str, Path]) -> None:
    two, pausing = weights(trained["two"]), weights(trained["pausing"])
    assert all(torch.equal(pausing[key], value) for key, value in two.items())


def test_the_history_tells_of_all_objectives(trained: dict[str, Path]) -> None:
    for name, lines in (("one", 2), ("two", 4)):
        out = trained[name]
        names = [row[0] for row in read_history(out / "history.csv")]
        alone, joint = names[: 3 * lines], names[3 * lines :]
        assert alone == [name for name in INDEPENDENT for _ in range(lines)]
        assert joint == [*["joint"] * 3, *["coder"] * 3, *JOINT[2:] * 3]
        assert sorted(path.name for path in out.iterdir()) == [
            "checkpoint.safetensors",
            "history.csv",
        ]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_see_the_batches_of_one(accumulate: int) -> None:
    group = [Processes(rank, 3) for rank in range(3)]
    steps = group[0].steps(18, accumulate)
    seen = [b for step in range(steps) for one in group for b in one.batches(step, accumulate)]
    assert seen == list(range(18))
    assert [one.is_rank_0 for one in group] == [True, False, False]


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group(torch.device("cpu")) as (processes, device):
        assert processes.mean(torch.ones(2)).tolist() == [1, 1]
        processes.wait()
    assert (processes, device) == (Processes(), torch.device("cpu"))


if __name__ == "__main__":
    with process_group(torch.device("cpu")) as (joint_processes, _):
        train(Path(sys.argv[1]), joint_processes)
        train_with_pauses(Path(sys.argv[1]).with_name("pausing"), joint_processes)
