"""Geant4, the full simulation, from Python: its physics, its data sets, and the processes in which
it works.
"""

__all__ = [
    "DATA_SETS",
    "PHYSICS",
    "DataSets",
    "Geant4",
    "Physics",
    "Record",
    "TimedHits",
    "TimedShowers",
    "find_data",
    "physics_of",
]

from caloforge.simulators.geant4.datasets import DATA_SETS, DataSets, find_data
from caloforge.simulators.geant4.engine import Geant4, TimedHits, TimedShowers
from caloforge.simulators.geant4.physics import PHYSICS, Physics, physics_of
from caloforge.simulators.geant4.recording import Record
