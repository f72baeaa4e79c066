"""Figures of the classifiers: ROC curves, the distribution of the weights w = C / (1 - C), and how
well C is calibrated.
"""

__all__ = ["classifier_drawings"]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from caloforge.evaluation.findings import Evaluation, Separation
from caloforge.report.drawing import INK, Drawing, Group, band, colour, dash, legend, literal, steps
from caloforge.report.words import title


@dataclass(frozen=True)
class _Line:
    """A candidate, by its place among all candidates, and what the classifier found."""

    k: int
    name: str
    separation: Separation


def classifier_drawings(evaluation: Evaluation) -> Iterator[Drawing]:
    """One figure a classifier, with every candidate."""
    names = dict.fromkeys(name for of in evaluation.classifiers.values() for name in of)
    for name in names:
        seen = {c: of[name] for c, of in evaluation.classifiers.items() if name in of}
        yield _classifier(evaluation, name, seen)


def _classifier(evaluation: Evaluation, name: str, seen: Mapping[str, Separation]) -> Drawing:
    figure = Figure(figsize=(10.4, 3.9))
    roc, weights, calibration = figure.subplots(1, 3, width_ratios=(1, 1.35, 1))
    figure.subplots_adjust(left=0.06, right=0.985, bottom=0.14, top=0.86, wspace=0.24)
    lines = [
        _Line(k, c.name, seen[c.name])
        for k, c in enumerate(evaluation.candidates)
        if c.name in seen
    ]
    _roc(roc, lines, evaluation.full.name)
    _weights(weights, lines)
    _calibration(calibration, lines, evaluation.full.name)
    heading = lines[0].separation.title[:1].upper() + lines[0].separation.title[1:]
    figure.suptitle(literal(f"{heading}: {title(evaluation)}"), x=0.06, ha="left", fontsize=10)
    return Drawing(
        f"classifier_{_key(name)}",
        _caption(heading, evaluation.full.name),
        figure,
        Group.CLASSIFIERS,
        wide=True,
    )


def _caption(heading: str, full: str) -> str:
    return (
        f"{heading}. Left: share of {full} above a score against the share of the candidate above "
        "it; the diagonal is chance, "
        "the band the spread of the trainings. Middle: the weights w = C/(1-C) of the "
        "candidate's showers (lines) and of those "
        f"of {full} (filled): a candidate's shower far to the left has hardly a counterpart in "
        f"{full}, one of {full} far to the "
        "right hardly one in the candidate. Right: how often C is right (crosses: before "
        "calibration)."
    )


def _key(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.lower())


def _roc(ax: Axes, lines: Sequence[_Line], full: str) -> None:
    _diagonal(ax)
    for line in lines:
        roc, auc = line.separation.roc, line.separation.auc
        low, high = roc.true_positive - roc.spread, roc.true_positive + roc.spread
        ax.fill_between(roc.false_positive, low, high, color=colour(line.k), alpha=0.3, lw=0)
        label = f"{literal(line.name)}: {auc.value:.3f} ± {auc.error:.3f}"
        ax.plot(
            roc.false_positive,
            roc.true_positive,
            color=colour(line.k),
            ls=dash(line.k),
            label=label,
        )
    ax.set(xlabel="share of the candidate", ylabel=f"share of {literal(full)}")
    ax.legend(loc="lower right", title="AUC", alignment="left")


def _weights(ax: Axes, lines: Sequence[_Line]) -> None:
    found = [line.separation.weights_histogram() for line in lines]
    for line, w in zip(lines, found, strict=True):
        band(ax, w.edges, np.zeros_like(w.full), w.full, shade=colour(line.k), alpha=0.25)
        steps(
            ax,
            w.edges,
            w.candidate,
            color=colour(line.k),
            ls=dash(line.k),
            label=literal(line.name),
        )
        band(
            ax,
            w.edges,
            w.candidate - w.candidate_error,
            w.candidate + w.candidate_error,
            shade=colour(line.k),
        )
    reach = max(w.edges[-1] for w in found)
    top = max(float(max(w.full.max(), w.candidate.max())) for w in found)
    ax.axvline(0, color=INK, lw=0.8)
    ax.set(
        xlabel="log10 w",
        ylabel="share of showers",
        xlim=(-reach, reach),
        ylim=(0, top / (1 - 0.09 * (len(lines) + 1))),
    )
    legend(ax)


def _calibration(ax: Axes, lines: Sequence[_Line], full: str) -> None:
    _diagonal(ax)
    for line in lines:
        before, after = line.separation.before, line.separation.after
        ax.plot(before.predicted, before.observed, "x", ms=4, color=colour(line.k), alpha=0.6)
        ax.plot(
            after.predicted, after.observed, "o", ms=4, ls=dash(line.k), lw=1, color=colour(line.k)
        )
    ax.set(xlabel="C", ylabel=f"share of {literal(full)}")


def _diagonal(ax: Axes) -> None:
    ax.plot([0, 1], [0, 1], color=INK, lw=0.8)
    ax.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
