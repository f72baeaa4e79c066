"""Design: the best sampling calorimeter, by gradients, checked by full showers."""

__all__ = [
    "Check",
    "Choice",
    "DesignPlan",
    "Designed",
    "FullSimulation",
    "GFlashResponse",
    "Geant4Reference",
    "Goal",
    "Grid",
    "Limits",
    "Made",
    "Measurement",
    "Network",
    "Optimum",
    "Parameter",
    "Polynomial",
    "Prices",
    "Problem",
    "Reference",
    "Response",
    "Space",
    "Way",
    "Workbench",
    "design",
    "search",
]

from caloforge.design.designing import Check, Designed, DesignPlan, FullSimulation, design
from caloforge.design.measured import (
    Geant4Reference,
    Made,
    Measurement,
    Reference,
    Workbench,
)
from caloforge.design.problem import Goal, Limits, Problem
from caloforge.design.responses import GFlashResponse, Network, Polynomial, Response
from caloforge.design.space import Choice, Parameter, Prices, Space
from caloforge.design.ways import Grid, Optimum, Way, search
