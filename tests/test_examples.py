"""Every Python example runs as printed: those of README, of the pages, and of docstrings."""

import doctest
import pkgutil
import re
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

import caloforge
from caloforge import zoo
from caloforge.detector import load_detector
from caloforge.io import convert
from caloforge.simulators import gflash_of, write_gflash
from tests.geant4 import needs_geant4
from tests.test_docs import ROOT

pytestmark = [
    pytest.mark.filterwarnings("ignore::caloforge.errors.EnergyRangeWarning"),
    pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning"),
]

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = {
    page.relative_to(ROOT).as_posix(): BLOCK.findall(page.read_text())
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if BLOCK.search(page.read_text()) and page.name != "evaluation.md"
}
"""The blocks of Python of each page that has some, in order; `test_tutorial` runs the other one."""

NEED_GEANT4 = {"docs/howto/geant4.md"}


def _showers(name: str, number: int) -> Callable[[Path], None]:
    return lambda path: convert(zoo.bundled_showers(name)[:number], path)


def _surrogate(path: Path) -> None:
    shutil.copytree(ROOT / "src/caloforge/zoo/models/calodream-ds2-laptop", path)


def _generated(path: Path) -> None:
    particles = zoo.bundled_showers("par04-geant4")[:300].particles
    convert(zoo.load_surrogate("calodream-ds2-laptop").simulate(particles, seed=1), path)


def _tuned(path: Path) -> None:
    detector = load_detector("pbwo4-10x10")
    write_gflash(path, gflash_of(detector), detector)


FILES: dict[str, Callable[[Path], None]] = {
    "geant4.h5": _showers("pbwo4-geant4", 500),
    "full.h5": _showers("par04-geant4", 50),
    "test.h5": _showers("pbwo4-geant4", 500),
    "dataset_2_2.hdf5": _showers("par04-geant4", 300),
    "mine.h5": _generated,
    "my-model": _surrogate,
    "tuned.yaml": _tuned,
}
"""What the pages take for granted, made small."""


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=needs_geant4 if page in NEED_GEANT4 else ()) for page in PAGES],
)
def test_a_page_runs_as_printed(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "\n".join(PAGES[page])
    for name, make in FILES.items():
        if f'"{name}"' in text and page not in NEED_GEANT4:
            make(tmp_path / name)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in PAGES[page]:
        exec(compile(block, page, "exec"), names)


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
