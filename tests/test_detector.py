"""A detector is one description: what is written is read back, and cells and matter agree."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from caloforge.detector import (
    Boxes,
    Detector,
    EqualRings,
    Hexagons,
    Layers,
    Mixture,
    Repeated,
    Rings,
    Role,
    Slab,
    Staggered,
    detector_names,
    load_detector,
    write_detector,
)
from caloforge.errors import GeometryError, OutputExistsError
from caloforge.geometry import (
    Calorimeter,
    LayeredGrid,
    calochallenge_2,
    calochallenge_3,
    ild_ecal,
    pbwo4_crystals,
)
from tests.geant4 import IRREGULAR

BGO = Mixture(7.13, atoms={"Bi": 4, "Ge": 3, "O": 12})
PLATES = (
    Slab("G4_Pb", 2.0, Role.ABSORBER),
    Slab("scintillator", 3.0, Role.ACTIVE),
    Slab("G4_AIR", 0.5),
)
OWN = Detector(
    "own",
    (
        Layers(3, PLATES, Rings((1.0, 2.5, 7.0), 6)),
        Layers(1, (Repeated(2, PLATES),), EqualRings(4, 2.0, 3)),
    ),
    (40.0, 30.0),
    mixtures={"scintillator": Mixture(1.03, mass_fractions={"C": 0.915, "H": 0.085})},
    sampling_fraction=0.1,
    threshold=0.2,
)
DETECTORS = [
    *(load_detector(name) for name in detector_names()),
    OWN,
    replace(OWN, name="round", inner_radius=500.0),
    IRREGULAR,
]


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_what_is_written_is_read_back(detector: Detector, tmp_path: Path) -> None:
    write_detector(tmp_path / "d.yaml", detector)
    assert load_detector(str(tmp_path / "d.yaml")) == detector
    assert Detector.from_description(detector.describe()) == detector
    with pytest.raises(OutputExistsError):
        write_detector(tmp_path / "d.yaml", detector)


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_the_cells_cover_the_active_matter_before_them(detector: Detector) -> None:
    calorimeter = detector.calorimeter
    assert calorimeter.n_layers == detector.n_layers
    layers = [each for each in detector.layers for _ in range(each.number)]
    areas = [_area(each) for each in layers]
    matter = sum(area * each.thickness for area, each in zip(areas, layers, strict=True))
    assert float(calorimeter.volumes.sum()) == pytest.approx(matter)
    assert sum(slab.thickness for slab in detector.slabs) == pytest.approx(detector.depth)
    active = sum(slab.thickness for slab in detector.slabs if slab.role is Role.ACTIVE)
    assert sum(each.active_thickness for each in layers) == pytest.approx(active)


def _area(layers: Layers) -> float:
    cells = layers.cells
    if isinstance(cells, Boxes | Staggered):
        return cells.n_cells * cells.size[0] * cells.size[1]
    if isinstance(cells, Hexagons):
        fine = 0 if cells.core_pitch is None else Hexagons(1.0, cells.core_rings).n_cells
        squares = fine * (cells.core_pitch or 0) ** 2 + (cells.n_cells - fine) * cells.pitch**2
        return squares * math.sqrt(3) / 2
    return float(torch.pi) * (cells.r_edges[-1] ** 2 - cells.r_edges[0] ** 2)


@pytest.mark.parametrize(
    ("name", "calorimeter"),
    [
        ("pbwo4-10x10", pbwo4_crystals()),
        ("par04-lowgran", calochallenge_2()),
        ("par04-highgran", calochallenge_3()),
        ("ild-ecal-30", ild_ecal()),
    ],
)
def test_the_known_calorimeters_come_out_exactly(name: str, calorimeter: Calorimeter) -> None:
    assert load_detector(name).calorimeter == calorimeter
    assert load_detector(name).calorimeter.name == calorimeter.name


def test_groups_of_layers_are_written_out() -> None:
    left, right = (
        {**VALUES["layers"][0], "cells": {"number": [6, 6], "size": [9, 9], "shift": [x, 0]}}
        for x in (-1, 1)
    )
    group = {"times": 3, "layers": [left, right]}
    detector = Detector.from_description({**VALUES, "layers": [group, VALUES["layers"][0]]})
    written = {**VALUES, "layers": [*[left, right] * 3, VALUES["layers"][0]]}
    assert detector == Detector.from_description(written)
    assert detector.n_layers == 14


def test_calogan_is_read_in_three_depths() -> None:
    detector = load_detector("calogan-3layer")
    calorimeter = detector.calorimeter
    assert isinstance(calorimeter, LayeredGrid)
    assert [layer.number for layer in calorimeter.grid_layers] == [(96, 3), (12, 12), (6, 12)]
    assert [layer.thickness for layer in calorimeter.grid_layers] == [90, 347, 43]
    assert detector.depth == 480
    assert calorimeter.n_cells == 504


@given(
    number=st.integers(1, 60),
    plates=st.lists(st.floats(0.1, 10).map(lambda t: round(t, 3)), min_size=1, max_size=4),
)
def test_depths_are_free_of_rounding(number: int, plates: list[float]) -> None:
    layers = Layers(
        number, tuple(Slab("G4_Si", t, Role.ACTIVE) for t in plates), Boxes((2, 2), (1.0, 1.0))
    )
    detector = Detector("d", (layers,), (2.0, 2.0))
    thousandths = sum(round(1000 * t) for t in plates)
    assert layers.thickness == thousandths / 1000
    assert detector.depth == number * thousandths / 1000


VALUES: dict[str, Any] = yaml.safe_load(
    """
    name: d
    face: [60, 60]
    layers:
      - number: 2
        slabs:
          - {material: G4_W, thickness: 2, role: absorber}
          - {material: G4_Si, thickness: 1, role: active}
        cells: {number: [6, 6], size: [10, 10]}
    """
)
SLABS = VALUES["layers"][0]["slabs"]


def _with(**changes: Any) -> dict[str, Any]:
    return {**VALUES, "layers": [{**VALUES["layers"][0], **changes}]}


HEXAGONS = {"pitch": 10, "rings": 2}
RINGS = _with(cells={"n_r": 3, "width": 10, "n_alpha": 4})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({**VALUES, "colour": "red"}, "colour"),
        (
            _with(cells={"number": [10**9, 10**9], "size": [1e-8, 1e-8]}),
            "detector 'd': 2000000000000000000 cells, expected at most 10000000",
        ),
        ({**VALUES, "treshold": 1}, "did you mean 'threshold'?"),
        ({**VALUES, "distance": math.nan}, "distance is nan, expected a finite number"),
        ({"name": "d"}, "layers"),
        ({**VALUES, "layers": []}, "no layers"),
        ({**VALUES, "face": [60, -60]}, "face"),
        ({**VALUES, "face": [50, 60]}, "reach over the face"),
        ({**VALUES, "sampling_fraction": 0}, "sampling_fraction"),
        ({**VALUES, "threshold": -1}, "threshold"),
        ({**VALUES, "distance": -1}, "distance"),
        ({**VALUES, "surroundings": "ether"}, "unknown material 'ether'"),
        ({**VALUES, "mixtures": {"G4_x": {"density": 1, "atoms": {"H": 1}}}}, "G4_x"),
        ({**VALUES, "mixtures": {"x": {"density": 0, "atoms": {"H": 1}}}}, "density"),
        ({**VALUES, "mixtures": {"x": {"density": 1}}}, "either"),
        ({**VALUES, "mixtures": {"x": {"density": 1, "atoms": {"Xy": 1}}}}, "'Xy'"),
        (
            {**VALUES, "mixtures": {"x": {"density": 1, "mass_fractions": {"H": -1}}}},
            "positive share",
        ),
        (_with(number=0), "number is 0"),
        (_with(number=10**9), "number is 1000000000, expected 1 to 10000"),
        (_with(number="two"), "number"),
        ({**VALUES, "layers": 3 * [{**VALUES["layers"][0], "number": 5000}]}, "has 15000 layers"),
        (_with(slabs=[SLABS[0]]), "at least one active slab"),
        (_with(slabs=[{**SLABS[1], "thickness": 0}]), "thickness is 0"),
        (_with(slabs=[{**SLABS[1], "thickness": 1e300}]), "1e+300 mm, expected a number from"),
        (_with(slabs=[{**SLABS[1], "thickness": 1e-300}]), "1e-300 mm, expected a number from"),
        (_with(slabs=[{**SLABS[1], "role": "lazy"}]), "role"),
        (_with(slabs=[{"times": 0, "slabs": SLABS}]), "times is 0"),
        (_with(slabs=[{"times": 10**9, "slabs": SLABS}]), "times is 1000000000, expected 1 to"),
        (_with(slabs=3 * [{"times": 5000, "slabs": SLABS}]), "slabs of one are 10001, expected 1"),
        (_with(cells={"n_r": 10**9, "width": 2, "n_alpha": 1}), "n_r is 1000000000, expected"),
        (_with(cells={"number": [6, 0], "size": [10, 10]}), "boxes"),
        (_with(cells={"r_edges": [3, 2], "n_alpha": 4}), "r_edges"),
        (_with(cells={"n_r": 3, "width": 2, "n_alpha": 0}), "n_alpha"),
        (_with(cells={"n_r": 30, "width": 2, "n_alpha": 1}), "reach over the face"),
        (
            {
                **VALUES,
                "layers": [
                    VALUES["layers"][0],
                    {**VALUES["layers"][0], "cells": {"r_edges": [0, 2], "n_alpha": 4}},
                ],
            },
            "one kind",
        ),
        ({**VALUES, "inner_radius": 50}, "cells boxes"),
        (
            {**VALUES, "inner_radius": 50, "layers": [{**VALUES["layers"][0], "cells": HEXAGONS}]},
            "hexagons",
        ),
        ({**VALUES, "along_particle": True}, "no rings"),
        (_with(cells={**HEXAGONS, "ring": 1}), "did you mean 'rings'?"),
        (_with(cells={**HEXAGONS, "rings": 6}), "reach over the face"),
        (_with(cells={"number": [3, 3], "size": [2, 2], "shift": 1}), "shift: expected a list"),
        ({**VALUES, "layers": [{"times": 0, "layers": VALUES["layers"]}]}, "comes 0 times"),
        ({**VALUES, "layers": [{"times": 2, "layers": 3}]}, "a list of layers"),
        ({**RINGS, "inner_radius": 0}, "inner_radius is 0"),
        ({**RINGS, "inner_radius": "far"}, "inner_radius"),
        ({**RINGS, "inner_radius": 9}, "the circle's 56.5487 mm"),
        ({**RINGS, "inner_radius": 50, "distance": 1}, "distance is 1 mm"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_said_in_one_line(
    values: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(GeometryError) as error:
        load_detector(str(path))
    assert expected in str(error.value)
    assert "d.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "expected"), [("layers: [", "not YAML"), ("- a\n- b", "list")])
def test_a_file_that_is_no_description_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(GeometryError, match=expected):
        load_detector(str(tmp_path / "d.yaml"))


def test_an_unknown_name_is_answered_by_the_known_ones() -> None:
    with pytest.raises(GeometryError, match="pbwo4-10x10"):
        load_detector("pbwo5")


def test_a_mixture_may_be_named_anywhere() -> None:
    slab = Slab("BGO", 200.0, Role.ACTIVE)
    detector = Detector(
        "bgo",
        (Layers(1, (slab,), Boxes((4, 4), (25.0, 25.0))),),
        (100.0, 100.0),
        mixtures={"BGO": BGO},
    )
    with pytest.raises(GeometryError, match="unknown material 'BGO'"):
        replace(detector, mixtures={})


@pytest.mark.parametrize("shares", [(0.6, 0.5), (0.3, 0.5), (60, 40)])
def test_mass_fractions_that_do_not_add_up_to_one_are_refused(shares: tuple[float, float]) -> None:
    fractions = dict(zip(("Fe", "Cu"), shares, strict=True))
    with pytest.raises(GeometryError, match=r"mass_fractions add up to .*, expected 1"):
        Mixture(8.0, mass_fractions=fractions)


def test_mass_fractions_may_be_rounded() -> None:
    assert Mixture(8.0, mass_fractions={"Fe": 0.33, "Cu": 0.33, "Zn": 0.33}).density == 8.0
