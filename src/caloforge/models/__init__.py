"""The framework of models: what a published system is assembled in, trained, saved and read by.

A *system* is a kind of model: a `Bridge` carries showers of one simulator to the distribution of
another, a `Surrogate` makes showers from particles in two `Stage`s. Systems and stages are known by
name (`STAGES`, `SYSTEMS`); those of the package lie in `caloforge.systems`, one file a paper. A
*recipe* names a system and gives every setting of its training: `load_recipe` reads one, `train`
runs it, `load` reads back what it made.
"""

__all__ = [
    "STAGES",
    "SYSTEMS",
    "Bridge",
    "Card",
    "EnergyStage",
    "FullShowers",
    "InDetector",
    "LearnedRefiner",
    "Model",
    "Plan",
    "Recipe",
    "ShapeStage",
    "Stage",
    "StageRecipe",
    "Start",
    "Surrogate",
    "SurrogateRecipe",
    "TrainingShowers",
    "Tuning",
    "explained",
    "load",
    "load_recipe",
    "recipe_from",
    "recipe_names",
    "recipe_of",
    "train",
]

from caloforge.models.bridge import Bridge
from caloforge.models.card import Card
from caloforge.models.fine_tuning import Start, Tuning
from caloforge.models.in_detector import InDetector
from caloforge.models.learned_refiner import LearnedRefiner
from caloforge.models.lifecycle import load, train
from caloforge.models.model import Model, Plan
from caloforge.models.recipes import (
    Recipe,
    explained,
    load_recipe,
    recipe_from,
    recipe_names,
    recipe_of,
)
from caloforge.models.registry import STAGES, SYSTEMS
from caloforge.models.stages import EnergyStage, ShapeStage, Stage, StageRecipe
from caloforge.models.surrogate import Surrogate, SurrogateRecipe
from caloforge.models.training_data import FullShowers, TrainingShowers
