"""The evaluation in a dozen lines of text: what a terminal or a README has room for."""

__all__ = ["SUMMARISED", "summary"]

from collections.abc import Iterator

from caloforge.evaluation.findings import Evaluation, Sample
from caloforge.evaluation.significance import CLOSE, Significance, significance_of
from caloforge.report.bin_tables import worst_bins
from caloforge.report.tables import Row, number, rows
from caloforge.report.words import doubtful, largest, remarks, title

SUMMARISED = ("energy_sum", "response", "cell_energy_log", "n_hits", "layer_energies", "profile_r")
"""The observables of a summary, as far as the evaluation has them."""


def summary(evaluation: Evaluation) -> list[str]:
    """What was compared, the chosen distances and the AUC of each candidate beside the floor, the
    times, one sentence for each candidate, and the worst bins of energy, angle and species.
    """
    lines = [f"{title(evaluation)}, {_sizes(evaluation)}", *_table(evaluation)]
    lines += _times(evaluation)
    lines += [_sentence(evaluation, candidate) for candidate in evaluation.candidates]
    lines += [line for line in (worst_bins(evaluation),) if line]
    notes = len(remarks(evaluation))
    return [*lines, *([f"The page has {notes} remarks on these numbers."] if notes else [])]


def _sizes(evaluation: Evaluation) -> str:
    sizes = [len(sample) for sample in evaluation.samples]
    few, many = min(sizes), max(sizes)
    return f"{few:,} of each sample" if few == many else f"{few:,} to {many:,} of a sample"


def _table(evaluation: Evaluation) -> list[str]:
    """One line a quantity: the value for each candidate, and the floor of the first."""
    names = [candidate.name for candidate in evaluation.candidates]
    cells = [[f"distance to {evaluation.full.name}", *names, "floor"]]
    cells += [
        [group[0].observable, *(row.distance for row in group), group[0].floor]
        for group in _chosen(evaluation)
    ]
    cells += _aucs(evaluation)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"{title:<{widths[0]}}"
        + "".join(f"{cell:>{width + 2}}" for cell, width in zip(values, widths[1:], strict=True))
        for title, *values in cells
    ]


def _chosen(evaluation: Evaluation) -> Iterator[list[Row]]:
    """The rows of all candidates for each observable of the summary."""
    chosen = {o.title for o in evaluation.observables if o.name in SUMMARISED}
    by_title: dict[str, list[Row]] = {}
    for row in rows(evaluation):
        by_title.setdefault(row.observable, []).append(row)
    for heading, group in by_title.items():
        if heading.split(" [")[0] in chosen:
            yield group


def _aucs(evaluation: Evaluation) -> Iterator[list[str]]:
    """The AUC of each classifier that saw some candidate, and what chance gives."""
    for one in evaluation.settings.classifiers:
        found = [evaluation.classifiers[c.name].get(one.name) for c in evaluation.candidates]
        known = [separation.auc for separation in found if separation is not None]
        if known:
            shown = [f"{s.auc.value:.3f} ± {s.auc.error:.3f}" if s else "" for s in found]
            yield [
                f"AUC, {one.title}",
                *shown,
                f"{known[0].floor:.3f} ± {known[0].floor_error:.3f}",
            ]


def _times(evaluation: Evaluation) -> list[str]:
    if not evaluation.times:
        return []
    full, last = evaluation.times.get(evaluation.full.name), [*evaluation.times.values()][-1]
    parts = ", ".join(f"{stage} {time:.3g}" for stage, time in evaluation.times.items())
    faster = f": {full / last:,.0f} x faster" if full and last < full else ""
    return [f"ms a shower: {parts}{faster}"]


def _sentence(evaluation: Evaluation, candidate: Sample) -> str:
    """How many distances are at the floor, and which is the largest."""
    known = evaluation.comparisons[candidate.name]
    doubt = doubtful(evaluation, candidate)
    start = f"{candidate.name}: {doubt} Of" if doubt else f"{candidate.name}: of"
    if not known:
        return f"{candidate.name}: {doubt or 'nothing could be compared.'}"
    levels = [significance_of(comparison) for comparison in known.values()]
    words = {
        Significance.FLOOR: "at the floor",
        Significance.CLOSE: f"within {CLOSE:g} floors",
        Significance.FAR: "beyond",
    }
    counts = [f"{levels.count(x)} {text}" for x, text in words.items() if x in levels]
    what, ratio = largest(evaluation, candidate)
    return (
        f"{start} {len(levels)} distances, {', '.join(counts)}; the largest is {number(ratio)} "
        f"floors ({what})."
    )
