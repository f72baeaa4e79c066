r"""What is known of a shower before it is sampled, and the numbers that networks see of it.

A `Condition` holds the particles and, once they are sampled, the energies :math:`E_l` of the
layers. An `Encoder` makes numbers of order 1 of it, with moments of the training showers:

- `LogEnergy`: :math:`(\ln E - \ln E_-) / (\ln E_+ - \ln E_-)`, with :math:`[E_-, E_+]` the range of
  the incident energy :math:`E` (CaloDREAM, arXiv:2405.09629, section 2);
- `IncidentFeatures`, `LayerFeatures`: :math:`\ln(E + \epsilon)`, :math:`\ln(E_l + \epsilon)`, of
  mean 0 and variance 1.

Angle and place are in the condition, and no bundled model uses them: they were trained along the
axis. A symmetry that turns a shower turns its condition with it; energies stay as they are.
"""

__all__ = ["Condition", "Encoder", "IncidentFeatures", "LayerFeatures", "LogEnergy"]

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.errors import ModelError
from caloforge.learn.transforms import Standardisation
from caloforge.observables import layer_energies
from caloforge.particles import Index, Particles
from caloforge.showers import Showers, readout_threshold
from caloforge.units import keV

_LEAST = 1 * keV
"""What is added to an energy under the log, in MeV."""


@dataclass(frozen=True, eq=False)
class Condition:
    """What is known of showers before they are sampled.

    Arguments:
        particles: The particles.
        layers: The energies of the layers, in MeV, with shape (showers, layers); None before they
            are sampled.
        threshold: The threshold of the readout, in MeV; None where nothing asks for it.
    """

    particles: Particles
    layers: Tensor | None = None
    threshold: float | None = None

    @classmethod
    def of(cls, showers: Showers) -> "Condition":
        """What is known of given showers, but for the threshold."""
        return cls(showers.particles, layer_energies(showers))

    @classmethod
    def to_fit(cls, showers: Showers) -> "Condition":
        """All that is known of training showers, the threshold of their readout included."""
        return replace(cls.of(showers), threshold=readout_threshold(showers))

    def __len__(self) -> int:
        return len(self.particles)

    def __getitem__(self, index: Index) -> "Condition":
        layers = None if self.layers is None else self.layers[index]
        return Condition(self.particles[index], layers, self.threshold)

    def given(self, layer_energies: Float[Tensor, "showers layers"]) -> "Condition":
        """The same with these energies of the layers, in MeV."""
        return replace(self, layers=layer_energies)

    @property
    def incident_energies(self) -> Float[Tensor, " showers"]:
        """The incident energies, in MeV, in double precision."""
        return self.particles.energies.double()

    @property
    def layer_energies(self) -> Float[Tensor, "showers layers"]:
        """The energies of the layers, in MeV.

        Raises:
            ModelError: They are not known.
        """
        if self.layers is None:
            msg = "the condition has no energies of the layers: sample them first"
            raise ModelError(msg)
        return self.layers

    @property
    def readout_threshold(self) -> float:
        """The threshold of the readout, in MeV.

        Raises:
            ModelError: It is not known.
        """
        if self.threshold is None:
            msg = "the condition has no threshold of the readout: make it with Condition.to_fit"
            raise ModelError(msg)
        return self.threshold


class Encoder(nn.Module, ABC):
    """Numbers of order 1 of a condition, for a network."""

    @abstractmethod
    def adapt(self, condition: Condition) -> "Encoder":
        """Take moments or ranges from the conditions of training showers."""

    @abstractmethod
    def forward(self, condition: Condition) -> Float[Tensor, "showers n"]:
        """The numbers, in single precision."""


class LogEnergy(Encoder):
    """The log of the incident energy, scaled to the unit interval over the range of the training
    showers; energies out of the range lie out of the interval.
    """

    ends: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ends", torch.tensor([0.0, 1.0], dtype=torch.float64))

    def adapt(self, condition: Condition) -> "LogEnergy":
        """Take the range; that of a single energy becomes a tenth of a decade."""
        energies = condition.incident_energies
        low, high = (math.log(float(end)) for end in (energies.min(), energies.max()))
        self.ends.copy_(
            torch.tensor([low, max(high, low + math.log(10) / 10)], dtype=torch.float64)
        )
        return self

    def forward(self, condition: Condition) -> Float[Tensor, "showers 1"]:
        """One number a shower."""
        low, high = self.ends
        scaled: Tensor = (condition.incident_energies.log() - low) / (high - low)
        return scaled[:, None].float()


class _Features(Encoder):
    """Standardised logs of n energies.

    Arguments:
        n: How many a shower.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.standardisation = Standardisation(n)

    @abstractmethod
    def energies(self, condition: Condition) -> Float[Tensor, "showers n"]:
        """The energies, in MeV."""

    def _logs(self, condition: Condition) -> Float[Tensor, "showers n"]:
        return (self.energies(condition).double() + _LEAST).log()

    def adapt(self, condition: Condition) -> "_Features":
        """Take the moments."""
        self.standardisation.adapt(self._logs(condition))
        return self

    def forward(self, condition: Condition) -> Float[Tensor, "showers n"]:
        """As many numbers a shower."""
        features: Tensor = self.standardisation(self._logs(condition))
        return features


class IncidentFeatures(_Features):
    """The standardised log of the incident energy."""

    def __init__(self) -> None:
        super().__init__(1)

    def energies(self, condition: Condition) -> Float[Tensor, "showers 1"]:
        """The incident energy, in MeV."""
        return condition.incident_energies[:, None]


class LayerFeatures(_Features):
    """The standardised logs of the energies of the layers.

    Arguments:
        n: The number of layers.
    """

    def energies(self, condition: Condition) -> Float[Tensor, "showers n"]:
        """The energies of the layers, in MeV."""
        return condition.layer_energies
