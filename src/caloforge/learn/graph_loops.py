"""Loops that a traced graph keeps as loops.

A tracer unrolls the loops of Python: where networks of a thousand operators are asked layer after
layer, the graph would hold fifty thousand. What makes showers step by step asks `graph_loop` for
the loop of the graph that is being traced; as a rule there is none, and it does as it likes.
"""

__all__ = ["GraphLoop", "graph_loop", "within_graph"]

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor
from typing_extensions import Protocol, runtime_checkable


@runtime_checkable
class GraphLoop(Protocol):
    """A loop of a graph."""

    def __call__(
        self,
        body: Callable[..., tuple[Tensor, ...]],
        carried: Sequence[Tensor],
        rows: Sequence[Tensor],
        fixed: Sequence[Tensor],
        *,
        conditional: bool = False,
    ) -> tuple[Tensor, ...]:
        """Call the body once for each entry along the second axis of the rows.

        Arguments:
            body: Given what is carried, the entries of the rows and what is fixed, it returns what
                is carried on, as many tensors as went in. A function of its arguments and of
                constants alone.
            carried: What the first call is given.
            rows: Tensors of one length along the second axis, at least one.
            fixed: What all calls are given.
            conditional: Whether the loop ends as soon as no entry of the first carried tensor is
                true.

        Returns:
            What the last call carried on.
        """


_LOOP: ContextVar[GraphLoop | None] = ContextVar("graph_loop", default=None)


def graph_loop() -> GraphLoop | None:
    """The loop of the graph that is being traced; None outside of tracing."""
    return _LOOP.get()


@contextmanager
def within_graph(loop: GraphLoop) -> Iterator[None]:
    """Within, a graph is traced that has such a loop."""
    token = _LOOP.set(loop)
    try:
        yield
    finally:
        _LOOP.reset(token)
