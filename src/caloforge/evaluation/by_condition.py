"""Two samples in bins of what is known of their particles: in which energies, polar angles and
species is a candidate worst?

The bins of the energy are its slices. Those of the polar angle hold equally many showers of the
full simulation, or one value each where it has few; each species is a bin. A condition that does
not vary has none.

The AUC of a bin needs no training: it is the area of the scores that a classifier gave to the
showers in it, none of which its training had seen.
"""

__all__ = ["bins"]

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from caloforge.classifiers.calibration import area, area_error
from caloforge.evaluation.findings import Bin, Sample, Score, Separation
from caloforge.evaluation.pair import Pair
from caloforge.evaluation.significance import worst_first
from caloforge.evaluation.slices import LEAST_IN_SLICE, Cut, cut, cuts


def bins(
    pair: Pair, of_energy: Iterable[Cut], separations: Mapping[str, Separation]
) -> tuple[Bin, ...]:
    """The bins of all conditions that vary, the worst first.

    Arguments:
        pair: The two samples.
        of_energy: The slices of the energy.
        separations: What the classifiers found.
    """
    found = [
        _bin(of, cut, separations)
        for of, every in (
            ("energy", of_energy),
            ("angle", _angle_cuts(pair)),
            ("species", _species_cuts(pair)),
        )
        for cut in every
        if cut.found
    ]
    among = sum(len(one.scores) for one in found)
    return worst_first(replace(one, among=among) for one in found)


def _bin(of: str, cut: Cut, separations: Mapping[str, Separation]) -> Bin:
    scores = {name: one.standardised for name, one in cut.found.items()}
    ks = {name: 1.0 if one.ks is None else one.ks for name, one in cut.found.items()}
    found = {name: _auc(one, cut) for name, one in separations.items()}
    aucs = {name: auc for name, auc in found.items() if auc is not None}
    n, m = (int(inside.sum()) for inside in cut.inside)
    return Bin(of, cut.low, cut.high, n, m, scores, ks, aucs, len(scores))


def _auc(separation: Separation, cut: Cut) -> Score | None:
    """The AUC of the scores of the showers in a slice; None where there are few."""
    full, candidate = (
        side.chosen(np.flatnonzero(inside[side.rows]))
        for side, inside in zip((separation.full, separation.candidate), cut.inside, strict=True)
    )
    if min(len(full), len(candidate)) < LEAST_IN_SLICE:
        return None
    sides = full.log_weights, candidate.log_weights, full.counts, candidate.counts
    chance = ((1 / full.effective_size + 1 / candidate.effective_size) / 12) ** 0.5
    return Score(area(*sides), area_error(*sides), separation.auc.floor, chance)


def _angle_cuts(pair: Pair) -> Iterator[Cut]:
    full, candidate = (_angles(one.sample) for one in (pair.full, pair.candidate))
    return cuts(pair, full, candidate) if np.ptp(full) > 0 else iter(())


def _angles(sample: Sample) -> Float[np.ndarray, " showers"]:
    """The polar angles, in rad."""
    theta = None if sample.particles is None else sample.particles.theta
    return np.zeros(len(sample)) if theta is None else theta.abs().double().numpy(force=True)


def _species_cuts(pair: Pair) -> Iterator[Cut]:
    full, candidate = (one.sample for one in (pair.full, pair.candidate))
    if len(full.species) > 1 and candidate.species:
        for pdg in full.species:
            yield from cut(pair, pdg, pdg, (_species(full) == pdg, _species(candidate) == pdg))


def _species(sample: Sample) -> Int[np.ndarray, " showers"]:
    """The PDG numbers."""
    particles = sample.particles
    return np.broadcast_to(0 if particles is None else np.asarray(particles.pdg), len(sample))
