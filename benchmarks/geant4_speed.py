"""How fast Geant4 makes showers with one and more workers, and how much time goes to anything but
Geant4.

    python benchmarks/geant4_speed.py
    python benchmarks/geant4_speed.py par04-lowgran --physics em-standard --workers 1 2 4

Showers per second are those of the clock, from the first finished shower to the last, the best of
some interleaved repeats: on a machine that does other work as well they say little, and showers per
second of processor time, of all processes together, say more. The overhead is the processor time of
all processes but for Geant4's own, as the showers' ``cpu_time_ms`` tell it, over that; what a run
of one shower takes, mostly to start Geant4, is subtracted from both.
"""

import argparse
import resource
import time
from typing import NamedTuple

import torch

from caloforge.detector import load_detector
from caloforge.particles import Particles
from caloforge.simulators import Geant4
from caloforge.units import GeV, format_energy, parse_energy


class Spent(NamedTuple):
    """Seconds from the first shower to the last, of all processors, and of Geant4 itself."""

    clock: float
    processor: float
    geant4: float


def spent(simulator: Geant4, number: int, energy: float, seed: int) -> Spent:
    """What some showers cost."""
    before, ends, own = processor_seconds(), [], 0.0
    for one in simulator.each(Particles(torch.full((number,), energy)), seed=seed):
        ends.append(time.perf_counter())
        own += one.milliseconds / 1000
    return Spent(ends[-1] - ends[0], processor_seconds() - before, own)


def processor_seconds() -> float:
    """Processor time of this process and of those that it has ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Print a line for each number of workers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "detector", nargs="?", default="pbwo4-10x10", help="a detector's name or a YAML file"
    )
    parser.add_argument("--physics", default="em-option1")
    parser.add_argument("--energy", type=parse_energy, default=20 * GeV)
    parser.add_argument("--showers", type=int, default=40)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[int, list[tuple[float, float, float]]] = {
        workers: [] for workers in options.workers
    }
    for seed in range(options.repeats):
        for workers in options.workers:
            simulator = Geant4(load_detector(options.detector), options.physics, workers=workers)
            start = spent(simulator, workers, options.energy, seed)
            run = spent(simulator, options.showers + workers, options.energy, seed)
            processor, geant4 = run.processor - start.processor, run.geant4 - start.geant4
            found[workers].append(
                (
                    (options.showers + workers - 1) / run.clock,
                    options.showers / processor,
                    processor / geant4 - 1,
                )
            )
    print(f"{options.detector}, {format_energy(options.energy)}, {options.physics}")
    print(
        f"{'workers':>7} {'showers/s':>10} {'ratio':>6} {'showers/processor s':>20} {'overhead':>9}"
    )
    for workers, runs in found.items():
        rate, per_processor, overhead = (
            max(run[0] for run in runs),
            max(run[1] for run in runs),
            min(run[2] for run in runs),
        )
        one = max(run[0] for run in found[options.workers[0]])
        print(
            f"{workers:>7} {rate:>10.2f} {rate / one:>6.2f} {per_processor:>20.2f} {overhead:>9.1%}"
        )


if __name__ == "__main__":
    main()
