"""Simulators: showers from particles."""

__all__ = [
    "DEFAULT_CONSTANTS",
    "Departure",
    "Fitted",
    "GFlash",
    "Geant4",
    "Homogeneous",
    "Medium",
    "Progress",
    "Record",
    "Refiner",
    "Sampling",
    "Simulator",
    "Stack",
    "TimedHits",
    "TimedShowers",
    "Tuning",
    "Upstream",
    "Validity",
    "departures",
    "fit_tuning",
    "gflash_of",
    "load_gflash",
    "pbwo4_gflash",
    "write_gflash",
]

from caloforge.simulators.geant4 import Geant4, Record, TimedHits, TimedShowers
from caloforge.simulators.gflash.media import Stack
from caloforge.simulators.gflash.parametrisation import Homogeneous, Medium, Sampling, Tuning
from caloforge.simulators.gflash.simulator import GFlash, Upstream, gflash_of, pbwo4_gflash
from caloforge.simulators.gflash.tuned import load_gflash, write_gflash
from caloforge.simulators.gflash.tuning import (
    DEFAULT_CONSTANTS,
    Departure,
    Fitted,
    departures,
    fit_tuning,
)
from caloforge.simulators.protocols import Progress, Refiner, Simulator, Validity
