"""Fast calorimeter showers: simulate them, refine them, and prove them right.

A `Calorimeter` says where the cells are. `Showers` are the energies in them, with the particles
that made them. A *simulator* makes showers from particles. A *refiner* makes better showers from
showers. A *report* says how far two samples of showers are apart.
"""

from importlib.metadata import version

__version__ = version("caloforge")
