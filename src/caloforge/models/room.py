"""How large a model may be: counted while its networks are built, before they take the memory."""

__all__ = ["Room", "memory"]

import os
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from caloforge.errors import ModelError

_MAKERS = {torch.empty, torch.full, torch.ones, torch.rand, torch.randn, torch.zeros}


class Room(TorchFunctionMode):
    """Within, so many numbers can be made and no more.

    Arguments:
        numbers: How many.
        refusal: What is said where there are more.
    """

    def __init__(self, numbers: int, refusal: str) -> None:
        super().__init__()
        self._left, self._refusal = numbers, refusal

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        """Call a function of torch, unless it makes more numbers than there is room for."""
        del types
        given = kwargs or {}
        if function in _MAKERS:
            self._left -= function(*args, **{**given, "device": "meta"}).numel()
            if self._left < 0:
                raise ModelError(self._refusal)
        return function(*args, **given)


def memory() -> int:
    """The memory of this machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
