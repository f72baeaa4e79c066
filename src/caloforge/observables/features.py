r"""High-level features of showers, as classifiers and Fréchet distances take them.

`high_level_features` are those of the CaloChallenge (arXiv:2410.21611), with energies in MeV and
lengths in mm: 30 numbers a shower for dataset 1 photons, 46 for 1 pions, 362 for 2 and 3,

.. math:: \log_{10} E,\ \log_{10}(E_l + 10^{-8}),\ \tfrac{\langle x \rangle_l}{100},\
          \tfrac{\langle y \rangle_l}{100},\ \tfrac{\sigma_{x,l}}{100},\
          \tfrac{\sigma_{y,l}}{100},\ \log_{10}(E_\mathrm{sum} + 10^{-8}),\
          \lambda_l,\ \tfrac{\langle r \rangle_l}{100},\ \tfrac{\sigma_{r,l}}{100}

in this order, each for all layers l (those in x and y for the layers with more than one bin in
alpha), with the sparsity :math:`\lambda_l`. `shower_level_features` are the nine of the classifier
of L2LFlows (arXiv:2405.20407, section 4.2), unscaled.
"""

__all__ = ["SHOWER_LEVEL", "feature_names", "high_level_features", "shower_level_features"]

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers
from caloforge.observables.cells import occupancy, sparsity
from caloforge.observables.energies import layer_energies, layer_labels, response, total_energy
from caloforge.observables.shapes import (
    LAYER_CENTRE_X,
    centre_x,
    centre_y,
    centre_z,
    layer_centre_r,
    layer_centre_x,
    layer_centre_y,
    layer_width_r,
    layer_width_x,
    layer_width_y,
    width_x,
    width_y,
    width_z,
)

SHOWER_LEVEL = (
    *("E_sum / E", "occupancy", "centre x [mm]", "centre y [mm]", "centre z [mm]"),
    *("width x [mm]", "width y [mm]", "width z [mm]", "E [MeV]"),
)
"""The names of the numbers of `shower_level_features`, in order."""

_FLOOR = 1e-8
_LENGTH = 100.0


def high_level_features(showers: AnyShowers, threshold: float) -> Float[Tensor, "showers features"]:
    r"""The high-level features of the CaloChallenge, in double precision. The threshold enters only
    the sparsity: cut energies below it before.

    Arguments:
        showers: N showers in any calorimeter.
        threshold: The energy :math:`\epsilon` of the sparsity, in MeV; the challenge's is 1 MeV for
            dataset 1 and 0.5 keV / 0.033 for datasets 2 and 3.

    Returns:
        The features, with shape (N, F), in the order of `feature_names`.
    """
    energies = (layer_energies(showers) + _FLOOR).log10()
    transverse = [
        f(showers) / _LENGTH for f in (layer_centre_x, layer_centre_y, layer_width_x, layer_width_y)
    ]
    total = (total_energy(showers)[:, None] + _FLOOR).log10()
    radial = [f(showers) / _LENGTH for f in (layer_centre_r, layer_width_r)]
    incident = showers.energies.double()[:, None].log10()
    return torch.cat(
        [incident, energies, *transverse, total, sparsity(showers, threshold), *radial], dim=1
    )


def feature_names(calorimeter: Calorimeter) -> tuple[str, ...]:
    """The names of the numbers of `high_level_features`, in order."""
    layers = layer_labels(calorimeter)
    azimuthal = LAYER_CENTRE_X.labels_of(calorimeter)
    groups = [("log10 E", layers)]
    groups += [
        (f"{what} / 100 mm", azimuthal) for what in ("centre x", "centre y", "width x", "width y")
    ]
    radial = [("sparsity", layers), ("centre r / 100 mm", layers), ("width r / 100 mm", layers)]
    before, after = (
        [f"{what}, {label}" for what, labels in part for label in labels]
        for part in (groups, radial)
    )
    return ("log10 E incident", *before, "log10 E sum", *after)


def shower_level_features(showers: AnyShowers, threshold: float) -> Float[Tensor, "showers 9"]:
    """The nine shower-level numbers of L2LFlows' classifier, named in `SHOWER_LEVEL`, in double
    precision.

    Arguments:
        showers: N showers in any calorimeter.
        threshold: The energy above which a cell is active, in MeV.

    Returns:
        Energy ratio, occupancy, centres and widths in x, y and depth, and the incident energy, with
        shape (N, 9).
    """
    shapes = [f(showers) for f in (centre_x, centre_y, centre_z, width_x, width_y, width_z)]
    return torch.stack(
        [response(showers), occupancy(showers, threshold), *shapes, showers.energies.double()],
        dim=1,
    )
