"""The event display: example showers as points in space, that can be turned and filtered by energy.

The drawing is done in the reader's browser by plotly.js, which comes in the plotly package and is
put into the page whole; this module prepares what it draws. A shower is the numbers and energies of
its cells with energy, to four digits; the centres of the cells are listed once. The beam goes from
left to right: axes are named (depth, x, y).
"""

__all__ = ["Scene", "Shower", "library", "payload", "place", "scene", "script"]

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files

import numpy as np
import torch
from jaxtyping import Float, Int

from caloforge.evaluation.findings import Evaluation, Example, Sample
from caloforge.geometry import Calorimeter
from caloforge.units import format_energy

MOST_CELLS = 4000
"""The most cells of a shower that are shown, the brightest."""

_DIGITS = 4
_LEAST_SIDE = 0.35
_ROOM, _DIAGONAL = 0.08, 1.15


@dataclass(frozen=True)
class Shower:
    """One shower to show.

    Arguments:
        row: Its number in the sample.
        energy: Its incident energy, in MeV.
        text: The energy in words.
        cells: Places in the scene's list of centres.
        deposits: The energies of these cells, in MeV.
    """

    row: int
    energy: float
    text: str
    cells: list[int]
    deposits: list[float]


@dataclass(frozen=True)
class Scene:
    """All showers of an evaluation.

    Arguments:
        title: What was compared.
        samples: The names of the samples, the full simulation first.
        showers: Those of each sample: first the examples, of increasing energy, of which the k-th
            of all samples belong together; then its own outliers; then those that stand beside
            outliers of other samples.
        examples: The number of examples.
        outliers: The number of outliers of each sample.
        depth: The name of the axis along the beam: depth, or layer where no depth in mm is known.
        centres: The coordinates (depth, x, y) of the cells, in mm or layers, as three lists.
        ranges: The ends of the three axes.
        sides: The lengths of the sides of the drawing, such that its diagonal fills the window.
        beam: The depths between which the beam axis is drawn.
    """

    title: str
    samples: list[str]
    showers: list[list[Shower]]
    examples: int
    outliers: list[int]
    depth: str
    centres: list[list[float]]
    ranges: list[list[float]]
    sides: list[float]
    beam: list[float]


def scene(evaluation: Evaluation, title: str) -> Scene:
    """What the display shows of an evaluation.

    Arguments:
        evaluation: The evaluation.
        title: What was compared, in words.
    """
    shown = {s.name: [_brightest(e) for e in _shown(s)] for s in evaluation.samples}
    used = np.unique(np.concatenate([e.cells for group in shown.values() for e in group]))
    centres = _centres(evaluation.full.calorimeter)[used]
    ranges = _ranges(centres)
    extent = np.diff(ranges)[:, 0]
    sides = np.clip(extent / extent.max(), _LEAST_SIDE, 1.0)
    return Scene(
        title=title,
        samples=[sample.name for sample in evaluation.samples],
        showers=[[_shower(e, used) for e in shown[sample.name]] for sample in evaluation.samples],
        examples=len(evaluation.full.examples),
        outliers=[len(sample.outliers) for sample in evaluation.samples],
        depth="depth [mm]" if evaluation.full.calorimeter.has_depth else "layer",
        centres=[_rounded(column) for column in centres.T],
        ranges=[_rounded(ends) for ends in ranges],
        sides=_rounded(sides * _DIAGONAL / float(np.linalg.norm(sides))),
        beam=_rounded(ranges[0]),
    )


def _ranges(centres: Float[np.ndarray, "cells 3"]) -> Float[np.ndarray, "3 2"]:
    """The ends of the axes: all cells with some room about them, and the beam axis in the middle of
    x and y.
    """
    low, high = centres.min(axis=0, initial=0.0), centres.max(axis=0, initial=0.0)
    half = max(float(-low[1:].min()), float(high[1:].max()))
    low, high = np.array([low[0], -half, -half]), np.array([high[0], half, half])
    room = np.maximum(_ROOM * (high - low), 1.0)
    return np.stack([low - room, high + room], axis=1)


def _brightest(example: Example) -> Example:
    """An example of cells with energy alone, of these the brightest."""
    kept = np.sort(np.argsort(-example.deposits, kind="stable")[:MOST_CELLS])
    kept = kept[example.deposits[kept] > 0]
    return Example(example.row, example.energy, example.cells[kept], example.deposits[kept])


def _centres(calorimeter: Calorimeter) -> Float[np.ndarray, "cells 3"]:
    """The coordinates (depth, x, y) of all cells, in mm; where no depth is known, the number of the
    layer.
    """
    layer = calorimeter.layer_of_cell
    depth = calorimeter.depths[layer] if calorimeter.has_depth else layer.double()
    return torch.cat([depth[:, None], calorimeter.transverse], dim=1).numpy()


def _shower(example: Example, used: Int[np.ndarray, " cells"]) -> Shower:
    return Shower(
        row=example.row,
        energy=example.energy,
        text=format_energy(float(f"{example.energy:.3g}")),
        cells=np.searchsorted(used, example.cells).tolist(),
        deposits=_rounded(example.deposits),
    )


def _rounded(numbers: Float[np.ndarray, " n"]) -> list[float]:
    return [float(f"{x:.{_DIGITS}g}") for x in numbers]


def payload(scenes: Sequence[Scene]) -> str:
    """The scenes as JSON that is safe inside a script element."""
    text = json.dumps(
        [asdict(one) for one in scenes], ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text.replace("<", "\\u003c")


def library() -> str:
    """The source of plotly.js."""
    from plotly.offline import get_plotlyjs  # only a page needs it, and it takes long to import

    source: str = get_plotlyjs()
    return source


def script() -> str:
    """The page's own script."""
    return (files("caloforge.report") / "display.js").read_text(encoding="utf-8")


def place(sample: Sample, row: int) -> int | None:
    """The place of a shower, by its row, among those of its sample that are shown; None if it is
    not among them.
    """
    return next((k for k, example in enumerate(_shown(sample)) if example.row == row), None)


def _shown(sample: Sample) -> tuple[Example, ...]:
    return (*sample.examples, *sample.outliers, *sample.partners)
