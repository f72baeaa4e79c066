"""What the documentation says can be done, can be done."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from caloforge import zoo
from caloforge.cli._app import app
from caloforge.errors import CaloforgeError
from caloforge.models import recipe_names
from docs.readme import RESULTS, filled, results

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "src/caloforge/cli").glob("*.py"),
    ]
)
COMMAND = re.compile(
    r"^(?:\s*\$ | {2,})(?:\w+=\S+ )*(caloforge [^`#\n]+)$|`(caloforge [a-z][^`\n]*)`", re.MULTILINE
)
TARGET = re.compile(
    r"`(?:\w+=\S+ )*make ([a-z-]+)`|^\s*(?:\$ )?(?:\w+=\S+ )*make ([a-z-]+)\s*(?:#.*)?$",
    re.MULTILINE,
)
PROSE = re.compile(r"\.\.\.|\bNAME\b|:$")


def matches(pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for match in pattern.finditer(page.read_text()):
            yield page.relative_to(ROOT).as_posix(), (match[1] or match[2]).strip()


COMMANDS = sorted({(page, text) for page, text in matches(COMMAND) if not PROSE.search(text)})
NAMED = re.compile(r" (squirels|calodream-)")
"""Every command in the documentation and in the help texts."""


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 20
    assert {text.split()[1] for _, text in COMMANDS} >= {
        "demo",
        "simulate",
        "generate",
        "refine",
        "evaluate",
        "bench",
        "train",
        "show",
        "convert",
        "models",
    }


def understand(words: list[str]) -> None:
    """Parse the words as the command line does, without doing anything; a bare name of a command is
    only looked up.
    """
    command, name, context = get_command(app), "caloforge", None
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        context = command.make_context(name, words[:1], parent=context)
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    if words and words != ["--help"]:
        command.make_context(name, words, parent=context)


@pytest.mark.parametrize(("page", "text"), COMMANDS)
def test_every_documented_command_is_understood(page: str, text: str) -> None:
    """Files and models of one's own are not there."""
    with suppress(CaloforgeError, typer.Exit):
        understand(shlex.split(text)[1:])


@pytest.mark.parametrize(
    "text",
    [
        "refine squirels-fast",
        "refine model in.h5 out.h5 --sped 3",
        "simulate geant5",
        "--sped",
        "smile",
    ],
)
def test_a_command_that_is_not_one_would_be_noticed(text: str) -> None:
    with pytest.raises((TyperException, CaloforgeError)):
        understand(text.split())


@pytest.mark.parametrize(
    ("page", "text"), [(page, text) for page, text in COMMANDS if NAMED.search(text)]
)
def test_every_documented_model_and_recipe_is_there(page: str, text: str) -> None:
    command, *words = shlex.split(text)[1:]
    known = recipe_names() if command == "train" else zoo.names()
    assert [word for word in words if NAMED.match(f" {word}") and word not in known] == [], page


def test_the_page_of_results_has_the_numbers_of_the_cards() -> None:
    page = RESULTS.read_text()
    assert filled(page, "results", results()) == page, "run `make readme`"


@pytest.mark.parametrize(("page", "target"), sorted(set(matches(TARGET))))
def test_every_documented_target_is_in_the_makefile(page: str, target: str) -> None:
    assert re.search(rf"^{target}:.*##", (ROOT / "Makefile").read_text(), re.MULTILINE), page


def test_every_python_example_in_the_documentation_compiles() -> None:
    blocks = [
        (page, block)
        for page in PAGES
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    assert blocks
    for page, block in blocks:
        compile(block, str(page), "exec")


def test_contributing_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 80


def papers(text: str) -> set[str]:
    """The numbers of the papers that a text names."""
    return set(re.findall(r"\d{4}\.\d{5}|hep-ex/\d{7}", text))


def test_the_papers_of_all_systems_are_to_be_cited() -> None:
    to_cite = papers((ROOT / "README.md").read_text().split("## How to cite")[1])
    assert to_cite == papers((ROOT / "CITATION.cff").read_text())
    rooms = [ROOT / "src/caloforge/systems", ROOT / "src/caloforge/simulators/gflash"]
    heads = [
        path for room in rooms for path in sorted(room.glob("*.*ml")) + sorted(room.glob("*.py"))
    ]
    assert papers("".join(path.read_text() for path in heads)) <= to_cite


def test_pages_say_that_scripts_need_a_clone() -> None:
    silent = [
        page.name
        for page in PAGES
        if "$ python benchmarks/" in (text := page.read_text())
        and "in a clone" not in " ".join(text.lower().split())
    ]
    assert silent == []


def test_formulas_of_the_documentation_need_no_network() -> None:
    assert '"sphinx-mathjax-offline"' in (ROOT / "docs/conf.py").read_text()


def test_prose_has_at_most_a_hundred_columns() -> None:
    long = []
    for page in [ROOT / "CHANGELOG.md", ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        prose = re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        prose = re.sub(r"\[[^]\n]*\]\([^)\n]*\)|`[^`\n]*`", "", prose)
        long += [line for line in prose.splitlines() if len(line) > 100 and line[:1] not in "|!"]
    assert long == []
