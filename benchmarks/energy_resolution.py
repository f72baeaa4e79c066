"""The energy of a particle: by the exact likelihood of a flow, and by regression.

Both see the energies of the layers, learn from the same showers and are calibrated on the same
held-out showers: the flow by the power of its likelihood (`caloforge.reconstruction`), a network
that gives mean and width of ln E by a factor on the width::

    python benchmarks/energy_resolution.py train.h5 test.h5

prints, in bins of the true energy of the test showers, bias and resolution of either with their
errors, and how many of the intervals of 68 % and 95 % hold the true energy. The energies are taken
as uniform over the range of the training.
"""

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from caloforge.geometry import RegularGrid
from caloforge.io import open_showers
from caloforge.learn import training
from caloforge.learn.conditions import Condition
from caloforge.learn.networks.dense import dense
from caloforge.learn.transforms import Standardisation
from caloforge.models.masked_energies import MaskedSizes
from caloforge.models.stages import Schedule
from caloforge.observables import layer_energies
from caloforge.particles import Particles
from caloforge.reconstruction import Resolution, energy_posterior, resolution
from caloforge.showers import Showers, spans
from caloforge.spectra import Uniform
from caloforge.systems.caloflow import RatiosRecipe, RatiosStage
from caloforge.units import GeV, keV

SEED, BATCH, AT_A_TIME = 7, 256, 500
LEVELS = {0.68: 1.0, 0.95: 1.96}
"""Central intervals, and how many standard deviations of a normal distribution they reach."""


@dataclass(frozen=True)
class Estimates:
    """What a method says of showers.

    Arguments:
        energies: The estimates, in MeV.
        intervals: The intervals by their level.
    """

    energies: Tensor
    intervals: dict[float, tuple[Tensor, Tensor]]

    def of(self, rows: np.ndarray, true: np.ndarray) -> Resolution:
        """How good they are for some showers."""
        some = {
            level: (low.numpy()[rows], high.numpy()[rows])
            for level, (low, high) in self.intervals.items()
        }
        return resolution(self.energies.numpy()[rows], true[rows], some)


def layers_of(path: Path) -> Showers:
    """The showers of a file with one cell a layer, all that either method sees."""
    source = open_showers(path)
    parts = [layer_energies(source[span]) for span in spans(len(source), AT_A_TIME)]
    layers = torch.cat(parts).float()
    tower = RegularGrid("layers", (1, 1, layers.shape[1]), (1.0, 1.0, 1.0))
    return Showers(layers, source.particles, tower)


def likelihood(train: Showers, held: Showers, test: Showers, epochs: float) -> Estimates:
    """By the flow of CaloFlow's layer energies, with a regularised small network."""
    schedule = Schedule(epochs, BATCH, 0.002, weight_decay=0.3, average=0.999)
    sizes = MaskedSizes(blocks=2, hidden=(64,), bins=8, bound=6.0)
    recipe = RatiosRecipe(stage="masked-ratios", network=sizes, schedule=schedule, scale=2.9)
    torch.manual_seed(SEED)
    stage = RatiosStage(train.calorimeter, recipe)
    stage.prepare(train)
    training.run(stage.objectives(train, held, SEED, 0), {"energy": stage}, None, seed=SEED)
    stage.eval()
    prior = Uniform(float(train.energies.min()), float(train.energies.max()))
    known = energy_posterior(stage, Condition.of(held), prior)
    sharpness = known.sharpness_for(held.energies)
    print(f"likelihood: sharpness {sharpness:.3f}")
    found = energy_posterior(stage, Condition.of(test), prior).calibrated(sharpness)
    return Estimates(found.median, {level: found.interval(level) for level in LEVELS})


class Regression(nn.Module):
    """Mean and log of the width of ln E, from the logs of the energies of the layers and of their
    sum.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.scale, self.energy = Standardisation(layers + 1), Standardisation(1)
        self.network = dense((layers + 1, 128, 128, 2), nn.SiLU)

    def seen(self, showers: Showers) -> Tensor:
        """The inputs."""
        layers = showers.deposits.double()
        return (torch.cat([layers, layers.sum(1, keepdim=True)], dim=1) + keV).log()

    def forward(self, showers: Showers) -> tuple[Tensor, Tensor]:
        """Mean and log width, in standard deviations of the training."""
        mean, width = self.network(self.scale(self.seen(showers))).unbind(1)
        return mean, width

    def loss(self, showers: Showers) -> Tensor:
        """The negative log likelihood of a normal distribution."""
        mean, width = self(showers)
        true = self.energy(showers.energies.double().log()[:, None])[:, 0]
        return (0.5 * ((true - mean) / width.exp()).square() + width).mean()


def regression(train: Showers, held: Showers, test: Showers, epochs: float) -> Estimates:
    """By a network."""
    torch.manual_seed(SEED)
    model = Regression(train.calorimeter.n_layers)
    model.scale.adapt(model.seen(train))
    model.energy.adapt(train.energies.double().log()[:, None])

    def loss(step: int) -> Tensor:
        random = training.generator(SEED, 0, step)
        return model.loss(train[torch.randint(len(train), (BATCH,), generator=random)])

    @torch.no_grad()
    def validate() -> float:
        return float(model.loss(held))

    objective = training.minimise(
        "regression",
        model.network,
        loss,
        steps=round(epochs * len(train) / BATCH),
        adam=training.Adam(0.002, 0.3),
        schedule=training.WarmCosine(),
        average=0.999,
        validation=validate,
    )
    training.run([objective], {"regression": model}, None, seed=SEED)
    with torch.no_grad():
        mean, width = model.eval()(held)
        true = model.energy(held.energies.double().log()[:, None])[:, 0]
        factor = float(((true - mean) / width.exp()).square().mean().sqrt())
        print(f"regression: widths times {factor:.3f}")
        mean, width = model(test)
        spread = factor * width.exp().double() * model.energy.width
        centre = model.energy.inverse(mean[:, None])[:, 0].double()
    reach = {level: (centre - n * spread, centre + n * spread) for level, n in LEVELS.items()}
    return Estimates(centre.exp(), {k: (low.exp(), high.exp()) for k, (low, high) in reach.items()})


def report(methods: dict[str, Estimates], particles: Particles, bins: int) -> None:
    """Print a row for each method and bin."""
    true = particles.energies.double().numpy()
    edges = np.linspace(true.min(), true.max() * (1 + 1e-9), bins + 1)
    print("E in GeV      method      showers    bias %     resolution %   in 68 %       in 95 %")
    for low, high in [*pairwise(edges), (edges[0], edges[-1])]:
        rows = np.flatnonzero((true >= low) & (true < high))
        for name, estimates in methods.items():
            found = estimates.of(rows, true)
            inside = "  ".join(
                f"{100 * share:5.1f} +- {100 * found.coverage_error(level):3.1f}"
                for level, share in found.coverage.items()
            )
            print(
                f"{low / GeV:5.1f}-{high / GeV:5.1f}   {name:10s}  {found.showers:6d}  "
                f"{100 * found.bias:+8.2f}     {100 * found.width:5.2f} +- "
                f"{100 * found.width_error:4.2f}   {inside}"
            )


def main() -> None:
    """Parse, compute, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path, help="showers to learn from")
    parser.add_argument("test", type=Path, help="showers to report on")
    parser.add_argument(
        "--held-out", type=int, default=800, help="training showers to calibrate on"
    )
    parser.add_argument("--epochs", type=float, default=100, help="passes through the training")
    parser.add_argument("--bins", type=int, default=4, help="bins of the true energy")
    options = parser.parse_args()
    everything, test = layers_of(options.train), layers_of(options.test)
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(SEED))
    held, train = everything[order[: options.held_out]], everything[order[options.held_out :]]
    methods = {
        method.__name__: method(train, held, test, options.epochs)
        for method in (likelihood, regression)
    }
    report(methods, test.particles, options.bins)


if __name__ == "__main__":
    main()
