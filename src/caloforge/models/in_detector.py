"""A surrogate of several detectors, in one of them: a simulator of its showers.

The detector may be one that no training saw: its matter says what to expect, as far as the model
has learned that from others.
"""

__all__ = ["InDetector"]

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from caloforge.detector import Detector
from caloforge.errors import ModelError
from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers
from caloforge.models.card import InCard
from caloforge.models.recipes import recipe_of
from caloforge.models.surrogate import Surrogate, SurrogateRecipe
from caloforge.models.training_data import require_mesh
from caloforge.particles import Particles
from caloforge.simulators.protocols import Progress, Validity, silent


@dataclass(frozen=True, eq=False)
class InDetector:
    """Makes showers of one detector with a surrogate that was trained on several.

    Arguments:
        surrogate: The surrogate.
        name: The name of the detector.
        known: What is known of it.

    Raises:
        GeometryMismatchError: Its calorimeter has another mesh than the surrogate's.
        ModelError: The surrogate was not trained on several detectors.
    """

    surrogate: Surrogate
    name: str
    known: InCard

    def __post_init__(self) -> None:
        recipe = recipe_of(self.surrogate.card)
        if not (isinstance(recipe, SurrogateRecipe) and recipe.beam.detector):
            msg = (
                f"model '{self.surrogate.card.name}' makes showers of calorimeter "
                f"'{self.surrogate.calorimeter.name}' alone: leave out the detector, or train a "
                "model whose recipe says 'beam: {detector: true}'"
            )
            raise ModelError(msg)
        require_mesh(self.surrogate.calorimeter, self.calorimeter)

    @staticmethod
    def of(surrogate: Surrogate, detector: Detector) -> "InDetector":
        """In any detector of the same mesh."""
        return InDetector(surrogate, detector.name, InCard.of(detector))

    @cached_property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""
        return Calorimeter.from_description(dict(self.known.calorimeter))

    @property
    def was_trained(self) -> bool:
        """Whether the training saw showers of such a detector."""
        return any(
            one.matter == self.known.matter for one in self.surrogate.card.detectors.values()
        )

    @property
    def makes_hits(self) -> bool:
        """Whether showers are made as `Hits`."""
        return self.surrogate.makes_hits

    @property
    def validity(self) -> Validity:
        """For which particles the surrogate is made."""
        return self.surrogate.validity

    def simulate(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> AnyShowers:
        """Make one shower of each particle.

        Arguments:
            particles: The particles, on the device of the surrogate.
            seed: The seed of the run.
            first_index: The number, in the run, of the first shower.
            progress: Given the number of showers just finished.
        """
        numbers = torch.tensor(self.known.matter.numbers, device=particles.energies.device)
        entering = replace(particles, matter=numbers.expand(len(particles), -1))
        made = self.surrogate.simulate(
            entering, seed=seed, first_index=first_index, progress=progress
        )
        return replace(made, particles=particles, calorimeter=self.calorimeter)
