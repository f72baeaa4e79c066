"""`caloforge bench`: how long a shower takes."""

__all__ = ["bench"]

import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caloforge.bundled import MODELS
from caloforge.cli._console import say
from caloforge.cli._options import (
    MOST_SHOWERS,
    MOST_THREADS,
    DeviceOption,
    OptionError,
    Overwrite,
    asked,
    grouped,
    use_device,
)
from caloforge.cli._progress import bar
from caloforge.errors import EnergyRangeWarning
from caloforge.paths import require_writable
from caloforge.spectra import read_spectrum

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from caloforge.gun import Spectrum
    from caloforge.particles import Particles
    from caloforge.showers import ShowerSource
    from caloforge.simulators import Simulator
    from caloforge.timing import Benchmark, Timing

SCHEMA = 1
GFLASH = "gflash"
GFLASH_RANGE = (10_000.0, 100_000.0)
"""The range of incident energies, in MeV, in which GFlash is timed unless others are asked for."""
NUMBER = 10_000
"""So many energies are drawn."""
BATCH_SIZES = [1, 100, 1000, 10_000]
SURROGATE_BATCH_SIZES = [1, 100]
"""A surrogate takes some hundred times as long for a shower as a refiner."""
CPU_TIME = "cpu_time_ms"
ALL_THREADS = 0
"""Stands for every core, as `caloforge.timing.ALL`."""
BUSY = 0.25
"""A machine whose load exceeds this, for each core, is not quiet."""


@dataclass(frozen=True)
class Energies:
    """Which showers to make."""

    like: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.h5", help="Take the incident energies of this file or bundled sample."
        ),
    ] = None
    energy: Annotated[
        str | None,
        typer.Option(
            metavar="E|LOW:HIGH[:log]",
            show_default="the model's range",
            help="Incident energy, or the range of it.",
            callback=asked(read_spectrum),
        ),
    ] = None


@dataclass(frozen=True)
class Configurations:
    """How to make them."""

    batch_sizes: Annotated[
        str | None,
        typer.Option(
            metavar="B,B,...",
            show_default="1,100,1000,10000; 1,100 for a surrogate",
            help="Showers at a time.",
        ),
    ] = None
    threads: Annotated[
        str, typer.Option(metavar="T,T,...", help="Numbers of threads; all for every core.")
    ] = "1,all"
    device: DeviceOption = "cpu"


@dataclass(frozen=True)
class Care:
    """How carefully to measure."""

    number: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--number",
            min=1,
            max=MOST_SHOWERS,
            metavar="N",
            show_default="half a second's",
            help="Showers in each repeat.",
        ),
    ] = None
    repeats: Annotated[
        int, typer.Option(min=1, metavar="R", help="How often each time is taken.")
    ] = 7


@dataclass(frozen=True)
class Subject:
    """Who is timed: a simulator, the energies, species and sizes of batches that suit it, and
    whether it knows no other energies.
    """

    name: str
    simulator: "Simulator"
    spectrum: "Spectrum"
    pdg: int | None
    sizes: list[int]
    bounded: bool


@dataclass(frozen=True)
class Question:
    """What shall be timed: the subject and the particles, with words for where their energies come
    from.
    """

    subject: Subject
    particles: "Particles"
    origin: str
    reference: dict[str, Any] | None


@grouped
def bench(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A name from 'caloforge models', a directory, or gflash."
        ),
    ],
    energies: Energies,
    configurations: Configurations,
    care: Care,
    out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT.json", help="Write the numbers there.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Time a model, in ms a shower, for each number of threads and size of batches.

    Of a refiner: GFlash, the refinement and their sum.

    Each configuration runs in a process of its own, after a warm-up; batches too large for the
    memory are left out. Where the file of --like holds cpu_time_ms, the speed-up over it is given.

    \b
    Examples:
      caloforge bench squirels-fast
      caloforge bench squirels-fast --like geant4.h5 --json times.json
      caloforge bench my-model --energy 50GeV --batch-sizes 1,1000 --threads 1
      caloforge bench gflash --energy 10GeV:100GeV -n 2000
    """
    sizes = (
        None
        if configurations.batch_sizes is None
        else _numbers("--batch-sizes", configurations.batch_sizes)
    )
    threads = _threads(configurations.threads)
    if model != GFLASH:
        MODELS.find(model)
    if out is not None:
        require_writable(out, overwrite=overwrite)
    with ExitStack() as stack:
        partial = None if out is None else stack.enter_context(_new_file(out, overwrite=overwrite))
        use_device(configurations.device)
        question = _question(_subject(model), energies)
        result = _measure(
            question, sizes or question.subject.sizes, threads, care, configurations.device
        )
        if partial is not None:
            partial.write_text(json.dumps(_record(question, result), indent=2) + "\n")
    say(_table(question, result))
    for remark in _remarks(result):
        say(remark)


def _measure(
    question: Question, sizes: list[int], threads: list[int], care: Care, device: str
) -> "Benchmark":
    from caloforge.timing import bench as run

    with bar("measuring", len(sizes) * len(threads), "configurations") as advance:
        return run(
            question.subject.simulator,
            question.particles,
            batch_sizes=sizes,
            threads=threads,
            showers=care.number,
            repeats=care.repeats,
            device=device,
            progress=advance,
        )


def _new_file(path: Path, *, overwrite: bool) -> Any:
    from caloforge.io import NewFile

    return NewFile(path, overwrite=overwrite)


def _numbers(option: str, text: str) -> list[int]:
    words = text.split(",")
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        msg = (
            f"{option} '{text}': expected whole numbers of at least 1 with commas between, such "
            "as 1,100,1000"
        )
        raise OptionError(msg)
    return [int(word) for word in words]


def _threads(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    numbers = [ALL_THREADS if word == "all" else _numbers("--threads", word)[0] for word in words]
    if max(numbers) > MOST_THREADS:
        msg = f"--threads '{text}': expected at most {MOST_THREADS}"
        raise OptionError(msg)
    return numbers


def _subject(name: str) -> Subject:
    from caloforge import zoo
    from caloforge.chain import Chain
    from caloforge.gun import filling
    from caloforge.models import Surrogate
    from caloforge.particles import ELECTRON
    from caloforge.simulators import pbwo4_gflash

    if name == GFLASH:
        usual = filling(*GFLASH_RANGE)
        return Subject(name, pbwo4_gflash(), usual, ELECTRON, BATCH_SIZES, bounded=False)
    model = zoo.load_model(name)
    usual, pdg = filling(*model.card.energy_range), (*model.card.species, None)[0]
    if isinstance(model, Surrogate):
        return Subject(name, model, usual, pdg, SURROGATE_BATCH_SIZES, bounded=True)
    pbwo4_gflash().calorimeter.require(
        model.calorimeter, f"model '{name}', to be timed behind GFlash,"
    )
    chain = Chain(pbwo4_gflash(), zoo.load(name))
    return Subject(name, chain, usual, pdg, BATCH_SIZES, bounded=True)


def _question(subject: Subject, energies: Energies) -> Question:
    from caloforge.gun import Gun

    if energies.like is not None and energies.energy is not None:
        msg = (
            "give either --energy or --like, not both, to say where the incident energies come from"
        )
        raise OptionError(msg)
    if energies.like is not None:
        particles, origin, reference = _like(energies.like)
    else:
        wanted = subject.spectrum if energies.energy is None else read_spectrum(energies.energy)
        particles = Gun(NUMBER, wanted, seed=0, pdg=subject.pdg)[:]
        origin, reference = wanted.title, None
    if subject.bounded:
        _tell_outside(subject, particles.energies)
    return Question(subject, particles, origin, reference)


def _like(path: Path) -> "tuple[Particles, str, dict[str, Any] | None]":
    from caloforge.gun import like

    file = _opened(path)
    return like(file), f"those of {path}", _reference(path, file)


def _opened(path: Path) -> "ShowerSource":
    from caloforge import zoo
    from caloforge.io import open_showers

    return zoo.bundled_showers(str(path)) if str(path) in zoo.shower_names() else open_showers(path)


def _reference(path: Path, file: "ShowerSource") -> dict[str, Any] | None:
    """The mean time of the showers of a file, if it holds the times."""
    from caloforge.io import CaloChallengeFile

    if not isinstance(file, CaloChallengeFile) or CPU_TIME not in file.columns:
        return None
    return {
        "source": str(path),
        "column": CPU_TIME,
        "mean_ms": float(file.column(CPU_TIME).double().mean()),
    }


def _tell_outside(subject: Subject, energies: "Tensor") -> None:
    from caloforge.units import format_energy

    low, high = subject.spectrum.low, subject.spectrum.high
    outside = int(((energies < low) | (energies > high)).sum())
    if outside:
        msg = (
            f"{outside} of {len(energies)} incident energies lie outside the range of model "
            f"'{subject.name}', "
            f"{format_energy(low)} to {format_energy(high)}: timed all the same"
        )
        warnings.warn(msg, EnergyRangeWarning, stacklevel=2)


def _remarks(result: "Benchmark") -> Iterator[str]:
    for skipped in result.skipped:
        what = f"{skipped.threads} threads, batches of {skipped.batch_size:,}"
        yield f"left out: {what}: {skipped.reason}"
    cores = int(result.machine["cores"])
    if result.load > BUSY * cores:
        load = f"load {result.load:.1f} on {cores} cores"
        yield f"the machine was at work already ({load}): times may be too long"


def _record(question: Question, result: "Benchmark") -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "model": question.subject.name,
        "energies": question.origin,
        "device": result.device,
        "repeats": result.repeats,
        "load_before": result.load,
        "timings": [_row(timing, question.reference) for timing in result.timings],
        "skipped": [asdict(skipped) for skipped in result.skipped],
        "reference": question.reference,
        "machine": result.machine,
        "versions": result.versions,
    }


def _row(timing: "Timing", reference: dict[str, Any] | None) -> dict[str, Any]:
    renamed = {"best": "best_ms", "median": "median_ms", "spread": "spread_ms"}
    row = {renamed.get(name, name): value for name, value in asdict(timing).items()}
    return row if reference is None else row | {"speed_up": reference["mean_ms"] / timing.median}


def _title(question: Question, result: "Benchmark") -> str:
    first = f"{question.subject.name}: times in ms a shower, incident energies {question.origin}"
    second = f"{result.device}, {result.machine['processor']}, {result.machine['cores']} cores"
    if question.reference is None:
        return f"{first}\n{second}"
    return f"{first}\n{second}; speed-up over its {question.reference['mean_ms']:.4g} ms a shower"


def _table(question: Question, result: "Benchmark") -> "Table":
    from rich.table import Table

    table = Table(
        "stage", title=_title(question, result), title_justify="left", box=None, pad_edge=False
    )
    for heading in (
        "threads",
        "batch",
        "best",
        "median",
        "spread",
        "memory",
        *([] if question.reference is None else ["speed-up"]),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for timing in result.timings:
        times = (f"{value:.3f}" for value in (timing.best, timing.median, timing.spread))
        faster = (
            ()
            if question.reference is None
            else (f"{question.reference['mean_ms'] / timing.median:,.0f} x",)
        )
        memory = f"{timing.peak_bytes / 1e9:.2f} GB"
        table.add_row(
            timing.stage, str(timing.threads), f"{timing.batch_size:,}", *times, memory, *faster
        )
    return table
