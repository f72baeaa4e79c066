"""Time GFlash on one core, and compare it with showers made by Geant4's own GFlash.

    python benchmarks/gflash.py
    python benchmarks/gflash.py --detector par04-lowgran
    python benchmarks/gflash.py --against gflash_20gev.h5 gflash_50gev.h5

The files are in the CaloChallenge layout (``incident_energies`` and ``showers``, in MeV) and hold
the benchmark of SQuIRELS: electrons on 10 x 10 PbWO4 crystals behind 880 mm of air. The distance is
Wasserstein's first, between one half of the file's showers and GFlash showers at the energies of
the other half; the floor is the distance between the two halves. Both are means over random
halvings, with their spread as uncertainty.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from scipy.stats import wasserstein_distance

from caloforge.detector import load_detector
from caloforge.particles import Particles
from caloforge.simulators import GFlash, gflash_of, pbwo4_gflash
from caloforge.units import GeV, keV

OBSERVABLES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "E_sum / GeV": lambda cells, _: cells.sum(1) / GeV,
    "E_sum / E": lambda cells, energy: cells.sum(1) / energy,
    "N_hit > 1 MeV": lambda cells, _: (cells > 1).sum(1).astype(float),
    "E_max / GeV": lambda cells, _: cells.max(1) / GeV,
    "E_max / E": lambda cells, energy: cells.max(1) / energy,
    "cells / GeV": lambda cells, _: cells.ravel() / GeV,
    "log10 cells > keV": lambda cells, _: np.log10(cells[cells > keV]),
}


def milliseconds(simulator: GFlash, batch_size: int, repeats: int) -> tuple[float, float]:
    """Least time of one shower at 10-100 GeV in a batch, by the clock and of the processor: they
    differ on a busy machine.
    """
    generator = torch.Generator().manual_seed(1)
    particles = Particles(10 * GeV + 90 * GeV * torch.rand(batch_size, generator=generator))
    clock, processor = [], []
    for seed in range(repeats):
        start = time.perf_counter(), time.process_time()
        simulator.simulate(particles, seed=seed)
        clock.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    return min(clock) / batch_size * 1e3, min(processor) / batch_size * 1e3


def distances(path: Path, halvings: int) -> dict[str, np.ndarray]:
    """For each observable, distance and floor of each halving, with shape (2, halvings)."""
    with h5py.File(path) as file:
        energies, cells = (
            file["incident_energies"][:, 0].astype(float),
            file["showers"][:].astype(float),
        )
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in OBSERVABLES}
    for seed in range(halvings):
        order = np.random.default_rng(seed).permutation(len(energies))
        one, other = np.array_split(order, 2)
        ours = (
            pbwo4_gflash()
            .simulate(Particles(torch.from_numpy(energies[other])), seed=seed)
            .deposits.double()
            .numpy()
        )
        for name, observe in OBSERVABLES.items():
            reference = observe(cells[one], energies[one])
            pair = observe(ours, energies[other]), observe(cells[other], energies[other])
            found[name].append(
                (wasserstein_distance(reference, pair[0]), wasserstein_distance(reference, pair[1]))
            )
    return {name: np.array(pairs).T for name, pairs in found.items()}


def main() -> None:
    """Print the table of times and, for each file, the table of distances."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--detector",
        default="pbwo4-10x10",
        metavar="NAME",
        help="what to time (default pbwo4-10x10)",
    )
    parser.add_argument(
        "--against",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="showers of Geant4's GFlash",
    )
    parser.add_argument(
        "--halvings", type=int, default=10, help="random halvings of each file (default 10)"
    )
    parser.add_argument(
        "--repeats", type=int, default=7, help="repeats of each timing, the best counts (default 7)"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    simulator = gflash_of(load_detector(arguments.detector))
    print(f"{'ms/shower on one core, 10-100 GeV':<36} {'clock':>8} {'processor':>10}")
    for batch_size in (1, 10, 100, 1000, 5000):
        clock, processor = milliseconds(simulator, batch_size, arguments.repeats)
        print(f"{f'in batches of {batch_size}':<36} {clock:>8.3f} {processor:>10.3f}", flush=True)
    for path in arguments.against:
        print(f"\n{path.name:<20} {'distance':>20} {'floor':>20} {'ratio':>6}")
        for name, (distance, floor) in distances(path, arguments.halvings).items():
            row = "".join(f"{x.mean():>11.5f} +- {x.std():.5f}" for x in (distance, floor))
            print(f"{name:<20} {row} {distance.mean() / floor.mean():>5.2f}", flush=True)


if __name__ == "__main__":
    main()
