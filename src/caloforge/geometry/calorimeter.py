"""What every calorimeter answers, whatever its cells.

The beam travels along :math:`+z` and enters the front face :math:`z = 0` at :math:`x = y = 0`. A
cell is numbered by one flat index, in the order in which the published files store it. Each cell
belongs to one *layer*, its segment in depth, counted from the front face.

A *symmetry* is a permutation of the cells that maps the calorimeter onto itself and keeps every
layer: where the physics has that symmetry too, permuted showers are as good as new ones.
"""

__all__ = ["Calorimeter", "distinct", "tuples"]

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor

from caloforge.errors import GeometryError, GeometryMismatchError


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
    def layers(self) -> Tensor:
        """The layer of each cell, in [0, n_layers), with shape (cells)."""

    @property
    @abstractmethod
    def centres(self) -> Tensor:
        """The centre (x, y, z) of each cell, in mm, with shape (cells, 3)."""

    @property
    @abstractmethod
    def volumes(self) -> Tensor:
        """The volume of each cell, in mm^3, with shape (cells)."""

    @property
    @abstractmethod
    def symmetries(self) -> Tensor:
        """The symmetry group, identity first, with shape (group, cells);
        ``deposits[:, symmetries[g]]`` is a shower again.
        """

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


def distinct(permutations: list[Tensor]) -> Tensor:
    """Each permutation once, with the identity first because it is the least of all in lexical
    order.
    """
    unique: Tensor = torch.unique(torch.stack(permutations), dim=0)
    return unique
