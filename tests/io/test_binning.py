"""Binning XML: round trips, the published layout, and every way in which a file can be wrong."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caloforge.errors import FileFormatError, OutputExistsError
from caloforge.geometry import CylinderGrid, CylinderLayer, calochallenge_1_photons
from caloforge.io import read_binning, write_binning
from caloforge.io.binning import species_of_binning
from tests.catalogue import CYLINDERS, name_of

PHOTONS = """
<Bins>
  <Bin pid="22" etaMin="0" etaMax="130" name="photon">
    <Layer id="0" r_edges="0,5,10,30,50,100,200,400,600" n_bin_alpha="1" />
    <Layer id="1" r_edges="0,2,4,6,8,10,12,15,20,30,40,50,70,90,120,150,200" n_bin_alpha="10"/>
    <Layer id="2" n_bin_alpha="10"
           r_edges="0,2,5,10,15,20,25,30,40,50,60,80,100,130,160,200,250,300,350,400"/>
    <Layer id="3" r_edges="0,50,100,200,400,600" n_bin_alpha="1" />
    <Layer id="4" r_edges="0" n_bin_alpha="1" />
    <Layer id="12" r_edges="0,100,200,400,1000,2000" n_bin_alpha="1" />
    <Layer id="13" r_edges="0" n_bin_alpha="1" />
  </Bin>
  <Bin pid="11" name="electron"><Layer id="0" r_edges="0,4.65,9.3" n_bin_alpha="16" /></Bin>
</Bins>
"""
"""The layers of the challenge's data set 1 for photons: 368 voxels."""


@pytest.fixture
def photons(tmp_path: Path) -> Path:
    path = tmp_path / "binning.xml"
    path.write_text(PHOTONS)
    return path


edges = st.lists(st.floats(0, 1e6), min_size=2, max_size=5, unique=True).map(
    lambda found: tuple(sorted(found))
)
layers = st.tuples(
    edges, st.integers(1, 50), st.floats(1e-3, 1e3) | st.none() | st.just(1.0), st.integers(0, 99)
)
particles = st.sampled_from(["photon", "electron", "pion", "muon", "a <b> & 'c'"])


@given(
    fields=st.dictionaries(
        particles, st.lists(layers, min_size=1, max_size=4), min_size=1, max_size=3
    )
)
def test_what_is_written_is_read(fields: dict[str, list[tuple[Any, ...]]]) -> None:
    calorimeters = {
        particle: CylinderGrid("any", tuple(CylinderLayer(*layer) for layer in found))
        for particle, found in fields.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "binning.xml"
        write_binning(path, calorimeters)
        assert {particle: read_binning(path, particle) for particle in calorimeters} == calorimeters


@pytest.mark.parametrize("cylinder", CYLINDERS, ids=name_of)
def test_a_name_may_be_given(cylinder: CylinderGrid, tmp_path: Path) -> None:
    write_binning(tmp_path / "a.xml", {"electron": cylinder})
    again = read_binning(tmp_path / "a.xml", "electron", name=cylinder.name)
    assert again.describe() == cylinder.describe()


def test_the_published_layout_is_read_without_its_empty_layers(photons: Path) -> None:
    grid = read_binning(photons, "photon")
    assert grid.n_cells == 368
    assert [layer.id for layer in grid.cylinder_layers] == [0, 1, 2, 3, 12]
    assert [layer.n_cells for layer in grid.cylinder_layers] == [8, 160, 190, 5, 5]
    assert grid.name == "binning-photon"
    assert grid == calochallenge_1_photons()
    assert not grid.has_depth
    assert read_binning(photons, "electron").cylinder_layers == (CylinderLayer((0, 4.65, 9.3), 16),)


def test_the_layout_written_is_the_published_one(tmp_path: Path) -> None:
    thick = CylinderGrid(
        "thick", (CylinderLayer((0, 4.65, 10), 16), CylinderLayer((0, 1), 1, 3.4, 5))
    )
    write_binning(tmp_path / "a.xml", {"electron": thick, "axion": thick})
    assert (tmp_path / "a.xml").read_text().splitlines()[:5] == [
        "<Bins>",
        '  <Bin pid="11" name="electron">',
        '    <Layer id="0" r_edges="0,4.65,10" n_bin_alpha="16" />',
        '    <Layer id="5" r_edges="0,1" n_bin_alpha="1" thickness="3.4" />',
        "  </Bin>",
    ]
    assert '<Bin name="axion">' in (tmp_path / "a.xml").read_text()


DEEP = "<a>" * 10_000 + "</a>" * 10_000
LAYER = '<Layer id="0" r_edges="0,1" n_bin_alpha="1" />'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r_edges: 0, 1", r"not XML \(.*\): expected a CaloChallenge binning file"),
        ("", r"not XML \(no element found.*\)"),
        ("<Bins><Bin name='photon'>", r"not XML \("),
        ("<Bins />", "0 entries for particle 'photon', expected 1; the file has no <Bin> at all"),
        ('<?xml version="1.0" encoding="bogus"?><Bins />', r"not XML \(unknown encoding: bogus\)"),
        ('<?xml version="1.0" encoding="shift_jis"?><Bins />', r"not XML \(multi-byte encodings"),
        ('<?xml version="1.0" encoding="utf-7"?><Bins />', r"not XML \(multi-byte encodings"),
        (
            f"<Bins><Bin name='electron'>{LAYER}</Bin><Bin name='pion' /></Bins>",
            "the file has 'electron', 'pion': give one of these",
        ),
        (
            f"<Bins><Bin name='photon'>{LAYER}</Bin><Bin name='photon' /></Bins>",
            "2 entries for particle 'photon', expected 1",
        ),
        (
            "<Bins><Bin name='photon' /></Bins>",
            "entry 'photon': cylinder grid '.*': expected at least one layer",
        ),
        (
            "<Bins><Bin name='photon'><Layer id='0' r_edges='0' n_bin_alpha='1' /></Bin></Bins>",
            "expected at least one layer",
        ),
        (
            "<Bins><Bin name='photon'><Layer id='0' r_edges='0,1' /></Bin></Bins>",
            r"<Layer .*>: 'n_bin_alpha'; expected a layer such as",
        ),
        (
            f"<Bins><Bin name='photon'><Layer id='0' r_edges='0,1' n_bin_alpha='{'9' * 4000}' />"
            "</Bin></Bins>",
            "its layers: a whole number of .* bits cells, expected at most 10000000",
        ),
        (
            "<Bins><Bin name='photon'><Layer id='0' r_edges='0;1' n_bin_alpha='1' /></Bin></Bins>",
            "could not convert .* expected a layer",
        ),
        (
            f"<Bins><Bin name='photon'><Layer id='x' r_edges='0,1'>{DEEP}</Layer></Bin></Bins>",
            "<Layer id='x' r_edges='0,1'>: .*; expected a layer such as",
        ),
        (
            f"<Bins><Bin name='photon'><Layer id='0' r_edges='{'0,' * 10**6}' /></Bin></Bins>",
            r"<Layer id='0' r_edges='(0,)*0\.\.\.'>: .{1,80}; expected a layer such as .{1,80}$",
        ),
        (
            f"<Bins><Bin name='{'n' * 1000}'>{LAYER}</Bin></Bins>",
            "the file has 'n{77}...': give one of these",
        ),
        (
            "<Bins><Bin name='photon'><Layer id='0' r_edges='2,1' n_bin_alpha='1' /></Bin></Bins>",
            "layer 0: r_edges are .*increasing",
        ),
        (
            "<Bins><Bin name='photon'><Layer id='0' r_edges='0,1' n_bin_alpha='0' /></Bin></Bins>",
            "layer 0: n_alpha is 0, expected a whole number of at least 1",
        ),
    ],
)
def test_a_bad_file_is_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.xml"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message) as raised:
        read_binning(path, "photon")
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"gone\.xml: no such file"):
        read_binning(tmp_path / "gone.xml", "photon")


def test_an_existing_output_is_refused_unless_asked(photons: Path) -> None:
    with pytest.raises(OutputExistsError, match="exists already"):
        write_binning(photons, {"electron": CYLINDERS[0]})
    assert photons.read_text() == PHOTONS
    write_binning(photons, {"electron": CYLINDERS[0]}, overwrite=True)
    assert read_binning(photons, "electron") == CYLINDERS[0]


@pytest.mark.parametrize(
    ("attributes", "species"),
    [
        ('pid="22" name="photon"', 22),
        ('pid="-211" name="electron"', -211),
        ('name="pion"', 211),
        ('name="mystery"', None),
        ('pid="?" name="e-"', 11),
    ],
)
def test_the_species_is_what_the_entry_says(
    attributes: str, species: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.xml"
    layer = '<Layer id="0" r_edges="0,5" n_bin_alpha="1" />'
    path.write_text(f"<Bins><Bin {attributes}>{layer}</Bin></Bins>")
    assert species_of_binning(path) == species
    assert read_binning(path).n_cells == 1
