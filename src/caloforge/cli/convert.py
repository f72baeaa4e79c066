"""`caloforge convert`: showers from one file format to another."""

__all__ = ["convert"]

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import tell
from caloforge.cli._options import (
    ParticleOption,
    Reading,
    existing_argument,
    given,
    grouped,
    open_as,
)
from caloforge.cli._producing import Run, kept
from caloforge.cli._progress import bar
from caloforge.errors import quoted
from caloforge.paths import is_hdf5, names_lemurs

if TYPE_CHECKING:
    from caloforge.io import ShowerFile


@grouped
def convert(
    source: Annotated[
        Path,
        existing_argument(
            "IN", "The file to read: .h5 (CaloChallenge, LEMURS) or .npy (SQuIRELS)."
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="The file to write; its suffix says the format.",
            callback=given(is_hdf5),
        ),
    ],
    run: Run,
    reading: Reading,
    sparse: Annotated[
        bool | None,
        typer.Option(
            "--sparse/--dense",
            help="Write hits alone, or every cell, to HDF5.",
            show_default="as IN is",
        ),
    ] = None,
    particle: ParticleOption = None,
) -> None:
    """Convert a file of showers to another format, a batch at a time.

    Every value is checked on the way. A CaloChallenge file written here says its calorimeter, and
    its species where they are known; numbers of any meaning, one a shower, are carried along. What
    is finished when a run is interrupted is kept, see --resume.

    \b
    Examples:
      caloforge convert geant4.npy geant4.h5
      caloforge convert --sparse geant4.h5 hits.h5
      caloforge convert LEMURS_Par04SiW_gamma_100kEvents_1GeV1TeV_GPSflat_part1.h5 lemurs.h5
      caloforge convert --calorimeter binning_dataset_2.xml:electron dataset_2_1.h5 labelled.h5
    """
    run.require(output)
    from caloforge.production import copy

    file = open_as(source, reading.calorimeter, particle)
    _tell_uncarried(file, output)
    showers = reading.of(file)
    with kept(output), bar("converting", len(showers)) as advance:
        copy(showers, output, sparse=sparse, progress=advance, **asdict(run))


def _tell_uncarried(showers: "ShowerFile", output: Path) -> None:
    """Say what of a file is not in its copy."""
    from caloforge.io import CaloChallengeFile
    from caloforge.io.lemurs import BARREL_PHI

    if not isinstance(showers, CaloChallengeFile):
        return
    kept_there = (BARREL_PHI,) if names_lemurs(output) else ()
    lost = () if is_hdf5(output) else (name for name in showers.further if name not in kept_there)
    left = (*showers.uncarried, *lost)
    if left:
        names = quoted(", ".join(left))
        others = "energies and directions" if names_lemurs(output) else "energies"
        held = "one number a shower" if is_hdf5(output) else others
        tell(f"{showers.path}: {names}: not carried along, {output.name} holds {held} alone")
