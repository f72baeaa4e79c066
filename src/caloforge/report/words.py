"""What the numbers say, in words: a title, a verdict for each candidate, and what a reader must know before believing them."""

__all__ = ["energy_range", "remarks", "title", "verdict"]

import math
from statistics import median

import numpy as np

from caloforge.metrics.classifier import LEAST_SHOWERS
from caloforge.report.records import Evaluation, Sample, shares_energies
from caloforge.report.tables import CLOSE, Level, level, number
from caloforge.units import format_energy

ENOUGH = 500
"""The fewest showers of a sample whose numbers need no remark."""

_PARTICLES = {11: "electrons", -11: "positrons", 22: "photons", 211: "charged pions", -211: "charged pions", 111: "neutral pions"}
_OTHER_ENERGIES = 5.0


def title(evaluation: Evaluation) -> str:
    """What was judged: energies, particles, calorimeter."""
    full = evaluation.full
    particles = _PARTICLES.get(full.pdg, f"particles (PDG {full.pdg})")
    return f"{energy_range(full)} {particles} in {full.calorimeter.name}"


def energy_range(sample: Sample) -> str:
    """The incident energy of a sample, or the range of it, to three digits."""
    low, high = (format_energy(float(f"{e:.3g}")) for e in (sample.energies.min(), sample.energies.max()))
    return low if low == high else f"{low} to {high}"


def verdict(evaluation: Evaluation, candidate: Sample) -> str:
    """The verdict on one candidate, in two or three sentences."""
    parts = [_distances(evaluation, candidate), _classifier(evaluation, candidate), _gain(evaluation, candidate)]
    return " ".join(part for part in parts if part)


def _distances(evaluation: Evaluation, candidate: Sample) -> str:
    distances = evaluation.distances[candidate.name]
    levels = [level(d) for d in distances.values()]
    worst = max(evaluation.observables, key=lambda o: distances[o.name].ratio_to_floor)
    counts = [f"{levels.count(x)} of {len(levels)} {words}" for x, words in _COUNTED.items() if x in levels]
    return (
        f"Distances to {evaluation.full.name} in units of the floor: {', '.join(counts)}; "
        f"the largest is {number(distances[worst.name].ratio_to_floor)} ({worst.title})."
    )


_COUNTED = {Level.FLOOR: "at the floor", Level.CLOSE: f"at most {CLOSE:g}", Level.APART: f"more than {CLOSE:g}"}


def _classifier(evaluation: Evaluation, candidate: Sample) -> str:
    auc = evaluation.aucs.get(candidate.name)
    if auc is None:
        return ""
    return f"A classifier on all cells reaches AUC {auc.value:.3f} ± {auc.error:.3f} (chance: 0.5)."


def _gain(evaluation: Evaluation, candidate: Sample) -> str:
    first = evaluation.candidates[0]
    if candidate is first:
        return ""
    gains = [evaluation.gain(candidate, o) for o in evaluation.observables]
    return (
        f"It is closer than {first.name} by factors of {number(min(gains))} to {number(max(gains))} "
        f"(median {number(median(gains))})."
    )


def remarks(evaluation: Evaluation) -> list[str]:
    """What a reader must know before believing the numbers, one sentence each."""
    small = [_small(s) for s in evaluation.samples if len(s) < ENOUGH]
    return small + [note for c in evaluation.candidates for note in _on_energies(evaluation.full, c)]


def _small(sample: Sample) -> str:
    chance = math.sqrt(1 / (6 * len(sample)))
    auc = f"an AUC below {0.5 + 2 * chance:.2f}" if len(sample) >= LEAST_SHOWERS else "by a classifier, which was left out"
    return (
        f"{sample.name} has only {len(sample)} showers: differences below the floors of this table, anything rarer than one "
        f"shower in {len(sample)}, and {auc} cannot be resolved."
    )


def _on_energies(full: Sample, candidate: Sample) -> list[str]:
    if shares_energies(full, candidate):
        return []
    a, b = full.energies, candidate.energies
    scatter = math.hypot(np.std(a) / math.sqrt(len(a)), np.std(b) / math.sqrt(len(b)))
    if abs(a.mean() - b.mean()) > _OTHER_ENERGIES * scatter + 1e-6 * a.mean():
        return [
            f"{candidate.name} has other incident energies ({energy_range(candidate)}) than {full.name} ({energy_range(full)}): "
            "the distances compare different showers."
        ]
    if a.min() == a.max():
        return []
    return [
        f"{candidate.name} and {full.name} do not share their incident energies shower by shower: distances and floors of total "
        "energy, brightest cell, hits and cell energies include the scatter of two draws of the energy."
    ]
