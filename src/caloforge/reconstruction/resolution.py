r"""How good estimates of the energy are, of showers whose energy is known.

With :math:`r = E_\mathrm{est} / E_\mathrm{true} - 1` the *bias* is the median of r, the
*resolution* half of the narrowest range that holds 68 % of all r, as for crystals at the LHC, and
the *coverage* the share of showers whose interval holds the true energy. Errors are binomial, and
those of the resolution :math:`\sigma / \sqrt{2 n}`, as for a normal distribution.
"""

__all__ = ["Resolution", "resolution"]

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_CENTRAL = 0.683


@dataclass(frozen=True)
class Resolution:
    """How good the estimates of some showers are.

    Arguments:
        showers: How many they are.
        bias: The median relative deviation.
        width: The effective relative resolution.
        coverage: The share of intervals that hold the truth, by their level.
    """

    showers: int
    bias: float
    width: float
    coverage: Mapping[float, float]

    @property
    def width_error(self) -> float:
        """The statistical error of the resolution."""
        return self.width / math.sqrt(2 * self.showers)

    def coverage_error(self, level: float) -> float:
        """The statistical error of the coverage of a level that is right."""
        return math.sqrt(level * (1 - level) / self.showers)


Interval = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]
"""The lower and the upper ends of the intervals of showers, in MeV."""


def resolution(
    estimates: Float[np.ndarray, " n"],
    true: Float[np.ndarray, " n"],
    intervals: Mapping[float, Interval],
) -> Resolution:
    """Bias, resolution and coverage.

    Arguments:
        estimates: The estimated energies, in MeV, at least two.
        true: The true ones.
        intervals: The intervals by their level.
    """
    relative = np.sort(np.asarray(estimates, np.float64) / true - 1)
    held = min(math.ceil(_CENTRAL * len(relative)), len(relative) - 1)
    width = float((relative[held:] - relative[: len(relative) - held]).min()) / 2
    coverage = {
        level: float(np.mean((low <= true) & (true <= high)))
        for level, (low, high) in intervals.items()
    }
    return Resolution(len(relative), float(np.median(relative)), width, coverage)
