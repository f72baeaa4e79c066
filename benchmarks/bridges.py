"""Whether a bridge does better from tuned fast showers: AUC of refined showers against the number
of steps, for each start.

The same bridge is trained from the showers of GFlash and from those of GFlash tuned to the full
simulation (`caloforge tune gflash`), made for the incident energies of the same full showers, and
refines GFlash showers for the energies of others::

    python benchmarks/bridges.py --tuned tuned.yaml --data full-train.h5 --full full-test.h5 --out
    bridges

prints a line for each start and number of steps; no steps are the fast showers as they are.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from caloforge.classifiers import Classifier, classifiers_for, separate
from caloforge.io import open_showers
from caloforge.models import Bridge, TrainingShowers, load_recipe, train
from caloforge.showers import Showers
from caloforge.simulators import GFlash, load_gflash, pbwo4_gflash

SEED = 23


def rows(
    start: GFlash,
    full: Mapping[str, Showers],
    classifiers: tuple[Classifier, ...],
    options: argparse.Namespace,
    out: Path,
) -> Iterator[str]:
    """Train a bridge from the start, refine, classify, print."""
    fast = {
        name: start.simulate(showers.particles, seed=SEED + i)
        for i, (name, showers) in enumerate(full.items())
    }
    data = TrainingShowers(full["train"], fast["train"])
    bridge = train(
        load_recipe(options.recipe), out, data, description=str(options.data), resume=True
    )
    if not isinstance(bridge, Bridge):
        msg = f"recipe {options.recipe} does not train a refiner"
        raise SystemExit(msg)
    for steps in options.steps:
        refined = bridge.refine(fast["test"], seed=SEED, steps=steps) if steps else fast["test"]
        for one in classifiers:
            auc = separate(full["test"], refined, one, trainings=options.trainings).auc
            yield f"{steps:3d} steps: {one.name:12s} AUC {auc.value:.4f} +- {auc.error:.4f}"


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tuned", required=True, type=Path, help="what caloforge tune gflash wrote"
    )
    parser.add_argument("--data", required=True, type=Path, help="full showers to train on")
    parser.add_argument("--full", required=True, type=Path, help="full showers held out")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--recipe", default="squirels-fast")
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 1, 2, 3, 5])
    parser.add_argument("--classifiers", default="caloforge", help="the preset of classifiers")
    parser.add_argument(
        "--levels", nargs="+", default=["high-level", "low-level"], help="the classifiers of it"
    )
    parser.add_argument("--trainings", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    full = {
        name: open_showers(path)[:]
        for name, path in (("train", options.data), ("test", options.full))
    }
    classifiers = tuple(
        one
        for one in classifiers_for(options.classifiers, full["test"].calorimeter)
        if one.name in options.levels
    )
    for name, start in (("default", pbwo4_gflash()), ("tuned", load_gflash(options.tuned))):
        for line in rows(start, full, classifiers, options, options.out / name):
            print(f"{name:8s} {line}", flush=True)


if __name__ == "__main__":
    main()
