"""A trained model: what it is, what it was made from, and its numbers on disk.

A model on disk is a directory: ``card.json`` says what it is and how it came to be,
``weights.safetensors`` holds the numbers. Nothing is unpickled.
"""

__all__ = ["Card", "Course", "Model"]

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from caloforge.errors import EnergyRangeError, EnergyRangeWarning, ModelError
from caloforge.geometry import Calorimeter
from caloforge.io import NewFile
from caloforge.io.input import checksum
from caloforge.learn.training import Phase
from caloforge.particles import ELECTRON
from caloforge.units import format_energy

_CARD = "card.json"
_WEIGHTS = "weights.safetensors"


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
        pdg: The species of the particles, as PDG number; None where it is not known.
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
    pdg: int | None = ELECTRON

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
            msg = (
                f"{directory}: no model here ({_CARD} is missing); expected a directory made by "
                "'caloforge train'"
            )
            raise ModelError(msg) from error
        except (ValueError, TypeError, KeyError) as error:
            names = ", ".join(f.name for f in fields(Card))
            msg = f"{path}: not a model card ({error}); expected JSON with {names}"
            raise ModelError(msg) from error


class Model(nn.Module):
    """What a refiner and a surrogate have in common: a card, a calorimeter, a range of energies,
    and files.

    Arguments:
        card: What the model is.
    """

    def __init__(self, card: Card) -> None:
        super().__init__()
        self.card = card
        self.calorimeter = Calorimeter.from_description(dict(card.calorimeter))
        self.energy_range = card.energy_range

    def _check_energies(self, energies: Tensor, *, strict: bool) -> None:
        low, high = self.energy_range
        outside = (energies < low) | (energies > high)
        if not outside.any():
            return
        first = int(outside.nonzero()[0, 0])
        msg = (
            f"{int(outside.sum())} of {len(energies)} incident energies lie outside the range of "
            f"model '{self.card.name}', "
            f"{format_energy(low)} to {format_energy(high)}; the first at index {first} "
            f"({format_energy(float(energies[first]))})"
        )
        if strict:
            raise EnergyRangeError(msg)
        warnings.warn(msg, EnergyRangeWarning, stacklevel=3)

    def save(self, directory: Path) -> Card:
        """Write card and weights; the card goes last, so that a directory with a card is complete.

        Matrices of weights are stored in half precision, all other numbers, statistics and those of
        solvers included, in full: what `caloforge.systems.load` gives is the model.

        Returns:
            The card, with the checksum of the weights.
        """
        weights = {name for name, parameter in self.named_parameters() if parameter.ndim > 1}
        with NewFile(directory / _WEIGHTS, overwrite=True) as partial:
            save_file(
                {k: _stored(v, halve=k in weights) for k, v in self.state_dict().items()}, partial
            )
            partial.chmod(0o644)
            self.card = replace(self.card, sha256=checksum(partial))
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
            if checksum(path) != self.card.sha256:
                msg = (
                    f"{path}: its checksum is not the one of the card: the file is damaged or of "
                    "another model"
                )
                raise ModelError(msg)
            self.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            msg = (
                f"{path}: not the weights of model '{self.card.name}' "
                f"({str(error).splitlines()[0]})"
            )
            raise ModelError(msg) from error


@dataclass(frozen=True)
class Course:
    """A model and the phases that train it.

    Arguments:
        model: The model, new.
        phases: The phases, in order.
        networks: Every network that they train or use, by name: what a checkpoint holds.
        checkpoint_every: Steps between checkpoints.
        last: What is left to do when all is trained.
    """

    model: Model
    phases: Sequence[Phase]
    networks: Mapping[str, nn.Module]
    checkpoint_every: int = 500
    last: Callable[[], None] = lambda: None


def _stored(tensor: Tensor, *, halve: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if halve else tensor
