"""The two samples that a refiner is trained on."""

__all__ = ["TrainingShowers"]

from dataclasses import dataclass

import torch

from caloforge.errors import TrainingError
from caloforge.showers import Showers

_FEWEST = 200


@dataclass(frozen=True)
class TrainingShowers:
    """Full and fast showers of the same calorimeter, of like incident energies.

    Arguments:
        full: Showers of the full simulation.
        fast: Showers of the fast simulation.

    Raises:
        GeometryMismatchError: The calorimeters differ.
        TrainingError: There are fewer than 200 showers on a side, or the energy ranges of the sides do not overlap.
    """

    full: Showers
    fast: Showers

    def __post_init__(self) -> None:
        self.full.calorimeter.require(self.fast.calorimeter, "the fast sample")
        for name, showers in (("full", self.full), ("fast", self.fast)):
            if len(showers) < _FEWEST:
                msg = f"the {name} sample has {len(showers)} showers, expected at least {_FEWEST} to train on"
                raise TrainingError(msg)
        low, high = self.energy_range
        if low > high:
            msg = "the incident energies of the full and the fast sample do not overlap: simulate the fast sample 'like' the full one"
            raise TrainingError(msg)

    @property
    def energy_range(self) -> tuple[float, float]:
        """The lowest and the highest incident energy that both sides have, in MeV."""
        low = max(float(s.energies.min()) for s in (self.full, self.fast))
        high = min(float(s.energies.max()) for s in (self.full, self.fast))
        return low, high

    def split(self, held: int, seed: int) -> tuple["TrainingShowers", "TrainingShowers"]:
        """Set showers of both sides apart at random.

        Arguments:
            held: How many to hold out, at most a third of either side.
            seed: The seed of the choice.

        Returns:
            The showers to train on, and those held out.
        """
        parts = []
        for showers in (self.full, self.fast):
            order = torch.randperm(len(showers), generator=torch.Generator().manual_seed(seed))
            cut = min(held, len(showers) // 3)
            parts.append((showers[order[cut:]], showers[order[:cut]]))
        (full, full_held), (fast, fast_held) = parts
        return _unchecked(full, fast), _unchecked(full_held, fast_held)

    def by_energy(self) -> "TrainingShowers":
        """Both sides in the order of incident energy."""
        return _unchecked(*(s[s.energies.argsort(stable=True)] for s in (self.full, self.fast)))


def _unchecked(full: Showers, fast: Showers) -> TrainingShowers:
    pair = object.__new__(TrainingShowers)
    object.__setattr__(pair, "full", full)
    object.__setattr__(pair, "fast", fast)
    return pair
