"""The trainer: objectives, resumption to the same bits, what is not finite, averages, schedules,
selection, reports.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from caloforge.errors import PausedError, TrainingError
from caloforge.learn.training import (
    Adam,
    Execution,
    Objective,
    Plateau,
    Player,
    Report,
    Selection,
    WarmCosine,
    generator,
    isolated,
    minimise,
    run,
)
from caloforge.learn.training.average import moving_average

TRUTH = torch.tensor([[1.0], [-2.0]])
Networks = dict[str, nn.Module]
Stop = tuple[int, int]


class StopError(Exception):
    pass


def data(objective: int, step: int, stop: Stop | None = None) -> Tensor:
    if stop == (objective, step):
        raise StopError
    return torch.randn(32, 2, generator=generator(7, objective, step))


def objectives(networks: Networks, stop: Stop | None = None) -> list[Objective]:
    """Fit a line, then have a second network imitate the first."""

    def line(step: int) -> Tensor:
        x = data(0, step, stop)
        return (networks["first"](x) - x @ TRUTH).square().mean()

    def imitation(step: int) -> Tensor:
        x = data(1, step, stop)
        return (networks["second"](x) - networks["first"](x).detach()).square().mean()

    return [
        minimise(
            "line",
            networks["first"],
            line,
            steps=120,
            adam=Adam(0.05),
            schedule=WarmCosine(),
            validation=lambda: line(1000).item(),
        ),
        minimise(
            "imitation", networks["second"], imitation, steps=150, adam=Adam(0.05), average=0.9
        ),
    ]


def fresh() -> Networks:
    torch.manual_seed(0)
    return {"first": nn.Linear(2, 1), "second": nn.Linear(2, 1)}


def with_dropout(networks: Networks, stop: Stop | None = None) -> list[Objective]:
    """The first objective alone, its network with dropout in front."""
    shaken = nn.Sequential(nn.Dropout(0.5), networks["first"])

    def line(step: int) -> Tensor:
        x = data(0, step, stop)
        return (shaken(x) - x @ TRUTH).square().mean()

    return [minimise("line", shaken, line, steps=120, adam=Adam(0.05))]


def selecting(networks: Networks, stop: Stop | None = None) -> list[Objective]:
    """The first objective without an average, its rate on a plateau, its weights selected by a
    criterion that rises and falls.
    """

    def line(step: int) -> Tensor:
        x = data(0, step, stop)
        return (networks["first"](x) - x @ TRUTH).square().mean()

    def criterion() -> float:
        return math.sin(30 * float(networks["first"].weight.detach().sum()))

    player = Player(networks["first"], line, Adam(0.03), Plateau(0.5, 1), clip=1.0)
    return [
        Objective(
            "line",
            (player,),
            120,
            validation=lambda: line(1000).item(),
            validate_every=7,
            selection=Selection(criterion, patience=9),
        )
    ]


COURSES: dict[str, Callable[..., list[Objective]]] = {
    "two": objectives,
    "dropout": with_dropout,
    "selecting": selecting,
}


def assert_same(a: Networks, b: Networks) -> None:
    for name in a:
        assert torch.equal(a[name].weight, b[name].weight)
        assert torch.equal(a[name].bias, b[name].bias)


def test_objectives_are_met_one_after_the_other(tmp_path: Path) -> None:
    networks, reports = fresh(), list[Report]()
    run(objectives(networks), networks, tmp_path, checkpoint_every=50, progress=reports.append)
    torch.testing.assert_close(networks["second"].weight, TRUTH.T, atol=0.05, rtol=0)
    assert [(r.objective, r.step, r.steps) for r in reports] == [
        ("line", 50, 120),
        ("line", 100, 120),
        ("line", 120, 120),
        ("imitation", 50, 150),
        ("imitation", 100, 150),
        ("imitation", 150, 150),
    ]
    assert all(r.rate > 0 and r.loss >= 0 for r in reports)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "phase,step,loss,validation"
    assert len(lines) == 7


def test_the_first_report_comes_before_the_first_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caloforge.learn.training.loop.FIRST_REPORT", 0.0)
    networks, reports = fresh(), list[Report]()
    run(objectives(networks), networks, tmp_path, checkpoint_every=100, progress=reports.append)
    assert reports[0].step == 1
    history = (tmp_path / "history.csv").read_text().splitlines()[1].split(",")
    assert float(history[2]) == pytest.approx(
        (reports[0].loss + 99 * reports[1].loss) / 100, rel=1e-5
    )


STOPS = [*((course, (0, step)) for course in COURSES for step in (30, 70)), ("two", (1, 0))]


@pytest.mark.parametrize(("course", "stop"), [*STOPS, ("two", (1, 120))])
def test_an_interrupted_run_resumes_to_the_same_bits(
    tmp_path: Path, course: str, stop: Stop
) -> None:
    made, every = COURSES[course], 20 if course == "selecting" else 50
    whole, broken, resumed = fresh(), fresh(), fresh()
    run(made(whole), whole, tmp_path / "whole", checkpoint_every=every, seed=3)
    with pytest.raises(StopError):
        run(made(broken, stop), broken, tmp_path / "broken", checkpoint_every=every, seed=3)
    run(made(resumed), resumed, tmp_path / "broken", resume=True, checkpoint_every=every, seed=3)
    assert_same(whole, resumed)
    history = (tmp_path / "whole/history.csv").read_text()
    assert history == (tmp_path / "broken/history.csv").read_text()
    assert len(history.splitlines()) > 3


def sometimes(every: int) -> Callable[[], bool]:
    """Says yes once in so many times that it is asked."""
    asked = count(1)
    return lambda: next(asked) % every == 0


def independent(networks: Networks, stop: Stop | None = None) -> list[Objective]:
    line, _ = objectives(networks, stop)
    other = {"first": networks["second"], "second": networks["first"]}
    return [
        replace(line, independent=True),
        replace(objectives(other)[0], name="other", independent=True),
    ]


@pytest.mark.parametrize("course", [*COURSES, "independent"])
def test_a_training_that_pauses_again_and_again_comes_to_the_same_bits(
    tmp_path: Path, course: str
) -> None:
    made = independent if course == "independent" else COURSES[course]
    whole, pauses, done = fresh(), 0, False
    run(made(whole), whole, tmp_path / "whole", checkpoint_every=50, seed=3)
    while not done:
        networks, execution = fresh(), Execution(stop=sometimes(29))
        told = {"checkpoint_every": 50, "execution": execution, "seed": 3, "resume": True}
        try:
            run(made(networks), networks, tmp_path / "often", **told)
            done = True
        except PausedError:
            pauses += 1
    assert pauses >= 3
    assert_same(whole, networks)
    history = [(tmp_path / name / "history.csv").read_text() for name in ("whole", "often")]
    assert history[0] == history[1]


def test_a_finished_run_resumes_to_itself(tmp_path: Path) -> None:
    networks, again = fresh(), fresh()
    run(objectives(networks), networks, tmp_path)
    run(objectives(again, stop=(0, 0)), again, tmp_path, resume=True)
    assert_same(networks, again)


def test_a_run_that_nothing_keeps_comes_to_the_same_bits(tmp_path: Path) -> None:
    kept, free = fresh(), fresh()
    run(objectives(kept), kept, tmp_path)
    run(objectives(free), free, None)
    assert_same(kept, free)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)

    def loss(step: int) -> Tensor:
        return network(torch.full((1, 1), torch.nan if step == 12 else 1.0)).square().mean()

    doomed = minimise("doomed", network, loss, steps=50, adam=Adam(0.01))
    with pytest.raises(
        TrainingError,
        match=r"phase doomed, step 12: the loss is nan; the last good state is in .*checkpoint",
    ):
        run([doomed], {"network": network}, tmp_path, checkpoint_every=10)
    assert (tmp_path / "checkpoint.safetensors").exists()
    assert all(p.isfinite().all() for p in network.parameters())


def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)

    def loss(step: int) -> Tensor:
        value: Tensor = network(torch.ones(1, 1)).square().mean()
        return value + (value * 0).sqrt() if step == 3 else value

    steep = minimise("steep", network, loss, steps=5, adam=Adam(0.01))
    with pytest.raises(
        TrainingError,
        match="phase steep, step 3: the norm of the gradient is nan; nothing is kept yet: lower",
    ):
        run([steep], {"network": network}, tmp_path / "made")
    assert list((tmp_path / "made").iterdir()) == []
    assert all(p.isfinite().all() for p in network.parameters())


def test_a_checkpoint_of_other_networks_is_refused(tmp_path: Path) -> None:
    net = nn.Linear(1, 1)
    only = minimise("only", net, lambda _: net(torch.ones(1, 1)).sum(), steps=1, adam=Adam(0.01))
    run([only], {"network": net}, tmp_path)
    other = nn.Linear(2, 1)
    with pytest.raises(
        TrainingError, match=r"not a checkpoint of this training \(.*size mismatch.*settings"
    ):
        run([], {"network": other}, tmp_path, resume=True)


@pytest.mark.parametrize("state", ["[]", "null", '{"objective": null}', "{", "[" * 10_000])
def test_a_damaged_checkpoint_is_refused_in_one_line(state: str, tmp_path: Path) -> None:
    net = nn.Linear(1, 1)
    only = minimise("only", net, lambda _: net(torch.ones(1, 1)).sum(), steps=1, adam=Adam(0.01))
    run([only], {"network": net}, tmp_path)
    kept = tmp_path / "checkpoint.safetensors"
    with safe_open(kept, framework="pt") as file:
        said = file.metadata()
    save_file(load_file(kept), kept, {**said, "state": state})
    with pytest.raises(TrainingError, match=r"^\S+: not a checkpoint of this training") as refusal:
        run([only], {"network": net}, tmp_path, resume=True)
    assert "\n" not in str(refusal.value)


def test_a_checkpoint_of_an_earlier_version_is_refused_in_one_line(tmp_path: Path) -> None:
    metadata = {"phase": "0", "step": "10", "history": "[]"}
    save_file({"networks.n.weight": torch.ones(1)}, tmp_path / "checkpoint.safetensors", metadata)
    with pytest.raises(TrainingError, match=r"^\S+ a checkpoint of an earlier version.*again") as e:
        run([], {"n": nn.Linear(1, 1)}, tmp_path, resume=True)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("seed", [None, 5])
def test_training_leaves_the_global_random_state_alone(
    tmp_path: Path, course: str, seed: int | None
) -> None:
    networks = fresh()
    before = torch.get_rng_state()
    run(COURSES[course](networks), networks, tmp_path, seed=seed)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_isolated_follows_the_seed_alone() -> None:
    before = torch.get_rng_state()
    with isolated(seed=3):
        first = torch.rand(4)
    with isolated(seed=3):
        assert torch.equal(torch.rand(4), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_mixed_precision_keeps_weights_in_single_precision(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = torch.nn.Linear(4, 4)
    seen: list[torch.dtype] = []

    def loss(step: int) -> Tensor:
        y = network(torch.randn(8, 4, generator=generator(1, 0, step)))
        seen.append(y.dtype)
        return y.float().square().mean()

    objective = minimise("p", network, loss, steps=5, adam=Adam(0.1))
    run([objective], {"n": network}, tmp_path, execution=Execution(half=True))
    assert set(seen) == {torch.bfloat16}
    assert network.weight.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    results = []
    for compiled in (False, True):
        torch.manual_seed(1)
        network = torch.nn.Linear(4, 4)

        def loss(step: int, network: torch.nn.Linear = network) -> Tensor:
            return network(torch.randn(8, 4, generator=generator(1, 0, step))).square().mean()

        run(
            [minimise("p", network, loss, steps=5, adam=Adam(0.1))],
            {"n": network},
            tmp_path / str(compiled),
            execution=Execution(compiled=compiled),
        )
        results.append(network.weight.detach().clone())
    torch.testing.assert_close(results[0], results[1])


def test_independent_objectives_resume_to_the_same_bits(tmp_path: Path) -> None:
    whole, broken = fresh(), fresh()
    run(independent(whole), whole, tmp_path / "whole", checkpoint_every=50)
    with pytest.raises(StopError):
        run(independent(broken, stop=(0, 70)), broken, tmp_path / "broken", checkpoint_every=50)
    assert (tmp_path / "broken/line/checkpoint.safetensors").exists()
    resumed = fresh()
    run(independent(resumed), resumed, tmp_path / "broken", checkpoint_every=50, resume=True)
    assert_same(whole, resumed)
    assert (tmp_path / "whole/history.csv").read_text() == (
        tmp_path / "broken/history.csv"
    ).read_text()


def test_a_start_comes_before_the_first_step_and_not_on_resumption(tmp_path: Path) -> None:
    def started(networks: Networks, stop: Stop | None = None) -> list[Objective]:
        def start() -> None:
            starts.append(1)
            networks["second"].load_state_dict(networks["first"].state_dict())

        line, imitation = objectives(networks, stop)
        return [line, replace(imitation, start=start)]

    starts: list[int] = []
    networks = fresh()
    with pytest.raises(StopError):
        run(started(networks, (1, 60)), networks, tmp_path, checkpoint_every=50)
    assert starts == [1]
    run(started(networks), networks, tmp_path, checkpoint_every=50, resume=True)
    assert starts == [1]


def test_the_rate_warms_up_and_falls_as_a_cosine(tmp_path: Path) -> None:
    """Plain steps of Adam have the length of the rate, where the gradient keeps its sign."""
    weight = nn.Linear(1, 1, bias=False).double()
    places = [weight.weight.item()]

    def loss(step: int) -> Tensor:
        places[step:] = [weight.weight.item()]
        return weight.weight.sum()

    steps, peak = 100, 0.01
    objective = minimise(
        "fall",
        weight,
        loss,
        steps=steps,
        adam=Adam(peak),
        schedule=WarmCosine(0.1),
        average=None,
        clip=None,
    )
    run([objective], {}, None)
    places.append(weight.weight.item())
    rates = [a - b for a, b in pairwise(places)]
    for t, rate in enumerate(rates):
        expected = peak * min(1, (t + 1) / 10) * (1 + math.cos(math.pi * t / steps)) / 2
        assert rate == pytest.approx(expected, rel=1e-6)


def test_the_average_forgets_its_beginning() -> None:
    network = nn.BatchNorm1d(3)
    average, expected = moving_average(network, 0.9), network.weight.detach().clone()
    for t in range(1, 200):
        with torch.no_grad():
            network.weight.copy_(torch.randn(3, generator=generator(0, 0, t)))
            network.running_mean.fill_(t)
        average.update_parameters(network)
        d = min(0.9, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * network.weight.detach()
    torch.testing.assert_close(average.module.weight.detach(), expected)
    assert average.module.running_mean[0] == 199


def test_selection_keeps_the_best_validation_and_ends_where_nothing_is_gained() -> None:
    network = nn.Linear(1, 1, bias=False)
    seen: list[tuple[float, float]] = []

    def validation() -> float:
        weight = network.weight.item()
        seen.append(((weight - 0.5) ** 2, weight))
        return seen[-1][0]

    def objective(keep: bool) -> Objective:
        network.weight.data.fill_(0.0)
        seen.clear()
        player = Player(network, lambda _: -network.weight.sum(), Adam(0.1))
        return Objective("rise", (player,), 50, validation, 1, Selection(patience=3, keep=keep))

    run([objective(keep=True)], {}, None)
    assert len(seen) == 5 + 3
    assert network.weight.item() == min(seen)[1] == pytest.approx(0.5)
    run([objective(keep=False)], {}, None)
    assert network.weight.item() == seen[-1][1] == pytest.approx(0.8)


def test_a_selection_ends_where_it_has_enough() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1.0)
    player = Player(network, lambda _: network.weight.square().sum(), Adam(0.1))
    validation = lambda: abs(network.weight.item())  # noqa: E731
    run(
        [Objective("fall", (player,), 99, validation, 1, Selection(enough=0.55))],
        {},
        None,
    )
    assert 0.4 < network.weight.item() <= 0.55


def test_what_needs_a_validation_is_refused_without() -> None:
    network = nn.Linear(1, 1)
    player = Player(network, lambda _: network.weight.sum(), Adam(0.1), Plateau(0.5, 1))
    with pytest.raises(TrainingError, match="objective o: selection and plateau need a validation"):
        Objective("o", (player,), 5)
    with pytest.raises(TrainingError, match="objective o: no player"):
        Objective("o", (), 5)
    with pytest.raises(TrainingError, match="0 batches to accumulate"):
        Execution(accumulate=0)
