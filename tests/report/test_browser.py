"""The page in a real browser: it loads nothing and complains of nothing, and its controls work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from caloforge.observables import ENERGY_SUM, LAYER_ENERGY
from caloforge.report import write
from tests.evaluation.samples import complete
from tests.report.browser import BROWSER, Page, browsing

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome is installed"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DRAWN = "document.querySelectorAll('#display-plot .gl-container canvas').length >= 2"
COUNTS = "[0, 2].map((k) => document.getElementById('display-plot').data[k].x.length)"
NOTES = "[0, 1].map((k) => document.getElementById(`display-note-${k}`).textContent)"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(complete((ENERGY_SUM, LAYER_ENERGY)), tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def page(report: Path) -> Iterator[Page]:
    with browsing() as page:
        page.see(report)
        page.wait(DRAWN)
        yield page


def set_to(page: Page, name: str, value: str | int, event: str = "change") -> None:
    """Set a control as a reader would."""
    page.ask(
        f"(() => {{ const it = document.getElementById('display-{name}'); it.value = '{value}';"
        f"it.dispatchEvent(new Event('{event}')); }})()"
    )


def counts(page: Page) -> list[int]:
    """How many points are drawn, left and right."""
    found: list[int] = page.ask(COUNTS)
    return found


def test_nothing_is_loaded_and_nothing_complained_of(report: Path, page: Page) -> None:
    assert [r for r in page.requests if not r.startswith(("data:", "blob:"))] == [
        report.resolve().as_uri()
    ]
    assert [c for c in page.complaints if "willReadFrequently" not in c] == []


def test_points_are_drawn_in_the_browsers_own_pixels(page: Page) -> None:
    assert min(counts(page)) > 0
    place = page.ask(
        "(() => { const r = document.getElementById('display-plot').getBoundingClientRect();"
        "return { x: r.left + scrollX, y: r.top + scrollY, width: r.width, height: r.height }; })()"
    )
    before = page.picture(**place)
    set_to(page, "threshold", 100, "input")
    assert sum(counts(page)) <= 2
    page.wait(f"({COUNTS}).reduce((a, b) => a + b) <= 2")
    after = page.picture(**place)
    set_to(page, "threshold", 0, "input")
    assert before != after


def test_the_threshold_takes_away_points_one_by_one(page: Page) -> None:
    found = []
    for step in (0, 60, 80, 90):
        set_to(page, "threshold", step, "input")
        found.append(sum(counts(page)))
    set_to(page, "threshold", 0, "input")
    assert found == sorted(found, reverse=True)
    assert len(set(found)) > 2


def test_the_choice_of_a_shower_and_of_a_sample_changes_what_is_drawn(page: Page) -> None:
    told = page.ask(NOTES)
    assert told[0].startswith("Full, shower")
    assert told[1].startswith("fast, shower")
    set_to(page, "shower", "both,0")
    other = page.ask(NOTES)
    assert other[0] != told[0]
    assert other[1] != told[1]
    set_to(page, "sample-1", 2)
    assert page.ask(NOTES)[1].startswith("refined, shower")
    set_to(page, "sample-1", 1)
    drawn = page.ask("document.getElementById('display-plot').data[2].marker.color.length")
    assert f"{drawn} of" in page.ask(NOTES)[1]


def test_a_shower_in_the_tails_is_shown_by_its_link(page: Page) -> None:
    row = page.ask("document.querySelector('a[data-shower^=\"0,2,\"]').textContent")
    page.ask("document.querySelector('a[data-shower^=\"0,2,\"]').click()")
    assert page.ask(NOTES)[1].startswith(f"refined, shower {row} ")
    assert page.ask(NOTES)[0].startswith(f"Full, shower {row} "), "it has the same energy"
    assert "in the tails" in page.ask(
        "document.querySelector('#display-shower option:checked').textContent"
    )


def test_colours_follow_light_and_dark(page: Page) -> None:
    ink = "document.getElementById('display-plot').layout.font.color"
    page.darken(False)
    page.wait(f"{ink} === '#1b1b1f'")
    page.darken(True)
    page.wait(f"{ink} === '#e7e7ea'")
    page.darken(False)
    page.wait(f"{ink} === '#1b1b1f'")


def test_the_showers_turn_together(page: Page) -> None:
    page.ask(
        "Plotly.relayout('display-plot', { 'scene.camera': { eye: { x: 1, y: 1, z: 1 } } "
        "}).then(() => null)"
    )
    page.wait("document.getElementById('display-plot').layout.scene2.camera.eye.x === 1")


@pytest.mark.parametrize("width", [1366, 390])
def test_the_page_fits_its_window(report: Path, page: Page, width: int) -> None:
    page.see(report, width=width)
    page.wait(DRAWN)
    assert page.ask("document.documentElement.scrollWidth") <= width
    assert page.ask(
        "[...document.querySelectorAll('figure')].every((f) => f.getBoundingClientRect().right <= "
        "innerWidth)"
    )


def test_without_scripts_the_page_reads(report: Path, page: Page) -> None:
    page.see(report, scripts=False)
    assert "scripts are switched off" in page.ask(
        "document.querySelector('#display noscript').textContent"
    )
    assert page.ask("document.querySelectorAll('figure svg').length") > 1
    page.see(report)


def test_it_prints(page: Page) -> None:
    assert len(page.command("Page.printToPDF")["data"]) > len("a page")


def test_a_labels_rows_unfold(page: Page) -> None:
    page.ask("document.querySelector('tr.parts details summary').click()")
    assert (
        page.ask("document.querySelector('tr.parts details table').getBoundingClientRect().height")
        > 0
    )
