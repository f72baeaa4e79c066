"""`caloforge evaluate`: how far samples of showers are apart."""

__all__ = ["evaluate", "full_times", "tell"]

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import say
from caloforge.cli._console import tell as note
from caloforge.cli._options import (
    MOST_SHOWERS,
    BatchSize,
    DeviceOption,
    OptionError,
    Overwrite,
    Reading,
    Threads,
    asked,
    existing,
    existing_argument,
    grouped,
    read_calorimeter,
    seed_option,
    use_device,
    use_threads,
)
from caloforge.cli._progress import steps
from caloforge.errors import printable, quoted
from caloforge.paths import require_folder
from caloforge.spectra import read_range
from caloforge.units import parse_energy

if TYPE_CHECKING:
    from rich.text import Text

    from caloforge.classifiers import Classifier
    from caloforge.evaluation import Evaluation, Settings
    from caloforge.geometry import Calorimeter
    from caloforge.published import Preset
    from caloforge.report import Format
    from caloforge.showers import ShowerSource

STYLES = {"FLOOR": "green", "CLOSE": "yellow", "FAR": "red"}
"""The colour of a row by `caloforge.evaluation.significance.Significance`."""


@dataclass(frozen=True)
class Care:
    """How carefully to compare."""

    seed: Annotated[int, seed_option("The same seed gives the same numbers.")] = 0
    classifier: Annotated[
        bool,
        typer.Option("--classifier/--no-classifier", help="Train classifiers on each candidate."),
    ] = True
    classifiers: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Whose: caloforge, calochallenge, calodream, l2lflows.",
            show_default="the preset's",
        ),
    ] = None
    trainings: Annotated[
        int, typer.Option(min=2, metavar="T", help="Trainings of each classifier.")
    ] = 5
    seen: Annotated[
        int,
        typer.Option(
            "--seen", min=50, metavar="N", help="Most showers of a sample for the classifiers."
        ),
    ] = 5000
    paired: Annotated[
        int,
        typer.Option(
            "--paired", min=0, metavar="N", help="Most showers compared pair by pair; 0 for none."
        ),
    ] = 5000
    first: Annotated[
        int | None,
        typer.Option(
            "-n", min=1, max=MOST_SHOWERS, metavar="N", help="Take the first N showers of a sample."
        ),
    ] = None
    device: DeviceOption = "cpu"
    batch_size: BatchSize = 1000

    def settings(self, calorimeter: "Calorimeter", preset: "Preset | None") -> "Settings":
        """The same for the report."""
        from caloforge.evaluation import Settings

        classifiers = self._classifiers(calorimeter, preset) if self.classifier else ()
        return Settings(
            seed=self.seed,
            classifiers=classifiers,
            trainings=self.trainings,
            classifier_showers=self.seen,
            neighbour_showers=self.paired,
            device=self.device,
            batch_size=self.batch_size,
        )

    def _classifiers(
        self, calorimeter: "Calorimeter", preset: "Preset | None"
    ) -> "tuple[Classifier, ...]":
        from caloforge.classifiers import CLASSIFIERS, classifiers_for

        name = self.classifiers or ("caloforge" if preset is None else preset.classifiers)
        if name not in CLASSIFIERS:
            msg = f"--classifiers '{name}': expected one of {', '.join(CLASSIFIERS)}"
            raise OptionError(msg)
        found = classifiers_for(
            name, calorimeter, threshold=None if preset is None else preset.threshold
        )
        _say_blind(name, found, calorimeter)
        return found


def _say_blind(name: str, found: "tuple[Classifier, ...]", calorimeter: "Calorimeter") -> None:
    """Say which classifiers of a preset cannot see a calorimeter; an error if none can."""
    from caloforge.classifiers import CLASSIFIERS

    seeing = {one.name for one in found}
    blind = [one.title for one in CLASSIFIERS[name] if one.name not in seeing]
    why = f"an image of calorimeter '{calorimeter.name}' is needed, and it has none"
    if blind and not found:
        msg = f"--classifiers '{name}': {why}: choose caloforge, or --no-classifier"
        raise OptionError(msg)
    for title in blind:
        note(f"{title}: left out, {why}")


@dataclass(frozen=True)
class Questions:
    """What else to ask."""

    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Stand beside published results: calochallenge-1-photons, -1-pions, -2, -3.",
        ),
    ] = None
    training: Annotated[
        Path | None,
        existing("TRAIN.h5", "The training showers: does a candidate know more than they do?"),
    ] = None
    left_out: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH",
            help="Energies left out of the training: does a candidate interpolate?",
            callback=asked(read_range),
        ),
    ] = None
    mip: Annotated[
        str | None,
        typer.Option(
            metavar="ENERGY",
            help="A MIP in a cell: measures the start of hadron showers and hits of one MIP, too.",
            callback=asked(parse_energy),
        ),
    ] = None
    other_particles: Annotated[
        bool,
        typer.Option(
            "--other-particles",
            help="Compare samples of other energies, species, angles or places, too.",
        ),
    ] = False
    table: Annotated[bool, typer.Option("--table", help="Print every distance, not a summary.")] = (
        False
    )
    figures: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Formats of the figures beside the page, of pdf, svg, png; none for none.",
        ),
    ] = "pdf,svg,png"

    def formats(self) -> "tuple[Format, ...]":
        """The formats of those names."""
        from caloforge.report import Format

        known = {kind.value: kind for kind in Format}
        names = [] if self.figures == "none" else self.figures.split(",")
        if not set(names) <= set(known):
            msg = (
                f"--figures {quoted(self.figures)}: expected some of {', '.join(known)}, "
                "separated by commas, or none"
            )
            raise OptionError(msg)
        return tuple(dict.fromkeys(known[name] for name in names))

    def benchmark(self) -> "Preset | None":
        """The preset of that name."""
        from caloforge.published import PRESETS

        if self.preset is None:
            return None
        if self.preset not in PRESETS:
            msg = f"--preset '{self.preset}': expected one of {', '.join(PRESETS)}"
            raise OptionError(msg)
        return PRESETS[self.preset]

    def added(self, settings: "Settings") -> "Settings":
        """The settings with what is asked here."""
        return replace(
            settings,
            mip=None if self.mip is None else parse_energy(self.mip),
            left_out=self.energies_left_out(),
            other_particles=self.other_particles,
        )

    def energies_left_out(self) -> tuple[float, float] | None:
        """The lowest and the highest energy, in MeV, that were left out."""
        if self.left_out is None:
            return None
        low, high = read_range(self.left_out)
        if low == high:
            msg = (
                f"--left-out {quoted(self.left_out)}: no energies lie in it, expected LOW:HIGH "
                "with LOW below HIGH, such as 40GeV:60GeV"
            )
            raise OptionError(msg)
        return low, high


@grouped
def evaluate(
    full: Annotated[
        Path,
        existing_argument(
            "FULL.h5", "Showers of the full simulation; a pattern for several files."
        ),
    ],
    candidates: Annotated[
        list[Path],
        existing_argument("CANDIDATE.h5...", "Showers to compare with it, the baseline first."),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="The folder for the page, the figures and the numbers."),
    ],
    care: Care,
    questions: Questions,
    reading: Reading,
    labels: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="A name for each file, not the file's own."),
    ] = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Say how far samples are from the full simulation, with uncertainties and with the floor, the
    full simulation's own.

    Prints a summary, and writes a page with tables, figures, a display of showers, times, machine
    and versions, the numbers in metrics.json and metrics.csv, and a table in LaTeX.

    \b
    Examples:
      caloforge evaluate geant4.h5 fast.h5 refined.h5 --out report
      caloforge evaluate g4.h5 fast.h5 sq.h5 --out report --labels Geant4,GFlash,SQ
      caloforge evaluate geant4.h5 fast.h5 --out quick --no-classifier --figures none
      caloforge evaluate dataset_2_2.hdf5 mine.h5 --out ds2 --preset calochallenge-2
      caloforge evaluate geant4.h5 mine.h5 --out deep --training train.h5
      caloforge evaluate "geant4_*.h5" "mine_*.h5" --out all
    """
    require_folder(out)
    names = _names([full, *candidates], labels)
    from caloforge import report
    from caloforge.evaluation import evaluate as compare

    use_threads(threads)
    use_device(care.device)
    report.require_free(out, overwrite=overwrite)
    paths, benchmark, formats = [full, *candidates], questions.benchmark(), questions.formats()
    where = _where(reading.calorimeter, benchmark)
    files = {
        name: reading.opened([path], calorimeter=where, first=care.first)
        for name, path in zip(names, paths, strict=True)
    }
    reference = files.pop(names[0])
    with steps() as progress:
        evaluation = compare(
            reference,
            files,
            full_name=names[0],
            preset=benchmark,
            training=None
            if questions.training is None
            else reading.opened([questions.training], calorimeter=where),
            times=full_times(names[0], reference),
            settings=questions.added(care.settings(reference.calorimeter, benchmark)),
            progress=progress,
        )
        page = report.write(evaluation, out, overwrite=overwrite, formats=formats)
    tell(evaluation, table=questions.table)
    say(f"\n{page}: the whole report, with figures")


def _where(calorimeter: str | None, benchmark: "Preset | None") -> "Calorimeter | None":
    """The calorimeter that is given, or that of a benchmark."""
    if benchmark is None:
        return read_calorimeter(calorimeter)
    if calorimeter is not None:
        msg = (
            f"--calorimeter beside --preset: '{benchmark.name}' is of calorimeter "
            f"'{benchmark.calorimeter}': give one of the two"
        )
        raise OptionError(msg)
    return read_calorimeter(benchmark.calorimeter)


def tell(evaluation: "Evaluation", *, table: bool) -> None:
    """Print what must be known before believing the numbers, below a summary or the whole table."""
    from rich.text import Text

    from caloforge.report import remarks, summary

    if table:
        _tell_all(evaluation)
    else:
        for line in summary(evaluation):
            say(line)
    for remark in remarks(evaluation):
        say(Text(f"\nNote: {remark}"))


def _tell_all(evaluation: "Evaluation") -> None:
    """Print the whole table and what it says."""
    from rich.text import Text

    from caloforge.report import title, verdict

    say(Text(f"{title(evaluation)}: distances to {evaluation.full.name}", style="bold"))
    for line in _table(evaluation):
        say(line)
    for candidate in evaluation.candidates:
        say(Text(f"\n{candidate.name}: {verdict(evaluation, candidate)}"))


def _table(evaluation: "Evaluation") -> "Iterator[Text]":
    """The rows of each observable under its name, in columns, coloured by their significance."""
    from rich.text import Text

    from caloforge.report import COLUMNS
    from caloforge.report.tables import rows

    table = rows(evaluation)
    shown = slice(1, COLUMNS.index("gain") + 1)
    widths = [
        max(map(len, column)) + 2
        for column in zip(COLUMNS, *(row.cells for row in table), strict=True)
    ][shown]
    yield Text(_columns(COLUMNS[shown], widths), style="dim")
    for observable, group in groupby(table, key=lambda row: row.observable):
        yield Text(observable)
        yield from (
            Text(_columns(row.cells[shown], widths), style=STYLES[row.significance.name])
            for row in group
        )


def _columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = cells
    return f"  {first:<{widths[0]}}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)
    )


def _names(paths: list[Path], labels: str | None) -> list[str]:
    names = (
        [path.stem for path in paths]
        if labels is None
        else [label.strip() for label in labels.split(",")]
    )
    names = [printable(name) for name in names]
    if len(names) != len(paths):
        msg = (
            f"--labels '{labels}': {len(names)} names for {len(paths)} files, expected one for "
            "each, the full simulation first"
        )
        raise OptionError(msg)
    if len(set(names)) < len(names) or not all(names):
        msg = (
            f"the samples' names are {', '.join(names)}, expected different ones: give them with "
            "--labels A,B,..."
        )
        raise OptionError(msg)
    return names


def full_times(name: str, file: "ShowerSource") -> dict[str, float]:
    """The mean time of a shower, in ms, under that name, if the file knows."""
    from caloforge.io import ShowerFile

    columns = file.extra(slice(None)) if isinstance(file, ShowerFile) else {}
    if "cpu_time_ms" not in columns:
        return {}
    time = float(columns["cpu_time_ms"].double().mean())
    return {name: time} if 0 < time < math.inf else {}
