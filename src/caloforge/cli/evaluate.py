"""`caloforge evaluate`: how far samples of showers are apart."""

__all__ = ["evaluate"]

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    full: Annotated[Path, typer.Argument(metavar="FULL.h5", help="Showers of the full simulation.")],
    candidates: Annotated[list[Path], typer.Argument(metavar="CANDIDATE.h5...", help="Showers to compare with them.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the page, the figures and the numbers.")],
) -> None:
    """Compare samples.

    \b
    Examples:
      caloforge evaluate geant4.h5 fast.h5 refined.h5 --out report
    """
    raise NotImplementedError(full, candidates, out)
