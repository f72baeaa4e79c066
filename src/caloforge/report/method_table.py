"""Methods side by side as a table: how true, how many showers' worth, how fast, how dear."""

__all__ = ["METHOD_COLUMNS", "method_rows", "method_text"]

from collections.abc import Iterable, Iterator, Mapping

from caloforge.evaluation.findings import Evaluation
from caloforge.evaluation.methods import Made, concordance_of_hits
from caloforge.observables import ENERGY_SUM, LOG_SPECTRUM, N_HITS
from caloforge.report.bin_tables import worst_bin
from caloforge.report.tables import number, with_error
from caloforge.report.words import energy_range, largest

METHOD_COLUMNS = (
    *("method", "AUC high", "AUC cells", "E_sum", "hits", "spectrum", "worst"),
    *("worst bin", "effective", "worth", "concordance", "ms", "speed-up", "training"),
)
"""Distances are in floors. The worth is the number of full showers that tell as much as those of
the method, by the whole-shower observable for which it is least: over all energies of the samples.
The concordance is that of the hits of pairs of one particle.
"""

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
            worst_bin(evaluation, sample) or "-",
            f"{sample.effective_size:,.0f}",
            _worth(evaluation, sample.name),
            "-" if agreement is None else f"{agreement:.3f}",
            "-" if one.milliseconds is None else f"{one.milliseconds:.3g}",
            "-" if not one.milliseconds or not full_time else f"{full_time / one.milliseconds:.3g}",
            one.training or "-",
        )


def method_text(evaluation: Evaluation, rows: Iterable[tuple[str, ...]]) -> str:
    """The rows as a table of Markdown, and what a worth in it counts."""
    lines = [METHOD_COLUMNS, ("---", *["---:"] * (len(METHOD_COLUMNS) - 1)), *rows]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    known = [one for found in evaluation.amplifications.values() for one in found.values()]
    if not known:
        return table
    return (
        f"{table}\nWorth: so many showers of {evaluation.full.name}, of "
        f"{energy_range(evaluation.full)}, know the distribution of a whole-shower observable in "
        f"{max(one.quantiles for one in known)} quantiles as well; of all such observables the "
        "least.\n"
    )


def _worth(evaluation: Evaluation, candidate: str) -> str:
    found = evaluation.amplifications.get(candidate, {}).values()
    if not found:
        return "-"
    least = min(found, key=lambda one: float(one.equivalent[-1]))
    value, error = (float(values[-1]) for values in (least.equivalent, least.equivalent_error))
    return f"> {value:,.0f}" if least.bounded[-1] else with_error(value, error)


def _auc(evaluation: Evaluation, candidate: str, classifier: str) -> str:
    found = evaluation.classifiers.get(candidate, {}).get(classifier)
    return "-" if found is None else f"{found.auc.value:.3f} ± {found.auc.error:.3f}"


def _floors(evaluation: Evaluation, candidate: str, observable: str) -> str:
    found = evaluation.comparisons[candidate].get(observable)
    return "-" if found is None else number(found.distance.ratio_to_floor)
