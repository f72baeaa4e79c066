r"""The particle gun: particles to make showers of, drawn number by number.

With :math:`u_i \in\, ]0, 1[` the random number of particle i (`caloforge.streams`), its incident
energy is

.. math:: E_i = E_1 + (E_2 - E_1) u_i \quad\text{(uniform)}, \qquad
          E_i = E_1 (E_2 / E_1)^{u_i} \quad\text{(log-uniform)}.

Particle i depends on the seed and on i alone, so a gun is read by slices, in any order, and a
longer run begins with the particles of a shorter one. At the command line a spectrum is written
``E``, ``LOW:HIGH`` or ``LOW:HIGH:log``.
"""

__all__ = [
    "Fixed",
    "Gun",
    "LogUniform",
    "ParticleSource",
    "Spectrum",
    "Uniform",
    "filling",
    "like",
    "read_range",
    "read_spectrum",
]

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import Protocol, runtime_checkable

from caloforge import streams
from caloforge.errors import ShowerValueError, UnitError
from caloforge.particles import ELECTRON, Particles
from caloforge.streams import Stream
from caloforge.units import format_energy, parse_energy

_LOG = "log"
_DECADE = 10


@runtime_checkable
class ParticleSource(Protocol):
    """Particles that are had by slices: `Particles` in memory, or a `Gun`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice) -> Particles: ...


@runtime_checkable
class Spectrum(Protocol):
    """A distribution of incident energies."""

    @property
    def low(self) -> float:
        """The lowest energy, in MeV."""

    @property
    def high(self) -> float:
        """The highest energy, in MeV."""

    def energies(self, uniform: Tensor) -> Tensor:
        """The energies, in MeV, of numbers in ]0, 1[, both in double precision."""

    def __str__(self) -> str:
        """The spectrum as `read_spectrum` reads it."""

    @property
    def title(self) -> str:
        """The spectrum in words."""


@dataclass(frozen=True)
class Fixed:
    """One energy, in MeV."""

    energy: float

    def __post_init__(self) -> None:
        _require_order(self.energy, self.energy)

    @property
    def low(self) -> float:
        """The energy, in MeV."""
        return self.energy

    @property
    def high(self) -> float:
        """The energy, in MeV."""
        return self.energy

    def energies(self, uniform: Tensor) -> Tensor:
        """The energy, as often as there are numbers."""
        return torch.full_like(uniform, self.energy)

    def __str__(self) -> str:
        return _written(self.energy)

    @property
    def title(self) -> str:
        """The spectrum in words."""
        return format_energy(self.energy)


@dataclass(frozen=True)
class Uniform:
    """Energies that are uniform between two, in MeV."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require_order(self.low, self.high)

    def energies(self, uniform: Tensor) -> Tensor:
        """The energies, in MeV, of numbers in ]0, 1[, both in double precision."""
        return self.low + (self.high - self.low) * uniform

    def __str__(self) -> str:
        return f"{_written(self.low)}:{_written(self.high)}"

    @property
    def title(self) -> str:
        """The spectrum in words."""
        return f"{format_energy(self.low)} to {format_energy(self.high)}"


@dataclass(frozen=True)
class LogUniform:
    """Energies whose logarithm is uniform between those of two, in MeV."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require_order(self.low, self.high)

    def energies(self, uniform: Tensor) -> Tensor:
        """The energies, in MeV, of numbers in ]0, 1[, both in double precision."""
        energies = self.low * (math.log(self.high / self.low) * uniform).exp()
        return energies.clamp(self.low, self.high)

    def __str__(self) -> str:
        return f"{_written(self.low)}:{_written(self.high)}:{_LOG}"

    @property
    def title(self) -> str:
        """The spectrum in words."""
        return f"{format_energy(self.low)} to {format_energy(self.high)}, log-uniform"


@dataclass(frozen=True)
class Gun:
    """Particles of one species, along the axis or in one direction, drawn when a slice is asked
    for.

    Arguments:
        number: How many.
        spectrum: The distribution of their incident energies.
        seed: The seed of the run.
        pdg: The species, as PDG number; None where it is not known.
        theta: The polar angle, in radians; None for along the axis.
        phi: The azimuthal angle, in radians; None for 0.

    Example:
        >>> Gun(3, Uniform(10_000.0, 100_000.0), seed=1)[:].energies
        tensor([82591.9531, 38355.2031, 76194.8906])
    """

    number: int
    spectrum: Spectrum
    seed: int
    pdg: int | None = ELECTRON
    theta: float | None = None
    phi: float | None = None

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: slice) -> Particles:
        rows = range(*index.indices(self.number))
        number = torch.arange(rows.start, rows.stop, rows.step)
        keys = streams.keys(self.seed, number, Stream.INCIDENT_ENERGY)
        energies = self.spectrum.energies(streams.uniforms(keys, 1)[:, 0]).float()
        theta, phi = (
            None if angle is None else torch.full_like(energies, angle)
            for angle in (self.theta, self.phi)
        )
        return Particles(energies, self.pdg, theta, phi)


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


def filling(low: float, high: float) -> Spectrum:
    """The spectrum that fills a range, in MeV: log-uniform if that spans more than a decade."""
    if low == high:
        return Fixed(low)
    return LogUniform(low, high) if high > _DECADE * low else Uniform(low, high)


def read_spectrum(text: str) -> Spectrum:
    """Read ``E``, ``LOW:HIGH`` (uniform) or ``LOW:HIGH:log`` (log-uniform).

    Raises:
        UnitError: The text is none of these, or the range runs downward.

    Example:
        >>> read_spectrum("1GeV:100GeV:log")
        LogUniform(low=1000.0, high=100000.0)
    """
    parts = text.split(":")
    if len(parts) == 3 and parts[-1] == _LOG:
        return LogUniform(*read_range(text.removesuffix(f":{_LOG}")))
    if len(parts) > 2 or parts[-1] == _LOG:
        msg = (
            f"'{text}': expected an energy E, a range LOW:HIGH, or LOW:HIGH:{_LOG} for uniform "
            "logarithms"
        )
        raise UnitError(msg)
    low, high = read_range(text)
    return Fixed(low) if len(parts) == 1 else Uniform(low, high)


def read_range(text: str) -> tuple[float, float]:
    """The lowest and the highest energy, in MeV, that ``E`` or ``LOW:HIGH`` says.

    Raises:
        UnitError: The text is neither, or the range runs downward.
    """
    low, colon, high = text.partition(":")
    bounds = parse_energy(low), parse_energy(high if colon else low)
    if bounds[0] > bounds[1]:
        msg = f"'{text}' runs downward: write LOW:HIGH"
        raise UnitError(msg)
    return bounds


def _written(energy: float) -> str:
    return format_energy(energy).replace(" ", "")


def _require_order(low: float, high: float) -> None:
    if not 0 < low <= high < math.inf:
        msg = f"energies from {low} to {high} MeV: expected 0 < lowest <= highest, both finite"
        raise ShowerValueError(msg)
