"""The table for a paper: LaTeX, in the style of booktabs."""

__all__ = ["latex"]

from collections.abc import Iterator, Sequence
from itertools import groupby

from caloforge.evaluation.findings import Evaluation
from caloforge.report.tables import COLUMNS, Row, rows
from caloforge.report.words import title

_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}
_ALIGNED = "ll" + "r" * (len(COLUMNS) - 2)


def latex(evaluations: Sequence[Evaluation]) -> str:
    """The tables of several evaluations, each a ``tabular`` below a comment that names it; they
    need ``\\usepackage{booktabs}``.
    """
    return "\n".join(line for one in evaluations for line in _tabular(one))


def _tabular(evaluation: Evaluation) -> Iterator[str]:
    yield f"% {title(evaluation)}: distances to {evaluation.full.name}"
    yield rf"\begin{{tabular}}{{{_ALIGNED}}}"
    yield r"\toprule"
    yield _line(COLUMNS)
    for _, group in groupby(rows(evaluation), key=lambda row: row.observable):
        yield r"\midrule"
        yield from _group(list(group))
    yield r"\bottomrule"
    yield "\\end{tabular}\n"


def _group(group: Sequence[Row]) -> Iterator[str]:
    """The rows of an observable, which the first alone names."""
    for k, row in enumerate(group):
        name, *cells = row.cells
        yield _line(("" if k else name, *cells))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in " ".join(text.split()))
