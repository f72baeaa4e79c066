"""What a run is: its origin, which the file tells, and its job, by which an interrupted run is
known again.
"""

__all__ = ["attributes_of", "job_of"]

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from caloforge.chain import Chain, describe, model_of
from caloforge.documents import json_tree
from caloforge.errors import FileFormatError, GeometryMismatchError, ModelError
from caloforge.io import CaloChallengeFile, ShowerFile
from caloforge.io.chosen import Chosen
from caloforge.simulators import Geant4, GFlash, Refiner, Simulator

Maker = Simulator | Refiner

CHAIN = "chain"
"""The attribute of a file that describes the chain by which its showers were made."""

_REFINERS = "refiners"


def attributes_of(source: Any, maker: Maker | None, seed: int) -> dict[str, str]:
    """What a file of these showers says of its origin.

    Arguments:
        source: What the showers are made from.
        maker: What makes them; None where they are copied.
        seed: The seed of the run.
    """
    before = _chain_of(source)
    if maker is None:
        return source.provenance if isinstance(source, ShowerFile) else {}
    try:
        described = describe(maker)
    except (ModelError, GeometryMismatchError):
        return {**_said(maker), "seed": str(seed)}
    return {
        **_said(maker),
        "seed": str(seed),
        CHAIN: json.dumps(_behind(before, described, maker)),
    }


def job_of(source: Any, maker: Maker | None, seed: int) -> dict[str, Any]:
    """What is made, as plain values: two runs of one job make the same file.

    Arguments:
        source: What the showers are made from.
        maker: What makes them; None where they are copied.
        seed: The seed of the run.
    """
    device = getattr(source, "device", "cpu")
    return {
        "model": None if maker is None else _identity(maker),
        "input" if maker is None or isinstance(maker, Refiner) else "particles": _source(source),
        "number of showers": len(source),
        "seed": seed,
        "device": torch.device(device).type,
        "version": version("caloforge"),
    }


def _said(maker: Maker) -> dict[str, str]:
    if isinstance(maker, Chain):
        return {name: value for part in maker.members for name, value in _said(part).items()}
    if isinstance(maker, GFlash):
        return {"generator": "caloforge GFlash", "response": f"{float(maker.response):g}"}
    if isinstance(maker, Geant4):
        return {**maker.provenance, "description": json.dumps(maker.detector.describe())}
    model = model_of(maker)
    if model is not None:
        return {"model": model.card.name, "model_sha256": model.card.sha256}
    return {"generator": type(maker).__name__}


def _chain_of(source: Any) -> Mapping[str, Any] | None:
    """The chain by which the showers of a file were made, where the file says it."""
    file = getattr(source, "source", source)
    written = file.attributes.get(CHAIN) if isinstance(file, CaloChallengeFile) else None
    if written is None:
        return None
    with suppress(FileFormatError):
        found = json_tree(written, CHAIN, FileFormatError)
        return found if isinstance(found.get(_REFINERS, []), list) else None
    return None


def _behind(
    before: Mapping[str, Any] | None, described: Mapping[str, Any], maker: Maker
) -> Mapping[str, Any]:
    """The chain that ends with this."""
    if isinstance(maker, Chain):
        return described
    if isinstance(maker, Simulator):
        return {"simulator": described, _REFINERS: []}
    start = before or {"simulator": None}
    return {**start, _REFINERS: [*start.get(_REFINERS, []), described]}


def _identity(maker: Maker) -> Any:
    try:
        return describe(maker)
    except (ModelError, GeometryMismatchError):
        return _digest(maker)


def _source(source: Any) -> Any:
    file = getattr(source, "source", source)
    if isinstance(file, ShowerFile):
        state, *others = (path.stat() for path in file.paths)
        said: dict[str, Any] = {}
        if others:
            said["others"] = [[one.st_size, one.st_mtime_ns] for one in others]
        if isinstance(file, Chosen):
            said[file.NAME] = file.report
        return {"size": state.st_size, "changed": state.st_mtime_ns, **said}
    return _digest(file)


def _digest(thing: Any) -> str:
    digest = hashlib.sha256()
    _feed(digest.update, thing)
    return digest.hexdigest()


def _feed(update: Any, thing: Any) -> None:
    """Every number of a value, whatever it is made of."""
    if isinstance(thing, Tensor):
        update(thing.detach().cpu().contiguous().numpy().tobytes())
    elif isinstance(thing, nn.Module):
        for tensor in thing.state_dict().values():
            _feed(update, tensor)
    elif is_dataclass(thing):
        update(type(thing).__name__.encode())
        for field in fields(thing):
            _feed(update, getattr(thing, field.name))
    else:
        update(repr(thing).encode())
