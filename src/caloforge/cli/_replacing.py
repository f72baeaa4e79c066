"""`caloforge simulate hybrid`: Geant4's events, some showers of which a surrogate makes."""

__all__ = ["hybrid"]

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import say, tell
from caloforge.cli._energies import Beam, Origin
from caloforge.cli._full_simulation import FullSimulation
from caloforge.cli._options import (
    BatchSize,
    DetectorArgument,
    NewShowers,
    OptionError,
    Seed,
    asked,
    given,
    grouped,
)
from caloforge.cli._producing import Run, made, produced
from caloforge.errors import GeometryError, ShowerValueError, quoted
from caloforge.species import ELECTRON, pdg_of
from caloforge.units import parse_angle, parse_energy, parse_length

if TYPE_CHECKING:
    from caloforge.detector import Detector
    from caloforge.hybrid import Hybrid
    from caloforge.simulators import Geant4, Simulator

_GFLASH = "gflash"


def _species(text: str) -> tuple[int, ...]:
    return tuple(pdg_of(name) for name in text.split(","))


def _within(text: str) -> tuple[float, float]:
    """An angle, in radians, and a length, in mm, of a text such as 1deg,2mm."""
    angle, comma, length = text.partition(",")
    if not comma:
        msg = f"{quoted(text)}: expected an angle and a length, such as 1deg,2mm"
        raise ShowerValueError(msg)
    return parse_angle(angle), parse_length(length)


def _slab(text: str) -> tuple[str, float]:
    """The material and the thickness, in mm, of a text such as G4_Al:20mm."""
    material, colon, thickness = text.partition(":")
    if not colon or not material:
        msg = f"--front {quoted(text)}: expected a material and a thickness, such as G4_Al:20mm"
        raise OptionError(msg)
    return material, parse_length(thickness)


@dataclass(frozen=True)
class Replacing:
    """Which showers a surrogate makes."""

    model: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="MODEL|gflash[+REFINER]",
            help="What makes them; without it, Geant4 simulates all.",
        ),
    ] = None
    replace: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            show_default="all that the model is made for",
            help="The species whose showers it makes, such as e-,e+,gamma.",
            callback=asked(_species),
        ),
    ] = None
    above: Annotated[
        str | None,
        typer.Option(
            metavar="ENERGY",
            show_default="the model's least energy",
            help="Their least energy at the front face.",
            callback=asked(parse_energy),
        ),
    ] = None
    within: Annotated[
        str,
        typer.Option(
            metavar="ANGLE,LENGTH",
            help="Take also particles that exceed the model's angles and places by so much.",
            callback=asked(_within),
        ),
    ] = "0deg,0mm"

    def require(self) -> None:
        """Check, before anything is imported, that there is what shall replace."""
        if self.model is None and not (self.replace is self.above is None):
            msg = "--replace and --above say which showers a model makes: name it by --with"
            raise OptionError(msg)

    def maker(self, geant4: "Geant4") -> "Hybrid":
        """The hybrid simulator."""
        from caloforge.hybrid import Hybrid

        angle, offset = _within(self.within)
        return Hybrid(
            geant4,
            self._surrogate(geant4.detector),
            () if self.replace is None else _species(self.replace),
            0.0 if self.above is None else parse_energy(self.above),
            angle,
            offset,
        )

    def _surrogate(self, detector: "Detector") -> "Simulator | None":
        """The model, or GFlash behind what stands before the face, with the refiners named."""
        if self.model is None:
            return None
        from caloforge import zoo
        from caloforge.chain import Chain
        from caloforge.simulators import gflash_of

        name, *refiners = self.model.split("+")
        bare = replace(detector, front=(), distance=0.0)
        first = gflash_of(bare) if name == _GFLASH else zoo.load_surrogate(name)
        return Chain(first, *map(zoo.load_refiner, refiners)) if refiners else first


@dataclass(frozen=True)
class Setting:
    """What an event is, and what stands before the calorimeter."""

    each: Annotated[
        int, typer.Option(min=1, metavar="K", help="How many particles an event has.")
    ] = 1
    front: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MATERIAL:LENGTH",
            help="Matter before the front face, in order; again for more.",
            callback=given(_slab),
        ),
    ] = None

    def behind(self, detector: "Detector") -> "Detector":
        """The detector, with matter before what it has in front already."""
        from caloforge.detector import Slab

        if not self.front:
            return detector
        if detector.inner_radius is not None:
            msg = (
                f"--front: the face of detector '{detector.name}' is no plane: nothing stands there"
            )
            raise GeometryError(msg)
        slabs = (*(Slab(*_slab(text)) for text in self.front), *detector.front)
        distance = max(detector.distance, sum(slab.thickness for slab in slabs))
        return replace(detector, front=slabs, distance=distance)


@dataclass(frozen=True)
class EventRun(Run):
    """How a file of events is made: these take long, and a batch of them is kept."""

    batch_size: BatchSize = 100


@grouped
def hybrid(
    detector: DetectorArgument,
    output: NewShowers,
    origin: Origin,
    beam: Beam,
    replacing: Replacing,
    full: FullSimulation,
    setting: Setting,
    run: EventRun,
    seed: Seed = 0,
) -> None:
    """Simulate events by Geant4, and some of their showers by a surrogate.

    An event has --each particles; -n counts events. Particles that enter the front face, and that
    the surrogate is made for, are taken out of Geant4; their showers are put back as energies of
    the same cells. Without --with Geant4 simulates the same events whole. Event i depends on the
    seed, i and its particles alone.

    \b
    Examples:
      caloforge simulate hybrid pbwo4-10x10 --with gflash -n 100 --energy 50GeV --seed 1 hybrid.h5
      caloforge simulate hybrid pbwo4-10x10 -n 100 --each 20 --energy 10GeV --seed 1 full.h5
      caloforge simulate hybrid pbwo4-10x10 --with gflash --replace e- --above 5GeV --like a.h5 b.h5
      caloforge simulate hybrid pbwo4-10x10 --with gflash --front G4_Al:20mm -n 9 --energy 9GeV b.h5
      caloforge simulate hybrid par04-lowgran --with my-model -n 9 --each 20 --energy 9GeV out.h5
    """
    run.require(output)
    origin.require(beam)
    full.require()
    replacing.require()
    from caloforge.detector import load_detector
    from caloforge.hybrid import EventSource

    simulator = replacing.maker(full.simulator(setting.behind(load_detector(detector))))
    number = None if origin.number is None else setting.each * origin.number
    asked_for = replace(origin, number=number)
    particles = asked_for.particles(beam, seed, ELECTRON, simulator.calorimeter)
    source = EventSource(particles, setting.each)
    result = produced(source, simulator, output, run, seed=seed, doing="simulating")
    made(result, f"events of {setting.each}")
    _report(simulator)


def _report(simulator: "Hybrid") -> None:
    counts = simulator.counts
    if simulator.surrogate is None or not counts["events"]:
        return
    say(f"  {counts['replaced']:,} showers by the surrogate")
    if not counts["replaced"]:
        tell(
            "no particle was replaced: none of these species entered with such an energy, angle "
            "and place: see --above and --within"
        )
