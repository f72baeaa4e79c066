"""Times of the chain GFlash + refinement on one core, beside the published sampler and Geant4.

    python benchmarks/chain.py [--batch-size 1000] [--repeats 7]

Each repeat runs the stages one after the other, so that all see the same machine; the best of each
is printed, with ratios. The published sampler is that of model squirels-laptop: the published
networks, 20 steps, eager, float32. Geant4's time is the mean of those that come with the bundled
showers, measured on one busy core of another machine of the same kind: good for the order of the
ratio.
"""

import argparse
import time
from collections.abc import Callable

import torch

from caloforge import zoo
from caloforge.io import CaloChallengeFile
from caloforge.simulators import pbwo4_gflash


def milliseconds(work: Callable[[], object], showers: int) -> float:
    """The time of one run, in ms a shower."""
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start) / showers


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    full = zoo.bundled_showers("pbwo4-geant4")
    fast = pbwo4_gflash().simulate(full[: options.batch_size].particles, seed=1)
    refiners = {name: zoo.load(name) for name in ("squirels-fast", "squirels-laptop")}
    stages: dict[str, Callable[[], object]] = {
        "GFlash": lambda: pbwo4_gflash().simulate(fast.particles, seed=2),
        **{
            f"refine {name}": lambda model=model: model.refine(fast, seed=3)
            for name, model in refiners.items()
        },
    }
    runs = [
        {name: milliseconds(work, len(fast)) for name, work in stages.items()}
        for _ in range(options.repeats + 1)
    ][1:]
    best = {name: min(run[name] for run in runs) for name in stages}
    for name, value in best.items():
        print(
            f"{name:28s} {value:8.3f} ms a shower, one thread, batch {len(fast)}, best of "
            f"{options.repeats}"
        )
    chain = best["GFlash"] + best["refine squirels-fast"]
    print(f"{'GFlash + squirels-fast':28s} {chain:8.3f} ms")
    print(
        "published sampler / squirels-fast: "
        f"{best['refine squirels-laptop'] / best['refine squirels-fast']:.1f}"
    )
    if isinstance(full, CaloChallengeFile):
        geant4 = float(full.column("cpu_time_ms").double().mean())
        print(
            f"Geant4 (from the file): {geant4:.1f} ms; Geant4 / (GFlash + squirels-fast): "
            f"{geant4 / chain:.0f}"
        )


if __name__ == "__main__":
    main()
