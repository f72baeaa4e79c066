r"""Make a training sample in the mesh along the particle, with the conditions of LEMURS: electrons
and photons, one to one, log-uniform from 1 to 100 GeV, at polar angles of the barrel uniform from
0.87 to 2.27 rad (pi/2 is normal incidence), by Geant4's standard electromagnetic physics.

    python benchmarks/mesh_sample.py train.h5 -n 10000 --seed 1
    python benchmarks/mesh_sample.py test.h5 -n 2000 --seed 2

The command resumes an interrupted run when it is given again. A longer run of the same seed begins
with the showers of a shorter one. The barrel's axis is the *y* of the detector: a particle at
:math:`\theta_b` enters at :math:`\theta = |\pi/2 - \theta_b|` to the normal, towards
:math:`\phi = \pm\pi/2`.
"""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from caloforge.detector import load_detector
from caloforge.gun import Gun, Interval, LogUniform, Mixture
from caloforge.particles import Particles
from caloforge.production import produce
from caloforge.simulators import Geant4
from caloforge.units import GeV

BARREL = Interval(0.87, 2.27)
SPECTRUM = LogUniform(1 * GeV, 100 * GeV)
SPECIES = Mixture(((11, 1.0), (22, 1.0)))


@dataclass(frozen=True)
class BarrelGun:
    """Particles whose polar angles are those of a barrel."""

    gun: Gun

    def __len__(self) -> int:
        return len(self.gun)

    def __getitem__(self, index: slice) -> Particles:
        drawn = self.gun[index]
        tilt = math.pi / 2 - torch.as_tensor(drawn.theta).double()
        phi = torch.copysign(torch.full_like(tilt, math.pi / 2), tilt)
        return replace(drawn, theta=tilt.abs().float(), phi=phi.float())


def main() -> None:
    """Simulate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, metavar="OUT.h5")
    parser.add_argument("-n", type=int, default=10_000, help="how many showers (default 10,000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--detector", default="par04-siw", help="a detector's name, or a YAML file")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    gun = BarrelGun(Gun(options.n, SPECTRUM, options.seed, SPECIES, theta=BARREL))
    simulator = Geant4(load_detector(options.detector), "em-standard", workers=options.workers)
    made = produce(
        gun[:], simulator, options.output, seed=options.seed, batch_size=100, resume=True
    )
    print(
        f"{made.path}: {made.showers} showers, {made.resumed} of them from before, "
        f"{made.milliseconds:.0f} ms a shower"
    )


if __name__ == "__main__":
    main()
