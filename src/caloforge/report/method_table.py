"""Methods side by side as a table: how true, how many showers' worth, how fast, how dear."""

__all__ = ["METHOD_COLUMNS", "method_rows", "method_text"]

from collections.abc import Iterator, Mapping

from caloforge.evaluation.findings import Evaluation
from caloforge.evaluation.methods import Made, concordance_of_hits
from caloforge.observables import ENERGY_SUM, LOG_SPECTRUM, N_HITS
from caloforge.report.tables import number
from caloforge.report.words import largest

METHOD_COLUMNS = (
    *("method", "AUC high", "AUC cells", "E_sum", "hits", "spectrum", "worst"),
    *("effective", "concordance", "ms", "speed-up", "training"),
)
"""Distances are in floors; the concordance is that of the hits of pairs of one particle."""

_OBSERVABLES = (ENERGY_SUM, N_HITS, LOG_SPECTRUM)


def method_rows(
    evaluation: Evaluation, made: Mapping[str, Made], full_time: float | None
) -> Iterator[tuple[str, ...]]:
    """The cells of a row for each method, in the order of `METHOD_COLUMNS`.

    Arguments:
        evaluation: The methods against the full simulation.
        made: How they were made, by name.
        full_time: What a shower of the full simulation took, in ms; None where it is not known.
    """
    for sample in evaluation.candidates:
        one, agreement = made[sample.name], concordance_of_hits(evaluation.full, sample)
        yield (
            sample.name,
            *(_auc(evaluation, sample.name, name) for name in ("high-level", "low-level")),
            *(_floors(evaluation, sample.name, o.name) for o in _OBSERVABLES),
            number(largest(evaluation, sample)[1]) if evaluation.comparisons[sample.name] else "-",
            f"{sample.effective_size:,.0f}",
            "-" if agreement is None else f"{agreement:.3f}",
            "-" if one.milliseconds is None else f"{one.milliseconds:.3g}",
            "-" if not one.milliseconds or not full_time else f"{full_time / one.milliseconds:.3g}",
            one.training or "-",
        )


def method_text(rows: list[tuple[str, ...]]) -> str:
    """The rows as a table of Markdown."""
    lines = [METHOD_COLUMNS, ("---", *["---:"] * (len(METHOD_COLUMNS) - 1)), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _auc(evaluation: Evaluation, candidate: str, classifier: str) -> str:
    found = evaluation.classifiers.get(candidate, {}).get(classifier)
    return "-" if found is None else f"{found.auc.value:.3f} ± {found.auc.error:.3f}"


def _floors(evaluation: Evaluation, candidate: str, observable: str) -> str:
    found = evaluation.comparisons[candidate].get(observable)
    return "-" if found is None else number(found.distance.ratio_to_floor)
