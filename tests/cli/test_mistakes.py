"""A wrong file, whatever the command: exit code 2, one line that names file, place and expectation,
and nothing left behind.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.cli.samples import Caloforge, random_showers, write

Damage = Callable[[Path], None]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def be_text(path: Path) -> None:
    path.write_text("incident_energies, showers\n")


def be_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def be_absent(path: Path) -> None:
    path.unlink()


def replace(name: str, change: Callable[[np.ndarray], np.ndarray | None]) -> Damage:
    def damage(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            values = change(file[name][:])
            del file[name]
            if values is not None:
                file[name] = values

    return damage


def put(name: str, place: tuple[int, ...], value: float) -> Damage:
    def change(values: np.ndarray) -> np.ndarray:
        values[place] = value
        return values

    return replace(name, change)


DAMAGES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "absent": (be_absent, ("no such file",)),
    "a folder": (be_folder, ("folder",)),
    "text": (be_text, ("HDF5",)),
    "truncated": (truncate, ()),
    "no deposits": (replace("showers", lambda _: None), ("'showers'", "missing")),
    "no energies": (
        replace("incident_energies", lambda _: None),
        ("'incident_energies'", "missing"),
    ),
    "99 cells": (replace("showers", lambda d: d[:, :99]), ("'showers'", "99", "100")),
    "29 energies": (
        replace("incident_energies", lambda e: e[:29]),
        ("'incident_energies'", "29", "30"),
    ),
    "NaN": (put("showers", (21, 44), np.nan), ("'showers'", "1 NaN", "shower 21, cell 44")),
    "infinite": (
        put("showers", (21, 44), np.inf),
        ("'showers'", "1 infinite", "shower 21, cell 44"),
    ),
    "negative": (
        put("showers", (21, 44), -3.0),
        ("'showers'", "1 negative", "shower 21, cell 44", "-3"),
    ),
    "energy of zero": (
        put("incident_energies", (21, 0), 0.0),
        ("'incident_energies'", "shower 21", "0 MeV"),
    ),
    "energy below zero": (
        put("incident_energies", (21, 0), -5.0),
        ("'incident_energies'", "shower 21", "-5 MeV"),
    ),
}

COMMANDS: dict[str, tuple[str, ...]] = {
    "refine": ("refine", "MODEL", "BAD", "OUT/out.h5", "--batch-size", "10"),
    "convert": ("convert", "BAD", "OUT/out.npy", "--batch-size", "10"),
    "simulate": ("simulate", "gflash", "--like", "BAD", "--seed", "1", "OUT/out.h5"),
    "generate": ("generate", "SURROGATE", "--like", "BAD", "OUT/out.h5"),
    "show": ("show", "BAD"),
    "evaluate the candidate": ("evaluate", "GOOD", "BAD", "--out", "OUT/report"),
    "evaluate the full": ("evaluate", "BAD", "GOOD", "--out", "OUT/report"),
    "train": ("train", "squirels-fast", "--full", "BAD", "--fast", "GOOD", "--out", "OUT/model"),
    "train a surrogate": ("train", "calodream-ds2", "--data", "BAD", "--out", "OUT/model"),
}


SUFFIXES = (".h5", ".npy")


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize(("damage", "expected"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_wrong_file_is_one_clear_line(
    caloforge: Caloforge,
    model: Path,
    surrogate: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    damage: Damage,
    expected: tuple[str, ...],
) -> None:
    if "--like" in words and any("cell 44" in part for part in expected):
        pytest.skip("the particles are read without the deposits")
    good, bad = (write(tmp_path / f"{name}.h5", random_showers(30)) for name in ("good", "bad"))
    damage(bad)
    out = tmp_path / "out"
    out.mkdir()
    places = {"MODEL": str(model), "SURROGATE": str(surrogate), "GOOD": str(good), "BAD": str(bad)}
    outcome = caloforge(*(places.get(word, word.replace("OUT", str(out))) for word in words))
    assert outcome.code == 2
    said = outcome.err.splitlines()
    beside = ("caloforge: warning: ", "caloforge: note: ")
    [line] = [line for line in said if not line.startswith(beside)]
    assert line.startswith("caloforge: error: ")
    assert [part for part in (bad.name, *expected) if part not in line] == []
    assert {path.name for path in out.iterdir()} <= {f".out{s}.unfinished" for s in SUFFIXES}


@pytest.mark.parametrize(
    "words",
    [
        ("refine", "MODEL", "GOOD", "TAKEN"),
        ("convert", "GOOD", "TAKEN"),
        ("simulate", "gflash", "-n", "3", "--energy", "50GeV", "--seed", "1", "TAKEN"),
        ("generate", "SURROGATE", "-n", "3", "--energy", "50GeV", "TAKEN"),
    ],
    ids=lambda words: words[0],
)
def test_an_output_that_exists_is_refused_and_kept_unless_told(
    caloforge: Caloforge,
    model: Path,
    surrogate: Path,
    shower_file: Path,
    tmp_path: Path,
    words: tuple[str, ...],
) -> None:
    taken = tmp_path / "taken.h5"
    taken.write_text("mine")
    places = {
        "MODEL": str(model),
        "SURROGATE": str(surrogate),
        "GOOD": str(shower_file),
        "TAKEN": str(taken),
    }
    given = [places.get(word, word) for word in words]
    outcome = caloforge(*given)
    assert outcome.code == 2
    assert "taken.h5" in outcome.err
    assert taken.read_text() == "mine"
    assert caloforge(*given, "--overwrite").code == 0
    assert h5py.is_hdf5(taken)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("show", "GOOD", "--index", "30"), "showers 0 to 29"),
        (("show", "GOOD", "--calorimeter", "pbwo"), "pbwo4-10x10"),
        (("show", "GOOD", "--calorimeter", "none.xml:electron"), "none.xml"),
        (("refine", "MODEL", "GOOD", "OUT", "--device", "gpu"), "gpu"),
        (("simulate", "gflash", "-n", "3", "--seed", "1", "OUT"), "--like"),
        (
            (
                "simulate",
                "gflash",
                "-n",
                "3",
                "--seed",
                "1",
                "--energy",
                "50GeV",
                "--like",
                "GOOD",
                "OUT",
            ),
            "--like",
        ),
        (("simulate", "gflash", "--seed", "1", "--energy", "50GeV", "OUT"), "-n"),
        (("simulate", "gflash", "-n", "31", "--seed", "1", "--like", "GOOD", "OUT"), "30"),
        (("simulate", "gflash", "-n", "3", "--seed", "1", "--energy", "50", "OUT"), "50GeV"),
        (
            ("simulate", "gflash", "-n", "3", "--seed", "1", "--energy", "10GeV-20GeV", "OUT"),
            "10GeV-20GeV",
        ),
        (
            ("simulate", "gflash", "-n", "3", "--seed", "1", "--energy", "10GeV:", "OUT"),
            "energy ''",
        ),
        (
            ("simulate", "gflash", "-n", "3", "--seed", "1", "--energy", "20GeV:10GeV", "OUT"),
            "downward",
        ),
        (
            ("simulate", "gflash", "-n", "3", "--seed", "1", "--energy", "1GeV:2GeV:lin", "OUT"),
            "LOW:HIGH:log",
        ),
        (("generate", "SURROGATE", "-n", "3", "OUT"), "--like"),
        (
            ("generate", "SURROGATE", "-n", "3", "--energy", "50GeV", "--like", "GOOD", "OUT"),
            "--like",
        ),
        (("generate", "SURROGATE", "--energy", "50GeV", "OUT"), "-n"),
        (("generate", "SURROGATE", "-n", "3", "--energy", "2GeV:1GeV:log", "OUT"), "downward"),
        (
            ("generate", "SURROGATE", "-n", "3", "--energy", "50GeV", "--device", "gpu", "OUT"),
            "gpu",
        ),
        (("generate", "no-such-model", "-n", "3", "--energy", "50GeV", "OUT"), "no-such-model"),
        (("convert", "GOOD", "nowhere/out.h5"), "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_value_that_cannot_be_is_one_clear_line(
    caloforge: Caloforge,
    model: Path,
    surrogate: Path,
    shower_file: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    expected: str,
) -> None:
    out = str(tmp_path / "out.h5")
    places = {
        "MODEL": str(model),
        "SURROGATE": str(surrogate),
        "GOOD": str(shower_file),
        "OUT": out,
    }
    outcome = caloforge(*(places.get(word, word) for word in words))
    assert outcome.code == 2
    [line] = outcome.err.splitlines()
    assert line.startswith("caloforge: error: ")
    assert expected in line
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("refin",),
        ("refine",),
        ("refine", "squirels-fast", "in.h5"),
        ("refine", "squirels-fast", "in.h5", "out.h5", "--steps", "0"),
        ("refine", "squirels-fast", "in.h5", "out.h5", "--steps", "two"),
        ("refine", "squirels-fast", "in.h5", "out.h5", "--batch-size", "0"),
        ("refine", "squirels-fast", "in.h5", "out.h5", "--threads", "0"),
        ("simulate", "calodream-ds2-laptop"),
        ("simulate", "gflash", "-n", "0", "--energy", "50GeV", "--seed", "1", "out.h5"),
        ("simulate", "gflash", "-n", "3", "--energy", "50GeV"),
        ("evaluate", "full.h5", "--out", "report"),
        ("generate", "squirels-fast"),
        ("generate", "squirels-fast", "-n", "0", "--energy", "50GeV", "out.h5"),
        ("train", "squirels-fast"),
        ("--no-such-option",),
    ],
    ids=" ".join,
)
def test_a_usage_error_shows_the_usage(
    caloforge: Caloforge, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.h5", "full.h5"):
        Path(name).touch()
    outcome = caloforge(*words)
    assert outcome.code == 2
    assert "Usage: caloforge" in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ("show", "absent.h5"),
        ("show", "--index", "-1", "file.h5"),
        ("models", "no-such-model"),
        ("data", "samples", "no-such-sample"),
        ("demo", "--model", "no-such-model"),
        ("refine", "no-such-model", "file.h5", "out.h5"),
        ("refine", "squirels-fast", "absent.h5", "out.h5"),
        ("refine", "squirels-fast", "file.h5", "file.h5"),
        ("refine", "squirels-fast", "file.h5", "out.csv"),
        ("refine", "squirels-fast", "file.h5", "absent/out.h5"),
        ("refine", "squirels-fast", "file.h5", "out.h5", "--device", "gpu"),
        ("convert", "file.h5", "out.txt"),
        ("convert", "absent.h5", "out.npy"),
        ("generate", "calodream-ds2-laptop", "-n", "3", "out.h5"),
        ("generate", "calodream-ds2-laptop", "-n", "3", "--energy", "50", "out.h5"),
        ("simulate", "geant5", "-n", "3", "--energy", "50GeV", "--seed", "1", "out.h5"),
        ("simulate", "gflash", "--energy", "2GeV:1GeV", "--seed", "1", "-n", "3", "out.h5"),
        ("simulate", "gflash", "--like", "absent.h5", "--seed", "1", "out.h5"),
        ("simulate", "gflash", "--energy", "1GeV", "-n", "3", "--theta", "30", "out.h5"),
        ("simulate", "gflash", "--energy", "1GeV", "-n", "3", "--impact", "1", "out.h5"),
        ("simulate", "gflash", "--energy", "1GeV", "-n", "3", "--particle", "elektron", "out.h5"),
        ("simulate", "gflash", "--energy", "1GeV", "-n", "3", "none", "out.h5"),
        ("simulate", "geant4", "none", "--energy", "1GeV", "-n", "3", "--seed", "1", "out.h5"),
        ("tune", "gflash", "--to", "absent.h5", "tuned.yaml"),
        ("tune", "gflash", "--to", "file.h5", "file.h5"),
        ("train", "no-such-recipe", "--out", "model"),
        ("train", "squirels-fast", "--out", "file.h5"),
        ("train", "squirels-fast", "--out", "model", "--set", "steps"),
        ("train", "squirels-fast", "--out", "model", "--full", "absent.h5"),
        ("evaluate", "file.h5", "absent.h5", "--out", "report"),
        ("evaluate", "file.h5", "file.h5", "--out", "report"),
        ("evaluate", "file.h5", "file.h5", "--out", "file.h5", "--labels", "a,b"),
        ("evaluate", "file.h5", "file.h5", "--out", "report", "--left-out", "1:2"),
        ("bench", "no-such-model"),
        ("bench", "gflash", "--energy", "50"),
        ("bench", "gflash", "--threads", "0"),
        ("bench", "gflash", "--json", "file.h5"),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_told_before_torch_is_imported(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "file.h5").touch()
    script = (
        "import sys\nfrom caloforge.cli import main\ntry:\n    main()\nexcept SystemExit as end:\n"
        "    sys.exit(99 if {'torch', 'scipy', 'matplotlib'} & set(sys.modules) else end.code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
