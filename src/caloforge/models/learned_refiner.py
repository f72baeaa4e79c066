"""A learned refiner: other deposits, or other weights, for showers of the calorimeter and of the
particles that it was trained on. It learns from full and fast showers.
"""

__all__ = ["LearnedRefiner", "Part"]

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from caloforge.models.model import Model
from caloforge.models.training_data import TrainingShowers
from caloforge.showers import Showers
from caloforge.simulators.protocols import Progress, silent

_PADDING = 16
_AT_A_TIME = 1024


class Part(NamedTuple):
    """Showers that are refined at a time: the number of the first of them in the run, how many they
    are, and the showers, the last one repeated up to a multiple of 16.
    """

    first: int
    number: int
    showers: Showers


class LearnedRefiner(Model):
    """Makes better showers from showers.

    Arguments:
        card: What the model is.
    """

    learns_from = TrainingShowers

    @abstractmethod
    def refine(
        self,
        showers: Showers,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
        strict: bool = False,
    ) -> Showers:
        """Refine showers; each depends on itself, the seed and its index alone, whatever the batch.

        Arguments:
            showers: Showers of the model's calorimeter.
            seed: The seed of the run.
            first_index: The number of the first shower in the run.
            progress: Given the number of showers just finished.
            strict: Raise, instead of warn, for energies outside the model's range.

        Returns:
            As many showers, of the same particles, on the device of the model.

        Raises:
            GeometryMismatchError: The showers are of another calorimeter.
            EnergyRangeError: An energy is outside the range, and ``strict``.
            ModelError: A number that the model made is not finite.
            ShowerValueError: A shower has no energy, or its particle is another than those of the
                training: another species, at an angle, or off centre.
        """

    @staticmethod
    def parts(showers: Showers, first_index: int, size: int = _AT_A_TIME) -> Iterator[Part]:
        """Showers a part at a time. Matrix kernels give the same bits a row for batches that are
        multiples of 16, whatever the batch.

        Arguments:
            showers: The showers.
            first_index: The number of the first shower in the run.
            size: How many are refined at a time.
        """
        for number, some in enumerate(showers.batches(size)):
            yield Part(first_index + number * size, len(some), _padded(some))


def _padded(showers: Showers) -> Showers:
    missing = math.ceil(len(showers) / _PADDING) * _PADDING - len(showers)
    return showers if missing == 0 else Showers.cat([showers, *[showers[-1:]] * missing])
