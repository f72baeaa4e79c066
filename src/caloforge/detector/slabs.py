r"""The matter of a detector: mixtures, slabs, and equal layers of slabs with their readout.

A `Slab` is an absorber, active (the energy in it is read), or passive. What is deposited in the
active slabs of a layer belongs to the cell before which it lies: a box or hexagon (`Boxes`,
`Staggered`, `Hexagons`), or a bin in :math:`r` and :math:`\alpha` around the beam (`Rings`,
`EqualRings`).
"""

__all__ = ["DECIMALS", "Layers", "Mixture", "Repeated", "Role", "Slab"]

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from pydantic import ConfigDict, with_config

from caloforge.detector.readout import Readout
from caloforge.errors import GeometryError

_SYMBOLS = frozenset(
    (  # noqa: SIM905 (a hundred lines otherwise)
        "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As "
        "Se Br Kr Rb Sr Y Zr "
        "Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb "
        "Lu Hf Ta W Re Os Ir "
        "Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf"
    ).split()
)
"""The elements that Geant4's NIST tables hold."""


MOST_LAYERS = 10_000
"""So many readout layers, and slabs of one of them, a detector has at most."""

_THINNEST, _THICKEST = 1e-6, 1e5
"""In mm: a nanometre, a hundred metres."""

DECIMALS = 9
"""Sums of thicknesses are rounded to so many decimals of a mm: 1.4 + 0.3 + 1.4 + 0.3 shall
be 3.4.
"""

_CLOSED = with_config(ConfigDict(extra="forbid"))


class Role(str, Enum):
    """What a slab is for."""

    ABSORBER = "absorber"
    ACTIVE = "active"
    PASSIVE = "passive"


_ROUNDING = 0.01 + 1e-9
"""By so much may mass fractions add up to something else than 1."""


@_CLOSED
@dataclass(frozen=True)
class Mixture:
    """A material of one's own: its density and its elements, by mass or by atoms.

    Arguments:
        density: The density, in g/cm^3.
        mass_fractions: The share of each element in the mass, by chemical symbol; they add up to 1
            but for rounding (1 %), and are scaled to do so.
        atoms: The number of atoms of each element, by chemical symbol.

    Raises:
        GeometryError: A number is not positive, an element is unknown, the mass fractions do not
            add up to 1, or not exactly one of the two is given.
    """

    density: float
    mass_fractions: Mapping[str, float] | None = None
    atoms: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.density < math.inf:
            msg = f"mixture: density is {self.density} g/cm^3, expected a positive number"
            raise GeometryError(msg)
        if (self.mass_fractions is None) == (self.atoms is None):
            msg = "mixture: expected either mass_fractions or atoms, to say what it is made of"
            raise GeometryError(msg)
        if not self.elements or not all(0 < share < math.inf for share in self.elements.values()):
            msg = (
                f"mixture: its elements are {dict(self.elements)}, expected one or more with a "
                "positive share each"
            )
            raise GeometryError(msg)
        unknown = [symbol for symbol in self.elements if symbol not in _SYMBOLS]
        if unknown:
            msg = f"mixture: no element '{unknown[0]}', expected a chemical symbol from H to Cf"
            raise GeometryError(msg)
        total = sum((self.mass_fractions or {}).values())
        if self.mass_fractions is not None and not abs(total - 1) <= _ROUNDING:
            msg = f"mixture: mass_fractions add up to {total:.4g}, expected 1: correct the shares"
            raise GeometryError(msg)

    @property
    def elements(self) -> Mapping[str, float]:
        """The share of each element, in whichever way it was given."""
        return self.atoms or self.mass_fractions or {}


@_CLOSED
@dataclass(frozen=True)
class Slab:
    """A slab of one material.

    Arguments:
        material: A material of the NIST tables by Geant4's name, such as ``G4_W``, or one of the
            detector's mixtures.
        thickness: Its depth, in mm, positive.
        role: What it is for.

    Raises:
        GeometryError: The thickness is below 1 nm or above 100 m.
    """

    material: str
    thickness: float
    role: Role = Role.PASSIVE

    def __post_init__(self) -> None:
        object.__setattr__(self, "role", Role(self.role))
        if not _THINNEST <= self.thickness <= _THICKEST:
            msg = (
                f"slab of {self.material}: thickness is {self.thickness} mm, expected a number "
                f"from {_THINNEST:g} to {_THICKEST:g}"
            )
            raise GeometryError(msg)


@_CLOSED
@dataclass(frozen=True)
class Repeated:
    """Slabs that come several times, one group behind the other.

    Arguments:
        times: How often, 1 to 10,000.
        slabs: The slabs, front to back.

    Raises:
        GeometryError: The number is another.
    """

    times: int
    slabs: tuple[Slab, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.times <= MOST_LAYERS:
            msg = f"repeated slabs: times is {self.times}, expected 1 to {MOST_LAYERS}"
            raise GeometryError(msg)


@_CLOSED
@dataclass(frozen=True)
class Layers:
    """Equal readout layers, one behind the other.

    Arguments:
        number: How many, 1 to 10,000.
        slabs: The slabs of one layer, front to back; those of a `Repeated` are written out.
        cells: How the active slabs are read.

    Raises:
        GeometryError: The number is another, a layer has more than 10,000 slabs, or there is no
            active slab.
    """

    number: int
    slabs: tuple[Slab | Repeated, ...]
    cells: Readout

    def __post_init__(self) -> None:
        object.__setattr__(self, "slabs", tuple(islice(_written_out(self.slabs), MOST_LAYERS + 1)))
        for what, number in (
            ("their number is", self.number),
            ("slabs of one are", len(self.slabs)),
        ):
            if not 1 <= number <= MOST_LAYERS:
                msg = f"layers: {what} {number}, expected 1 to {MOST_LAYERS}"
                raise GeometryError(msg)
        if not any(slab.role is Role.ACTIVE for slab in self.each_slab):
            found = (
                ", ".join(f"{slab.material} ({slab.role.value})" for slab in self.each_slab)
                or "none"
            )
            msg = f"layers: their slabs are {found}, expected at least one active slab to be read"
            raise GeometryError(msg)

    @property
    def each_slab(self) -> tuple[Slab, ...]:
        """The slabs of one layer, front to back."""
        return tuple(_written_out(self.slabs))

    @property
    def thickness(self) -> float:
        """The depth of one layer, in mm."""
        return round(sum(slab.thickness for slab in self.each_slab), DECIMALS)

    @property
    def active_thickness(self) -> float:
        """The depth of the active slabs of one layer, in mm."""
        return round(
            sum(slab.thickness for slab in self.each_slab if slab.role is Role.ACTIVE), DECIMALS
        )


def _written_out(slabs: Iterable[Slab | Repeated]) -> Iterator[Slab]:
    for slab in slabs:
        if isinstance(slab, Repeated):
            yield from slab.slabs * slab.times
        else:
            yield slab
