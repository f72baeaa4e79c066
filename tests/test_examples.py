"""Every example of a docstring prints what it says; `test_pages` follows the pages."""

import doctest
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import caloforge

MODULES = [module.name for module in pkgutil.walk_packages(caloforge.__path__, "caloforge.")]
EXAMPLES = [
    pytest.param(example, id=example.name)
    for name in MODULES
    if not name.rpartition(".")[2].startswith("_inside")
    for example in doctest.DocTestFinder().find(import_module(name), name)
    if example.examples
]


def test_docstrings_have_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_prints_what_it_says(
    example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert result.failed == 0, "".join(said)
