r"""By how much showers of photons lie deeper than those of electrons, in radiation lengths.

    python benchmarks/photon_depth.py test.h5 my-model --detector par04-siw

fits, to the full simulation and to the showers of each model for the same particles,

.. math:: \langle d \rangle = a + b \ln E + c \, [\gamma], \qquad d = \sum_l E_l d_l / \sum_l E_l,

with :math:`d_l` the depth of layer :math:`l`, along the particle where the mesh is; and prints
:math:`c`. A photon converts after 9/7 radiation lengths, and its pair has half of its energy each,
so that :math:`c` is near 7/9. For a model, the labels are swapped, too: the same particles as
photons less as electrons.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge import zoo
from caloforge.detector import Matter, load_detector
from caloforge.io import open_showers
from caloforge.observables import centre_z
from caloforge.showers import Showers
from caloforge.species import ELECTRON, PHOTON

SEED = 1


def depths(showers: Showers, layer: float) -> Float[Tensor, " showers"]:
    """The mean depth of the energy of each shower, in radiation lengths.

    Arguments:
        showers: The showers.
        layer: The depth of a layer, in radiation lengths; all layers are alike.
    """
    return centre_z(showers) * layer / showers.calorimeter.known_thicknesses[0]


def shift(showers: Showers, layer: float) -> tuple[float, float]:
    """The c of the fit by least squares, and its error."""
    depth = depths(showers, layer)
    photon = (torch.as_tensor(showers.particles.pdg) == PHOTON).double()
    known = torch.stack([torch.ones_like(depth), showers.energies.double().log(), photon], dim=1)
    inverse = torch.linalg.inv(known.T @ known)
    found = inverse @ known.T @ depth
    left = depth - known @ found
    return float(found[2]), float((left.square().sum() / (len(left) - 3) * inverse[2, 2]).sqrt())


def main() -> None:
    """Fit, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("full", type=Path, help="showers of the full simulation")
    parser.add_argument("models", nargs="*", help="surrogates of electrons and photons")
    parser.add_argument("--detector", default="par04-siw", help="a detector's name, or YAML file")
    options = parser.parse_args()
    layer = Matter.of(load_detector(options.detector)).layer_depth
    full = open_showers(options.full)[:]
    value, error = shift(full, layer)
    print(f"{options.full.name}: {value:.3f} +- {error:.3f} radiation lengths")
    for name in options.models:
        model, particles = zoo.load_surrogate(name), full.particles
        made = model.simulate(particles, seed=SEED)
        swapped = [
            depths(model.simulate(replace(particles, pdg=pdg), seed=SEED), layer).mean()
            for pdg in (ELECTRON, PHOTON)
        ]
        value, error = shift(made, layer)
        print(f"{name}: {value:.3f} +- {error:.3f}; labels swapped {swapped[1] - swapped[0]:.3f}")


if __name__ == "__main__":
    main()
