"""Which particles to make showers of: those of a gun, or of another file."""

__all__ = ["Beam", "Origin"]

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._options import (
    MOST_SHOWERS,
    OptionError,
    asked,
    existing,
)
from caloforge.spectra import (
    Area,
    Interval,
    Mixture,
    read_angle,
    read_area,
    read_species,
    read_spectrum,
)

if TYPE_CHECKING:
    from caloforge.geometry import Calorimeter
    from caloforge.gun import ParticleSource

_CELL = "cell"


def _impact(text: str) -> Area | None:
    """The area that a text says; None for that of a cell."""
    return None if text == _CELL else read_area(text)


@dataclass(frozen=True)
class Beam:
    """Which particles a gun shoots, and how they arrive."""

    particle: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PDG|MIXTURE",
            show_default="that of --like, or of what simulates",
            help="The species, e-, gamma, pi+ or a PDG number, or a mixture: e-:2,gamma:1.",
            callback=asked(read_species),
        ),
    ] = None
    theta: Annotated[
        str | None,
        typer.Option(
            metavar="ANGLE|LOW:HIGH",
            show_default="along the axis",
            help="Polar angle, 30deg, or its range, 0deg:45deg.",
            callback=asked(read_angle),
        ),
    ] = None
    phi: Annotated[
        str | None,
        typer.Option(
            metavar="ANGLE|LOW:HIGH",
            show_default="0deg",
            help="Azimuth, or its range.",
            callback=asked(read_angle),
        ),
    ] = None
    impact: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y|cell",
            show_default="the centre",
            help="Place on the front face, 5mm,-2mm, ranges of both, or anywhere in a cell.",
            callback=asked(_impact),
        ),
    ] = None

    def species(self, usual: int | None) -> int | Mixture | None:
        """The species; the usual one where none is asked for."""
        return usual if self.particle is None else read_species(self.particle)

    def angles(self) -> tuple[Interval | None, Interval | None]:
        """Polar angle and azimuth, in radians."""
        theta, phi = (None if text is None else read_angle(text) for text in (self.theta, self.phi))
        return theta, phi

    def area(self, calorimeter: "Calorimeter") -> Area | None:
        """The area of the front face in which particles arrive."""
        from caloforge.gun import cell_of

        if self.impact == _CELL:
            return cell_of(calorimeter)
        return None if self.impact is None else read_area(self.impact)

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
            callback=asked(read_spectrum),
        ),
    ] = None
    like: Annotated[
        Path | None,
        existing("FILE.h5", "Take the particles of this file: all that it says of them."),
    ] = None

    def require(self, beam: Beam) -> None:
        """Check, before anything is imported, that these options go together."""
        if (self.energy is None) == (self.like is None):
            msg = "give either --energy or --like, to say where the incident energies come from"
            raise OptionError(msg)
        if self.like is not None and beam.geometry:
            what = " and ".join(beam.geometry)
            msg = f"--like {self.like} says how particles arrive: leave out {what}"
            raise OptionError(msg)
        if self.like is None and self.number is None:
            msg = "with --energy, say how many showers: -n 1000"
            raise OptionError(msg)

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

        if self.like is not None:
            return _like(self.like, self.number, beam, pdg)
        spectrum, area = read_spectrum(str(self.energy)), beam.area(calorimeter)
        return Gun(self.number or 0, spectrum, seed, beam.species(pdg), *beam.angles(), area)


def _like(path: Path, number: int | None, beam: Beam, pdg: int | None) -> "ParticleSource":
    from caloforge.gun import like
    from caloforge.io import open_showers

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
