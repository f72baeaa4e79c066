"""Results that cannot be had cost themselves alone: what is missing is noted with its reason."""

__all__ = ["Gaps", "require_size"]

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from caloforge.errors import ShowerValueError
from caloforge.evaluation.findings import LEAST_SHOWERS, Sample
from caloforge.metrics.resampling import effective_size

_Result = TypeVar("_Result")


class Gaps(dict[str, str]):
    """By the name of each result that is missing the reason, in words."""

    def found(self, name: str, find: Callable[[], _Result]) -> _Result | None:
        """What ``find`` gives; None where it cannot be had, which is noted under the name."""
        try:
            return find()
        except ShowerValueError as reason:
            self[name] = str(reason)
        except (ArithmeticError, np.linalg.LinAlgError) as error:
            self[name] = f"the numbers are beyond what can be computed ({error})"
        return None


def require_size(*samples: Sample, first: int, least: int = LEAST_SHOWERS) -> None:
    """Check that samples are large enough for numbers that mean something.

    Arguments:
        samples: The samples.
        first: The showers that are looked at, from the first on.
        least: The fewest showers, of weight 1 or worth as much.

    Raises:
        ShowerValueError: One of the samples is worth less.
    """
    for sample in samples:
        weights = sample.weights[:first]
        size = effective_size(weights) if weights.any() else 0.0
        if size < least:
            worth = f", worth {size:.3g} of weight 1," if sample.weighted else ""
            msg = (
                f"{sample.name} has {len(weights)} showers{worth} for it, expected at least {least}"
            )
            raise ShowerValueError(msg)
