r"""The particle gun: particles to make showers of, drawn number by number.

With the random number of particle i (`caloforge.streams`) its incident energy is drawn from a
spectrum, see `caloforge.spectra`.

Angles and places are uniform in their intervals, and species come in the proportions of a
`Mixture`. Particle i depends on the seed and on i alone, so a gun is read by slices, in any order,
and a longer run begins with the particles of a shorter one.
"""

__all__ = [
    "Area",
    "Fixed",
    "Gun",
    "Interval",
    "LogUniform",
    "Mixture",
    "ParticleSource",
    "Spectrum",
    "Uniform",
    "cell_of",
    "filling",
    "like",
    "read_angle",
    "read_area",
    "read_range",
    "read_species",
    "read_spectrum",
]

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import Protocol, runtime_checkable

from caloforge import streams
from caloforge.errors import GeometryError, ShowerValueError
from caloforge.geometry import Boxes, Calorimeter
from caloforge.particles import ELECTRON, Particles, Species
from caloforge.spectra import (
    Area,
    Fixed,
    Interval,
    LogUniform,
    Mixture,
    Spectrum,
    Uniform,
    filling,
    read_angle,
    read_area,
    read_range,
    read_species,
    read_spectrum,
)
from caloforge.streams import Stream


@runtime_checkable
class ParticleSource(Protocol):
    """Particles that are had by slices: `Particles` in memory, or a `Gun`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice) -> Particles: ...


@dataclass(frozen=True)
class Gun:
    """Particles drawn when a slice is asked for.

    Arguments:
        number: How many.
        spectrum: The distribution of their incident energies.
        seed: The seed of the run.
        pdg: The species, as PDG number, or a mixture; None where it is not known.
        theta: The polar angle, or an interval, in radians; None for along the axis.
        phi: The azimuthal angle, or an interval, in radians; None for 0.
        area: Where on the front face they arrive; None for the centre.

    Example:
        >>> Gun(3, Uniform(10_000.0, 100_000.0), seed=1)[:].energies
        tensor([82591.9531, 38355.2031, 76194.8906])
    """

    number: int
    spectrum: Spectrum
    seed: int
    pdg: int | Mixture | None = ELECTRON
    theta: float | Interval | None = None
    phi: float | Interval | None = None
    area: Area | None = None

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: slice) -> Particles:
        rows = range(*index.indices(self.number))
        number = torch.arange(rows.start, rows.stop, rows.step)
        energies = self.spectrum.energies(self._uniforms(number, Stream.INCIDENT_ENERGY, 1)[0])
        angles = self._uniforms(number, Stream.INCIDENT_DIRECTION, 2)
        theta, phi = (
            None if angle is None else _interval(angle).values(uniform)
            for angle, uniform in zip((self.theta, self.phi), angles, strict=True)
        )
        return Particles(energies.float(), self._species(number), theta, phi, self._place(number))

    def _uniforms(self, number: Tensor, stream: Stream, n: int) -> Tensor:
        return streams.uniforms(streams.keys(self.seed, number, stream), n).T

    def _species(self, number: Tensor) -> Species:
        if not isinstance(self.pdg, Mixture):
            return self.pdg
        return self.pdg.species(self._uniforms(number, Stream.INCIDENT_SPECIES, 1)[0])

    def _place(self, number: Tensor) -> Tensor | None:
        if self.area is None:
            return None
        x, y = self._uniforms(number, Stream.INCIDENT_PLACE, 2)
        return torch.stack([self.area.x.values(x), self.area.y.values(y)], dim=1)


@runtime_checkable
class _HasParticles(Protocol):
    @property
    def particles(self) -> Particles:
        """The particles of all showers."""


def like(source: _HasParticles, number: int | None = None) -> Particles:
    """The particles of showers: all that is known of them, read without their deposits.

    Arguments:
        source: The showers, in memory or in a file.
        number: How many, from the first on; None for all.

    Raises:
        ShowerValueError: There are not so many.
    """
    particles = source.particles
    if number is not None and number > len(particles):
        msg = f"{number} particles asked of a source that holds {len(particles)} only"
        raise ShowerValueError(msg)
    return particles[:number]


def cell_of(calorimeter: Calorimeter) -> Area:
    """One cell of the first layer, about the centre of the front face.

    Raises:
        GeometryError: The cells of the first layer are no boxes.
    """
    first = calorimeter.divisions[0] if calorimeter.divisions else None
    if not isinstance(first, Boxes):
        msg = (
            f"calorimeter '{calorimeter.name}': the cells of its first layer are no boxes, so that "
            "no area of one is known: give a place X,Y or intervals of both"
        )
        raise GeometryError(msg)
    return Area(*(Interval(-size / 2, size / 2) for size in first.size))


def _interval(angle: float | Interval) -> Interval:
    return angle if isinstance(angle, Interval) else Interval(angle, angle)
