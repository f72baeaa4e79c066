"""The full simulation and one candidate, as read: with all that belongs to the two of them, this is
what every measurement takes.
"""

__all__ = ["Pair", "Part"]

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Real

from caloforge.evaluation.collection import Collected, Plan
from caloforge.evaluation.findings import shares_energies
from caloforge.metrics.resampling import Resampling, resampling
from caloforge.observables import Observable
from caloforge.showers import Showers

Part = Bool[np.ndarray, " _"] | slice
"""Some of the showers of a sample."""

_QUICK = 20


@dataclass(frozen=True, eq=False)
class Pair:
    """The full simulation and one candidate.

    Arguments:
        full: The full simulation, its cells counted in the resamplings.
        candidate: The candidate, likewise.
        resampling: The resamplings of both.
        plan: What was kept of them, and how to compare.
    """

    full: Collected
    candidate: Collected
    resampling: Resampling
    plan: Plan

    @property
    def name(self) -> str:
        """The name of the candidate."""
        return self.candidate.sample.name

    @property
    def shares_energies(self) -> bool:
        """Whether both samples have the same incident energies, shower by shower."""
        return shares_energies(self.full.sample, self.candidate.sample)

    def values(
        self, observable: Observable
    ) -> tuple[Real[np.ndarray, "n ..."], Real[np.ndarray, "m ..."]]:
        """The values of an observable in both samples."""
        full, candidate = (c.sample.values[observable.name] for c in (self.full, self.candidate))
        return full, candidate

    def first(self, n: int) -> tuple[Showers, Showers]:
        """The first showers of both samples, whole, at most n of each."""
        device = self.plan.settings.device
        full, candidate = (c.first[:n].to(device) for c in (self.full, self.candidate))
        return full, candidate

    def part(self, full: Part, candidate: Part) -> Resampling:
        """A few resamplings of some of the showers of each sample."""
        a, b = self.full.sample, self.candidate.sample
        return resampling(
            a.weights[full],
            b.weights[candidate],
            energies=a.energies[full] if self.shares_energies else None,
            replicas=_QUICK,
            splits=_QUICK,
            seed=self.plan.settings.seed,
        )
