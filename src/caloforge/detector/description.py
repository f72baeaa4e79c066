r"""A detector is matter and what reads it: slabs of material one behind the other, and the cells of
the active ones.

Coordinates are those of the calorimeter: the beam travels along :math:`+z` and enters the front
face :math:`z = 0` at :math:`x = y = 0`. A `Detector` is a list of `Layers`: so many equal readout
layers, each made of the same slabs front to back. A `Slab` is an absorber, active (the energy in it
is read), or passive. A homogeneous block of crystals is one layer of one active slab. Slabs are
boxes of the lateral size of the face, or, where an inner radius is given, shells of a cylinder: its
axis is parallel to :math:`y` and meets the beam at right angles, its inner surface is the face, x
being measured along its arc, and the beam leaves from inside.

What is deposited in the active slabs of a layer within the cells' area belongs to the cell before
which it lies: a box (`Boxes`) or a bin in :math:`r` and :math:`\alpha` around the beam (`Rings`,
`EqualRings`). Boxes are real: particles begin a new step at their borders. Rings are not. The
deposits of a cell are divided by the sampling fraction, and those below the threshold are then set
to 0.

Both the `Calorimeter` of the showers and the geometry that Geant4 builds come from this one
description.
"""

__all__ = [
    "Boxes",
    "Detector",
    "EqualRings",
    "Layers",
    "Mixture",
    "Repeated",
    "Rings",
    "Role",
    "Slab",
    "detector_names",
    "load_detector",
    "write_detector",
]

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from caloforge.errors import GeometryError, OutputExistsError
from caloforge.geometry import (
    Calorimeter,
    CylinderGrid,
    CylinderLayer,
    GridLayer,
    LayeredGrid,
    RegularGrid,
    named_calorimeters,
)
from caloforge.units import MeV

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

_NIST = "G4_"
_ROUNDED = 9
"""Sums of thicknesses are rounded to so many decimals of a mm: 1.4 + 0.3 + 1.4 + 0.3 shall
be 3.4.
"""

_CLOSED = with_config(ConfigDict(extra="forbid"))


class Role(str, Enum):
    """What a slab is for."""

    ABSORBER = "absorber"
    ACTIVE = "active"
    PASSIVE = "passive"


@_CLOSED
@dataclass(frozen=True)
class Mixture:
    """A material of one's own: its density and its elements, by mass or by atoms.

    Arguments:
        density: The density, in g/cm^3.
        mass_fractions: The share of each element in the mass, by chemical symbol; they are scaled
            to sum 1.
        atoms: The number of atoms of each element, by chemical symbol.

    Raises:
        GeometryError: A number is not positive, an element is unknown, or not exactly one of the
            two is given.
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
        GeometryError: The thickness is not positive.
    """

    material: str
    thickness: float
    role: Role = Role.PASSIVE

    def __post_init__(self) -> None:
        object.__setattr__(self, "role", Role(self.role))
        if not 0 < self.thickness < math.inf:
            msg = (
                f"slab of {self.material}: thickness is {self.thickness} mm, expected a positive "
                "number"
            )
            raise GeometryError(msg)


@_CLOSED
@dataclass(frozen=True)
class Repeated:
    """Slabs that come several times, one group behind the other.

    Arguments:
        times: How often, at least 1.
        slabs: The slabs, front to back.

    Raises:
        GeometryError: The number is less than 1.
    """

    times: int
    slabs: tuple[Slab, ...]

    def __post_init__(self) -> None:
        if self.times < 1:
            msg = f"repeated slabs: times is {self.times}, expected at least 1"
            raise GeometryError(msg)


@_CLOSED
@dataclass(frozen=True)
class Boxes:
    """Cells side by side, centred on the beam.

    Arguments:
        number: How many along x and y, each at least 1.
        size: Their sizes along x and y, in mm, positive.

    Raises:
        GeometryError: A number is not positive.
    """

    number: tuple[int, int]
    size: tuple[float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", tuple(self.number))
        object.__setattr__(self, "size", tuple(float(width) for width in self.size))
        if (
            len(self.number) != 2
            or len(self.size) != 2
            or min(self.number) < 1
            or not all(0 < d < math.inf for d in self.size)
        ):
            msg = (
                f"boxes: {self.number} of {self.size} mm, expected two whole numbers of at least "
                "1 and two positive lengths"
            )
            raise GeometryError(msg)

    @property
    def cuts(self) -> tuple[int, int]:
        """How many cells there are along x and y."""
        return self.number

    @property
    def extent(self) -> tuple[float, float]:
        """The area of all cells along x and y, in mm."""
        return self.number[0] * self.size[0], self.number[1] * self.size[1]


@_CLOSED
@dataclass(frozen=True)
class Rings:
    r"""Bins in :math:`r` and :math:`\alpha` around the beam.

    Arguments:
        r_edges: The edges in :math:`r`, in mm, increasing from at least 0.
        n_alpha: The number of equal bins in :math:`\alpha \in [-\pi, \pi)`.

    Raises:
        GeometryError: An edge or the number is impossible.
    """

    r_edges: tuple[float, ...]
    n_alpha: int

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "r_edges", CylinderLayer(tuple(self.r_edges), self.n_alpha).r_edges
        )

    @property
    def cuts(self) -> tuple[int, int]:
        """How many cells there are along r and alpha."""
        return len(self.r_edges) - 1, self.n_alpha

    @property
    def extent(self) -> tuple[float, float]:
        """The size of the square around all cells, in mm."""
        return 2 * self.r_edges[-1], 2 * self.r_edges[-1]


@_CLOSED
@dataclass(frozen=True)
class EqualRings:
    r"""As `Rings`, of equal width.

    Arguments:
        n_r: The number of bins in :math:`r`, from 0 on, at least 1.
        width: Their width, in mm, positive.
        n_alpha: The number of equal bins in :math:`\alpha \in [-\pi, \pi)`.

    Raises:
        GeometryError: A number is impossible.
    """

    n_r: int
    width: float
    n_alpha: int

    def __post_init__(self) -> None:
        Rings(self.r_edges, self.n_alpha)

    @property
    def r_edges(self) -> tuple[float, ...]:
        """The edges, in mm."""
        return tuple(self.width * i for i in range(self.n_r + 1))

    @property
    def cuts(self) -> tuple[int, int]:
        """How many cells there are along r and alpha."""
        return len(self.r_edges) - 1, self.n_alpha

    @property
    def extent(self) -> tuple[float, float]:
        """The size of the square around all cells, in mm."""
        return 2 * self.r_edges[-1], 2 * self.r_edges[-1]


Cells = Boxes | Rings | EqualRings


@_CLOSED
@dataclass(frozen=True)
class Layers:
    """Equal readout layers, one behind the other.

    Arguments:
        number: How many, at least 1.
        slabs: The slabs of one layer, front to back; those of a `Repeated` are written out.
        cells: How the active slabs are read.

    Raises:
        GeometryError: The number is less than 1, or there is no active slab.
    """

    number: int
    slabs: tuple[Slab | Repeated, ...]
    cells: Cells

    def __post_init__(self) -> None:
        object.__setattr__(self, "slabs", tuple(_written_out(self.slabs)))
        if self.number < 1:
            msg = f"layers: their number is {self.number}, expected at least 1"
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
        return round(sum(slab.thickness for slab in self.each_slab), _ROUNDED)

    @property
    def active_thickness(self) -> float:
        """The depth of the active slabs of one layer, in mm."""
        return round(
            sum(slab.thickness for slab in self.each_slab if slab.role is Role.ACTIVE), _ROUNDED
        )


def _written_out(slabs: Iterable[Slab | Repeated]) -> Iterator[Slab]:
    for slab in slabs:
        if isinstance(slab, Repeated):
            yield from slab.slabs * slab.times
        else:
            yield slab


@_CLOSED
@dataclass(frozen=True)
class Detector:
    """Matter and its readout.

    Arguments:
        name: A short name for messages and files.
        layers: What the particle meets, front to back.
        face: The lateral size of the slabs along x and y, in mm; of shells at their inner radius,
            there x along the arc.
        order: The axes from the slowest to the fastest in the flat index of boxes that are alike in
            all layers.
        surroundings: The material around and before the detector.
        distance: How far before the front face particles start, in mm.
        sampling_fraction: Deposits are divided by it.
        threshold: Deposits below it, after the division, are set to 0, in MeV.
        mixtures: Materials of one's own, by name.
        summary: What it is, in words.
        inner_radius: The radius of the face, in mm, for shells of a cylinder; None for flat slabs.

    Raises:
        GeometryError: A number is impossible, a material is unknown, cells reach over the edge of
            the slabs, layers are read partly in boxes, partly in rings, or shells are read in
            boxes.
    """

    name: str
    layers: tuple[Layers, ...]
    face: tuple[float, float]
    order: str = "zyx"
    surroundings: str = "G4_Galactic"
    distance: float = 0.0
    sampling_fraction: float = 1.0
    threshold: float = 0.0 * MeV
    mixtures: Mapping[str, Mixture] = field(default_factory=dict)
    summary: str = ""
    inner_radius: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "face", tuple(float(width) for width in self.face))
        self._require_numbers()
        self._require_materials()
        self._require_cells()
        if self.inner_radius is not None:
            self._require_cylinder(self.inner_radius)

    def _require_numbers(self) -> None:
        if not self.layers:
            self._refuse("it has no layers, expected at least one")
        if len(self.face) != 2 or not all(0 < width < math.inf for width in self.face):
            self._refuse(f"face is {self.face}, expected two positive lengths in mm")
        if not 0 < self.sampling_fraction <= 1:
            self._refuse(
                f"sampling_fraction is {self.sampling_fraction}, expected a number above 0 and up "
                "to 1"
            )
        for what in ("threshold", "distance"):
            if not 0 <= getattr(self, what) < math.inf:
                self._refuse(f"{what} is {getattr(self, what)}, expected a number of at least 0")

    def _require_materials(self) -> None:
        used = [self.surroundings, *(slab.material for slab in self.slabs)]
        for material in used:
            if material not in self.mixtures and not material.startswith(_NIST):
                known = ", ".join(self.mixtures) or "none"
                self._refuse(
                    f"unknown material '{material}', expected a NIST material such as G4_W or one "
                    f"of its mixtures ({known})"
                )
        for name in self.mixtures:
            if name.startswith(_NIST):
                self._refuse(
                    f"mixture '{name}': names that begin with {_NIST} are those of the NIST "
                    "tables, choose another"
                )

    def _require_cells(self) -> None:
        for layers in self.layers:
            if any(
                extent > width * (1 + 1e-12)
                for extent, width in zip(layers.cells.extent, self.face, strict=True)
            ):
                extent = " x ".join(f"{width:g}" for width in layers.cells.extent)
                self._refuse(
                    f"cells cover {extent} mm^2 and reach over the face of {self.face[0]:g} x "
                    f"{self.face[1]:g} mm^2"
                )
        if len({isinstance(layers.cells, Boxes) for layers in self.layers}) > 1:
            self._refuse(
                "some layers are read in boxes and some in rings, expected one kind for all"
            )

    def _require_cylinder(self, radius: float) -> None:
        if not 0 < radius < math.inf:
            self._refuse(
                f"inner_radius is {radius}, expected a positive length in mm, or none for flat "
                "slabs"
            )
        if self.face[0] > 2 * math.pi * radius * (1 + 1e-12):
            self._refuse(
                f"its face is {self.face[0]:g} mm along the arc, expected at most the circle's "
                f"{2 * math.pi * radius:g} mm"
            )
        if any(isinstance(layers.cells, Boxes) for layers in self.layers):
            self._refuse(
                "its slabs are shells of a cylinder and its cells boxes, expected rings, or flat "
                "slabs (no inner_radius)"
            )
        if self.distance:
            self._refuse(
                f"distance is {self.distance:g} mm, expected 0 before a cylinder: particles leave "
                "from its face"
            )

    def _refuse(self, why: str) -> None:
        msg = f"detector '{self.name}': {why}"
        raise GeometryError(msg)

    @property
    def slabs(self) -> Iterator[Slab]:
        """All slabs, front to back."""
        return (
            slab
            for layers in self.layers
            for _ in range(layers.number)
            for slab in layers.each_slab
        )

    @property
    def depth(self) -> float:
        """The depth of all slabs, in mm."""
        return round(sum(layers.number * layers.thickness for layers in self.layers), _ROUNDED)

    @property
    def n_layers(self) -> int:
        """The number of readout layers."""
        return sum(layers.number for layers in self.layers)

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are; one that the package knows by name has that name."""
        built = self._calorimeter()
        return next((known for known in named_calorimeters().values() if known == built), built)

    def _calorimeter(self) -> Calorimeter:
        each = [layers for layers in self.layers for _ in range(layers.number)]
        boxes = [
            (layers.cells, layers.thickness) for layers in each if isinstance(layers.cells, Boxes)
        ]
        rings = [
            (layers.cells, layers.thickness)
            for layers in each
            if not isinstance(layers.cells, Boxes)
        ]
        if rings:
            cut = (
                CylinderLayer(cells.r_edges, cells.n_alpha, t, k)
                for k, (cells, t) in enumerate(rings)
            )
            return CylinderGrid(self.name, tuple(cut))
        if len({cells for cells, _ in boxes}) > 1:
            return LayeredGrid(
                self.name, tuple(GridLayer(cells.number, cells.size, t) for cells, t in boxes)
            )
        cells, mean = boxes[0][0], round(self.depth / len(boxes), _ROUNDED)
        return RegularGrid(self.name, (*cells.number, len(boxes)), (*cells.size, mean), self.order)

    def describe(self) -> dict[str, Any]:
        """The description as plain values, fit for YAML and JSON; `Detector.from_description` reads
        it back.
        """
        return _plain(asdict(self))  # type: ignore[no-any-return]

    @staticmethod
    def from_description(
        description: Mapping[str, Any], source: str = "detector description"
    ) -> "Detector":
        """Build the detector that `describe` wrote.

        Arguments:
            description: The fields by name.
            source: Where they come from, for messages.

        Raises:
            GeometryError: A key is unknown or missing, a value has the wrong type, or the detector
                is impossible.
        """
        try:
            detector: Detector = TypeAdapter(Detector).validate_python(description)
        except ValidationError as error:
            first = error.errors()[0]
            keys = ".".join(str(part) for part in first["loc"])
            msg = f"{source}: {keys}: {first['msg'].lower()} (found {first['input']!r})"
            raise GeometryError(msg) from error
        except GeometryError as error:
            msg = f"{source}: {error}"
            raise GeometryError(msg) from error
        return detector


def _plain(value: Any) -> Any:
    if isinstance(value, Role):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items() if part is not None}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def detector_names() -> tuple[str, ...]:
    """The names of the detectors that come with the package."""
    return tuple(sorted(path.stem for path in _detectors().glob("*.yaml")))


def _detectors() -> Path:
    return Path(__file__).parent / "detectors"


def load_detector(name: str) -> Detector:
    """Read a detector.

    Arguments:
        name: The name of a detector of the package, or the path of a YAML file.

    Raises:
        GeometryError: There is no such detector, it has an unknown key, lacks one, or is
            impossible.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else _detectors() / f"{name}.yaml"
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        msg = (
            f"no detector '{name}': expected one of {', '.join(detector_names())}, or the path of "
            "a .yaml file"
        )
        raise GeometryError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"detector {name}: not YAML ({' '.join(str(error).split())})"
        raise GeometryError(msg) from error
    if not isinstance(values, dict):
        msg = f"detector {name}: expected keys and values, found {type(values).__name__}"
        raise GeometryError(msg)
    return Detector.from_description(values, f"detector {name}")


def write_detector(path: Path | str, detector: Detector, *, overwrite: bool = False) -> None:
    """Write a detector as YAML, to be changed and read again by `load_detector`.

    Raises:
        OutputExistsError: The path exists and may not be overwritten.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        msg = f"{path}: exists already: choose another path, or ask for it to be overwritten"
        raise OutputExistsError(msg)
    path.write_text(yaml.safe_dump(detector.describe(), sort_keys=False))
