"""What it costs a surrogate to know species and direction: CPU time with and without, in turns.

    python benchmarks/condition_speed.py calodream-ds2-laptop caloflow-laptop

widens each model, which knows the energy alone, to electrons and photons at any angle, and prints
the CPU time of a shower, one at a time and in batches of 100: each the best of several runs, in
which the two take turns.
"""

import argparse
import math
import time
from dataclasses import asdict, replace

import torch

from caloforge import zoo
from caloforge.learn.conditions import Beam
from caloforge.models import Surrogate
from caloforge.models.fine_tuning import give
from caloforge.particles import Particles
from caloforge.units import GeV, deg

BEAM = Beam((11, 22), direction=True)


def knowing_more(model: Surrogate) -> Surrogate:
    """The same model, that knows species and direction and makes nothing of them."""
    recipe = {**model.card.recipe, "beam": asdict(BEAM)}
    card = replace(model.card, recipe=recipe, pdg=BEAM.species, largest_angle=60 * deg)
    wider = Surrogate.new(card, seed=1)
    unfit = give(model, wider, BEAM.width - 1)
    if unfit:
        raise SystemExit(unfit)
    shapes = {name: buffer.shape for name, buffer in wider.named_buffers()}
    known = {k: v for k, v in model.named_buffers() if shapes.get(k) == v.shape}
    wider.load_state_dict(known, strict=False)
    return wider.eval()


def particles(number: int) -> Particles:
    """Electrons and photons in turns, from 1 to 100 GeV, from 0 to 40 degrees."""
    step = torch.linspace(0, 1, number) if number > 1 else torch.tensor([0.5])
    return Particles(
        1 * GeV * 100**step,
        torch.where(torch.arange(number) % 2 == 0, *BEAM.species),
        40 * deg * step,
        2 * math.pi * step - math.pi,
    )


def seconds(model: Surrogate, some: Particles, repeat: int) -> float:
    """The CPU time of a run of all of them, one run after another."""
    begin = time.process_time()
    for seed in range(repeat):
        model.simulate(some, seed=seed)
    return (time.process_time() - begin) / repeat


def main() -> None:
    """Time, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="surrogates that know the energy alone")
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.models:
        plain = zoo.load_surrogate(name)
        wider = knowing_more(plain)
        for batch, repeat in ((1, 5), (100, 1)):
            known = particles(batch)
            alone = Particles(known.energies, 11)
            pairs = [
                (seconds(plain, alone, repeat), seconds(wider, known, repeat))
                for _ in range(options.turns)
            ]
            before, after = (1e3 * min(side) / batch for side in zip(*pairs, strict=True))
            print(
                f"{name}, batches of {batch}: {before:.2f} ms of CPU a shower by the energy "
                f"alone, {after:.2f} ms with species and direction, {after / before:.2f} times",
                flush=True,
            )


if __name__ == "__main__":
    main()
