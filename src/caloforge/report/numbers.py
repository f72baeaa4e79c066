"""The evaluation as plain numbers, for other programs.

`numbers` makes the content of ``metrics.json``, and states its schema; `csv_rows` makes the rows of
``metrics.csv``. The definitions are those of `caloforge.metrics`.
"""

__all__ = ["CSV_COLUMNS", "csv_rows", "numbers"]

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from caloforge.documents import printable
from caloforge.evaluation.doubts import doubts
from caloforge.evaluation.findings import (
    Amplification,
    Bin,
    Comparison,
    Evaluation,
    Features,
    Sample,
    Score,
    Separation,
    Slice,
)
from caloforge.evaluation.significance import significance_of_bin, worst_of_bin
from caloforge.report.provenance import machine, made, versions
from caloforge.report.words import remarks, title

SCHEMA = 2

CSV_COLUMNS = (
    "evaluation",
    "candidate",
    "quantity",
    "label",
    "statistic",
    "unit",
    "value",
    "error",
    "floor",
    "floor_error",
)


def numbers(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The content of ``metrics.json``: one object.

    - ``schema``: 2; a change that breaks readers raises it
    - ``made``: ``date`` (UTC) and ``command``; ``versions``, ``machine``: name to text
    - ``evaluations``: a list of objects, each with

      - ``title``: what was compared, in words; ``preset``: the name of the benchmark, or null
      - ``calorimeter``: name and number of cells; ``pdg``: the species, several as a list
      - ``full`` and each of ``candidates``: ``name``, ``showers``, ``effective_showers``,
        ``energy_min`` and ``energy_max`` in MeV
      - ``comparisons``: candidate to observable to a *comparison*, with ``unit`` and ``gain`` over
        the first candidate
      - ``gaps``: candidate to observable, classifier or other result (``fpd``,
        ``fpd_trimmed``, ``kpd``, ``neighbours``, ``correlation``, ``left_out``,
        ``amplification``) to the reason why it is missing; what is missing is null or absent
      - ``features``: candidate to ``fpd``, ``fpd_trimmed``, ``kpd``, ``correlation`` (*scores*; the
        last null with a single layer) and ``precision``, ``recall``, ``density``, ``coverage``:
        ``value``, ``error``, ``expected`` (what a second sample of the full simulation would give),
        ``expected_error``
      - ``classifiers``: candidate to classifier to ``auc``, ``jsd`` (*scores*; the floor of the
        first is chance), ``aucs`` of the trainings
      - ``slices``: candidate to a list of ``energy_min``, ``energy_max`` in MeV, ``left_out``,
        ``n_full``, ``n_candidate`` and ``scores``: observable to the *score* of the standardised
        distance
      - ``bins``: candidate to a list of bins of the condition, the worst first: ``of`` (``energy``
        in MeV, ``angle``, the polar one, in rad, or ``species``), ``low`` and ``high``, ``n_full``,
        ``n_candidate``, ``significance`` in words, ``worst``: the observable; ``scores`` as in
        slices, ``ks``: observable to the probability, ``aucs``: classifier to a *score*
      - ``amplification``: candidate to observable to ``factor``, ``factor_error``, ``plateau``,
        ``sizes``, ``equivalent`` and ``bounded``
      - ``correlations``: sample to the matrix of correlations of layer energies
      - ``times``: stage to ms a shower
      - ``settings``: ``seed``, ``replicas``, ``cuts``, ``trainings``, ``classifier_showers``,
        ``neighbour_showers``
      - ``copies``: a list of ``showers`` of ``among`` showers of ``sample`` that are in the sample
        ``of`` bit for bit; where both are one, that repeat an earlier one
      - ``origins``: sample (``training`` too) to ``file``, ``sha256``, ``showers`` where some were
        left out, and ``mended`` where deposits were mended; only of samples read from a file
      - ``doubts``: candidate to a list of ``text`` and ``grave``; a grave one makes the verdict
        void
      - ``remarks``: a list of sentences

    A *score* has ``value``, ``error``, ``floor``, ``floor_error``, ``ratio_to_floor`` and
    ``excess`` (value less floor: the noise of finite samples subtracted). A *comparison* has the
    scores ``distance`` (in its unit), ``standardised`` and ``separation``; the probabilities ``ks``
    and ``chi2``; ``batched`` with ``mean``, ``spread``, ``batches`` and ``size``; and for an
    observable with a distribution at each of several labels, of which these are the mean,
    ``parts``: label to comparison. Numbers are finite or null.
    """
    return {
        "schema": SCHEMA,
        "made": made(),
        "versions": versions(),
        "machine": machine(),
        "evaluations": [_finite(_evaluation(evaluation)) for evaluation in evaluations],
    }


def _finite(value: Any) -> Any:
    """The same with null for every number that is not finite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _species(numbers: tuple[int, ...]) -> int | list[int] | None:
    if len(numbers) > 1:
        return list(numbers)
    return numbers[0] if numbers else None


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    calorimeter, settings = evaluation.full.calorimeter, evaluation.settings
    return {
        "title": title(evaluation),
        "preset": None if evaluation.preset is None else evaluation.preset.name,
        "calorimeter": {"name": calorimeter.name, "cells": calorimeter.n_cells},
        "pdg": _species(evaluation.full.species),
        "full": _sample(evaluation.full),
        "candidates": [_sample(candidate) for candidate in evaluation.candidates],
        "comparisons": {c.name: _comparisons(evaluation, c) for c in evaluation.candidates},
        "gaps": {name: dict(gaps) for name, gaps in evaluation.gaps.items()},
        "features": {name: _features(features) for name, features in evaluation.features.items()},
        "classifiers": {
            name: {key: _separation(separation) for key, separation in separations.items()}
            for name, separations in evaluation.classifiers.items()
        },
        "slices": {
            name: [_slice(one) for one in slices] for name, slices in evaluation.slices.items()
        },
        "bins": {name: [_bin(one) for one in bins] for name, bins in evaluation.bins.items()},
        "amplification": {
            name: {key: _amplification(one) for key, one in found.items()}
            for name, found in evaluation.amplifications.items()
        },
        "correlations": {sample.name: sample.correlation.tolist() for sample in evaluation.samples},
        "times": dict(evaluation.times),
        "settings": {
            "seed": settings.seed,
            "replicas": settings.replicas,
            "cuts": settings.splits,
            "trainings": settings.trainings,
            "classifier_showers": settings.classifier_showers,
            "neighbour_showers": settings.neighbour_showers,
        },
        "origins": {
            name: {key: printable(text) for key, text in origin.items()}
            for name, origin in evaluation.origins.items()
        },
        "copies": [asdict(one) for one in evaluation.copies],
        "doubts": {
            c.name: [asdict(doubt) for doubt in doubts(evaluation, c)]
            for c in evaluation.candidates
        },
        "remarks": remarks(evaluation),
    }


def _sample(sample: Sample) -> dict[str, Any]:
    low, high = float(sample.energies.min()), float(sample.energies.max())
    sizes = {"showers": len(sample), "effective_showers": sample.effective_size}
    return {"name": sample.name, **sizes, "energy_min": low, "energy_max": high}


def _comparisons(evaluation: Evaluation, candidate: Sample) -> dict[str, Any]:
    known = evaluation.comparisons[candidate.name]
    return {
        o.name: {
            "unit": o.distance_unit,
            "gain": evaluation.gain(candidate, o),
            **_comparison(known[o.name]),
        }
        for o in evaluation.observables
        if o.name in known
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "distance": _score(comparison.distance),
        "standardised": _score(comparison.standardised),
        "separation": _score(comparison.separation),
        "ks": comparison.ks,
        "chi2": comparison.chi2,
        "batched": None if comparison.batched is None else asdict(comparison.batched),
        **(
            {"parts": {label: _comparison(part) for label, part in comparison.parts.items()}}
            if comparison.parts
            else {}
        ),
    }


def _score(score: Score) -> dict[str, float]:
    return {**asdict(score), "ratio_to_floor": score.ratio_to_floor, "excess": score.excess}


def _features(features: Features) -> dict[str, Any]:
    of = features.neighbours
    neighbours = {} if of is None else asdict(of)
    scores = {
        "fpd": features.frechet,
        "fpd_trimmed": features.trimmed,
        "kpd": features.kernel,
        "correlation": features.correlation,
    }
    return {
        **{key: None if score is None else _score(score) for key, score in scores.items()},
        **{key: neighbours.get(key) for key in ("precision", "recall", "density", "coverage", "k")},
    }


def _separation(separation: Separation) -> dict[str, Any]:
    return {
        "auc": _score(separation.auc),
        "jsd": _score(separation.jsd),
        "aucs": list(separation.areas.values),
    }


def _slice(one: Slice) -> dict[str, Any]:
    scores = {name: _score(score) for name, score in one.scores.items()}
    sizes = {"left_out": one.left_out, "n_full": one.n_full, "n_candidate": one.n_candidate}
    return {"energy_min": one.low, "energy_max": one.high, **sizes, "scores": scores}


def _bin(one: Bin) -> dict[str, Any]:
    return {
        **{key: getattr(one, key) for key in ("of", "low", "high", "n_full", "n_candidate")},
        "significance": significance_of_bin(one).value,
        "worst": worst_of_bin(one)[0],
        "scores": {name: _score(score) for name, score in one.scores.items()},
        "ks": dict(one.ks),
        "aucs": {name: _score(auc) for name, auc in one.aucs.items()},
    }


def _amplification(one: Amplification) -> dict[str, Any]:
    return {
        "factor": one.factor,
        "factor_error": one.factor_error,
        "plateau": one.plateau,
        "sizes": one.sizes.tolist(),
        "equivalent": one.equivalent.tolist(),
        "bounded": one.bounded.tolist(),
    }


def csv_rows(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str | float, ...]]:
    """The rows of ``metrics.csv``, in the order of `CSV_COLUMNS`: the scores of all comparisons,
    feature metrics and classifiers, one a row.
    """
    for evaluation in evaluations:
        for candidate in evaluation.candidates:
            for quantity, label, statistic, unit, score in _scores(evaluation, candidate):
                key = (title(evaluation), candidate.name, quantity, label, statistic, unit)
                yield (*key, score.value, score.error, score.floor, score.floor_error)


def _scores(
    evaluation: Evaluation, candidate: Sample
) -> Iterator[tuple[str, str, str, str, Score]]:
    units = {o.name: o.distance_unit for o in evaluation.observables}
    for name, comparison in evaluation.comparisons[candidate.name].items():
        for label, part in {"": comparison, **comparison.parts}.items():
            yield name, label, "wasserstein", units[name], part.distance
            yield name, label, "standardised wasserstein", "", part.standardised
            yield name, label, "separation power", "", part.separation
    features = evaluation.features.get(candidate.name)
    if features is not None:
        for quantity, statistic, score in (
            ("high-level features", "fpd", features.frechet),
            ("high-level features", "fpd_trimmed", features.trimmed),
            ("high-level features", "kpd", features.kernel),
            ("layer energies", "mean difference of correlations", features.correlation),
        ):
            if score is not None:
                yield quantity, "", statistic, "", score
    for name, separation in evaluation.classifiers[candidate.name].items():
        yield name, "", "auc", "", separation.auc
        yield name, "", "jsd", "", separation.jsd
