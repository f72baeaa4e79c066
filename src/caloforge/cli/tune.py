"""`caloforge tune`: a simulator's constants fitted to showers."""

__all__ = ["tune"]

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge import __version__
from caloforge.bundled import DETECTORS
from caloforge.cli._console import say
from caloforge.cli._options import (
    OptionError,
    Overwrite,
    Threads,
    existing,
    given,
    use_threads,
)
from caloforge.cli._progress import steps
from caloforge.paths import require_writable

if TYPE_CHECKING:
    from rich.table import Table

    from caloforge.detector import Detector
    from caloforge.showers import ShowerSource
    from caloforge.simulators import Departure, Fitted

DetectorOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|YAML",
        help="Their detector; not needed for the PbWO4 crystals.",
        callback=given(DETECTORS.find),
    ),
]
tune = typer.Typer(no_args_is_help=True, help="Fit a simulator's constants to showers.")


@tune.callback()
def about() -> None:
    """Fit a simulator's constants to showers."""


@tune.command()
def gflash(
    output: Annotated[Path, typer.Argument(metavar="OUT.yaml", help="The file to write.")],
    to: Annotated[
        Path,
        existing("FULL.h5", "Full showers of electrons along the beam."),
    ],
    detector: DetectorOption = None,
    check: Annotated[
        Path | None,
        existing("FULL.h5", "Compare with these full showers too."),
    ] = None,
    constants: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            show_default="those that mean profiles determine",
            help="What to fit.",
        ),
    ] = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Fit the constants of GFlash to the mean profiles of full showers.

    The file is read by 'caloforge simulate gflash --tuned'. A profile's largest departure is that
    among the bins that hold 99 % of its energy; the mean departure is weighted with the energy.

    \b
    Examples:
      caloforge tune gflash --to geant4.h5 tuned.yaml
      caloforge tune gflash --to geant4.h5 --check geant4-test.h5 tuned.yaml
      caloforge tune gflash --to full.h5 --detector my-detector.yaml --threads 1 tuned.yaml
      caloforge tune gflash --to full.h5 --constants core_1,core_3,tail_1,response tuned.yaml
    """
    require_writable(output, overwrite=overwrite)
    from caloforge.io import open_showers
    from caloforge.simulators import (
        DEFAULT_CONSTANTS,
        departures,
        fit_tuning,
        gflash_of,
        write_gflash,
    )

    use_threads(threads)
    full = open_showers(to)
    of = _detector(full, detector)
    simulator = gflash_of(of)
    chosen = DEFAULT_CONSTANTS if constants is None else tuple(constants.split(","))
    with steps() as tell:
        fitted = fit_tuning(
            simulator,
            full,
            constants=chosen,
            progress=lambda n, loss: tell(f"fitting: evaluation {n}, loss {loss:.5g}"),
        )
        tables = [_table(f"{to.name}, fitted", fitted.before, fitted.after)]
        if check is not None:
            tell("checking")
            sides = (departures(one, open_showers(check)) for one in (simulator, fitted.simulator))
            tables.append(_table(check.name, *sides))
    write_gflash(output, fitted.simulator, of, origin=_origin(to, fitted), overwrite=overwrite)
    for table in tables:
        say(table)
    say(
        f"{output}: GFlash tuned to {fitted.showers:,} showers, misfit {fitted.misfit_before:.1f} "
        f"before, {fitted.misfit:.1f} now"
    )


def _detector(full: "ShowerSource", named: str | None) -> "Detector":
    from caloforge.detector import load_detector
    from caloforge.geometry import pbwo4_crystals

    if named is not None:
        return load_detector(named)
    if full.calorimeter != pbwo4_crystals():
        msg = (
            f"the full showers are of calorimeter '{full.calorimeter.name}': say by --detector "
            "what it is made of"
        )
        raise OptionError(msg)
    return load_detector("pbwo4-10x10")


def _origin(full: Path, fitted: "Fitted") -> dict[str, str | int | float]:
    """What the constants were fitted to, for the reader of the file."""
    from caloforge.io.input import checksum

    return {
        "full": full.name,
        "full_sha256": checksum(full),
        "showers": fitted.showers,
        "least_energy_mev": fitted.energies[0],
        "largest_energy_mev": fitted.energies[1],
        "fitted": ", ".join(fitted.constants),
        "misfit_before": fitted.misfit_before,
        "misfit": fitted.misfit,
        "caloforge": __version__,
    }


def _table(title: str, before: "Sequence[Departure]", after: "Sequence[Departure]") -> "Table":
    from rich.table import Table

    table = Table(
        "profile",
        title=f"Departures from {title}, in per cent",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for heading in ("mean before", "after", "largest before", "after", "standard error there"):
        table.add_column(heading, justify="right")
    for old, new in zip(before, after, strict=True):
        numbers = (old.average, new.average, abs(old.largest), abs(new.largest), new.largest_error)
        table.add_row(f"  {new.profile}", *(f"{100 * number:.2f}" for number in numbers))
    return table
