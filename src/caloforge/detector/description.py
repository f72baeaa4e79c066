r"""A detector is matter and what reads it: slabs of material one behind the other, and the cells of
the active ones. The `Calorimeter` of the showers and Geant4's geometry follow from it.

Coordinates are those of the calorimeter: the beam travels along :math:`+z` and enters the front
face :math:`z = 0` at :math:`x = y = 0`. A `Detector` is a list of `Layers`: so many equal readout
layers, each made of the same slabs front to back. A `Slab` is an absorber, active (the energy in it
is read), or passive. Slabs are boxes of the lateral size of the face, or, where an inner radius is
given, shells of a cylinder: its axis is parallel to :math:`y` and meets the beam at right angles,
its inner surface is the face, and the beam leaves from inside.

What is deposited in the active slabs of a layer belongs to the cell in front of which it lies: of
`Boxes`, `Staggered` boxes or `Hexagons`, each layer as it likes, or of rings around the beam
(`Rings`, `EqualRings`). Where all are `Boxes`, they are real: particles begin a new step at their
borders. Rings may lie along each particle's direction (`CylinderGrid`): a layer is then as much of
its path as the layer is thick, and any active slab is read by the bin around it.
"""

__all__ = ["Detector"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError, with_config

from caloforge.detector.materials import Material, nist
from caloforge.detector.readout import is_polar
from caloforge.detector.slabs import DECIMALS, MOST_LAYERS, Layers, Mixture, Role, Slab
from caloforge.documents import complaint, quoted
from caloforge.errors import GeometryError
from caloforge.geometry import (
    Boxes,
    Calorimeter,
    CellLayer,
    CylinderGrid,
    CylinderLayer,
    GridLayer,
    LayeredCells,
    LayeredGrid,
    RegularGrid,
    named_calorimeters,
)
from caloforge.geometry.calorimeter import require_size
from caloforge.units import MeV

_NIST = "G4_"


def _written_out(layers: Any) -> Any:
    """The layers of a description, with the groups that come several times."""
    if not isinstance(layers, list):
        return layers
    return [one for each in layers for one in (_times(**each) if _is_group(each) else [each])]


def _times(times: Any, layers: Any) -> list[Any]:
    if not isinstance(layers, list) or type(times) is not int or times < 1:
        msg = (
            f"a group of layers comes {quoted(times)} times, expected a whole number of at least 1 "
            "and a list of layers"
        )
        raise ValueError(msg)
    if times * len(layers) > MOST_LAYERS:
        msg = f"{len(layers)} layers come {times} times, expected at most {MOST_LAYERS} in all"
        raise ValueError(msg)
    return layers * times


def _is_group(layers: Any) -> bool:
    return isinstance(layers, Mapping) and set(layers) == {"times", "layers"}


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Detector:
    """Matter and its readout. A homogeneous block of crystals is one layer of one active slab.

    Arguments:
        name: A short name for messages and files.
        layers: What the particle meets, front to back. In a description, a group may come several
            times, as ``{times: 15, layers: [...]}``.
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
        along_particle: Whether rings lie along the particle's direction, not along the axis.
        front: Passive slabs before the front face, in the order in which particles meet them; they
            end at the face, and take part of the distance.

    Raises:
        GeometryError: A number is impossible, a material is unknown, cells reach over the edge of
            the slabs, layers are read partly in boxes, partly in rings, or shells are read in
            boxes, or boxes are to lie along the particle.
    """

    name: str
    layers: Annotated[tuple[Layers, ...], BeforeValidator(_written_out)]
    face: tuple[float, float]
    order: str = "zyx"
    surroundings: str = "G4_Galactic"
    distance: float = 0.0
    sampling_fraction: float = 1.0
    threshold: float = 0.0 * MeV
    mixtures: Mapping[str, Mixture] = field(default_factory=dict)
    summary: str = ""
    inner_radius: float | None = None
    along_particle: bool = False
    front: tuple[Slab, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "face", tuple(float(width) for width in self.face))
        object.__setattr__(self, "front", tuple(self.front))
        self._require_numbers()
        self._require_materials()
        self._require_cells()
        self._require_front()
        if self.inner_radius is not None:
            self._require_cylinder(self.inner_radius)
        require_size(self._calorimeter(), f"detector '{self.name}'")

    def _require_numbers(self) -> None:
        if not self.layers:
            self._refuse("it has no layers, expected at least one")
        if self.n_layers > MOST_LAYERS:
            self._refuse(f"it has {self.n_layers} layers, expected at most {MOST_LAYERS}")
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
        within = (slab for layers in self.layers for slab in layers.each_slab)
        slabs = (*self.front, *within)
        for material in (self.surroundings, *(slab.material for slab in slabs)):
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

    def _require_front(self) -> None:
        """Matter in front is read by nothing, and particles start before it."""
        thickness = sum(slab.thickness for slab in self.front)
        if any(slab.role is not Role.PASSIVE for slab in self.front):
            self._refuse("a slab in front of it is not passive, expected role: passive")
        if thickness > self.distance:
            self._refuse(
                f"the slabs in front of it are {thickness:g} mm thick, and particles start "
                f"{self.distance:g} mm before it: expected a distance of at least as much"
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
        if len({is_polar(layers.cells) for layers in self.layers}) > 1:
            self._refuse(
                "some layers are read in rings and some in boxes or hexagons, expected one kind "
                "for all"
            )
        if self.along_particle and not is_polar(self.layers[0].cells):
            self._refuse(
                "its cells are no rings and shall lie along the particle, expected some such as "
                "cells: {n_r: 9, width: 4.65, n_alpha: 16}"
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
        if not is_polar(self.layers[0].cells):
            self._refuse(
                "its slabs are shells of a cylinder and its cells boxes or hexagons, expected "
                "rings, or flat slabs (no inner_radius)"
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
        return round(sum(layers.number * layers.thickness for layers in self.layers), DECIMALS)

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
        each = [(some.cells, some.thickness) for some in self.layers for _ in range(some.number)]
        rings = [(cells, t) for cells, t in each if is_polar(cells)]
        boxes = [(cells, t) for cells, t in each if isinstance(cells, Boxes)]
        if rings:
            cut = (
                CylinderLayer(cells.r_edges, cells.n_alpha, t, k)
                for k, (cells, t) in enumerate(rings)
            )
            return CylinderGrid(self.name, tuple(cut), self.along_particle)
        if len(boxes) < len(each):
            layers = (CellLayer(cells, t) for cells, t in each if not is_polar(cells))
            return LayeredCells(self.name, tuple(layers))
        if len({cells for cells, _ in boxes}) > 1:
            return LayeredGrid(
                self.name, tuple(GridLayer(cells.number, cells.size, t) for cells, t in boxes)
            )
        cells, mean = boxes[0][0], round(self.depth / len(boxes), DECIMALS)
        return RegularGrid(self.name, (*cells.number, len(boxes)), (*cells.size, mean), self.order)

    def material(self, name: str) -> Material:
        """A material by its name: one of the mixtures, or one of the NIST tables.

        Raises:
            GeometryError: It is neither.
        """
        if name in self.mixtures:
            mixture = self.mixtures[name]
            return Material.of_elements(
                name, mixture.density, mixture.mass_fractions, mixture.atoms
            )
        try:
            return nist(name)
        except GeometryError as error:
            msg = f"detector '{self.name}': {error}"
            raise GeometryError(msg) from error

    def describe(self) -> dict[str, Any]:
        """The description as plain values, fit for YAML and JSON; `Detector.from_description` reads
        it back.
        """
        said = _plain(asdict(self))
        return {k: v for k, v in said.items() if v or k not in ("along_particle", "front")}

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
        adapter = TypeAdapter(Detector)
        try:
            detector: Detector = adapter.validate_python(description)
        except ValidationError as error:
            msg = f"{source}: {complaint(error, description, adapter.json_schema)}"
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
