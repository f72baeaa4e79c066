"""`caloforge compare`: methods to make showers, side by side on the same particles."""

__all__ = ["compare"]

from pathlib import Path
from typing import Annotated

import typer

from caloforge.cli._console import say
from caloforge.cli._options import Overwrite, Threads, existing_argument, grouped, use_threads
from caloforge.cli._progress import steps
from caloforge.cli.evaluate import Care, full_times, tell
from caloforge.paths import require_folder

TABLE = "methods.md"


@grouped
def compare(
    plan: Annotated[Path, existing_argument("PLAN.yaml", "The full simulation and the methods.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder for showers, table and page.")
    ],
    care: Care,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Make showers of the same particles by several methods, and put them side by side: fidelity,
    effective size, time, training.

    The plan names a file of held-out full showers and the methods: a file of fast showers, a
    surrogate or GFlash, and the refiners behind it. Times count all that stands before. Distances
    are in floors, the full simulation's own. With the training showers in the plan, the table says
    how many full showers the showers of a method are worth. Beside the table stands the page that
    caloforge evaluate writes.

    \b
    Examples:
      caloforge compare plan.yaml --out compared
      caloforge compare plan.yaml --out compared --trainings 3 --threads 1
    """
    require_folder(out)
    from caloforge import report
    from caloforge.evaluation import evaluate
    from caloforge.evaluation.methods import MethodPlan, make_all
    from caloforge.io import NewFile, open_showers
    from caloforge.report.method_table import method_rows, method_text

    use_threads(threads)
    read = MethodPlan.read(plan)
    report.require_free(out, overwrite=overwrite)
    out.mkdir(exist_ok=True)
    full = open_showers(read.full)
    name = Path(read.full).stem
    times = full_times(name, full)
    with steps() as progress:
        made = make_all(read, out, overwrite=overwrite, progress=progress)
        evaluation = evaluate(
            full,
            {method: one.file for method, one in made.items()},
            full_name=name,
            times=times
            | {method: one.milliseconds for method, one in made.items() if one.milliseconds},
            training=None if read.training is None else open_showers(read.training),
            settings=care.settings(full.calorimeter, None),
            progress=progress,
        )
        page = report.write(evaluation, out, overwrite=overwrite)
    text = method_text(evaluation, method_rows(evaluation, made, times.get(name)))
    with NewFile(out / TABLE, overwrite=overwrite) as partial:
        partial.write_text(text)
    tell(evaluation, table=False)
    say(f"\n{text}")
    say(f"{out / TABLE}: this table; {page}: the whole report, with figures")
