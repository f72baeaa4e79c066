r"""What is odd about samples, in plain sentences, and whether it allows a verdict at all.

Distances say how far two samples are apart, not why. Some answers are known before any distance:
showers that are copied, energies in another unit, rows in another order, too few showers. A *grave*
doubt is one that makes the verdict void, be the distances small or large.

Scales are compared by the median :math:`\tilde R` of :math:`R = E_\mathrm{sum} / E`: it is
about 1 or, without a calibration, the sampling fraction, 0.01 to 0.1.
"""

__all__ = ["Doubt", "doubts", "withheld"]

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from caloforge.evaluation.findings import LEAST_SHOWERS, Copies, Evaluation, Sample
from caloforge.evaluation.particles_alike import differences
from caloforge.particles import name_of
from caloforge.units import doubt_of_scale

_SHARE = 0.01
"""Copies that are a larger share of a sample are grave."""
_OTHER_SCALE, _OTHER_UNIT = 3.0, 300.0
"""Factors between two samples above which the calibration, and above which the unit is asked
about.
"""
_FOLLOWS, _FOLLOWS_NOT = 0.9, 0.5
"""Correlations of deposited with incident energies above which and below which they belong to one
another, or do not.
"""
_BELOW = 2.5
"""An AUC so many standard deviations below chance is explained."""
_BEYOND = 3.0
"""A response of more than so many times the largest of the full simulation is an outlier."""


@dataclass(frozen=True)
class Doubt:
    """One doubt about a candidate.

    Arguments:
        text: A sentence.
        grave: Whether there is no verdict while it stands.
    """

    text: str
    grave: bool


def doubts(evaluation: Evaluation, candidate: Sample) -> tuple[Doubt, ...]:
    """What is odd about a candidate and the full simulation, the grave first."""
    full = evaluation.full
    found = [
        *(doubt for sample in (full, candidate) for doubt in _few(sample)),
        *(_copied(one, full.name) for one in evaluation.copies if _concerns(one, full, candidate)),
        *(doubt for sample in (full, candidate) for doubt in _impossible(sample)),
        *_other_species(full, candidate),
        *_other_places(full, candidate),
        *_other_scale(full, candidate),
        *_disordered(full, candidate),
        *_empty(full, candidate),
        *_outliers(full, candidate),
        *_below_chance(evaluation, candidate),
    ]
    return tuple(sorted(found, key=lambda doubt: not doubt.grave))


def withheld(evaluation: Evaluation, candidate: Sample) -> bool:
    """Whether there can be no verdict on a candidate."""
    return any(doubt.grave for doubt in doubts(evaluation, candidate))


def _few(sample: Sample) -> Iterator[Doubt]:
    size = sample.effective_size
    if size < LEAST_SHOWERS:
        worth = f", worth {size:.3g} of weight 1" if sample.weighted else ""
        yield Doubt(
            f"{sample.name} has {len(sample):,} showers{worth}; a verdict takes {LEAST_SHOWERS}.",
            grave=True,
        )


def _concerns(one: Copies, full: Sample, candidate: Sample) -> bool:
    """Whether copies are the candidate's, or those of the full simulation."""
    return candidate.name == one.sample or full.name == one.sample


def _copied(one: Copies, full: str) -> Doubt:
    count = f"{one.showers:,} of {one.among:,} showers of {one.sample}"
    if one.of == one.sample:
        text = f"{count} repeat an earlier one bit for bit: it knows less than its size says."
    elif one.sample == full:
        text = f"{count} are in the {one.of} sample bit for bit: give showers that no training saw."
    elif one.of == full:
        text = f"{count} are in {full} bit for bit: they are copies, not a simulation."
    else:
        text = f"{count} are in the {one.of} sample bit for bit: they are copies, not generated."
    return Doubt(text, grave=one.share > _SHARE)


def _responses(sample: Sample) -> Float[np.ndarray, " showers"]:
    """E_sum/E of the showers that count; none where it was not observed."""
    found = sample.values.get("response")
    return np.empty(0) if found is None else found[sample.weights > 0].astype(np.float64)


def _typical(sample: Sample) -> float:
    """The median of E_sum/E; 0 where it is not known."""
    responses = _responses(sample)
    return float(np.median(responses)) if len(responses) else 0.0


def _impossible(sample: Sample) -> Iterator[Doubt]:
    typical = _typical(sample)
    doubt = doubt_of_scale(typical) if typical > 0 else None
    if doubt is not None:
        yield Doubt(f"Of {sample.name} {doubt}.", grave=True)


def _other_scale(full: Sample, candidate: Sample) -> Iterator[Doubt]:
    energies = float(np.median(candidate.energies) / np.median(full.energies))
    if _factor(energies) > _OTHER_UNIT:
        yield Doubt(
            f"The incident energies of {candidate.name} are {energies:.3g} times those of "
            f"{full.name}: are both in MeV?",
            grave=True,
        )
    ratio = _scale(full, candidate)
    if _factor(ratio) > _OTHER_SCALE:
        why = (
            "are all deposits and incident energies in MeV?"
            if _factor(ratio) > _OTHER_UNIT
            else "is a calibration or a sampling fraction missing, or applied twice?"
        )
        yield Doubt(
            f"E_sum/E of {candidate.name} is {ratio:.3g} times that of {full.name}: {why}",
            grave=True,
        )


def _other_species(full: Sample, candidate: Sample) -> Iterator[Doubt]:
    """Species that are known of both samples, and differ."""
    if full.species and candidate.species and set(full.species) != set(candidate.species):
        of_full, of_candidate = (
            ", ".join(name_of(pdg) for pdg in sample.species) for sample in (full, candidate)
        )
        yield Doubt(
            f"{candidate.name} is of {of_candidate} by its file, {full.name} of {of_full}: are "
            "they to be compared?",
            grave=False,
        )


def _other_places(full: Sample, candidate: Sample) -> Iterator[Doubt]:
    """Directions and places that differ; energies and species have doubts of their own."""
    if full.particles is None or candidate.particles is None:
        return
    found = differences(
        (full.particles, full.weights),
        (candidate.particles, candidate.weights),
        along_particle=full.calorimeter.along_particle,
    )
    other = [one for one in found if not one.startswith(("incident", "species"))]
    if other:
        yield Doubt(
            f"{candidate.name} has other particles than {full.name} ({'; '.join(other)}): the "
            "distances compare different showers.",
            grave=False,
        )


def _scale(full: Sample, candidate: Sample) -> float:
    """How many times larger a typical response is than that of the full simulation; 1 where this
    is not known.
    """
    responses = [_typical(sample) for sample in (full, candidate)]
    return responses[1] / responses[0] if min(responses) > 0 else 1.0


def _factor(ratio: float) -> float:
    return max(ratio, 1 / ratio)


def _disordered(full: Sample, candidate: Sample) -> Iterator[Doubt]:
    """Deposits that do not follow the incident energies, where those of the full simulation do."""
    expected, found = _following(full), _following(candidate)
    if expected > _FOLLOWS and found < _FOLLOWS_NOT:
        yield Doubt(
            f"The energies that showers of {candidate.name} deposit do not follow their incident "
            f"energies (correlation {found:.2f}, {expected:.2f} in {full.name}): are they rows of "
            "the same showers?",
            grave=True,
        )


def _following(sample: Sample) -> float:
    """The rank correlation of deposited and incident energies; 1 where one does not vary."""
    counted = sample.weights > 0
    incident, responses = sample.energies[counted], _responses(sample)
    deposited = responses * incident if len(responses) else incident
    if min(np.ptp(incident), np.ptp(deposited)) == 0:
        return 1.0
    return float(spearmanr(incident, deposited).statistic)


def _empty(full: Sample, candidate: Sample) -> Iterator[Doubt]:
    none, expected = (int((_responses(s) == 0).sum()) for s in (candidate, full))
    if none and not expected:
        yield Doubt(
            f"{none:,} of {len(candidate):,} showers of {candidate.name} have no energy, none of "
            f"{full.name}.",
            grave=False,
        )


def _outliers(full: Sample, candidate: Sample) -> Iterator[Doubt]:
    found, expected = _responses(candidate), _responses(full)
    if len(found) == 0 or _factor(_scale(full, candidate)) > _OTHER_SCALE:
        return
    most, usual = float(found.max()), float(expected.max())
    if most > _BEYOND * usual > 0:
        row = int(np.flatnonzero(candidate.weights > 0)[found.argmax()])
        yield Doubt(
            f"Shower {row:,} of {candidate.name} has {most:.3g} times its incident energy, none of "
            f"{full.name} more than {usual:.3g} times: is a cell broken?",
            grave=False,
        )


def _below_chance(evaluation: Evaluation, candidate: Sample) -> Iterator[Doubt]:
    for separation in evaluation.classifiers[candidate.name].values():
        auc = separation.auc
        if auc.value < auc.floor - _BELOW * auc.floor_error:
            yield Doubt(
                f"The AUC of the {separation.title} is {auc.value:.3f}, significantly below 0.5: "
                f"{candidate.name} and {evaluation.full.name} are not independent. A classifier "
                "that learnt a shower in one sample finds it, or one like it, in the other.",
                grave=False,
            )
