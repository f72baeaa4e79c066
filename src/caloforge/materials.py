r"""What a calorimeter is made of: the constants of matter that an electromagnetic shower feels.

A compound of elements with mass fractions :math:`w_k` has the mean charge :math:`Z = \sum w_k Z_k`, the mean mass
:math:`A = \sum w_k A_k` (as Geant4's GFlash takes them) and the radiation length :math:`1/X_0 = \rho \sum w_k / X_k`, where
that of an element is Tsai's (Particle Data Group, *Passage of particles through matter*, eq. 34.25). From these follow

.. math:: E_c = 2.66\,\mathrm{MeV} \left(\frac{X_0}{\mathrm{g\,cm^{-2}}} \frac{Z}{A}\right)^{1.1}, \qquad
          R_M = X_0 \frac{E_s}{E_c}, \qquad E_s = 21.2\,\mathrm{MeV},

the critical energy and the Molière radius (Grindhammer and Peters, hep-ex/0001020). Geant4's GFlash puts :math:`X_0` in mm
into the same formula. That is close by where the density is near 10 g/cm^3 (10.8 instead of 8.8 MeV in PbWO4) and wrong by
an order of magnitude in light materials; `Material.like_geant4` gives that number to whoever wants to repeat Geant4.
"""

__all__ = [
    "AIR",
    "BGO",
    "COPPER",
    "IRON",
    "LEAD",
    "LEAD_TUNGSTATE",
    "LIQUID_ARGON",
    "POLYSTYRENE",
    "SCATTERING_ENERGY",
    "SILICON",
    "TUNGSTEN",
    "Material",
]

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from caloforge.errors import GeometryError
from caloforge.units import MeV, cm

SCATTERING_ENERGY = 21.2 * MeV
r"""Rossi's constant of multiple scattering, :math:`E_s = m_e c^2 \sqrt{4 \pi / \alpha}`."""

_CRITICAL_ENERGY = 2.66 * MeV
_CRITICAL_POWER = 1.1

_FINE_STRUCTURE = 1 / 137.035999
_TSAI = 716.408
r""":math:`1 / (4 \alpha r_e^2 N_A)`, in g/cm^2 for A in g/mol."""

_ELEMENTS = {
    "H": (1, 1.00794),
    "C": (6, 12.0107),
    "N": (7, 14.0067),
    "O": (8, 15.9994),
    "F": (9, 18.9984),
    "Al": (13, 26.9815),
    "Si": (14, 28.0855),
    "Ar": (18, 39.948),
    "Fe": (26, 55.845),
    "Cu": (29, 63.546),
    "Ge": (32, 72.64),
    "Br": (35, 79.904),
    "Kr": (36, 83.798),
    "I": (53, 126.904),
    "Xe": (54, 131.293),
    "Cs": (55, 132.905),
    "Ba": (56, 137.327),
    "La": (57, 138.905),
    "Lu": (71, 174.967),
    "W": (74, 183.842),
    "Pb": (82, 207.217),
    "Bi": (83, 208.980),
    "U": (92, 238.029),
}
"""Charge and molar mass, in g/mol."""

_LIGHT = {1: (5.31, 6.144), 2: (4.79, 5.621), 3: (4.74, 5.805), 4: (4.71, 5.924)}
r"""Tsai's :math:`L_\mathrm{rad}` and :math:`L'_\mathrm{rad}` where the Thomas-Fermi model does not hold."""


@dataclass(frozen=True)
class Material:
    r"""A homogeneous material.

    Arguments:
        name: A short name for messages.
        z: The mean charge :math:`Z`.
        a: The mean molar mass :math:`A`, in g/mol.
        radiation_length: :math:`X_0`, in mm.
        density: :math:`\rho`, in g/cm^3.
        critical_energy: :math:`E_c`, in MeV.

    Raises:
        GeometryError: A number is not positive and finite.
    """

    name: str
    z: float
    a: float
    radiation_length: float
    density: float
    critical_energy: float

    def __post_init__(self) -> None:
        for what in ("z", "a", "radiation_length", "density", "critical_energy"):
            if not 0 < getattr(self, what) < math.inf:
                msg = f"material '{self.name}': {what} is {getattr(self, what)}, expected a positive number"
                raise GeometryError(msg)

    @property
    def moliere_radius(self) -> float:
        """The Molière radius :math:`R_M`, in mm."""
        return self.radiation_length * SCATTERING_ENERGY / self.critical_energy

    def like_geant4(self) -> "Material":
        """The same material with the critical energy that Geant4's GFlash gives it (the formula fed with millimetres)."""
        return replace(self, critical_energy=_critical_energy(self.radiation_length, self.z, self.a))

    @staticmethod
    def mixture(name: str, density: float, fractions: Mapping[str, float]) -> "Material":
        """Build a material from its elements.

        Arguments:
            name: A short name for messages.
            density: The density, in g/cm^3.
            fractions: The share of each element in the mass, by chemical symbol, positive; they are scaled to sum 1.

        Raises:
            GeometryError: An element is unknown or a number is not positive.
        """
        unknown = [symbol for symbol in fractions if symbol not in _ELEMENTS]
        if unknown or not fractions or min(fractions.values()) <= 0:
            msg = (
                f"material '{name}': fractions are {dict(fractions)}, expected positive shares of {', '.join(_ELEMENTS)}; "
                "give Material its constants for any other element"
            )
            raise GeometryError(msg)
        total = sum(fractions.values())
        shares = [(w / total, *_ELEMENTS[symbol]) for symbol, w in fractions.items()]
        inverse = sum(w / _element_radiation_length(z, a) for w, z, a in shares)
        mean_z, mean_a = sum(w * z for w, z, _ in shares), sum(w * a for w, _, a in shares)
        return Material(name, mean_z, mean_a, cm / (inverse * density), density, _critical_energy(1 / inverse, mean_z, mean_a))

    @staticmethod
    def compound(name: str, density: float, atoms: Mapping[str, int]) -> "Material":
        """Build a material from its chemical formula, as `mixture` does from mass fractions.

        Arguments:
            name: A short name for messages.
            density: The density, in g/cm^3.
            atoms: The number of atoms of each element.
        """
        return Material.mixture(name, density, {s: n * _ELEMENTS[s][1] if s in _ELEMENTS else n for s, n in atoms.items()})


def _critical_energy(radiation_length: float, z: float, a: float) -> float:
    return _CRITICAL_ENERGY * math.pow(radiation_length * z / a, _CRITICAL_POWER)


def _element_radiation_length(z: int, a: float) -> float:
    """Tsai's radiation length of an element, in g/cm^2."""
    squared = (_FINE_STRUCTURE * z) ** 2
    coulomb = squared * (1 / (1 + squared) + 0.20206 - 0.0369 * squared + 0.0083 * squared**2 - 0.002 * squared**3)
    thomas_fermi = math.log(184.15 * z ** (-1 / 3)), math.log(1194 * z ** (-2 / 3))
    elastic, inelastic = _LIGHT.get(z, thomas_fermi)
    return _TSAI * a / (z**2 * (elastic - coulomb) + z * inelastic)


LEAD_TUNGSTATE = Material.compound("PbWO4", 8.28, {"Pb": 1, "W": 1, "O": 4})
BGO = Material.compound("BGO", 7.13, {"Bi": 4, "Ge": 3, "O": 12})
LEAD = Material.mixture("lead", 11.35, {"Pb": 1.0})
TUNGSTEN = Material.mixture("tungsten", 19.3, {"W": 1.0})
COPPER = Material.mixture("copper", 8.96, {"Cu": 1.0})
IRON = Material.mixture("iron", 7.874, {"Fe": 1.0})
SILICON = Material.mixture("silicon", 2.33, {"Si": 1.0})
LIQUID_ARGON = Material.mixture("liquid argon", 1.396, {"Ar": 1.0})
POLYSTYRENE = Material.compound("polystyrene", 1.06, {"C": 8, "H": 8})
AIR = Material.mixture("air", 1.20479e-3, {"C": 0.000124, "N": 0.755268, "O": 0.231781, "Ar": 0.012827})
