"""`caloforge simulate`: showers from particles."""

__all__ = ["geant4", "gflash", "simulate", "write_gflash"]

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import bar, say, tell
from caloforge.cli._energies import Energies, Origin
from caloforge.cli._options import BatchSize, Machine, OptionError, Overwrite, Seed, grouped
from caloforge.cli._writing import write_made
from caloforge.errors import Geant4Error

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from caloforge.showers import Showers
    from caloforge.simulators import GFlash

simulate = typer.Typer(no_args_is_help=True, help="Make showers from particles.")


@simulate.callback()
def about() -> None:
    """Make showers from particles."""


@dataclass(frozen=True)
class FastSimulation:
    """Which GFlash shall work."""

    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.yaml",
            show_default="pbwo4-10x10",
            help="A detector of the package, or a YAML file.",
        ),
    ] = None
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
        typer.Option(
            metavar="FILE.yaml",
            help="What 'caloforge tune gflash' wrote: detector, response, constants.",
        ),
    ] = None

    def simulator(self) -> "GFlash":
        """The simulator."""
        from caloforge.detector import load_detector
        from caloforge.simulators import gflash_of, load_gflash

        if self.tuned is None:
            found = gflash_of(
                load_detector("pbwo4-10x10" if self.detector is None else self.detector)
            )
            return found if self.response is None else replace(found, response=self.response)
        if self.detector is not None or self.response is not None:
            msg = (
                f"--tuned {self.tuned.name}: the file says detector and response, leave out "
                "--detector and --response"
            )
            raise OptionError(msg)
        return load_gflash(self.tuned)


@simulate.command()
@grouped
def gflash(
    output: Annotated[
        Path, typer.Argument(metavar="OUT.h5", help="The file to write, in CaloChallenge layout.")
    ],
    seed: Seed,
    origin: Origin,
    machine: Machine,
    fast: FastSimulation,
    batch_size: BatchSize = 1000,
    overwrite: Overwrite = False,
) -> None:
    """Simulate electron showers by GFlash, the parametrisation of Grindhammer and Peters.

    Shower i depends on the seed, on i and on its energy alone. With --like, -n takes the first
    energies of the file. Detectors: calogan-3layer, ild-ecal-30, par04-highgran, par04-lowgran,
    pbwo4-10x10.

    \b
    Examples:
      caloforge simulate gflash -n 10000 --energy 10GeV:100GeV --seed 1 fast.h5
      caloforge simulate gflash -n 10000 --energy 1GeV:1TeV:log --seed 1 fast.h5
      caloforge simulate gflash -n 2000 --energy 50GeV --seed 2 fast-50gev.h5
      caloforge simulate gflash --like geant4.h5 --seed 3 fast.h5
      caloforge simulate gflash --detector par04-lowgran -n 1000 --energy 50GeV --seed 4 fast.h5
      caloforge simulate gflash --like geant4.h5 --seed 3 --tuned tuned.yaml fast.h5
    """
    device = machine.start()
    simulator = fast.simulator()
    energies = origin.energies(seed)
    write_gflash(
        output,
        energies,
        simulator,
        seed=seed,
        device=device,
        batch_size=batch_size,
        overwrite=overwrite,
    )
    say(f"{output}: {len(energies):,} GFlash showers")


@dataclass(frozen=True)
class FullSimulation:
    """How Geant4 shall work."""

    particle: Annotated[
        str,
        typer.Option(
            metavar="NAME|PDG",
            help="The species by its PDG name, e-, gamma, pi+, K(L)0, or by its PDG number.",
        ),
    ] = "e-"
    physics: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="FTFP_BERT, FTFP_BERT_EMV, ..., or em-standard, em-option1, ... without hadrons.",
        ),
    ] = "FTFP_BERT"
    cut: Annotated[
        float, typer.Option(metavar="MM", help="Secondaries with a shorter range are not made.")
    ] = 0.7
    workers: Annotated[
        int,
        typer.Option(min=1, metavar="W", help="How many processes work; never changes the result."),
    ] = 1
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Geant4's data sets; without it, GEANT4_DATA_DIR and the usual places.",
        ),
    ] = None

    @property
    def pdg(self) -> int:
        """The PDG number of the species."""
        from caloforge.particles import pdg_of

        return pdg_of(self.particle)


@simulate.command()
@grouped
def geant4(
    detector: Annotated[
        str, typer.Argument(metavar="DETECTOR", help="A detector of the package, or a YAML file.")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUT.h5", help="The file to write, in CaloChallenge layout.")
    ],
    seed: Seed,
    origin: Origin,
    full: FullSimulation,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Simulate showers in a detector by Geant4, particle by particle.

    Shower i depends on the seed, on i and on its energy alone. Finished showers of an interrupted
    run are kept, see --resume. Detectors: calogan-3layer, ild-ecal-30, par04-highgran,
    par04-lowgran, pbwo4-10x10.

    \b
    Examples:
      caloforge simulate geant4 pbwo4-10x10 -n 400 --energy 50GeV --seed 1 full.h5
      caloforge simulate geant4 par04-lowgran -n 1000 --energy 50GeV --workers 8 --seed 1 full.h5
      caloforge simulate geant4 my.yaml --particle gamma --like other.h5 --seed 2 --resume full.h5
    """
    import torch

    from caloforge.detector import load_detector
    from caloforge.particles import Particles
    from caloforge.simulators.geant4 import Geant4, journal, record

    simulator = Geant4(load_detector(detector), full.physics, full.cut, full.workers, full.data)
    energies = origin.energies(seed)
    particles = Particles(torch.as_tensor(energies[0 : len(energies)]), full.pdg)
    try:
        with bar("simulating", len(particles)) as advance:
            before = record(
                simulator,
                particles,
                output,
                seed=seed,
                resume=resume,
                overwrite=overwrite,
                progress=advance,
            )
    except (KeyboardInterrupt, Geant4Error):
        if journal(output).exists():
            tell(
                f"{output}: the finished showers are kept in {journal(output).name}; --resume "
                "goes on with them"
            )
        raise
    from_before = f", {before:,} of them from before" if before else ""
    say(f"{output}: {len(particles):,} Geant4 showers{from_before}")


def write_gflash(
    output: Path,
    energies: Energies,
    simulator: "GFlash",
    *,
    seed: int,
    batch_size: int,
    device: "torch.device | str",
    overwrite: bool,
) -> float:
    """Simulate showers of electrons of these energies, in MeV, by GFlash into a file.

    Returns:
        The time of the simulation, without the writing, in ms a shower.
    """
    from caloforge.particles import Particles

    def make(some: "Tensor", first: int) -> "Showers":
        return simulator.simulate(Particles(some.to(device)), seed=seed, first_index=first)

    return write_made(
        output,
        simulator.calorimeter,
        energies,
        make,
        doing="simulating",
        made_by={
            "generator": "caloforge GFlash",
            "response": f"{float(simulator.response):g}",
            "seed": str(seed),
        },
        batch_size=batch_size,
        overwrite=overwrite,
    )
