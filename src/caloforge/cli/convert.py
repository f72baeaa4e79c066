"""`caloforge convert`: showers from one file format to another."""

__all__ = ["convert"]

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from caloforge.cli._console import bar
from caloforge.cli._options import CalorimeterOption, grouped, read_calorimeter
from caloforge.cli._producing import Run, kept


@grouped
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="The file to read: .h5 (CaloChallenge) or .npy (SQuIRELS)."
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="The file to write; its suffix says the format.")
    ],
    run: Run,
    calorimeter: CalorimeterOption = None,
    sparse: Annotated[
        bool | None,
        typer.Option(
            "--sparse/--dense",
            help="Write hits alone, or every cell, to HDF5.",
            show_default="as IN is",
        ),
    ] = None,
) -> None:
    """Convert a file of showers to another format, a batch at a time.

    Every value is checked on the way. A CaloChallenge file written here says its calorimeter. What
    is finished when a run is interrupted is kept, see --resume.

    \b
    Examples:
      caloforge convert geant4.npy geant4.h5
      caloforge convert --sparse geant4.h5 hits.h5
      caloforge convert --calorimeter binning_dataset_2.xml:electron dataset_2_1.h5 labelled.h5
    """
    from caloforge.io import open_showers
    from caloforge.production import copy

    showers = open_showers(source, read_calorimeter(calorimeter))
    with kept(output), bar("converting", len(showers)) as advance:
        copy(showers, output, sparse=sparse, progress=advance, **asdict(run))
