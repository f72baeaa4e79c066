r"""The parametrisation of electromagnetic showers of Grindhammer and Peters (hep-ex/0001020,
appendix A): pure formulas.

:math:`E` is the incident energy, :math:`E_c` the critical energy; :math:`L = \ln(E / E_c)`,
:math:`l = \ln(E / \mathrm{GeV})`; the depth :math:`t` is in radiation lengths :math:`X_0`, radii
:math:`R` in Molière radii :math:`R_M`; :math:`Z` is the charge of the medium. Along the axis the
energy and, with constants of their own, the spots follow a gamma density of shape :math:`\alpha`
and maximum :math:`T`,

.. math:: f(t) = \frac{\beta (\beta t)^{\alpha - 1} e^{-\beta t}}{\Gamma(\alpha)}, \qquad
          \beta = \frac{\alpha - 1}{T},

where :math:`\ln T` and :math:`\ln \alpha` are correlated normal numbers. Across the axis, at the
relative depth :math:`\tau`, a share :math:`p` of the spots is the *core* and the rest the *tail*,
each with the density :math:`R^2 / (\pi (r^2 + R^2)^2)` per area.
"""

__all__ = [
    *("Constants", "Homogeneous", "Medium", "Profile", "Radial", "Sampling", "Tuning"),
    *("profile", "radial", "relative_depth"),
]

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from caloforge.detector.materials import SCATTERING_ENERGY, Material
from caloforge.errors import GeometryError
from caloforge.units import GeV

_LEAST_MAXIMUM, _LEAST_ALPHA, _LEAST_SPOT_MAXIMUM = 1.0, 1.1, 0.5
r"""Bounds :math:`T \ge 1`, :math:`\alpha, \alpha_s \ge 1.1`, :math:`T_s \ge 0.5`. Geant4 has them
in sampling media.
"""

_LARGEST_SIGMA = 0.5
r"""Bound of the widths of :math:`\ln T` and :math:`\ln \alpha`, Geant4's for sampling media. It
acts below some 300 MeV.
"""


@dataclass(frozen=True)
class Tuning:
    r"""Every constant of the parametrisation, by name; the defaults are for homogeneous media, as
    in Geant4 11.

    Each is a number, or a tensor without dimensions, which then has gradients in mean-field mode.
    Sections are those of hep-ex/0001020; of two sections, the second is for sampling media.

    Arguments:
        maximum_1: In :math:`T_\mathrm{hom} = L + m_1` (A.1.1) and
            :math:`\langle \ln T \rangle = \ln(T_\mathrm{hom} + m_2 g + m_3 h)` (A.2.1); so are
            ``maximum_2``, ``maximum_3``.
        alpha_1: In :math:`\alpha_\mathrm{hom} = a_1 + (a_2 + a_3 / Z) L` (A.1.1) and
            :math:`\langle \ln \alpha \rangle = \ln(\alpha_\mathrm{hom} + a_4 g)` (A.2.1); so are
            ``alpha_2`` to ``alpha_4``.
        sigma_maximum_1: In :math:`\sigma(\ln T) = 1 / (s_1 + s_2 L)` (A.1.2, A.2.2); so is
            ``sigma_maximum_2``.
        sigma_alpha_1: In :math:`\sigma(\ln \alpha) = 1 / (s_1 + s_2 L)` (A.1.2, A.2.2); so is
            ``sigma_alpha_2``.
        correlation_1: In the correlation :math:`\rho = r_1 + r_2 L` of the two (A.1.2, A.2.2); so
            is ``correlation_2``.
        core_1: In :math:`R_C = (c_1 + c_2 l) + (c_3 + c_4 Z) \tau + c_5 h + c_6 g e^{-\tau}`
            (A.1.3, A.2.3); so are ``core_2`` to ``core_6``.
        tail_1: In
            :math:`R_T = (k_1 + k_2 Z) (e^{k_4 (\tau - k_3)} + e^{(k_5 + k_6 l) (\tau - k_3)}) +
            k_7 h + k_8 g e^{-\tau}`
            (A.1.3, A.2.3); so are ``tail_2`` to ``tail_8``.
        weight_1: In :math:`p = (w_1 + w_2 Z) \exp(u - e^u) + h (w_7 + w_8 g e^{-(\tau - 1)^2})`
            with :math:`u = (w_3 + w_4 Z - \tau) / (w_5 + w_6 l)` (A.1.3, A.2.3); so are
            ``weight_2`` to ``weight_8``.
        spots_1: In the number of spots :math:`N = n_1 k (E / \mathrm{GeV})^{n_2}`, where :math:`k`
            is :math:`\ln Z` (A.1.4) or the inverse of the resolution of sampling (A.2.4); so is
            ``spots_2``.
        spot_maximum_1: In :math:`T_s = T (t_1 + t_2 Z)`, the maximum of the spots' profile (A.1.4,
            A.2.4); so is ``spot_maximum_2``.
        spot_alpha_1: In :math:`\alpha_s = \alpha (b_1 + b_2 Z)`, its shape (A.1.4, A.2.4); so is
            ``spot_alpha_2``.
    """

    maximum_1: float | Tensor = -0.812
    maximum_2: float | Tensor = -0.55
    maximum_3: float | Tensor = -0.69
    alpha_1: float | Tensor = 0.81
    alpha_2: float | Tensor = 0.458
    alpha_3: float | Tensor = 2.26
    alpha_4: float | Tensor = -0.476
    sigma_maximum_1: float | Tensor = -1.4
    sigma_maximum_2: float | Tensor = 1.26
    sigma_alpha_1: float | Tensor = -0.58
    sigma_alpha_2: float | Tensor = 0.86
    correlation_1: float | Tensor = 0.705
    correlation_2: float | Tensor = -0.023
    core_1: float | Tensor = 0.0251
    core_2: float | Tensor = 0.00319
    core_3: float | Tensor = 0.1162
    core_4: float | Tensor = -0.000381
    core_5: float | Tensor = -0.0203
    core_6: float | Tensor = 0.0397
    tail_1: float | Tensor = 0.659
    tail_2: float | Tensor = -0.00309
    tail_3: float | Tensor = 0.645
    tail_4: float | Tensor = -2.59
    tail_5: float | Tensor = 0.3585
    tail_6: float | Tensor = 0.0412
    tail_7: float | Tensor = -0.14
    tail_8: float | Tensor = -0.495
    weight_1: float | Tensor = 2.632
    weight_2: float | Tensor = -0.00094
    weight_3: float | Tensor = 0.401
    weight_4: float | Tensor = 0.00187
    weight_5: float | Tensor = 1.313
    weight_6: float | Tensor = -0.0686
    weight_7: float | Tensor = 0.348
    weight_8: float | Tensor = -0.642
    spots_1: float | Tensor = 93.0
    spots_2: float | Tensor = 0.876
    spot_maximum_1: float | Tensor = 0.698
    spot_maximum_2: float | Tensor = 0.00212
    spot_alpha_1: float | Tensor = 0.639
    spot_alpha_2: float | Tensor = 0.00334

    @staticmethod
    def sampling() -> "Tuning":
        """The constants for sampling media (hep-ex/0001020, appendix A.2)."""
        widths = Tuning(
            sigma_maximum_1=-2.5, sigma_maximum_2=1.25, sigma_alpha_1=-0.82, sigma_alpha_2=0.79
        )
        spots = replace(
            widths, spots_1=10.3, spots_2=0.959, spot_maximum_1=0.813, spot_maximum_2=0.0019
        )
        return replace(spots, correlation_1=0.784, spot_alpha_1=0.844, spot_alpha_2=0.0026)


class Constants(NamedTuple):
    """What the parametrisation knows of a medium."""

    z: float
    """The mean charge :math:`Z`."""
    radiation_length: float
    """:math:`X_0`, in mm."""
    critical_energy: float
    """:math:`E_c`, in MeV."""
    spot_factor: float
    """The factor :math:`k` in the number of spots, see `Tuning`."""
    period: float = 0.0
    """:math:`g = 1 / F_s`, the period of sampling in radiation lengths; 0 in a
    homogeneous medium.
    """
    mismatch: float = 0.0
    r""":math:`h = 1 - \hat e`, from the charges of absorber and active material; 0 in a homogeneous
    medium.
    """
    sampling_scale: float = 0.0
    """The scale, in MeV, of the gamma distribution by which the energy of a step fluctuates; 0 in a
    homogeneous medium.
    """

    @property
    def moliere_radius(self) -> float:
        """:math:`R_M`, in mm."""
        return self.radiation_length * SCATTERING_ENERGY / self.critical_energy


class Medium(ABC):
    """Matter in which a shower develops."""

    @property
    @abstractmethod
    def constants(self) -> Constants:
        """Its effective constants."""

    @property
    @abstractmethod
    def tuning(self) -> Tuning:
        """The constants of the parametrisation for media of its kind."""

    def depths(self, thicknesses: tuple[float, ...]) -> tuple[float, ...]:
        """How deep the readout layers are, in radiation lengths, front to back.

        Arguments:
            thicknesses: Their thicknesses, in mm.
        """
        radiation_length = self.constants.radiation_length
        return tuple(d / radiation_length for d in thicknesses)

    def thicknesses(self, thicknesses: tuple[float, ...]) -> tuple[float, ...]:
        """How thick the layers of matter are, in mm, front to back.

        Arguments:
            thicknesses: Those of the readout layers, in mm.
        """
        return thicknesses


@dataclass(frozen=True)
class Homogeneous(Medium):
    """One material throughout.

    Arguments:
        material: The material.
    """

    material: Material

    @property
    def constants(self) -> Constants:
        """Those of the material."""
        m = self.material
        return Constants(m.z, m.radiation_length, m.critical_energy, spot_factor=math.log(m.z))

    @property
    def tuning(self) -> Tuning:
        """The constants of appendix A.1."""
        return Tuning()


@dataclass(frozen=True)
class Sampling(Medium):
    r"""Layers of an absorber and of an active material in turn, and perhaps a passive one, taken as
    one medium.

    It is a homogeneous medium of effective constants with corrections in :math:`g = 1 / F_s` and
    :math:`h = 1 - \hat e`; in a homogeneous one both vanish, so that one set of formulas serves for
    both. It has the constants of `Material.layered` and (hep-ex/0001020)

    .. math:: F_s = \frac{X_0}{d_1 + d_2 + d_3}, \qquad \hat e = \frac{1}{1 + 0.007 (Z_1 - Z_2)}.

    Geant4 integrates the profile of the homogeneous medium; here are the formulas of the paper,
    which has no passive material. Deposits are those in all materials together.

    Arguments:
        absorber: The absorber, material 1.
        active: The active material, material 2.
        absorber_thickness: :math:`d_1`, in mm.
        active_thickness: :math:`d_2`, in mm.
        resolution: :math:`c` in the resolution of sampling, :math:`\sigma / E = c / \sqrt{E}`.
        resolution_unit: The unit of E there, in MeV. The paper's is 1 GeV; Geant4's code amounts to
            1 MeV.
        passive: What is neither; None for nothing.
        passive_thickness: :math:`d_3`, in mm; 0 without a passive material.

    Raises:
        GeometryError: A number is not positive and finite, or one of the last two is given without
            the other.
    """

    absorber: Material
    active: Material
    absorber_thickness: float
    active_thickness: float
    resolution: float = 0.11
    resolution_unit: float = GeV
    passive: Material | None = None
    passive_thickness: float = 0.0

    def __post_init__(self) -> None:
        for what in ("absorber_thickness", "active_thickness", "resolution", "resolution_unit"):
            if not 0 < getattr(self, what) < math.inf:
                self._refuse(f"{what} is {getattr(self, what)}, expected above 0")
        if (self.passive is None) != (
            self.passive_thickness == 0
        ) or not 0 <= self.passive_thickness < math.inf:
            found = (
                "no passive material" if self.passive is None else f"passive {self.passive.name}"
            )
            self._refuse(
                f"{found}, passive_thickness {self.passive_thickness}, expected a material and a "
                "length above 0, or neither"
            )

    def _refuse(self, why: str) -> None:
        msg = f"sampling {self.absorber.name} and {self.active.name}: {why}"
        raise GeometryError(msg)

    @property
    def constants(self) -> Constants:
        """The effective ones."""
        slabs = [(self.absorber, self.absorber_thickness), (self.active, self.active_thickness)]
        slabs += [(self.passive, self.passive_thickness)] if self.passive else []
        mean = Material.layered("sampling", slabs)
        return Constants(
            z=mean.z,
            radiation_length=mean.radiation_length,
            critical_energy=mean.critical_energy,
            spot_factor=1 / self.resolution,
            period=sum(d for _, d in slabs) / mean.radiation_length,
            mismatch=1 - 1 / (1 + 0.007 * (self.absorber.z - self.active.z)),
            sampling_scale=self.resolution**2 * self.resolution_unit,
        )

    @property
    def tuning(self) -> Tuning:
        """The constants of appendix A.2."""
        return Tuning.sampling()


class Profile(NamedTuple):
    """The longitudinal profile of each shower, all float64 with shape (showers, 1)."""

    maximum: Tensor
    r""":math:`T`, in :math:`X_0`."""
    alpha: Tensor
    r""":math:`\alpha`."""
    spot_maximum: Tensor
    r""":math:`T_s`, in :math:`X_0`."""
    spot_alpha: Tensor
    r""":math:`\alpha_s`."""
    spots: Tensor
    """The number of spots :math:`N`."""
    mean_alpha: Tensor
    r""":math:`e^{\langle \ln \alpha \rangle}`."""


class Radial(NamedTuple):
    """The radial profile at each depth, with shape (showers, depths)."""

    core: Tensor
    """:math:`R_C` squared, in mm^2."""
    tail: Tensor
    """:math:`R_T` squared, in mm^2."""
    weight: Tensor
    """:math:`p`, in [0, 1]."""


def profile(
    medium: Constants,
    tuning: Tuning,
    energies: Float[Tensor, "showers 1"],
    normals: Float[Tensor, "showers 2"],
) -> Profile:
    r"""The longitudinal profile of each shower (hep-ex/0001020, A.1.1, A.1.2, A.1.4, A.2.1, A.2.2,
    A.2.4).

    Arguments:
        medium: The medium.
        tuning: The constants.
        energies: :math:`E`, in MeV.
        normals: Independent standard normal numbers :math:`z_1, z_2`; zeros for the mean profile.
    """
    u, z = tuning, medium.z
    log_y = (energies / medium.critical_energy).log()
    mean_maximum = log_y + u.maximum_1 + u.maximum_2 * medium.period + u.maximum_3 * medium.mismatch
    mean_alpha = (
        u.alpha_1 + (u.alpha_2 + u.alpha_3 / z) * log_y + u.alpha_4 * medium.period
    ).clamp(min=_LEAST_ALPHA)
    sigma_maximum = 1 / (u.sigma_maximum_1 + u.sigma_maximum_2 * log_y).clamp(
        min=1 / _LARGEST_SIGMA
    )
    sigma_alpha = 1 / (u.sigma_alpha_1 + u.sigma_alpha_2 * log_y).clamp(min=1 / _LARGEST_SIGMA)
    rho = u.correlation_1 + u.correlation_2 * log_y
    common = ((1 + rho) / 2).sqrt() * normals[:, :1]
    opposite = ((1 - rho) / 2).sqrt() * normals[:, 1:]
    maximum = (mean_maximum * (sigma_maximum * (common + opposite)).exp()).clamp(min=_LEAST_MAXIMUM)
    alpha = (mean_alpha * (sigma_alpha * (common - opposite)).exp()).clamp(min=_LEAST_ALPHA)
    spot_maximum = (maximum * (u.spot_maximum_1 + u.spot_maximum_2 * z)).clamp(
        min=_LEAST_SPOT_MAXIMUM
    )
    spot_alpha = (alpha * (u.spot_alpha_1 + u.spot_alpha_2 * z)).clamp(min=_LEAST_ALPHA)
    spots = u.spots_1 * medium.spot_factor * (u.spots_2 * (energies / GeV).log()).exp()
    return Profile(maximum, alpha, spot_maximum, spot_alpha, spots, mean_alpha)


def relative_depth(
    shower: Profile, depth: Float[Tensor, " depths"]
) -> Float[Tensor, "showers depths"]:
    r"""The relative depth, 1 at the centre of gravity of the mean shower (hep-ex/0001020).

    .. math:: \tau = \frac{t}{T} \, \frac{\alpha - 1}{\alpha} \, \frac{a}{a - 1}, \qquad
              a = e^{\langle \ln \alpha \rangle}
    """
    a, mean = shower.alpha, shower.mean_alpha
    return depth * ((a - 1) * mean / (shower.maximum * a * (mean - 1)))


def radial(
    medium: Constants,
    tuning: Tuning,
    energies: Float[Tensor, "showers 1"],
    tau: Float[Tensor, "showers depths"],
) -> Radial:
    r"""The radial profile at the relative depths :math:`\tau` (hep-ex/0001020, A.1.3 and A.2.3);
    energies in MeV.
    """
    u, z, g, h = tuning, medium.z, medium.period, medium.mismatch
    log_e = (energies / GeV).log()
    core = (u.core_1 + u.core_2 * log_e) + (u.core_3 + u.core_4 * z) * tau
    shifted = tau - u.tail_3
    tail = (u.tail_1 + u.tail_2 * z) * (
        (u.tail_4 * shifted).exp() + ((u.tail_5 + u.tail_6 * log_e) * shifted).exp()
    )
    x = ((u.weight_3 + u.weight_4 * z) - tau) / (u.weight_5 + u.weight_6 * log_e)
    weight = (u.weight_1 + u.weight_2 * z) * (x - x.exp()).exp()
    if g > 0:
        young = (-tau).exp()
        core = core + u.core_5 * h + u.core_6 * g * young
        tail = tail + u.tail_7 * h + u.tail_8 * g * young
        weight = weight + h * (u.weight_7 + u.weight_8 * g * (-(tau - 1).square()).exp())
    scale = medium.moliere_radius
    return Radial((scale * core).square(), (scale * tail).square(), weight.clamp(0, 1))
