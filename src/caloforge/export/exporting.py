"""Write a model for a host, proved equal to the model before it takes its place.

A *target* is what a host takes: which graph it asks, in which format, and the texts beside it. A
new host is one entry of `TARGETS`.
"""

__all__ = [
    "TARGETS",
    "Exported",
    "Format",
    "Target",
    "compared",
    "export",
    "target_of",
    "write_inputs",
]

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from caloforge import zoo
from caloforge.errors import ExportError, near
from caloforge.export.graphs import Graph, graph_of
from caloforge.export.hosts import FastCaloSimGraph, Par04Graph, par04_macro
from caloforge.export.parity import Parity, parity
from caloforge.export.tracing import OnnxRunner, traced, write_onnx
from caloforge.export.triton import triton_config
from caloforge.hits import dense
from caloforge.io import NewFile
from caloforge.models import Bridge, Model
from caloforge.particles import Particles
from caloforge.paths import require_folder, require_writable
from caloforge.showers import Showers

_TRACED = 16
"""Showers with which a graph is traced."""

_FAST = "pbwo4-gflash"
"""Bundled fast showers, on which a refiner is compared."""


class Format(Enum):
    """How a graph is written; the value is the suffix."""

    ONNX = ".onnx"
    TORCHSCRIPT = ".pt"


def _nothing(graph: Graph) -> Mapping[str, str]:
    del graph
    return {}


@dataclass(frozen=True)
class Target:
    """What a host takes.

    Arguments:
        summary: What it is, in a line.
        format: How the graph is written.
        graph: The graph that the host asks, of a model.
        name: The file of the graph within a folder; empty where the file is all there is.
        texts: Further files of the folder, by name.
    """

    summary: str
    format: Format = Format.ONNX
    graph: Callable[[Model], Graph] = graph_of
    name: str = ""
    texts: Callable[[Graph], Mapping[str, str]] = _nothing


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Arguments:
        files: The files, that of the graph first.
        graph: What it computes, in torch.
        parity: How far its showers are from the model's.
    """

    files: tuple[Path, ...]
    graph: Graph
    parity: Parity


TARGETS: Mapping[str, Target] = {
    "onnx": Target("the graph for ONNX Runtime, with noise as inputs"),
    "torchscript": Target("the graph for libtorch, with noise as inputs", Format.TORCHSCRIPT),
    "triton": Target(
        "a model of a repository of the Triton server, as in CMSSW's SONIC",
        name="1/model.onnx",
        texts=lambda graph: {"config.pbtxt": triton_config(graph)},
    ),
    "par04": Target(
        "Geant4's example Par04: one vector, and a macro",
        graph=Par04Graph,
        name="model.onnx",
        texts=lambda graph: {"par04.mac": par04_macro(graph)},
    ),
    "fastcalosim": Target("FastCaloSim, by its names of inputs", graph=FastCaloSimGraph),
}
"""The targets by name."""


def export(
    model: Model,
    target: str,
    path: Path | str,
    *,
    source: Particles | Showers | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Exported:
    """Write a model for a host, whole or not at all.

    Arguments:
        model: The model.
        target: A name of `TARGETS`.
        path: The file, or for a target of several files the folder.
        source: Particles for a surrogate, showers for a refiner, on which both are compared; None
            for a hundred.
        seed: The seed of their random numbers.
        overwrite: Whether the files may take the place of others.

    Raises:
        ExportError: There is no such target, the model does not fit it, or the exported showers are
            not the model's.
        ModelError: The model cannot be exported at all.
        OutputError: The files cannot be written there.
        PackageError: The packages of the extra ``onnx`` are not installed.
    """
    path, chosen = Path(path), target_of(target)
    _require(path, target, chosen, overwrite=overwrite)
    graph = chosen.graph(model)
    inputs = graph.examples(compared(model) if source is None else source, seed)
    with TemporaryDirectory(prefix="caloforge-export-") as folder:
        made = Path(folder) / f"graph{chosen.format.value}"
        found = parity(graph, _written(graph, inputs, made, chosen.format), inputs)
        found.require(f"model '{model.card.name}' for {target}")
        files = _placed(made, path, chosen.name, chosen.texts(graph), overwrite=overwrite)
    return Exported(files, graph, found)


def target_of(name: str) -> Target:
    """The target of a name.

    Raises:
        ExportError: There is none.
    """
    if name not in TARGETS:
        msg = f"no target '{name}': choose {', '.join(TARGETS)}{near(name, TARGETS)}"
        raise ExportError(msg)
    return TARGETS[name]


def _require(path: Path, name: str, target: Target, *, overwrite: bool) -> None:
    """Check, before anything is traced, that the output can be written."""
    if target.name:
        require_folder(path)
        if (path / target.name).exists():
            require_writable(path / target.name, overwrite=overwrite)
        return
    if path.suffix != target.format.value:
        msg = f"{path}: a file for {name} ends with {target.format.value}: call it so"
        raise ExportError(msg)
    require_writable(path, overwrite=overwrite)


def compared(model: Model, number: int = 100) -> Particles | Showers:
    """What a model is compared on where nobody says it: particles over its range of energies, or
    bundled fast showers for a refiner.

    Arguments:
        model: The model.
        number: How many.

    Raises:
        ExportError: A refiner is of another calorimeter than the bundled fast showers.
    """
    if not isinstance(model, Bridge):
        low, high = model.energy_range
        energies = torch.logspace(math.log10(low), math.log10(high), number)
        return Particles(energies.clamp(low, high), model.card.one_species)
    showers = zoo.bundled_showers(_FAST)
    if showers.calorimeter.describe() != model.calorimeter.describe():
        msg = (
            f"model '{model.card.name}' refines showers of another calorimeter than the bundled "
            "ones: give fast showers on which both are compared (--like FAST.h5)"
        )
        raise ExportError(msg)
    return dense(showers[:number])


def _written(
    graph: Graph, inputs: Sequence[Tensor], path: Path, form: Format
) -> Callable[..., Tensor]:
    """Write the graph to a path; what runs it."""
    examples = [tensor[:_TRACED] for tensor in inputs]
    script = traced(graph, examples)
    if form is Format.TORCHSCRIPT:
        script.save(str(path), _extra_files={"caloforge.json": json.dumps(_about(graph))})
        loaded: torch.jit.ScriptModule = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
        return loaded
    write_onnx(script, graph, examples, path, _about(graph))
    return OnnxRunner(path)


def _about(graph: Graph) -> dict[str, str]:
    ports = {f"input {port.name}": port.meaning for port in graph.inputs}
    return {
        "model": graph.card.name,
        "model_sha256": graph.card.sha256,
        "made_by": f"caloforge {version('caloforge')}",
        **ports,
        f"output {graph.output}": graph.meaning,
    }


def _placed(
    made: Path, path: Path, name: str, texts: Mapping[str, str], *, overwrite: bool
) -> tuple[Path, ...]:
    """Put the graph, then its texts, where they shall be."""
    files = [path / name if name else path]
    contents = [made.read_bytes()]
    for other, text in texts.items():
        files.append(path / other)
        contents.append(text.encode())
    for file, content in zip(files, contents, strict=True):
        if name:
            file.parent.mkdir(parents=True, exist_ok=True)
        with NewFile(file, overwrite=overwrite) as partial:
            partial.write_bytes(content)
    return tuple(files)


def write_inputs(
    exported: Exported,
    source: Particles | Showers,
    folder: Path | str,
    *,
    seed: int = 0,
    overwrite: bool = False,
) -> list[Path]:
    """Write inputs of an exported graph and the showers that torch makes of them, as raw numbers.

    Each file holds the numbers of one input, little-endian and in the order of the showers:
    ``NAME.f32``, ``NAME.f64`` or ``NAME.i64``. A host that reads them must make the same showers.

    Arguments:
        exported: What was exported.
        source: The particles or the showers.
        folder: Where to; it is made where it is missing.
        seed: The seed of their random numbers.
        overwrite: Whether the files may take the place of others.

    Raises:
        OutputError: They cannot be written there.
    """
    graph, folder = exported.graph, Path(folder)
    require_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    inputs = graph.examples(source, seed)
    with torch.no_grad():
        tensors = {port.name: one for port, one in zip(graph.inputs, inputs, strict=True)}
        tensors[f"{graph.output}.expected"] = graph(*inputs)
    files = []
    for name, tensor in tensors.items():
        array = tensor.contiguous().numpy()
        files.append(folder / f"{name}.{array.dtype.kind}{8 * array.dtype.itemsize}")
        with NewFile(files[-1], overwrite=overwrite) as partial:
            partial.write_bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return files
