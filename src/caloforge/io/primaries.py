r"""Incident particles as files of events hold them: species, momentum and vertex.

The incident energy is the kinetic one, :math:`T = \sqrt{p^2 + m^2} - m`, as that of the gun. The
vertex is where the particle begins; from there it flies straight to the front face, z = 0.
"""

__all__ = ["from_momenta", "mass_of", "momenta_of", "species_in"]

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from caloforge.io.point_files import directed
from caloforge.particles import Particles, Species


@lru_cache(maxsize=100)
def mass_of(pdg: int) -> float:
    """The mass of a species, in MeV; 0 where it is not known.

    Example:
        >>> round(mass_of(211), 2)
        139.57
    """
    from particle import Particle
    from particle.particle import InvalidParticle, ParticleNotFound

    try:
        return Particle.from_pdgid(pdg).mass or 0.0
    except (InvalidParticle, ParticleNotFound):
        return 0.0


def species_in(pdg: np.ndarray) -> Int64[Tensor, " showers"] | int:
    """The species that a column says, one for all where they are the same."""
    found = torch.from_numpy(pdg.astype(np.int64))
    return int(found[0]) if len(found) and bool((found == found[0]).all()) else found


def _each(pdg: Species, n: int) -> Int64[Tensor, " showers"]:
    """The species of each particle, 0 where it is not known."""
    return torch.as_tensor(0 if pdg is None else pdg).expand(n)


def _masses(pdg: Species, n: int) -> Float64[Tensor, " showers"]:
    species, place = torch.unique(_each(pdg, n), return_inverse=True)
    return torch.tensor([mass_of(one) for one in species.tolist()], dtype=torch.float64)[place]


def from_momenta(
    momentum: Float64[Tensor, "showers 3"],
    vertex: Float64[Tensor, "showers 3"],
    pdg: Species,
    where: str,
) -> dict[str, Any]:
    """The particles of momenta, as arguments of `Particles`, not yet checked.

    Arguments:
        momentum: The momenta, in MeV, with z along the beam.
        vertex: Where the particles begin, in mm.
        pdg: Their species.
        where: The file and the column of the momenta, for messages.

    Raises:
        FileFormatError: A momentum is not finite, or is 0.
    """
    mass, p = _masses(pdg, len(momentum)), momentum.norm(dim=1)
    energies = p * p / (torch.hypot(p, mass) + mass)
    place = vertex[:, :2] - torch.where(
        vertex[:, 2:] == 0, 0, vertex[:, 2:] * momentum[:, :2] / momentum[:, 2:]
    )
    given = {"energies": energies.float(), "pdg": pdg, **directed(momentum, where)}
    return given | ({"place": place.float()} if place.any() else {})


def momenta_of(
    particles: Particles,
) -> tuple[Float64[Tensor, "showers 3"], Float64[Tensor, "showers 3"], Int64[Tensor, " showers"]]:
    """The momenta of particles, in MeV, their vertices on the front face, in mm, and their species,
    0 where these are not known.
    """
    n, energies = len(particles), particles.energies.double()
    mass = _masses(particles.pdg, n)
    p = (energies * (energies + 2 * mass)).sqrt()
    vertex = torch.zeros(n, 3, dtype=torch.float64)
    if particles.place is not None:
        vertex[:, :2] = particles.place
    return p[:, None] * particles.directions, vertex, _each(particles.pdg, n)
