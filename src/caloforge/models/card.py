"""The card of a model: what it is and how it came to be."""

__all__ = ["Card", "InCard"]

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from caloforge.detector import Detector, Matter
from caloforge.documents import checked, read_json
from caloforge.errors import MOST_QUOTED, ModelError
from caloforge.io import NewFile
from caloforge.particles import ELECTRON

_CARD = "card.json"


def _a_range(energies: tuple[float, float]) -> tuple[float, float]:
    low, high = energies
    if not 0 < low <= high:
        msg = f"expected two energies in MeV, the lowest first, found {low:g} and {high:g}"
        raise ValueError(msg)
    return energies


@dataclass(frozen=True)
class InCard:
    """A detector of a model of several.

    Arguments:
        calorimeter: The description of its calorimeter.
        matter: The numbers of its matter.
    """

    calorimeter: Mapping[str, Any]
    matter: Matter

    @staticmethod
    def of(detector: Detector) -> "InCard":
        """What a card says of a detector."""
        return InCard(detector.calorimeter.describe(), Matter.of(detector))


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
        pdg: The species of the particles, as PDG number, or numbers; None where it is not known.
        largest_angle: Their largest polar angle to the axis, in radians.
        largest_offset: The largest distance of their places from the centre, in mm.
        start: The model that the training started from, with the start of the checksum of its
            weights, and what of it was trained; empty for random weights.
        kept: Which weights the training kept, in words; empty where it is not known.
        detectors: The detectors, by name, of a model of several: the description of the
            ``calorimeter`` and the numbers of the ``matter`` of each.
    """

    name: Annotated[str, Field(max_length=MOST_QUOTED)]
    system: str
    summary: str
    recipe: Mapping[str, Any]
    calorimeter: Mapping[str, Any]
    energy_range: Annotated[tuple[float, float], AfterValidator(_a_range)]
    data: str
    licence: str
    version: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    pdg: int | tuple[int, ...] | None = ELECTRON
    largest_angle: float = 0.0
    largest_offset: float = 0.0
    start: str = ""
    kept: str = ""
    detectors: Mapping[str, InCard] = field(default_factory=dict)

    @property
    def species(self) -> tuple[int, ...]:
        """The PDG numbers of the particles; empty where they are not known."""
        if self.pdg is None or isinstance(self.pdg, tuple):
            return self.pdg or ()
        return (self.pdg,)

    @property
    def one_species(self) -> int | None:
        """The PDG number that all particles have; None where it is not known or not one."""
        return self.species[0] if len(self.species) == 1 else None

    @staticmethod
    def read(directory: Path) -> "Card":
        """Read the card of a directory.

        Raises:
            ModelError: There is no card, or it is not one.
        """
        path = directory / _CARD
        if not path.exists():
            msg = (
                f"{directory}: no model here ({_CARD} is missing); expected a directory made by "
                "'caloforge train'"
            )
            raise ModelError(msg)
        what = f"{path}: not a model card"
        return checked(Card, read_json(path, what, ModelError), what, ModelError)

    def write(self, directory: Path) -> None:
        """Write it; a directory with a card is complete."""
        with NewFile(directory / _CARD, overwrite=True) as partial:
            partial.write_text(json.dumps(asdict(self), indent=2) + "\n")
