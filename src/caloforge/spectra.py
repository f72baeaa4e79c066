r"""What particles are drawn from: distributions of energies, angles, places and species, and how a
text says them.

With :math:`u \in\, ]0, 1[` uniform an energy is

.. math:: E = E_1 + (E_2 - E_1) u \quad\text{(uniform)}, \qquad
          E = E_1 (E_2 / E_1)^u \quad\text{(log-uniform)}.

Texts are read without torch: a mistake in one is said at once.
"""

__all__ = [
    *("Area", "Fixed", "Interval", "LogUniform", "Mixture", "Spectrum", "Uniform", "filling"),
    *("read_angle", "read_area", "read_range", "read_species", "read_spectrum"),
]

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import Protocol, runtime_checkable

from caloforge.errors import ShowerValueError, UnitError
from caloforge.species import name_of, pdg_of
from caloforge.units import format_energy, parse_angle, parse_energy, parse_length

if TYPE_CHECKING:
    from torch import Tensor

_LOG = "log"
_DECADE = 10


@runtime_checkable
class Spectrum(Protocol):
    """A distribution of incident energies."""

    @property
    def low(self) -> float:
        """The lowest energy, in MeV."""

    @property
    def high(self) -> float:
        """The highest energy, in MeV."""

    def energies(self, uniform: "Tensor") -> "Tensor":
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

    def energies(self, uniform: "Tensor") -> "Tensor":
        """The energy, as often as there are numbers."""
        return uniform.new_full(uniform.shape, self.energy)

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

    def energies(self, uniform: "Tensor") -> "Tensor":
        """The energies, in MeV, of numbers in ]0, 1[, both in double precision."""
        return self.low + (self.high - self.low) * uniform

    def log_density(self, energies: "Tensor") -> "Tensor":
        """The log of the density, unnormalised, at energies between the two."""
        return energies.new_zeros(energies.shape)

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

    def energies(self, uniform: "Tensor") -> "Tensor":
        """The energies, in MeV, of numbers in ]0, 1[, both in double precision."""
        energies = self.low * (math.log(self.high / self.low) * uniform).exp()
        return energies.clamp(self.low, self.high)

    def log_density(self, energies: "Tensor") -> "Tensor":
        """The log of the density, unnormalised, at energies between the two."""
        return -energies.log()

    def __str__(self) -> str:
        return f"{_written(self.low)}:{_written(self.high)}:{_LOG}"

    @property
    def title(self) -> str:
        """The spectrum in words."""
        return f"{format_energy(self.low)} to {format_energy(self.high)}, log-uniform"


@dataclass(frozen=True)
class Interval:
    """Numbers that are uniform between two.

    Raises:
        ShowerValueError: The interval runs downward, or an end is not finite.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.high < math.inf:
            msg = f"interval {self.low} to {self.high}: expected lowest <= highest, both finite"
            raise ShowerValueError(msg)

    def values(self, uniform: "Tensor") -> "Tensor":
        """The number in the interval that belongs to each of ]0, 1[, float32."""
        return (self.low + (self.high - self.low) * uniform).float()


@dataclass(frozen=True)
class Area:
    """Places that are uniform in a rectangle of the front face, with sides along x and y, in mm."""

    x: Interval
    y: Interval


@dataclass(frozen=True)
class Mixture:
    """Species drawn at random.

    Arguments:
        shares: The share of each species by its PDG number; only their ratios count.

    Raises:
        ShowerValueError: A share is not positive, a species stands twice, or there is none.
    """

    shares: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        if not self.shares or not all(0 < share < math.inf for _, share in self.shares):
            msg = f"mixture '{self}': expected one species or more, each with a positive share"
            raise ShowerValueError(msg)
        if len({pdg for pdg, _ in self.shares}) < len(self.shares):
            msg = f"mixture '{self}': a species stands twice, add up its shares"
            raise ShowerValueError(msg)

    def species(self, uniform: "Tensor") -> "Tensor":
        """The PDG number that belongs to each number in ]0, 1[, int64."""
        import torch

        pdg, shares = zip(*self.shares, strict=True)
        ends = torch.tensor(shares, dtype=torch.float64).cumsum(0)
        return torch.tensor(pdg)[torch.searchsorted(ends[:-1] / ends[-1], uniform)]

    def __str__(self) -> str:
        return ",".join(f"{name_of(pdg)}:{share:g}" for pdg, share in self.shares)


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
    found = _read_interval(text, parse_energy)
    return found.low, found.high


def read_species(text: str) -> int | Mixture:
    """Read a species, by name or PDG number, or a mixture of them with their shares.

    Raises:
        ShowerValueError: A species is unknown, stands twice, or has no positive share.

    Example:
        >>> read_species("e-"), str(read_species("e-:2,gamma:1"))
        (11, 'e-:2,gamma:1')
    """
    parts = [part.strip().partition(":") for part in text.split(",")]
    if len(parts) == 1 and not parts[0][1]:
        return pdg_of(text)
    return Mixture(tuple((pdg_of(name), _share(share, text)) for name, _, share in parts))


def _share(text: str, mixture: str) -> float:
    try:
        return float(text or 1)
    except ValueError as error:
        msg = f"mixture '{mixture}': share '{text}', expected a positive number, as in e-:2,gamma:1"
        raise ShowerValueError(msg) from error


def read_angle(text: str) -> Interval:
    """Read an angle or an interval of angles, such as ``30deg`` or ``0deg:45deg``, in radians.

    Raises:
        UnitError: The text is neither, or the interval runs downward.
    """
    return _read_interval(text, parse_angle)


def read_area(text: str) -> Area:
    """Read a place ``X,Y`` of the front face, each a length or an interval of lengths, such as
    ``1mm,-2mm`` or ``-5mm:5mm,0mm``, in mm.

    Raises:
        UnitError: The text is neither, or an interval runs downward.
    """
    parts = text.split(",")
    if len(parts) != 2:
        msg = f"'{text}': expected a place X,Y such as 1mm,-2mm or -5mm:5mm,0mm"
        raise UnitError(msg)
    return Area(*(_read_interval(part, parse_length) for part in parts))


def _read_interval(text: str, parse: Callable[[str], float]) -> Interval:
    low, colon, high = text.partition(":")
    bounds = parse(low), parse(high if colon else low)
    if bounds[0] > bounds[1]:
        msg = f"'{text}' runs downward: write LOW:HIGH"
        raise UnitError(msg)
    return Interval(*bounds)


def _written(energy: float) -> str:
    return format_energy(energy).replace(" ", "")


def _require_order(low: float, high: float) -> None:
    if not 0 < low <= high < math.inf:
        msg = f"energies from {low} to {high} MeV: expected 0 < lowest <= highest, both finite"
        raise ShowerValueError(msg)
