"""Which particles to make showers of: those of a gun, or of another file."""

__all__ = ["Beam", "Origin", "energy_range", "spectrum"]

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from caloforge.cli._options import MOST_SHOWERS, OptionError
from caloforge.errors import ShowerValueError, UnitError

if TYPE_CHECKING:
    from caloforge.geometry import Calorimeter
    from caloforge.gun import Area, Interval, Mixture, ParticleSource, Spectrum

_Read = TypeVar("_Read")
_CELL = "cell"


def _read(option: str, text: str, read: Callable[[str], _Read]) -> _Read:
    try:
        return read(text)
    except (UnitError, ShowerValueError) as error:
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
class Beam:
    """Which particles a gun shoots, and how they arrive."""

    particle: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PDG|MIXTURE",
            show_default="that of --like, or of what simulates",
            help="The species, e-, gamma, pi+ or a PDG number, or a mixture: e-:2,gamma:1.",
        ),
    ] = None
    theta: Annotated[
        str | None,
        typer.Option(
            metavar="ANGLE|LOW:HIGH",
            show_default="along the axis",
            help="Polar angle, 30deg, or its range, 0deg:45deg.",
        ),
    ] = None
    phi: Annotated[
        str | None,
        typer.Option(metavar="ANGLE|LOW:HIGH", show_default="0deg", help="Azimuth, or its range."),
    ] = None
    impact: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y|cell",
            show_default="the centre",
            help="Place on the front face, 5mm,-2mm, ranges of both, or anywhere in a cell.",
        ),
    ] = None

    def species(self, usual: int | None) -> "int | Mixture | None":
        """The species; the usual one where none is asked for."""
        from caloforge.gun import read_species

        return usual if self.particle is None else _read("--particle", self.particle, read_species)

    def angle(self, option: str, text: str | None) -> "Interval | None":
        """An angle, in radians."""
        from caloforge.gun import read_angle

        return None if text is None else _read(option, text, read_angle)

    def area(self, calorimeter: "Calorimeter") -> "Area | None":
        """The area of the front face in which particles arrive."""
        from caloforge.gun import cell_of, read_area

        if self.impact == _CELL:
            return cell_of(calorimeter)
        return None if self.impact is None else _read("--impact", self.impact, read_area)

    @property
    def geometry(self) -> list[str]:
        """The options given that say how particles arrive."""
        given = {"--theta": self.theta, "--phi": self.phi, "--impact": self.impact}
        return [option for option, value in given.items() if value is not None]


@dataclass(frozen=True)
class Origin:
    """Which showers to make: how many, and of which particles."""

    number: Annotated[
        int | None,
        typer.Option(
            "-n", "--number", min=1, max=MOST_SHOWERS, metavar="N", help="How many showers."
        ),
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
            metavar="FILE.h5", help="Take the particles of this file: all that it says of them."
        ),
    ] = None

    def particles(
        self, beam: Beam, seed: int, pdg: int | None, calorimeter: "Calorimeter"
    ) -> "ParticleSource":
        """The particles.

        Arguments:
            beam: What else is asked of them.
            seed: The seed of the gun.
            pdg: The species, where neither an option nor a file says it.
            calorimeter: Whose cells they meet.
        """
        from caloforge.gun import Gun

        if (self.energy is None) == (self.like is None):
            msg = "give either --energy or --like, to say where the incident energies come from"
            raise OptionError(msg)
        if self.like is not None:
            return _like(self.like, self.number, beam, pdg)
        if self.number is None:
            msg = "with --energy, say how many showers: -n 1000"
            raise OptionError(msg)
        return Gun(
            self.number,
            spectrum(str(self.energy)),
            seed,
            beam.species(pdg),
            beam.angle("--theta", beam.theta),
            beam.angle("--phi", beam.phi),
            beam.area(calorimeter),
        )


def _like(path: Path, number: int | None, beam: Beam, pdg: int | None) -> "ParticleSource":
    from caloforge.gun import Mixture, like
    from caloforge.io import open_showers

    if beam.geometry:
        msg = f"--like {path} says how particles arrive: leave out {' and '.join(beam.geometry)}"
        raise OptionError(msg)
    showers = open_showers(path)
    if number is not None and number > len(showers):
        msg = f"-n {number}: {path} holds {len(showers)} particles only"
        raise OptionError(msg)
    found, species = like(showers, number), beam.species(None)
    if isinstance(species, Mixture):
        msg = f"--like {path} says which particle each is: give --particle one species, or none"
        raise OptionError(msg)
    known = pdg if species is None and found.pdg is None else species
    return found if known is None else replace(found, pdg=known)
