"""`caloforge evaluate`: the summary on the terminal, the page and the numbers in the folder, names
of samples.
"""

import json
from pathlib import Path

import pytest
import torch

from caloforge.io import CaloChallengeWriter
from tests.cli.samples import Caloforge, random_showers, write

Pair = tuple[Path, Path]
QUICK = ("--no-classifier", "--threads", 1)


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures and the page, which take most of the time, where the terminal is
    looked at.
    """
    monkeypatch.setattr(
        "caloforge.report.write",
        lambda _evaluation, directory, *, overwrite, **_: Path(directory) / f"{overwrite}.html",
    )


@pytest.fixture
def few_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw two observables alone."""
    monkeypatch.setattr("caloforge.report.figures.drawn", lambda found: found.observables[:2])


@pytest.mark.usefixtures("few_figures")
def test_the_folder_has_page_and_numbers_and_is_replaced_only_if_told(
    caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path
) -> None:
    words = ("evaluate", *full_and_fast, "--out", tmp_path / "report", *QUICK)
    outcome = caloforge(*words)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    [page] = [line.split(":")[0] for line in outcome.out.splitlines() if "the whole report" in line]
    assert "<html" in Path(page).read_text()
    numbers = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert "pbwo4-gflash" in json.dumps(numbers)
    assert caloforge(*words).code == 2
    assert caloforge(*words, "--overwrite").code == 0
    assert (
        json.loads((tmp_path / "report" / "metrics.json").read_text())["evaluations"]
        == numbers["evaluations"]
    )


@pytest.mark.usefixtures("few_figures")
def test_figures_are_written_in_the_formats_asked_for_and_older_ones_removed(
    caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path
) -> None:
    words = ("evaluate", *full_and_fast, "--out", tmp_path, *QUICK, "--overwrite", "--figures")
    for asked, endings in (("pdf,svg", {".pdf", ".svg"}), ("svg", {".svg"}), ("none", set())):
        assert caloforge(*words, asked).code == 0
        assert {path.suffix for path in (tmp_path / "figures").iterdir()} == endings
        assert "<svg role" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("asked", ["gif", "pdf,", "", "none,svg"])
def test_unknown_formats_of_figures_are_refused(
    caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path, asked: str
) -> None:
    outcome = caloforge("evaluate", *full_and_fast, "--out", tmp_path / "r", "--figures", asked)
    assert outcome.code == 2
    assert f"--figures '{asked}': expected some of pdf, svg, png" in outcome.err
    assert not (tmp_path / "r").exists()


@pytest.mark.usefixtures("unwritten")
def test_the_summary_depends_on_the_seed_alone(
    caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path
) -> None:
    variants = [(), ("--batch-size", 7), ("--seed", 1)]
    one, small, other = (
        caloforge("evaluate", *full_and_fast, "--out", tmp_path, *QUICK, *words).out
        for words in variants
    )
    assert "pbwo4-gflash" in one
    assert "floor" in one
    assert one == small
    assert one != other


@pytest.mark.usefixtures("unwritten")
def test_labels_name_the_samples(caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path) -> None:
    full, fast = full_and_fast
    words = ("evaluate", full, fast, fast, "--out", tmp_path, *QUICK)
    clash = caloforge(*words)
    assert clash.code == 2
    assert "--labels" in clash.err
    outcome = caloforge(*words, "--labels", "Geant4, [GFlash], again")
    assert outcome.code == 0, outcome.err
    assert "distance to Geant4" in outcome.out
    assert " [GFlash] " in outcome.out
    whole = caloforge(*words, "--labels", "Geant4, [GFlash], again", "--table")
    assert "distances to Geant4" in whole.out
    assert "\n  [GFlash]" in whole.out
    assert len(whole.out.splitlines()) > 2 * len(outcome.out.splitlines())


@pytest.mark.parametrize("labels", ["Geant4", "Geant4,GFlash,more", "same,same", "Geant4,"])
def test_labels_that_do_not_fit_are_one_line(
    caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path, labels: str
) -> None:
    outcome = caloforge(
        "evaluate", *full_and_fast, "--out", tmp_path / "report", "--labels", labels
    )
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 1
    assert not (tmp_path / "report").exists()


def test_the_time_of_the_full_simulation_is_taken_from_its_file(
    caloforge: Caloforge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    showers = random_showers(40)
    with CaloChallengeWriter(tmp_path / "full.h5", showers.calorimeter) as writer:
        writer.append(showers, {"cpu_time_ms": torch.linspace(100, 300, 40)})
    candidate = write(tmp_path / "fast.h5", random_showers(40, seed=2))
    times = {}
    monkeypatch.setattr(
        "caloforge.report.write",
        lambda evaluation, directory, **_: times.update(evaluation.times) or Path(directory),
    )
    assert (
        caloforge("evaluate", tmp_path / "full.h5", candidate, "--out", tmp_path, *QUICK).code == 0
    )
    assert times == {"full": pytest.approx(200)}


def test_a_report_in_the_way_is_noticed_before_the_work(
    caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metrics.json").write_text("mine")
    monkeypatch.setattr(
        "caloforge.evaluation.evaluate", lambda *_, **__: pytest.fail("the work began")
    )
    assert caloforge("evaluate", *full_and_fast, "--out", tmp_path, *QUICK).code == 2
    assert (tmp_path / "metrics.json").read_text() == "mine"


def test_a_calorimeter_beside_a_preset_is_refused(
    caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path
) -> None:
    words = ("--preset", "calochallenge-2", "--calorimeter", "pbwo4-10x10", *QUICK)
    outcome = caloforge("evaluate", *full_and_fast, "--out", tmp_path / "r", *words)
    assert outcome.code == 2
    assert "--calorimeter beside --preset" in outcome.err


@pytest.mark.usefixtures("unwritten")
def test_a_quick_look_takes_the_first_showers_of_a_pattern(
    caloforge: Caloforge, tmp_path: Path
) -> None:
    for k in range(4):
        write(tmp_path / f"part_{k}.h5", random_showers(50, seed=k))
    words = ("--labels", "full,fast", "--out", tmp_path / "r", *QUICK, "--particle", "e-")
    files = (tmp_path / "part_[01].h5", tmp_path / "part_[23].h5")
    outcome = caloforge("evaluate", *files, *words, "-n", 60)
    assert outcome.code == 0, outcome.err
    assert "e- showers in pbwo4-10x10, 60 of each sample" in outcome.out
