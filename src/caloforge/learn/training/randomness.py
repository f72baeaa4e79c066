"""Random numbers of a training: functions of (seed, objective, batch), so that a resumed training
draws what an uninterrupted one draws.

What a loss draws itself comes from `generator`. Modules such as dropout draw from torch's global
generator; `isolated` lends it and gives it back as it was, so that no training changes a user's
random state.
"""

__all__ = ["address", "generator", "isolated", "reseed"]

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_OBJECTIVES, _BATCHES = 1_000_003, 10_000_019
"""Primes: the factors of the address of a batch."""


def address(seed: int, objective: int, batch: int) -> int:
    """The seed of one batch.

    Arguments:
        seed: The seed of the training.
        objective: The number of the objective.
        batch: The number of the batch.
    """
    return (seed * _OBJECTIVES + objective) * _BATCHES + batch


def generator(
    seed: int, objective: int, batch: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """The random numbers of one batch."""
    return torch.Generator(device).manual_seed(address(seed, objective, batch))


def reseed(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of the host and of a device; for use within `isolated`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def isolated(device: torch.device | str = "cpu", seed: int | None = None) -> Iterator[None]:
    """Within, torch's global random state may be used; afterwards it is as it was.

    Arguments:
        device: A device whose state is kept beside that of the host.
        seed: The seed within; None to begin with the state as it stands.
    """
    device = torch.device(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        if seed is not None:
            reseed(seed, device)
        yield
