"""The community's benchmarks by name, each with its protocol and its table of published results."""

__all__ = ["PRESETS", "Preset", "Published", "geant4_correlation"]

from caloforge.published.challenge import PRESETS, geant4_correlation
from caloforge.published.preset import Preset, Published
