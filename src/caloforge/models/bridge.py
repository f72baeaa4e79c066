"""A bridge is a learned refiner: it carries showers of one simulator to the distribution of
another.
"""

__all__ = ["Bridge"]

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge import streams
from caloforge.errors import ModelError
from caloforge.learn.noise import Noise, Numbers
from caloforge.learn.representations import shower_sums
from caloforge.models.learned_refiner import LearnedRefiner, Part
from caloforge.showers import Showers
from caloforge.simulators.protocols import Progress, silent


class Bridge(LearnedRefiner):
    """Carries showers of one simulator to the distribution of another, and back.

    Arguments:
        card: What the model is.
    """

    default_steps: int
    any_steps = True
    """Whether it can take other numbers of steps than its own."""

    streams: ClassVar[Mapping[str, int]]
    """The stream of each kind of noise."""

    @abstractmethod
    def noise(self) -> Mapping[str, Noise]:
        """The random numbers that it takes to refine a shower."""

    @abstractmethod
    def transport(
        self, showers: Showers, noise: Numbers, *, steps: int, reverse: bool
    ) -> Float[Tensor, "showers cells"]:
        """Refined deposits, in MeV: a function of the arguments alone.

        Arguments:
            showers: The showers.
            noise: The random numbers that `noise` asks for.
            steps: How many steps the process takes.
            reverse: From full to fast simulation.
        """

    def refine(
        self,
        showers: Showers,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
        steps: int | None = None,
        reverse: bool = False,
        strict: bool = False,
    ) -> Showers:
        """Refine showers; each depends on itself, the seed and its index alone, whatever the batch.

        Arguments:
            showers: Showers of the model's calorimeter.
            seed: The seed of the run.
            first_index: The number of the first shower in the run.
            progress: Given the number of showers just finished.
            steps: How many steps the process takes; None for the model's own.
            reverse: From full to fast simulation.
            strict: Raise, instead of warn, for energies outside the model's range.

        Returns:
            As many showers, of the same particles, on the device of the model.

        Raises:
            GeometryMismatchError: The showers are of another calorimeter.
            EnergyRangeError: An energy is outside the range, and ``strict``.
            ModelError: The number of steps is not one that the model can take, or a deposit is not
                finite.
            ShowerValueError: A shower has no energy, or its particle is another than those of the
                training: another species, at an angle, or off centre.
        """
        self.calorimeter.require(showers.calorimeter, "a sample to refine")
        self.require(showers.particles, first_index, strict=strict)
        steps = self._checked_steps(steps)
        parts = []
        for part in self.parts(showers, first_index):
            shower_sums(part.showers.deposits[: part.number], part.first)
            parts.append(self._refine_some(part, seed, steps, reverse=reverse))
            progress(part.number)
        refined = torch.cat(parts) if parts else showers.deposits
        return replace(showers, deposits=refined, threshold=None)

    def _refine_some(self, part: Part, seed: int, steps: int, *, reverse: bool) -> Tensor:
        device, padded = part.showers.energies.device, part.showers
        index = torch.arange(part.first, part.first + len(padded), device=device)
        with torch.inference_mode():
            noise = {
                name: part.at(streams.keys(seed, index, self.streams[name]))
                for name, part in self.noise().items()
            }
            deposits = self.transport(padded, noise, steps=steps, reverse=reverse)
        return self.finite(deposits[: part.number].clone(), part.first)

    def _checked_steps(self, steps: int | None) -> int:
        if steps is not None and steps < 1:
            msg = (
                f"{steps} steps asked of model '{self.card.name}', expected at least 1 (its own "
                f"are {self.default_steps})"
            )
            raise ModelError(msg)
        if not self.any_steps and steps not in (None, self.default_steps):
            msg = (
                f"{steps} steps asked of model '{self.card.name}': it takes the "
                f"{self.default_steps} that it was trained with"
            )
            raise ModelError(msg)
        return self.default_steps if steps is None else steps
