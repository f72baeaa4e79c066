"""A representation is an invertible map between what a shower is and what a network sees of it."""

__all__ = ["NO_NOISE", "Representation", "fitting_generator"]

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Noise, Numbers

Seen = TypeVar("Seen")
"""What a network sees: a tensor, as a rule."""

Self = TypeVar("Self", bound="Representation")  # type: ignore[type-arg]

_FIT_SEED = 0

NO_NOISE: Numbers = MappingProxyType({})
"""No random numbers."""


def fitting_generator(x: Tensor) -> torch.Generator:
    """The random numbers of a fit: the same in each."""
    return torch.Generator(x.device).manual_seed(_FIT_SEED)


class Representation(nn.Module, ABC, Generic[Seen]):
    """The contract: ``decode(encode(x)) == x``, in every shower, and energy is conserved.

    The state is fitted once, on training showers alone, and saved with the model.
    """

    def noise(self) -> Mapping[str, Noise]:
        """The random numbers that encoding needs: none, as a rule."""
        return {}

    @abstractmethod
    def fit(self: Self, x: Tensor, condition: Condition) -> Self:
        """Take the state from training showers.

        Arguments:
            x: What is to be represented: deposits, or energies of layers, in MeV.
            condition: What is known of these showers.
        """

    @abstractmethod
    def encode(self, x: Tensor, condition: Condition, noise: Numbers = NO_NOISE) -> Seen:
        """What a network sees, in single precision.

        Arguments:
            x: What is to be represented, in MeV.
            condition: What is known of the showers.
            noise: The random numbers that `noise` asks for.
        """

    @abstractmethod
    def decode(self, z: Seen, condition: Condition, noise: Numbers = NO_NOISE) -> Tensor:
        """The inverse of `encode`, for any finite numbers.

        Arguments:
            z: What a network made.
            condition: What is known of the showers.
            noise: The random numbers that decoding needs: none, as a rule.
        """
