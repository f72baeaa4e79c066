r"""Files of points: showers as lists of places with energy, of any calorimeter or of none.

A point goes to the cell in which it lies. Where a file says its calorimeter and numbers the cells
itself, as files written here do, the numbers are taken; else the layer and the place (x, y), in mm
from the middle of the front face, and where there is no layer the depth z from it. What lies beside
all cells is left out, and a `PointsOutsideWarning` counts it: at the first of it, and again
whenever its part of the energy has doubled.

Written are the hits of showers, as points at the centres of their cells.
"""

__all__ = [
    "Cloud",
    "PointFile",
    "directed",
    "hit_batches",
    "points_of",
    "require_places",
]

import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from caloforge.errors import FileFormatError, GeometryError, OutputError, PointsOutsideWarning
from caloforge.geometry import Calorimeter
from caloforge.hits import Hits, HitSource
from caloforge.io.input import ShowerFile, require_energies, require_finite, require_hits
from caloforge.particles import Particles
from caloforge.ragged import kept_offsets
from caloforge.showers import Showers, ShowerSource, spans


@dataclass(frozen=True)
class Cloud:
    """The points of some showers as a file holds them, one after the other.

    Arguments:
        offsets: The number of each shower's first point, and behind the last that of all, P.
        energies: The energy of each point, in MeV, with shape (P).
        x: Its place across the layers, in mm, with shape (P); None where the file has none.
        y: As x.
        z: Its depth, in mm from the front face; None where the file has none.
        layers: Its layer; None where the file has none.
        cells: Its cell; None where the file has none.
        times: Its time, in ns; None where the file has none.
    """

    offsets: Int64[Tensor, " offsets"]
    energies: Float[Tensor, " points"]
    x: Tensor | None = None
    y: Tensor | None = None
    z: Tensor | None = None
    layers: Int64[Tensor, " points"] | None = None
    cells: Int64[Tensor, " points"] | None = None
    times: Float[Tensor, " points"] | None = None

    @property
    def is_placed(self) -> bool:
        """Whether places say in which cells the points lie."""
        deep = self.z is not None or self.layers is not None
        return self.x is not None and self.y is not None and deep


class PointFile(ShowerFile):
    """A file of points, whose slices are dense `Showers` and its `sparse` slices `Hits`."""

    _calorimeter: Calorimeter
    _says_cells = False
    """Whether the file numbers the cells of the calorimeter that it states."""

    threshold: float | None = None
    """The threshold of the readout, in MeV; None where the file does not state it."""

    _pdg: int | None
    """The species, where the file does not know it."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._seen = self._lost = self._said = 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        kind: Any = type(self)
        return partial(kind, self.path, self._calorimeter, pdg=self._pdg), ()

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""
        return self._calorimeter

    @property
    def particles(self) -> Particles:
        """The incident particles of all showers, read and checked without the points."""
        return self._particles(range(len(self)))

    @property
    def energies(self) -> Tensor:
        """The incident energies of all showers, in MeV, with shape (N)."""
        return self.particles.energies

    @property
    def weights(self) -> Tensor | None:
        """The weights of all showers, with shape (N); None for once each."""
        return self._read_weights(range(len(self)))

    def sparse(self, index: slice) -> Hits:
        """Read a slice as hits, with a positive step.

        Raises:
            ShowerValueError: The energy of a point is negative or not finite, a number of a
                particle is impossible, or the step negative.
            FileFormatError: The file is damaged there.
        """
        return self._hits(self._rows_of(index))

    def close(self) -> None:
        """Close the file; nothing can be read from it afterwards."""

    def __enter__(self) -> "PointFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def _cloud(self, rows: range) -> Cloud:
        """The points of neighbouring showers."""

    @abstractmethod
    def _particles(self, rows: range) -> Particles:
        """The particles of neighbouring showers, checked."""

    @abstractmethod
    def _read_weights(self, rows: range) -> Tensor | None:
        """The weights of neighbouring showers, checked; None where the file has none."""

    def _settled(
        self, given: Calorimeter | None, said: Calorimeter | None, unsaid: str
    ) -> Calorimeter:
        """The calorimeter that the file states, or that is given; what is wrong without either."""
        if given is not None and said is not None:
            given.require(said, f"file {self.path}")
        found = said or given
        if found is None:
            msg = f"{self.path}: {unsaid}: give the calorimeter (--calorimeter)"
            raise FileFormatError(msg)
        return found

    @staticmethod
    def _checked(given: Mapping[str, Any], energies: str, places: str, rows: range) -> Particles:
        """Particles whose energies, in MeV, and places are checked, under these names."""
        require_energies(given["energies"], energies, rows)
        if "place" in given:
            require_finite(given["place"].sum(dim=1), places, rows)
        return Particles(**given)

    def _read(self, rows: range) -> Showers:
        return self._hits(rows).to_showers()

    def _unchecked(self, rows: range) -> Showers:
        return self._hits(rows, checked=False).to_showers()

    def _hits(self, rows: range, *, checked: bool = True) -> Hits:
        every = range(rows.start, max(rows.start, rows.stop))
        cloud = self._cloud(every)
        if checked:
            require_hits(cloud.energies, cloud.offsets, f"{self.path}: energies of points", every)
        numbered = self._says_cells or not cloud.is_placed
        cells = self._numbered(cloud) if numbered else self._placed(cloud)
        inside = cells >= 0
        self._count_outside(cloud, inside, every)
        hits = Hits(
            kept_offsets(cloud.offsets, inside),
            cells[inside].int(),
            cloud.energies[inside],
            self._particles(every),
            self.calorimeter,
            self._read_weights(every),
            self.threshold,
            None if cloud.times is None else cloud.times[inside],
        )
        return (hits if numbered else hits.merged()).sparse(slice(None, None, rows.step))

    def _numbered(self, cloud: Cloud) -> Int64[Tensor, " points"]:
        cells, n = cloud.cells, self.calorimeter.n_cells
        if cells is None:
            msg = (
                f"{self.path}: its points have no places and no cells: expected x, y, and the layer"
                " or z, in mm, or the cell of each"
            )
            raise FileFormatError(msg)
        bad = (cells < 0) | (cells >= n)
        if bad.any():
            msg = (
                f"{self.path}: {int(bad.sum())} of {len(cells)} points are in no cell of "
                f"calorimeter '{self.calorimeter.name}', the first in cell {int(cells[bad][0])}: "
                f"expected 0 to {n - 1}"
            )
            raise FileFormatError(msg)
        return cells

    def _placed(self, cloud: Cloud) -> Int64[Tensor, " points"]:
        """The cell of each point by its place, -1 beside all."""
        given = {"x": cloud.x, "y": cloud.y, "z": cloud.z, "time": cloud.times}
        found = {name: values for name, values in given.items() if values is not None}
        for name, values in found.items():
            if not values.isfinite().all():
                first = float(values[~values.isfinite()][0])
                msg = (
                    f"{self.path}: {int((~values.isfinite()).sum())} of {len(values)} numbers "
                    f"'{name}' of points are not finite, the first is {first}: write it again"
                )
                raise FileFormatError(msg)
        layers = self._layers(cloud)
        there = (layers >= 0) & (layers < self.calorimeter.n_layers)
        cells = self.calorimeter.cell_at(layers.where(there, 0), found["x"], found["y"])
        return cells.where(there, -1)

    def _layers(self, cloud: Cloud) -> Int64[Tensor, " points"]:
        if cloud.layers is not None or cloud.z is None:
            return torch.as_tensor(cloud.layers)
        try:
            return self.calorimeter.layer_at(cloud.z)
        except GeometryError as error:
            msg = f"{self.path}: gives the depth z of points, in mm, and {error}"
            raise FileFormatError(msg) from error

    def _count_outside(self, cloud: Cloud, inside: Tensor, rows: range) -> None:
        energies = cloud.energies.double().nan_to_num(0.0, 0.0, 0.0).clamp(min=0)
        self._seen += float(energies.sum())
        self._lost += float(energies[~inside].sum())
        part = self._lost / self._seen if self._seen > 0 else 0.0
        if inside.all() or (self._said and part < 2 * self._said):
            return
        what = f"lie in no cell of calorimeter '{self.calorimeter.name}'"
        where = f"points of showers {rows[0]} to {rows[-1]}"
        if not inside.any():
            msg = (
                f"{self.path}: all {len(inside)} {where} {what}: places are those from the middle "
                "of its front face, in mm, with the depth along z: give another calorimeter "
                "(--calorimeter), or shift and turn the points"
            )
            raise FileFormatError(msg)
        self._said = max(part, math.ulp(0.0))
        msg = (
            f"{self.path}: {int((~inside).sum())} of {len(inside)} {where} {what}, with {part:.2%} "
            "of all energy so far: they are left out"
        )
        warnings.warn(msg, PointsOutsideWarning, stacklevel=2)


def hit_batches(
    source: ShowerSource, batch_size: int, where: str
) -> Iterator[tuple[slice, Hits, dict[str, Tensor]]]:
    """The hits of showers, at least one batch, each with its slice and the further columns of a
    file, checked in the single precision of files.

    Arguments:
        source: The showers.
        batch_size: How many are in memory at a time.
        where: What of them is checked, for the message.

    Raises:
        ShowerValueError: A deposit or an energy is not physical.
    """
    for span in spans(len(source), batch_size) or [slice(0, 0)]:
        hits = source.sparse(span) if isinstance(source, HitSource) else Hits.of(source[span])
        rows = range(span.start, span.stop)
        require_hits(hits.hit_energies.float(), hits.offsets, where, rows)
        require_energies(hits.energies.float(), where, rows)
        yield span, hits.to("cpu"), source.extra(span) if isinstance(source, ShowerFile) else {}


def points_of(hits: Hits) -> dict[str, Tensor]:
    """The places of hits, in mm: ``x`` and ``y`` of the centres of their cells, float32, their
    ``layer``, and their depth ``z`` where it is known.
    """
    known, cells = hits.calorimeter, hits.cells.long()
    layers = known.layer_of_cell[cells]
    x, y = known.transverse[cells].float().unbind(dim=1)
    depth = {"z": known.depths[layers].float()} if known.has_depth else {}
    return {"x": x, "y": y, **depth, "layer": layers.int()}


def require_places(path: Path | str, calorimeter: Calorimeter, *, depth: bool) -> None:
    """Check that the cells of a calorimeter have places that a file of points can hold.

    Arguments:
        path: The file, for the message.
        calorimeter: Where the cells are.
        depth: Whether the file holds the depth, and not the layer.

    Raises:
        OutputError: They lie along each particle, or their depth is not known.
    """
    why = None
    if calorimeter.along_particle:
        why = f"the cells of '{calorimeter.name}' lie along each particle, not at places"
    elif depth and not calorimeter.has_depth:
        why = f"the thickness of the layers of '{calorimeter.name}' is not known"
    if why is not None:
        msg = f"{path}: cannot hold the showers, {why}: write a .h5 or .parquet file"
        raise OutputError(msg)


def directed(vectors: Float64[Tensor, "showers 3"], where: str) -> dict[str, Any]:
    """The angles of vectors, as arguments of `Particles`: none where all point along z.

    Raises:
        FileFormatError: A vector is not finite, or is 0.
    """
    length = vectors.norm(dim=1)
    bad = ~(length > 0) | ~length.isfinite()
    if bad.any():
        msg = (
            f"{where}: {int(bad.sum())} of {len(bad)} vectors point nowhere, the first is "
            f"{vectors[bad][0].tolist()}: expected finite vectors other than 0"
        )
        raise FileFormatError(msg)
    x, y, z = vectors.unbind(dim=1)
    theta = torch.atan2(torch.hypot(x, y), z).float()
    return {"theta": theta, "phi": torch.atan2(y, x).float()} if theta.any() else {}
