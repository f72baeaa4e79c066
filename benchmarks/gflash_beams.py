"""Compare GFlash with full showers of other species, at angles and off centre, file by file.

    python benchmarks/gflash_beams.py ild-ecal-30 e-0deg.h5 e-40deg.h5 gamma-0deg.h5

Each file holds full showers of the detector of one species, angle and energy; GFlash simulates
several showers of each of their particles. Its response is fitted to the first file: the energy sum
of the full showers over GFlash's. A line gives the departures of GFlash from the full showers, in
per cent: of the mean over showers, with its standard error, and of the spread of the energy sum.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from caloforge.detector import load_detector
from caloforge.io import open_showers
from caloforge.observables import centre_z, n_hits, response, width_x, width_y, width_z
from caloforge.particles import Particles, name_of
from caloforge.showers import Showers
from caloforge.simulators import GFlash, gflash_of
from caloforge.units import deg, format_energy

REPEATS = 4
"""GFlash showers for each full one."""

MEASURED = {
    "E_sum": response,
    "depth": centre_z,
    "width_z": width_z,
    "width_x": width_x,
    "width_y": width_y,
    "N_hit": n_hits,
}


def values(showers: Showers) -> dict[str, Tensor]:
    """Each quantity of each shower."""
    return {name: of(showers).double() for name, of in MEASURED.items()}


def title(particles: Particles) -> str:
    """Species, angle and energy of the first particle of a file."""
    first = particles[:1]
    theta = 0.0 if first.theta is None else float(first.theta) / deg
    energy = format_energy(float(first.energies))
    return f"{name_of(first.species[0])} {energy} {theta:.0f} deg"


def simulated(simulator: GFlash, particles: Particles) -> Showers:
    """GFlash showers, several of each particle."""
    return simulator.simulate(Particles.cat([particles] * REPEATS), seed=1)


def departure(full: Tensor, fast: Tensor) -> str:
    """How far the mean of GFlash's showers is off that of the full ones, in per cent."""
    error = math.hypot(*(float(each.std()) / len(each) ** 0.5 for each in (full, fast)))
    mean = float(full.mean())
    return f"{100 * (float(fast.mean()) / mean - 1):+.1f}±{100 * error / mean:.1f}"


def spread(full: Tensor, fast: Tensor) -> str:
    """How far the standard deviation is off, in per cent."""
    ratio = float(fast.std() / full.std())
    error = ratio * math.hypot(*((2 * len(each)) ** -0.5 for each in (full, fast)))
    return f"{100 * (ratio - 1):+.0f}±{100 * error:.0f}"


def line(name: str, columns: list[str]) -> str:
    """A line of the table."""
    return f"{name:<19}" + "".join(f"{column:>10}" for column in columns)


def main() -> None:
    """Read, simulate, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detector", help="a detector of the package, or a YAML file")
    parser.add_argument("full", type=Path, nargs="+", metavar="FULL.h5", help="full showers of it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    simulator = gflash_of(load_detector(arguments.detector))
    for k, path in enumerate(arguments.full):
        full = open_showers(path, simulator.calorimeter)[:]
        wanted, fast = values(full), values(simulated(simulator, full.particles))
        if k == 0:
            factor = float(wanted["E_sum"].mean() / fast["E_sum"].mean())
            simulator = replace(simulator, response=factor)
            fast = values(simulated(simulator, full.particles))
            print(f"response {factor:.4f}")
            print(line("", ["showers", "spread", *MEASURED]))
        each = [departure(wanted[name], fast[name]) for name in MEASURED]
        of_sum = spread(wanted["E_sum"], fast["E_sum"])
        print(line(title(full.particles), [str(len(full)), of_sum, *each]))


if __name__ == "__main__":
    main()
