"""A calorimeter from a text: every way to say where cells are comes to the same cells."""

import json
from pathlib import Path

import pytest
import yaml

from caloforge.detector import load_detector, write_detector
from caloforge.errors import FileFormatError, GeometryError
from caloforge.geometry import RegularGrid, calochallenge_2, named_calorimeters
from caloforge.io import detector_of, find_calorimeter, write_binning, write_cells

BOX = RegularGrid("8x5x7", (8, 5, 7), (10.0, 20.0, 5.0), "xyz")


@pytest.mark.parametrize("name", [*named_calorimeters(), "par04-siw"])
def test_a_name_is_enough(name: str) -> None:
    known = named_calorimeters()
    expected = known[name] if name in known else load_detector(name).calorimeter
    assert find_calorimeter(name) == expected


def test_a_description_is_read_from_json_and_yaml(tmp_path: Path) -> None:
    (tmp_path / "box.json").write_text(json.dumps(BOX.describe()))
    (tmp_path / "box.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(BOX.describe()))))
    assert find_calorimeter(str(tmp_path / "box.json")) == BOX
    assert find_calorimeter(str(tmp_path / "box.yaml")) == BOX


def test_a_detector_s_file_gives_its_calorimeter(tmp_path: Path) -> None:
    detector = load_detector("calogan-3layer")
    write_detector(tmp_path / "mine.yml", detector)
    assert find_calorimeter(str(tmp_path / "mine.yml")) == detector.calorimeter


def test_a_grid_is_said_in_a_word() -> None:
    assert find_calorimeter("8x5x7:xyz:1cm,2cm,5mm") == BOX
    assert find_calorimeter("2x3x4:5mm") == RegularGrid("2x3x4", (2, 3, 4), (5.0, 5.0, 5.0))


@pytest.mark.parametrize("folder", [".", "a:b", "C:"])
@pytest.mark.parametrize("name", ["b.xml", "B.XML"])
def test_a_binning_may_lie_anywhere(folder: str, name: str, tmp_path: Path) -> None:
    place = tmp_path / folder
    place.mkdir(exist_ok=True)
    write_binning(place / name, {"electron": calochallenge_2()})
    for text in (f"{place / name}", f"{place / name}:electron"):
        assert find_calorimeter(text).layer_of_cell.equal(calochallenge_2().layer_of_cell)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8x5x7:zyx", "expected the sizes of a cell .* such as 8x5x7:zyx:10mm,10mm,5mm"),
        ("8x5x7", "expected the sizes of a cell"),
        ("8x5x7:zyx:1,2,3", "expected the sizes of a cell"),
        ("8x5x7:zyx:1mm,2mm", "expected the sizes of a cell"),
        ("0x5x7:zyx:1mm", "'0x5x7:zyx:1mm'"),
        ("8x5x7:zzz:1mm", "'8x5x7:zzz:1mm'"),
        ("99999x99999x9:zyx:1mm", "cells, expected at most"),
        ("crystals", "expected a known name"),
    ],
)
def test_what_is_none_says_what_may_be_given(text: str, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        find_calorimeter(text)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    for name, text in {"list.json": "[1]", "empty.yaml": "", "other.yaml": "a: 1"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises((FileFormatError, GeometryError), match=name):
            find_calorimeter(str(tmp_path / name))


def test_a_list_of_cells_is_read(tmp_path: Path) -> None:
    write_cells(tmp_path / "cells.csv", named_calorimeters()["pbwo4-10x10"])
    assert find_calorimeter(str(tmp_path / "cells.csv")).n_cells == 100


@pytest.mark.parametrize("said", ["{", "[" * 10_000, '{"layers": 5}', '{"simulator": 3}'])
@pytest.mark.parametrize("key", ["description", "chain"])
def test_an_origin_in_other_words_tells_no_detector(said: str, key: str) -> None:
    assert detector_of({key: said}) is None
