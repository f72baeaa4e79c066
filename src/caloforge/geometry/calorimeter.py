r"""What every calorimeter answers, whatever its cells.

The beam travels along :math:`+z` and enters the front face :math:`z = 0` at :math:`x = y = 0`. A
cell is numbered by one flat index, in the order in which the published files store it. Each cell
belongs to one *layer*, its segment in depth, counted from the front face. Most calorimeters say how
each layer is divided (`divisions`); all answers follow from that. One of irregular cells answers by
itself.

A *symmetry* g is an orthogonal matrix :math:`M_g` in the transverse plane, with the permutation of
the cells :math:`c \to g(c)` that it causes: :math:`(x, y)_{g(c)} = M_g (x, y)_c`, layer by layer.
Where the physics has that symmetry too, permuted showers are as good as new ones.
"""

__all__ = ["Calorimeter", "require_size", "tuples"]

import math
from abc import ABC, abstractmethod
from dataclasses import asdict
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from caloforge.errors import MOST_QUOTED, GeometryError, GeometryMismatchError, quoted
from caloforge.geometry.divisions import Boxes, Division, Rings, Slices, spans_of
from caloforge.geometry.mapping import shares
from caloforge.geometry.symmetries import Symmetries
from caloforge.shown import Shown, counted

_MOST_CELLS = 10_000_000
"""The most cells of a calorimeter that is read from a description: 80 MB an answer."""

_INSIDE = 1 - 1e-4
"""Points placed in a cell keep off its edge, so that rounding to float32 leaves them in it."""


class Calorimeter(Shown, ABC):
    """Frozen geometry of a calorimeter's cells.

    Two calorimeters are equal when every number of their description is, whatever their name.
    """

    kinds: ClassVar[dict[str, type["Calorimeter"]]] = {}
    kind: ClassVar[str]
    name: str

    def __init_subclass__(cls, kind: str | None = None) -> None:
        if kind is not None:
            cls.kind = kind
            Calorimeter.kinds[kind] = cls

    def facts(self) -> dict[str, str]:
        """What a prompt and a notebook show."""
        return {
            "name": self.name,
            "cells": counted(self.n_cells, "cell"),
            "layers": counted(self.n_layers, "layer"),
        }

    @property
    @abstractmethod
    def divisions(self) -> tuple[Division, ...]:
        """How each layer is divided into cells, front to back; () where cells are irregular."""

    @property
    @abstractmethod
    def thicknesses(self) -> tuple[float | None, ...]:
        """The depth of each layer, in mm, front to back; None where it is unknown."""

    @property
    def along_particle(self) -> bool:
        """Whether the cells move with the particle: depth is counted along its direction, from its
        place on, and x and y across it.
        """
        return False

    @cached_property
    def common_division(self) -> Division | None:
        """How all layers are divided; None where they are not divided alike."""
        distinct = set(self.divisions)
        return distinct.pop() if len(distinct) == 1 else None

    @property
    def n_layers(self) -> int:
        """Number of layers in depth."""
        return len(self.thicknesses)

    @property
    def layer_ids(self) -> tuple[int, ...]:
        """The number by which each layer is known, front to back, each once; the position from the
        front unless published.
        """
        return tuple(range(self.n_layers))

    @cached_property
    def n_cells(self) -> int:
        """Number of cells."""
        return sum(math.prod(division.number) for division in self.divisions)

    @cached_property
    def layer_order(self) -> Tensor:
        """The flat indices of the cells layer by layer, in each as its division has them, with
        shape (cells).
        """
        return torch.arange(self.n_cells)

    @cached_property
    def layer_of_cell(self) -> Tensor:
        """The layer of each cell, in [0, n_layers), with shape (cells)."""
        sizes = torch.tensor([math.prod(division.number) for division in self.divisions])
        return self.to_flat(torch.repeat_interleave(torch.arange(self.n_layers), sizes))

    @cached_property
    def place_of_cell(self) -> Tensor:
        """The place of each cell in its divided layer, ``slow * n_fast + fast``, with shape
        (cells).
        """
        places = [torch.arange(math.prod(division.number)) for division in self.divisions]
        return self.to_flat(torch.cat(places))

    def by_layer(self, values: Tensor) -> Tensor:
        """Values of cells, the last axis, in the order of `layer_order` instead of the flat one."""
        return values if self._ordered else values[..., self.layer_order.to(values.device)]

    def to_flat(self, values: Tensor) -> Tensor:
        """The inverse of `by_layer`."""
        if self._ordered:
            return values
        return values.index_select(-1, self._rank_of_cell.to(values.device))

    @cached_property
    def _rank_of_cell(self) -> Tensor:
        return self.layer_order.argsort()

    @cached_property
    def _ordered(self) -> bool:
        return torch.equal(self.layer_order, torch.arange(self.n_cells))

    @property
    def polar(self) -> bool:
        r"""Whether the cells of every layer are bins in :math:`r` and :math:`\alpha`."""
        return bool(self.divisions) and all(division.polar for division in self.divisions)

    @cached_property
    def transverse(self) -> Tensor:
        """The centre (x, y) of each cell, in mm, float64, with shape (cells, 2)."""
        return self.to_flat(torch.cat([d.centres for d in self.divisions]).T).T.contiguous()

    @cached_property
    def areas(self) -> Tensor:
        """The area of each cell across the beam, in mm^2, float64, with shape (cells)."""
        return self.to_flat(torch.cat([division.areas for division in self.divisions]))

    @property
    def has_depth(self) -> bool:
        """Whether the thickness of every layer is known."""
        return None not in self.thicknesses

    @property
    def known_thicknesses(self) -> tuple[float, ...]:
        """The depth of each layer, in mm, front to back.

        Raises:
            GeometryError: That of a layer is unknown.
        """
        known = tuple(thickness for thickness in self.thicknesses if thickness is not None)
        if len(known) < self.n_layers:
            first = self.layer_ids[self.thicknesses.index(None)]
            msg = (
                f"calorimeter '{self.name}': the thickness of layer {first} is unknown, so nothing "
                "has a depth in mm: give the thickness of all layers, or count layers"
            )
            raise GeometryError(msg)
        return known

    @cached_property
    def depths(self) -> Tensor:
        """The middle of each layer, in mm from the front face, float64, with shape (layers).

        Raises:
            GeometryError: The thickness of a layer is unknown.
        """
        thickness = torch.tensor(self.known_thicknesses, dtype=torch.float64)
        return thickness.cumsum(0) - thickness / 2

    @cached_property
    def centres(self) -> Tensor:
        """The centre (x, y, z) of each cell, in mm, float64, with shape (cells, 3).

        Raises:
            GeometryError: The thickness of a layer is unknown.
        """
        z = self.depths[self.layer_of_cell]
        return torch.cat([self.transverse, z[:, None]], dim=1)

    @cached_property
    def volumes(self) -> Tensor:
        """The volume of each cell, in mm^3, float64, with shape (cells).

        Raises:
            GeometryError: The thickness of a layer is unknown.
        """
        thickness = torch.tensor(self.known_thicknesses, dtype=torch.float64)
        return self.areas * thickness[self.layer_of_cell]

    def layer_at(self, z: Tensor) -> Tensor:
        """The layer at each depth, -1 in front of the first and behind the last.

        Arguments:
            z: The depth from the front face, in mm, with shape (points).

        Raises:
            GeometryError: The thickness of a layer is unknown.
        """
        ends = torch.tensor(self.known_thicknesses, dtype=torch.float64).cumsum(0)
        layer = torch.bucketize(z.double(), ends.to(z.device), right=True)
        return torch.where((z < 0) | (layer == self.n_layers), -1, layer)

    def cell_at(self, layer: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The flat index of the cell of a layer at each point, -1 beside all of its cells.

        Arguments:
            layer: The layer of each point, in [0, n_layers), with shape (points).
            x: In mm, with shape (points).
            y: In mm, with shape (points).
        """
        places = self._places(layer, x, y)
        start = self._starts.to(x.device).index_select(0, layer)
        if self._ordered:
            return torch.where(places < 0, -1, start + places)
        flat = self.layer_order.to(x.device)[start + places.clamp(min=0)]
        return torch.where(places < 0, -1, flat)

    def points_in(self, cells: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """A point in each of some cells, well off its edges.

        Arguments:
            cells: The cells, flat indices, with shape (points).
            u: Where in it, in ]0, 1[; evenly spread over the cell where u and v are.
            v: As u.

        Returns:
            The points (x, y), in mm, float64, with shape (points, 2).
        """
        low, width = (values[cells] for values in self._spans)
        at = low + width * (0.5 + _INSIDE * (torch.stack([u, v], dim=-1).double() - 0.5))
        if not self.polar:
            return at
        r, alpha = at[:, 0].sqrt(), at[:, 1]
        return torch.stack([r * alpha.cos(), r * alpha.sin()], dim=-1)

    @cached_property
    def _spans(self) -> tuple[Tensor, Tensor]:
        """Where each cell begins and how far it extends, in coordinates in which equal steps are
        equal areas, with shape (cells, 2).
        """
        low, width = zip(*(spans_of(division) for division in self.divisions), strict=True)
        return self.to_flat(torch.cat(low).T).T, self.to_flat(torch.cat(width).T).T

    def _places(self, layer: Tensor, x: Tensor, y: Tensor) -> Tensor:
        rings = [division for division in self.divisions if isinstance(division, Rings)]
        boxes = [division for division in self.divisions if isinstance(division, Boxes)]
        return Rings.places(rings, layer, x, y) if rings else Boxes.places(boxes, layer, x, y)

    @cached_property
    def _starts(self) -> Tensor:
        """The place in `layer_order` of the first cell of each layer."""
        sizes = self.layer_of_cell.bincount(minlength=self.n_layers)
        return sizes.cumsum(0) - sizes

    @cached_property
    def symmetries(self) -> Tensor:
        """The symmetry group as permutations g(c) of the cells, identity first, with shape (group,
        cells); ``deposits[:, symmetries[g]]`` is a shower again.
        """
        return self._symmetry_group.permutations

    @property
    def mesh_symmetries(self) -> Tensor:
        """The symmetries of the cells, whatever the matter: more than `symmetries` where the cells
        move with the particle.
        """
        return self.symmetries

    @cached_property
    def symmetry_matrices(self) -> Tensor:
        r"""The matrix :math:`M_g` of each symmetry in the transverse plane, float64, orthogonal,
        with shape (group, 2, 2).

        It takes the centre of each cell to that of its image, ``transverse[symmetries[g]] ==
        transverse @ symmetry_matrices[g].T``, by its angle where cells are rings. The shower
        ``deposits[:, symmetries[g]]`` is turned by its inverse, the transposed matrix.
        """
        return self._symmetry_group.matrices

    @property
    @abstractmethod
    def _symmetry_group(self) -> Symmetries: ...

    def image(self) -> Tensor:
        """The flat index of each cell in an image, with shape (layers, y, x) or, for rings,
        (layers, alpha, r).

        Raises:
            GeometryError: The layers have different numbers of cells, or cells are irregular.
        """
        numbers = {division.number for division in self.divisions}
        if len(numbers) != 1:
            msg = (
                f"calorimeter '{self.name}' is no image, its layers are not divided alike: "
                "expected as many cells along each axis in all layers"
            )
            raise GeometryError(msg)
        return self.layer_order.reshape(self.n_layers, *reversed(numbers.pop()))

    @cached_property
    def layer_table(self) -> Tensor:
        """The flat index of each cell by layer and place in it, with shape (layers, cells of the
        largest layer); -1 where a layer has fewer.
        """
        table = torch.full((self.n_layers, int(self.layer_of_cell.bincount().max())), -1)
        table[self.layer_of_cell, self.place_of_cell] = torch.arange(self.n_cells)
        return table

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape that flat deposits take when their last axis is unfolded, slowest axis first.

        Raises:
            GeometryError: As for `image`.
        """
        return tuple(self.image().shape)

    def columns(self) -> Slices | None:
        """Columns of boxes of equal x; None where not all layers have the same."""
        return self._columns

    def rows(self) -> Slices | None:
        """Rows of boxes of equal y; None where not all layers have the same."""
        return self._rows

    @cached_property
    def _columns(self) -> Slices | None:
        return self._straight(axis=0)

    @cached_property
    def _rows(self) -> Slices | None:
        return self._straight(axis=1)

    def _straight(self, axis: int) -> Slices | None:
        cuts = {(d.number[axis], d.extent[axis]) for d in self.divisions}
        if len(cuts) != 1 or self.polar:
            return None
        places = [_place(division.number, axis) for division in self.divisions]
        return Slices(self.to_flat(torch.cat(places)), self.divisions[0].edges[axis])

    def sectors(self) -> Slices | None:
        r"""Sectors in :math:`\alpha`, as many as cut no cell of a layer with more than one bin in
        it; cells of the other layers are in none. None where there is but one.
        """
        numbers = [d.number[1] for d in self.divisions if d.polar and d.number[1] > 1]
        n = math.gcd(*numbers)
        if n < 2:
            return None
        layers = [_place(d.number, 1) * n // d.number[1] for d in self.divisions]
        parts = [
            sector - int(d.number[1] == 1) for sector, d in zip(layers, self.divisions, strict=True)
        ]
        edges = torch.linspace(-math.pi, math.pi, n + 1, dtype=torch.float64)
        return Slices(self.to_flat(torch.cat(parts)), edges)

    @property
    def azimuthal_layers(self) -> tuple[int, ...]:
        """The positions of the layers whose cells tell x and y: of rings, those with more than one
        bin in alpha.
        """
        one = {k for k, d in enumerate(self.divisions) if d.polar and d.number[1] == 1}
        return tuple(k for k in range(self.n_layers) if k not in one)

    @cached_property
    def _radial_edges(self) -> Tensor:
        layers = [d.r_edges for d in self.divisions if isinstance(d, Rings)]
        if layers:
            every = {r for layer in layers for r in layer}
            kept = sorted(r for r in every if not any(_straddled(r, other) for other in layers))
            return torch.tensor(kept, dtype=torch.float64)
        step = self._ring_width
        reach = float(self.transverse.norm(dim=1).max())
        return step * torch.arange(math.floor(reach / step * (1 + 1e-9)) + 2, dtype=torch.float64)

    @property
    def _ring_width(self) -> float:
        """The larger of the finest steps between centres in x and in y, in mm."""
        ordered = self.transverse.sort(dim=0).values
        steps = ordered.diff(dim=0)
        finest = torch.where(steps > 1e-9 * ordered.abs().max(), steps, math.inf).amin(dim=0)
        return max((step for step in finest.tolist() if step < math.inf), default=1.0)

    def rings(self) -> Slices:
        """Rings around the beam: where cells are rings, the finest that no cell straddles; else as
        wide as the larger side of a cell, which belongs to the ring of its centre.
        """
        edges, r = self._radial_edges, self.transverse.norm(dim=1)
        return Slices(torch.bucketize(r * (1 + 1e-9), edges[1:-1], right=True), edges)

    @cached_property
    def neighbours(self) -> Tensor:
        """The flat indices of the cells of the same layer that share a side with each cell, -1
        where there are fewer, with shape (cells, most).
        """
        places = [division.neighbours for division in self.divisions]
        starts = self._starts.tolist()
        table = torch.cat(
            [torch.where(p < 0, -1, p + start) for p, start in zip(places, starts, strict=True)]
        )
        flat = torch.where(table < 0, -1, self.layer_order[table.clamp(min=0)])
        return self.to_flat(flat.T).T.contiguous()

    def mapping(self, to: "Calorimeter") -> Tensor:
        """The shares of the energy of each cell that lie in each cell of another calorimeter.

        Energy is spread evenly over a cell. ``deposits @ mapping.T`` are the deposits in the other
        calorimeter's cells: energy is conserved but for what falls beside them. Boxes onto boxes
        and rings onto rings are exact; else the shares are counted over 256 points of each cell.

        Arguments:
            to: The other calorimeter. With as many layers, layer k is mapped to layer k, else by
                depth.

        Returns:
            The shares, float64, sparse (COO), with shape (cells of the other, cells). A column sums
            to 1 where the cell is covered.

        Raises:
            GeometryError: The numbers of layers differ, and a thickness is unknown; or the cells of
                one move with the particle, and the other's do not.
        """
        return shares(self, to)

    def cells_of(self, layer: int) -> Tensor:
        """The flat indices of the cells of a layer, as its division has them."""
        start = self._starts[layer]
        stop = self._starts[layer + 1] if layer + 1 < self.n_layers else self.n_cells
        return self.layer_order[start:stop]

    def spread(self, layer: int, n: int) -> Tensor:
        """n x n points spread evenly over each of `cells_of` a layer, (x, y) in mm, float64, with
        shape (cells, n * n, 2).
        """
        return self.divisions[layer].points(n)

    def outlines(self) -> tuple[Tensor, Tensor]:
        """The sizes of each cell along x and y, in mm, float64, with shape (cells, 2), and how many
        sides it has: 4, a rectangle, or 6, a hexagon, whose longer size is from corner to corner.

        Raises:
            GeometryError: The cells are rings.
        """
        if self.polar:
            msg = f"calorimeter '{self.name}': its cells are rings, neither boxes nor hexagons"
            raise GeometryError(msg)
        return self._spans[1], torch.full((self.n_cells,), 4)

    def describe(self, *, arrays: bool = True) -> dict[str, Any]:
        """The description as plain values, fit for JSON; `Calorimeter.from_description` reads it
        back.

        Arguments:
            arrays: Whether the `arrays` of a table of cells are listed, too.
        """
        del arrays
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]

    def arrays(self) -> dict[str, Tensor]:
        """The fields of `describe` that are as long as there are cells; none but of a table."""
        return {}

    @staticmethod
    def from_description(description: dict[str, Any]) -> "Calorimeter":
        """Build the calorimeter that `describe` wrote.

        Raises:
            GeometryError: The kind is unknown, a field is missing, unknown or impossible, or there
                are more than ten million cells.
        """
        fields = dict(description)
        kind = fields.pop("kind", None)
        if not isinstance(kind, str) or kind not in Calorimeter.kinds:
            msg = (
                f"calorimeter description: kind is {quoted(kind)}, expected one of "
                f"{', '.join(Calorimeter.kinds)}"
            )
            raise GeometryError(msg)
        try:
            found = Calorimeter.kinds[kind]._from_fields(fields)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            msg = f"calorimeter description of kind '{kind}': {error}"
            raise GeometryError(msg) from error
        _require_bounds(found)
        return found

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> "Calorimeter":
        return cls(**tuples(fields))

    def require(self, other: "Calorimeter", what: str) -> None:
        """Check that something belongs to this calorimeter.

        Arguments:
            other: The calorimeter of the thing.
            what: The name of the thing, for the message.

        Raises:
            GeometryMismatchError: The two calorimeters differ.
        """
        if self != other:
            alike = "the names agree, the geometries do not: compare describe() of both"
            msg = (
                f"{what} is of calorimeter '{other.name}' ({other.n_cells} cells), expected "
                f"'{self.name}' "
                f"({self.n_cells} cells): "
                f"{alike if self.name == other.name else 'use showers of one calorimeter'}"
            )
            raise GeometryMismatchError(msg)


def _require_bounds(calorimeter: Calorimeter) -> None:
    """Check what a description says before anything of its size is made."""
    name = calorimeter.name
    what = "calorimeter description"
    if not isinstance(name, str) or len(name) > MOST_QUOTED or not name.isprintable():
        msg = f"{what}: name is {name!r:.{MOST_QUOTED}}, expected a short text that can be printed"
        raise GeometryError(msg)
    require_size(calorimeter, what)


def require_size(calorimeter: Calorimeter, what: str) -> None:
    """Check how many cells a file describes, before anything of their number is made.

    Arguments:
        calorimeter: The calorimeter.
        what: What describes it, for the message.

    Raises:
        GeometryError: They are more than ten million.
    """
    cells = calorimeter.n_cells
    if cells > _MOST_CELLS:
        msg = f"{what}: {quoted(cells)} cells, expected at most {_MOST_CELLS}"
        raise GeometryError(msg)


def tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON makes lists of tuples; this makes tuples of lists."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }


def _place(number: tuple[int, int], axis: int) -> Tensor:
    """The position of each cell of a lattice along an axis, 0 the fast one."""
    n_fast, n_slow = number
    place = torch.arange(n_fast * n_slow)
    return place % n_fast if axis == 0 else place // n_fast


def _straddled(r: float, edges: tuple[float, ...]) -> bool:
    return edges[0] < r < edges[-1] and r not in edges
