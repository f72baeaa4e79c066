"""The page on judging someone else's showers does what it says: its Python runs as printed, and so
does its command.
"""

import ast
import json
import re
import shlex
from pathlib import Path

import pytest

from caloforge.cli import main
from tests.test_docs import ROOT

PAGE = (ROOT / "docs" / "evaluation.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
[COMMAND] = re.findall(r"```console\n\$ (.*?)\n```", PAGE)


def test_the_three_lines_of_python_are_three() -> None:
    [three] = [block for block in BLOCKS if "report.write" in block]
    assert len(ast.parse(three).body) == 3


def test_the_page_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/evaluation.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "Total energy [MeV] | theirs" in printed
    assert "Classifiers reach AUC" in printed
    assert "<html" in Path("report/report.html").read_text()
    found = json.loads(Path("report/metrics.json").read_text())["evaluations"][0]
    assert found["candidates"][0]["showers"] == 500
    assert set(found["classifiers"]["theirs"]) == {"low-level", "high-level"}


def test_its_command_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(BLOCKS[0], "docs/evaluation.md", "exec"), names)
    with pytest.raises(SystemExit) as end:
        main([*shlex.split(COMMAND)[1:], "--no-classifier"])
    assert end.value.code in (0, None)
    found = json.loads(Path("report/metrics.json").read_text())["evaluations"][0]
    assert found["comparisons"]["theirs"]["response"]["distance"]["ratio_to_floor"] > 3
