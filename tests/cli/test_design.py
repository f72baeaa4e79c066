"""The design of a calorimeter on the command line."""

import json
from pathlib import Path

import pytest
import yaml

from caloforge.detector import load_detector
from tests.cli.conftest import caloforge
from tests.cli.samples import Caloforge
from tests.geant4 import needs_geant4

__all__ = ["caloforge"]

PLAN = {
    "detector": "ild-ecal-30",
    "energies": ["500MeV"],
    "showers": [20],
    "parameters": {"tungsten": {"role": "absorber", "low": 1.0, "high": 4.0, "start": 3.0}},
    "ways": ["gflash"],
    "limits": {"depth": 170},
    "geant4": {"physics": "em-standard", "cut": 10.0},
}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({**PLAN, **changes}))
    return path


@needs_geant4
def test_a_plan_becomes_a_detector_and_its_showers_are_kept(
    caloforge: Caloforge, tmp_path: Path
) -> None:
    plan, out = written(tmp_path), tmp_path / "best"
    done = caloforge("design", plan, out)
    assert done.code == 0, done.err
    assert "gflash" in done.out
    assert load_detector(str(out / "detector.yaml")).depth <= 170.1
    found = json.loads((out / "design.json").read_text())["optima"][0]
    assert (found["way"], found["designs"], found["showers"]) == ("gflash", 2, 200)
    assert (out / "design.png").exists()
    kept = sorted((out / "showers").iterdir())
    assert len(kept) == 2
    refused = caloforge("design", plan, out)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--overwrite" in refused.err
    assert caloforge("design", plan, out, "--overwrite").code == 0
    assert sorted((out / "showers").iterdir()) == kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wayes": ["gflash"]}, "unknown key 'wayes'; did you mean 'ways'"),
        ({"energies": ["50MeV"]}, "energies"),
        ({"detector": "ild"}, "ild"),
        ({"geant4": {"physics": "em-standart"}}, "em-standart"),
        ({"particle": "pion"}, "pion"),
    ],
)
def test_a_wrong_plan_is_one_line_and_leaves_nothing(
    changes: dict[str, object], message: str, caloforge: Caloforge, tmp_path: Path
) -> None:
    done = caloforge("design", written(tmp_path, **changes), tmp_path / "best")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert message in done.err
    assert not (tmp_path / "best").exists()
