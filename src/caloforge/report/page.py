"""The report on disk: one self-contained HTML page, the figures, and the plain numbers.

A folder gets ``report.html``, ``metrics.json`` (see `caloforge.report.numbers`) and ``figures/*.png`` and ``*.svg``. The page
holds everything it shows: it loads nothing, runs no script, and follows the reader's choice of light or dark.
"""

__all__ = ["require_free", "write"]

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from caloforge.errors import OutputError, OutputExistsError
from caloforge.io.output import NewFile
from caloforge.report.figures import INK, Drawing, drawings
from caloforge.report.numbers import numbers
from caloforge.report.provenance import machine, versions
from caloforge.report.records import Evaluation, Sample
from caloforge.report.tables import COLUMNS, number, overall, rows
from caloforge.report.words import energy_range, remarks, title, verdict

PAGE, METRICS, FIGURES = "report.html", "metrics.json", "figures"


def require_free(directory: Path | str, *, overwrite: bool = False) -> None:
    """Check, before hours of work, that a report can be written to a folder.

    Arguments:
        directory: The folder; it may be missing.
        overwrite: Whether files of an earlier report may be replaced.

    Raises:
        OutputExistsError: The folder holds a report that may not be replaced.
        OutputError: The path is a file.
    """
    folder = Path(directory)
    if folder.exists() and not folder.is_dir():
        msg = f"{folder}: is a file, expected a folder for the report"
        raise OutputError(msg)
    taken = [name for name in (PAGE, METRICS, FIGURES) if (folder / name).exists()]
    if taken and not overwrite:
        msg = f"{folder}: holds {', '.join(taken)} already: choose another folder, or ask for the report to be overwritten"
        raise OutputExistsError(msg)


def write(evaluation: Evaluation | Sequence[Evaluation], directory: Path | str, *, overwrite: bool = False) -> Path:
    """Write the report of one evaluation, or of several on one page.

    Each file appears whole or not at all, the page last.

    Arguments:
        evaluation: The evaluation, or several, such as one an energy.
        directory: The folder to write to; made if it is missing.
        overwrite: Whether files of an earlier report may be replaced.

    Returns:
        The path of the page.

    Raises:
        OutputExistsError: The folder holds a report that may not be replaced.
        OutputError: The folder cannot be made or written to.
    """
    require_free(directory, overwrite=overwrite)
    evaluations = [evaluation] if isinstance(evaluation, Evaluation) else list(evaluation)
    figures = [drawings(e) for e in evaluations]
    files = {METRICS: _json(evaluations), **_figure_files(figures), PAGE: _html(evaluations, figures).encode()}
    _make(Path(directory) / FIGURES)
    for name, content in files.items():
        with NewFile(Path(directory) / name, overwrite=overwrite) as partial:
            partial.write_bytes(content)
    return Path(directory) / PAGE


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: cannot be made ({error.strerror}): choose another folder"
        raise OutputError(msg) from error


def _json(evaluations: Sequence[Evaluation]) -> bytes:
    return (json.dumps(numbers(evaluations), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _figure_files(figures: Sequence[Sequence[Drawing]]) -> dict[str, bytes]:
    """The figures' names and contents; with several evaluations, the names begin with the number of theirs."""
    files = {}
    for k, group in enumerate(figures, start=1):
        prefix = f"{FIGURES}/{k}-" if len(figures) > 1 else f"{FIGURES}/"
        for drawing in group:
            files[f"{prefix}{drawing.name}.png"] = drawing.png
            files[f"{prefix}{drawing.name}.svg"] = drawing.svg.replace("<svg ", '<svg style="background: white" ', 1).encode()
    return files


def _html(evaluations: Sequence[Evaluation], figures: Sequence[Sequence[Drawing]]) -> str:
    environment = Environment(
        loader=PackageLoader("caloforge.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [_section(e, group) for e, group in zip(evaluations, figures, strict=True)]
    return environment.get_template("page.html.j2").render(
        sections=sections, columns=COLUMNS, machine=machine(), versions=versions(), metrics=METRICS
    )


def _section(evaluation: Evaluation, figures: Sequence[Drawing]) -> dict[str, Any]:
    table = rows(evaluation)
    return {
        "title": title(evaluation),
        "full": evaluation.full.name,
        "samples": [{"name": s.name, "showers": len(s), "energies": energy_range(s)} for s in evaluation.samples],
        "verdicts": [_verdict(evaluation, candidate) for candidate in evaluation.candidates],
        "remarks": remarks(evaluation),
        "groups": [[r for r in table if r.observable == name] for name in dict.fromkeys(r.observable for r in table)],
        "figures": [
            {"svg": _inlined(d), "caption": d.caption, "wide": d.wide, "name": d.name, "inches": d.figure.get_figwidth()}
            for d in figures
        ],
        "times": _times(evaluation),
        "settings": evaluation.settings,
    }


def _verdict(evaluation: Evaluation, candidate: Sample) -> dict[str, Any]:
    return {"name": candidate.name, "level": overall(evaluation, candidate), "text": verdict(evaluation, candidate)}


def _inlined(drawing: Drawing) -> Markup:
    """The figure in the colours of the page's text; its own text is drawn as paths and needs no font."""
    return Markup(drawing.svg.replace(INK, "currentColor"))


def _times(evaluation: Evaluation) -> list[dict[str, str]]:
    reference = evaluation.times.get(evaluation.full.name)
    return [
        {"stage": stage, "time": f"{time:.3g}", "factor": "" if reference is None else f"{number(reference / time)}"}
        for stage, time in evaluation.times.items()
    ]
