"""How far samples of showers are from the full simulation, each number with its error and beside
its floor.

`evaluate` compares any number of candidates with the full simulation and gives an `Evaluation`.
Beside it, `caloforge.evaluation.ranking` places a candidate among the published results of a
benchmark, and `caloforge.evaluation.significance` says how a number compares with its floor.
`caloforge.report` shows an evaluation.
"""

__all__ = ["Evaluation", "Settings", "evaluate"]

from caloforge.evaluation.evaluation import evaluate
from caloforge.evaluation.findings import Evaluation, Settings
