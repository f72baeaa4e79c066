"""`caloforge compare`: methods side by side, from a plan to a table."""

from pathlib import Path

import pytest
import torch

from caloforge import zoo
from caloforge.errors import FileFormatError
from caloforge.evaluation.methods import MethodPlan, make_all
from caloforge.io import convert, open_showers
from caloforge.report.method_table import METHOD_COLUMNS
from caloforge.showers import Showers
from tests.cli.samples import Caloforge

NUMBER = 60


def planned(folder: Path, methods: str) -> Path:
    """A plan beside its files."""
    for name in ("geant4", "gflash"):
        showers: Showers = zoo.bundled_showers(f"pbwo4-{name}")[:NUMBER]
        convert(showers, folder / f"{name}.h5", overwrite=True)
    (folder / "plan.yaml").write_text(f"full: {folder}/geant4.h5\nmethods:\n{methods}")
    return folder / "plan.yaml"


def test_methods_stand_side_by_side(caloforge: Caloforge, tmp_path: Path) -> None:
    fast = f"  fast: {{showers: {tmp_path}/gflash.h5, training: none}}\n"
    bridge = "  bridge: {gflash: pbwo4-10x10, refiners: [squirels-fast], training: 6 min}\n"
    plan = planned(tmp_path, fast + bridge)
    out = tmp_path / "compared"
    done = caloforge("compare", plan, "--out", out, "--no-classifier", "--threads", 1)
    assert done.code == 0, done.err
    table = (out / "methods.md").read_text()
    assert table in done.out
    assert "Worth" not in table
    header, _, *rows = ([c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines())
    assert tuple(header) == METHOD_COLUMNS
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert list(found) == ["fast", "bridge"]
    assert found["fast"]["ms"] == "-"
    assert float(found["bridge"]["ms"]) > 0
    assert float(found["bridge"]["concordance"]) > 0.8
    assert found["bridge"]["training"] == "6 min"
    assert (out / "report.html").exists()


def test_a_plan_with_the_training_says_what_showers_are_worth(
    caloforge: Caloforge, tmp_path: Path
) -> None:
    training: Showers = zoo.bundled_showers("pbwo4-geant4")[NUMBER : 3 * NUMBER]
    convert(training, tmp_path / "train.h5")
    plan = planned(tmp_path, f"  fast: {{showers: {tmp_path}/gflash.h5}}\n")
    plan.write_text(f"training: {tmp_path}/train.h5\n{plan.read_text()}")
    done = caloforge("compare", plan, "--out", tmp_path / "out", "--no-classifier")
    assert done.code == 0, done.err
    text = (tmp_path / "out" / "methods.md").read_text()
    header, _, row, _, note, *_ = text.splitlines()
    found = dict(
        zip(*([c.strip() for c in line.split("|")] for line in (header, row)), strict=True)
    )
    worth, error = map(float, found["worth"].split(" ± "))
    assert 0 < worth < 2 * NUMBER
    assert error > 0
    assert note.startswith("Worth: so many showers of geant4, of ")


def test_a_method_makes_what_its_commands_make(tmp_path: Path) -> None:
    plan = planned(tmp_path, "  two: {gflash: pbwo4-10x10, refiners: [squirels-fast]}\n")
    made = make_all(MethodPlan.read(plan), tmp_path, progress=lambda _: None)["two"]
    before = open_showers(tmp_path / "two.stage-0.h5")[:]
    refined = zoo.load("squirels-fast").refine(before, seed=0)
    assert torch.equal(made.file[:].deposits, refined.deposits)
    assert made.file.path == tmp_path / "two.h5"


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("  a: {}\n", "methods.a: expected one of showers, surrogate and gflash"),
        ("  a: {gflash: x, surrogate: y}\n", "methods.a: expected one of"),
        ("  a/b: {gflash: x}\n", "expected letters, digits"),
        ("  a: {gflsh: x}\n", "did you mean 'gflash'"),
        ("  {}\n", "no methods"),
    ],
)
def test_a_plan_that_is_none_is_refused(methods: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=message):
        MethodPlan.read(planned(tmp_path, methods))


def test_a_refiner_of_another_calorimeter_is_refused(caloforge: Caloforge, tmp_path: Path) -> None:
    plan = planned(tmp_path, "  a: {gflash: par04-lowgran}\n")
    done = caloforge("compare", plan, "--out", tmp_path / "out", "--no-classifier")
    assert done.code == 2
    assert "a part of a method" in done.err
