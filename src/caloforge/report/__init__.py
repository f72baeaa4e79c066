"""How far samples of showers are from the full simulation: numbers, words, figures and one page.

`evaluate` judges any number of candidates, `table` gives the numbers as text, `verdict` says what
they mean, and `write` makes the report on disk. `PRESETS` are the community's benchmarks.
"""

__all__ = [
    "COLUMNS",
    "PRESETS",
    "Evaluation",
    "Preset",
    "Settings",
    "evaluate",
    "remarks",
    "require_free",
    "table",
    "title",
    "verdict",
    "write",
]

from caloforge.report.evaluation import evaluate
from caloforge.report.page import require_free, write
from caloforge.report.presets import PRESETS, Preset
from caloforge.report.records import Evaluation, Settings
from caloforge.report.tables import COLUMNS, table
from caloforge.report.words import remarks, title, verdict
