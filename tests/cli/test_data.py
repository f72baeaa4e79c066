"""`caloforge data`: what is there, what is missing, and how it comes."""

from pathlib import Path

import pytest

from caloforge import zoo
from caloforge.simulators.geant4 import DATA_SETS, PHYSICS, find_data
from caloforge.simulators.geant4.download import ARCHIVES, part_of
from tests.cli.samples import Caloforge
from tests.geant4 import standard_data
from tests.mirror import CHUNK, Mirror, mirror

__all__ = ["mirror"]


def rows(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()}


def test_the_bundled_samples_are_listed_and_written(caloforge: Caloforge, tmp_path: Path) -> None:
    listed = caloforge("data", "samples")
    assert (listed.code, listed.err) == (0, "")
    assert rows(listed.out)["pbwo4-geant4"][0] == "4,000"
    written = caloforge("data", "samples", "--out", tmp_path / "samples")
    assert (written.code, written.err) == (0, "")
    copies = sorted((tmp_path / "samples").iterdir(), key=lambda path: path.stem)
    assert [path.stem for path in copies] == list(zoo.shower_names()) == list(rows(listed.out))[1:]
    for path in copies:
        assert path.read_bytes() == zoo.bundled_showers(path.stem).path.read_bytes()


def test_bundled_samples_are_written_all_or_none(caloforge: Caloforge, tmp_path: Path) -> None:
    (tmp_path / "pbwo4-gflash.h5").write_text("mine")
    outcome = caloforge("data", "samples", "--out", tmp_path)
    assert outcome.code == 2
    assert "pbwo4-gflash.h5: exists already" in outcome.err
    assert [path.name for path in tmp_path.glob("*.h5")] == ["pbwo4-gflash.h5"]
    assert caloforge("data", "samples", "--out", tmp_path, "--overwrite").code == 0


def test_what_is_there_and_what_each_physics_lacks(
    mirror: Mirror, caloforge: Caloforge, tmp_path: Path
) -> None:
    standard_data(tmp_path / "data")
    outcome = caloforge(
        "data", "geant4", tmp_path / "data", "--physics", "em-option1", "--physics", "FTFP_BERT"
    )
    assert (outcome.code, outcome.err) == (0, "")
    said = rows(outcome.out)
    assert said["G4EMLOW8.8"] == ["there"]
    assert said["G4PARTICLEXS4.2"][:5] == ["incomplete:", "no", "neutron,", "gamma", "0.00"]
    assert said["G4SAIDDATA2.0"][0] == "missing"
    assert said["em-option1"] == ["nothing"]
    assert said["FTFP_BERT"][:3] == ["G4ENSDFSTATE3.0,", "G4PARTICLEXS4.2,", "G4SAIDDATA2.0"]
    assert mirror.asked == []


def test_without_data_everything_is_missing_and_nothing_is_downloaded(
    mirror: Mirror, caloforge: Caloforge, tmp_path: Path
) -> None:
    outcome = caloforge("data", "geant4")
    assert outcome.code == 0
    assert str(tmp_path / "home" / ".geant4_pybind") in outcome.out
    assert [name for name in PHYSICS if name not in outcome.out] == []
    assert all(rows(outcome.out)[archive.folder][0] == "missing" for archive in ARCHIVES.values())
    assert not (tmp_path / "home").exists()
    assert mirror.asked == []


def test_what_is_missing_is_fetched_to_where_it_is_looked_for(
    mirror: Mirror, caloforge: Caloforge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = caloforge("data", "geant4", "--fetch", "--mirror", mirror.url)
    assert (outcome.code, outcome.err) == (0, "")
    home = tmp_path / "home" / ".geant4_pybind"
    assert sorted(path.name for path in home.iterdir()) == sorted(
        archive.folder for archive in ARCHIVES.values()
    )
    find_data().require(PHYSICS["FTFP_BERT"])
    asked = len(mirror.asked)
    assert (
        f"all data sets are in {home}"
        in caloforge("data", "geant4", "--fetch", "--mirror", mirror.url).out
    )
    assert len(mirror.asked) == asked == len(ARCHIVES)
    monkeypatch.setenv("GEANT4_DATA_DIR", str(tmp_path / "other"))
    assert (
        caloforge(
            "data", "geant4", "--fetch", "--physics", "em-standard", "--mirror", mirror.url
        ).code
        == 0
    )
    assert len(list((tmp_path / "other").iterdir())) == 4


def test_data_that_the_variables_of_geant4_point_to_are_not_fetched_again(
    mirror: Mirror, caloforge: Caloforge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        caloforge("data", "geant4", tmp_path / "geant4", "--fetch", "--mirror", mirror.url).code
        == 0
    )
    for archive in ARCHIVES.values():
        monkeypatch.setenv(
            DATA_SETS[archive.data_set][1], str(tmp_path / "geant4" / archive.folder)
        )
    mirror.asked.clear()
    outcome = caloforge("data", "geant4", "--fetch", "--mirror", mirror.url)
    assert outcome.out == "FTFP_BERT: all data sets are in the folders of G4LEDATA and the like\n"
    assert mirror.asked == []


def test_a_folder_where_nobody_looks_is_told_with_what_makes_it_found(
    mirror: Mirror, caloforge: Caloforge, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    outcome = caloforge("data", "geant4", there, "--fetch", "--mirror", mirror.url)
    assert outcome.code == 0
    assert f"--data {there}" in outcome.err
    assert f"GEANT4_DATA_DIR={there}" in outcome.err


def test_an_interruption_says_how_to_go_on(
    mirror: Mirror, caloforge: Caloforge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.sends = CHUNK
    words = ("data", "geant4", tmp_path / "data", "--fetch", "--mirror", mirror.url)
    outcome = caloforge(*words)
    assert outcome.code == 2
    note, error = outcome.err.splitlines()
    assert (
        f"{part_of(ARCHIVES['G4EMLOW'], tmp_path / 'data')}; the same command goes on from there"
        in note
    )
    assert error.startswith("caloforge: error: http://127.0.0.1")
    mirror.sends = None
    assert caloforge(*words).code == 0
    assert mirror.asked[1] == ("G4EMLOW.8.8.tar.gz", f"bytes={CHUNK}-")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--physics", "em"), "em-option1"),
        (("--fetch", "--physics", "em"), "em-option1"),
        (("FILE", "--fetch"), "cannot be written to"),
        (("--fetch", "--mirror", "http://127.0.0.1:1"), "Connection refused"),
        (("--fetch", "--mirror", "URL/elsewhere/nothing"), "404"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    mirror: Mirror, caloforge: Caloforge, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "file").write_text("")
    mirror.files.clear()
    given = [
        word.replace("FILE", str(tmp_path / "file")).replace("URL", mirror.url) for word in words
    ]
    outcome = caloforge("data", "geant4", *given)
    assert outcome.code == 2
    [line] = outcome.err.splitlines()
    assert line.startswith("caloforge: error: ")
    assert expected in line


def test_physics_without_data_names_the_command_that_fetches_it(
    mirror: Mirror, caloforge: Caloforge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caloforge.simulators.geant4.engine._require_installed", lambda: None)
    run = (
        "simulate",
        "geant4",
        "pbwo4-10x10",
        "-n",
        1,
        "--energy",
        "1GeV",
        "--seed",
        1,
        tmp_path / "out.h5",
    )
    assert "`caloforge data geant4 --fetch`" in caloforge(*run).err
    standard_data(tmp_path / "my data")
    message = caloforge(*run, "--data", tmp_path / "my data").err
    assert f"`caloforge data geant4 '{tmp_path}/my data' --fetch --physics FTFP_BERT`" in message
