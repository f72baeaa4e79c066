r"""What an observable is: a named function of showers, with its unit, its scale and how many values
a shower has.

The *line* of an observable is where its values lie and where distances are taken: the value itself
on a linear scale; :math:`\log_{10}` of the value, for values above the observable's threshold
alone, on a logarithmic one; the position for a profile, with the energies as weights. A distance on
a logarithmic scale is therefore in decades. A series is several observables under one name, one a
label (a layer, a ring, ...), each with a line of its own.
"""

__all__ = ["Entry", "Observable", "Scale"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers
from caloforge.showers import ShowerSource
from caloforge.shown import Shown

if TYPE_CHECKING:
    from hist import Hist


class Entry(Enum):
    """How many values of an observable a shower has."""

    SHOWER = "one a shower"
    CELL = "one a cell"
    POSITION = "an energy at each position"
    SERIES = "one at each of several labels"


class Scale(Enum):
    """The line on which values are drawn and compared."""

    LINEAR = "linear"
    LOG = "logarithmic"


@dataclass(frozen=True, repr=False)
class Observable(Shown):
    r"""A named function of showers, with all that is needed to compare and draw it.

    Arguments:
        name: A short key, for files.
        title: The name in words, for tables.
        symbol: The symbol, as TeX mathematics without the dollar signs.
        unit: The unit of the value (of the position, for a profile); empty if it has none.
        function: From N showers to values of shape (N), (N, cells), (N, positions) or (N, labels),
            as ``entry`` says.
        entry: How many values a shower has.
        scale: Whether values are compared as they are or by :math:`\log_{10}`.
        threshold: On a logarithmic scale, the value that an entry must exceed to be counted, in the
            unit.
        positions: For a profile, the increasing positions in a calorimeter, in the unit; else None.
        labels: For a series, what tells its columns apart in a calorimeter, such as "layer 3"; else
            None.
    """

    name: str
    title: str
    symbol: str
    unit: str
    function: Callable[[AnyShowers], Tensor]
    entry: Entry = Entry.SHOWER
    scale: Scale = Scale.LINEAR
    threshold: float = 0.0
    positions: Callable[[Calorimeter], Tensor] | None = None
    labels: Callable[[Calorimeter], tuple[str, ...]] | None = None

    def facts(self) -> dict[str, str]:
        """What a prompt and a notebook show."""
        unit = {"unit": self.unit} if self.unit else {}
        return {"name": self.name, "title": self.title, **unit, "values": self.entry.value}

    def positions_of(self, calorimeter: Calorimeter) -> Float[np.ndarray, " positions"]:
        """The positions of a profile in a calorimeter, in the unit; none for any
        other observable.
        """
        return (
            np.empty(0) if self.positions is None else self.positions(calorimeter).double().numpy()
        )

    def labels_of(self, calorimeter: Calorimeter) -> tuple[str, ...]:
        """The labels of a series in a calorimeter; none for any other observable."""
        return () if self.labels is None else self.labels(calorimeter)

    def histogram(self, showers: ShowerSource, bins: int | Sequence[float] = 50) -> "Hist[Any]":
        """The distribution in a sample, as a histogram of the package hist; see
        `caloforge.observables.histogram`.
        """
        from caloforge.observables.histogram import histogram

        return histogram(self, showers, bins)

    @property
    def distance_unit(self) -> str:
        """The unit of a distance between two samples of the observable."""
        return "decades" if self.scale is Scale.LOG else self.unit
