"""What particle made a shower: inference with the exact densities of flows."""

__all__ = [
    "Density",
    "EnergyPosterior",
    "Resolution",
    "density_of",
    "energy_posterior",
    "posteriors",
    "resolution",
]

from caloforge.reconstruction.posterior import Density, EnergyPosterior, energy_posterior
from caloforge.reconstruction.reading import density_of, posteriors
from caloforge.reconstruction.resolution import Resolution, resolution
