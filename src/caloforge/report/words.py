"""What the numbers say, in words: a title, a verdict for each candidate, and what a reader must
know before believing them.
"""

__all__ = ["energy_range", "in_floors", "plainly", "remarks", "title", "verdict"]

import math
from collections.abc import Iterator
from statistics import median

import numpy as np

from caloforge.documents import printable
from caloforge.evaluation.caveats import caveats
from caloforge.evaluation.doubts import doubts
from caloforge.evaluation.findings import (
    LEAST_SHOWERS,
    OTHERS,
    Evaluation,
    Sample,
    Slice,
    shares_energies,
)
from caloforge.evaluation.significance import CLOSE, Significance, overall, significance_of, worst
from caloforge.geometry import Calorimeter
from caloforge.particles import name_of
from caloforge.report.tables import number
from caloforge.units import format_energy

ENOUGH = 500
"""The fewest showers of a sample whose numbers need no remark."""

_OTHER_ENERGIES = 5.0


def title(evaluation: Evaluation) -> str:
    """What was compared: energies, particles, calorimeter."""
    full, preset = evaluation.full, evaluation.preset
    known = full.species or (() if preset is None else (preset.pdg,))
    names = ", ".join(name_of(pdg) for pdg in known)
    what = f"{names} showers" if names else "showers of particles of unknown species"
    return printable(f"{energy_range(full)} {what} in {full.calorimeter.name}")


def energy_range(sample: Sample) -> str:
    """The incident energy of a sample, or the range of it, to three digits."""
    low, high = (
        format_energy(float(f"{e:.3g}")) for e in (sample.energies.min(), sample.energies.max())
    )
    return low if low == high else f"{low} to {high}"


def verdict(evaluation: Evaluation, candidate: Sample) -> str:
    """The verdict on one candidate, in a few sentences."""
    parts = [
        doubtful(evaluation, candidate),
        _distances(evaluation, candidate),
        _classifiers(evaluation, candidate),
        _gain(evaluation, candidate),
    ]
    parts += [_interpolation(evaluation, candidate), _amplification(evaluation, candidate)]
    return " ".join(part for part in parts if part)


def plainly(evaluation: Evaluation, candidate: Sample) -> str:
    """The verdict on one candidate in one sentence, for who reads no more."""
    full, showers = evaluation.full.name, f"{min(len(evaluation.full), len(candidate)):,} showers"
    sentences = {
        None: f"No verdict on {candidate.name}.",
        Significance.FLOOR: f"With {showers}, nothing tells {candidate.name} from {full}.",
        Significance.CLOSE: f"{candidate.name} differs from {full}, by little everywhere.",
        Significance.FAR: f"{candidate.name} differs clearly from {full} somewhere.",
    }
    return sentences[overall(evaluation, candidate)]


def doubtful(evaluation: Evaluation, candidate: Sample) -> str:
    """What is odd about a candidate; that there is no verdict, where a doubt is grave."""
    found = doubts(evaluation, candidate)
    prefix = "No verdict. " if any(doubt.grave for doubt in found) else ""
    return prefix + " ".join(doubt.text for doubt in found)


def largest(evaluation: Evaluation, candidate: Sample) -> tuple[str, float]:
    """The worst of a candidate's distances, grouped ones by their worst label: its title, and how
    many floors it is.
    """
    _, title, ratio = max(_ratios(evaluation, candidate), key=lambda one: one[2])
    return title, ratio


def in_floors(evaluation: Evaluation, candidate: Sample) -> Iterator[tuple[str, str, float]]:
    """The name of each observable, what is said of its worst label, and how many floors it is."""
    for name, title, ratio in _ratios(evaluation, candidate):
        yield name, f"{title}, in which {candidate.name} is {number(ratio)} floors away", ratio


def _ratios(evaluation: Evaluation, candidate: Sample) -> Iterator[tuple[str, str, float]]:
    known = evaluation.comparisons[candidate.name]
    for o in (o for o in evaluation.observables if o.name in known):
        label, score = worst(known[o.name])
        yield o.name, f"{o.title}, {label}" if label else o.title, score.ratio_to_floor


def _distances(evaluation: Evaluation, candidate: Sample) -> str:
    known = evaluation.comparisons[candidate.name]
    if not known:
        return f"Nothing could be compared with {evaluation.full.name}."
    levels = [significance_of(c) for c in known.values()]
    smaller = min(len(evaluation.full), len(candidate))
    words = {
        Significance.FLOOR: f"not resolvable with {smaller:,} showers (at the floor)",
        Significance.CLOSE: f"at most {CLOSE:g} floors",
        Significance.FAR: f"more than {CLOSE:g} floors",
    }
    counts = [
        f"{levels.count(x)} of {len(levels)} {text}" for x, text in words.items() if x in levels
    ]
    what, ratio = largest(evaluation, candidate)
    return (
        f"Distances to {evaluation.full.name}: {', '.join(counts)}; the largest is "
        f"{number(ratio)} floors ({what})."
    )


def _classifiers(evaluation: Evaluation, candidate: Sample) -> str:
    separations = evaluation.classifiers[candidate.name]
    named = [
        (one.title, separations[one.name].auc)
        for one in evaluation.settings.classifiers
        if one.name in separations
    ]
    if not named:
        return ""
    found = ", ".join(f"{title} {auc.value:.3f} ± {auc.error:.3f}" for title, auc in named)
    return f"Classifiers reach AUC (chance: 0.5): {found}."


def _gain(evaluation: Evaluation, candidate: Sample) -> str:
    first = evaluation.candidates[0]
    gains = [g for o in evaluation.observables if (g := evaluation.gain(candidate, o)) is not None]
    if candidate is first or not gains:
        return ""
    return (
        f"It is closer than {first.name} by factors of {number(min(gains))} to "
        f"{number(max(gains))} "
        f"(median {number(median(gains))})."
    )


def _interpolation(evaluation: Evaluation, candidate: Sample) -> str:
    slices = evaluation.slices[candidate.name]
    inside, outside = (
        [_floors(s) for s in slices if s.left_out is without] for without in (True, False)
    )
    if not inside:
        return ""
    beside = f", against {number(median(outside))} at the other energies" if outside else ""
    found = f"{number(median(inside))} floors in the median{beside}"
    return f"At the energies left out of its training the distances are {found}."


def _floors(one: Slice) -> float:
    return median(score.ratio_to_floor for score in one.scores.values())


def _amplification(evaluation: Evaluation, candidate: Sample) -> str:
    factors = [a.factor for a in evaluation.amplifications.get(candidate.name, {}).values()]
    if not factors:
        return ""
    return (
        f"Its {len(candidate):,} showers know the whole-shower distributions as well as "
        f"{number(min(factors))} to "
        f"{number(max(factors))} times the training sample would (median "
        f"{number(median(factors))})."
    )


def remarks(evaluation: Evaluation) -> list[str]:
    """What a reader must know before believing the numbers, one sentence each."""
    notes = [_small(s) for s in evaluation.samples if s.effective_size < ENOUGH]
    notes += [_weighted(s) for s in evaluation.samples if s.weighted]
    notes += [note for c in evaluation.candidates for note in _on_energies(evaluation.full, c)]
    notes += [
        _too_alike(evaluation, c) for c in evaluation.candidates if _keeps_energies(evaluation, c)
    ]
    notes += [
        _gap(evaluation, c, reason)
        for c in evaluation.candidates
        for reason in _reasons(evaluation, c)
    ]
    return notes + _absent(evaluation.full.calorimeter) + caveats(evaluation)


def _absent(calorimeter: Calorimeter) -> list[str]:
    """Why observables of the depth in mm are not among those compared."""
    if calorimeter.has_depth or calorimeter.n_layers == 1:
        return []
    unknown = [
        k
        for k, thickness in zip(calorimeter.layer_ids, calorimeter.thicknesses, strict=True)
        if thickness is None
    ]
    which = f"layer {unknown[0]}" if len(unknown) == 1 else f"{len(unknown)} layers"
    return [
        f"Centre and width in depth are not compared: the thickness of {which} of calorimeter "
        f"'{calorimeter.name}' is unknown. Depths are counted in layers."
    ]


def _keeps_energies(evaluation: Evaluation, candidate: Sample) -> bool:
    return candidate.name in evaluation.amplifications and shares_energies(
        evaluation.full, candidate
    )


def _too_alike(evaluation: Evaluation, candidate: Sample) -> str:
    return (
        f"{candidate.name} has the incident energies of {evaluation.full.name} shower by shower: "
        "it looks like more real showers "
        "than it is worth; generate with energies of its own to learn what it knows."
    )


def _small(sample: Sample) -> str:
    size = sample.effective_size
    chance = math.sqrt(1 / (6 * size))
    auc = f", and an AUC below {0.5 + 2 * chance:.2f}" if size >= LEAST_SHOWERS else ""
    worth = f", worth {size:.3g}" if sample.weighted else ""
    return (
        f"{sample.name} has only {len(sample):,} showers{worth}: differences below the floors of "
        f"this table, anything rarer than one shower in {size:.0f}{auc} cannot be resolved."
    )


def _weighted(sample: Sample) -> str:
    size = f"{sample.effective_size:,.0f} of weight 1"
    return f"{sample.name} is weighted: its {len(sample):,} showers know as much as {size}."


def _reasons(evaluation: Evaluation, candidate: Sample) -> list[str]:
    return list(dict.fromkeys(evaluation.gaps[candidate.name].values()))


def _gap(evaluation: Evaluation, candidate: Sample, reason: str) -> str:
    named = {o.name: o.title for o in evaluation.observables}
    named |= {one.name: one.title for one in evaluation.settings.classifiers} | OTHERS
    gaps = evaluation.gaps[candidate.name]
    titles = [title for name, title in named.items() if gaps.get(name) == reason]
    return f"Not known of {candidate.name}: {', '.join(titles)}. {reason}."


def _on_energies(full: Sample, candidate: Sample) -> list[str]:
    if shares_energies(full, candidate):
        return []
    a, b = full.energies, candidate.energies
    scatter = math.hypot(np.std(a) / math.sqrt(len(a)), np.std(b) / math.sqrt(len(b)))
    if abs(a.mean() - b.mean()) > _OTHER_ENERGIES * scatter + 1e-6 * a.mean():
        return [
            f"{candidate.name} has other incident energies ({energy_range(candidate)}) than "
            f"{full.name} ({energy_range(full)}): "
            "the distances compare different showers."
        ]
    if a.min() == a.max():
        return []
    return [
        f"{candidate.name} and {full.name} do not share their incident energies shower by shower: "
        "distances and floors of total "
        "energy, brightest cell, hits and cell energies include the scatter of two draws of the "
        "energy."
    ]
