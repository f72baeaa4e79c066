"""The report on disk: complete, self-contained, plain numbers, whole or not at all."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from caloforge.errors import OutputError, OutputExistsError
from caloforge.evaluation import Evaluation, evaluate
from caloforge.evaluation.findings import Example
from caloforge.evaluation.significance import worst
from caloforge.geometry import CylinderGrid, CylinderLayer
from caloforge.observables import ENERGY_SUM, LAYER_ENERGY, N_HITS, SPECTRUM
from caloforge.report import remarks, require_free, write
from caloforge.report.display import MOST_CELLS, payload, place, scene
from caloforge.report.drawing import INK, Drawing, Group, over, symmetric_about_one
from caloforge.report.figures import drawings
from caloforge.report.latex import latex
from caloforge.report.tables import COLUMNS, table
from caloforge.units import GeV
from tests.catalogue import CYLINDERS
from tests.evaluation.samples import QUICK, compared, complete, energies, toy

FEW = (ENERGY_SUM, N_HITS)
ODD_NAMES = ["_hidden", "$x_1$ & <b>bold</b>", 'quote"d', "</script>", "ünïcode"]
FILES = {"report.html", "metrics.json", "metrics.csv", "table.tex", "figures"}
LAYERED = CylinderGrid("toy-3", tuple(CylinderLayer((0, 10, 20, 40), 4, id=k) for k in (0, 1, 12)))


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return complete()


@pytest.fixture(scope="module")
def folder(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(evaluation, tmp_path_factory.mktemp("report") / "new" / "folder").parent


@pytest.fixture(scope="module")
def figures(evaluation: Evaluation) -> list[Drawing]:
    return drawings(evaluation)


class Tags(HTMLParser):
    """The tags of a page, what they point to, and which ids and anchors it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.targets: set[str] = set()
        self.ids: list[str] = []
        self.labelled: list[bool] = []
        self._in_label = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = {name: value or "" for name, value in attrs}
        self.targets |= {
            named[n]
            for n in ("src", "href", "xlink:href", "data", "action", "srcset")
            if n in named
        }
        self.ids += [named["id"]] if "id" in named else []
        self._in_label |= tag == "label"
        if tag in ("select", "input"):
            self.labelled.append(self._in_label)

    def handle_endtag(self, tag: str) -> None:
        self._in_label &= tag != "label"


def visible(text: str) -> str:
    """The page without its scripts."""
    return re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_the_page_loads_nothing(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    page = Tags(visible(text))
    assert set(page.tags) & {"img", "iframe", "object", "embed", "base", "form"} == set()
    outside = {t for t in page.targets if not t.startswith(("#", "data:"))}
    assert outside == {"metrics.json", "metrics.csv", "table.tex"}
    assert "url(http" not in visible(text)
    assert "@import" not in visible(text)
    assert "default-src 'none'" in text
    assert len(re.findall(r"<script[^>]*>", text)) == 3
    assert "<script src" not in text


def test_links_within_the_page_lead_somewhere_and_ids_are_unique(folder: Path) -> None:
    page = Tags(visible((folder / "report.html").read_text()))
    assert {target[1:] for target in page.targets if target.startswith("#")} <= set(page.ids)
    own = [
        i
        for i in page.ids
        if i.startswith(("display", "group-", "part-", "table-", "reading")) or i.endswith("-1")
    ]
    assert len(own) > len(Group)
    assert len(own) == len(set(own))


def test_every_control_has_a_label(folder: Path) -> None:
    labelled = Tags(visible((folder / "report.html").read_text())).labelled
    assert len(labelled) == 6
    assert all(labelled)


def test_the_page_says_all_that_it_must(folder: Path) -> None:
    text = visible((folder / "report.html").read_text())
    start = [
        "fast differs",
        "refined",
        "<table>",
        'name">Total energy [MeV]',
        'name">Energy of a layer',
        "each of the 3",
        "AUC, ",
    ]
    figures = [f">{group.value}</h3>" for group in Group if group is not Group.ENERGY]
    order = [
        *start,
        *figures,
        ">Times<",
        ">720<",
        "<h2>Showers in space",
        "noscript",
        "<h2>How to read",
        "<h2>Where the numbers come from",
        ">torch<",
    ]
    places = [text.index(piece) for piece in order]
    assert places == sorted(places)
    assert "Full has only 120 showers" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert INK not in text[text.index("<svg") :]
    for word in (
        "floor",
        "gain",
        "separation",
        "FPD, KPD",
        "precision",
        "AUC",
        "weights w",
        "dependence on energy",
        "amplification",
    ):
        assert f"<strong>{word}" in text


def test_showers_in_the_tails_lead_to_the_display(evaluation: Evaluation, folder: Path) -> None:
    text = (folder / "report.html").read_text()
    [shown] = json.loads(re.findall(r'id="showers">(.*?)</script>', text, flags=re.DOTALL)[0])
    links = re.findall(r'data-shower="(\d+),(\d+),(\d+)">(\d+)<', text)
    assert len(links) == 2 * 2 * 3 * len(evaluation.settings.classifiers)
    for part, sample, k, row in (map(int, link) for link in links):
        assert part == 0
        assert shown["showers"][sample][k]["row"] == row


def test_every_figure_is_there_thrice_and_sound(
    evaluation: Evaluation, figures: list[Drawing], folder: Path
) -> None:
    widths = {d.name: d.figure.get_figwidth() for d in figures}
    names = set(widths)
    for suffix in ("svg", "pdf", "png"):
        assert {p.stem for p in (folder / "figures").glob(f"*.{suffix}")} == names
    expected = {
        "summary",
        "energy_sum",
        "response",
        "cell_energy_log",
        "n_hits",
        "layer_energy",
        "profile_r",
        "correlations",
    }
    assert expected | {"scatter", "amplification"} <= names
    assert {
        f"classifier_{j.name.replace('-', '_')}" for j in evaluation.settings.classifiers
    } <= names
    for path in (folder / "figures").glob("*.svg"):
        assert ElementTree.fromstring(path.read_text()).tag.endswith("svg")
    for path in (folder / "figures").glob("*.pdf"):
        assert path.read_bytes().startswith(b"%PDF")
    for path in (folder / "figures").glob("*.png"):
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        width = int.from_bytes(content[16:20])
        assert width == pytest.approx(200 * widths[path.stem], abs=1)


def test_text_in_figures_is_text(folder: Path) -> None:
    figure = ElementTree.fromstring((folder / "figures" / "n_hits.svg").read_text())
    text = "".join(figure.itertext())
    assert "share of showers" in text
    assert "refined" in text


def test_the_first_screen_shows_the_worst_and_a_typical_observable(
    evaluation: Evaluation, folder: Path
) -> None:
    text = visible((folder / "report.html").read_text())
    first = text[: text.index("<nav")]
    refined = evaluation.candidates[1]
    floors = {
        name: worst(one)[1].ratio_to_floor
        for name, one in evaluation.comparisons["refined"].items()
    }
    shown = re.findall(r'<use href="#svg-(.*)-1" ', first)
    assert len(shown) == 2
    assert "The worst observable: " in first
    assert shown[0] == max((name for name in floors if name != SPECTRUM.name), key=floors.get)
    assert floors[shown[1]] <= floors[shown[0]]
    assert f"{refined.name} is" in first


def test_the_table_for_a_paper_is_the_table(evaluation: Evaluation, folder: Path) -> None:
    text = (folder / "table.tex").read_text()
    assert text == latex([evaluation])
    lines = [line for line in text.splitlines() if line.endswith(r" \\")]
    cells = [line.removesuffix(r" \\").split(" & ") for line in lines[1:]]
    assert [row[1] for row in cells] == [row[1] for row in table(evaluation)]
    expected = [row[2].replace("±", r"$\pm$") for row in table(evaluation)]
    assert [row[2] for row in cells] == expected
    assert {len(row) for row in cells} == {len(COLUMNS)}
    assert not re.search(r"(?<!\\)[%#_]", "".join(lines))


def test_figures_stand_group_by_group(figures: list[Drawing]) -> None:
    order = [list(Group).index(d.group) for d in figures]
    assert order == sorted(order)


def test_numbers_stand_beside_the_page(evaluation: Evaluation, folder: Path) -> None:
    content = json.loads((folder / "metrics.json").read_text())
    assert len(content["evaluations"]) == 1
    header, *lines = (folder / "metrics.csv").read_text().splitlines()
    assert header.startswith("evaluation,candidate,quantity")
    assert len(lines) > len(evaluation.observables)


def test_nothing_is_left_half_written(folder: Path) -> None:
    assert {p.name for p in folder.iterdir()} == FILES
    assert not [p for p in folder.rglob("*") if p.name.startswith(".")]


def test_a_report_is_not_replaced_unless_told(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("an earlier one")
    evaluation = compared(20, observables=(N_HITS,))
    for act in (lambda: write(evaluation, tmp_path), lambda: require_free(tmp_path)):
        with pytest.raises(OutputExistsError, match=r"holds metrics\.json already"):
            act()
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]
    assert (tmp_path / "metrics.json").read_text() == "an earlier one"
    assert write(evaluation, tmp_path, overwrite=True) == tmp_path / "report.html"
    assert json.loads((tmp_path / "metrics.json").read_text())["schema"] > 0


def test_the_same_evaluation_gives_the_same_figures(evaluation: Evaluation) -> None:
    few = replace(evaluation, observables=(N_HITS, LAYER_ENERGY), classifiers={}, amplifications={})
    assert [d.svg for d in drawings(few)] == [d.svg for d in drawings(few)]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError):
            write(compared(20, observables=(N_HITS,)), path)


def test_several_evaluations_share_a_page_and_one_display(tmp_path: Path) -> None:
    write(
        [compared(20, low=e, high=e, observables=(N_HITS,)) for e in (50 * GeV, 80 * GeV)], tmp_path
    )
    text = (tmp_path / "report.html").read_text()
    assert text.index("50 GeV e- showers") < text.index("80 GeV e- showers")
    assert {"1-summary.png", "2-summary.png"} <= {p.name for p in (tmp_path / "figures").iterdir()}
    assert len(json.loads((tmp_path / "metrics.json").read_text())["evaluations"]) == 2
    assert text.count('id="display-plot"') == 1
    assert (
        len(json.loads(re.findall(r'id="showers">(.*?)</script>', text, flags=re.DOTALL)[0])) == 2
    )


def test_names_are_taken_literally(tmp_path: Path) -> None:
    energy = energies(20)
    candidates = {name: toy(energy, seed=k) for k, name in enumerate(ODD_NAMES)}
    evaluation = evaluate(toy(energy, seed=9), candidates, observables=FEW, settings=QUICK)
    texts = next(d for d in drawings(evaluation) if d.name == "n_hits").figure.axes[0].texts
    named = [text.get_text().partition(" (")[0].strip().replace(r"\$", "$") for text in texts]
    assert named[: 1 + len(ODD_NAMES)] == ["Full simulation", *ODD_NAMES]
    assert not any(
        "$" in text.get_text().replace(r"\$", "") for text in texts[: 1 + len(ODD_NAMES)]
    )
    page = write(evaluation, tmp_path).read_text()
    assert "<b>bold</b>" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert len(re.findall(r"</script>", page)) == 3
    assert json.loads(payload([scene(evaluation, "")]))[0]["samples"] == [
        "Full simulation",
        *ODD_NAMES,
    ]


def test_at_one_energy_a_share_of_it_is_not_drawn_again() -> None:
    names = [d.name for d in drawings(compared(30))]
    assert "response" not in names
    assert "max_fraction" not in names
    assert "energy_sum" in names


def test_rows_that_do_not_correspond_are_not_scattered() -> None:
    evaluation = evaluate(
        toy(energies(30)), {"a": toy(energies(30)), "b": toy(energies(25, seed=4))}, settings=QUICK
    )
    assert "scatter" not in [d.name for d in drawings(evaluation)]


@pytest.mark.parametrize("calorimeter", CYLINDERS[1:], ids=lambda c: c.name)
def test_cylinders_are_drawn_without_images(calorimeter) -> None:  # noqa: ANN001 (one of several kinds)
    energy = energies(12)
    full = toy(energy, calorimeter=calorimeter)
    names = [d.name for d in drawings(evaluate(full, {"a": full}, settings=QUICK))]
    assert "shower" not in names
    assert "profile_x" not in names


def test_one_observable_alone_is_drawn() -> None:
    full = toy(energies(12))
    for observable in (N_HITS, SPECTRUM):
        evaluation = evaluate(full, {"a": full}, observables=(observable,), settings=QUICK)
        assert [d.name for d in drawings(evaluation)] == ["summary", observable.name, "shower"]


def test_an_observable_that_could_not_be_compared_is_left_out() -> None:
    evaluation = compared(20, observables=FEW)
    without = {name: {N_HITS.name: of[N_HITS.name]} for name, of in evaluation.comparisons.items()}
    names = [d.name for d in drawings(replace(evaluation, comparisons=without))]
    assert N_HITS.name in names
    assert ENERGY_SUM.name not in names
    nothing = replace(evaluation, comparisons={name: {} for name in evaluation.comparisons})
    assert [d.name for d in drawings(nothing)] == ["shower"]


def test_a_series_shows_every_label_and_the_worst_as_a_histogram() -> None:
    energy = energies(40)
    full = toy(energy, calorimeter=LAYERED)
    deposits = full.deposits.clone()
    deposits[:, LAYERED.layer_of_cell == 1] *= 3
    evaluation = evaluate(
        full, {"a": replace(full, deposits=deposits)}, observables=(LAYER_ENERGY,), settings=QUICK
    )
    drawing = next(d for d in drawings(evaluation) if d.name == LAYER_ENERGY.name)
    titles = [ax.get_title(loc="left") for ax in drawing.figure.axes]
    assert "layer 1, the worst of 3" in titles
    named = next(ax for ax in drawing.figure.axes if ax.get_xlabel() == "layer")
    assert [t.get_text() for t in named.get_xticklabels()] == ["0", "1", "12"]


def test_unknown_thicknesses_are_why_depth_is_absent(evaluation: Evaluation) -> None:
    assert not {"centre_z", "width_z"} & {o.name for o in evaluation.observables}
    said = [remark for remark in remarks(evaluation) if "in depth are not compared" in remark]
    assert len(said) == 1
    assert "3 layers of calorimeter 'toy-3' is unknown" in said[0]
    assert not any("in depth" in remark for remark in remarks(compared(20)))


def test_the_display_holds_the_examples_as_they_are(evaluation: Evaluation) -> None:
    shown = scene(evaluation, "a title")
    transverse = LAYERED.transverse.numpy()
    for sample, showers in zip(evaluation.samples, shown.showers, strict=True):
        for example, shower in zip(
            (*sample.examples, *sample.outliers, *sample.partners), showers, strict=True
        ):
            assert shower.row == example.row
            np.testing.assert_allclose(shower.deposits, example.deposits, rtol=1e-3)
            np.testing.assert_allclose(
                [shown.centres[1][c] for c in shower.cells], transverse[example.cells, 0], rtol=1e-3
            )
            layers = LAYERED.layer_of_cell[example.cells]
            np.testing.assert_array_equal([shown.centres[0][c] for c in shower.cells], layers)


def test_of_a_huge_shower_the_brightest_cells_are_shown(evaluation: Evaluation) -> None:
    n = 2 * MOST_CELLS
    deposits = np.random.default_rng(0).permutation(n) + 1.0
    huge = Example(7, 1000.0, np.arange(n) % LAYERED.n_cells, deposits)
    full = replace(evaluation.full, examples=(huge,), outliers=())
    shown = scene(replace(evaluation, full=full, candidates=()), "").showers[0][0]
    assert len(shown.deposits) == MOST_CELLS
    assert min(shown.deposits) >= 0.999 * (n - MOST_CELLS)


def test_showers_without_any_energy_can_be_displayed(evaluation: Evaluation) -> None:
    nothing = Example(3, 1000.0, np.array([], dtype=np.int64), np.array([]))
    full = replace(evaluation.full, examples=(nothing,), outliers=())
    shown = scene(replace(evaluation, full=full, candidates=()), "")
    assert shown.showers[0][0].deposits == []
    assert all(low < high for low, high in shown.ranges)


def test_a_shower_that_is_not_shown_has_no_place(evaluation: Evaluation) -> None:
    sample = evaluation.full
    assert place(sample, sample.examples[1].row) == 1
    assert place(sample, 10**9) is None


def test_ratios_are_shown_where_they_are_known() -> None:
    assert np.isnan(over(np.array([1.0]), np.array([0.0]))).all()
    nothing = np.array([np.nan, np.nan])
    assert symmetric_about_one(nothing, [nothing]) == (0.9, 1.1)
    assert symmetric_about_one(np.array([0.01, 0.9]), [np.array([1.25, 9.0])]) == pytest.approx(
        (0.7, 1.3)
    )


def test_matplotlib_is_left_as_it_was() -> None:
    before = dict(mpl.rcParams)
    [d.svg for d in drawings(compared(12, observables=(N_HITS,)))]
    assert dict(mpl.rcParams) == before


def test_a_figure_that_cannot_be_drawn_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = compared(12, observables=(N_HITS,))
    names = [d.name for d in drawings(evaluation)]

    def fails(_: Evaluation) -> list[Drawing]:
        msg = "no <room>"
        raise ValueError(msg)

    monkeypatch.setattr("caloforge.report.figures.images", fails)
    without = [d.name for d in drawings(evaluation)]
    assert len(without) == len(names)
    assert set(names) - set(without) == {"shower"}
    text = write(evaluation, tmp_path).read_text()
    assert "This figure could not be drawn: ValueError, no &lt;room&gt;" in text
    assert "Hits above" in text
