r"""The four benchmarks of the Fast Calorimeter Simulation Challenge 2022 (arXiv:2410.21611): which
showers, which bins, which classifiers, and what was published.

Separation powers are those of histograms with fixed bins; a value in none of them is dropped, and
what is left is normalised to 1. The floor of B well populated bins between N and M showers is
:math:`\frac{B}{4}(1/N + 1/M)`. The bins are those of the public code, CaloChallenge/homepage, where
it has them. The separation powers of the total at each single energy of dataset 1 are left out:
they were not published.
"""

__all__ = ["PRESETS", "geant4_correlation"]

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np
from jaxtyping import Float, Real

from caloforge.classifiers.classifier import READOUT
from caloforge.metrics.bins import Bins, Rule, up_to_largest
from caloforge.particles import ELECTRON
from caloforge.published.preset import Preset, Published
from caloforge.units import GeV, MeV, TeV


@dataclass(frozen=True)
class _Reach:
    """How far the bins of a layer reach, in mm: centre along x and y to both sides, widths along x
    and y, and both in r.
    """

    centre: float
    width: float
    radius: float
    radial_width: float

    def rules(self, suffix: str = "") -> dict[str, Rule]:
        """The bins, by observable and suffix."""
        centre, width = _equal(-self.centre, self.centre, 100), _equal(0, self.width, 100)
        return {
            f"layer_centre_x{suffix}": centre,
            f"layer_centre_y{suffix}": centre,
            f"layer_centre_r{suffix}": _equal(0, self.radius, 100),
            f"layer_width_x{suffix}": width,
            f"layer_width_y{suffix}": width,
            f"layer_width_r{suffix}": _equal(0, self.radial_width, 100),
        }


_SOURCE = "arXiv:2410.21611; github.com/CaloChallenge/homepage, final_results, commit 9b41df7"
_TABLES = resources.files("caloforge.published") / "tables"
_PHOTON, _PION = 22, 211

_ATLAS = _Reach(100, 100, 100, 100)
_ATLAS_DEEP = _Reach(500, 400, 500, 400)
_PAR04 = _Reach(30, 30, 40, 20)


def _equal(low: float, high: float, bins: int) -> Rule:
    """Bins of equal width, wherever the values are."""
    fixed = Bins(np.linspace(low, high, bins + 1), flow=False)

    def rule(values: Real[np.ndarray, " n"]) -> Bins:
        del values
        return fixed

    return rule


def _logarithmic(low: float, bins: int) -> Rule:
    r"""Bins of equal ratio from a low edge to the largest value, which the last bin holds.

    In the public code the last edge, :math:`10^{\log_{10} x}`, comes out below the largest value x
    by rounding in some layers, and the largest shower is dropped there. Among 1,200 showers that
    one is worth up to 5 % of the separation power of a layer's energy, among 100,000 nothing.
    """

    def rule(values: Real[np.ndarray, " n"]) -> Bins:
        return Bins(up_to_largest(low, values, bins + 1), flow=False)

    return rule


def _rules(threshold: float, reach: _Reach, deep: Mapping[str, _Reach]) -> dict[str, Rule]:
    """The bins of a dataset whose layers reach alike, apart from some.

    Those in r and of the sparsity are not in the public code. Their numbers are inferred from the
    published floors; their ranges are a choice, as wide as the calorimeter for datasets 2 and 3,
    those of the values in eta for dataset 1. (The published floors of the layer energies would fit
    49 bins better than the code's 39.)
    """
    rules = {
        "response": _equal(0.5, 1.5, 100),
        "layer_energy": _logarithmic(threshold, 39),
        "cell_energy_log": _logarithmic(threshold, 49),
        "sparsity": _equal(0, 1, 20),
        **reach.rules(),
    }
    for label, exception in deep.items():
        rules |= exception.rules(f":{label}")
    return rules


def _published(name: str) -> tuple[Published, ...]:
    """The table of a benchmark, the full simulation first."""
    lines = csv.DictReader((_TABLES / f"{name}.csv").read_text(encoding="utf-8").splitlines())
    return tuple(_submission(line) for line in lines)


def _submission(line: dict[str, str]) -> Published:
    name = line.pop("submission name")
    return Published(name, {column: float(text) for column, text in line.items() if text})


def _dataset_1(name: str, title: str, pdg: int, showers: int) -> Preset:
    threshold = 1 * MeV
    return Preset(
        name=name,
        title=title,
        calorimeter=name,
        pdg=pdg,
        energies=(2**8 * MeV, 2**22 * MeV),
        showers=showers,
        threshold=threshold,
        classifiers="calochallenge",
        rules=_rules(threshold, _ATLAS, {f"layer {k}": _ATLAS_DEEP for k in (12, 13)}),
        published=_published(name),
        source=_SOURCE,
    )


def _par04(name: str, title: str) -> Preset:
    return Preset(
        name=name,
        title=title,
        calorimeter=name,
        pdg=ELECTRON,
        energies=(1 * GeV, 1 * TeV),
        showers=100_000,
        threshold=READOUT,
        classifiers="calochallenge",
        rules=_rules(READOUT, _PAR04, {}),
        published=_published(name),
        source=_SOURCE,
    )


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _dataset_1("calochallenge-1-photons", "CaloChallenge dataset 1, photons", _PHOTON, 121_000),
        _dataset_1("calochallenge-1-pions", "CaloChallenge dataset 1, pions", _PION, 120_800),
        _par04("calochallenge-2", "CaloChallenge dataset 2, electrons in 6,480 voxels"),
        _par04("calochallenge-3", "CaloChallenge dataset 3, electrons in 40,500 voxels"),
    )
}
"""The benchmarks by name."""


def geant4_correlation(preset: Preset) -> Float[np.ndarray, "layers layers"]:
    """Geant4's published matrix of the correlations between layer energies, front to back."""
    text = (_TABLES / f"{preset.name}-correlation.csv").read_text(encoding="utf-8")
    return np.array([[float(number) for number in line] for line in csv.reader(text.splitlines())])
