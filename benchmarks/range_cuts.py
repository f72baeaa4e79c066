"""Make pairs of nominal and cheap showers of the same particles: Geant4 with production cuts of
0.1 mm and of 10 mm in the electromagnetic calorimeter of the ILD, after arXiv:2203.08806, figure 4.

    python benchmarks/range_cuts.py pairs
    python benchmarks/range_cuts.py photons -n 1500 --test 700 --particle gamma \\
        --energy 10GeV:100GeV

writes nominal-train.h5, modified-train.h5, nominal-test.h5 and modified-test.h5 to the folder. Row
i of a pair is of the same particle; the random numbers of the two are independent. The command
resumes an interrupted run when it is given again, and prints how long a shower took: the processor
time that Geant4 needed, as the column cpu_time_ms has it.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from caloforge.detector import load_detector
from caloforge.gun import Gun, read_species, read_spectrum
from caloforge.io import open_showers
from caloforge.production import produce
from caloforge.simulators import Geant4
from caloforge.units import parse_length


class Sample(NamedTuple):
    """A file, its particles, its cut in mm, and its seed."""

    path: Path
    particles: Gun
    cut: float
    seed: int


def samples(options: argparse.Namespace) -> Iterator[Sample]:
    """The four files, those to test with first."""
    sizes, cuts = {"test": options.test, "train": options.n}, (options.nominal, options.modified)
    for i, (part, number) in enumerate(sizes.items()):
        gun = Gun(number, options.energy, options.seed + i, options.particle)
        for j, (name, cut) in enumerate(zip(("nominal", "modified"), cuts, strict=True)):
            path = options.out / f"{name}-{part}.h5"
            yield Sample(path, gun, cut, options.seed + 2 * i + j)


def main() -> None:
    """Simulate, and print a line for each file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the folder")
    parser.add_argument("-n", type=int, default=6000, help="how many to train on (default 6,000)")
    parser.add_argument("--test", type=int, default=3000, help="how many to test (default 3,000)")
    parser.add_argument("--particle", type=read_species, default=11)
    parser.add_argument("--energy", type=read_spectrum, default="10GeV")
    parser.add_argument("--nominal", type=parse_length, default=0.1, help="the cut (default 0.1mm)")
    parser.add_argument("--modified", type=parse_length, default=10.0, help="(default 10mm)")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--detector", default="ild-ecal-30", help="a detector's name, or a file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(exist_ok=True)
    detector = load_detector(options.detector)
    for path, gun, cut, seed in samples(options):
        if not path.exists():
            produce(gun[:], Geant4(detector, cut=cut), path, seed=seed, resume=True)
        with open_showers(path) as file:
            time = file.extra(slice(None))["cpu_time_ms"].mean()
            print(f"{path}: {len(file)} showers, cut {cut:g} mm, {time:.1f} ms each", flush=True)


if __name__ == "__main__":
    main()
