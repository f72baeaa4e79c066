"""`caloforge simulate`: showers from particles."""

__all__ = ["UniformEnergies", "energy_range", "gflash", "simulate", "write_gflash"]

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, runtime_checkable

import typer

from caloforge.cli._console import Stopwatch, bar, say
from caloforge.cli._options import BatchSize, Machine, OptionError, Overwrite, Seed, grouped
from caloforge.units import parse_energy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ENERGY_STREAM = 0xE
"""The stream of the incident energies' random numbers (see `caloforge.streams`): one that no simulator or refiner uses."""


@runtime_checkable
class Energies(Protocol):
    """Incident energies, in MeV, that can be had by slices: a tensor, or drawn when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice) -> "Tensor": ...


@dataclass(frozen=True)
class UniformEnergies:
    """Uniform incident energies, in MeV, drawn slice by slice: number i depends on the seed and on i alone."""

    number: int
    low: float
    high: float
    seed: int

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: slice) -> "Tensor":
        import torch

        from caloforge import streams

        keys = streams.keys(self.seed, torch.arange(*index.indices(self.number)), ENERGY_STREAM)
        return (self.low + (self.high - self.low) * streams.uniforms(keys, 1)[:, 0]).float()


simulate = typer.Typer(no_args_is_help=True, help="Make showers from particles.")


@simulate.callback()
def about() -> None:
    """Make showers from particles."""


@simulate.command()
@grouped
def gflash(
    output: Annotated[Path, typer.Argument(metavar="OUT.h5", help="The file to write, in CaloChallenge layout.")],
    seed: Seed,
    machine: Machine,
    number: Annotated[int | None, typer.Option("-n", "--number", min=1, metavar="N", help="How many showers.")] = None,
    energy: Annotated[str | None, typer.Option(metavar="E|LOW:HIGH", help="Incident energy, or the range of it.")] = None,
    like: Annotated[Path | None, typer.Option(metavar="FILE.h5", help="Take the incident energies of this file.")] = None,
    batch_size: BatchSize = 1000,
    overwrite: Overwrite = False,
) -> None:
    """Simulate electron showers in the 10 x 10 PbWO4 crystals by GFlash, the parametrisation of Grindhammer and Peters.

    Shower i depends on the seed, on i and on its energy alone. With --like, -n takes the first energies of the file.

    \b
    Examples:
      caloforge simulate gflash -n 10000 --energy 10GeV:100GeV --seed 1 fast.h5
      caloforge simulate gflash -n 2000 --energy 50GeV --seed 2 fast-50gev.h5
      caloforge simulate gflash --like geant4.h5 --seed 3 fast.h5
    """
    device = machine.start()
    energies = _energies(number, energy, like, seed)
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
    from caloforge.io import CaloChallengeWriter
    from caloforge.showers import Particles, spans
    from caloforge.simulators import pbwo4_gflash

    simulator, watch = pbwo4_gflash(), Stopwatch()
    attributes = {"generator": "caloforge GFlash", "seed": str(seed)}
    writer = CaloChallengeWriter(output, simulator.calorimeter, overwrite=overwrite, attributes=attributes)
    with writer, bar("simulating", len(energies)) as advance:
        for span in spans(len(energies), batch_size):
            with watch:
                showers = simulator.simulate(Particles(energies[span].to(device)), seed=seed, first_index=span.start)
            writer.append(showers)
            advance(len(showers))
    return watch.milliseconds / max(len(energies), 1)


def _energies(number: int | None, energy: str | None, like: Path | None, seed: int) -> Energies:
    if (energy is None) == (like is None):
        msg = "give either --energy or --like, to say where the incident energies come from"
        raise OptionError(msg)
    if like is not None:
        return _energies_of(like, number)
    if number is None:
        msg = "with --energy, say how many showers: -n 1000"
        raise OptionError(msg)
    return UniformEnergies(number, *energy_range(str(energy)), seed)


def energy_range(text: str, option: str = "--energy") -> tuple[float, float]:
    """The lowest and the highest energy, in MeV, that ``E`` or ``LOW:HIGH`` says."""
    low, colon, high = text.partition(":")
    bounds = parse_energy(low), parse_energy(high if colon else low)
    if bounds[0] > bounds[1]:
        msg = f"{option} '{text}' runs downward: write LOW:HIGH"
        raise OptionError(msg)
    return bounds


def _energies_of(path: Path, number: int | None) -> "Tensor":
    """The first incident energies of a file, in MeV, read without its deposits staying in memory."""
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
