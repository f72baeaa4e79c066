"""`caloforge demo`: the whole job, on few showers and with a model that knows nothing."""

from pathlib import Path

import pytest

from caloforge import zoo
from caloforge.io import open_showers
from tests.cli.samples import Caloforge, write


@pytest.fixture
def few_showers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A demo of 60 showers."""
    few = write(tmp_path / "few.h5", zoo.bundled_showers("pbwo4-geant4")[:60])
    monkeypatch.setattr("caloforge.zoo.bundled_showers", lambda _: open_showers(few))


@pytest.mark.usefixtures("few_showers")
def test_the_demo_goes_from_simulation_to_report(
    caloforge: Caloforge, model: Path, tmp_path: Path
) -> None:
    words = ("demo", "--out", tmp_path / "demo", "--model", model, "--threads", 1)
    outcome = caloforge(*words)
    assert outcome.code == 0, outcome.err
    for expected in (
        "GFlash",
        "refined",
        "floor",
        "ms a shower",
        str(tmp_path / "demo" / "report"),
    ):
        assert expected in outcome.out
    assert (
        len(open_showers(tmp_path / "demo" / "gflash.h5"))
        == len(open_showers(tmp_path / "demo" / "short.h5"))
        == 60
    )
    again = caloforge(*words)
    assert again.code == 2
    assert len(again.err.splitlines()) == 1
