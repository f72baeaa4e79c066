"""`caloforge train --data A --data B` and `generate --detector`: which detectors are meant."""

from pathlib import Path

import pytest

from caloforge.detector import EqualRings, write_detector
from caloforge.io import convert
from tests.cli.conftest import Caloforge
from tests.models.test_several_detectors import THICK, THIN, detector, showers_in

OTHER = detector("other", 10, 3, EqualRings(2, 20.0, 8))
SEVERAL = "--set", "beam.detector=true"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detectors")
    for one in (THIN, THICK, OTHER):
        write_detector(folder / f"{one.name}.yaml", one)
        convert(showers_in(one, 120), folder / f"{one.name}.h5")
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--data", "thin.h5", "--data", "thick.h5", *SEVERAL),
            "thin.h5: does not say in which detector its showers were simulated: give --detector",
        ),
        (
            ("--data", "thin.h5", "--data", "thick.h5", "--detector", "thin.yaml", *SEVERAL),
            "1 times --detector and 2 times --data: give one detector for each file, or none",
        ),
        (
            ("--data", "thin.h5", "--detector", "thick.yaml", *SEVERAL),
            "detector 'thick' is of calorimeter 'thick'",
        ),
        (
            (
                *("--data", "thin.h5", "--data", "other.h5", *SEVERAL),
                *("--detector", "thin.yaml", "--detector", "other.yaml"),
            ),
            "calorimeter 'other' has another mesh than 'thin'",
        ),
        (
            ("--data", "thin.h5", "--data", "thick.h5"),
            "use showers of one calorimeter; for a model of several detectors say --set beam.",
        ),
        (
            ("--data", "thin.h5", "--detector", "thin.yaml"),
            "trains a model of one detector: leave out --detector, or say --set beam.detector=true",
        ),
    ],
    ids=["unsaid", "too few", "another", "mesh", "not asked for", "one"],
)
def test_which_detectors_are_trained_is_said(
    caloforge: Caloforge,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(files)
    outcome = caloforge("train", "caloflow-laptop", "--out", "model", *words)
    assert outcome.code == 2
    assert message in outcome.err
    assert not Path("model").exists()


def test_a_model_of_one_detector_takes_none(caloforge: Caloforge, files: Path) -> None:
    asked = "-n", 3, "--energy", "5GeV", "--detector", files / "thin.yaml"
    outcome = caloforge("generate", "caloflow-laptop", *asked, files / "out.h5")
    assert outcome.code == 2
    assert "makes showers of calorimeter 'calochallenge-2' alone: leave out" in outcome.err


def test_the_detector_is_read_from_files_that_say_it(caloforge: Caloforge, files: Path) -> None:
    made = files / "made.h5"
    beam = "-n", 100, "--energy", "1GeV:9GeV"
    assert caloforge("simulate", "gflash", "--detector", files / "thin.yaml", *beam, made).code == 0
    tiny = ("validation=30", "energy.schedule.epochs=0.1", "shape.schedule.epochs=0.1")
    words = [word for setting in (*tiny, "shape.student=null") for word in ("--set", setting)]
    model = files / "both"
    outcome = caloforge(
        "train", "caloflow-laptop", "--out", model, "--data", made, *SEVERAL, *words
    )
    assert (outcome.code, "--detector thin" in outcome.out) == (0, True)
    out = files / "generated.h5"
    asked = "generate", model, "-n", 3, "--energy", "5GeV"
    refused = caloforge(*asked, out)
    assert "model both is one of thin: say which by --detector" in refused.err
    assert caloforge(*asked, "--detector", "thin", out).code == 0
    unseen = caloforge(*asked, "--detector", files / "thick.yaml", files / "unseen.h5")
    assert unseen.code == 0
    assert "model both saw no showers of thick, but of thin alone" in unseen.err
