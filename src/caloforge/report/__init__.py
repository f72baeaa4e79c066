"""What an evaluation found, shown: words, tables, figures, plain numbers, and one page.

`summary` is a dozen lines of text, `table` has all numbers, `verdict` says what they mean, and
`write` makes the report on disk; `plot_observable` and `plot_distances` draw into axes of yours.
Everything shown comes from the records of `caloforge.evaluation`.
"""

__all__ = [
    "COLUMNS",
    "Format",
    "plot_distances",
    "plot_observable",
    "remarks",
    "require_free",
    "summary",
    "table",
    "title",
    "verdict",
    "write",
]

from caloforge.report.drawing import Format
from caloforge.report.figures import plot_distances
from caloforge.report.observable_figures import plot_observable
from caloforge.report.page import require_free, write
from caloforge.report.summary import summary
from caloforge.report.tables import COLUMNS, table
from caloforge.report.words import remarks, title, verdict
