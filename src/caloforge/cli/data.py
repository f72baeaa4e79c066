"""`caloforge data`: the bundled showers, and what other programs need."""

__all__ = ["data", "geant4", "samples"]

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.bundled import SAMPLES
from caloforge.cli._console import say, tell
from caloforge.cli._options import Overwrite, given
from caloforge.cli._progress import bar
from caloforge.errors import CaloforgeError

if TYPE_CHECKING:
    from rich.table import Table

    from caloforge.simulators.geant4.datasets import DataSets
    from caloforge.simulators.geant4.download import Archive
    from caloforge.simulators.geant4.physics import Physics

data = typer.Typer(
    no_args_is_help=True, help="Write the bundled showers; look for Geant4's data, or fetch them."
)


@data.callback()
def about() -> None:
    """Write the bundled showers; look for Geant4's data, or fetch them."""


@data.command()
def samples(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Which; all if none is named.",
            show_default=False,
            callback=given(SAMPLES.find),
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write NAME.h5 to this folder.", show_default=False),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """List the samples of real showers that come with the package; with --out, write them.

    \b
    Examples:
      caloforge data samples
      caloforge data samples --out .
      caloforge data samples pbwo4-geant4 --out showers
    """
    from caloforge import zoo

    chosen = names or zoo.shower_names()
    if out is None:
        say(_samples(chosen))
        return
    for path in zoo.copy_showers(chosen, out, overwrite=overwrite):
        say(f"{path}: {len(zoo.bundled_showers(path.stem)):,} showers")


def _samples(names: "Iterable[str]") -> "Table":
    from rich.table import Table

    from caloforge import zoo
    from caloforge.units import format_energy

    table = Table("sample", "showers", "calorimeter", "energies", "size", box=None)
    for name in names:
        file = zoo.bundled_showers(name)
        ends = [format_energy(round(float(energy), -2)) for energy in file.energies.aminmax()]
        table.add_row(
            name,
            f"{len(file):,}",
            file.calorimeter.name,
            " to ".join(dict.fromkeys(ends)),
            f"{file.path.stat().st_size / 1e6:.1f} MB",
        )
    return table


@data.command()
def geant4(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="Where; GEANT4_DATA_DIR or ~/.geant4_pybind if not given.",
            show_default=False,
        ),
    ] = None,
    physics: Annotated[
        list[str] | None,
        typer.Option(
            "--physics",
            metavar="NAME",
            help="For which physics, repeatable; to download, FTFP_BERT if not given.",
        ),
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Download what is missing.")] = False,
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="From where, if not from CERN: a folder with the archives."
        ),
    ] = None,
) -> None:
    """Show which data sets of Geant4 are there, and what each list of physics lacks; with --fetch,
    download it.

    Nothing is downloaded without --fetch. An interrupted download goes on where it was when the
    same command is given again.

    \b
    Examples:
      caloforge data geant4
      caloforge data geant4 --physics em-option1
      caloforge data geant4 --fetch
      caloforge data geant4 /data/geant4 --fetch --physics em-standard
      caloforge data geant4 --fetch --mirror file:///media/disk
    """
    from caloforge.simulators.geant4.datasets import own_folder, present_data
    from caloforge.simulators.geant4.download import MIRROR
    from caloforge.simulators.geant4.physics import PHYSICS, physics_of

    if not fetch:
        _show(present_data(folder), [physics_of(name) for name in physics or PHYSICS])
        return
    _fetch(
        [physics_of(name) for name in physics or ["FTFP_BERT"]],
        folder,
        folder or own_folder(),
        mirror or MIRROR,
    )


def _show(found: "DataSets", lists: "Sequence[Physics]") -> None:
    say(f"Geant4's data sets in {found.place}")
    say(_data_sets(found, lists))
    say(_lists(found, lists))


def _data_sets(found: "DataSets", lists: "Iterable[Physics]") -> "Table":
    from rich.table import Table

    from caloforge.simulators.geant4.download import ARCHIVES

    lacking = dict.fromkeys(lack for physics in lists for lack in found.lacks(physics))
    table = Table("data set", "state", "to download", box=None)
    for archive in ARCHIVES.values():
        absent = [
            lack.removeprefix(f"{archive.folder}/")
            for lack in lacking
            if lack.startswith(archive.folder)
        ]
        if archive.data_set not in found.folders:
            table.add_row(archive.folder, "missing", _size([archive]))
        elif absent:
            table.add_row(archive.folder, f"incomplete: no {', '.join(absent)}", _size([archive]))
        else:
            table.add_row(archive.folder, "there", "")
    return table


def _lists(found: "DataSets", lists: "Iterable[Physics]") -> "Table":
    from rich.table import Table

    from caloforge.simulators.geant4.download import ARCHIVES

    alike = defaultdict(list)
    for physics in lists:
        alike[found.missing(physics)].append(physics.name)
    table = Table("physics", "lacks", "to download", box=None)
    for missing, names in sorted(alike.items(), key=lambda item: len(item[0])):
        archives = [ARCHIVES[name] for name in missing]
        table.add_row(
            ", ".join(names), ", ".join(a.folder for a in archives) or "nothing", _size(archives)
        )
    return table


def _fetch(lists: "Sequence[Physics]", given: Path | None, folder: Path, mirror: str) -> None:
    from caloforge.simulators.geant4.datasets import present_data
    from caloforge.simulators.geant4.download import part_of, plan

    names = ", ".join(physics.name for physics in lists)
    found = present_data(given)
    if not any(found.missing(physics) for physics in lists):
        say(f"{names}: all data sets are in {found.place}")
        return
    for archive in plan(lists, folder):
        try:
            _fetch_one(archive, folder, mirror)
        except (KeyboardInterrupt, CaloforgeError):
            if part_of(archive, folder).exists():
                tell(
                    f"what has come is kept in {part_of(archive, folder)}; the same command goes "
                    "on from there"
                )
            raise
    say(f"{names}: all data sets are in {folder}")
    if any(present_data().missing(physics) for physics in lists):
        tell(
            f"they are not looked for there: say so by --data {folder}, or by "
            f"GEANT4_DATA_DIR={folder}"
        )


def _fetch_one(archive: "Archive", folder: Path, mirror: str) -> None:
    from caloforge.simulators.geant4.download import download, unpack

    megabytes = math.ceil(archive.size / 1e6)
    with bar(f"{archive.folder}: downloading", megabytes, "MB") as advance:
        download(archive, folder, mirror=mirror, progress=lambda size: advance(size / 1e6))
    with bar(f"{archive.folder}: unpacking", megabytes, "MB") as advance:
        path = unpack(archive, folder, progress=lambda size: advance(size / 1e6))
    say(f"{path}: downloaded and unpacked")


def _size(archives: "Iterable[Archive]") -> str:
    megabytes = sum(archive.size for archive in archives) / 1e6
    return f"{megabytes:.{0 if megabytes > 1 else 2}f} MB" if megabytes else ""
