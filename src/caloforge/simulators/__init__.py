"""Simulators: showers from particles."""

__all__ = [
    "GFlash",
    "Geant4",
    "Homogeneous",
    "Medium",
    "Sampling",
    "Stack",
    "TimedShowers",
    "Tuning",
    "Upstream",
    "gflash_of",
    "pbwo4_gflash",
    "record",
]

from caloforge.simulators.geant4 import Geant4, TimedShowers, record
from caloforge.simulators.gflash import GFlash, Upstream, gflash_of, pbwo4_gflash
from caloforge.simulators.media import Stack
from caloforge.simulators.parametrisation import Homogeneous, Medium, Sampling, Tuning
