r"""Energies of a shower: in all, by layer, and ratios of them.

With :math:`E_l` the energy in layer :math:`l = 0, \dots, L - 1`, front to back, and :math:`E` that
of the incident particle:

- total energy :math:`E_\mathrm{sum} = \sum_l E_l`, response :math:`E_\mathrm{sum} / E`, fractions
  :math:`E_l / E_\mathrm{sum}`;
- energy ratios, CaloDREAM (arXiv:2405.09629) eq. 2 with :math:`f = 1`:
  :math:`u_0 = E_\mathrm{sum} / E` and, for :math:`i = 1, \dots, L - 1`, the share
  :math:`u_i = E_{i-1} / \sum_{j \ge i-1} E_j` that the :math:`i`-th layer takes of what has reached
  it.

A ratio to no energy is 0: as in the CaloChallenge, :math:`10^{-16}` MeV is added to energies that
are divided by.
"""

__all__ = [
    "EMPTY",
    "ENERGY_SUM",
    "LAYERS",
    "LAYER_ENERGY",
    "LAYER_FRACTION",
    "RESPONSE",
    "U_RATIOS",
    "layer_energies",
    "layer_fractions",
    "layer_labels",
    "response",
    "total_energy",
    "u_ratios",
]

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers
from caloforge.observables._hit_sums import sums
from caloforge.observables.records import Entry, Observable

EMPTY = 1e-16
"""What is added to an energy that is divided by, in MeV, as in the CaloChallenge."""


def total_energy(showers: AnyShowers) -> Float[Tensor, " showers"]:
    r"""Total deposited energy :math:`E_\mathrm{sum}`, in MeV, with shape (N)."""
    return sums(showers).energies.sum(dim=1)


def response(showers: AnyShowers) -> Float[Tensor, " showers"]:
    r"""Total deposited energy over incident energy, :math:`E_\mathrm{sum} / E`, with shape (N)."""
    return total_energy(showers) / showers.energies.double()


def layer_energies(showers: AnyShowers) -> Float[Tensor, "showers layers"]:
    """Energy in each layer in depth, front to back, in MeV, with shape (N, layers)."""
    return sums(showers).energies.clone()


def layer_fractions(showers: AnyShowers) -> Float[Tensor, "showers layers"]:
    r"""Share of each layer in the total energy, :math:`E_l / E_\mathrm{sum}`, in [0, 1], with shape
    (N, layers).
    """
    energies = sums(showers).energies
    return energies / (energies.sum(dim=1, keepdim=True) + EMPTY)


def energy_ratios(
    energies: Float[Tensor, "showers layers"],
    incident: Float[Tensor, " showers"],
    scale: float = 1.0,
) -> Float[Tensor, "showers ratios"]:
    r"""Energy ratios :math:`u_0, \dots, u_{L-1}` (CaloDREAM, arXiv:2405.09629, eq. 2), in double
    precision.

    The first is the total energy over :math:`f` times the incident energy, each further one the
    share of a layer, from the front on, in what it and those behind it hold; the share of the last
    layer is always 1 and left out.

    Arguments:
        energies: The energy in each layer, front to back, in MeV.
        incident: The incident energies, in MeV.
        scale: The scale :math:`f`.
    """
    remaining = energies.double().flip(1).cumsum(dim=1).flip(1)
    first = remaining[:, :1] / (scale * incident.double()[:, None])
    return torch.cat([first, energies[:, :-1] / (remaining[:, :-1] + EMPTY)], dim=1)


def u_ratios(showers: AnyShowers) -> Float[Tensor, "showers ratios"]:
    """The `energy_ratios` of showers, with a scale of 1."""
    return energy_ratios(sums(showers).energies, showers.energies)


def layer_labels(calorimeter: Calorimeter) -> tuple[str, ...]:
    """The layers by their published numbers: "layer 3"."""
    return tuple(f"layer {number}" for number in calorimeter.layer_ids)


def _ratio_labels(calorimeter: Calorimeter) -> tuple[str, ...]:
    return tuple(f"u{i}" for i in range(calorimeter.n_layers))


def _layer_positions(calorimeter: Calorimeter) -> Tensor:
    return torch.arange(calorimeter.n_layers, dtype=torch.float64)


ENERGY_SUM = Observable("energy_sum", "Total energy", r"E_\mathrm{sum}", "MeV", total_energy)
RESPONSE = Observable("response", "Response", r"E_\mathrm{sum}/E", "", response)
LAYERS = Observable(
    "layer_energies",
    "Profile in depth",
    r"\mathrm{layer}",
    "layers",
    layer_energies,
    Entry.POSITION,
    positions=_layer_positions,
)
LAYER_ENERGY = Observable(
    "layer_energy",
    "Energy of a layer",
    "E_l",
    "MeV",
    layer_energies,
    Entry.SERIES,
    labels=layer_labels,
)
LAYER_FRACTION = Observable(
    "layer_fraction",
    "Share of a layer",
    r"E_l/E_\mathrm{sum}",
    "",
    layer_fractions,
    Entry.SERIES,
    labels=layer_labels,
)
U_RATIOS = Observable(
    "u_ratios", "Energy ratios", "u_i", "", u_ratios, Entry.SERIES, labels=_ratio_labels
)
