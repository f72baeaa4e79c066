"""AllShowers (arXiv:2601.11716): numbers of points in all layers by PointCountFM, then points that
attend to those nearby.

- `LayerNumbersStage`: energies and numbers of hits of the layers at once, by flow matching.
"""

__all__ = ["LayerNumbersStage"]

from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import ENERGY_ALONE, Beam
from caloforge.models import STAGES
from caloforge.models.number_flow import LayerNumbersRecipe
from caloforge.models.number_flow import LayerNumbersStage as _Stage


@STAGES.register("layer-numbers", LayerNumbersRecipe)
class LayerNumbersStage(_Stage):
    """Energies and numbers of hits, all at once."""

    def __init__(
        self, calorimeter: Calorimeter, recipe: LayerNumbersRecipe, beam: Beam = ENERGY_ALONE
    ) -> None:
        super().__init__(calorimeter, recipe, beam)
