"""Graphs as TorchScript and as ONNX, and what runs them.

A graph is traced with example inputs, and every shape but the first follows from them. ONNX is made
of the trace by torch's exporter of TorchScript: it keeps the loops that a trace holds, and needs no
knowledge of the sizes that data decide.
"""

__all__ = ["OPSET", "OnnxRunner", "traced", "write_onnx"]

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jaxtyping
import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.export.graphs import Graph
from caloforge.export.loops import ScriptLoop
from caloforge.export.substitutes import Substitutes
from caloforge.learn.graph_loops import within_graph
from caloforge.packages import optional_package

OPSET = 18
"""The version of ONNX's operators; ONNX Runtime has had it since 1.14."""

_BATCH = "showers"


def traced(graph: Graph, examples: Sequence[Tensor]) -> torch.jit.ScriptModule:
    """The TorchScript of a graph.

    Arguments:
        graph: The graph.
        examples: Its inputs, for several showers.
    """
    loop = ScriptLoop()
    with torch.no_grad():
        graph(*examples)  # what follows from the weights alone is kept from now on, and not traced
    quiet = warnings.catch_warnings(), _unchecked()
    with torch.no_grad(), quiet[0], quiet[1], Substitutes(), within_graph(loop):
        warnings.simplefilter("ignore")
        script = torch.jit.trace(  # type: ignore[no-untyped-call]
            graph, tuple(examples), check_trace=False
        )
        frozen: torch.jit.ScriptModule = torch.jit.freeze(script.eval())
    return frozen


@contextmanager
def _unchecked() -> Iterator[None]:
    """Without checks of types at run time: the sizes of what is traced are tensors."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def write_onnx(
    script: torch.jit.ScriptModule,
    graph: Graph,
    examples: Sequence[Tensor],
    path: Path,
    about: Mapping[str, str],
) -> None:
    """Write a traced graph as ONNX.

    Arguments:
        script: The trace.
        graph: The graph.
        examples: The inputs that it was traced with.
        path: The file.
        about: What the file says of itself.

    Raises:
        PackageError: The packages of the extra ``onnx`` are not installed.
    """
    onnx = optional_package("onnx", "onnx")
    names = [port.name for port in graph.inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            script,
            tuple(examples),
            str(path),
            input_names=names,
            output_names=[graph.output],
            dynamic_axes={name: {0: _BATCH} for name in (*names, graph.output)},
            dynamo=False,
            opset_version=OPSET,
        )
    model = onnx.load(str(path))
    _forget_shapes(model.graph)
    onnx.helper.set_model_props(model, dict(about))
    onnx.save(model, str(path))


def _forget_shapes(graph: Any) -> None:
    """Remove the shapes of what lies between: those in loops were those of the first round."""
    del graph.value_info[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _forget_shapes(attribute.g)
                for value in (*attribute.g.input[2:], *attribute.g.output[1:]):
                    value.type.tensor_type.ClearField("shape")


class OnnxRunner:
    """Runs an ONNX file by ONNX Runtime.

    Arguments:
        path: The file.
        threads: How many threads an operator takes.

    Raises:
        PackageError: ONNX Runtime is not installed.
    """

    def __init__(self, path: Path | str, threads: int = 1) -> None:
        runtime = optional_package("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = runtime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.names = tuple(given.name for given in self._session.get_inputs())

    def __call__(self, *tensors: Tensor) -> Float[Tensor, "showers cells"]:
        """The output for inputs in the order of the file."""
        feeds = {
            name: tensor.contiguous().numpy()
            for name, tensor in zip(self.names, tensors, strict=True)
        }
        return torch.from_numpy(self._session.run(None, feeds)[0])
