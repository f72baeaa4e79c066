"""Simulators: showers from particles."""

__all__ = [
    "DEFAULT_CONSTANTS",
    "Departure",
    "Fitted",
    "GFlash",
    "Geant4",
    "Homogeneous",
    "Medium",
    "Sampling",
    "Stack",
    "TimedShowers",
    "Tuning",
    "Upstream",
    "departures",
    "fit_tuning",
    "gflash_of",
    "load_gflash",
    "pbwo4_gflash",
    "record",
    "write_gflash",
]

from caloforge.simulators.geant4 import Geant4, TimedShowers, record
from caloforge.simulators.gflash import GFlash, Upstream, gflash_of, pbwo4_gflash
from caloforge.simulators.media import Stack
from caloforge.simulators.parametrisation import Homogeneous, Medium, Sampling, Tuning
from caloforge.simulators.tuned import load_gflash, write_gflash
from caloforge.simulators.tuning import DEFAULT_CONSTANTS, Departure, Fitted, departures, fit_tuning
