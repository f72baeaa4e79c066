r"""The evaluation as plain numbers, for other programs.

``metrics.json`` holds one object:

- ``schema``: 1; a change that breaks readers raises it
- ``versions``, ``machine``: name to text
- ``evaluations``: a list of objects, each with

  - ``title``: what was judged, in words
  - ``calorimeter``: name and number of cells; ``pdg``: the species
  - ``full`` and each of ``candidates``: ``name``, ``showers``, ``energy_min`` and ``energy_max`` in MeV
  - ``distances``: candidate to observable to ``value``, ``error``, ``floor``, ``floor_error``, all in ``unit``, and
    ``ratio_to_floor`` and ``gain`` over the first candidate (null where infinite), ``n_full``, ``n_candidate``
  - ``auc``: candidate to ``value``, ``error``, ``trainings``, ``n_full``, ``n_candidate``
  - ``times``: stage to ms a shower
  - ``settings``: ``seed``, ``replicas``, ``cuts``, ``trainings``, ``classifier_showers``
  - ``remarks``: a list of sentences

Every number is finite or null. The definitions are those of `caloforge.metrics.distances` and `caloforge.metrics.classifier`.
"""

__all__ = ["numbers"]

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from caloforge.observables import Observable
from caloforge.report.provenance import machine, versions
from caloforge.report.records import Evaluation, Sample
from caloforge.report.words import remarks, title

SCHEMA = 1


def numbers(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The content of ``metrics.json``."""
    return {
        "schema": SCHEMA,
        "versions": versions(),
        "machine": machine(),
        "evaluations": [_evaluation(evaluation) for evaluation in evaluations],
    }


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    calorimeter = evaluation.full.calorimeter
    settings = evaluation.settings
    return {
        "title": title(evaluation),
        "calorimeter": {"name": calorimeter.name, "cells": calorimeter.n_cells},
        "pdg": evaluation.full.pdg,
        "full": _sample(evaluation.full),
        "candidates": [_sample(candidate) for candidate in evaluation.candidates],
        "distances": {
            c.name: {o.name: _distance(evaluation, c, o) for o in evaluation.observables} for c in evaluation.candidates
        },
        "auc": {name: asdict(auc) for name, auc in evaluation.aucs.items()},
        "times": dict(evaluation.times),
        "settings": {
            "seed": settings.seed,
            "replicas": settings.replicas,
            "cuts": settings.cuts,
            "trainings": settings.trainings,
            "classifier_showers": settings.classifier_showers,
        },
        "remarks": remarks(evaluation),
    }


def _sample(sample: Sample) -> dict[str, Any]:
    low, high = float(sample.energies.min()), float(sample.energies.max())
    return {"name": sample.name, "showers": len(sample), "energy_min": low, "energy_max": high}


def _distance(evaluation: Evaluation, candidate: Sample, observable: Observable) -> dict[str, Any]:
    distance = evaluation.distances[candidate.name][observable.name]
    ratios = {"ratio_to_floor": distance.ratio_to_floor, "gain": evaluation.gain(candidate, observable)}
    finite = {name: value if math.isfinite(value) else None for name, value in ratios.items()}
    return {"unit": observable.distance_unit, **asdict(distance), **finite}
