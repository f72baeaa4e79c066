"""`caloforge demo`: the main job, from simulation to report."""

__all__ = ["demo"]

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the showers and the report.")] = Path("demo-output"),
) -> None:
    """Simulate, refine, compare.

    \b
    Examples:
      caloforge demo
    """
    raise NotImplementedError(out)
