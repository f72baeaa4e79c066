"""How good surrogates are: classifiers and distances against showers of the full simulation that
none of them has seen.

    python benchmarks/surrogates.py calodream-ds2-laptop my-model --full held-out.h5

prints a line for each model: the AUC of CaloDREAM's classifiers (or others, ``--classifiers``) on
the energies of the layers alone, on high-level features and on voxels, each with its error over the
trainings; then the Wasserstein distance of each observable in units of its floor. With ``--write``,
they are put into the card of a model that was made by training.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor

from caloforge import zoo
from caloforge.classifiers import classifiers_for, separate, separate_features
from caloforge.evaluation import Settings, evaluate
from caloforge.hits import dense
from caloforge.io import NewFile, open_showers
from caloforge.observables import energy_ratios, layer_energies
from caloforge.showers import Showers

SEED = 1
DIGITS = 6


def energy_features(showers: Showers) -> Tensor:
    """What the energies of the layers are, for a classifier: ratios, logs, and the
    incident energy.
    """
    energies, incident = layer_energies(showers), showers.energies
    return torch.cat(
        [
            energy_ratios(energies, incident),
            (energies + 1e-8).log10(),
            incident.double().log10()[:, None],
        ],
        1,
    ).float()


def scores(full: Showers, made: Showers, options: argparse.Namespace) -> dict[str, list[float]]:
    """AUC and error, by classifier."""
    found = {}
    for one in classifiers_for(options.classifiers, full.calorimeter):
        if one.name == "high-level":
            alone = separate_features(
                energy_features(full), energy_features(made), one, trainings=options.trainings
            )
            found["layer energies"] = [alone.auc.value, alone.auc.error]
        trainings = options.trainings if one.name == "high-level" else options.low_level_trainings
        auc = separate(full, made, one, trainings=trainings).auc
        found[one.name] = [auc.value, auc.error]
    return found


def distances(full: Showers, made: Showers) -> dict[str, dict[str, float]]:
    """The Wasserstein distances of the observables, with error and floor."""
    evaluation = evaluate(
        full,
        {"made": made},
        full_name="full",
        settings=Settings(classifiers=(), neighbour_showers=0),
    )
    compared = {
        name: comparison.distance for name, comparison in evaluation.comparisons["made"].items()
    }
    return {
        name: {
            key: float(f"{getattr(found, key):.{DIGITS}g}") for key in ("value", "error", "floor")
        }
        for name, found in compared.items()
    }


def write(directory: Path, key: str, metrics: dict[str, object]) -> None:
    """Put what was measured into the card of a model."""
    path = directory / "card.json"
    card = json.loads(path.read_text())
    card["metrics"] = {key: metrics}
    with NewFile(path, overwrite=True) as partial:
        partial.write_text(json.dumps(card, indent=2) + "\n")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "models", nargs="+", help="models of the package, or directories made by training"
    )
    parser.add_argument("--full", required=True, type=Path, help="showers of the full simulation")
    parser.add_argument("--classifiers", default="calodream", help="the preset of classifiers")
    parser.add_argument("--trainings", type=int, default=2)
    parser.add_argument("--low-level-trainings", type=int, default=1)
    parser.add_argument(
        "--write", action="store_true", help="put the results into the cards of directories"
    )
    options = parser.parse_args()
    for name in options.models:
        model = zoo.load_surrogate(name)
        full = open_showers(options.full, model.calorimeter)[:]
        start = time.perf_counter()
        made = dense(model.simulate(full.particles, seed=SEED))
        ms = 1e3 * (time.perf_counter() - start) / len(full)
        found, far = scores(full, made, options), distances(full, made)
        print(
            f"{name}, {ms:.1f} ms a shower; AUC "
            + ", ".join(f"{k} {v:.4f} +- {e:.4f}" for k, (v, e) in found.items())
        )
        print(
            "  in floors: "
            + ", ".join(f"{k} {d['value'] / d['floor']:.2f}" for k, d in far.items()),
            flush=True,
        )
        if options.write:
            wasserstein = {
                k: {"distance": d["value"], "error": d["error"], "floor": d["floor"]}
                for k, d in far.items()
            }
            auc = {k: {"value": round(v, 4), "error": round(e, 4)} for k, (v, e) in found.items()}
            about = f"{len(full)} showers of the full simulation, not seen in training"
            write(
                Path(name),
                about,
                {
                    "showers": len(full),
                    f"auc ({options.classifiers})": auc,
                    "wasserstein": wasserstein,
                },
            )


if __name__ == "__main__":
    main()
