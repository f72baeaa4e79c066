"""A player at work: its gradient, its optimiser, its learning rate and its average."""

__all__ = ["Execution", "Mover", "Pause"]

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from caloforge.errors import PausedError, TrainingError
from caloforge.learn.training.average import moving_average
from caloforge.learn.training.checkpoint import under
from caloforge.learn.training.devices import Processes
from caloforge.learn.training.objectives import Loss, Player
from caloforge.learn.training.randomness import address, reseed

Pause = Callable[[], None]
"""Called between two pieces of work; raises `PausedError` where the training shall pause."""


@dataclass(frozen=True)
class Execution:
    """How the moves are computed, and when to pause.

    Arguments:
        half: Compute the loss in mixed precision (bfloat16); weights and their averages stay in
            single precision.
        compiled: Have torch.compile compile what a network computes when it is called.
        accumulate: Batches whose gradients are averaged in a move, in each process, at least 1.
        stop: Asked between steps; where it says yes, the state is written and the training pauses.
    """

    half: bool = False
    compiled: bool = False
    accumulate: int = 1
    stop: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            msg = f"{self.accumulate} batches to accumulate in a move, expected at least 1"
            raise TrainingError(msg)

    def pause(self, where: str) -> Pause:
        """What pauses the work after the steps.

        Arguments:
            where: What is done, for the message.
        """

        def pause() -> None:
            if self.stop is not None and self.stop():
                raise PausedError(where)

        return pause

    def loss(self, loss: Loss, device: torch.device) -> Loss:
        """The loss as it is computed on a device."""
        if not self.half:
            return loss

        def half(batch: int) -> Tensor:
            with torch.autocast(device.type, dtype=torch.bfloat16):
                return loss(batch)

        return half


class Mover:
    """A player at work.

    Arguments:
        player: The player.
        moves: Its moves in all.
        execution: How they are computed.
        processes: The processes that train together.
        stream: The seed of the training and the number of the objective, of which torch's global
            generator is seeded for each batch; None for no seed.
    """

    def __init__(
        self,
        player: Player,
        moves: int,
        execution: Execution,
        processes: Processes,
        stream: tuple[int, int] | None,
    ) -> None:
        self.player, self.execution, self.processes = player, execution, processes
        self.network, self.stream = player.network.train(), stream
        self.parameters = list(self.network.parameters())
        self.trainable = [p for p in self.parameters if p.requires_grad]
        self.device = self.parameters[0].device
        self.optimiser = player.adam.optimiser(self.parameters)
        self.scheduler = player.schedule.scheduler(self.optimiser, moves)
        self.average = (
            None if player.average is None else moving_average(self.network, player.average)
        )
        if execution.compiled:
            self.network.compile()
        loss = execution.loss(player.loss, self.device)
        self.loss = processes.distributed(self.network, loss)

    def move(self, number: int) -> float:
        """Move once; the loss.

        Raises:
            FloatingPointError: The loss or its gradient is not finite; the weights are as before.
        """
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.processes.mean(self._gradient(number)).item()
        if not math.isfinite(loss):
            msg = f"the loss is {loss}"
            raise FloatingPointError(msg)
        if self.player.clip is not None:
            norm = nn.utils.clip_grad_norm_(self.parameters, self.player.clip).item()
            if not math.isfinite(norm):
                msg = f"the norm of the gradient is {norm}"
                raise FloatingPointError(msg)
        self.optimiser.step()
        if self.scheduler is not None and not self.player.schedule.validates:
            self.scheduler.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return loss

    def _gradient(self, number: int) -> Tensor:
        """Add up the gradients of a move, a mean over its batches; the mean loss."""
        *before, last = self.processes.batches(number, self.execution.accumulate)
        losses = []
        for batch in before:
            with self.processes.unsynchronised(self.loss):
                losses.append(self._add(batch))
        losses.append(self._add(last))
        return torch.stack(losses).sum() if before else losses[0]

    def _add(self, batch: int) -> Tensor:
        """Add the gradient of a batch, and give its loss, both over the number of batches."""
        if self.stream is not None:
            reseed(address(*self.stream, batch), self.device)
        loss = self.loss(batch)
        if self.execution.accumulate > 1:
            loss = loss / self.execution.accumulate
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def validated(self, loss: float) -> None:
        """Let the learning rate follow the validation loss."""
        if self.scheduler is not None and self.player.schedule.validates:
            self.scheduler.step(loss)  # type: ignore[arg-type]

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Within, the network is in evaluation mode, with its average as weights."""
        kept = None if self.average is None else _copy(self.network)
        self.network.eval()
        self.adopt()
        try:
            yield
        finally:
            if kept is not None:
                self.network.load_state_dict(kept)
            self.network.train()

    def adopt(self) -> None:
        """Put the average, if there is one, in the place of the weights."""
        if self.average is not None:
            self.network.load_state_dict(self.average.module.state_dict())

    def tensors(self) -> dict[str, Tensor]:
        """The state of optimiser and average."""
        states = self.optimiser.state_dict()["state"]
        found = {f"optimiser.{i}.{k}": v for i, state in states.items() for k, v in state.items()}
        if self.average is not None:
            found |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        return found

    def state(self) -> dict[str, Any]:
        """The state of the schedule."""
        return {} if self.scheduler is None else self.scheduler.state_dict()

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go back to a state of `tensors` and `state`."""
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in under(tensors, "optimiser.").items():
            number, name = key.split(".", 1)
            states.setdefault(int(number), {})[name] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": states})
        if self.average is not None:
            self.average.load_state_dict(under(tensors, "average."))
        if self.scheduler is not None:
            self.scheduler.load_state_dict(dict(state))
            rates = self.scheduler.get_last_lr()
            for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
                group["lr"] = rate


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}
