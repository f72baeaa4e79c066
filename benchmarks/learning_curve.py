"""How good a surrogate gets with the time it is trained: AUC of classifiers against training time.

A recipe is trained on parts of its epochs, each time from the beginning, since the learning rate
falls to zero at the end::

    python benchmarks/learning_curve.py calodream-ds2-laptop --data train.h5 --full held-out.h5
    --out curve

prints a line for each training and writes curve/curve.csv: classifier, part of the epochs, seconds,
AUC and error.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from caloforge.classifiers import classifiers_for, separate
from caloforge.io import open_showers
from caloforge.models import FullShowers, Surrogate, load_recipe, train
from caloforge.models.stages import Schedule
from caloforge.showers import Showers

SEED = 21


def shortened(recipe: Any, part: float) -> Any:
    """The recipe with so large a part of the epochs of each schedule."""
    if isinstance(recipe, Schedule):
        return replace(recipe, epochs=part * recipe.epochs)
    groups = {
        field.name: getattr(recipe, field.name)
        for field in fields(recipe)
        if is_dataclass(getattr(recipe, field.name))
    }
    return replace(recipe, **{name: shortened(group, part) for name, group in groups.items()})


def rows(
    recipe: Any, data: FullShowers, full: Showers, options: argparse.Namespace
) -> Iterator[tuple[str, float, float, float, float]]:
    """Train, classify, yield: classifier, part, seconds, AUC, error."""
    for part in options.parts:
        start = time.perf_counter()
        model = train(
            shortened(recipe, part),
            options.out / f"part-{part:g}",
            data,
            description=str(options.data),
            resume=True,
        )
        seconds = time.perf_counter() - start
        if not isinstance(model, Surrogate):
            msg = f"recipe {options.recipe} does not train a surrogate"
            raise SystemExit(msg)
        made = model.simulate(full.particles, seed=SEED)
        for one in classifiers_for(options.classifiers, full.calorimeter):
            auc = separate(full, made, one, trainings=options.trainings).auc
            yield one.name, part, seconds, auc.value, auc.error


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("--data", required=True, type=Path, help="showers to train on")
    parser.add_argument("--full", required=True, type=Path, help="showers held out")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--parts", type=float, nargs="+", default=[0.05, 0.1, 0.25, 0.5, 1.0])
    parser.add_argument("--classifiers", default="caloforge", help="the preset of classifiers")
    parser.add_argument("--trainings", type=int, default=5)
    options = parser.parse_args()
    data, full = FullShowers(open_showers(options.data)[:]), open_showers(options.full)[:]
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "curve.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("classifier", "part", "seconds", "auc", "error"))
        for row in rows(load_recipe(options.recipe), data, full, options):
            table.writerow(row)
            name, part, seconds, auc, error = row
            print(
                (
                    f"{part:6.3f} of the epochs, {seconds:7.0f} s: {name:12s} AUC {auc:.4f} +- "
                    f"{error:.4f}"
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
