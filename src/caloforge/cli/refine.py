"""`caloforge refine`: better showers from showers."""

__all__ = ["Bridge", "refine", "write_refined"]

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import say
from caloforge.cli._options import BatchSize, Machine, Overwrite, Seed, Strict, grouped
from caloforge.cli._writing import write_made

if TYPE_CHECKING:
    from caloforge import models
    from caloforge.showers import Showers, ShowerSource


@dataclass(frozen=True)
class Bridge:
    """How to cross the bridge."""

    steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", show_default="the model's own", help="How many steps."),
    ] = None
    seed: Seed = 0
    reverse: Annotated[bool, typer.Option("--reverse", help="From full to fast simulation.")] = (
        False
    )
    strict: Strict = False


@grouped
def refine(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A name from 'caloforge models', or a trained directory."
        ),
    ],
    source: Annotated[Path, typer.Argument(metavar="IN.h5", help="The showers to refine.")],
    output: Annotated[Path, typer.Argument(metavar="OUT.h5", help="The file to write.")],
    bridge: Bridge,
    machine: Machine,
    batch_size: BatchSize = 1000,
    overwrite: Overwrite = False,
) -> None:
    """Refine showers with a model, a batch at a time, in bounded memory.

    Shower i depends on the model, the seed, on i and on the shower that it was alone.

    \b
    Examples:
      caloforge refine squirels-fast fast.h5 refined.h5
      caloforge refine squirels-fast fast.h5 refined.h5 --seed 7 --threads 1
      caloforge refine squirels-laptop geant4.h5 fast-like.h5 --reverse
      caloforge refine my-model fast.h5 refined.h5 --strict
    """
    from caloforge import zoo
    from caloforge.io import open_showers

    refiner = zoo.load(model).to(machine.start())
    showers = open_showers(source, refiner.calorimeter)
    write_refined(output, refiner, showers, bridge, batch_size=batch_size, overwrite=overwrite)
    say(f"{output}: {len(showers):,} showers refined by {refiner.card.name}")


def write_refined(
    output: Path,
    refiner: "models.Bridge",
    showers: "ShowerSource",
    bridge: Bridge,
    *,
    batch_size: int,
    overwrite: bool,
) -> float:
    """Refine showers into a file.

    Returns:
        The time of the refinement, without reading and writing, in ms a shower.
    """
    card, device = refiner.card, next(refiner.parameters()).device

    def make(some: "Showers", first: int) -> "Showers":
        return refiner.refine(some.to(device), first_index=first, **asdict(bridge))

    return write_made(
        output,
        showers.calorimeter,
        showers,
        make,
        doing="refining",
        made_by={"model": card.name, "model_sha256": card.sha256, "seed": str(bridge.seed)},
        batch_size=batch_size,
        overwrite=overwrite,
    )
