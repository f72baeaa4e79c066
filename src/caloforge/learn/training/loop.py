r"""The loop of every training: objectives one after another, step by step.

A checkpoint holds all networks, and of the objective in progress optimisers, averages, schedules
and the selection, so that a resumed run ends with the same bits as an uninterrupted one. Whatever
the losses draw from torch's global random state, it is as before when the run has ended; with a
seed, each batch finds it seeded by (seed, objective, batch), so that dropout resumes as well.

Independent neighbours have a folder each while they are trained, are shared out among the
processes, and what they made is put together when all are done.
"""

__all__ = ["Progress", "Report", "run"]

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from caloforge.errors import PausedError, TrainingError
from caloforge.learn.training.checkpoint import (
    CHECKPOINT,
    HISTORY,
    Checkpoint,
    Row,
    read_history,
    under,
    write_history,
)
from caloforge.learn.training.devices import Processes
from caloforge.learn.training.moves import Execution, Mover
from caloforge.learn.training.objectives import Objective, Selection
from caloforge.learn.training.randomness import isolated

FIRST_REPORT, REPORTS = 2.0, 10.0
"""Seconds to the first report of an objective, and between those that follow."""

_UNFIT = (AttributeError, LookupError, RuntimeError, SafetensorError, TypeError, ValueError)
"""What is raised where a checkpoint is damaged, or of another training."""

_ASKED = 10
"""Steps after which several processes ask together whether to pause."""

_REASON = 200
"""The most characters of an error that a message quotes."""


@dataclass(frozen=True)
class Report:
    """How far a training is.

    Arguments:
        objective: The name of the objective.
        step: The steps done.
        steps: The steps in all.
        losses: The mean loss since the last report, by the name of the player.
        rate: Steps a second since the last report.
    """

    objective: str
    step: int
    steps: int
    losses: Mapping[str, float]
    rate: float

    @property
    def loss(self) -> float:
        """The loss of the first player."""
        return next(iter(self.losses.values()))


Progress = Callable[[Report], None]


@dataclass(frozen=True)
class _Options:
    """The options of `run`."""

    checkpoint_every: int
    progress: Progress | None
    execution: Execution
    processes: Processes
    seed: int | None


class _Watch:
    """Reports after the first seconds of an objective, then now and then, and when asked to."""

    def __init__(self, progress: Progress | None, objective: Objective, steps: int) -> None:
        self.progress, self.objective, self.steps = progress, objective, steps
        self.losses: list[list[float]] = []
        self.since, self.due = time.perf_counter(), FIRST_REPORT

    def see(self, step: int, losses: list[float]) -> None:
        """Take the losses of a step."""
        self.losses.append(losses)
        if time.perf_counter() - self.since > self.due:
            self.report(step)

    def report(self, step: int) -> None:
        """Report what has been seen since the last report, if anything."""
        now = time.perf_counter()
        if self.progress is not None and self.losses:
            names = [player.name for player in self.objective.players]
            losses = dict(zip(names, _means(self.losses), strict=True))
            rate = len(self.losses) / max(now - self.since, 1e-9)
            self.progress(Report(self.objective.name, step, self.steps, losses, rate))
        self.losses, self.since, self.due = [], now, REPORTS


class _Selector:
    """A selection at work."""

    def __init__(self, selection: Selection) -> None:
        self.selection, self.best, self.waited = selection, math.inf, 0
        self.weights: dict[str, Tensor] = {}

    def see(self, value: float, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Take a validation's criterion, and keep the weights if it is the least."""
        if value < self.best:
            self.best, self.waited = value, 0
            self.weights = weights() if self.selection.keep else {}
        else:
            self.waited += 1

    @property
    def done(self) -> bool:
        """Whether the objective ends here."""
        patience = self.selection.patience
        return self.best <= self.selection.enough or (
            patience is not None and self.waited >= patience
        )


class _Run:
    """The state of a run.

    Arguments:
        objectives: The objectives.
        networks: Every network that they train or use, by name.
        out: The folder of checkpoint and history; None for neither.
        options: The options.
        first: The number of the first objective, for its random numbers.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        networks: Mapping[str, nn.Module],
        out: Path | None,
        options: _Options,
        first: int = 0,
    ) -> None:
        self.objectives, self.networks, self.out = objectives, networks, out
        self.options, self.first = options, first
        self.history: list[Row] = []
        self._enter(0)

    def _enter(self, index: int) -> None:
        """Go to the beginning of an objective."""
        self.index, self.step, self.movers = index, 0, list[Mover]()
        self.losses: list[list[float]] = []
        self.selector: _Selector | None = None
        for network in self.networks.values():
            network.eval()

    def begin(self) -> None:
        """Make the players of the objective ready."""
        options, objective = self.options, self.objective
        stream = None if options.seed is None else (options.seed, self.first + self.index)
        self.movers = [
            Mover(p, self.steps * p.moves, options.execution, options.processes, stream)
            for p in objective.players
        ]
        self.selector = None if objective.selection is None else _Selector(objective.selection)

    @property
    def objective(self) -> Objective:
        return self.objectives[self.index]

    @property
    def steps(self) -> int:
        """The steps of the objective in all."""
        options = self.options
        return options.processes.steps(self.objective.steps, options.execution.accumulate)

    @property
    def finished(self) -> bool:
        """Whether the objective has come to its end."""
        return self.step >= self.steps or (self.selector is not None and self.selector.done)

    @property
    def stopped(self) -> bool:
        """Whether the training shall pause."""
        stop, processes = self.options.execution.stop, self.options.processes
        if stop is None or (processes.size > 1 and self.step % _ASKED):
            return False
        return self.any(stop())

    def any(self, here: bool) -> bool:
        """Whether it holds in any of the processes, which have all come here."""
        return self._mean(float(here)) > 0

    def pause(self) -> NoReturn:
        """End here, with what is done written down.

        Raises:
            PausedError: Always.
        """
        self.save()
        where = f"paused at step {self.step:,} of {self.steps:,} of {self.objective.name}"
        raise PausedError(where if self.out is None else f"{self.out}: {where}")

    def advance(self) -> list[float]:
        """One step: every player's moves in turn; their mean losses.

        Raises:
            TrainingError: A loss or a gradient is not finite.
        """
        try:
            losses = [self._moves(mover) for mover in self.movers]
        except FloatingPointError as error:
            raise TrainingError(self._lost(str(error))) from error
        self.step += 1
        self.losses.append(losses)
        return losses

    def _moves(self, mover: Mover) -> float:
        """The moves of one player in a step; their mean loss."""
        if len(self.movers) == 1 and mover.player.moves == 1:
            return mover.move(self.step)
        moves = mover.player.moves
        with self._alone(mover):
            losses = [mover.move(self.step * moves + k) for k in range(moves)]
        return sum(losses) / moves

    @contextmanager
    def _alone(self, mover: Mover) -> Iterator[None]:
        """Within, the weights of the other players need no gradient."""
        others = [p for other in self.movers if other is not mover for p in other.trainable]
        for parameter in others:
            parameter.requires_grad = False
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad = True

    def _lost(self, wrong: str) -> str:
        """What to say of a loss or a gradient that is not finite."""
        where = f"phase {self.objective.name}, step {self.step}: {wrong}"
        if self.out is None:
            return f"{where}: lower the learning rate"
        if not (self.out / CHECKPOINT).exists():
            return f"{where}; nothing is kept yet: lower the learning rate and begin again"
        kept = f"the last good state is in {self.out / CHECKPOINT}"
        return f"{where}; {kept}: lower the learning rate and resume"

    def record(self) -> None:
        """Add lines to the history, with the validation loss of the averaged networks."""
        validation = self._validate()
        for mover, loss in zip(self.movers, _means(self.losses), strict=True):
            name = ": ".join(filter(None, (self.objective.name, mover.player.name)))
            self.history.append((name, self.step, loss, validation))
        self.losses = []

    @torch.no_grad()
    def _validate(self) -> float:
        if self.objective.validation is None:
            return math.nan
        with ExitStack() as stack:
            for mover in self.movers:
                stack.enter_context(mover.evaluated())
            value = self._mean(self.objective.validation())
            for mover in self.movers:
                mover.validated(value)
            if self.selector is not None:
                criterion = self.selector.selection.criterion
                seen = value if criterion is None else self._mean(criterion())
                self.selector.see(seen, self._weights)
        return value

    def _mean(self, value: float) -> float:
        """The mean over the processes, which so decide alike."""
        if self.options.processes.size == 1:
            return value
        there = torch.tensor(value, device=_device(self.networks, self.objectives))
        return self.options.processes.mean(there).item()

    def _weights(self) -> dict[str, Tensor]:
        return {
            f"{number}.{key}": value.clone()
            for number, mover in enumerate(self.movers)
            for key, value in mover.network.state_dict().items()
        }

    def finish(self) -> None:
        """Put averages, or what was selected, in place of the weights, and go on."""
        kept = {} if self.selector is None else self.selector.weights
        for number, mover in enumerate(self.movers):
            mover.adopt()
            if kept:
                mover.network.load_state_dict(under(kept, f"{number}."))
        self._enter(self.index + 1)

    def join(self, count: int) -> None:
        """Go on to what comes after so many independent objectives, with their histories."""
        for objective in self.objectives[self.index : self.index + count]:
            self.history += read_history(self._folder(objective) / HISTORY)
        self._enter(self.index + count)

    def _folder(self, objective: Objective) -> Path:
        return (self.out or Path()) / objective.name

    def save(self) -> None:
        """Write checkpoint and history, if there is a folder and this is rank 0."""
        if self.out is None or not self.options.processes.is_rank_0:
            return
        tensors = {
            f"networks.{name}.{key}": value
            for name, network in self.networks.items()
            for key, value in network.state_dict().items()
        }
        state = {"objective": self.index, "step": self.step, "history": self.history}
        state["losses"] = self.losses
        for number, mover in enumerate(self.movers):
            tensors |= {f"players.{number}.{k}": v for k, v in mover.tensors().items()}
        state["players"] = [mover.state() for mover in self.movers]
        if self.selector is not None:
            tensors |= {f"selected.{k}": v for k, v in self.selector.weights.items()}
            state["selection"] = (self.selector.best, self.selector.waited)
        Checkpoint(tensors, state).write(self.out / CHECKPOINT)
        write_history(self.out / HISTORY, self.history)

    def load(self) -> None:
        """Go back to the checkpoint.

        Raises:
            TrainingError: It is damaged, of other networks, or of an earlier version.
        """
        path = (self.out or Path()) / CHECKPOINT
        try:
            self._load(Checkpoint.read(path))
        except _UNFIT as error:
            reason = " ".join(str(error).split())[:_REASON]
            msg = (
                f"{path}: not a checkpoint of this training ({reason}): resume with the recipe and "
                "the settings that it began with"
            )
            raise TrainingError(msg) from error

    def _load(self, kept: Checkpoint) -> None:
        for name, network in self.networks.items():
            network.load_state_dict(under(kept.tensors, f"networks.{name}."))
        self._enter(int(kept.state["objective"]))
        self.history = [tuple(row) for row in kept.state["history"]]
        if kept.state["step"]:
            self.begin()
            self.step, self.losses = int(kept.state["step"]), kept.state.get("losses", [])
            for number, (mover, state) in enumerate(
                zip(self.movers, kept.state["players"], strict=True)
            ):
                mover.load(under(kept.tensors, f"players.{number}."), state)
        if self.selector is not None:
            self.selector.best, self.selector.waited = kept.state["selection"]
            self.selector.weights = under(kept.tensors, "selected.")


def run(
    objectives: Sequence[Objective],
    networks: Mapping[str, nn.Module],
    out: Path | None,
    *,
    resume: bool = False,
    checkpoint_every: int = 500,
    progress: Progress | None = None,
    execution: Execution = Execution(),  # noqa: B008 frozen
    processes: Processes = Processes(),  # noqa: B008 frozen
    seed: int | None = None,
) -> None:
    """Train for the objectives, one after another.

    Arguments:
        objectives: The objectives.
        networks: Every network that they train or use, by name: what a checkpoint holds.
        out: A folder for checkpoint and history, made if need be; None for a training that is
            neither kept nor resumed.
        resume: Go on from the checkpoint there, if there is one.
        checkpoint_every: Steps between checkpoints, and between validations unless an objective has
            its own.
        progress: Takes a report after the first seconds of an objective, then every few seconds
            and at every validation.
        execution: How the moves are computed.
        processes: The processes that train together; each calls this with the same objectives.
        seed: The seed from which each batch finds torch's global generator seeded; None to begin
            with the state as it stands.

    Raises:
        PausedError: ``execution`` says so between two steps; the checkpoint is of this step.
        TrainingError: A loss or its gradient is not finite, or the checkpoint is not of these
            networks.
    """
    options = _Options(checkpoint_every, progress, execution, processes, seed)
    with isolated(_device(networks, objectives)):
        _follow(_Run(objectives, networks, out, options), resume=resume)


def _device(networks: Mapping[str, nn.Module], objectives: Sequence[Objective]) -> torch.device:
    """The device of the networks."""
    players = [player.network for objective in objectives for player in objective.players]
    parameters = (p for network in (*players, *networks.values()) for p in network.parameters())
    return next(parameters, torch.empty(0)).device


def _follow(state: _Run, *, resume: bool) -> None:
    """Play a run to its end."""
    if state.out is not None:
        state.out.mkdir(parents=True, exist_ok=True)
        if resume and (state.out / CHECKPOINT).exists():
            state.load()
    while state.index < len(state.objectives):
        if state.objective.independent and state.out is not None:
            _play_independent(state, state.out)
            continue
        _play(state)
        state.finish()
        state.save()
        if state.index < len(state.objectives) and state.stopped:
            state.pause()


def _play_independent(state: _Run, out: Path) -> None:
    """Train the neighbouring independent objectives, this process its share of them, and put
    together what all made.
    """
    group = list(
        takewhile(lambda objective: objective.independent, state.objectives[state.index :])
    )
    alone = replace(state.options, processes=Processes())
    processes = state.options.processes
    paused: PausedError | None = None
    for number in range(processes.rank, len(group), processes.size):
        objective = replace(group[number], independent=False)
        folder, first = out / objective.name, state.first + state.index + number
        try:
            _follow(_Run([objective], _players(objective), folder, alone, first), resume=True)
        except PausedError as error:
            paused = error
            break
    if state.any(paused is not None):
        raise paused or PausedError(f"{out}: paused")
    for objective in group:
        _Run([], _players(objective), out / objective.name, alone).load()
    state.join(len(group))
    state.save()
    processes.wait()
    if processes.is_rank_0:
        for objective in group:
            shutil.rmtree(out / objective.name)


def _players(objective: Objective) -> dict[str, nn.Module]:
    return {str(number): player.network for number, player in enumerate(objective.players)}


def _play(state: _Run) -> None:
    """Train for one objective."""
    objective, every = state.objective, state.options.checkpoint_every
    interval = objective.validate_every or every
    if state.step == 0:
        if objective.start is not None:
            objective.start()
        state.begin()
    watch = _Watch(state.options.progress, objective, state.steps)
    begun = state.step
    while not state.finished:
        before = state.step
        until = min(state.steps, (before // interval + 1) * interval)
        while state.step < until:
            if state.step > begun and state.stopped:
                watch.report(state.step)
                state.pause()
            losses = state.advance()
            watch.see(state.step, losses)
        state.record()
        if state.step // every > before // every or state.finished:
            state.save()
        watch.report(state.step)


def _means(losses: list[list[float]]) -> list[float]:
    """The mean over the steps, for each player."""
    return [sum(of) / len(of) for of in zip(*losses, strict=True)]
