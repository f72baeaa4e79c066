r"""CaloGAN (M. Paganini, L. de Oliveira, B. Nachman, arXiv:1712.10321): layers of different shape.

The generator has a branch a layer, and attention from each layer to the one behind it; the critic
is the classifier of a GAN, with minibatch features (`caloforge.learn.networks.layered_images`).
Beside its loss against the critic the generator minimises
:math:`\lambda_E \langle |S - E| \rangle`, S the energy of a shower.

Energies are in hundredths of the largest of the training, E_+: GeV where that is 100 GeV, as
published. A sampling calorimeter sees a part f of the energy: S is the sum of the deposits over the
mean f of the training, which in the published calorimeter is nearly 1.
"""

__all__ = ["CaloganRecipe", "CaloganStage"]

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition
from caloforge.learn.networks import LayeredCritic, LayeredGenerator
from caloforge.learn.noise import Noise
from caloforge.learn.processes import CrossEntropy
from caloforge.models import STAGES, StageRecipe
from caloforge.models.recipes import Width
from caloforge.models.whole_shower import AdversarialStage, DuelRecipe, Sight
from caloforge.observables import response
from caloforge.showers import Showers

_LARGEST = 100.0

_CELLS = 5_000
"""The networks have thousands of weights a cell."""


@dataclass(frozen=True)
class CaloganRecipe(StageRecipe):
    """Settings of a `CaloganStage`.

    Arguments:
        latent: Numbers of the generator's noise, normal.
        constraint: The weight of the energy that is off.
        duel: The training of generator and critic.
    """

    latent: Width
    constraint: NonNegativeFloat
    duel: DuelRecipe


@STAGES.register("calogan", CaloganRecipe)
class CaloganStage(AdversarialStage):
    """Whole showers of layers that are divided in different ways.

    Arguments:
        calorimeter: Where the cells are.
        recipe: The settings.
        beam: In what the particles differ beside their energy.

    Raises:
        GeometryError: Its cells are irregular, or more than 5,000.
    """

    unit: Tensor

    def __init__(
        self, calorimeter: Calorimeter, recipe: CaloganRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        shapes = _shapes(calorimeter)
        generator = LayeredGenerator(shapes, recipe.latent, beam.width)
        critic, sight = LayeredCritic(shapes, beam.width), Sight(None, relative=False)
        duel = recipe.duel
        super().__init__(calorimeter, generator, critic, CrossEntropy(), duel, sight, beam)
        self.latent, self.constraint = recipe.latent, recipe.constraint
        self.register_buffer("unit", torch.ones(()))

    def prepare(self, showers: Showers) -> None:
        """Take the largest energy and the mean response, too."""
        super().prepare(showers)
        self.unit.copy_(self.sight.most / _LARGEST * response(showers).mean())

    def noise(self) -> Mapping[str, Noise]:
        """Normal numbers."""
        return {"latent": Noise("normal", (self.latent,))}

    def features(self, condition: Condition) -> Float[Tensor, "showers features"]:
        """The part of the largest energy, in the place of its logarithm."""
        part = condition.incident_energies[:, None] / self.sight.most
        return torch.cat([part.float(), super().features(condition)[:, 1:]], dim=1)

    def seen(self, showers: Showers) -> Float[Tensor, "showers cells"]:
        """The deposits in units of the energy."""
        return super().seen(showers) / self.unit

    def extra_loss(
        self,
        made: Float[Tensor, "showers cells"],
        true: Float[Tensor, "showers cells"],
        condition: Condition,
    ) -> Float[Tensor, ""]:
        """The energy that is off."""
        del true
        asked = _LARGEST * self.features(condition)[:, 0]
        return self.constraint * (made.sum(dim=1) - asked).abs().mean()

    def sample(
        self, condition: Condition, noise: Mapping[str, Tensor]
    ) -> Float[Tensor, "showers cells"]:
        """The deposits, in MeV."""
        made = self.made(condition, noise)[:, self._places] * self.unit
        return self.sight.decode(made, condition)


def _shapes(calorimeter: Calorimeter) -> list[tuple[int, int]]:
    """Rows and columns of each layer."""
    if not calorimeter.divisions:
        msg = (
            f"calorimeter '{calorimeter.name}' has irregular cells, a CaloGAN needs rows and "
            "columns in each layer"
        )
        raise GeometryError(msg)
    if calorimeter.n_cells > _CELLS:
        msg = (
            f"calorimeter '{calorimeter.name}' has {calorimeter.n_cells:,} cells, each of which "
            f"takes thousands of weights in a CaloGAN: expected at most {_CELLS:,}"
        )
        raise GeometryError(msg)
    return [(rows, columns) for columns, rows in (one.number for one in calorimeter.divisions)]
