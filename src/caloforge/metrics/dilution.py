r"""What weights cost: how much a weighted sample is worth, and how far two samples overlap.

A sample of N showers with weights w has the effective size :math:`(\sum w)^2 / \sum w^2`; its share
in N is the dilution. With w the ratio of the densities p of the full and q of the fast simulation,

.. math:: \langle w \rangle_q = \int_{q > 0} p , \qquad
          \int \min(p, q) = \langle \min(1, w) \rangle_q = \langle \min(1, 1/w) \rangle_p .

The former is 1 less what of p lies where q has nothing: no weight makes up for that. The latter is
the overlap, 1 for equal and 0 for disjoint distributions.
"""

__all__ = ["FAINT", "HEAVY", "Dilution", "overlap"]

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from caloforge.metrics.resampling import effective_size

FAINT, HEAVY = 0.1, 2.0
"""Weights below the one and above the other single out the showers of which the fast simulation
makes too many and too few (arXiv:2305.16774).
"""


@dataclass(frozen=True)
class Dilution:
    """What the weights of a sample make of it.

    Arguments:
        showers: The number of showers.
        effective: The effective number of showers.
        mean: The mean weight.
        largest: The largest weight.
        faint: How many showers weigh less than `FAINT`.
        heavy: How many weigh more than `HEAVY`.
    """

    showers: int
    effective: float
    mean: float
    largest: float
    faint: int
    heavy: int

    @classmethod
    def of(cls, weights: Real[np.ndarray, " showers"]) -> "Dilution":
        """The dilution of weights, finite and at least 0; of none, of all 0, all is 0."""
        w = np.asarray(weights, dtype=np.float64)
        if not w.any():
            return cls(len(w), 0.0, 0.0, 0.0, len(w), 0)
        faint, heavy = int((w < FAINT).sum()), int((w > HEAVY).sum())
        return cls(len(w), effective_size(w), float(w.mean()), float(w.max()), faint, heavy)

    @property
    def share(self) -> float:
        """The effective size over the number of showers, in [0, 1]."""
        return self.effective / max(self.showers, 1)

    @property
    def covered(self) -> float:
        """How much of the full simulation lies where the fast one has showers, at most 1: the mean
        weight.
        """
        return min(self.mean, 1.0)

    def __str__(self) -> str:
        return (
            f"effective size {self.effective:,.0f} of {self.showers:,} ({self.share:.2%}), mean "
            f"weight {self.mean:.3g}, largest {self.largest:.3g}; {self.faint:,} below {FAINT:g}, "
            f"{self.heavy:,} above {HEAVY:g}"
        )


def overlap(full: Float[np.ndarray, " n"], fast: Float[np.ndarray, " m"]) -> float:
    """The overlap of two samples, the mean of its two estimates.

    Arguments:
        full: The logarithms of the ratio of densities for showers of the full simulation.
        fast: Those for showers of the fast simulation.
    """
    within = (np.exp(np.minimum(s, 0.0)).mean() for s in (-full, fast))
    return float(sum(within) / 2)
