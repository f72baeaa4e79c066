r"""Training is a list of phases.

A *phase* trains one network against one loss for a number of steps; the next phase may use what it
left: half-bridge after half-bridge, student after teacher. Its loss is a function of the number of
the step: what a step draws comes from a generator seeded by (seed, phase, step), so that a run that
was interrupted and resumed goes on to the same weights as one that was not.

Each phase starts a fresh Adam (decoupled weight decay) and keeps an exponential moving average of
the weights after each step; at its end the average replaces the weights. Its network is in training
mode, all others evaluate. The learning rate is warmed up over `WARM_UP` of the phase and follows a
cosine to zero, or stays flat.

Neighbouring phases that stand *apart*, such as those of one network a layer, need nothing of each
other. Each has a folder of its own, they are dealt out to the processes of the team, and what they
made is put together when all are done.

Checkpoints are safetensors with the state of every network, of the optimiser and of the average,
written to a temporary file and renamed. Lightning's trainer is not used: its checkpoints are
pickles, and its loop owns the random numbers. Several devices train one model as a `Team`.
"""

__all__ = ["WARM_UP", "Phase", "Progress", "Speed", "generator", "run"]

import copy
import csv
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from caloforge.errors import TrainingError
from caloforge.io import NewFile
from caloforge.learn.team import Team

WARM_UP = 0.02
"""Part of a phase over which the learning rate rises."""

Progress = Callable[[str, int, int, float], None]
"""Told the phase's name, the steps done, the steps in all and the mean loss since the last call."""

_CHECKPOINT = "checkpoint.safetensors"
_HISTORY = "history.csv"
_REASON = 200
"""So many characters are told of what a checkpoint lacks."""


@dataclass(frozen=True)
class Speed:
    """What to do for speed.

    Arguments:
        half: Compute the loss in mixed precision (bfloat16); weights and their averages stay in
            single precision.
        compiled: Have torch.compile compile what a network computes when it is called.
    """

    half: bool = False
    compiled: bool = False

    def loss(self, phase: "Phase", step: int) -> Tensor:
        """The loss of a step."""
        device = next(phase.network.parameters()).device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.half):
            return phase.loss(step)


@dataclass(frozen=True)
class Phase:
    """One network trained against one loss.

    Arguments:
        name: A name for the log.
        network: The network to train; everything else stays as it is.
        loss: The loss of a step, by its number.
        steps: The number of steps.
        learning_rate: The peak learning rate.
        cosine: Whether the learning rate warms up and falls to zero, or stays flat.
        weight_decay: Decoupled weight decay.
        average: Decay of the moving average of the weights, in [0, 1).
        clip: The largest norm of a gradient.
        validation: The loss on showers held out of the training, or None.
        apart: Whether it neither needs nor changes what neighbouring phases that stand apart train.
    """

    name: str
    network: nn.Module
    loss: Callable[[int], Tensor]
    steps: int
    learning_rate: float
    cosine: bool = False
    weight_decay: float = 0.0
    average: float = 0.95
    clip: float = 1.0
    validation: Callable[[], float] | None = None
    apart: bool = False

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        if not self.cosine:
            return self.learning_rate
        warm = min(1.0, (step + 1) / max(1.0, WARM_UP * self.steps))
        return self.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def generator(
    seed: int, phase: int, step: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """The random numbers of one training step."""
    return torch.Generator(device).manual_seed((seed * 1_000_003 + phase) * 10_000_019 + step)


class _Run:
    """The state of a run: where it is, and the current phase's optimiser and average."""

    def __init__(
        self,
        phases: Sequence[Phase],
        networks: Mapping[str, nn.Module],
        out: Path,
        speed: Speed,
        team: Team,
    ) -> None:
        self.phases = [
            phase if phase.apart else replace(phase, steps=team.steps(phase.steps))
            for phase in phases
        ]
        self.networks, self.out, self.speed, self.team = networks, out, speed, team
        self.history: list[tuple[str, int, float, float]] = []
        self._enter(0)

    def _enter(self, index: int) -> None:
        self.index, self.step = index, 0
        for network in self.networks.values():
            network.eval()
        if index < len(self.phases):
            phase = self.phases[index]
            phase.network.train()
            self.average = copy.deepcopy(phase.network).requires_grad_(False)
            self.optimiser = torch.optim.AdamW(
                phase.network.parameters(),
                lr=phase.learning_rate,
                weight_decay=phase.weight_decay,
                foreach=True,
            )
            if self.speed.compiled:
                phase.network.compile()

    @property
    def phase(self) -> Phase:
        return self.phases[self.index]

    def advance(self) -> float:
        """One step; the loss."""
        phase = self.phase
        for group in self.optimiser.param_groups:
            group["lr"] = phase.rate(self.step)
        loss = self.speed.loss(phase, self.team.batch(self.step))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        loss = loss.detach()
        self.team.average(
            [loss, *(p.grad for p in phase.network.parameters() if p.grad is not None)]
        )
        norm = nn.utils.clip_grad_norm_(phase.network.parameters(), phase.clip)
        if not (loss + norm).isfinite():
            raise TrainingError(self._lost(loss.item(), norm.item()))
        self.optimiser.step()
        self.step += 1
        self._follow(min(phase.average, (1 + self.step) / (10 + self.step)))
        return loss.item()

    def _lost(self, loss: float, norm: float) -> str:
        """What to say of a loss or a gradient that is not finite."""
        wrong = (
            f"the norm of the gradient is {norm}" if math.isfinite(loss) else f"the loss is {loss}"
        )
        kept = (
            f"the last good state is in {self.out / _CHECKPOINT}: lower the learning rate and "
            "resume"
        )
        advice = (
            kept
            if (self.out / _CHECKPOINT).exists()
            else "nothing is kept yet: lower the learning rate and begin again"
        )
        return f"phase {self.phase.name}, step {self.step}: {wrong}; {advice}"

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.phase.network.parameters()), 1 - decay
        )
        for kept, buffer in zip(self.average.buffers(), self.phase.network.buffers(), strict=True):
            kept.copy_(buffer)

    def finish_phase(self) -> None:
        """Put the average in place of the weights and go on to the next phase."""
        self.phase.network.load_state_dict(self.average.state_dict())
        self._enter(self.index + 1)

    def join(self, phases: int) -> None:
        """Go on to what comes after so many phases that were trained apart, with
        their histories.
        """
        for phase in self.phases[self.index : self.index + phases]:
            with (self.out / phase.name / _HISTORY).open(newline="") as file:
                rows = list(csv.reader(file))[1:]
            self.history += [
                (name, int(step), float(loss), float(validation))
                for name, step, loss, validation in rows
            ]
        self._enter(self.index + phases)

    def record(self, loss: float) -> None:
        """Add a line to the history, with the averaged network's loss on held-out showers."""
        validation = (
            math.nan if self.phase.validation is None else self._validate(self.phase.validation)
        )
        self.history.append((self.phase.name, self.step, loss, validation))

    def _validate(self, validation: Callable[[], float]) -> float:
        network, kept = self.phase.network, copy.deepcopy(self.phase.network.state_dict())
        network.eval().load_state_dict(self.average.state_dict())
        value = validation()
        network.train().load_state_dict(kept)
        return value

    def save(self) -> None:
        """Write checkpoint and history, if this process leads."""
        if not self.team.leads:
            return
        tensors = {
            f"networks.{n}.{k}": v
            for n, net in self.networks.items()
            for k, v in net.state_dict().items()
        }
        if self.index < len(self.phases):
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
            states = self.optimiser.state_dict()["state"]
            tensors |= {
                f"optimiser.{i}.{k}": v for i, state in states.items() for k, v in state.items()
            }
        metadata = {
            "phase": str(self.index),
            "step": str(self.step),
            "history": json.dumps(self.history),
        }
        with NewFile(self.out / _CHECKPOINT, overwrite=True) as partial:
            save_file(
                {k: v.detach().clone().contiguous() for k, v in tensors.items()}, partial, metadata
            )
        with (self.out / _HISTORY).open("w", newline="") as file:
            csv.writer(file).writerows([("phase", "step", "loss", "validation"), *self.history])

    def load(self) -> None:
        """Go back to the checkpoint.

        Raises:
            TrainingError: It is damaged, or of other networks.
        """
        try:
            self._load()
        except (KeyError, RuntimeError, SafetensorError, ValueError) as error:
            reason = " ".join(str(error).split())[:_REASON]
            msg = (
                f"{self.out / _CHECKPOINT}: not a checkpoint of this training ({reason}): "
                "resume with the recipe and the settings that it began with"
            )
            raise TrainingError(msg) from error

    def _load(self) -> None:
        with safe_open(self.out / _CHECKPOINT, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        for name, network in self.networks.items():
            network.load_state_dict(_under(tensors, f"networks.{name}."))
        self._enter(int(metadata["phase"]))
        self.step, self.history = (
            int(metadata["step"]),
            [tuple(line) for line in json.loads(metadata["history"])],
        )
        if self.index < len(self.phases):
            self.average.load_state_dict(_under(tensors, "average."))
            self._load_optimiser(_under(tensors, "optimiser."))

    def _load_optimiser(self, tensors: Mapping[str, Tensor]) -> None:
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            number, name = key.split(".", 1)
            states.setdefault(int(number), {})[name] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": states})


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def run(
    phases: Sequence[Phase],
    networks: Mapping[str, nn.Module],
    out: Path,
    *,
    resume: bool = False,
    checkpoint_every: int = 500,
    progress: Progress | None = None,
    speed: Speed = Speed(),
    team: Team = Team(),  # noqa: B008 frozen
) -> None:
    """Run the phases, one after another.

    Arguments:
        phases: The phases.
        networks: Every network that the phases train or use, by name: what a checkpoint holds.
        out: A directory for checkpoint and history, made if need be.
        resume: Go on from the checkpoint there, if there is one.
        checkpoint_every: Steps between checkpoints.
        progress: Called at every checkpoint.
        speed: What to do for speed.
        team: The processes that train together; each calls this with the same phases.

    Raises:
        TrainingError: The loss or its gradient is not finite, or the checkpoint is not of these
            networks.
    """
    out.mkdir(parents=True, exist_ok=True)
    state = _Run(phases, networks, out, speed, team)
    if resume and (out / _CHECKPOINT).exists():
        state.load()
    while state.index < len(phases):
        if state.phase.apart:
            _run_apart(state, checkpoint_every, progress)
            continue
        _run_phase(state, checkpoint_every, progress)
        state.finish_phase()
        state.save()


def _run_apart(state: _Run, checkpoint_every: int, progress: Progress | None) -> None:
    """Train the neighbouring phases that stand apart, this process its share of them, and put
    together what all made.
    """
    group = list(takewhile(lambda phase: phase.apart, state.phases[state.index :]))
    for phase in group[state.team.rank :: state.team.size]:
        alone = [replace(phase, apart=False)]
        out = state.out / phase.name
        run(
            alone,
            _only(phase),
            out,
            resume=True,
            checkpoint_every=checkpoint_every,
            progress=progress,
            speed=state.speed,
        )
    state.team.wait()
    for phase in group:
        _Run([], _only(phase), state.out / phase.name, state.speed, Team()).load()
    state.join(len(group))
    state.save()
    state.team.wait()
    if state.team.leads:
        for phase in group:
            shutil.rmtree(state.out / phase.name)


def _only(phase: Phase) -> dict[str, nn.Module]:
    return {"network": phase.network}


def _run_phase(state: _Run, checkpoint_every: int, progress: Progress | None) -> None:
    phase = state.phase
    while state.step < phase.steps:
        until = min(phase.steps, (state.step // checkpoint_every + 1) * checkpoint_every)
        losses = [state.advance() for _ in range(state.step, until)]
        mean = sum(losses) / len(losses)
        state.record(mean)
        state.save()
        if progress is not None:
            progress(phase.name, state.step, phase.steps, mean)
