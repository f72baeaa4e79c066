"""The random numbers of a part are drawn outside of it.

A representation or a stage says which it needs for a shower: normal or uniform ones, how many, and
at which address below the key of the shower (`caloforge.streams.offspring`). So it is a pure
function of tensors: given the same numbers it makes the same shower, wherever it runs.
"""

__all__ = ["Noise", "Numbers", "by_address", "by_generator"]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from caloforge import streams

Numbers = Mapping[str, Tensor]
"""Random numbers by name, each with shape (showers, ...)."""


@dataclass(frozen=True)
class Noise:
    """Random numbers of a shower.

    Arguments:
        kind: Standard normal numbers, in single precision, or uniform ones in ]0, 1[, in double.
        shape: The shape of those of a shower.
        branch: The numbers of the offspring that lead from the key of the shower to theirs.
        branches: Whether each entry along the first axis has a key of its own, an offspring of
            that.
    """

    kind: Literal["normal", "uniform"]
    shape: tuple[int, ...]
    branch: tuple[int, ...] = ()
    branches: bool = False

    def at(self, key: Int64[Tensor, " showers"]) -> Float[Tensor, "showers ..."]:
        """The numbers of showers with such keys."""
        for number in self.branch:
            key = streams.offspring(key, number)
        if not self.branches:
            return self._some(key, self.shape)
        rows = [
            self._some(streams.offspring(key, row), self.shape[1:]) for row in range(self.shape[0])
        ]
        return torch.stack(rows, dim=1)

    def _some(
        self, key: Int64[Tensor, " showers"], shape: tuple[int, ...]
    ) -> Float[Tensor, "showers ..."]:
        n = math.prod(shape)
        if self.kind == "normal":
            return streams.normals(key, n).float().reshape(-1, *shape)
        return streams.uniforms(key, n).reshape(-1, *shape)

    def draw(self, showers: int, random: torch.Generator) -> Float[Tensor, "showers ..."]:
        """The numbers of so many showers from a generator: for training."""
        normal = self.kind == "normal"
        make, dtype = (torch.randn, torch.float32) if normal else (torch.rand, torch.float64)
        return make(showers, *self.shape, generator=random, device=random.device, dtype=dtype)


def by_address(noise: Mapping[str, Noise], key: Int64[Tensor, " showers"]) -> dict[str, Tensor]:
    """The numbers of showers, functions of their keys alone."""
    return {name: part.at(key) for name, part in noise.items()}


def by_generator(
    noise: Mapping[str, Noise], showers: int, random: torch.Generator
) -> dict[str, Tensor]:
    """The numbers of so many showers in training."""
    return {name: part.draw(showers, random) for name, part in noise.items()}
