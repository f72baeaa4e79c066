"""Why the numbers of an evaluation may not be comparable with the published ones of its benchmark,
in plain sentences.
"""

__all__ = ["caveats", "other_showers", "similar"]

from caloforge.evaluation.findings import Evaluation
from caloforge.evaluation.quantities import is_benchmarks, smaller_size
from caloforge.geometry import named_calorimeters
from caloforge.particles import name_of
from caloforge.published import Preset
from caloforge.units import format_energy

_SIMILAR = 0.1
"""Sizes and energies that differ by no more than this share are called the same."""
_MISMATCH = 0.52
"""A published AUC between two samples of Geant4 above this says that they have different
distributions.
"""
_INFERRED = (
    "The bins of the centres and widths in r and of the sparsity are not in the published code; "
    "ours are a choice."
)


def caveats(evaluation: Evaluation) -> list[str]:
    """Why the numbers may not be comparable with those of the evaluation's preset, in plain
    sentences; none without a preset.
    """
    preset = evaluation.preset
    if preset is None:
        return []
    return [
        *other_showers(evaluation, preset),
        *_sizes_differ(evaluation, preset),
        *_neighbours_differ(evaluation, preset),
        *_classifiers_differ(evaluation, preset),
        *_mismatch(preset),
        _INFERRED,
        *_machines(evaluation),
    ]


def similar(a: float, b: float) -> bool:
    """Whether two sizes or energies are called the same."""
    return abs(a - b) <= _SIMILAR * b


def other_showers(evaluation: Evaluation, preset: Preset) -> list[str]:
    """In what the showers are not those of the benchmark."""
    full, found = evaluation.full, []
    if full.calorimeter != named_calorimeters()[preset.calorimeter]:
        found.append(
            f"The calorimeter is '{full.calorimeter.name}', that of the published results is "
            f"'{preset.calorimeter}'."
        )
    other = set(full.species) - {preset.pdg}
    if other:
        names = ", ".join(name_of(pdg) for pdg in sorted(other))
        found.append(
            f"The incident particles are {names}, those of the published results "
            f"{name_of(preset.pdg)}."
        )
    here = float(full.energies.min()), float(full.energies.max())
    if not all(
        similar(energy, published) for energy, published in zip(here, preset.energies, strict=True)
    ):
        found.append(
            f"The incident energies are {_range(here)}, those of the published results "
            f"{_range(preset.energies)}: "
            "no number can be compared."
        )
    return found


def _range(energies: tuple[float, float]) -> str:
    low, high = (format_energy(float(f"{energy:.3g}")) for energy in energies)
    return low if low == high else f"{low} to {high}"


def _sizes_differ(evaluation: Evaluation, preset: Preset) -> list[str]:
    sizes = [smaller_size(evaluation, sample.name) for sample in evaluation.candidates]
    if all(similar(size, preset.showers) for size in sizes):
        return []
    return [
        f"There are {min(sizes):,.0f} showers in the smallest sample; the published results are "
        f"of some {preset.showers:,}. "
        "FPD and separation powers of equal distributions scale as 1/N: compare what exceeds the "
        "floor, as the ranks do, not the values."
    ]


def _neighbours_differ(evaluation: Evaluation, preset: Preset) -> list[str]:
    counts = [
        min(found.showers, smaller_size(evaluation, name))
        for name, found in evaluation.features.items()
        if found.neighbours is not None
    ]
    if all(similar(count, preset.showers) for count in counts):
        return []
    return [
        f"Precision, recall, density and coverage are of as few as {min(counts):,.0f} showers of "
        "a sample, the published ones of "
        f"some {preset.showers:,}. They depend on this number: compare each with its floor."
    ]


def _classifiers_differ(evaluation: Evaluation, preset: Preset) -> list[str]:
    separations = [
        separation for of in evaluation.classifiers.values() for separation in of.values()
    ]
    if not separations:
        return []
    found = []
    if not all(is_benchmarks(evaluation, separation.name) for separation in separations):
        found.append(
            "Some classifiers are not those of the benchmark: their AUC cannot be compared with "
            "the published ones."
        )
    fewest = min(min(separation.n_full, separation.n_candidate) for separation in separations)
    if fewest < (1 - _SIMILAR) * preset.showers:
        found.append(
            f"Classifiers saw as few as {fewest:,} showers of a sample, those of the published "
            f"results some {preset.showers:,}. "
            "A classifier learns less from fewer showers, so that the AUC comes out lower, that "
            "is better, than it would."
        )
    return found


def _mismatch(preset: Preset) -> list[str]:
    """Where the published samples of Geant4 themselves can be told apart."""
    geant4 = preset.published[0].numbers
    low, high = (geant4.get(f"binary cls {kind}", 0.5) for kind in ("low", "high"))
    if max(low, high) < _MISMATCH:
        return []
    return [
        f"The two published samples of Geant4 can be told apart, by an AUC of {low:.2f} "
        f"(low-level) and {high:.2f} (high-level): "
        "this, not 0.50, is the best that the published results can reach."
    ]


def _machines(evaluation: Evaluation) -> list[str]:
    if not any(sample.name in evaluation.times for sample in evaluation.candidates):
        return []
    return ["The published times are of other machines and of batches of 100 showers."]
