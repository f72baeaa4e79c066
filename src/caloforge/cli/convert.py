"""`caloforge convert`: showers from one file format to another."""

__all__ = ["convert"]

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import tell
from caloforge.cli._options import (
    Reading,
    existing_argument,
    given,
    grouped,
)
from caloforge.cli._producing import Run, kept
from caloforge.cli._progress import bar
from caloforge.errors import quoted
from caloforge.paths import Layout, is_hdf5, layout_of

if TYPE_CHECKING:
    from caloforge.io import ShowerFile


_CARRYING = (Layout.CALOCHALLENGE, Layout.PARQUET, Layout.ROOT)
"""Layouts with room for further columns of numbers."""


@grouped
def convert(
    sources: Annotated[
        list[Path],
        existing_argument(
            "IN...",
            "The file, or several, or a pattern: .h5, .hdf5, .npy, .parquet or .root.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="The file to write; its suffix says the format: .h5, .npy, .parquet, .root, "
            ".lemurs.h5, .showerdata.h5, .step2point.h5, .edm4hep.parquet, .edm4hep.root.",
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
) -> None:
    """Convert a file of showers, or several to one, to another format, a batch at a time.

    Every value is checked on the way. A CaloChallenge file written here says its calorimeter, and
    its species where they are known; further datasets are carried along, whatever they mean, those
    of one number a shower to .parquet and .root, too. What is finished when a run is interrupted is
    kept, see --resume.

    \b
    Examples:
      caloforge convert geant4.npy geant4.h5
      caloforge convert --sparse geant4.h5 hits.h5
      caloforge convert LEMURS_Par04SiW_gamma_100kEvents_1GeV1TeV_GPSflat_part1.h5 lemurs.h5
      caloforge convert "run_*.h5" all.h5
      caloforge convert --calorimeter ild-ecal.yaml clouds.showerdata.h5 showers.parquet
      caloforge convert --calorimeter binning_dataset_2.xml:electron dataset_2_1.h5 labelled.h5
    """
    run.require(output)
    from caloforge.io.several import files_in
    from caloforge.production import copy

    showers = reading.opened(sources)
    for file in files_in(showers):
        _tell_uncarried(file, output, whole=file is showers)
    with kept(output), bar("converting", len(showers)) as advance:
        copy(showers, output, sparse=sparse, progress=advance, **asdict(run))


def _tell_uncarried(showers: "ShowerFile", output: Path, *, whole: bool) -> None:
    """Say what of a file is not in its copy, or in one of chosen showers or of several files."""
    from caloforge.io import CaloChallengeFile
    from caloforge.io.lemurs import BARREL_PHI

    layout = layout_of(output)
    kept_there = (BARREL_PHI,) if layout is Layout.LEMURS else ()
    further = (name for name in showers.extra(slice(0)) if name not in kept_there)
    whole = whole and layout is Layout.CALOCHALLENGE
    others: tuple[str, ...] = ()
    if isinstance(showers, CaloChallengeFile):
        others = (*(() if whole else showers.carried_whole), *showers.uncarried)
    left = (*others, *(() if layout in _CARRYING else further))
    if left:
        names = quoted(", ".join(left))
        alone = "energies" if layout is Layout.SQUIRELS else "energies and directions"
        held = "one number a shower" if layout in _CARRYING else alone
        held = "datasets of its own" if whole else held
        tell(f"{showers.path}: {names}: not carried along, {output.name} holds {held} alone")
