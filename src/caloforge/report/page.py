"""The report on disk: one self-contained HTML page, the figures, and the plain numbers.

A folder gets ``report.html``, ``metrics.json`` and ``metrics.csv`` (`caloforge.report.numbers`),
``table.tex`` and ``figures/*.pdf``, ``*.svg`` and ``*.png``. The page holds everything it shows and
loads nothing, which its content security policy enforces. It follows the reader's choice of light
or dark, prints, and reads without scripts, too: only the event display needs them.
"""

__all__ = ["require_free", "write"]

import csv
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from caloforge.errors import OutputError, OutputExistsError
from caloforge.evaluation.findings import IN_TAILS, Evaluation, Sample, ShowerWeights
from caloforge.evaluation.ranking import Ranking, RankingRow, published_rows, ranking
from caloforge.evaluation.significance import overall
from caloforge.io.output import NewFile, require_folder
from caloforge.report.bin_tables import BIN_COLUMNS, bin_rows
from caloforge.report.display import library, payload, place, scene, script
from caloforge.report.drawing import INK, Drawing, Format, Group
from caloforge.report.figures import drawings
from caloforge.report.latex import latex
from caloforge.report.numbers import CSV_COLUMNS, csv_rows, numbers
from caloforge.report.provenance import machine, made, versions
from caloforge.report.tables import COLUMNS, number, rows, with_error
from caloforge.report.words import energy_range, in_floors, plainly, remarks, title, verdict
from caloforge.units import format_energy

_NAMED_PART = re.compile('<g id="[^"]*"')
"""Names of parts of a figure, to which nothing refers, and which two figures may have in common."""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""How the cells begin that a spreadsheet computes."""

PAGE, METRICS, TABLE, FIGURES = "report.html", "metrics.json", "metrics.csv", "figures"
LATEX = "table.tex"


def require_free(directory: Path | str, *, overwrite: bool = False) -> None:
    """Check, before hours of work, that a report can be written to a folder.

    Arguments:
        directory: The folder; it may be missing.
        overwrite: Whether files of an earlier report may be replaced.

    Raises:
        OutputExistsError: The folder holds a report that may not be replaced.
        OutputError: The path is a file, or its folder closed to writing.
    """
    folder = Path(directory)
    require_folder(folder)
    taken = [name for name in (PAGE, METRICS, TABLE, LATEX, FIGURES) if (folder / name).exists()]
    if taken and not overwrite:
        msg = (
            f"{folder}: holds {', '.join(taken)} already: choose another folder, or ask for the "
            "report to be overwritten"
        )
        raise OutputExistsError(msg)


def write(
    evaluation: Evaluation | Sequence[Evaluation],
    directory: Path | str,
    *,
    overwrite: bool = False,
    formats: Collection[Format] = tuple(Format),
) -> Path:
    """Write the report of one evaluation, or of several on one page.

    Each file appears whole or not at all, the page last. The page shows every figure, whatever
    the formats of the files beside it. Files of an earlier report in other formats are removed.

    Arguments:
        evaluation: The evaluation, or several, such as one an energy.
        directory: The folder to write to; made if it is missing.
        overwrite: Whether files of an earlier report may be replaced.
        formats: In what formats the figures are written beside the page; none for the page alone.

    Returns:
        The path of the page.

    Raises:
        OutputExistsError: The folder holds a report that may not be replaced.
        OutputError: The folder cannot be made or written to.
    """
    require_free(directory, overwrite=overwrite)
    evaluations = [evaluation] if isinstance(evaluation, Evaluation) else list(evaluation)
    figures = [drawings(e) for e in evaluations]
    files = {
        METRICS: _json(evaluations),
        TABLE: _csv(evaluations),
        **_figure_files(figures, formats),
    }
    files[LATEX] = latex(evaluations).encode(errors="replace")
    files[PAGE] = _html(evaluations, figures).encode(errors="replace")
    _make(Path(directory) / FIGURES)
    for name, content in files.items():
        with NewFile(Path(directory) / name, overwrite=overwrite) as partial:
            partial.write_bytes(content)
    _remove_others(Path(directory), _figure_names(figures), formats)
    return Path(directory) / PAGE


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: cannot be made ({error.strerror}): choose another folder"
        raise OutputError(msg) from error


def _json(evaluations: Sequence[Evaluation]) -> bytes:
    return (
        json.dumps(numbers(evaluations), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    ).encode(errors="replace")


def _csv(evaluations: Sequence[Evaluation]) -> bytes:
    text = io.StringIO()
    rows_of = ([_inert(cell) for cell in row] for row in csv_rows(evaluations))
    csv.writer(text, lineterminator="\n").writerows([CSV_COLUMNS, *rows_of])
    return text.getvalue().encode(errors="replace")


def _inert(cell: str | float) -> str | float:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell


def _figure_names(figures: Sequence[Sequence[Drawing]]) -> dict[str, Drawing]:
    """The figures by the names of their files, without endings; with several evaluations, the names
    begin with the number of theirs.
    """
    return {
        f"{FIGURES}/{k}-{drawing.name}"
        if len(figures) > 1
        else f"{FIGURES}/{drawing.name}": drawing
        for k, group in enumerate(figures, start=1)
        for drawing in group
    }


def _figure_files(
    figures: Sequence[Sequence[Drawing]], formats: Collection[Format]
) -> dict[str, bytes]:
    """The names and contents of the figures' files."""
    return {
        f"{name}.{kind.value}": drawing.file(kind)
        for name, drawing in _figure_names(figures).items()
        for kind in formats
    }


def _remove_others(folder: Path, names: Collection[str], formats: Collection[Format]) -> None:
    """Remove an earlier report's files of these figures, which would show other showers."""
    for name in names:
        for kind in Format:
            if kind not in formats:
                (folder / f"{name}.{kind.value}").unlink(missing_ok=True)


def _html(evaluations: Sequence[Evaluation], figures: Sequence[Sequence[Drawing]]) -> str:
    environment = Environment(
        loader=PackageLoader("caloforge.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scenes = [scene(e, title(e)) for e in evaluations]
    return environment.get_template("page.html.j2").render(
        sections=[
            _section(k, e, group)
            for k, (e, group) in enumerate(zip(evaluations, figures, strict=True))
        ],
        scenes=scenes,
        showers=Markup(payload(scenes)),
        plotly=Markup(library()),
        display=Markup(script()),
        columns=COLUMNS,
        bin_columns=BIN_COLUMNS,
        made=made(),
        machine=machine(),
        versions=versions(),
        metrics=METRICS,
        table=TABLE,
        latex=LATEX,
    )


def _section(part: int, evaluation: Evaluation, figures: Sequence[Drawing]) -> dict[str, Any]:
    return {
        "title": title(evaluation),
        "full": evaluation.full.name,
        "samples": [_sample(s, evaluation.origins.get(s.name, {})) for s in evaluation.samples],
        "verdicts": [_verdict(evaluation, candidate) for candidate in evaluation.candidates],
        "remarks": remarks(evaluation),
        "groups": [
            list(group) for _, group in groupby(rows(evaluation), key=lambda row: row.observable)
        ],
        "bins": bin_rows(evaluation),
        "first": _first(evaluation, figures),
        "figures": _figure_groups(part, figures),
        "tails": _tails(part, evaluation),
        "published": _published(evaluation),
        "times": _times(evaluation),
        "settings": evaluation.settings,
        "origins": evaluation.origins,
    }


def _sample(sample: Sample, origin: Mapping[str, str]) -> dict[str, str]:
    weighted = f" (weighted, worth {sample.effective_size:,.0f})" if sample.weighted else ""
    part = f" ({origin['showers']})" if "showers" in origin else ""
    return {
        "name": sample.name,
        "text": f"{len(sample):,} showers{weighted}{part}, {energy_range(sample)}",
    }


def _verdict(evaluation: Evaluation, candidate: Sample) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "significance": overall(evaluation, candidate),
        "plain": plainly(evaluation, candidate),
        "text": verdict(evaluation, candidate).removeprefix("No verdict. "),
    }


def _first(evaluation: Evaluation, figures: Sequence[Drawing]) -> list[dict[str, Any]]:
    """The figures of the worst and of the median observable, for the first screen. The first of
    several candidates, the baseline, does not choose them.
    """
    drawn = {drawing.name: drawing for drawing in figures}
    others = evaluation.candidates[1:] or evaluation.candidates
    found = sorted(
        (floors, said, name)
        for candidate in others
        for name, said, floors in in_floors(evaluation, candidate)
        if name in drawn
    )
    if not found:
        return []
    chosen = {"The worst observable": found[-1], "A typical one": found[(len(found) - 1) // 2]}
    return [
        {**_size(drawn[name]), "name": name, "said": f"{what}: {said}."}
        for what, (_, said, name) in chosen.items()
    ]


def _size(drawing: Drawing) -> dict[str, float]:
    width, height = drawing.figure.get_size_inches()
    return {"inches": width, "height": height}


def _figure_groups(part: int, figures: Sequence[Drawing]) -> list[dict[str, Any]]:
    """The figures, group by group."""
    held = {group: [_figure(part, d) for d in figures if d.group is group] for group in Group}
    return [
        {"key": group.name.lower(), "title": group.value, "figures": shown}
        for group, shown in held.items()
        if shown
    ]


def _figure(part: int, drawing: Drawing) -> dict[str, Any]:
    """A figure in the colours of the page's text."""
    svg = _NAMED_PART.sub("<g", drawing.svg.replace(INK, "currentColor")).replace(
        "<svg ", f'<svg role="img" id="svg-{drawing.name}-{part + 1}" ', 1
    )
    return {
        "svg": Markup(svg),
        "caption": drawing.caption,
        "wide": drawing.wide,
        "name": drawing.name,
        **_size(drawing),
    }


def _tails(part: int, evaluation: Evaluation) -> list[dict[str, Any]]:
    """For each classifier and candidate the showers that fit the other sample least."""
    listed = []
    for place_of, candidate in enumerate(evaluation.candidates, start=1):
        for separation in evaluation.classifiers[candidate.name].values():
            tails = separation.tails(IN_TAILS)
            spurious = _showers(part, place_of, candidate, tails.spurious)
            missed = _showers(part, 0, evaluation.full, tails.missed)
            listed.append(
                {
                    "candidate": candidate.name,
                    "classifier": separation.title,
                    "spurious": spurious,
                    "missed": missed,
                }
            )
    return listed


def _showers(part: int, of: int, sample: Sample, weighed: ShowerWeights) -> list[dict[str, str]]:
    return [
        {
            "row": str(row),
            "energy": format_energy(float(f"{sample.energies[row]:.3g}")),
            "weight": f"{10**power:.2g}",
            "link": "" if (k := place(sample, int(row))) is None else f"{part},{of},{k}",
        }
        for row, power in zip(weighed.rows, weighed.log_weights, strict=True)
    ]


def _published(evaluation: Evaluation) -> dict[str, Any] | None:
    """What the benchmark published, and where the candidates would rank; None without
    a benchmark.
    """
    preset = evaluation.preset
    if preset is None or not preset.published:
        return None
    return {
        "title": preset.title,
        "source": preset.source,
        "rankings": [
            _ranking(ranking(evaluation, candidate.name)) for candidate in evaluation.candidates
        ],
        "table": _full_table(published_rows(preset)),
    }


def _ranking(found: Ranking) -> dict[str, Any]:
    return {
        "candidate": found.candidate,
        "rows": [_ranking_row(row) for row in found.rows if row.own is not None],
    }


def _ranking_row(row: RankingRow) -> dict[str, Any]:
    own = row.own
    value = (
        ""
        if own is None
        else f"{own.value:.4g}"
        if own.error is None
        else with_error(own.value, own.error)
    )
    return {
        "title": row.title,
        "own": value,
        "floor": "" if own is None or own.floor is None else f"{own.floor:.3g}",
        "geant4": "" if row.geant4 is None else f"{row.geant4:.4g}",
        "best": f"{row.best:.4g} ({row.best_name})",
        "rank": f"{row.rank} of {row.submissions + 1}",
        "comparable": row.comparable,
    }


def _full_table(published: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    columns = list(
        dict.fromkeys(title for numbers_of in published.values() for title in numbers_of)
    )
    lines = [
        [name, *(f"{of[c]:.4g}" if c in of else "" for c in columns)]
        for name, of in published.items()
    ]
    return {"columns": columns, "lines": lines}


def _times(evaluation: Evaluation) -> list[dict[str, str]]:
    reference = evaluation.times.get(evaluation.full.name)
    return [
        {
            "stage": stage,
            "time": f"{time:.3g}",
            "factor": "" if reference is None else f"{number(reference / time)}",
        }
        for stage, time in evaluation.times.items()
    ]
