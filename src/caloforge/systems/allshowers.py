"""AllShowers (arXiv:2601.11716): numbers of points in all layers by PointCountFM, then points that
attend to those nearby.

- `LayerNumbersStage`: energies and numbers of hits of the layers at once, by flow matching.
"""

__all__ = ["LayerNumbersStage"]

from caloforge.models import STAGES
from caloforge.models.number_flow import LayerNumbersRecipe
from caloforge.models.number_flow import LayerNumbersStage as _Stage


@STAGES.register("layer-numbers", LayerNumbersRecipe)
class LayerNumbersStage(_Stage):
    """Energies and numbers of hits, all at once."""
