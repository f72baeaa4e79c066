"""Simulators: showers from particles."""

__all__ = ["GFlash", "Homogeneous", "Medium", "Sampling", "Tuning", "Upstream", "pbwo4_gflash"]

from caloforge.simulators.gflash import GFlash, Upstream, pbwo4_gflash
from caloforge.simulators.parametrisation import Homogeneous, Medium, Sampling, Tuning
