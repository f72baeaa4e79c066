"""CaloChallenge binning XML: the layers of cylindrical calorimeters, one entry a particle::

    <Bins>
      <Bin pid="11" name="electron">
        <Layer id="0" r_edges="0,4.65,9.3" n_bin_alpha="16" />
      </Bin>
    </Bins>

A layer with fewer than two edges has no cells (data set 1 has such layers); it is left out, and the
others keep their ids. The published files do not hold the depth of a layer. Here an attribute
``thickness``, in mm, is written and read where it is known, and ``along_particle="true"`` of a
<Bin> for a mesh along the particle; other readers pass over them.
"""

__all__ = ["named_binning", "read_binning", "species_of_binning", "write_binning"]

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from caloforge.errors import FileFormatError, GeometryError, ShowerValueError, quoted, words_of
from caloforge.geometry import CylinderGrid, CylinderLayer
from caloforge.geometry.calorimeter import require_size
from caloforge.io.input import require_file
from caloforge.io.output import NewFile
from caloforge.particles import pdg_of

_ALONG = "along_particle"
_MOST_NAMED = 20
_NAMED = re.compile(r"(.*\.xml)(?::([^:/\\]*))?", re.IGNORECASE | re.DOTALL)
"""A path, and the name of a particle; a path may hold a colon, too."""


def named_binning(text: str) -> tuple[str, str | None] | None:
    """The path of a binning file and the particle in it that ``FILE.xml`` or ``FILE.xml:PARTICLE``
    names, None for the only one; None for another text.
    """
    found = _NAMED.fullmatch(text)
    return None if found is None else (found[1], found[2])


def read_binning(
    path: Path | str, particle: str | None = None, *, name: str | None = None
) -> CylinderGrid:
    """Read the calorimeter that a binning file gives for a particle.

    Arguments:
        path: The file.
        particle: The name of the particle in the file; None for the only one.
        name: The name of the calorimeter; without it, that of the file and the particle.

    Raises:
        FileFormatError: The file is missing or not such XML, the particle is not in it or not once,
            or a layer is impossible.
    """
    path = Path(path)
    entry = _entry(path, particle)
    layers = [_read_layer(path, layer) for layer in entry.findall("Layer")]
    try:
        grid = CylinderGrid(
            name or f"{path.stem}-{entry.get('name')}",
            tuple(layer for layer in layers if layer is not None),
            entry.get(_ALONG) == "true",
        )
        require_size(grid, "its layers")
    except GeometryError as error:
        msg = f"{path}: entry {quoted(entry.get('name'))}: {error}"
        raise FileFormatError(msg) from error
    return grid


def species_of_binning(path: Path | str, particle: str | None = None) -> int | None:
    """The species of a particle in a binning file: its pid, or what its name says; None for
    neither.

    Arguments:
        path: The file.
        particle: The name of the particle in the file; None for the only one.

    Raises:
        FileFormatError: As for `read_binning`.
    """
    entry = _entry(Path(path), particle)
    for said in (entry.get("pid"), entry.get("name")):
        with suppress(ShowerValueError):
            if said is not None:
                return pdg_of(said)
    return None


def write_binning(
    path: Path | str, calorimeters: Mapping[str, CylinderGrid], *, overwrite: bool = False
) -> None:
    """Write the calorimeters of some particles as a binning file.

    Arguments:
        path: The file.
        calorimeters: The calorimeter of each particle, by the particle's name. Where the name is
            the name of a species, its PDG number is written with it.
        overwrite: Whether the file may take the place of one that is there.

    Raises:
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: The file cannot be written there.
    """
    root = Element("Bins")
    for particle, calorimeter in calorimeters.items():
        along = {_ALONG: "true"} if calorimeter.along_particle else {}
        entry = ElementTree.SubElement(root, "Bin", _pid(particle) | {"name": particle} | along)
        entry.extend(_layer_element(layer) for layer in calorimeter.cylinder_layers)
    ElementTree.indent(root)
    with NewFile(path, overwrite=overwrite) as partial:
        partial.write_bytes(ElementTree.tostring(root) + b"\n")


def _pid(particle: str) -> dict[str, str]:
    try:
        return {"pid": str(pdg_of(particle))}
    except ShowerValueError:
        return {}


def _entry(path: Path, particle: str | None) -> Element:
    require_file(path)
    try:
        entries = ElementTree.parse(path).getroot().findall("Bin")
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        msg = f"{path}: not XML ({words_of(error)}): expected a CaloChallenge binning file in UTF-8"
        raise FileFormatError(msg) from error
    fitting = [entry for entry in entries if particle in (None, entry.get("name"))]
    if len(fitting) != 1:
        names = ", ".join(quoted(entry.get("name")) for entry in entries[:_MOST_NAMED])
        whose = "" if particle is None else f" for particle {quoted(particle)}"
        there = f"{names}: give one of these" if names else "no <Bin> at all below its first tag"
        msg = f"{path}: {len(fitting)} entries{whose}, expected 1; the file has {there}"
        raise FileFormatError(msg)
    return fitting[0]


def _read_layer(path: Path, element: Element) -> CylinderLayer | None:
    try:
        edges = tuple(float(edge) for edge in element.attrib["r_edges"].split(","))
        n_alpha, number = int(element.attrib["n_bin_alpha"]), int(element.attrib["id"])
        stated = element.get("thickness")
        thickness = None if stated is None else float(stated)
        return CylinderLayer(edges, n_alpha, thickness, number) if len(edges) > 1 else None
    except (KeyError, ValueError, GeometryError) as error:
        found = " ".join(
            f"{name}={quoted(value)}" for name, value in list(element.items())[:_MOST_NAMED]
        )
        such = '<Layer id="0" r_edges="0,4.65,9.3" n_bin_alpha="16" />'
        msg = f"{path}: <Layer {found}>: {words_of(error)}; expected a layer such as {such}"
        raise FileFormatError(msg) from error


def _layer_element(layer: CylinderLayer) -> Element:
    edges = ",".join(repr(edge).removesuffix(".0") for edge in layer.r_edges)
    fields = {"id": str(layer.id), "r_edges": edges, "n_bin_alpha": str(layer.n_alpha)}
    if layer.thickness is not None:
        fields["thickness"] = repr(layer.thickness)
    return Element("Layer", fields)
