"""Showers in and out of files, streamed in batches and checked at the edge.

One module a format: `calochallenge` (HDF5, any calorimeter), `sparse` (the same with hits alone),
`squirels` (the .npy of the SQuIRELS release), `lemurs` (records in HDF5), `showerdata_h5` and
`step2point` (points in HDF5), `table_files` and `edm4hep` (points in parquet or ROOT), `binning`
(the XML of cylindrical calorimeters), `cell_tables` (lists of cells).
`open_showers` chooses by suffix and content, `convert` by the suffix of the path.
"""

__all__ = [
    "LEMURS_SUFFIX",
    "CaloChallengeFile",
    "CaloChallengeWriter",
    "Edm4hepFile",
    "HitFile",
    "HitWriter",
    "LemursFile",
    "NewFile",
    "PointFile",
    "ShowerDataFile",
    "ShowerFile",
    "SquirelsFile",
    "Step2PointFile",
    "TableFile",
    "convert",
    "detector_of",
    "find_calorimeter",
    "is_hdf5",
    "names_lemurs",
    "open_showers",
    "read_binning",
    "read_cells",
    "require_format",
    "write_binning",
    "write_cells",
    "write_lemurs",
    "write_squirels",
]

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

from caloforge.errors import FileFormatError
from caloforge.geometry import Calorimeter
from caloforge.hits import HitSource
from caloforge.io.binning import read_binning, write_binning
from caloforge.io.calochallenge import CaloChallengeFile
from caloforge.io.calorimeters import detector_of, find_calorimeter
from caloforge.io.cell_tables import read_cells, write_cells
from caloforge.io.columnar import opened_table, require_packages
from caloforge.io.edm4hep import Edm4hepFile, is_edm4hep, write_edm4hep
from caloforge.io.input import ShowerFile
from caloforge.io.lemurs import LemursFile, is_lemurs, require_writable_mesh, write_lemurs
from caloforge.io.output import NewFile
from caloforge.io.point_files import PointFile, require_places
from caloforge.io.several import several
from caloforge.io.showerdata_h5 import ShowerDataFile, is_showerdata, write_showerdata
from caloforge.io.sparse import HitFile, HitWriter, holds_hits
from caloforge.io.squirels_npy import SquirelsFile, require_writable_crystals, write_squirels
from caloforge.io.step2point import Step2PointFile, is_step2point, write_step2point
from caloforge.io.stored import names_in
from caloforge.io.table_files import TableFile, write_table
from caloforge.io.writer import CaloChallengeWriter
from caloforge.particles import Particles
from caloforge.paths import LEMURS_SUFFIX, Layout, files_of, is_hdf5, layout_of, names_lemurs
from caloforge.showers import ShowerSource, spans

_WRITERS: dict[Layout, Callable[..., None]] = {
    Layout.LEMURS: write_lemurs,
    Layout.SHOWERDATA: write_showerdata,
    Layout.STEP2POINT: write_step2point,
    Layout.EDM4HEP_PARQUET: partial(write_edm4hep, root=False),
    Layout.EDM4HEP_ROOT: partial(write_edm4hep, root=True),
    Layout.PARQUET: partial(write_table, root=False),
    Layout.ROOT: partial(write_table, root=True),
    Layout.SQUIRELS: write_squirels,
}
_DEPTHS = {
    Layout.SHOWERDATA: False,
    Layout.STEP2POINT: True,
    Layout.EDM4HEP_PARQUET: True,
    Layout.EDM4HEP_ROOT: True,
}
"""Layouts of places, and whether they hold depths, not layers."""

_HDF5: tuple[tuple[Callable[[Collection[str]], bool], Callable[..., ShowerFile]], ...] = (
    (holds_hits, HitFile),
    (is_lemurs, LemursFile),
    (is_showerdata, ShowerDataFile),
    (is_step2point, Step2PointFile),
)


def open_showers(
    path: Path | str | Sequence[Path | str],
    calorimeter: Calorimeter | None = None,
    *,
    pdg: int | None = None,
) -> ShowerFile:
    """Open a file of showers, or several as one sample, to be read in batches.

    Arguments:
        path: A file of showers (.h5, .hdf5, .npy, .parquet, .root), whose layout is told by its
            content; several, or a pattern such as ``run_*.h5``, for one sample of their showers in
            order.
        calorimeter: Where the cells are, for a file that does not say so itself.
        pdg: The species, for a file that does not say so itself; None where it is not known.

    Raises:
        FileFormatError: The suffix is another, or the file is not what its reader expects.
        GeometryMismatchError: The file is of another calorimeter than the one given, or than
            another file.
    """
    return several([_opened(one, calorimeter, pdg) for one in files_of(path)])


def _opened(path: Path, calorimeter: Calorimeter | None, pdg: int | None) -> ShowerFile:
    layout = layout_of(path)
    if layout is Layout.SQUIRELS:
        file = SquirelsFile(path)
        if calorimeter is not None:
            calorimeter.require(file.calorimeter, f"file {path}")
        return file
    return _kind(path, layout)(path, calorimeter, pdg=pdg)


def _kind(path: Path, layout: Layout) -> Callable[..., ShowerFile]:
    """What opens a file, by its suffix and its content."""
    if layout.value.endswith((Layout.PARQUET.value, Layout.ROOT.value)):
        return Edm4hepFile if is_edm4hep(opened_table(path).names) else TableFile
    names = names_in(path)
    return next((kind for is_kind, kind in _HDF5 if is_kind(names)), CaloChallengeFile)


def convert(
    source: ShowerSource,
    path: Path | str,
    *,
    batch_size: int = 1000,
    overwrite: bool = False,
    sparse: bool | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write showers to a file, in the format of its suffix, a batch in memory at a time.

    Arguments:
        source: The showers, in memory or in a file. A CaloChallenge file keeps all that is known
            of their particles, weights, the further datasets of a file and what it says of its
            origin.
        path: The file to write; `caloforge.paths.Layout` lists the suffixes.
        batch_size: How many showers are in memory at a time.
        overwrite: Whether the file may take the place of one that is there, the source's own
            included.
        sparse: Whether to write hits alone, to HDF5; None for as the source is.
        progress: Called with the number of each batch that is written.

    Raises:
        FileFormatError: The suffix is another, or not that of HDF5 for hits alone, or the source is
            damaged.
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: The file cannot be written there, or its format cannot hold the weights or the
            particles.
        GeometryMismatchError: The format cannot hold showers of that calorimeter.
        ShowerValueError: A value is not physical, or the batch size is less than 1.
    """
    if not is_hdf5(path):
        require_format(path, source.calorimeter, sparse=bool(sparse))
        write = _WRITERS[layout_of(path)]
        write(path, source, batch_size=batch_size, overwrite=overwrite, progress=progress)
        return
    file = source if isinstance(source, ShowerFile) else None
    origin = {} if file is None else file.provenance
    hits = isinstance(source, HitSource)
    kind = HitWriter if (hits if sparse is None else sparse) else CaloChallengeWriter
    with kind(path, source.calorimeter, overwrite=overwrite, attributes=origin) as writer:
        for span in spans(len(source), batch_size):
            batch = source.sparse(span) if isinstance(source, HitSource) else source[span]
            writer.append(batch, {} if file is None else file.extra(span))
            progress(span.stop - span.start)
        if isinstance(source, CaloChallengeFile):
            writer.carry(source)


def require_format(
    path: Path | str,
    calorimeter: Calorimeter,
    particles: Particles | None = None,
    weights: Tensor | None = None,
    *,
    sparse: bool = False,
) -> None:
    """Check that a file of this suffix can be written, and can hold such showers.

    Arguments:
        path: The file to write.
        calorimeter: Where their cells are.
        particles: Their particles; None where nobody asks.
        weights: Their weights; None for once each.
        sparse: Whether hits alone shall be written.

    Raises:
        FileFormatError: The suffix is another, or not that of HDF5 for hits alone.
        OutputError: The format cannot hold the weights or the particles.
        GeometryMismatchError: The format cannot hold showers of that calorimeter.
        PackageError: A package that writes the format is not installed.
    """
    layout = layout_of(path)
    if sparse and layout in (Layout.LEMURS, Layout.SQUIRELS):
        msg = f"{path}: hits alone are written to HDF5: name the file .h5, or write all cells"
        raise FileFormatError(msg)
    if layout is Layout.LEMURS:
        require_writable_mesh(path, calorimeter, particles, weights)
    elif layout is Layout.SQUIRELS:
        require_writable_crystals(path, calorimeter, particles, weights)
    elif layout is not Layout.CALOCHALLENGE:
        require_packages(layout)
        if layout in _DEPTHS:
            require_places(path, calorimeter, depth=_DEPTHS[layout])
