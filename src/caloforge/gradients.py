r"""What is differentiable says so.

A function that is marked `differentiable` has, in each tensor that its docstring names, the
gradient that finite differences have. The tests hold each marked function to this, in double
precision: a mark without a case in their catalogue fails, and so does a docstring that promises a
gradient without a mark.
"""

__all__ = ["differentiable", "marked"]

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_MARKED: dict[str, Callable[..., Any]] = {}


def differentiable(function: Function) -> Function:
    """Mark a function or a method, which stays as it is.

    Arguments:
        function: It keeps the graph of the tensors that its docstring names.
    """
    _MARKED[f"{function.__module__}.{function.__qualname__}"] = function
    return function


def marked() -> Mapping[str, Callable[..., Any]]:
    """All that is marked in the modules that are imported, by module and name."""
    return MappingProxyType(_MARKED)
