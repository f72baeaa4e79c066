"""A trained model: its card, its calorimeter, its numbers on disk, and how it is trained.

A model on disk is a directory: ``card.json`` says what it is and how it came to be,
``weights.safetensors`` holds the numbers. Nothing is unpickled.
"""

__all__ = ["Model", "Plan"]

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from caloforge.errors import (
    CaloforgeError,
    EnergyRangeError,
    EnergyRangeWarning,
    ModelError,
    NotFiniteError,
    words_of,
)
from caloforge.geometry import Calorimeter
from caloforge.io import NewFile
from caloforge.io.input import checksum
from caloforge.learn.training import Objective, Pause, isolated
from caloforge.models.card import Card
from caloforge.models.room import Room, memory
from caloforge.models.training_data import FullShowers, TrainingShowers
from caloforge.particles import Particles
from caloforge.paths import require_file
from caloforge.shown import Shown
from caloforge.simulators.protocols import Validity
from caloforge.units import format_energy

_WEIGHTS = "weights.safetensors"

_BYTES_IN_TRAINING = 16
"""Of a number in single precision, its gradient and two moments."""

_SPARE = 10_000_000
"""Numbers that a model may make beside those of its weights, such as maps of its cells."""

_MISFIT = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RuntimeError, TypeError, ValueError),
)
"""What Python and torch raise where the sizes of a card fit no network."""

_FAR = 100
"""Farther than this factor outside its range a model makes no showers: some would be empty."""

Kind = TypeVar("Kind", bound="Model")


class Model(Shown, nn.Module, ABC):
    """What bridges and surrogates have in common: a card, a calorimeter, a range of energies, a
    plan of training, and files.

    Arguments:
        card: What the model is.
    """

    learns_from: ClassVar[type[FullShowers] | type[TrainingShowers]]
    """The kind of training showers."""

    def __init__(self, card: Card) -> None:
        super().__init__()
        self.card = card
        self.calorimeter = Calorimeter.from_description(dict(card.calorimeter))
        self.energy_range = card.energy_range
        self.directory: Path | None = None
        """Where it was loaded from."""

    def facts(self) -> dict[str, str]:
        """What a prompt and a notebook show."""
        parameters = sum(values.numel() for values in self.parameters())
        return {
            "name": self.card.name,
            "calorimeter": self.calorimeter.name,
            "incident energies": " to ".join(map(format_energy, self.energy_range)),
            "parameters": f"{parameters:,} parameters",
        }

    @property
    def remark(self) -> str:
        """What a training found that its user should know; empty for nothing."""
        return ""

    @classmethod
    def new(cls: type[Kind], card: Card, seed: int) -> Kind:
        """A model of random weights, to be trained; torch's own generator stays as it is.

        Arguments:
            card: What the model is to be.
            seed: The seed of the weights.

        Raises:
            ModelError: It has no room in memory with its gradients and their moments.
        """
        refusal = (
            f"model '{card.name}': its networks, their gradients and moments have no room in "
            f"{memory() / 1e9:.3g} GB of memory: make them smaller"
        )
        with isolated(seed=seed), Room(memory() // _BYTES_IN_TRAINING, refusal):
            return cls(card)

    @classmethod
    def read(cls: type[Kind], card: Card, directory: Path) -> Kind:
        """The model of a directory.

        Arguments:
            card: Its card.
            directory: Where it is.

        Raises:
            ModelError: The card describes no model, or the weights are missing, damaged, or of
                another.
        """
        path = directory / _WEIGHTS
        require_file(path, ModelError)
        refusal = f"{_WEIGHTS} is too small for the networks of the card: it is of another model"
        try:
            with isolated(seed=0), Room(_SPARE + path.stat().st_size, refusal):
                model = cls(card)
        except CaloforgeError as error:
            msg = f"{directory}: {error}"
            raise ModelError(msg) from error
        except _MISFIT as error:
            said = f"{type(error).__name__}: {words_of(error)}"
            msg = f"{directory}: no model can be made of its card ({said}): train it again"
            raise ModelError(msg) from error
        model.load_weights(directory)
        model.directory = directory
        return model.eval()

    @classmethod
    def require_data(cls, recipe: Any, data: Any) -> None:
        """Check that showers can teach what a recipe asks for.

        Arguments:
            recipe: The settings, of the type that the model is registered with.
            data: The training showers, of the kind that it learns from.

        Raises:
            TrainingError: They cannot.
        """
        del recipe
        data.check()

    @classmethod
    @abstractmethod
    def plan(cls, recipe: Any, card: Card, data: Any) -> "Plan":
        """A new model, its representations fitted, and how it is trained.

        Arguments:
            recipe: The settings, of the type that the model is registered with.
            card: What the model is to be.
            data: The training showers, of the kind that it learns from.
        """

    @property
    def validity(self) -> Validity:
        """The energies, species, angles and places of the training showers."""
        card = self.card
        return Validity(*self.energy_range, card.species, card.largest_angle, card.largest_offset)

    def require(self, particles: Particles, first_index: int, *, strict: bool) -> None:
        """Check that the model was made for particles; see `validity`.

        Arguments:
            particles: The particles.
            first_index: The number, in the run, of the first of them.
            strict: Raise, instead of warn, for energies outside the range.

        Raises:
            ShowerValueError: One is of another species, at an angle, or off centre.
            EnergyRangeError: An energy is outside the range, and ``strict``, or so far outside
                that the model knows nothing of it: more than a factor of a hundred.
        """
        self.validity.require(particles, f"model '{self.card.name}'", first_index=first_index)
        self._check_energies(particles.energies, first_index, strict=strict)

    def _check_energies(self, energies: Tensor, first_index: int, *, strict: bool) -> None:
        outside = self.validity.outside(energies)
        if outside is None:
            return
        (number, first), (low, high) = outside, self.energy_range
        msg = (
            f"{number} of {len(energies)} incident energies lie outside the range of "
            f"model '{self.card.name}', "
            f"{format_energy(low)} to {format_energy(high)}; the first that of shower "
            f"{first_index + first} "
            f"({format_energy(float(energies[first]))})"
        )
        if strict:
            raise EnergyRangeError(msg)
        far = (energies * _FAR < low) | (energies > high * _FAR)
        if far.any():
            where = int(far.nonzero()[0, 0])
            msg = (
                f"{int(far.sum())} of {len(energies)} incident energies lie more than {_FAR} times "
                f"below or above the range of model '{self.card.name}', {format_energy(low)} to "
                f"{format_energy(high)}; the first that of shower {first_index + where} "
                f"({format_energy(float(energies[where]))}): are they in MeV?"
            )
            raise EnergyRangeError(msg)
        warnings.warn(msg, EnergyRangeWarning, stacklevel=4)

    def finite(
        self, deposits: Float[Tensor, "showers cells"], first_index: int
    ) -> Float[Tensor, "showers cells"]:
        """Deposits that the model made, which are numbers.

        Arguments:
            deposits: The deposits, in MeV.
            first_index: The number, in the run, of the first shower.

        Raises:
            NotFiniteError: One is not.
        """
        bad = ~deposits.isfinite().all(1)
        if bad.any():
            msg = (
                f"model '{self.card.name}' made {int(bad.sum())} of {len(bad)} showers with "
                "deposits that are not finite, the first of them shower "
                f"{first_index + int(bad.int().argmax())}: its weights are not those of its "
                "training: train it again"
            )
            raise NotFiniteError(msg)
        return deposits

    def save(self, directory: Path) -> Card:
        """Write card and weights; the card goes last, so that a directory with a card is complete.

        Matrices of weights are stored in half precision, all other numbers, statistics and those of
        solvers included, in full: what `caloforge.models.load` gives is the model. In the bundled
        models rounding moves less than a thousandth of a shower's energy between cells, and changes
        its sum by less than 1e-4 (``benchmarks/half_precision.py``).

        Returns:
            The card, with the checksum of the weights.
        """
        weights = {name for name, parameter in self.named_parameters() if parameter.ndim > 1}
        self._require_finite(self.state_dict(), f"model '{self.card.name}' is not saved")
        with NewFile(directory / _WEIGHTS, overwrite=True) as partial:
            save_file(
                {k: _stored(v, halve=k in weights) for k, v in self.state_dict().items()}, partial
            )
            self.card = replace(self.card, sha256=checksum(partial))
        self.card.write(directory)
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
            tensors = load_file(path)
            self._require_finite(tensors, str(path))
            self._require_types(tensors, path)
            self.load_state_dict(tensors)
        except (OSError, SafetensorError, RuntimeError) as error:
            msg = (
                f"{path}: not the weights of model '{self.card.name}' ({words_of(error)}): train "
                "it again"
            )
            raise ModelError(msg) from error

    def _require_types(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Numbers stay numbers of their kind: only floating-point ones are stored in half."""
        for name, own in self.state_dict().items():
            stored = tensors[name].dtype if name in tensors else own.dtype
            halved = own.dtype == torch.float32 and stored == torch.float16
            if stored != own.dtype and not halved:
                msg = f"{path}: tensor '{name}' is {stored}, expected {own.dtype}: train it again"
                raise ModelError(msg)

    def _require_finite(self, tensors: Mapping[str, Tensor], what: str) -> None:
        """Weights are finite; in tables an infinity may stand for a value that never occurs."""
        weights = {name for name, _ in self.named_parameters()}
        for name, tensor in tensors.items():
            bad = ~tensor.isfinite() if name in weights else tensor.isnan()
            if bad.any():
                msg = (
                    f"{what}: {int(bad.sum())} of {bad.numel()} numbers of tensor '{name}' are not "
                    "finite: train on more showers, or with a lower learning rate"
                )
                raise ModelError(msg)


@dataclass(frozen=True)
class Plan:
    """A model and the objectives that train it.

    Arguments:
        model: The model, new.
        objectives: The objectives, in order.
        networks: Every network that they train or use, by name: what a checkpoint holds.
        checkpoint_every: Steps between checkpoints.
        finish: What is left to do when all is trained; it calls its argument now and then, which
            raises where the training shall pause.
    """

    model: Model
    objectives: Sequence[Objective]
    networks: Mapping[str, nn.Module]
    checkpoint_every: int = 500
    finish: Callable[[Pause], None] = lambda _: None


def _stored(tensor: Tensor, *, halve: bool) -> Tensor:
    """The tensor as it is stored: in half precision, unless that has no such numbers."""
    tensor = tensor.detach().cpu().contiguous()
    fits = halve and bool((tensor.abs() <= torch.finfo(torch.float16).max).all())
    return tensor.half() if fits else tensor
