"""The number that every metric gives: a value, its error, and the floor below which nothing can be
resolved.
"""

__all__ = ["Score"]

import math
from dataclasses import dataclass

SIGMAS = 3.0
"""A value within so many standard deviations of its floor cannot be told from it."""


@dataclass(frozen=True)
class Score:
    """How far a candidate is from the full simulation, by one statistic that is 0 or least for
    equal distributions.

    Arguments:
        value: The statistic between the two samples.
        error: Its standard deviation over bootstrap replicas of both samples.
        floor: The expected statistic between two independent samples of the full simulation of
            these sizes.
        floor_error: The standard deviation of *one* such statistic.
    """

    value: float
    error: float
    floor: float
    floor_error: float

    @property
    def ratio_to_floor(self) -> float:
        """The value in units of the floor; 1 if both are 0, infinite if only the floor is."""
        if self.floor > 0:
            return self.value / self.floor
        return 1.0 if self.value == 0 else math.inf

    @property
    def excess(self) -> float:
        """The value less the floor: what is left of it when the noise of two finite samples is
        subtracted.
        """
        return self.value - self.floor

    @property
    def resolved(self) -> bool:
        """Whether the value exceeds what two samples of the full simulation show by chance."""
        return self.value > self.floor + SIGMAS * self.floor_error
