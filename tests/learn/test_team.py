"""Several processes that train together: the same weights as one process that sees all their
batches.
"""

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


def train(out: Path, team: Team, batches: int) -> None:
    """Three lines apart, then one whose steps see so many batches of this process."""
    torch.manual_seed(0)
    networks = {name: nn.Linear(2, 1) for name in ("a", "b", "c", "joint")}

    def loss(step: int) -> Tensor:
        return torch.stack(
            [line(networks["joint"], batches * step + k) for k in range(batches)]
        ).mean()

    apart = [
        Phase(
            name,
            networks[name],
            lambda step, n=networks[name]: line(n, step),
            steps=20,
            learning_rate=0.05,
            apart=True,
        )
        for name in ("a", "b", "c")
    ]
    joint = Phase(
        "joint", networks["joint"], loss, steps=STEPS // batches, learning_rate=0.05, cosine=True
    )
    run([*apart, joint], networks, out, team=team, checkpoint_every=10)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By two processes, and by one whose steps see the batches of both."""
    out = tmp_path_factory.mktemp("team")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*start, __file__, str(out / "two")], check=True, env=environment, capture_output=True
    )
    train(out / "one", Team(), batches=2)
    return {"one": out / "one", "two": out / "two"}


def weights(out: Path) -> dict[str, Tensor]:
    return {
        k: v
        for k, v in load_file(out / "checkpoint.safetensors").items()
        if k.startswith("networks.")
    }


def test_two_processes_train_as_one_with_their_batches_together(trained: dict[str, Path]) -> None:
    one, two = weights(trained["one"]), weights(trained["two"])
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-6)


def test_what_stands_apart_is_dealt_out_and_comes_to_the_same_bits(
    trained: dict[str, Path],
) -> None:
    one, two = weights(trained["one"]), weights(trained["two"])
    assert all(torch.equal(one[key], two[key]) for key in one if "joint" not in key)


def test_the_history_tells_of_all_phases(trained: dict[str, Path]) -> None:
    for out in trained.values():
        lines = (out / "history.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in lines] == [
            "phase",
            "a",
            "a",
            "b",
            "b",
            "c",
            "c",
            "joint",
            "joint",
        ]
        assert sorted(path.name for path in out.iterdir()) == [
            "checkpoint.safetensors",
            "history.csv",
        ]


def test_the_batches_of_a_team_are_those_of_one_process() -> None:
    teams = [Team(rank, 3) for rank in range(3)]
    assert sorted(team.batch(step) for team in teams for step in range(teams[0].steps(9))) == list(
        range(9)
    )
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
        train(Path(sys.argv[1]), joint, batches=1)
