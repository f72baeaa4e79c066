"""Training: phases, resumption to the same bits, losses that are not finite."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from caloforge.errors import TrainingError
from caloforge.learn.training import Phase, Speed, generator, run


class StopError(Exception):
    pass


def phases(networks: dict[str, nn.Module], stop: tuple[int, int] | None = None) -> list[Phase]:
    """Fit a line, then have a second network imitate the first."""

    def data(phase: int, step: int) -> Tensor:
        if stop == (phase, step):
            raise StopError
        return torch.randn(32, 2, generator=generator(7, phase, step))

    def line(step: int) -> Tensor:
        x = data(0, step)
        return (networks["first"](x) - x @ torch.tensor([[1.0], [-2.0]])).square().mean()

    def imitation(step: int) -> Tensor:
        x = data(1, step)
        return (networks["second"](x) - networks["first"](x).detach()).square().mean()

    return [
        Phase(
            "line",
            networks["first"],
            line,
            steps=120,
            learning_rate=0.05,
            cosine=True,
            validation=lambda: line(1000).item(),
        ),
        Phase(
            "imitation", networks["second"], imitation, steps=150, learning_rate=0.05, average=0.9
        ),
    ]


def fresh() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"first": nn.Linear(2, 1), "second": nn.Linear(2, 1)}


def test_phases_learn_one_after_the_other(tmp_path: Path) -> None:
    networks, told = fresh(), []
    run(
        phases(networks),
        networks,
        tmp_path,
        checkpoint_every=50,
        progress=lambda *news: told.append(news),
    )
    torch.testing.assert_close(
        networks["second"].weight, torch.tensor([[1.0, -2.0]]), atol=0.05, rtol=0
    )
    assert [(name, step) for name, step, *_ in told] == [
        ("line", 50),
        ("line", 100),
        ("line", 120),
        ("imitation", 50),
        ("imitation", 100),
        ("imitation", 150),
    ]
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "phase,step,loss,validation"
    assert len(lines) == 7


@pytest.mark.parametrize("stop", [(0, 30), (0, 70), (1, 0), (1, 120)])
def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path: Path, stop: tuple[int, int]) -> None:
    whole, broken = fresh(), fresh()
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    run(phases(whole), whole, tmp_path / "whole", checkpoint_every=50)
    with pytest.raises(StopError):
        run(phases(broken, stop), broken, tmp_path / "broken", checkpoint_every=50)
    resumed = fresh()
    run(phases(resumed), resumed, tmp_path / "broken", resume=True, checkpoint_every=50)
    for name in whole:
        assert torch.equal(whole[name].weight, resumed[name].weight)
        assert torch.equal(whole[name].bias, resumed[name].bias)
    assert (tmp_path / "whole/history.csv").read_text() == (
        tmp_path / "broken/history.csv"
    ).read_text()


def test_a_finished_run_resumes_to_itself(tmp_path: Path) -> None:
    networks, again = fresh(), fresh()
    run(phases(networks), networks, tmp_path)
    run(phases(again, stop=(0, 0)), again, tmp_path, resume=True)
    assert torch.equal(networks["second"].weight, again["second"].weight)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)

    def loss(step: int) -> Tensor:
        return network(torch.full((1, 1), torch.nan if step == 12 else 1.0)).square().mean()

    phase = Phase("doomed", network, loss, steps=50, learning_rate=0.01)
    with pytest.raises(
        TrainingError,
        match=r"phase doomed, step 12: the loss is nan; the last good state is in .*checkpoint",
    ):
        run([phase], {"network": network}, tmp_path, checkpoint_every=10)
    assert (tmp_path / "checkpoint.safetensors").exists()
    assert all(p.isfinite().all() for p in network.parameters())


def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)

    def loss(step: int) -> Tensor:
        value: Tensor = network(torch.ones(1, 1)).square().mean()
        return value + (value * 0).sqrt() if step == 3 else value

    phase = Phase("steep", network, loss, steps=5, learning_rate=0.01)
    with pytest.raises(
        TrainingError,
        match="phase steep, step 3: the norm of the gradient is nan; nothing is kept yet: lower",
    ):
        run([phase], {"network": network}, tmp_path / "made")
    assert list((tmp_path / "made").iterdir()) == []
    assert all(p.isfinite().all() for p in network.parameters())


def test_a_checkpoint_of_other_networks_is_refused(tmp_path: Path) -> None:
    run(
        [Phase("only", net := nn.Linear(1, 1), lambda _: net(torch.ones(1, 1)).sum(), 1, 0.01)],
        {"network": net},
        tmp_path,
    )
    other = nn.Linear(2, 1)
    with pytest.raises(
        TrainingError, match=r"not a checkpoint of this training \(.*size mismatch.*settings"
    ):
        run([], {"network": other}, tmp_path, resume=True)


def test_training_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    networks = fresh()
    before = torch.get_rng_state()
    run(phases(networks), networks, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_mixed_precision_keeps_weights_in_single_precision(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = torch.nn.Linear(4, 4)
    seen: list[torch.dtype] = []

    def loss(step: int) -> torch.Tensor:
        y = network(torch.randn(8, 4, generator=generator(1, 0, step)))
        seen.append(y.dtype)
        return y.float().square().mean()

    run([Phase("p", network, loss, 5, 0.1)], {"n": network}, tmp_path, speed=Speed(half=True))
    assert set(seen) == {torch.bfloat16}
    assert network.weight.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    results = []
    for compiled in (False, True):
        torch.manual_seed(1)
        network = torch.nn.Linear(4, 4)

        def loss(step: int, network: torch.nn.Linear = network) -> torch.Tensor:
            return network(torch.randn(8, 4, generator=generator(1, 0, step))).square().mean()

        run(
            [Phase("p", network, loss, 5, 0.1)],
            {"n": network},
            tmp_path / str(compiled),
            speed=Speed(compiled=compiled),
        )
        results.append(network.weight.detach().clone())
    torch.testing.assert_close(results[0], results[1])


def test_phases_apart_resume_to_the_same_bits(tmp_path: Path) -> None:
    def apart(networks: dict[str, nn.Module], stop: tuple[int, int] | None = None) -> list[Phase]:
        line, _ = phases(networks, stop)
        other = {"first": networks["second"], "second": networks["first"]}
        return [replace(line, apart=True), replace(phases(other)[0], name="other", apart=True)]

    whole, broken = fresh(), fresh()
    run(apart(whole), whole, tmp_path / "whole", checkpoint_every=50)
    with pytest.raises(StopError):
        run(apart(broken, stop=(0, 70)), broken, tmp_path / "broken", checkpoint_every=50)
    assert (tmp_path / "broken/line/checkpoint.safetensors").exists()
    resumed = fresh()
    run(apart(resumed), resumed, tmp_path / "broken", checkpoint_every=50, resume=True)
    assert all(torch.equal(whole[name].weight, resumed[name].weight) for name in whole)
    assert (tmp_path / "whole/history.csv").read_text() == (
        tmp_path / "broken/history.csv"
    ).read_text()
