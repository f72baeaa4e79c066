"""`caloforge simulate`: showers from particles."""

__all__ = ["gflash", "simulate", "write_gflash"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import say
from caloforge.cli._energies import Energies, Origin
from caloforge.cli._options import BatchSize, Machine, Overwrite, Seed, grouped
from caloforge.cli._writing import write_made

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from caloforge.showers import Showers

simulate = typer.Typer(no_args_is_help=True, help="Make showers from particles.")


@simulate.callback()
def about() -> None:
    """Make showers from particles."""


@simulate.command()
@grouped
def gflash(
    output: Annotated[Path, typer.Argument(metavar="OUT.h5", help="The file to write, in CaloChallenge layout.")],
    seed: Seed,
    origin: Origin,
    machine: Machine,
    batch_size: BatchSize = 1000,
    overwrite: Overwrite = False,
) -> None:
    """Simulate electron showers in the 10 x 10 PbWO4 crystals by GFlash, the parametrisation of Grindhammer and Peters.

    Shower i depends on the seed, on i and on its energy alone. With --like, -n takes the first energies of the file.

    \b
    Examples:
      caloforge simulate gflash -n 10000 --energy 10GeV:100GeV --seed 1 fast.h5
      caloforge simulate gflash -n 10000 --energy 1GeV:1TeV:log --seed 1 fast.h5
      caloforge simulate gflash -n 2000 --energy 50GeV --seed 2 fast-50gev.h5
      caloforge simulate gflash --like geant4.h5 --seed 3 fast.h5
    """
    device = machine.start()
    energies = origin.energies(seed)
    write_gflash(output, energies, seed=seed, device=device, batch_size=batch_size, overwrite=overwrite)
    say(f"{output}: {len(energies):,} GFlash showers")


def write_gflash(
    output: Path,
    energies: Energies,
    *,
    seed: int,
    batch_size: int,
    device: "torch.device | str",
    overwrite: bool,
) -> float:
    """Simulate showers of electrons of these energies, in MeV, into a file.

    Returns:
        The time of the simulation, without the writing, in ms a shower.
    """
    from caloforge.showers import Particles
    from caloforge.simulators import pbwo4_gflash

    simulator = pbwo4_gflash()

    def make(some: "Tensor", first: int) -> "Showers":
        return simulator.simulate(Particles(some.to(device)), seed=seed, first_index=first)

    return write_made(
        output,
        simulator.calorimeter,
        energies,
        make,
        doing="simulating",
        made_by={"generator": "caloforge GFlash", "seed": str(seed)},
        batch_size=batch_size,
        overwrite=overwrite,
    )
