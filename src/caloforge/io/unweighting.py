r"""A weighted sample made one whose showers count once each, by rejection.

Shower i is kept where :math:`u_i < w_i / W`, with :math:`w_i` its weight, W the largest, and
:math:`u_i \sim U(0, 1)` a function of the seed and of i alone. The share that is kept, the
efficiency, is :math:`\langle w \rangle / W` in the mean. A lower W keeps more; showers above it are
kept once where they should count :math:`w_i / W` times, and the weight that is lost so is counted.
"""

__all__ = ["UNWEIGHTED", "Unweighted"]

import torch
from torch import Tensor

from caloforge import streams
from caloforge.errors import ShowerValueError
from caloforge.io.chosen import Chosen
from caloforge.io.input import ShowerFile
from caloforge.showers import Showers
from caloforge.streams import Stream

UNWEIGHTED = "unweighted"
"""The attribute of a copy that says what was done."""


class Unweighted(Chosen):
    """The showers of a weighted file that rejection keeps; they have no weights.

    Arguments:
        file: The file.
        seed: The seed of the choice.
        largest: The weight W that is kept for sure; None for the largest of the file.

    Raises:
        ShowerValueError: The file has no weights, all are 0, or W is not positive.
    """

    NAME = UNWEIGHTED

    def __init__(self, file: ShowerFile, seed: int, largest: float | None = None) -> None:
        super().__init__(file)
        weights = self._given
        if largest is not None and not largest > 0:
            msg = f"the largest weight is {largest:g}, expected a positive number"
            raise ShowerValueError(msg)
        self.largest = float(weights.max()) if largest is None else largest
        index = torch.arange(len(weights))
        [u] = streams.uniforms(streams.keys(seed, index, Stream.UNWEIGHTING), 1).T
        self._rows = (u * self.largest < weights).nonzero()[:, 0]
        self.above = int((weights > self.largest).sum())
        """How many weights are larger than W."""
        lost = (weights - self.largest).clamp_min(0).sum() / weights.sum()
        self.lost = float(lost)
        """The share of all weight that they lose."""

    @property
    def _given(self) -> Tensor:
        weights = self.file.weights
        if weights is None:
            msg = f"{self.path}: its showers have no weights, expected some to keep them by"
            raise ShowerValueError(msg)
        if not weights.any():
            msg = f"{self.path}: all {len(weights)} weights are 0: nothing would be kept"
            raise ShowerValueError(msg)
        return weights.double()

    @property
    def weights(self) -> None:
        """None: each counts once."""
        return

    @property
    def efficiency(self) -> float:
        """The share of the showers that are kept."""
        return len(self) / max(len(self.file), 1)

    @property
    def report(self) -> str:
        """What was kept, with its numbers."""
        kept = f"{len(self):,} of {len(self.file):,} showers kept ({self.efficiency:.2%})"
        if not self.above:
            return f"{kept}, largest weight {self.largest:.4g}"
        return (
            f"{kept}; {self.above:,} weigh more than {self.largest:.4g} and count once, which "
            f"loses {self.lost:.2%} of all weight"
        )

    def _read(self, rows: range) -> Showers:
        span, chosen = self._span(self._rows[rows.start : rows.stop : rows.step])
        read = self.file[span][chosen]
        return Showers(read.deposits, read.particles, read.calorimeter, None, read.threshold)
