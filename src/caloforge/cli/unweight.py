"""`caloforge unweight`: showers that count once each from weighted ones."""

__all__ = ["unweight"]

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from caloforge.cli._console import say
from caloforge.cli._options import NewShowers, existing_argument, grouped, seed_option
from caloforge.cli._producing import Run, kept
from caloforge.cli._progress import bar


@grouped
def unweight(
    source: Annotated[Path, existing_argument("IN.h5", "The weighted showers.")],
    output: NewShowers,
    run: Run,
    seed: Annotated[int, seed_option("The same seed keeps the same showers.")] = 0,
    largest: Annotated[
        float | None,
        typer.Option(
            metavar="W",
            show_default="the largest weight",
            help="Showers of this weight and above are kept for sure.",
        ),
    ] = None,
) -> None:
    """Keep showers by their weights, so that each counts once: shower i with the probability w / W.

    Whether shower i is kept depends on the seed, i and its weight alone. The efficiency is the mean
    weight over W. A smaller W keeps more; what the weights above it lose is counted.

    \b
    Examples:
      caloforge unweight weighted.h5 showers.h5
      caloforge unweight weighted.h5 showers.h5 --seed 3 --largest 5
    """
    run.require(output)
    from caloforge.io import open_showers
    from caloforge.io.unweighting import Unweighted
    from caloforge.production import copy

    showers = Unweighted(open_showers(source), seed, largest)
    with kept(output), bar("unweighting", len(showers)) as advance:
        copy(showers, output, progress=advance, **asdict(run))
    say(f"{output}: {showers.report}")
