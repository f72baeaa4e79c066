"""How close models bring fast showers to the full simulation: distances, floors and classifiers,
sample by sample.

    python benchmarks/accuracy.py
    python benchmarks/accuracy.py --model squirels-fast --full g4_20gev.h5 g4_50gev.h5 --fast
    gf_20gev.h5 gf_50gev.h5

Without --full, on the Geant4 showers that come with the package; without --fast, the fast showers
are GFlash's at the energies of the full ones. No model of the package was trained on any of these.
With --card, the numbers are written into the cards of the models.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from caloforge import report, zoo
from caloforge.evaluation import Evaluation, evaluate
from caloforge.io import open_showers
from caloforge.models import Bridge
from caloforge.showers import Showers
from caloforge.simulators import pbwo4_gflash

CLASSIFIER = "low-level"
"""The classifier whose AUC a card tells."""
BUNDLED = ("pbwo4-geant4-20gev", "pbwo4-geant4-50gev", "pbwo4-geant4-80gev", "pbwo4-geant4")


def samples(options: argparse.Namespace) -> list[tuple[Showers, Showers]]:
    """Pairs of full and fast showers."""
    sources = [open_showers(path) for path in options.full] or [
        zoo.bundled_showers(name) for name in BUNDLED
    ]
    full = [source[: options.showers] for source in sources]
    if options.fast:
        return list(
            zip(full, (open_showers(path)[: options.showers] for path in options.fast), strict=True)
        )
    return [
        (showers, pbwo4_gflash().simulate(showers.particles, seed=options.seed)) for showers in full
    ]


def compared(full: Showers, fast: Showers, models: dict[str, Bridge], seed: int) -> Evaluation:
    """Evaluate the fast showers and what each model makes of them, and print the table."""
    candidates = {"fast": fast} | {
        name: model.refine(fast, seed=seed) for name, model in models.items()
    }
    evaluation = evaluate(full, candidates, full_name="full")
    print(f"\n{report.title(evaluation)}")
    for row in (report.COLUMNS, *report.table(evaluation)):
        print(
            " | ".join(f"{cell:>22s}" if k == 0 else f"{cell:>16s}" for k, cell in enumerate(row))
        )
    return evaluation


def numbers(evaluation: Evaluation, name: str) -> dict[str, Any]:
    """What a card says of a model on one sample."""
    observables = {
        observable.name: {
            "unit": observable.distance_unit,
            "distance": round(found.distance.value, 7),
            "error": round(found.distance.error, 7),
            "floor": round(found.distance.floor, 7),
            "fast": round(evaluation.comparisons["fast"][observable.name].distance.value, 7),
        }
        for observable in evaluation.observables
        if (found := evaluation.comparisons[name].get(observable.name))
    }
    aucs = {
        key: round(evaluation.classifiers[who][CLASSIFIER].auc.value, 4)
        for key, who in (("auc", name), ("auc_fast", "fast"))
    }
    return {"showers": len(evaluation.full), **aucs, "wasserstein": observables}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", nargs="+", default=["squirels-fast", "squirels-laptop"])
    parser.add_argument("--full", nargs="+", default=[], type=Path)
    parser.add_argument("--fast", nargs="+", default=[], type=Path)
    parser.add_argument("--showers", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--card",
        nargs="+",
        default=[],
        type=Path,
        help="card.json of each model, to be given the numbers",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = {name: zoo.load(name) for name in options.model}
    evaluations = [compared(full, fast, models, options.seed) for full, fast in samples(options)]
    for name, path in zip(options.model, options.card, strict=bool(options.card)):
        card = json.loads(path.read_text())
        card["metrics"] = {report.title(e): numbers(e, name) for e in evaluations}
        path.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
