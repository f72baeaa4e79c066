"""Showers of several species, each species by a representation of its own."""

__all__ = ["BySpecies"]

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Noise, Numbers
from caloforge.learn.representations.representation import NO_NOISE, Representation

_PADDING = 16
"""Matrix kernels give the same bits a row for any multiple of so many rows."""


class BySpecies(Representation[Tensor]):
    """A representation for each species, of as many numbers each.

    Arguments:
        species: Their PDG numbers.
        new: Makes a representation.
    """

    def __init__(self, species: Sequence[int], new: Callable[[], Representation[Tensor]]) -> None:
        super().__init__()
        self.species = tuple(species)
        self.parts = nn.ModuleList([new() for _ in species])

    def noise(self) -> Mapping[str, Noise]:
        """That of one species."""
        return self._part(0).noise()

    def _part(self, number: int) -> Representation[Tensor]:
        return cast("Representation[Tensor]", self.parts[number])

    def _rows(self, condition: Condition) -> Iterator[tuple[int, Int64[Tensor, " rows"]]]:
        """The number of each species that there is, and the rows of its showers."""
        pdg = torch.as_tensor(condition.particles.pdg, device=condition.incident_energies.device)
        for number, species in enumerate(self.species):
            rows = (pdg.expand(len(condition)) == species).nonzero()[:, 0]
            if len(rows):
                yield number, rows

    def fit(self, x: Tensor, condition: Condition) -> "BySpecies":
        """Each species from its own showers."""
        for number, rows in self._rows(condition):
            self._part(number).fit(x[rows], condition[rows])
        return self

    def encode(self, x: Tensor, condition: Condition, noise: Numbers = NO_NOISE) -> Tensor:
        """See `Representation.encode`."""
        return self._each(lambda part, *given: part.encode(*given), x, condition, noise)

    def decode(
        self, z: Float[Tensor, "showers ..."], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Tensor:
        """See `Representation.decode`."""
        return self._each(lambda part, *given: part.decode(*given), z, condition, noise)

    def _each(
        self,
        do: Callable[..., Tensor],
        values: Tensor,
        condition: Condition,
        noise: Numbers,
    ) -> Tensor:
        made: Tensor | None = None
        for number, rows in self._rows(condition):
            padded = torch.cat([rows, rows[-1:].expand(-len(rows) % _PADDING)])
            own = {name: numbers[padded] for name, numbers in noise.items()}
            part = do(self._part(number), values[padded], condition[padded], own)[: len(rows)]
            made = part.new_empty(len(condition), *part.shape[1:]) if made is None else made
            made[rows] = part
        return values.new_empty(0) if made is None else made
