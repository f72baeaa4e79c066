"""How many showers of a new calorimeter does a trained model need? Quality against their number,
trained on from the model and from scratch.

For each number of showers, the first of a file, the model's recipe is trained from scratch and from
the model, and both are compared with showers held out::

    python benchmarks/few_showers.py MODEL --data target.h5 --full held-out.h5 --out curve
    --numbers 100 300 1000 3000 10000 --tunings all lora

Each training takes ``--steps`` steps of every network at most, and no more epochs than
``--epochs`` times those of the recipe, so that few showers are not seen too often. The model as it
is, without any training, is the row of 0 showers, if its calorimeter has as many cells. Prints a
line for each, and writes curve/curve.csv: showers, start, seconds, then for each classifier its AUC
and error, and the mean Wasserstein distance in floors.
"""

import argparse
import csv
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from caloforge import zoo
from caloforge.classifiers import classifiers_for, separate
from caloforge.evaluation import Settings, evaluate
from caloforge.io import open_showers
from caloforge.models import FullShowers, Start, Surrogate, Tuning, recipe_of, train
from caloforge.models.stages import Schedule
from caloforge.showers import Showers

SEED = 31
SCRATCH, UNTRAINED = "scratch", "untrained"


@dataclass(frozen=True)
class Row:
    """A training and how good its showers are."""

    showers: int
    start: str
    seconds: float
    auc: dict[str, tuple[float, float]]
    floors: float


def limited(recipe: Any, showers: int, options: argparse.Namespace) -> Any:
    """The recipe with as many epochs as the options allow for so many showers."""
    if isinstance(recipe, Schedule):
        most = options.steps * recipe.batch_size / showers
        return replace(recipe, epochs=min(most, options.epochs * recipe.epochs))
    groups = {
        field.name: getattr(recipe, field.name)
        for field in fields(recipe)
        if is_dataclass(getattr(recipe, field.name))
    }
    return replace(
        recipe, **{name: limited(group, showers, options) for name, group in groups.items()}
    )


def quality(made: Showers, full: Showers, trainings: int) -> tuple[dict[str, Any], float]:
    """AUC and error of each classifier, and the mean distance in floors."""
    auc = {}
    for one in classifiers_for("caloforge", full.calorimeter):
        found = separate(full, made, one, trainings=trainings).auc
        auc[one.name] = (found.value, found.error)
    settings = Settings(classifiers=(), neighbour_showers=0)
    compared = evaluate(full, {"made": made}, full_name="full", settings=settings).comparisons
    far = [one.distance.value / one.distance.floor for one in compared["made"].values()]
    far = [value for value in far if math.isfinite(value)]
    return auc, sum(far) / len(far)


def rows(model: Surrogate, options: argparse.Namespace) -> Iterator[Row]:
    """Train and compare."""
    data, full = open_showers(options.data), open_showers(options.full)[:]
    made = model.simulate(full.particles, seed=SEED)
    if made.calorimeter.n_cells == full.calorimeter.n_cells:
        seen = replace(made, calorimeter=full.calorimeter)
        yield Row(0, UNTRAINED, 0.0, *quality(seen, full, options.trainings))
    recipe: Any = recipe_of(model.card)
    for showers in options.numbers:
        some = FullShowers(data[:showers])
        for name in (SCRATCH, *options.tunings):
            start = None if name == SCRATCH else Start(model, Tuning(name))
            began = time.perf_counter()
            trained = train(
                replace(
                    limited(recipe, showers, options),
                    validation=min(recipe.validation, showers // 5),
                ),
                options.out / f"{name}-{showers}",
                some,
                description=f"{options.data.name} ({showers} showers)",
                start=start,
                resume=True,
            )
            seconds = time.perf_counter() - began
            made = trained.simulate(full.particles, seed=SEED)
            yield Row(showers, name, seconds, *quality(made, full, options.trainings))


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a surrogate of the package, or a directory")
    parser.add_argument("--data", required=True, type=Path, help="showers to train on")
    parser.add_argument("--full", required=True, type=Path, help="showers held out")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--numbers", type=int, nargs="+", default=[100, 300, 1000, 3000, 10000])
    parser.add_argument(
        "--tunings", nargs="+", default=["all"], choices=[tuning.value for tuning in Tuning]
    )
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--epochs", type=float, default=5.0)
    parser.add_argument("--trainings", type=int, default=5)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "curve.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        for row in rows(zoo.load_surrogate(options.model), options):
            if file.tell() == 0:
                names = [part for name in row.auc for part in (f"auc {name}", f"error {name}")]
                writer.writerow(["showers", "start", "seconds", *names, "floors"])
            values = [number for pair in row.auc.values() for number in pair]
            writer.writerow([row.showers, row.start, row.seconds, *values, row.floors])
            file.flush()
            auc = ", ".join(f"{name} {v:.3f} +- {e:.3f}" for name, (v, e) in row.auc.items())
            print(
                f"{row.showers:6} showers, {row.start:9} {row.seconds:6.0f} s; AUC {auc}; mean "
                f"distance {row.floors:.1f} floors",
                flush=True,
            )


if __name__ == "__main__":
    main()
