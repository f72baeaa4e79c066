"""`caloforge refine`: better showers from showers."""

__all__ = ["refine"]

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from caloforge.cli._options import (
    Machine,
    ModelArgument,
    NewShowers,
    Seed,
    Strict,
    existing_argument,
    grouped,
)
from caloforge.cli._producing import Run, made, produced


@dataclass(frozen=True)
class Passage:
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
    model: ModelArgument,
    source: Annotated[
        Path,
        existing_argument("IN.h5", "The showers to refine."),
    ],
    output: NewShowers,
    passage: Passage,
    machine: Machine,
    run: Run,
) -> None:
    """Refine showers with a model, a batch at a time, in bounded memory.

    Shower i depends on the model, the seed, i and the input shower alone. The finished showers of
    an interrupted run are kept, see --resume.

    \b
    Examples:
      caloforge refine squirels-fast fast.h5 refined.h5
      caloforge refine squirels-fast fast.h5 refined.h5 --seed 7 --threads 1
      caloforge refine squirels-laptop geant4.h5 fast-like.h5 --reverse
      caloforge refine my-model fast.h5 refined.h5 --resume
    """
    run.require(output)
    from caloforge import zoo
    from caloforge.chain import Crossing
    from caloforge.io import open_showers
    from caloforge.production import Moved

    device = machine.start()
    refiner = zoo.load(model).to(device)
    showers = Moved(open_showers(source, refiner.calorimeter), device)
    bridge = Crossing(refiner, passage.steps, passage.reverse)
    result = produced(
        showers,
        bridge,
        output,
        run,
        seed=passage.seed,
        strict=passage.strict,
        doing="refining",
    )
    made(result, f"showers refined by {refiner.card.name}")
