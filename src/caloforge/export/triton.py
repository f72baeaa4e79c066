"""The configuration of a model of NVIDIA's Triton server, in its text form.

A repository holds a folder a model: ``config.pbtxt``, and a folder a version with ``model.onnx``.
The server puts showers of several clients into one batch; the first dimension of all tensors is
not named. Scalars are sent as one number and reshaped to none.
"""

__all__ = ["triton_config"]

from collections.abc import Sequence

import torch

from caloforge.export.graphs import Graph, Port

_TYPES = {torch.float32: "TYPE_FP32", torch.float64: "TYPE_FP64", torch.int64: "TYPE_INT64"}
_LARGEST_BATCH, _PATIENCE = 100, 1000
"""Showers of a batch at most, and microseconds to wait for more of them."""


def triton_config(graph: Graph) -> str:
    """The text of ``config.pbtxt``.

    Arguments:
        graph: The graph.
    """
    inputs = ",\n".join(_tensor(port) for port in graph.inputs)
    output = _entry(graph.output, "TYPE_FP32", graph.model.calorimeter.n_cells)
    return (
        f'name: "{graph.card.name}"\n'
        'platform: "onnxruntime_onnx"\n'
        f"max_batch_size: {_LARGEST_BATCH}\n"
        f"input [\n{inputs}\n]\n"
        f"output [\n{output}\n]\n"
        f"dynamic_batching {{ max_queue_delay_microseconds: {_PATIENCE} }}\n"
        "instance_group [ { kind: KIND_CPU } ]\n"
    )


def _tensor(port: Port) -> str:
    return _entry(port.name, _TYPES[port.dtype], *port.shape)


def _entry(name: str, kind: str, *shape: int) -> str:
    dims = _list(shape or (1,))
    reshaped = "" if shape else ", reshape: { shape: [ ] }"
    return f'  {{ name: "{name}", data_type: {kind}, dims: {dims}{reshaped} }}'


def _list(shape: Sequence[int]) -> str:
    return f"[ {', '.join(map(str, shape))} ]"
