"""`caloforge convert`: showers from one file format to another."""

__all__ = ["convert"]

from pathlib import Path
from typing import Annotated

import typer

from caloforge.cli._console import bar
from caloforge.cli._options import BatchSize, CalorimeterOption, Overwrite, read_calorimeter


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
    calorimeter: CalorimeterOption = None,
    batch_size: BatchSize = 1000,
    overwrite: Overwrite = False,
) -> None:
    """Convert a file of showers to another format, a batch at a time.

    Every value is checked on the way. A CaloChallenge file written here says its calorimeter.

    \b
    Examples:
      caloforge convert geant4.npy geant4.h5
      caloforge convert --calorimeter binning_dataset_2.xml:electron dataset_2_1.h5 labelled.h5
    """
    from caloforge import io

    showers = io.open_showers(source, read_calorimeter(calorimeter))
    with bar("converting", len(showers)) as advance:
        io.convert(showers, output, batch_size=batch_size, overwrite=overwrite, progress=advance)
