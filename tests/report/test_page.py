"""The report on disk: complete, self-contained, plain numbers, whole or not at all."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
import torch

from caloforge.errors import OutputError, OutputExistsError
from caloforge.metrics import Network
from caloforge.observables import ENERGY_SUM, N_HITS
from caloforge.report import Evaluation, Settings, evaluate, require_free, write
from caloforge.report.figures import INK, drawings
from caloforge.units import GeV
from tests.catalogue import CYLINDERS
from tests.report.samples import QUICK, energies, judged, toy

FEW = (ENERGY_SUM, N_HITS)
ODD_NAMES = ["_hidden", "$x_1$ & <b>bold</b>", 'quote"d', "ünïcode"]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    energy = energies(120)
    settings = Settings(replicas=4, cuts=4, trainings=2, network=Network(widths=(8,), epochs=2))
    times = {"Full": 180.0, "fast": 0.25}
    candidates = {"fast": toy(energy, width=30, seed=2), "refined": toy(energy, seed=3)}
    return evaluate(toy(energy), candidates, full_name="Full", times=times, settings=settings)


@pytest.fixture(scope="module")
def folder(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(evaluation, tmp_path_factory.mktemp("report") / "new" / "folder").parent


class Tags(HTMLParser):
    """The tags of a page and what they point to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.targets |= {
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action", "srcset")
        }


def test_the_page_loads_nothing_and_runs_nothing(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    page = Tags(text)
    assert page.tags & {"script", "link", "img", "iframe", "object"} == set()
    assert {t for t in page.targets if not t.startswith(("#", "data:image/png;base64,"))} == {"metrics.json"}
    assert "url(http" not in text
    assert "@import" not in text


def test_the_page_says_all_that_it_must(evaluation: Evaluation, folder: Path) -> None:
    text = (folder / "report.html").read_text()
    verdicts, table = ["fast.", "refined."], ["<table>", "Total energy [MeV]", "Classifier AUC"]
    order = [*verdicts, *table, "<svg", ">Times<", ">720<", ">Machine", ">torch<"]
    places = [text.index(piece) for piece in order]
    assert places == sorted(places)
    assert "Full has only 120 showers" in text
    assert "prefers-color-scheme: dark" in text
    assert INK not in text[text.index("<svg") :]


def test_every_figure_is_there_twice_and_sound(evaluation: Evaluation, folder: Path) -> None:
    names = {d.name for d in drawings(evaluation)}
    assert {p.stem for p in (folder / "figures").glob("*.svg")} == names
    assert {p.stem for p in (folder / "figures").glob("*.png")} == names
    assert {
        "summary",
        "energy_sum",
        "response",
        "cell_energy_log",
        "n_hits",
        "max_energy",
        "profile_x",
        "scatter",
        "shower",
    } <= names
    for path in (folder / "figures").glob("*.svg"):
        assert ElementTree.fromstring(path.read_text()).tag.endswith("svg")
    for path in (folder / "figures").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_numbers_are_plain_and_finite(evaluation: Evaluation, folder: Path) -> None:
    def refuse(text: str) -> float:
        raise AssertionError(text)

    content = json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)
    assert sorted(content) == ["evaluations", "machine", "schema", "versions"]
    assert content["schema"] == 1
    [one] = content["evaluations"]
    assert sorted(one) == sorted(
        ["title", "calorimeter", "pdg", "full", "candidates", "distances", "auc", "times", "settings", "remarks"]
    )
    assert [c["name"] for c in one["candidates"]] == ["fast", "refined"]
    hits = one["distances"]["refined"]["n_hits"]
    expected = evaluation.distances["refined"]["n_hits"]
    assert hits["value"] == expected.value
    assert hits["floor"] == expected.floor
    assert hits["gain"] == evaluation.gain(evaluation.candidates[1], N_HITS)
    assert one["auc"]["fast"]["value"] == evaluation.aucs["fast"].value
    assert one["times"] == {"Full": 180.0, "fast": 0.25}


def test_an_infinite_ratio_is_null(tmp_path: Path) -> None:
    fixed = torch.full((8,), 50 * GeV)
    full = toy(fixed[:1]).deposits.expand(8, -1)
    showers = toy(fixed)
    constant = replace(showers, deposits=full)
    write(evaluate(constant, {"a": showers, "b": constant}, observables=FEW, settings=QUICK), tmp_path)
    [one] = json.loads((tmp_path / "metrics.json").read_text())["evaluations"]
    assert one["distances"]["a"]["energy_sum"]["ratio_to_floor"] is None
    assert one["distances"]["b"]["energy_sum"]["ratio_to_floor"] == 1
    assert one["distances"]["b"]["energy_sum"]["gain"] is None


def test_nothing_is_left_half_written(folder: Path) -> None:
    assert {p.name for p in folder.iterdir()} == {"report.html", "metrics.json", "figures"}
    assert not [p for p in folder.rglob("*") if p.name.startswith(".")]


def test_a_report_is_not_replaced_unless_told(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("an earlier one")
    evaluation = judged(20, observables=(N_HITS,))
    for act in (lambda: write(evaluation, tmp_path), lambda: require_free(tmp_path)):
        with pytest.raises(OutputExistsError, match=r"holds metrics\.json already"):
            act()
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]
    assert (tmp_path / "metrics.json").read_text() == "an earlier one"
    assert write(evaluation, tmp_path, overwrite=True) == tmp_path / "report.html"
    assert json.loads((tmp_path / "metrics.json").read_text())["schema"] == 1


def test_the_same_evaluation_gives_the_same_figures(evaluation: Evaluation) -> None:
    few = replace(evaluation, observables=(N_HITS,))
    assert [d.svg for d in drawings(few)] == [d.svg for d in drawings(few)]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError):
            write(judged(20, observables=(N_HITS,)), path)


def test_several_evaluations_share_a_page(tmp_path: Path) -> None:
    write([judged(20, low=e, high=e, observables=(N_HITS,)) for e in (50 * GeV, 80 * GeV)], tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert text.index("50 GeV electrons") < text.index("80 GeV electrons")
    assert {"1-summary.png", "2-summary.png"} <= {p.name for p in (tmp_path / "figures").iterdir()}
    assert len(json.loads((tmp_path / "metrics.json").read_text())["evaluations"]) == 2


def test_names_are_taken_literally(tmp_path: Path) -> None:
    energy = energies(20)
    candidates = {name: toy(energy, seed=k) for k, name in enumerate(ODD_NAMES)}
    evaluation = evaluate(toy(energy, seed=9), candidates, observables=FEW, settings=QUICK)
    legend = drawings(evaluation)[1].figure.axes[0].get_legend()
    assert legend is not None
    named = [text.get_text().partition(" (")[0].strip().replace(r"\$", "$") for text in legend.get_texts()]
    assert named == ["Full simulation", *ODD_NAMES]
    assert not any("$" in text.get_text().replace(r"\$", "") for text in legend.get_texts())
    page = write(evaluation, tmp_path).read_text()
    assert "<b>bold</b>" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert list(json.loads((tmp_path / "metrics.json").read_text())["evaluations"][0]["distances"]) == ODD_NAMES


def test_at_one_energy_a_share_of_it_is_not_drawn_again() -> None:
    names = [d.name for d in drawings(judged(30))]
    assert "response" not in names
    assert "max_fraction" not in names
    assert "energy_sum" in names


def test_rows_that_do_not_correspond_are_not_scattered() -> None:
    evaluation = evaluate(toy(energies(30)), {"a": toy(energies(30)), "b": toy(energies(25, seed=4))}, settings=QUICK)
    assert "scatter" not in [d.name for d in drawings(evaluation)]


@pytest.mark.parametrize("calorimeter", CYLINDERS[1:], ids=lambda c: c.name)
def test_cylinders_are_drawn_without_images(calorimeter, tmp_path: Path) -> None:  # noqa: ANN001 (one of several kinds)
    energy = energies(12)
    full = toy(energy, calorimeter=calorimeter)
    names = [d.name for d in drawings(evaluate(full, {"a": full}, settings=QUICK))]
    assert "shower" not in names
    assert "profile_x" not in names


def test_one_observable_alone_is_drawn() -> None:
    full = toy(energies(12))
    evaluation = evaluate(full, {"a": full}, observables=(N_HITS,), settings=QUICK)
    assert [d.name for d in drawings(evaluation)] == ["summary", "n_hits", "shower"]


def test_matplotlib_is_left_as_it_was() -> None:
    before = dict(mpl.rcParams)
    [d.svg for d in drawings(judged(12, observables=(N_HITS,)))]
    assert dict(mpl.rcParams) == before
