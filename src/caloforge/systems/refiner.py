"""A refiner makes better showers from showers.

A refiner on disk is a directory: ``card.json`` says what it is and how it came to be, ``weights.safetensors`` holds the
numbers. Nothing is unpickled.
"""

__all__ = ["Card", "Refiner"]

import hashlib
import json
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from caloforge.calorimeter import Calorimeter
from caloforge.errors import EnergyRangeError, EnergyRangeWarning, ModelError
from caloforge.io import NewFile
from caloforge.showers import Showers
from caloforge.units import format_energy

_CARD = "card.json"
_WEIGHTS = "weights.safetensors"
_PADDING = 16
_AT_A_TIME = 4096


@dataclass(frozen=True)
class Card:
    """What a model is and how it came to be.

    Arguments:
        name: The model's name.
        system: The system that it belongs to.
        summary: What it does, in a sentence.
        recipe: Every setting of its training.
        calorimeter: The description of the calorimeter.
        energy_range: The lowest and the highest incident energy of its training showers, in MeV.
        data: The showers that it was trained on, in words.
        metrics: What was measured of it on test showers, by name.
        licence: The licence of the weights.
        version: The version of caloforge that made it.
        sha256: The checksum of the file of weights.
    """

    name: str
    system: str
    summary: str
    recipe: Mapping[str, Any]
    calorimeter: Mapping[str, Any]
    energy_range: tuple[float, float]
    data: str
    licence: str
    version: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    @staticmethod
    def read(directory: Path) -> "Card":
        """Read the card of a directory.

        Raises:
            ModelError: There is no card, or it is not one.
        """
        path = directory / _CARD
        try:
            values = json.loads(path.read_text())
            values["energy_range"] = tuple(values["energy_range"])
            return Card(**values)
        except FileNotFoundError as error:
            msg = f"{directory}: no model here ({_CARD} is missing); expected a directory made by 'caloforge train'"
            raise ModelError(msg) from error
        except (ValueError, TypeError, KeyError) as error:
            names = ", ".join(f.name for f in fields(Card))
            msg = f"{path}: not a model card ({error}); expected JSON with {names}"
            raise ModelError(msg) from error


class Refiner(nn.Module, ABC):
    """Carries showers of one simulator to the law of another, and back.

    Arguments:
        card: What the model is.
    """

    default_steps: int

    def __init__(self, card: Card) -> None:
        super().__init__()
        self.card = card
        self.calorimeter = Calorimeter.from_description(dict(card.calorimeter))
        self.energy_range = card.energy_range

    @abstractmethod
    def _transport(self, showers: Showers, *, seed: int, index: Tensor, steps: int, reverse: bool) -> Tensor:
        """Refined deposits, in MeV, with shape (N, cells); ``index`` numbers the showers in their run."""

    def refine(
        self,
        showers: Showers,
        *,
        seed: int = 0,
        first_index: int = 0,
        steps: int | None = None,
        reverse: bool = False,
        strict: bool = False,
    ) -> Showers:
        """Refine showers; each depends on itself, the seed and its index alone, whatever the batch.

        Arguments:
            showers: Showers of the model's calorimeter.
            seed: The seed of the run.
            first_index: The number of the first shower in the run.
            steps: How many steps the process takes; None for the model's own.
            reverse: From full to fast simulation.
            strict: Raise, instead of warn, for energies outside the model's range.

        Returns:
            As many showers, of the same particles, on the device of the model.

        Raises:
            GeometryMismatchError: The showers are of another calorimeter.
            EnergyRangeError: An energy is outside the range, and ``strict``.
            ModelError: The number of steps is not one that the model can take.
            ShowerValueError: A shower has no energy.
        """
        self.calorimeter.require(showers.calorimeter, "a sample to refine")
        self._check_energies(showers.energies, strict=strict)
        steps = self._checked_steps(steps)
        starts = range(first_index, first_index + len(showers), _AT_A_TIME)
        parts = [
            self._refine_some(some, seed, start, steps, reverse=reverse)
            for start, some in zip(starts, showers.batches(_AT_A_TIME), strict=True)
        ]
        return replace(showers, deposits=torch.cat(parts) if parts else showers.deposits)

    def _refine_some(self, showers: Showers, seed: int, first_index: int, steps: int, *, reverse: bool) -> Tensor:
        padded = _pad(showers)
        index = torch.arange(first_index, first_index + len(padded), device=showers.energies.device)
        with torch.inference_mode():
            deposits = self._transport(padded, seed=seed, index=index, steps=steps, reverse=reverse)
        return deposits[: len(showers)].clone()

    def _checked_steps(self, steps: int | None) -> int:
        if steps is not None and steps < 1:
            msg = f"{steps} steps asked of model '{self.card.name}', expected at least 1 (its own are {self.default_steps})"
            raise ModelError(msg)
        return self.default_steps if steps is None else steps

    def _check_energies(self, energies: Tensor, *, strict: bool) -> None:
        low, high = self.energy_range
        outside = (energies < low) | (energies > high)
        if not outside.any():
            return
        first = int(outside.nonzero()[0, 0])
        msg = (
            f"{int(outside.sum())} of {len(energies)} incident energies lie outside the range of model '{self.card.name}', "
            f"{format_energy(low)} to {format_energy(high)}; the first at index {first} ({format_energy(float(energies[first]))})"
        )
        if strict:
            raise EnergyRangeError(msg)
        warnings.warn(msg, EnergyRangeWarning, stacklevel=3)

    def save(self, directory: Path) -> Card:
        """Write card and weights; the card goes last, so that a directory with a card is complete.

        Networks' weights are stored in half precision, statistics in full: what `caloforge.systems.load` gives is the model.

        Returns:
            The card, with the checksum of the weights.
        """
        weights = {name for name, _ in self.named_parameters()}
        with NewFile(directory / _WEIGHTS, overwrite=True) as partial:
            save_file({k: _stored(v, halve=k in weights) for k, v in self.state_dict().items()}, partial)
            partial.chmod(0o644)
            self.card = replace(self.card, sha256=_checksum(partial))
        with NewFile(directory / _CARD, overwrite=True) as partial:
            partial.write_text(json.dumps(asdict(self.card), indent=2) + "\n")
        return self.card

    def load_weights(self, directory: Path) -> None:
        """Read the weights of a directory.

        Raises:
            ModelError: The file is missing, damaged, or of another model.
        """
        path = directory / _WEIGHTS
        try:
            if _checksum(path) != self.card.sha256:
                msg = f"{path}: its checksum is not the one of the card: the file is damaged or of another model"
                raise ModelError(msg)
            self.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            msg = f"{path}: not the weights of model '{self.card.name}' ({str(error).splitlines()[0]})"
            raise ModelError(msg) from error


def _stored(tensor: Tensor, *, halve: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if halve else tensor


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pad(showers: Showers) -> Showers:
    """Repeat the last shower up to a multiple of 16: matrix kernels give the same bits a row then, whatever the batch."""
    missing = math.ceil(len(showers) / _PADDING) * _PADDING - len(showers)
    return showers if missing == 0 else Showers.cat([showers, *[showers[-1:]] * missing])
