"""The bins of energy, polar angle and species in words and as a table, the worst first."""

__all__ = ["BIN_COLUMNS", "BinRow", "bin_name", "bin_rows", "worst_bin", "worst_bins"]

from collections.abc import Iterator
from dataclasses import dataclass, replace

from caloforge.evaluation.findings import Bin, Evaluation, Sample
from caloforge.evaluation.significance import Significance, significance_of_bin, worst_of_bin
from caloforge.particles import name_of
from caloforge.report.tables import number, with_error
from caloforge.units import deg, format_energy

BIN_COLUMNS = ("candidate", "bin", "showers", "largest distance [std]", "of", "x floor", "AUC")


@dataclass(frozen=True)
class BinRow:
    """One bin of a candidate, as text.

    Arguments:
        cells: The text in the order of `BIN_COLUMNS`.
        significance: How the bin compares with its floors.
    """

    cells: tuple[str, ...]
    significance: Significance


def bin_rows(evaluation: Evaluation) -> list[BinRow]:
    """The bins of all candidates."""
    return [
        _row(evaluation, candidate, one)
        for candidate in evaluation.candidates
        for one in evaluation.bins.get(candidate.name, ())
    ]


def bin_name(one: Bin) -> str:
    """A bin in words.

    Example:
        >>> bin_name(Bin("angle", 0.0, 0.3491, 500, 500, {}, {}, {}, 1))
        'polar angle 0° to 20°'
    """
    if one.of == "species":
        return name_of(int(one.low))
    if one.of == "angle":
        ends = [f"{float(f'{end / deg:.3g}'):g}°" for end in (one.low, one.high)]
        return f"polar angle {' to '.join(dict.fromkeys(ends))}"
    ends = [format_energy(float(f"{end:.3g}")) for end in (one.low, one.high)]
    return " to ".join(dict.fromkeys(ends))


def worst_bins(evaluation: Evaluation) -> str:
    """The worst bin of each candidate in one line; nothing where none is known."""
    found = [
        f"{candidate.name} {worst}"
        for candidate in evaluation.candidates
        if (worst := worst_bin(evaluation, candidate))
    ]
    return f"Worst bins: {'; '.join(found)}." if found else ""


def worst_bin(evaluation: Evaluation, candidate: Sample) -> str:
    """The worst bin of a candidate, and how bad it is; nothing where none is known."""
    known = evaluation.bins.get(candidate.name, ())
    if not known:
        return ""
    one = known[0]
    if significance_of_bin(one) is Significance.FLOOR:
        return "none beyond the floor"
    if significance_of_bin(replace(one, aucs={})) is Significance.FLOOR:
        return f"{bin_name(one)}, AUC of the {', '.join(_aucs(evaluation, one))}"
    name, score = worst_of_bin(one)
    return f"{bin_name(one)}, {number(score.ratio_to_floor)} floors ({_titles(evaluation)[name]})"


def _row(evaluation: Evaluation, candidate: Sample, one: Bin) -> BinRow:
    name, score = worst_of_bin(one)
    few, many = sorted((one.n_full, one.n_candidate))
    cells = (
        candidate.name,
        bin_name(one),
        f"{few:,}" if few == many else f"{few:,} to {many:,}",
        with_error(score.value, score.error),
        _titles(evaluation)[name],
        number(score.ratio_to_floor),
        ", ".join(_aucs(evaluation, one)),
    )
    return BinRow(cells, significance_of_bin(one))


def _titles(evaluation: Evaluation) -> dict[str, str]:
    return {o.name: o.title for o in evaluation.observables}


def _aucs(evaluation: Evaluation, one: Bin) -> Iterator[str]:
    for classifier in evaluation.settings.classifiers:
        if classifier.name in one.aucs:
            auc = one.aucs[classifier.name]
            yield f"{classifier.title} {with_error(auc.value, auc.error)}"
