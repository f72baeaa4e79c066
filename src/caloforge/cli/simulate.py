"""`caloforge simulate`: showers from particles."""

__all__ = ["geant4", "gflash", "simulate"]

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from caloforge.bundled import DETECTORS
from caloforge.cli._energies import Beam, Origin
from caloforge.cli._full_simulation import FullSimulation
from caloforge.cli._options import (
    DetectorArgument,
    Machine,
    NewShowers,
    OptionError,
    Overwrite,
    Seed,
    existing,
    given,
    grouped,
)
from caloforge.cli._producing import Run, made, produced
from caloforge.cli._replacing import hybrid
from caloforge.cli.generate import generate
from caloforge.errors import quoted

if TYPE_CHECKING:
    from caloforge.simulators import GFlash


class _Makers(TyperGroup):
    """The simulators by name; any other name is that of a model."""

    MODEL = "MODEL"

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of a name."""
        known = args[0] in self.commands or args[0].startswith("-")
        return super().resolve_command(ctx, args if known else [self.MODEL, *args])


simulate = typer.Typer(cls=_Makers, no_args_is_help=True)


@simulate.callback()
def about() -> None:
    """Make showers from particles: by GFlash, by Geant4, or by a model that has learned them.

    \b
    Examples:
      caloforge simulate gflash -n 10000 --energy 10GeV:100GeV --seed 1 fast.h5
      caloforge simulate geant4 pbwo4-10x10 -n 400 --energy 50GeV --seed 1 full.h5
      caloforge simulate calodream-ds2-laptop -n 100 --energy 50GeV --seed 1 generated.h5
      caloforge simulate hybrid pbwo4-10x10 --with gflash -n 100 --energy 50GeV --seed 1 hybrid.h5
    """


@dataclass(frozen=True)
class Where:
    """In which detector GFlash shall work; --detector named it in earlier versions."""

    detectors: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DETECTOR",
            help="A detector of the package, or a YAML file; without it, pbwo4-10x10.",
            callback=given(DETECTORS.find),
        ),
    ] = None
    detector: Annotated[str | None, typer.Option(hidden=True, callback=given(DETECTORS.find))] = (
        None
    )

    @property
    def name(self) -> str | None:
        """The detector; None where none is given."""
        named = [*(self.detectors or ()), *((self.detector,) if self.detector else ())]
        if len(named) > 1:
            msg = f"{len(named)} detectors, {', '.join(map(quoted, named))}: expected one"
            raise OptionError(msg)
        return named[0] if named else None


@dataclass(frozen=True)
class FastSimulation:
    """Which GFlash shall work."""

    response: Annotated[
        float | None,
        typer.Option(
            metavar="FACTOR",
            show_default="1",
            help="A factor on what is read, fitted to full showers.",
        ),
    ] = None
    tuned: Annotated[
        Path | None,
        existing("FILE.yaml", "What 'caloforge tune gflash' wrote: detector, response, constants."),
    ] = None

    def require(self, detector: str | None) -> None:
        """Check, before anything is imported, that these options go together."""
        if self.tuned is not None and (detector is not None or self.response is not None):
            msg = (
                f"--tuned {self.tuned.name}: the file says detector and response, leave out "
                "DETECTOR and --response"
            )
            raise OptionError(msg)

    def simulator(self, detector: str | None) -> "GFlash":
        """The simulator."""
        from caloforge.detector import load_detector
        from caloforge.simulators import gflash_of, load_gflash

        if self.tuned is None:
            found = gflash_of(load_detector(detector or "pbwo4-10x10"))
            return found if self.response is None else replace(found, response=self.response)
        return load_gflash(self.tuned)


@simulate.command()
@grouped
def gflash(
    where: Where,
    output: NewShowers,
    origin: Origin,
    beam: Beam,
    machine: Machine,
    fast: FastSimulation,
    run: Run,
    seed: Seed = 0,
) -> None:
    """Simulate electromagnetic showers by GFlash, the parametrisation of Grindhammer and Peters.

    Electrons, positrons and photons, up to 60 degrees to the axis. Shower i depends on the seed, i
    and its particle alone. With --like, -n takes the first particles
    of the file. The finished showers of an interrupted run are kept, see --resume. Detectors:
    ahcal-48, calogan-3layer, hgcal-si, ild-ecal-30, ild-ecal-hcal, par04-highgran, par04-lowgran,
    par04-siw, pbwo4-10x10.

    \b
    Examples:
      caloforge simulate gflash -n 10000 --energy 10GeV:100GeV --seed 1 fast.h5
      caloforge simulate gflash -n 10000 --energy 1GeV:1TeV:log --seed 1 fast.h5
      caloforge simulate gflash -n 2000 --energy 50GeV --seed 2 fast-50gev.h5
      caloforge simulate gflash -n 1000 --energy 5GeV --particle gamma --theta 0deg:40deg fast.h5
      caloforge simulate gflash --like geant4.h5 --seed 3 fast.h5
      caloforge simulate gflash par04-lowgran -n 1000 --energy 50GeV --seed 4 fast.h5
      caloforge simulate gflash --like geant4.h5 --seed 3 --tuned tuned.yaml fast.h5
    """
    run.require(output)
    origin.require(beam)
    fast.require(where.name)
    from caloforge.particles import ELECTRON
    from caloforge.production import Moved

    device, simulator = machine.start(), fast.simulator(where.name)
    particles = Moved(origin.particles(beam, seed, ELECTRON, simulator.calorimeter), device)
    result = produced(particles, simulator, output, run, seed=seed, doing="simulating")
    made(result, "GFlash showers")


@simulate.command()
@grouped
def geant4(
    detector: DetectorArgument,
    output: NewShowers,
    origin: Origin,
    beam: Beam,
    full: FullSimulation,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, to the same file.")
    ] = False,
    overwrite: Overwrite = False,
    seed: Seed = 0,
) -> None:
    """Simulate showers in a detector by Geant4, particle by particle.

    Shower i depends on the seed, i and its particle alone. The finished showers of an interrupted
    run are kept, see --resume. Detectors: ahcal-48, calogan-3layer, hgcal-si,
    ild-ecal-30, ild-ecal-hcal, par04-highgran, par04-lowgran, par04-siw, pbwo4-10x10.

    \b
    Examples:
      caloforge simulate geant4 pbwo4-10x10 -n 400 --energy 50GeV --seed 1 full.h5
      caloforge simulate geant4 par04-lowgran -n 1000 --energy 50GeV --workers 8 --seed 1 full.h5
      caloforge simulate geant4 my.yaml --particle gamma --like other.h5 --seed 2 --resume full.h5
      caloforge simulate geant4 ild-ecal-30 -n 400 --energy 5GeV --theta 0deg:30deg --seed 3 full.h5
      caloforge simulate geant4 ahcal-48 -n 5 --particle pi+ --energy 10GeV --record hits pions.h5
    """
    run = Run(resume=resume, overwrite=overwrite)
    run.require(output)
    origin.require(beam)
    full.require()
    from caloforge.detector import load_detector
    from caloforge.particles import ELECTRON

    simulator = full.simulator(load_detector(detector))
    source = origin.particles(beam, seed, ELECTRON, simulator.calorimeter)
    particles = source[0 : len(source)]
    result = produced(particles, simulator, output, run, seed=seed, doing="simulating")
    made(result, "Geant4 showers")


simulate.command()(hybrid)
simulate.command(_Makers.MODEL)(generate)
