"""Export: models for hosts that have no Python, each proved to make the model's showers.

`export` writes a model for one of `TARGETS`; `graph_of` is the function that it writes.
"""

__all__ = [
    "TARGETS",
    "Exported",
    "Format",
    "Graph",
    "OnnxRunner",
    "Parity",
    "Port",
    "Target",
    "compared",
    "export",
    "graph_of",
    "parity",
    "target_of",
    "write_inputs",
]

from caloforge.export.exporting import (
    TARGETS,
    Exported,
    Format,
    Target,
    compared,
    export,
    target_of,
    write_inputs,
)
from caloforge.export.graphs import Graph, Port, graph_of
from caloforge.export.parity import Parity, parity
from caloforge.export.tracing import OnnxRunner
