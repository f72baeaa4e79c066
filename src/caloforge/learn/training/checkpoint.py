"""Checkpoints of a training: tensors in safetensors, which cannot execute code, and what is no
tensor as JSON in the file's metadata. A file appears whole or not at all.
"""

__all__ = ["CHECKPOINT", "HISTORY", "Checkpoint", "Row", "read_history", "under", "write_history"]

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from caloforge.errors import TrainingError
from caloforge.io import NewFile
from caloforge.paths import require_file

CHECKPOINT = "checkpoint.safetensors"
HISTORY = "history.csv"

Row = tuple[str, int, float, float]
"""A line of the history: the objective, and the player where there are several; the step; the mean
loss since the line before; the validation loss.
"""

_FORMAT = "caloforge training 2"
_COLUMNS = ("phase", "step", "loss", "validation")


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training.

    Arguments:
        tensors: States of networks, optimisers and averages, by name.
        state: The rest, of JSON's types.
    """

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Write it, in place of one that is there."""
        tensors = {k: v.detach().clone().contiguous() for k, v in self.tensors.items()}
        metadata = {"format": _FORMAT, "state": json.dumps(self.state)}
        with NewFile(path, overwrite=True) as partial:
            save_file(tensors, partial, metadata)

    @staticmethod
    def read(path: Path) -> "Checkpoint":
        """Read one.

        Raises:
            SafetensorError: The file is damaged.
            TrainingError: An earlier version wrote it, or it is no file.
        """
        require_file(path, TrainingError)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                msg = (
                    f"{path}: a checkpoint of an earlier version of caloforge: finish the training "
                    "with that version, or begin again in another directory"
                )
                raise TrainingError(msg)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return Checkpoint(tensors, json.loads(metadata["state"]))


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write the history as CSV."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([_COLUMNS, *rows])


def read_history(path: Path) -> list[Row]:
    """Read a history."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [
        (name, int(step), float(loss), float(validation)) for name, step, loss, validation in rows
    ]
