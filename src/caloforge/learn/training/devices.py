"""Several processes that train together, each with a device of its own.

``torchrun`` starts them. Torch's DistributedDataParallel gives all the weights and buffers of rank
0 and averages their gradients. In a move of n processes that accumulate a batches each, n a batches
are seen, and an objective has that fraction of its steps: to train as one process does, divide the
batch size by n a. Process r of move m sees batches (m n + r) a to (m n + r + 1) a - 1, so that any
share of the work between processes and accumulation gives the same sums.
"""

__all__ = ["Processes", "Wrapped", "process_group"]

import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

_PATIENCE = timedelta(days=30)
"""How long a process waits for the others, which may train an independent objective meanwhile."""


class Wrapped(nn.Module):
    """A loss as the forward call of a module that holds the network: whatever methods of the
    network it calls, they run inside the forward call of DistributedDataParallel.

    Arguments:
        network: The network.
        loss: The loss of a batch, by its number.
    """

    def __init__(self, network: nn.Module, loss: Callable[[int], Tensor]) -> None:
        super().__init__()
        self.network = network
        self._loss = (loss,)

    def forward(self, batch: int) -> Tensor:
        """The loss of a batch."""
        return self._loss[0](batch)


@dataclass(frozen=True)
class Processes:
    """The processes that train together, as one of them sees them; by default it is alone.

    Arguments:
        rank: The number of this process.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_rank_0(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def steps(self, batches: int, accumulate: int = 1) -> int:
        """Steps in which the processes see at least so many batches.

        Arguments:
            batches: The number of batches.
            accumulate: The batches of one process in a step.
        """
        return math.ceil(batches / (self.size * accumulate))

    def batches(self, move: int, accumulate: int = 1) -> range:
        """The numbers of the batches that this process sees in a move."""
        first = (move * self.size + self.rank) * accumulate
        return range(first, first + accumulate)

    def distributed(
        self, network: nn.Module, loss: Callable[[int], Tensor]
    ) -> Callable[[int], Tensor]:
        """The loss, whose gradients are averaged over the processes; alone, the loss itself."""
        if self.size == 1:
            return loss
        return DistributedDataParallel(Wrapped(network, loss), find_unused_parameters=True)

    @staticmethod
    def unsynchronised(loss: Callable[[int], Tensor]) -> AbstractContextManager[None]:
        """Within, gradients are summed up in this process and not averaged."""
        if isinstance(loss, DistributedDataParallel):
            return loss.no_sync()
        return nullcontext()

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a value over the processes."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total / self.size

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def process_group(device: torch.device) -> Iterator[tuple[Processes, torch.device]]:
    """The processes that torchrun has started, and this one's device; without torchrun it is alone.

    Arguments:
        device: The kind of device; of ``cuda``, each process of a machine takes the one with its
            own number.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(), device
        return
    on_cuda = device.type == "cuda"
    if on_cuda:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_cuda else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size()), device
    finally:
        distributed.destroy_process_group()
