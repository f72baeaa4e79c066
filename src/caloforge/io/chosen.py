"""Some of the showers of a file, by their rows, as a file of their own."""

__all__ = ["Chosen"]

from abc import abstractmethod
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.io.input import ShowerFile
from caloforge.particles import Particles


class Chosen(ShowerFile):
    """The showers of a file in some rows.

    Arguments:
        file: The file.
    """

    NAME = "chosen"
    """The attribute of a copy that says what was done."""

    _rows: Int[Tensor, " kept"]

    def __init__(self, file: ShowerFile) -> None:
        super().__init__(file.path)
        self.file = file
        """The file as it is."""
        self._rows = torch.arange(0)

    @property
    @abstractmethod
    def report(self) -> str:
        """What was done, with its numbers."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of the files."""
        return self.file.paths

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""
        return self.file.calorimeter

    @property
    def particles(self) -> Particles:
        """The incident particles of the showers that are kept."""
        return self.file.particles[self._rows]

    @property
    def energies(self) -> Tensor:
        """Their incident energies, in MeV, with shape (N)."""
        return self.file.energies[self._rows]

    @property
    def weights(self) -> Tensor | None:
        """Their weights, with shape (N); None for once each."""
        weights = self.file.weights
        return None if weights is None else weights[self._rows]

    @property
    def provenance(self) -> dict[str, str]:
        """What the file says of itself, and what was done with it."""
        return {**self.file.provenance, self.NAME: self.report}

    @property
    def origin(self) -> dict[str, str]:
        """The file, its checksum, and what was done with it."""
        return {**self.file.origin, self.NAME: self.report}

    def __len__(self) -> int:
        return len(self._rows)

    def extra(self, index: slice) -> dict[str, Tensor]:
        """Further numbers, one a shower, in a slice, by name."""
        rows, chosen = self._span(self._rows[index])
        return {name: values[chosen] for name, values in self.file.extra(rows).items()}

    @staticmethod
    def _span(numbers: Int[Tensor, " kept"]) -> tuple[slice, Int[Tensor, " kept"]]:
        """The slice of the file that holds some rows, and where they are in it."""
        if len(numbers) == 0:
            return slice(0, 0), numbers
        first = int(numbers[0])
        return slice(first, int(numbers[-1]) + 1), numbers - first
