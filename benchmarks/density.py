"""How well a surrogate made of normalizing flows knows showers: its exact negative log likelihood.

The density is that of what stands for the energies of the layers and for the cells, random fillings
included; over showers of the training and others, drawn with the same random numbers::

    python benchmarks/density.py my-model --sample train.h5 --sample held-out.h5

prints for each sample the negative log likelihood a layer energy and a cell, in nats, with its
standard error. A model that has learned its training showers by heart shows a gap beyond the
errors.
"""

import argparse
from pathlib import Path

import torch

from caloforge import zoo
from caloforge.io import open_showers
from caloforge.learn.training import generator
from caloforge.models.layer_groups import LayerGroupStage
from caloforge.models.masked_energies import MaskedEnergiesStage
from caloforge.showers import Showers, spans

SEED = 31
AT_A_TIME = 256


def per_number(
    stage: LayerGroupStage | MaskedEnergiesStage, showers: Showers, numbers: int
) -> tuple[float, float]:
    """Mean and standard error of the negative log likelihood of a number, in nats."""
    with torch.no_grad():
        parts = [
            stage.log_likelihood(showers[span], generator(SEED, 0, span.start))
            for span in spans(len(showers), AT_A_TIME)
        ]
    values = -torch.cat(parts).double() / numbers
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def main() -> None:
    """Parse, compute, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model of the package, or a directory made by training")
    parser.add_argument(
        "--sample",
        required=True,
        type=Path,
        action="append",
        help="a file of showers; may be given again",
    )
    parser.add_argument("--showers", type=int, default=4000, help="so many of each are used")
    options = parser.parse_args()
    model = zoo.load_surrogate(options.model)
    if not isinstance(model.energy, MaskedEnergiesStage) or not isinstance(
        model.shape, LayerGroupStage
    ):
        msg = f"{options.model} is not made of normalizing flows"
        raise SystemExit(msg)
    for path in options.sample:
        showers = open_showers(path, model.calorimeter)[: options.showers]
        energy = per_number(model.energy, showers, model.calorimeter.n_layers)
        shape = per_number(model.shape, showers, model.calorimeter.n_cells)
        print(
            f"{path.name}: {energy[0]:.4f} +- {energy[1]:.4f} a layer energy, {shape[0]:.5f} +- "
            f"{shape[1]:.5f} a cell"
        )


if __name__ == "__main__":
    main()
