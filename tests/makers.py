"""What makes showers, and what makes better ones of them: the catalogues over which the laws of
`caloforge.simulators.protocols` are tested, one line each.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial

import torch

from caloforge import zoo
from caloforge.detector import load_detector
from caloforge.geometry import Calorimeter
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.simulators import Geant4, GFlash, Refiner, Simulator, Validity, gflash_of
from caloforge.simulators import pbwo4_gflash as crystals
from caloforge.simulators.protocols import Progress, silent
from tests.geant4 import IRREGULAR


@dataclass(frozen=True)
class ByEnergy:
    """A refiner that leaves the deposits and draws weights around 1."""

    calorimeter: Calorimeter
    validity: Validity = field(default_factory=Validity)

    def refine(
        self,
        showers: Showers,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> Showers:
        """The same showers, with other weights."""
        index = first_index + torch.arange(len(showers))
        weights = 1 + 0.1 * torch.sin(seed + index + showers.energies.cpu() / 1000)
        progress(len(showers))
        return replace(showers, weights=weights.float())


@cache
def learned_simulator(name: str) -> Simulator:
    """A surrogate that comes with the package."""
    return zoo.load_surrogate(name)


@cache
def learned_refiner(name: str) -> Refiner:
    """A refiner that comes with the package."""
    return zoo.load(name)


def par04() -> GFlash:
    """GFlash of the coarse Par04 detector."""
    return gflash_of(load_detector("par04-lowgran"))


SIMULATORS: dict[str, Callable[[], Simulator]] = {
    "gflash": crystals,
    "gflash-par04": par04,
    "geant4": lambda: Geant4(load_detector("pbwo4-10x10"), "em-option1"),
    "geant4-irregular": lambda: Geant4(IRREGULAR, "em-option1"),
    "surrogate": partial(learned_simulator, "calodream-ds2-laptop"),
}
"""The simulators; Geant4 is played by the actor of `tests.geant4`."""

REFINERS: dict[str, Callable[[], Refiner]] = {
    "squirels-fast": partial(learned_refiner, "squirels-fast"),
    "squirels": partial(learned_refiner, "squirels-laptop"),
    "weights": lambda: ByEnergy(crystals().calorimeter),
}
"""The refiners, all of the PbWO4 crystals."""


def electrons(n: int = 21) -> Particles:
    """Electrons that all of them are made for, from 12 to 95 GeV."""
    return Particles(torch.logspace(4.08, 4.97, n))


def fast_showers(n: int = 21) -> Showers:
    """Showers for the refiners."""
    return crystals().simulate(electrons(n), seed=5)
