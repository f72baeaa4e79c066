"""Time and memory of an evaluation, part by part, without the classifiers.

Writes two made-up files of showers in a named calorimeter or detector, one cell in eight lit or
with so many hits each, evaluates one against the other from the files, and prints the time of each
part and the largest memory of the process; with --neighbours and --classifier, of these alone; with
--figures, also how much CPU time drawing takes, and each format of the figures::

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --showers 100000 --folder /somewhere/with/4GB
    python benchmarks/evaluation.py --showers 25000 --hits 1000 --calorimeter hgcal-si --paired 0
    python benchmarks/evaluation.py --neighbours 10000
    python benchmarks/evaluation.py --showers 400 --figures
    python benchmarks/evaluation.py --full geant4.h5 --candidate mine.h5 --classifier
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from caloforge.classifiers import DEFAULT_CLASSIFIERS, separate
from caloforge.detector import load_detector
from caloforge.evaluation import Evaluation, Settings, evaluate
from caloforge.geometry import Calorimeter, named_calorimeters
from caloforge.hits import Hits
from caloforge.io import CaloChallengeWriter, HitWriter, open_showers
from caloforge.metrics import neighbours, resampling
from caloforge.particles import Particles
from caloforge.report import Format
from caloforge.report.figures import drawings
from caloforge.showers import Showers, ShowerSource, spans
from caloforge.timing import peak_memory
from caloforge.units import GeV

LIT = 1 / 8


def calorimeter_of(name: str) -> Calorimeter:
    """The calorimeter, or that of a detector, of this name."""
    known = named_calorimeters()
    return known[name] if name in known else load_detector(name).calorimeter


def made_up(n: int, calorimeter: str, seed: int) -> Showers:
    """Showers with log-normal deposits in random cells that share a tenth of the
    incident energy.
    """
    generator, geometry = torch.Generator().manual_seed(seed), named_calorimeters()[calorimeter]
    energies = 1 * GeV * 1000 ** torch.rand(n, generator=generator)
    cells = torch.randn(n, geometry.n_cells, generator=generator).exp()
    cells *= torch.rand(n, geometry.n_cells, generator=generator) < LIT
    return Showers(
        0.1 * energies[:, None] * cells / cells.sum(dim=1, keepdim=True).clamp(min=1e-6),
        Particles(energies),
        geometry,
    )


def made_up_hits(n: int, hits: int, calorimeter: Calorimeter, seed: int) -> Hits:
    """Hits with log-normal energies in random cells, which share a tenth of the incident energy;
    their times fall exponentially, in 10 ns.
    """
    generator = torch.Generator().manual_seed(seed)
    incident = 1 * GeV * 1000 ** torch.rand(n, generator=generator)
    energies = torch.randn(n, hits, generator=generator).exp()
    energies *= 0.1 * incident[:, None] / energies.sum(dim=1, keepdim=True)
    cells = torch.randint(calorimeter.n_cells, (n * hits,), generator=generator)
    return Hits(
        torch.arange(n + 1) * hits,
        cells.int(),
        energies.view(-1),
        Particles(incident),
        calorimeter,
        times=torch.empty(n * hits).exponential_(0.1, generator=generator),
    )


def written_hits(path: Path, n: int, hits: int, name: str, seed: int) -> ShowerSource:
    """Such hits in a file."""
    calorimeter = calorimeter_of(name)
    with HitWriter(path, calorimeter) as writer:
        for k, span in enumerate(spans(n, 1000)):
            some = span.stop - span.start
            writer.append(made_up_hits(some, hits, calorimeter, seed + 1000 * k))
    return open_showers(path)


def written(path: Path, n: int, calorimeter: str, seed: int) -> ShowerSource:
    """Such showers in a file."""
    with CaloChallengeWriter(path, named_calorimeters()[calorimeter]) as writer:
        for k, span in enumerate(spans(n, 1000)):
            writer.append(made_up(span.stop - span.start, calorimeter, seed + 1000 * k))
    return open_showers(path)


def made_file(path: Path, options: argparse.Namespace, seed: int) -> ShowerSource:
    """The file of showers that the arguments ask for."""
    if options.hits:
        return written_hits(path, options.showers, options.hits, options.calorimeter, seed)
    return written(path, options.showers, options.calorimeter, seed)


def peak() -> str:
    """The largest memory of the process so far."""
    return f"{peak_memory() / 2**30:.2f} GiB"


class Clock:
    """Prints how long each step took when the next one begins."""

    def __init__(self) -> None:
        self.start = self.last = time.perf_counter()
        self.step = "preparing"
        self.parts: dict[str, float] = {}

    def __call__(self, step: str) -> None:
        """End the step before this one."""
        now = time.perf_counter()
        part = self.step.split(" ")[0]
        self.parts[part] = self.parts.get(part, 0.0) + now - self.last
        self.last, self.step = now, step


def evaluated(full: ShowerSource, candidate: ShowerSource, paired: int) -> Evaluation:
    """All observables, histograms, distances and metrics of feature vectors."""
    clock, before = Clock(), time.process_time()
    settings = Settings(classifiers=(), neighbour_showers=paired)
    found = evaluate(full, {"candidate": candidate}, settings=settings, progress=clock)
    clock("end")
    for part, seconds in clock.parts.items():
        print(f"{part:>12s} {seconds:8.1f} s")
    print(f"{'all':>12s} {clock.last - clock.start:8.1f} s, peak {peak()}")
    print(f"{'CPU':>12s} {time.process_time() - before:8.1f} s")
    return found


def drawn(evaluation: Evaluation) -> None:
    """The figures: drawn once as SVG, which the page needs, then in each format of files."""
    start = time.process_time()
    figures = drawings(evaluation)
    once = time.process_time() - start
    print(f"{len(figures)} figures: {once:.1f} s of CPU time to draw them for the page")
    for kind in (Format.SVG, Format.PDF, Format.PNG):
        start = time.process_time()
        for figure in figures:
            figure.file(kind)
        print(f"{kind.value:>12s} {(time.process_time() - start) / once:8.2f} of this more")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--showers", type=int, default=4000)
    parser.add_argument("--hits", type=int, help="sparse showers of so many hits")
    parser.add_argument(
        "--paired", type=int, default=5000, help="most showers compared pair by pair; 0 for none"
    )
    parser.add_argument("--calorimeter", default="calochallenge-2")
    parser.add_argument("--full", type=Path)
    parser.add_argument("--candidate", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--folder", type=Path, help="where made-up files go; a temporary one if not given"
    )
    parser.add_argument(
        "--neighbours",
        type=int,
        help="measure precision, recall, density, coverage of so many showers alone",
    )
    parser.add_argument("--figures", action="store_true", help="draw the figures, too")
    parser.add_argument(
        "--classifier", action="store_true", help="measure the high-level classifier alone"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if options.neighbours:
            measured_neighbours(options.neighbours, options.calorimeter)
            return
        paths = (options.full, options.candidate)
        made = [
            open_showers(path) if path else made_file(Path(folder) / f"{k}.h5", options, k)
            for k, path in enumerate(paths)
        ]
        print(
            f"{len(made[0]):,} + {len(made[1]):,} showers of {made[0].calorimeter.n_cells:,} "
            f"cells, {options.threads} threads"
        )
        if options.classifier:
            measured_classifier(made[0][: options.showers], made[1][: options.showers])
        else:
            found = evaluated(made[0], made[1], options.paired)
            if options.figures:
                drawn(found)


def measured_neighbours(n: int, calorimeter: str) -> None:
    """Precision, recall, density and coverage of n showers against n."""
    voxels = [
        torch.cat(
            [
                (made_up(s.stop - s.start, calorimeter, 7 * k + s.start).deposits + 0.1).log10()
                for s in spans(n, 1000)
            ]
        )
        for k in range(2)
    ]
    start = time.perf_counter()
    neighbours(voxels[0], voxels[1], resampling(np.ones(n), np.ones(n), replicas=20, splits=20))
    print(
        f"neighbours of {n:,} x {n:,} x {voxels[0].shape[1]:,}: {time.perf_counter() - start:.1f} "
        f"s, peak {peak()}"
    )


def measured_classifier(full: Showers, candidate: Showers) -> None:
    """The standard high-level classifier, five trainings."""
    [one] = [j for j in DEFAULT_CLASSIFIERS if j.name == "high-level"]
    start = time.perf_counter()
    found = separate(full, candidate, one)
    print(f"high-level classifier: {time.perf_counter() - start:.1f} s, AUC {found.auc.value:.3f}")


if __name__ == "__main__":
    main()
