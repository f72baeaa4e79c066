"""Several processes that train together: the same weights as one process that sees all their batches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from caloforge.learn.team import Team, joined
from caloforge.learn.training import Phase, generator, run

STEPS = 30


def line(network: nn.Module, step: int) -> Tensor:
    x = torch.randn(16, 2, generator=generator(7, 0, step))
    return (network(x) - x @ torch.tensor([[1.0], [-2.0]])).square().mean()


def train(network: nn.Module, out: Path, team: Team, batches: int, steps: int) -> None:
    """A step sees so many batches of this process."""

    def loss(step: int) -> Tensor:
        return torch.stack([line(network, batches * step + k) for k in range(batches)]).mean()

    phase = Phase("line", network, loss, steps=steps, learning_rate=0.05, cosine=True)
    run([phase], {"line": network}, out, team=team, checkpoint_every=10)


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(2, 1)


def test_two_processes_train_as_one_with_their_batches_together(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        __file__,
        str(tmp_path / "two"),
    ]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
    alone = fresh()
    train(alone, tmp_path / "one", Team(), batches=2, steps=STEPS // 2)
    for name, value in load_file(tmp_path / "two/checkpoint.safetensors").items():
        if name.startswith("networks."):
            torch.testing.assert_close(value, alone.state_dict()[name.removeprefix("networks.line.")], rtol=1e-5, atol=1e-6)
    histories = [(tmp_path / name / "history.csv").read_text().splitlines() for name in ("one", "two")]
    assert [len(lines) for lines in histories] == [3, 3]


def test_the_batches_of_a_team_are_those_of_one_process() -> None:
    teams = [Team(rank, 3) for rank in range(3)]
    assert sorted(team.batch(step) for team in teams for step in range(teams[0].steps(9))) == list(range(9))
    assert [team.leads for team in teams] == [True, False, False]


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    tensors = [torch.ones(2), torch.zeros(())]
    with joined(torch.device("cpu")) as (team, device):
        team.average(tensors)
        team.wait()
    assert (team, device) == (Team(), torch.device("cpu"))
    assert torch.equal(tensors[0], torch.ones(2))


if __name__ == "__main__":
    with joined(torch.device("cpu")) as (joint, _):
        train(fresh(), Path(sys.argv[1]), joint, batches=1, steps=STEPS)
