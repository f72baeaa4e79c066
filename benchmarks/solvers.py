r"""How well a flow is sampled by each solver: AUC against evaluations of the network, as
CaloDREAM's figure 9 (arXiv:2405.09629).

The showers of the full simulation give the incident energies; the energies of the layers are made
once by the model; the shower in them by each solver and number of evaluations. Bespoke solvers,
local and global, are made for the flow here. A classifier then tells each sample from the full
simulation::

    python benchmarks/solvers.py calodream-ds2-laptop --full geant4.h5 --out study

writes study/solvers.csv and study/solvers.png, and prints a line for each point: the AUC, its error
over the trainings, the time.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from caloforge import zoo
from caloforge.classifiers import Classifier, classifiers_for, separate
from caloforge.io import open_showers
from caloforge.learn import training
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import by_address
from caloforge.learn.processes import EULER, MIDPOINT, RK4, BespokeSolver, Sampler, Steps
from caloforge.models import Surrogate
from caloforge.models.fast_samplers import BespokeRecipe, solver_objective
from caloforge.models.flow_stage import FlowStage
from caloforge.showers import Showers

METHODS = {"Euler": EULER, "Midpoint": MIDPOINT, "RK4": RK4}
SEED = 11


@dataclass(frozen=True)
class Point:
    """One point of the figure."""

    solver: str
    evaluations: int
    classifier: str
    auc: float
    error: float
    ms_per_shower: float


def bespoke(
    model: Surrogate,
    stage: FlowStage,
    showers: Showers,
    evaluations: int,
    *,
    local: bool,
    folder: Path,
) -> BespokeSolver:
    """A solver made for the flow, under conditions that the model makes itself."""
    recipe = BespokeRecipe(
        evaluations=evaluations,
        local=local,
        showers=256,
        batch_size=64 if local else 32,
        steps=2000 if local else 400,
        learning_rate=0.01 if local else 0.003,
    )
    solver = BespokeSolver(evaluations)
    condition = Condition(showers.particles)
    with torch.no_grad():
        noise = by_address(model.energy.noise(), torch.arange(len(condition)))
        conditions = stage.features(condition.given(model.energy.sample(condition, noise)))
    objectives = [solver_objective(stage, solver, recipe, conditions, (SEED, evaluations))]
    training.run(
        objectives,
        {"solver": solver},
        folder / f"{'local' if local else 'global'}-{evaluations}",
        checkpoint_every=10_000,
    )
    return solver.requires_grad_(requires_grad=False)


def samplers(
    model: Surrogate, stage: FlowStage, showers: Showers, counts: list[int], most: int, folder: Path
) -> Iterator[tuple[str, Sampler]]:
    """All solvers with so many evaluations, bespoke ones with at most so many."""
    for count in counts:
        for name, method in METHODS.items():
            if count % method.evaluations == 0:
                yield name, Steps(method, count // method.evaluations)
        for local in (False, True) if count <= most else ():
            yield (
                f"BNS {'local' if local else 'global'}",
                bespoke(model, stage, showers, count, local=local, folder=folder),
            )


def points(
    model: Surrogate, full: Showers, classifiers: list[Classifier], options: argparse.Namespace
) -> Iterator[Point]:
    """Make, classify, print."""
    stage = model.shape
    if not isinstance(stage, FlowStage):
        msg = f"the shape of {model.card.name} is not made by a flow"
        raise SystemExit(msg)
    counts = [int(text) for text in options.evaluations.split(",")]
    for name, sampler in samplers(model, stage, full, counts, options.bespoke, options.out):
        stage.sample_by(sampler)
        start = time.perf_counter()
        made = model.simulate(full.particles, seed=SEED)
        ms = 1e3 * (time.perf_counter() - start) / len(full)
        for one in classifiers:
            auc = separate(full, made, one, trainings=options.trainings).auc
            yield Point(name, sampler.evaluations, one.name, auc.value, auc.error, ms)


def draw(found: list[Point], path: Path) -> None:
    """A panel a classifier."""
    names = list(dict.fromkeys(point.classifier for point in found))
    figure = Figure(figsize=(5 * len(names), 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for solver in dict.fromkeys(point.solver for point in found):
            line = [p for p in found if p.solver == solver and p.classifier == name]
            axes.errorbar(
                [p.evaluations for p in line],
                [p.auc for p in line],
                [p.error for p in line],
                marker="o",
                capsize=2,
                label=solver,
            )
        axes.set(xscale="log", xlabel="evaluations of the network", ylabel=f"AUC, {name}")
        axes.set_xticks(
            sorted({p.evaluations for p in found}),
            [str(n) for n in sorted({p.evaluations for p in found})],
        )
        axes.minorticks_off()
        axes.axhline(0.5, color="grey", lw=0.8, ls=":")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model of the package, or a directory made by training")
    parser.add_argument(
        "--full",
        required=True,
        type=Path,
        help="showers of the full simulation, not those of the training",
    )
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument(
        "--showers", type=int, default=4000, help="so many of the full simulation are used"
    )
    parser.add_argument("--evaluations", default="1,2,4,8,16,32,64", help="numbers of evaluations")
    parser.add_argument("--classifiers", default="caloforge", help="the preset of classifiers")
    parser.add_argument(
        "--levels", nargs="+", default=["low-level", "high-level"], help="which of them"
    )
    parser.add_argument("--trainings", type=int, default=5)
    parser.add_argument(
        "--bespoke", type=int, default=64, help="the most evaluations of a bespoke solver"
    )
    options = parser.parse_args()
    model = zoo.load_surrogate(options.model)
    full = open_showers(options.full, model.calorimeter)[: options.showers]
    classifiers = [
        one
        for one in classifiers_for(options.classifiers, model.calorimeter)
        if one.name in options.levels
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    found = []
    with (options.out / "solvers.csv").open("w", newline="", buffering=1) as file:
        table = csv.writer(file)
        table.writerow(tuple(Point.__dataclass_fields__))
        for point in points(model, full, classifiers, options):
            found.append(point)
            table.writerow(tuple(vars(point).values()))
            print(
                f"{point.solver:12s} {point.evaluations:4d} {point.classifier:12s} "
                f"AUC {point.auc:.4f} +- {point.error:.4f}  {point.ms_per_shower:7.2f} ms a shower",
                flush=True,
            )
    draw(found, options.out / "solvers.png")


if __name__ == "__main__":
    main()
