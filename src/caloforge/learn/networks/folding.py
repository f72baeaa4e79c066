"""Networks for inference: what follows from the weights alone is computed once, and again only when
the weights change.
"""

__all__ = ["WhileSame"]

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

_Made = TypeVar("_Made")


class WhileSame(Generic[_Made]):
    """Keeps what is made of a network as long as its weights stay as they are and where they are.

    Each change in place raises a tensor's version, and a move gives it another address; to look
    costs under a microsecond a tensor. What is kept is no part of the network's state.
    """

    def __init__(self) -> None:
        self._kept: tuple[tuple[tuple[int, int], ...], _Made] | None = None

    def __call__(self, network: nn.Module, make: Callable[[], _Made]) -> _Made:
        """What is made of the network, anew if it has changed.

        Arguments:
            network: The network.
            make: Makes it.
        """
        weights = tuple(_state(weight) for weight in _numbers(network))
        if self._kept is None or self._kept[0] != weights:
            with torch.inference_mode(mode=False), torch.no_grad():
                self._kept = weights, make()
        return self._kept[1]


def _numbers(network: nn.Module) -> Iterator[Tensor]:
    return chain(network.parameters(), network.buffers())


def _state(weight: Tensor) -> tuple[int, int]:
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version
