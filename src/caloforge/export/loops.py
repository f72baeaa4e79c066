"""A loop in a traced graph: its body is traced on its own, and called from a loop of TorchScript.

The number of rounds is read from a shape, so that no optimiser knows it and unrolls the loop. What
is carried may change its shape from round to round.
"""

__all__ = ["ScriptLoop"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_SOURCE = """
def rounds({arguments}) -> Tuple[{types}]:
    i = 0
    go = True
    while go and i < r0.size(1):
        {carried}, = body({taken})
        i += 1
        go = {condition}
    return ({carried},)
"""

_COUNTED = """
def rounds({arguments}) -> Tuple[{types}]:
    for i in range(r0.size(1)):
        {carried}, = body({taken})
    return ({carried},)
"""


class ScriptLoop:
    """Makes loops of one graph; the functions that it keeps have to live as long as the graph."""

    def __init__(self) -> None:
        self.kept: list[object] = []

    def __call__(
        self,
        body: Callable[..., tuple[Tensor, ...]],
        carried: Sequence[Tensor],
        rows: Sequence[Tensor],
        fixed: Sequence[Tensor],
        *,
        conditional: bool = False,
    ) -> tuple[Tensor, ...]:
        """See `caloforge.learn.graph_loops.GraphLoop`."""
        state = torch._C._get_tracing_state()
        torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
        try:
            first = [*carried, *(row[:, 0] for row in rows), *fixed]
            examples = tuple(tensor.detach().clone() for tensor in first)
            forms = _forms(examples, body(*examples))
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                _formed(body, forms), examples, check_trace=False
            )
            torch._C._jit_pass_erase_shape_information(traced.graph)
            sizes = len(carried), len(rows), len(fixed)
            loop = _compiled(traced, *sizes, conditional=conditional)
        finally:
            torch._C._set_tracing_state(state)  # type: ignore[attr-defined]
        self.kept += [traced, loop]
        made = loop.rounds(*carried, *rows, *fixed)
        return tuple(form(tensor) for form, tensor in zip(forms, made, strict=False))


@dataclass(frozen=True)
class _Form:
    """What is the same of a tensor in all rounds. The exporter knows nothing of it in a loop, and
    takes it from a cast and a reshape.

    Arguments:
        dtype: The type.
        shape: The shape; None for sizes that change.
    """

    dtype: torch.dtype
    shape: tuple[int | None, ...]

    def __call__(self, tensor: Tensor) -> Tensor:
        """The same tensor, of which this is known."""
        if 0 in self.shape:
            return tensor.to(self.dtype)
        sizes = [tensor.shape[k] if size is None else size for k, size in enumerate(self.shape)]
        return tensor.to(self.dtype).reshape(sizes)


def _forms(given: Sequence[Tensor], made: Sequence[Tensor]) -> list[_Form]:
    """Those of what the body is given; how its sizes change is seen in what it makes."""
    after = [*made, *given[len(made) :]]
    return [
        _Form(
            x.dtype,
            (
                None,
                *(
                    a if a in (0, b) else None
                    for a, b in zip(x.shape[1:], y.shape[1:], strict=True)
                ),
            ),
        )
        for x, y in zip(given, after, strict=True)
    ]


def _formed(
    body: Callable[..., tuple[Tensor, ...]], forms: Sequence[_Form]
) -> Callable[..., tuple[Tensor, ...]]:
    """The body, which says of which forms its arguments and results are."""

    def formed(*given: Tensor) -> tuple[Tensor, ...]:
        made = body(*(form(tensor) for form, tensor in zip(forms, given, strict=True)))
        return tuple(form(tensor) for form, tensor in zip(forms, made, strict=False))

    return formed


def _compiled(
    body: object, carried: int, rows: int, fixed: int, *, conditional: bool
) -> torch.jit.CompilationUnit:
    """The loop around a traced body, which its source finds by the name of this argument."""
    c, r, f = (
        [f"{n}{k}" for k in range(size)]
        for n, size in zip("crf", (carried, rows, fixed), strict=True)
    )
    source = _SOURCE if conditional else _COUNTED
    text = source.format(
        arguments=", ".join(f"{name}: Tensor" for name in (*c, *r, *f)),
        types=", ".join(["Tensor"] * carried),
        carried=", ".join(c),
        taken=", ".join((*c, *(f"{name}[:, i]" for name in r), *f)),
        condition="bool(c0.any())",
    )
    return torch.jit.CompilationUnit(text)
