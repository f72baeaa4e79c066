"""`caloforge demo`: the main job, from simulation to report."""

__all__ = ["demo"]

from pathlib import Path
from typing import Annotated

import typer

from caloforge.bundled import MODELS
from caloforge.cli._console import say
from caloforge.cli._options import MOST_THREADS, Overwrite, Seed, given, use_threads
from caloforge.cli._producing import Run, produced
from caloforge.cli._progress import steps
from caloforge.cli.evaluate import full_times
from caloforge.paths import require_folder

BATCH_SIZE = 1000
FULL, FAST, REFINED = "Geant4", "GFlash", "refined"


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder for the showers and the report.")
    ] = Path("demo-output"),
    model: Annotated[
        str,
        typer.Option(metavar="MODEL", help="The model that refines.", callback=given(MODELS.find)),
    ] = "squirels-fast",
    seed: Seed = 1,
    threads: Annotated[
        int, typer.Option(min=1, max=MOST_THREADS, metavar="T", help="How many cores to use.")
    ] = 1,
    overwrite: Overwrite = False,
) -> None:
    """Simulate showers by GFlash, refine them to Geant4's quality, compare, and write a page about
    it.

    The full simulation is a sample of Geant4 showers that comes with the package; no model was
    trained on it.

    \b
    Examples:
      caloforge demo
      caloforge demo --out somewhere --model squirels-laptop --threads 2
    """
    require_folder(out)
    from caloforge import report, zoo
    from caloforge.evaluation import evaluate
    from caloforge.io import open_showers
    from caloforge.simulators import pbwo4_gflash

    use_threads(threads)
    report.require_free(out / "report", overwrite=overwrite)
    refiner = zoo.load(model)
    full = zoo.bundled_showers("pbwo4-geant4")
    out.mkdir(parents=True, exist_ok=True)
    fast, refined = out / "gflash.h5", out / f"{refiner.card.name}.h5"
    times = full_times(FULL, full)
    run, simulator = Run(BATCH_SIZE, overwrite=overwrite), pbwo4_gflash()
    made = produced(full.particles, simulator, fast, run, seed=seed, doing="simulating")
    times[FAST] = made.milliseconds
    source = open_showers(fast)
    made = produced(source, refiner, refined, run, seed=seed, doing="refining")
    times["refinement"] = made.milliseconds
    times[f"{FAST} + refinement"] = times[FAST] + times["refinement"]
    with steps() as progress:
        samples = {FAST: source, REFINED: open_showers(refined)}
        evaluation = evaluate(full, samples, full_name=FULL, times=times, progress=progress)
        page = report.write(evaluation, out / "report", overwrite=overwrite)
    for line in report.summary(evaluation):
        say(line)
    say(f"{page}: the whole report, with figures")
