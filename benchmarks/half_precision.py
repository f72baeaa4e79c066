"""What storing weights in half precision changes in the showers of the bundled models.

A bundled model has the rounded weights alone. What they were rounded from lay within half a unit in
the last place: the showers of weights drawn from there, at the same random numbers, differ from
those of the model by as much as rounding changed. For each model two numbers, means over showers:
the relative change of the energy sum, and the share of the energy that lies in other cells.

    python benchmarks/half_precision.py --showers 200
"""

import argparse
import copy

import torch
from torch import Tensor, nn

from caloforge import zoo
from caloforge.models import Surrogate
from caloforge.particles import Particles
from caloforge.simulators import pbwo4_gflash

SEED = 41
SMALLEST = 2.0**-24
"""The least step of half precision."""


def unrounded(model: nn.Module, random: torch.Generator) -> nn.Module:
    """The model with weights that half precision would round to its own."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.ndim > 1:
                exponent = parameter.abs().clamp_min(SMALLEST).log2().floor()
                step = (2.0 ** (exponent - 10)).clamp_min(SMALLEST)
                away = torch.rand(parameter.shape, generator=random) - 0.5
                parameter.add_(step * away)
    return other


def showers_of(model: nn.Module, name: str, n: int) -> Tensor:
    """Deposits of n showers over the range of the model, at random numbers of their own."""
    if isinstance(model, Surrogate):
        particles = Particles(torch.logspace(3.2, 4.9, n))
        return model.simulate(particles, seed=SEED).deposits.double()
    fast = pbwo4_gflash().simulate(Particles(torch.linspace(12e3, 95e3, n)), seed=SEED)
    return model.refine(fast, seed=SEED).deposits.double()


def main() -> None:
    """Parse, compute, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--showers", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in zoo.names():
        surrogate = zoo.card(name).system == "surrogate"
        model = zoo.load_surrogate(name) if surrogate else zoo.load(name)
        other = unrounded(model, torch.Generator().manual_seed(SEED))
        one, two = (showers_of(m, name, options.showers) for m in (model, other))
        total = one.sum(dim=1)
        energy = ((two.sum(dim=1) - total).abs() / total).mean()
        moved = ((two - one).abs().sum(dim=1) / (2 * total)).mean()
        print(f"{name}: energy sum {energy:.1e}, energy in other cells {moved:.1e}")


if __name__ == "__main__":
    main()
