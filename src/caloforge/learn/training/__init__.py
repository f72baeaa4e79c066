"""The one trainer: objectives, their players, and the loop that runs them.

An `Objective` is played by one network (`minimise`), by two (`duel`) or by several, and `run`
plays a list of them in order. A run that was interrupted resumes to the same bits.
"""

__all__ = [
    "CONSTANT",
    "Adam",
    "Constant",
    "Execution",
    "Loss",
    "Objective",
    "Pause",
    "Plateau",
    "Player",
    "Processes",
    "Progress",
    "Report",
    "Schedule",
    "Selection",
    "WarmCosine",
    "duel",
    "generator",
    "isolated",
    "minimise",
    "process_group",
    "run",
]

from caloforge.learn.training.devices import Processes, process_group
from caloforge.learn.training.loop import Progress, Report, run
from caloforge.learn.training.moves import Execution, Pause
from caloforge.learn.training.objectives import (
    Adam,
    Loss,
    Objective,
    Player,
    Selection,
    duel,
    minimise,
)
from caloforge.learn.training.randomness import generator, isolated
from caloforge.learn.training.schedules import CONSTANT, Constant, Plateau, Schedule, WarmCosine
