r"""What every calorimeter answers, whatever its cells.

The beam travels along :math:`+z` and enters the front face :math:`z = 0` at :math:`x = y = 0`. A
cell is numbered by one flat index, in the order in which the published files store it. Each cell
belongs to one *layer*, its segment in depth, counted from the front face.

A *symmetry* g is an orthogonal matrix :math:`M_g` in the transverse plane, with the permutation of
the cells :math:`c \to g(c)` that it causes: :math:`(x, y)_{g(c)} = M_g (x, y)_c`, layer by layer.
Where the physics has that symmetry too, permuted showers are as good as new ones.
"""

__all__ = ["Calorimeter", "Symmetries", "tuples"]

from abc import ABC, abstractmethod
from dataclasses import asdict
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from caloforge.errors import GeometryError, GeometryMismatchError


class Symmetries(NamedTuple):
    """A symmetry group, identity first: permutations of the cells, each with its matrix."""

    permutations: Tensor
    """With shape (group, cells)."""
    matrices: Tensor
    """In the transverse plane, orthogonal, float64, with shape (group, 2, 2)."""

    @staticmethod
    def distinct(permutations: list[Tensor], matrices: list[Tensor]) -> "Symmetries":
        """Each permutation once, with the first of its matrices; the identity comes first because
        it is the least of all in lexical order.
        """
        unique, which = torch.unique(torch.stack(permutations), dim=0, return_inverse=True)
        first = [which.tolist().index(g) for g in range(len(unique))]
        return Symmetries(unique, torch.stack(matrices)[first])


class Calorimeter(ABC):
    """Frozen geometry of a calorimeter's cells.

    Two calorimeters are equal when every number of their description is, whatever their name.
    """

    kinds: ClassVar[dict[str, type["Calorimeter"]]] = {}
    kind: ClassVar[str]
    name: str

    def __init_subclass__(cls, kind: str) -> None:
        cls.kind = kind
        Calorimeter.kinds[kind] = cls

    @property
    @abstractmethod
    def n_cells(self) -> int:
        """Number of cells."""

    @property
    @abstractmethod
    def n_layers(self) -> int:
        """Number of layers in depth."""

    @property
    def layer_ids(self) -> tuple[int, ...]:
        """The number by which each layer is known, front to back, each once; the position from the
        front unless published.
        """
        return tuple(range(self.n_layers))

    @property
    @abstractmethod
    def layer_of_cell(self) -> Tensor:
        """The layer of each cell, in [0, n_layers), with shape (cells)."""

    @property
    @abstractmethod
    def centres(self) -> Tensor:
        """The centre (x, y, z) of each cell, in mm, with shape (cells, 3)."""

    @property
    @abstractmethod
    def volumes(self) -> Tensor:
        """The volume of each cell, in mm^3, with shape (cells)."""

    @cached_property
    def symmetries(self) -> Tensor:
        """The symmetry group as permutations g(c) of the cells, identity first, with shape (group,
        cells); ``deposits[:, symmetries[g]]`` is a shower again.
        """
        return self._symmetry_group.permutations

    @cached_property
    def symmetry_matrices(self) -> Tensor:
        r"""The matrix :math:`M_g` of each symmetry in the transverse plane, float64, orthogonal,
        with shape (group, 2, 2).

        It takes the centre of each cell to that of its image, ``centres[symmetries[g], :2] ==
        centres[:, :2] @ symmetry_matrices[g].T``, by its angle where cells are rings. The shower
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
            GeometryError: The layers have different numbers of cells, or no rows and columns.
        """
        msg = (
            f"calorimeter '{self.name}' is no image, its layers are not divided alike: choose a "
            "dense network for it, not one that sees images"
        )
        raise GeometryError(msg)

    def describe(self) -> dict[str, Any]:
        """The description as plain values, fit for JSON; `Calorimeter.from_description` reads it
        back.
        """
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]

    @staticmethod
    def from_description(description: dict[str, Any]) -> "Calorimeter":
        """Build the calorimeter that `describe` wrote.

        Raises:
            GeometryError: The kind is unknown or a field is missing, unknown or impossible.
        """
        fields = dict(description)
        kind = fields.pop("kind", None)
        if not isinstance(kind, str) or kind not in Calorimeter.kinds:
            msg = (
                f"calorimeter description: kind is {kind!r}, expected one of "
                f"{', '.join(Calorimeter.kinds)}"
            )
            raise GeometryError(msg)
        try:
            return Calorimeter.kinds[kind]._from_fields(fields)
        except (AttributeError, TypeError, ValueError) as error:
            msg = f"calorimeter description of kind '{kind}': {error}"
            raise GeometryError(msg) from error

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


def tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON makes lists of tuples; this makes tuples of lists."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
