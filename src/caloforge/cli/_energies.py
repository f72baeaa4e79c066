"""Where incident energies come from: one energy, a range, or another file."""

__all__ = [
    "Energies",
    "EnergyLaw",
    "LogUniformEnergies",
    "Origin",
    "UniformEnergies",
    "energy_law",
    "energy_range",
]

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, runtime_checkable

import typer

from caloforge.cli._options import OptionError
from caloforge.units import format_energy, parse_energy

if TYPE_CHECKING:
    from torch import Tensor

LOG = "log"


@runtime_checkable
class Energies(Protocol):
    """Incident energies, in MeV, that can be had by slices: a tensor, or drawn when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice) -> "Tensor": ...


@dataclass(frozen=True)
class UniformEnergies:
    """Uniform incident energies, in MeV, drawn slice by slice: number i depends on the seed and on
    i alone.
    """

    number: int
    low: float
    high: float
    seed: int

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: slice) -> "Tensor":
        return (
            self.low
            + (self.high - self.low) * _parts(self.seed, range(*index.indices(self.number)))
        ).float()


@dataclass(frozen=True)
class LogUniformEnergies:
    """Incident energies, in MeV, with uniform logarithms, drawn slice by slice: number i depends on
    the seed and on i alone.
    """

    number: int
    low: float
    high: float
    seed: int

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: slice) -> "Tensor":
        parts = _parts(self.seed, range(*index.indices(self.number)))
        energies = self.low * (math.log(self.high / self.low) * parts).exp()
        return energies.clamp(self.low, self.high).float()


def _parts(seed: int, rows: range) -> "Tensor":
    """How far up its range each energy is, in ]0, 1[, in double precision."""
    import torch

    from caloforge import streams
    from caloforge.streams import Stream

    keys = streams.keys(
        seed, torch.arange(rows.start, rows.stop, rows.step), Stream.INCIDENT_ENERGY
    )
    return streams.uniforms(keys, 1)[:, 0]


@dataclass(frozen=True)
class EnergyLaw:
    """The law of the incident energies: between these two, in MeV, the energies or their logarithms
    uniform.
    """

    low: float
    high: float
    log: bool = False

    def draw(self, number: int, seed: int) -> Energies:
        """So many energies."""
        kind = LogUniformEnergies if self.log else UniformEnergies
        return kind(number, self.low, self.high, seed)

    def words(self) -> str:
        """The law as a reader likes it."""
        ends = " to ".join(format_energy(end) for end in dict.fromkeys((self.low, self.high)))
        return f"{ends}, log-uniform" if self.log else ends

    def option(self) -> str:
        """The law as the command line takes it."""
        ends = [format_energy(end).replace(" ", "") for end in dict.fromkeys((self.low, self.high))]
        return ":".join([*ends, LOG] if self.log else ends)

    @staticmethod
    def over(low: float, high: float) -> "EnergyLaw":
        """The law that fills a range: uniform logarithms if it spans more than a decade."""
        return EnergyLaw(low, high, log=high > 10 * low)


def energy_law(text: str, option: str = "--energy") -> EnergyLaw:
    """The law that ``E``, ``LOW:HIGH`` (uniform) or ``LOW:HIGH:log`` (log-uniform) says."""
    parts = text.split(":")
    if len(parts) == 3 and parts[-1] == LOG:
        return EnergyLaw(*energy_range(text.removesuffix(f":{LOG}"), option), log=True)
    if len(parts) > 2 or parts[-1] == LOG:
        msg = (
            f"{option} '{text}': expected an energy E, a range LOW:HIGH, or LOW:HIGH:{LOG} for "
            "uniform logarithms"
        )
        raise OptionError(msg)
    return EnergyLaw(*energy_range(text, option))


def energy_range(text: str, option: str) -> tuple[float, float]:
    """The lowest and the highest energy, in MeV, that ``E`` or ``LOW:HIGH`` says."""
    low, colon, high = text.partition(":")
    bounds = parse_energy(low), parse_energy(high if colon else low)
    if bounds[0] > bounds[1]:
        msg = f"{option} '{text}' runs downward: write LOW:HIGH"
        raise OptionError(msg)
    return bounds


@dataclass(frozen=True)
class Origin:
    """Which showers to make: how many, and of which incident energies."""

    number: Annotated[
        int | None, typer.Option("-n", "--number", min=1, metavar="N", help="How many showers.")
    ] = None
    energy: Annotated[
        str | None,
        typer.Option(
            metavar="E|LOW:HIGH[:log]",
            help="Incident energy, or the range of it; log for uniform logarithms.",
        ),
    ] = None
    like: Annotated[
        Path | None,
        typer.Option(metavar="FILE.h5", help="Take the incident energies of this file."),
    ] = None

    def energies(self, seed: int) -> Energies:
        """The incident energies."""
        if (self.energy is None) == (self.like is None):
            msg = "give either --energy or --like, to say where the incident energies come from"
            raise OptionError(msg)
        if self.like is not None:
            return _energies_of(self.like, self.number)
        if self.number is None:
            msg = "with --energy, say how many showers: -n 1000"
            raise OptionError(msg)
        return energy_law(str(self.energy)).draw(self.number, seed)


def _energies_of(path: Path, number: int | None) -> "Tensor":
    """The first incident energies of a file, in MeV, read without its deposits staying
    in memory.
    """
    import torch

    from caloforge.io import open_showers
    from caloforge.showers import spans

    showers = open_showers(path)
    if number is not None and number > len(showers):
        msg = f"-n {number}: {path} holds {len(showers)} energies only"
        raise OptionError(msg)
    energies = torch.empty(len(showers) if number is None else number)
    for span in spans(len(energies), 1000):
        energies[span] = showers[span].energies
    return energies
