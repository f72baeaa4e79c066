r"""The media of a detector: from its slabs to the effective constants of the parametrisation.

Each of the detector's `Layers` is one medium. Slabs that absorb, that are read and that do neither
are taken together, each kind as one material (`Material.layered`); a *period* of sampling goes from
one absorber behind an active slab to the next. Where no slab is called an absorber and several
materials are active, the one of the largest charge absorbs. Without an absorber the medium is
homogeneous.

Media one behind the other make a `Stack`. Depth is counted in radiation lengths, layer by layer,
and the shower has the profiles, longitudinal and radial, of one medium: each of its constants is
the mean over the media, weighed by the energy that a typical shower leaves in them. The width of a
shower is that mean's too, not that of the layer in which it is seen, for it has been gathered on
the way: in the calorimeter of the ILD, whose last ten layers have twice the tungsten, the energy
near the axis comes out right in them, and would be much too large with the Molière radius of those
layers alone.
"""

__all__ = ["Part", "Stack", "medium_of", "visible_shares"]

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from caloforge.detector import Detector, Layers, Role, Slab
from caloforge.detector.materials import Material
from caloforge.errors import GeometryError
from caloforge.simulators.gflash.parametrisation import (
    Constants,
    Homogeneous,
    Medium,
    Sampling,
    Tuning,
)

_TYPICAL_RATE = 0.5
r""":math:`\beta` of a typical shower, :math:`\alpha = 4` and :math:`T = 6`: an electron of some 10
GeV in a heavy absorber.
"""

_ROUNDED = 9
"""Sums of thicknesses, in mm, are rounded to so many decimals."""

_ROUNDING = 1e-9

_BENCHMARK = "G4_PbWO4"
"""The material whose critical energy is Geant4's own, so that showers in SQuIRELS's crystals are
those of Geant4's GFlash.
"""


@dataclass(frozen=True)
class Part:
    """Readout layers of the same matter and thickness.

    Arguments:
        number: How many.
        thickness: Their thickness, in mm.
        medium: What they are made of.
    """

    number: int
    thickness: float
    medium: Medium


@dataclass(frozen=True)
class Stack(Medium):
    """Media one behind the other.

    Arguments:
        parts: The layers, front to back, one part or more.
    """

    parts: tuple[Part, ...]

    @property
    def constants(self) -> Constants:
        """The means, weighed by the energy that a typical shower leaves in each part."""
        each = [part.medium.constants for part in self.parts]
        return Constants(
            *(
                sum(w * x for w, x in zip(self.weights, values, strict=True))
                for values in zip(*each, strict=True)
            )
        )

    @property
    def weights(self) -> list[float]:
        """The share of the energy that a typical shower leaves in each part."""
        ends = [0.0]
        for part in self.parts:
            ends.append(
                ends[-1] + part.number * part.thickness / part.medium.constants.radiation_length
            )
        gone = [_gone(_TYPICAL_RATE * t) for t in ends]
        return [(b - a) / gone[-1] for a, b in pairwise(gone)]

    @property
    def tuning(self) -> Tuning:
        """That of the part where a typical shower leaves most."""
        return max(zip(self.weights, self.parts, strict=True), key=lambda pair: pair[0])[
            1
        ].medium.tuning

    def depths(self, thicknesses: tuple[float, ...]) -> tuple[float, ...]:
        """As for one medium, but with the thicknesses of the parts, which grids of equal layers do
        not hold.

        Raises:
            GeometryError: The number of layers is not that of the parts.
        """
        n = sum(part.number for part in self.parts)
        if n != len(thicknesses):
            msg = (
                f"stack of media: it has {n} layers, and the calorimeter {len(thicknesses)}, "
                "expected as many"
            )
            raise GeometryError(msg)
        return tuple(
            depth
            for part in self.parts
            for depth in part.medium.depths((part.thickness,) * part.number)
        )

    def thicknesses(self, thicknesses: tuple[float, ...]) -> tuple[float, ...]:
        """Those of the parts."""
        return tuple(part.thickness for part in self.parts for _ in range(part.number))


def _gone(x: float) -> float:
    r"""The integral of a gamma density of :math:`\alpha = 4` up to x."""
    return 1 - math.exp(-x) * (1 + x + x**2 / 2 + x**3 / 6)


def medium_of(detector: Detector) -> Medium:
    """The medium of a detector; a `Stack` where not all layers are alike.

    Raises:
        GeometryError: The NIST tables do not hold a material.
    """
    stack = _stack(detector)
    return (
        stack
        if len({(part.thickness, part.medium) for part in stack.parts}) > 1
        else stack.parts[0].medium
    )


def visible_shares(detector: Detector) -> tuple[float, ...]:
    r"""An estimate of the share of the energy of each readout layer that is read; nothing if that
    is all in each.

    Electrons lose :math:`E_c / X_0` per length (Rossi), and less of it in an active material beside
    an absorber by :math:`\hat e` of `Sampling`. Where the detector divides deposits by its sampling
    fraction, the mean over the layers, weighed as in a `Stack`, is taken to be 1.

    Raises:
        GeometryError: The NIST tables do not hold a material.
    """
    stack = _stack(detector)
    shares = [_visible(detector, *each) for each in zip(detector.layers, stack.parts, strict=True)]
    calibrated = detector.sampling_fraction < 1
    whole = (
        sum(w * share for w, share in zip(stack.weights, shares, strict=True))
        if calibrated
        else 1.0
    )
    each_layer = tuple(
        share / whole
        for share, part in zip(shares, stack.parts, strict=True)
        for _ in range(part.number)
    )
    return each_layer if any(abs(share - 1) > _ROUNDING for share in each_layer) else ()


def _visible(detector: Detector, layers: Layers, part: Part) -> float:
    loss = dict.fromkeys(Role, 0.0)
    for slab in layers.each_slab:
        material = detector.material(slab.material)
        loss[slab.role] += slab.thickness * material.critical_energy / material.radiation_length
    share = loss[Role.ACTIVE] / sum(loss.values())
    return share * (1 - part.medium.constants.mismatch) if loss[Role.ABSORBER] else share


def _stack(detector: Detector) -> Stack:
    return Stack(
        tuple(
            Part(layers.number, layers.thickness, _medium(detector, layers))
            for layers in detector.layers
        )
    )


def _medium(detector: Detector, layers: Layers) -> Medium:
    slabs = _with_absorber(detector, layers.each_slab)
    roles = [
        role for role, _ in groupby(slab.role for slab in slabs if slab.role is not Role.PASSIVE)
    ]
    periods = roles.count(Role.ABSORBER)
    if not periods:
        return _homogeneous(_together(detector, slabs, 1)[0])
    by_role = {role: [slab for slab in slabs if slab.role is role] for role in Role}
    absorber, active = (
        _together(detector, by_role[role], periods) for role in (Role.ABSORBER, Role.ACTIVE)
    )
    medium = Sampling(absorber[0], active[0], absorber[1], active[1])
    if not by_role[Role.PASSIVE]:
        return medium
    passive, thickness = _together(detector, by_role[Role.PASSIVE], periods)
    return replace(medium, passive=passive, passive_thickness=thickness)


def _with_absorber(detector: Detector, slabs: Sequence[Slab]) -> Sequence[Slab]:
    """The slabs, in which the heaviest of several active materials is made the absorber where there
    is none.
    """
    active = {slab.material for slab in slabs if slab.role is Role.ACTIVE}
    if len(active) == 1 or any(slab.role is Role.ABSORBER for slab in slabs):
        return slabs
    heaviest = max(active, key=lambda name: detector.material(name).z)
    return [
        replace(slab, role=Role.ABSORBER) if slab.material == heaviest else slab for slab in slabs
    ]


def _together(detector: Detector, slabs: Sequence[Slab], periods: int) -> tuple[Material, float]:
    """Slabs as one material, and its thickness in each period, in mm."""
    names = tuple(dict.fromkeys(slab.material for slab in slabs))
    each = [
        (
            detector.material(name),
            sum(s.thickness for s in slabs if s.material == name) / periods,
        )
        for name in names
    ]
    material = each[0][0] if len(each) == 1 else Material.layered(" and ".join(names), each)
    return material, round(sum(thickness for _, thickness in each), _ROUNDED)


def _homogeneous(material: Material) -> Homogeneous:
    return Homogeneous(material.like_geant4() if material.name == _BENCHMARK else material)
