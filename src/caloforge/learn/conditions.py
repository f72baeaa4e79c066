r"""What is known of a shower before it is sampled, and the numbers that networks see of it.

A `Condition` holds the particles and, once they are sampled, the energies :math:`E_l` of the
layers. An `Encoder` makes numbers of order 1 of it, with moments of the training showers:

- `LogEnergy`: :math:`(\ln E - \ln E_-) / (\ln E_+ - \ln E_-)`, with :math:`[E_-, E_+]` the range of
  the incident energy :math:`E` (CaloDREAM, arXiv:2405.09629, section 2);
- `IncidentFeatures`, `LayerFeatures`: :math:`\ln(E + \epsilon)`, :math:`\ln(E_l + \epsilon)`, of
  mean 0 and variance 1;
- `BeamFeatures`: species, direction, place and detector, as far as a `Beam` says that they differ.
  The first two encoders end with them.
"""

__all__ = [
    "ENERGY_ALONE",
    "Beam",
    "BeamFeatures",
    "Condition",
    "Encoder",
    "IncidentFeatures",
    "LayerFeatures",
    "LogEnergy",
]

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Float, Int64
from pydantic import BeforeValidator
from torch import Tensor, nn

from caloforge.detector.matter import N_MATTER
from caloforge.errors import ModelError
from caloforge.hits import AnyShowers, Hits
from caloforge.learn.transforms import Standardisation
from caloforge.observables import layer_energies
from caloforge.particles import Index, Particles, pdg_of
from caloforge.showers import readout_threshold
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
        numbers: The numbers of hits in the layers, with shape (showers, layers); None where nothing
            asks for them.
    """

    particles: Particles
    layers: Tensor | None = None
    threshold: float | None = None
    numbers: Tensor | None = None

    @classmethod
    def of(cls, showers: AnyShowers) -> "Condition":
        """What is known of given showers, but for the threshold and the numbers of hits."""
        return cls(showers.particles, layer_energies(showers))

    @classmethod
    def counted(cls, hits: Hits) -> "Condition":
        """What is known of given hits, one a cell, their numbers included."""
        return replace(cls.of(hits), numbers=hits.numbers)

    @classmethod
    def to_fit(cls, showers: AnyShowers) -> "Condition":
        """All that is known of training showers, the threshold of their readout included."""
        if isinstance(showers, Hits):
            return replace(cls.counted(showers), threshold=showers.readout_threshold)
        return replace(cls.of(showers), threshold=readout_threshold(showers))

    def __len__(self) -> int:
        return len(self.particles)

    def __getitem__(self, index: Index) -> "Condition":
        layers, numbers = (
            None if values is None else values[index] for values in (self.layers, self.numbers)
        )
        return Condition(self.particles[index], layers, self.threshold, numbers)

    def given(
        self,
        layer_energies: Float[Tensor, "showers layers"],
        numbers: Int64[Tensor, "showers layers"] | None = None,
    ) -> "Condition":
        """The same with these energies of the layers, in MeV, and these numbers of hits."""
        return replace(self, layers=layer_energies, numbers=numbers)

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
    def hit_numbers(self) -> Int64[Tensor, "showers layers"]:
        """The numbers of hits in the layers.

        Raises:
            ModelError: They are not known.
        """
        if self.numbers is None:
            msg = (
                "the condition has no numbers of hits: a shape of points goes with energies that "
                "bring them, as those of the stage 'layer-numbers'"
            )
            raise ModelError(msg)
        return self.numbers

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


@dataclass(frozen=True)
class Beam:
    """In what the particles of a model differ beside their energy, so that it has to know it.

    Arguments:
        species: Their species, by name or PDG number; empty for one, whichever it is.
        direction: Whether they fly in different directions, not all along the axis.
        place: Whether they enter at different places, not all at the centre.
        detector: Whether they enter different detectors of one mesh, known by their matter.
    """

    species: tuple[Annotated[int, BeforeValidator(pdg_of)], ...] = ()
    direction: bool = False
    place: bool = False
    detector: bool = False

    @staticmethod
    def of(*samples: Particles) -> "Beam":
        """In what the particles of samples differ; in no species where that of a sample is not
        known.
        """
        species = set().union(*(sample.species for sample in samples))
        known = all(len(sample.species) > 0 for sample in samples)
        across = torch.cat([sample.directions[:, :2] for sample in samples])
        places = torch.cat([_place(sample) for sample in samples])
        return Beam(
            tuple(sorted(species)) if known and len(species) > 1 else (),
            direction=bool((across != across[:1]).any()),
            place=bool((places != places[:1]).any()),
        )

    @property
    def width(self) -> int:
        """How many numbers stand for a particle, that of its energy included."""
        own = N_MATTER * self.detector
        return 1 + self.n_species + own + 3 * self.direction + 2 * self.place

    @property
    def vectors(self) -> int:
        """How many pairs of numbers turn with the particle; they come last."""
        return self.direction + self.place

    @property
    def n_species(self) -> int:
        """How many numbers say the species: one each, or none where there is no choice."""
        return len(self.species) if len(self.species) > 1 else 0


ENERGY_ALONE = Beam()
"""Particles that differ in nothing but their energy."""


class BeamFeatures(Encoder):
    r"""What is known of a particle beside its energy.

    A species is a 1 among zeros: the first layer of a network makes an embedding of it. A detector
    is the logarithms of the numbers of its matter, of mean 0 and variance 1 over the training
    showers, so that one between those of the training is between them in these numbers, too. The
    direction is :math:`\cos\theta` of mean 0 and variance 1, and
    :math:`(\sin\theta \cos\phi, \sin\theta \sin\phi)` over its root mean square; the place
    :math:`(x, y)` over its root mean square.
    Both components of a pair have the same scale, so that the features of a turned particle are
    the turned features.

    Arguments:
        beam: In what the particles differ.
    """

    tilt: Tensor
    spread: Tensor

    def __init__(self, beam: Beam) -> None:
        super().__init__()
        self.beam = beam
        if beam.direction:
            self.register_buffer("tilt", torch.ones((), dtype=torch.float64))
            self.cosine = Standardisation(1)
        if beam.place:
            self.register_buffer("spread", torch.ones((), dtype=torch.float64))
        if beam.detector:
            self.matter = Standardisation(N_MATTER)

    def adapt(self, condition: Condition) -> "BeamFeatures":
        """Take the scales."""
        if self.beam.direction:
            directions = condition.particles.directions
            self.tilt.copy_(_root_mean_square(directions[:, :2]))
            self.cosine.adapt(directions[:, 2:])
        if self.beam.place:
            self.spread.copy_(_root_mean_square(_place(condition.particles)))
        if self.beam.detector:
            self.matter.adapt(_matter(condition.particles))
        return self

    def forward(self, condition: Condition) -> Float[Tensor, "showers n"]:
        """As many numbers a shower as the beam asks for beside the energy's.

        Raises:
            ModelError: The species of a particle is not known, or not one of the beam; or what it
                enters is not known.
        """
        particles = condition.particles
        parts = [condition.incident_energies[:, None][:, :0]]
        if self.beam.n_species:
            parts.append(_one_hot(particles, self.beam.species))
        if self.beam.detector:
            parts.append(self.matter(_matter(particles)))
        if self.beam.direction:
            directions = particles.directions
            parts += [self.cosine(directions[:, 2:]), directions[:, :2] / self.tilt]
        if self.beam.place:
            parts.append(_place(particles) / self.spread)
        return torch.cat(parts, dim=1).float()


def _matter(particles: Particles) -> Float[Tensor, "showers numbers"]:
    """The logarithms of the numbers of what they enter."""
    if particles.matter is None:
        msg = (
            "what the particles enter is not known, and the model was trained on several "
            "detectors: say which, as with --detector par04-siw"
        )
        raise ModelError(msg)
    return particles.matter.double().log()


def _place(particles: Particles) -> Float[Tensor, "showers 2"]:
    """The places on the face, in mm."""
    if particles.place is None:
        return particles.energies.new_zeros(len(particles), 2, dtype=torch.float64)
    return particles.place.double()


def _root_mean_square(pairs: Float[Tensor, "showers 2"]) -> Tensor:
    """That of the components; 1 where all are 0."""
    square = pairs.square().mean()
    return torch.where(square > 0, square, 1.0).sqrt()


def _one_hot(particles: Particles, species: tuple[int, ...]) -> Float[Tensor, "showers species"]:
    if particles.pdg is None:
        msg = (
            "the species of the particles is not known, and the model was trained on several: say "
            "it, as with --particle e-"
        )
        raise ModelError(msg)
    device = particles.energies.device
    each = torch.as_tensor(particles.pdg, device=device).expand(particles.energies.shape)
    hot = each[:, None] == torch.tensor(species, device=device)
    if not hot.any(dim=1).all():
        first = int((~hot.any(dim=1)).nonzero()[0, 0])
        msg = f"species {int(each[first])}: expected one that the model was trained on, {species}"
        raise ModelError(msg)
    return hot.double()


class LogEnergy(Encoder):
    """The log of the incident energy, scaled to the unit interval over the range of the training
    showers; energies out of the range lie out of the interval. `BeamFeatures` follow.

    Arguments:
        beam: In what the particles differ beside their energy.
    """

    ends: Tensor

    def __init__(self, beam: Beam = ENERGY_ALONE) -> None:
        super().__init__()
        self.beam = BeamFeatures(beam)
        self.register_buffer("ends", torch.tensor([0.0, 1.0], dtype=torch.float64))

    def adapt(self, condition: Condition) -> "LogEnergy":
        """Take the range; that of a single energy becomes a tenth of a decade."""
        self.beam.adapt(condition)
        energies = condition.incident_energies
        low, high = (math.log(float(end)) for end in (energies.min(), energies.max()))
        self.ends.copy_(
            torch.tensor([low, max(high, low + math.log(10) / 10)], dtype=torch.float64)
        )
        return self

    def forward(self, condition: Condition) -> Float[Tensor, "showers n"]:
        """As many numbers a shower as the beam is wide."""
        low, high = self.ends
        scaled: Tensor = (condition.incident_energies.log() - low) / (high - low)
        return torch.cat([scaled[:, None].float(), self.beam(condition)], dim=1)


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
    """The standardised log of the incident energy. `BeamFeatures` follow.

    Arguments:
        beam: In what the particles differ beside their energy.
    """

    def __init__(self, beam: Beam = ENERGY_ALONE) -> None:
        super().__init__(1)
        self.beam = BeamFeatures(beam)

    def energies(self, condition: Condition) -> Float[Tensor, "showers 1"]:
        """The incident energy, in MeV."""
        return condition.incident_energies[:, None]

    def adapt(self, condition: Condition) -> "IncidentFeatures":
        """Take the moments, and the scales of the rest."""
        self.beam.adapt(condition)
        super().adapt(condition)
        return self

    def forward(self, condition: Condition) -> Float[Tensor, "showers n"]:
        """As many numbers a shower as the beam is wide."""
        return torch.cat([super().forward(condition), self.beam(condition)], dim=1)


class LayerFeatures(_Features):
    """The standardised logs of the energies of the layers.

    Arguments:
        n: The number of layers.
    """

    def energies(self, condition: Condition) -> Float[Tensor, "showers n"]:
        """The energies of the layers, in MeV."""
        return condition.layer_energies
