r"""How the energy in a sampling calorimeter fluctuates, differentiable in thicknesses.

With the energy per layer weighed by the share of it that is read, the estimate of the energy is
:math:`S = \sum_l dE_l`, the sum of what all matter of the layers absorbs, and (hep-ex/0001020)

.. math:: \mathrm{E} S = \mathrm{E}_{T \alpha} \sum_l dE_l, \qquad
          \mathrm{Var} S = \mathrm{Var}_{T \alpha} \sum_l dE_l
          + \mathrm{E}_{T \alpha} \sum_l k \, \Delta_l \, dE_l .

The first term is leakage, whose share fluctuates with the profile of a shower; the normal numbers
behind :math:`\ln T` and :math:`\ln \alpha` are reparametrised and integrated by Gauss and Hermite's
rule. The second is sampling: an electron crosses one layer per energy loss
:math:`\Delta_l = \sum_s d_s E_{c,s} / X_{0,s}`, so that the relative width goes as
:math:`\sqrt{k \Delta_l / E}` (Rossi); k, some 4 for 0.5 mm of silicon, is measured. All is float64.
"""

__all__ = ["EnergyMoments", "Section", "energy_moments", "sections_of"]

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.detector import Detector, Role
from caloforge.detector.materials import Material
from caloforge.gradients import differentiable
from caloforge.simulators.gflash.longitudinal import increments
from caloforge.simulators.gflash.parametrisation import Constants, Tuning, profile

_TYPICAL_RATE = 0.5
"""As in `media`: the energy of a typical shower weighs the sections."""

_NODES = 7


@dataclass(frozen=True)
class Section:
    """Equal layers, as a design changes them.

    Arguments:
        number: How many.
        slabs: The material and the role of each slab of a layer, front to back.
        thicknesses: The thickness of each, in mm, float64, with shape (slabs).
    """

    number: int
    slabs: tuple[tuple[Material, Role], ...]
    thicknesses: Float[Tensor, " slabs"]


class EnergyMoments(NamedTuple):
    """The energy estimate over the incident energy, of each energy, float64."""

    mean: Tensor
    """Its mean, with shape (energies)."""
    leaking: Tensor
    """Its variance by fluctuations of leakage."""
    crossing: Tensor
    """Its variance by sampling, over k."""

    def spread(self, sampling: float | Tensor) -> Tensor:
        r"""The relative width :math:`\sigma / \mu`, given k."""
        return (self.leaking + sampling * self.crossing).sqrt() / self.mean


def sections_of(detector: Detector) -> tuple[Section, ...]:
    """The layers of a detector, group by group.

    Raises:
        GeometryError: The NIST tables do not hold a material.
    """
    return tuple(
        Section(
            layers.number,
            tuple((detector.material(slab.material), slab.role) for slab in layers.each_slab),
            torch.tensor([slab.thickness for slab in layers.each_slab], dtype=torch.float64),
        )
        for layers in detector.layers
    )


@differentiable
def energy_moments(
    sections: Sequence[Section], energies: Float[Tensor, " energies"], *, nodes: int = _NODES
) -> EnergyMoments:
    """The moments of the energy estimate, differentiable in the thicknesses of the sections.

    Arguments:
        sections: The layers, front to back; some have an absorber.
        energies: The incident energies of electrons, in MeV, float64.
        nodes: The nodes of the rule, in each of two directions.
    """
    constants = _constants(sections)
    z, weights = _rule(nodes)
    n = len(energies)
    shower = profile(
        constants, Tuning.sampling(), energies.repeat_interleave(len(z))[:, None], z.repeat(n, 1)
    )
    share = increments(shower.alpha, shower.maximum, _edges(sections))
    held = share.sum(1).view(n, -1)
    mean = held @ weights
    loss = torch.cat([_loss(one).expand(one.number) for one in sections])
    crossing = (share @ loss).view(n, -1) @ weights / energies
    return EnergyMoments(mean, (held - mean[:, None]).square() @ weights, crossing)


def _rule(nodes: int) -> tuple[Tensor, Tensor]:
    """The nodes, with shape (nodes^2, 2), and their weights, of sum 1."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights = weights / weights.sum()
    z = torch.cartesian_prod(*(torch.from_numpy(points),) * 2)
    return z, torch.from_numpy(np.outer(weights, weights).ravel())


def _edges(sections: Sequence[Section]) -> Float[Tensor, " edges"]:
    """The borders of the layers, in radiation lengths."""
    each = [_lengths(one).expand(one.number) for one in sections]
    depths = torch.cat(each)
    return torch.cat([depths.new_zeros(1), depths.cumsum(0)])


def _lengths(section: Section) -> Tensor:
    """How deep a layer is, in radiation lengths."""
    inverse = [1 / material.radiation_length for material, _ in section.slabs]
    return section.thicknesses @ section.thicknesses.new_tensor(inverse)


def _loss(section: Section) -> Tensor:
    """What an electron loses in a layer, in MeV."""
    each = [material.critical_energy / material.radiation_length for material, _ in section.slabs]
    return section.thicknesses @ section.thicknesses.new_tensor(each)


def _constants(sections: Sequence[Section]) -> Constants:
    """The means over the sections, weighed by the energy that a typical shower leaves in each."""
    deep = torch.stack([one.number * _lengths(one) for one in sections])
    gone = torch.special.gammainc(
        deep.new_tensor(4.0), _TYPICAL_RATE * torch.cat([deep.new_zeros(1), deep.cumsum(0)])
    )
    weights = gone.diff() / gone[-1]
    each = torch.stack([_of_one(one) for one in sections])
    z, radiation_length, critical_energy, period, mismatch = weights @ each
    return Constants(z, radiation_length, critical_energy, 1.0, period, mismatch)


def _of_one(section: Section) -> Float[Tensor, "5"]:
    """Z, X_0, E_c, g and h of a section (`Material.layered`, `Sampling`)."""
    d = section.thicknesses
    mass = d * d.new_tensor([material.density for material, _ in section.slabs])
    z = (mass @ d.new_tensor([material.z for material, _ in section.slabs])) / mass.sum()
    lengths = _lengths(section)
    period = lengths / max(1, _periods(section))
    mismatch = 1 - 1 / (1 + 0.007 * _contrast(section, mass))
    return torch.stack([z, d.sum() / lengths, _loss(section) / lengths, period, mismatch])


def _periods(section: Section) -> int:
    """How often an absorber comes before an active slab, in a layer."""
    roles = [role for _, role in section.slabs if role is not Role.PASSIVE]
    return [role for role, _ in groupby(roles)].count(Role.ABSORBER)


def _contrast(section: Section, mass: Float[Tensor, " slabs"]) -> Tensor:
    """The difference of charge of absorber and active material; 0 where one is missing."""
    means = []
    for wanted in (Role.ABSORBER, Role.ACTIVE):
        kind = mass.new_tensor([role is wanted for _, role in section.slabs])
        if not kind.any():
            return mass.new_zeros(())
        charge = mass.new_tensor([material.z for material, _ in section.slabs])
        means.append(((mass * kind) @ charge) / (mass @ kind))
    return means[0] - means[1]
