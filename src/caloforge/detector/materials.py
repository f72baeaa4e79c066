r"""What a calorimeter is made of: the constants of matter that an electromagnetic shower feels.

A compound of elements with mass fractions :math:`w_k` has the mean charge :math:`Z = \sum w_k Z_k`,
the mean mass :math:`A = \sum w_k A_k` (as Geant4's GFlash takes them) and the radiation length
:math:`1/X_0 = \rho \sum w_k / X_k`, where that of an element is Tsai's (Particle Data Group,
*Passage of particles through matter*, eq. 34.25). From these follow the critical energy and the
Molière radius (Grindhammer and Peters, hep-ex/0001020),

.. math:: E_c = 2.66\,\mathrm{MeV} \left(\frac{X_0}{\mathrm{g\,cm^{-2}}} \frac{Z}{A}\right)^{1.1},
          \qquad
          R_M = X_0 \frac{E_s}{E_c}, \qquad E_s = 21.2\,\mathrm{MeV} .

Densities and compositions are those of the tables of NIST, as Geant4 has them (`nist`).
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
    "coulomb_correction",
    "nist",
]

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from caloforge.errors import GeometryError
from caloforge.units import MeV, cm

SCATTERING_ENERGY = 21.2 * MeV
r"""Rossi's constant of multiple scattering, :math:`E_s = m_e c^2 \sqrt{4 \pi / \alpha}`."""

_CRITICAL_ENERGY = 2.66 * MeV
_CRITICAL_POWER = 1.1

_FINE_STRUCTURE = 1 / 137.035999
_TSAI = 716.408
r""":math:`1 / (4 \alpha r_e^2 N_A)`, in g/cm^2 for A in g/mol."""

_TABLES: dict[str, Any] = json.loads((Path(__file__).parent / "nist.json").read_text())
_ELEMENTS: dict[str, tuple[int, float]] = {
    symbol: (z, a) for symbol, (z, a) in _TABLES["elements"].items()
}
"""Charge and molar mass, in g/mol."""

_LIGHT = {1: (5.31, 6.144), 2: (4.79, 5.621), 3: (4.74, 5.805), 4: (4.71, 5.924)}
r"""Tsai's :math:`L_\mathrm{rad}` and :math:`L'_\mathrm{rad}` where the Thomas-Fermi model does not
hold.
"""


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
                msg = (
                    f"material '{self.name}': {what} is {getattr(self, what)}, expected a "
                    "positive number"
                )
                raise GeometryError(msg)

    @property
    def moliere_radius(self) -> float:
        """The Molière radius :math:`R_M`, in mm."""
        return self.radiation_length * SCATTERING_ENERGY / self.critical_energy

    def like_geant4(self) -> "Material":
        """The same material with the critical energy that Geant4's GFlash gives it.

        Geant4 puts the radiation length in mm into the formula. That is close where the density is
        near 10 g/cm^3 (10.8 instead of 8.8 MeV in PbWO4), and wrong by an order of magnitude in
        light materials.
        """
        return replace(
            self, critical_energy=_critical_energy(self.radiation_length, self.z, self.a)
        )

    @staticmethod
    def mixture(name: str, density: float, fractions: Mapping[str, float]) -> "Material":
        """Build a material from its elements.

        Arguments:
            name: A short name for messages.
            density: The density, in g/cm^3.
            fractions: The share of each element in the mass, by chemical symbol, positive; they are
                scaled to sum 1.

        Raises:
            GeometryError: An element is unknown or a number is not positive.
        """
        unknown = [symbol for symbol in fractions if symbol not in _ELEMENTS]
        if unknown or not fractions or min(fractions.values()) <= 0:
            msg = (
                f"material '{name}': fractions are {dict(fractions)}, expected positive shares of "
                "elements from H to Cf"
            )
            raise GeometryError(msg)
        total = sum(fractions.values())
        shares = [(w / total, *_ELEMENTS[symbol]) for symbol, w in fractions.items()]
        inverse = sum(w / _element_radiation_length(z, a) for w, z, a in shares)
        mean_z, mean_a = sum(w * z for w, z, _ in shares), sum(w * a for w, _, a in shares)
        return Material(
            name,
            mean_z,
            mean_a,
            cm / (inverse * density),
            density,
            _critical_energy(1 / inverse, mean_z, mean_a),
        )

    @staticmethod
    def compound(name: str, density: float, atoms: Mapping[str, int]) -> "Material":
        """Build a material from its chemical formula, as `mixture` does from mass fractions.

        Arguments:
            name: A short name for messages.
            density: The density, in g/cm^3.
            atoms: The number of atoms of each element.
        """
        return Material.mixture(
            name,
            density,
            {s: n * _ELEMENTS[s][1] if s in _ELEMENTS else n for s, n in atoms.items()},
        )

    @staticmethod
    def of_elements(
        name: str,
        density: float,
        mass_fractions: Mapping[str, float] | None = None,
        atoms: Mapping[str, int] | None = None,
    ) -> "Material":
        """Build a material as `mixture` does from mass fractions, or as `compound` does from atoms,
        whichever are given.
        """
        return (
            Material.mixture(name, density, mass_fractions or {})
            if atoms is None
            else Material.compound(name, density, atoms)
        )

    @staticmethod
    def layered(name: str, slabs: Sequence[tuple["Material", float]]) -> "Material":
        r"""The material that many thin slabs, one behind the other, are on the average
        (hep-ex/0001020, appendix A.2).

        With the shares :math:`w_i` of the mass and :math:`X_i` in g/cm^2, it has
        :math:`Z = \sum w_i Z_i`, likewise A, :math:`1 / X_0 = \sum w_i / X_i`, and
        :math:`E_c = X_0 \sum w_i E_{c,i} / X_i`. Geant4's GFlash puts lengths in mm for :math:`X_i`
        in the last; here is the formula of the paper.

        Arguments:
            name: A short name for messages.
            slabs: The material and the thickness, in mm, of each, one or more.
        """
        depth = sum(d for _, d in slabs)
        mass = sum(d * m.density for m, d in slabs)
        length = sum(d / m.radiation_length for m, d in slabs)
        return Material(
            name,
            z=sum(d * m.density * m.z for m, d in slabs) / mass,
            a=sum(d * m.density * m.a for m, d in slabs) / mass,
            radiation_length=depth / length,
            density=mass / depth,
            critical_energy=sum(d / m.radiation_length * m.critical_energy for m, d in slabs)
            / length,
        )


def _critical_energy(radiation_length: float, z: float, a: float) -> float:
    return _CRITICAL_ENERGY * math.pow(radiation_length * z / a, _CRITICAL_POWER)


def coulomb_correction(z: float) -> float:
    """The correction f(Z) to Born's approximation in radiation and pair production (Davies, Bethe,
    Maximon, Phys. Rev. 93 (1954) 788).
    """
    squared = (_FINE_STRUCTURE * z) ** 2
    return squared * (
        1 / (1 + squared) + 0.20206 - 0.0369 * squared + 0.0083 * squared**2 - 0.002 * squared**3
    )


def _element_radiation_length(z: int, a: float) -> float:
    """Tsai's radiation length of an element, in g/cm^2."""
    coulomb = coulomb_correction(z)
    thomas_fermi = math.log(184.15 * z ** (-1 / 3)), math.log(1194 * z ** (-2 / 3))
    elastic, inelastic = _LIGHT.get(z, thomas_fermi)
    return _TSAI * a / (z**2 * (elastic - coulomb) + z * inelastic)


def nist(name: str) -> Material:
    """A material of the NIST tables.

    Arguments:
        name: Its name in Geant4, such as ``G4_W``.

    Raises:
        GeometryError: The tables do not hold it.
    """
    found = _TABLES["materials"].get(name)
    if found is None:
        near = get_close_matches(name, _TABLES["materials"], n=3, cutoff=0.6)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else "name one that Geant4 knows, such as G4_W,"
        )
        msg = (
            f"no material '{name}' in the NIST tables: {hint} or describe it among the mixtures "
            "of the detector"
        )
        raise GeometryError(msg)
    return Material.of_elements(name, **found)


LEAD_TUNGSTATE = nist("G4_PbWO4")
BGO = nist("G4_BGO")
LEAD = nist("G4_Pb")
TUNGSTEN = nist("G4_W")
COPPER = nist("G4_Cu")
IRON = nist("G4_Fe")
SILICON = nist("G4_Si")
LIQUID_ARGON = nist("G4_lAr")
POLYSTYRENE = nist("G4_POLYSTYRENE")
AIR = nist("G4_AIR")
