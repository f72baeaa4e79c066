"""Geant4's data sets: where they are found, and what is said of those that are not."""

import shutil
from pathlib import Path

import pytest

from caloforge.errors import Geant4Error
from caloforge.simulators.geant4 import DATA_SETS, PHYSICS, find_data, physics_of
from caloforge.simulators.geant4.datasets import own_folder, present_data
from tests.geant4 import standard_data


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set, and nothing is at home."""
    for name in ("GEANT4_DATA_DIR", *(variable for _, variable in DATA_SETS.values())):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    standard_data(tmp_path / "data")
    return tmp_path / "data"


def test_they_are_found_in_the_order_of_the_places(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Geant4Error, match=r"\.geant4_pybind.*GEANT4_DATA_DIR"):
        find_data()
    standard_data(tmp_path / "home" / ".geant4_pybind")
    assert find_data().folders["G4EMLOW"] == tmp_path / "home" / ".geant4_pybind" / "G4EMLOW8.8"
    monkeypatch.setenv("G4LEDATA", str(data / "G4EMLOW8.8"))
    assert dict(find_data().folders) == {"G4EMLOW": data / "G4EMLOW8.8"}
    monkeypatch.setenv("GEANT4_DATA_DIR", str(data))
    assert set(find_data().folders) == {
        "G4EMLOW",
        "G4ENSDFSTATE",
        "G4PARTICLEXS",
        "PhotonEvaporation",
    }
    with pytest.raises(Geant4Error, match="elsewhere"):
        find_data(tmp_path / "elsewhere")


def test_a_worker_sees_these_and_no_others(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G4LEDATA", "/old/G4EMLOW7.3")
    monkeypatch.setenv("OTHER", "kept")
    environment = find_data(data).environment()
    assert environment["G4LEDATA"] == str(data / "G4EMLOW8.8")
    assert environment["GEANT4_DATA_DIR"] == str(data)
    assert environment["OTHER"] == "kept"
    assert "G4NEUTRONHPDATA" not in environment


def test_what_is_missing_is_named_with_what_would_work(data: Path) -> None:
    found = find_data(data)
    found.require(physics_of("em-option1"))
    with pytest.raises(Geant4Error) as error:
        found.require(physics_of("FTFP_BERT"))
    said = str(error.value)
    assert (
        "no G4ENSDFSTATE3.0/ENSDFSTATE.dat, G4PARTICLEXS4.2/neutron, G4PARTICLEXS4.2/gamma, "
        "G4SAIDDATA2.0 in " in said
    )
    assert "works with what is there: em-standard, em-option1, em-option2:" in said
    assert f"by `caloforge data geant4 {data} --fetch --physics FTFP_BERT`" in said


def test_a_data_set_that_is_not_there_is_named_once(data: Path) -> None:
    shutil.rmtree(data / "G4EMLOW8.8")
    found = find_data(data)
    assert found.lacks(physics_of("em-option4")) == ("G4EMLOW8.8",)
    assert found.missing(physics_of("em-option4")) == ("G4EMLOW",)
    assert found.missing(physics_of("FTFP_BERT")) == (
        "G4EMLOW",
        "G4ENSDFSTATE",
        "G4PARTICLEXS",
        "G4SAIDDATA",
    )


def test_no_data_at_all_is_answered_by_the_command_that_downloads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Geant4Error, match="`caloforge data geant4 --fetch`"):
        find_data()
    with pytest.raises(Geant4Error, match=f"`caloforge data geant4 {tmp_path}/here --fetch`"):
        find_data(tmp_path / "here")
    assert own_folder() == tmp_path / "home" / ".geant4_pybind"
    monkeypatch.setenv("GEANT4_DATA_DIR", str(tmp_path))
    assert own_folder() == tmp_path
    assert present_data().folders == {}


def test_every_need_is_of_a_known_data_set() -> None:
    assert {need.data_set for physics in PHYSICS.values() for need in physics.needs} <= set(
        DATA_SETS
    )


def test_an_unknown_physics_is_answered_by_the_known_ones() -> None:
    with pytest.raises(Geant4Error, match=r"FTFP_BERT\[_EMV\|_EMX"):
        physics_of("QGSP")
