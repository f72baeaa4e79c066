"""Which particles to make showers of: a spectrum of energies, or another file."""

__all__ = ["Origin", "energy_range", "spectrum"]

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from caloforge.cli._options import OptionError
from caloforge.errors import UnitError

if TYPE_CHECKING:
    from caloforge.gun import ParticleSource, Spectrum

_Read = TypeVar("_Read")


def _read(option: str, text: str, read: Callable[[str], _Read]) -> _Read:
    try:
        return read(text)
    except UnitError as error:
        msg = f"{option} {error}"
        raise OptionError(msg) from error


def spectrum(text: str, option: str = "--energy") -> "Spectrum":
    """The spectrum that ``E``, ``LOW:HIGH`` (uniform) or ``LOW:HIGH:log`` (log-uniform) says."""
    from caloforge.gun import read_spectrum

    return _read(option, text, read_spectrum)


def energy_range(text: str, option: str) -> tuple[float, float]:
    """The lowest and the highest energy, in MeV, that ``E`` or ``LOW:HIGH`` says."""
    from caloforge.gun import read_range

    return _read(option, text, read_range)


@dataclass(frozen=True)
class Origin:
    """Which showers to make: how many, and of which particles."""

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
        typer.Option(
            metavar="FILE.h5", help="Take the particles of this file: species, energy, direction."
        ),
    ] = None

    def particles(self, seed: int, pdg: int | None) -> "ParticleSource":
        """The particles.

        Arguments:
            seed: The seed of the energies.
            pdg: The species, where no file says it.
        """
        from caloforge.gun import Gun

        if (self.energy is None) == (self.like is None):
            msg = "give either --energy or --like, to say where the incident energies come from"
            raise OptionError(msg)
        if self.like is not None:
            return _like(self.like, self.number, pdg)
        if self.number is None:
            msg = "with --energy, say how many showers: -n 1000"
            raise OptionError(msg)
        return Gun(self.number, spectrum(str(self.energy)), seed, pdg)


def _like(path: Path, number: int | None, pdg: int | None) -> "ParticleSource":
    from caloforge.gun import like
    from caloforge.io import open_showers

    showers = open_showers(path)
    if number is not None and number > len(showers):
        msg = f"-n {number}: {path} holds {len(showers)} particles only"
        raise OptionError(msg)
    found = like(showers, number)
    return replace(found, pdg=pdg) if found.pdg is None else found
