"""A detector is matter and what reads it: materials, slabs, readout, and their YAML."""

__all__ = [
    "Boxes",
    "Detector",
    "EqualRings",
    "Hexagons",
    "Layers",
    "Matter",
    "Mixture",
    "Repeated",
    "Rings",
    "Role",
    "Slab",
    "Staggered",
    "detector_names",
    "load_detector",
    "write_detector",
]

from caloforge.detector.description import Detector
from caloforge.detector.detector_files import detector_names, load_detector, write_detector
from caloforge.detector.matter import Matter
from caloforge.detector.readout import EqualRings
from caloforge.detector.slabs import Layers, Mixture, Repeated, Role, Slab
from caloforge.geometry import Boxes, Hexagons, Rings, Staggered
