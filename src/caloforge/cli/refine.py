"""`caloforge refine`: better showers from showers."""

__all__ = ["refine"]

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import say
from caloforge.cli._options import (
    Machine,
    ModelArgument,
    NewShowers,
    OptionError,
    Seed,
    Strict,
    existing_argument,
    grouped,
)
from caloforge.cli._producing import Run, made, produced

if TYPE_CHECKING:
    from caloforge.metrics import Dilution
    from caloforge.models import LearnedRefiner
    from caloforge.simulators import Refiner


@dataclass(frozen=True)
class Passage:
    """How to cross a bridge, and how far weights may dilute."""

    steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", show_default="the model's own", help="How many steps."),
    ] = None
    seed: Seed = 0
    reverse: Annotated[bool, typer.Option("--reverse", help="From full to fast simulation.")] = (
        False
    )
    strict: Strict = False
    least: Annotated[
        float,
        typer.Option(
            "--least-effective",
            min=0,
            max=1,
            metavar="SHARE",
            help="Refuse weights whose effective size, or mean, is less.",
        ),
    ] = 0.01

    def maker(self, refiner: "LearnedRefiner") -> "Refiner":
        """The refiner, with what the options settle."""
        from caloforge.chain import Crossing, Weighing
        from caloforge.models import Bridge

        if isinstance(refiner, Bridge):
            return Crossing(refiner, self.steps, self.reverse)
        for option, value in (("--steps", self.steps), ("--reverse", self.reverse or None)):
            if value is not None:
                msg = f"{option}: model {refiner.card.name} is no bridge, which alone takes steps"
                raise OptionError(msg)
        return Weighing(refiner, self.least)


def _dilution(path: Path) -> "Dilution | None":
    """What the weights of a file make of it; None without weights."""
    from caloforge.io import open_showers
    from caloforge.metrics import Dilution

    weights = open_showers(path).weights
    return None if weights is None else Dilution.of(weights.numpy())


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
    an interrupted run are kept, see --resume. A refiner that reweights leaves the deposits and
    writes weights; caloforge unweight makes of them showers that count once each.

    \b
    Examples:
      caloforge refine squirels-fast fast.h5 refined.h5
      caloforge refine squirels-fast fast.h5 refined.h5 --seed 7 --threads 1
      caloforge refine squirels-laptop geant4.h5 fast-like.h5 --reverse
      caloforge refine my-model fast.h5 refined.h5 --resume
    """
    run.require(output)
    from caloforge import zoo
    from caloforge.io import open_showers
    from caloforge.production import Moved

    device = machine.start()
    refiner = zoo.load_refiner(model).to(device)
    showers = Moved(open_showers(source, refiner.calorimeter), device)
    result = produced(
        showers,
        passage.maker(refiner),
        output,
        run,
        seed=passage.seed,
        strict=passage.strict,
        doing="refining",
    )
    made(result, f"showers refined by {refiner.card.name}")
    dilution = _dilution(output)
    if dilution is not None:
        say(f"weights: {dilution}")
