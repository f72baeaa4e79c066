"""Several processes that train one model together, each with a device of its own.

``torchrun`` starts them and tells each its rank and how many there are. All begin with the same
weights; in a step each computes the gradient on a batch of its own, and all take the mean. So a
step of n processes sees n batches, and a phase has an nth of its steps: to train as one process
does, divide the batch size by n.
"""

__all__ = ["Team", "joined"]

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

_PATIENCE = timedelta(days=30)
"""How long one process waits for the others, which may train what stands apart meanwhile."""


@dataclass(frozen=True)
class Team:
    """The processes, as one of them sees them; by default it is alone.

    Arguments:
        rank: The number of this process.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and tells."""
        return self.rank == 0

    def steps(self, batches: int) -> int:
        """Steps that together see at least so many batches."""
        return math.ceil(batches / self.size)

    def batch(self, step: int) -> int:
        """The number of the batch that this process sees in a step."""
        return step * self.size + self.rank

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Put the means over all processes in the place of tensors, whose shapes are the same in
        each.
        """
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        means = torch.split(flat / self.size, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[Team, torch.device]]:
    """The team that torchrun has started, and this process's device; without torchrun a team of
    one.

    Arguments:
        device: The kind of device; of ``cuda``, each process of a machine takes the one with its
            own number.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team(), device
        return
    on_cuda = device.type == "cuda"
    if on_cuda:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_cuda else "gloo", timeout=_PATIENCE)
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size()), device
    finally:
        distributed.destroy_process_group()
